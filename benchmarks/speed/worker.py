"""The process of one library: is asked on standard input, answers on standard output, one JSON object a line.

    python -m speed.worker with_icet FOLDER cpu 0 1

reads the systems of FOLDER (`speed.systems`) on the cores named. It answers with the versions, or why it cannot be had, and then to

    {"prepare": PIECE, "key": 0, "seconds": 0.3}  ->  {"loops": 12, "units": 64, "seconds": 0.31, "told": {}}
    {"time": 0}                                   ->  {"seconds": 0.308, "processor_seconds": 0.308}
    {"forget": true}                              ->  {}

What a library prints goes to standard error. Only one of the processes works at a time; the others wait for a line.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speed.pieces import Piece
from speed.work import Work, loops_for, timed

__all__ = ["Desk", "main"]


class Desk:
    """Pieces in hand.

    Args:
        prepare: makes a piece ready; raises what it likes.
    """

    def __init__(self, prepare: Callable[[Piece], Work]) -> None:
        self._prepare = prepare
        self._ready: dict[int, tuple[Work, int]] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; ``{"error": ...}`` where the work cannot be done."""
        try:
            if "prepare" in asked:
                return self._make_ready(Piece(**asked["prepare"]), asked["key"], asked["seconds"])
            if "time" in asked:
                return dict(zip(("seconds", "processor_seconds"), timed(*self._ready[asked["time"]]), strict=True))
        except Exception as error:  # of any library, of any kind
            return {"error": f"{type(error).__name__}: {error}"[:500]}
        self._ready.clear()
        return {}

    def _make_ready(self, piece: Piece, key: int, seconds: float) -> dict[str, Any]:
        work = self._prepare(piece)
        loops, taken = loops_for(work, seconds)
        self._ready[key] = work, loops
        return {"loops": loops, "units": work.units, "seconds": taken, "told": work.told}


def main() -> None:
    """Answer until standard input ends."""
    module, folder, device, *cores = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # compiled libraries print too
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores))  # before any thread is started
    try:
        library = importlib.import_module(f"speed.{module}")
        versions = library.versions()
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:500]}), file=answers)
        return
    print(json.dumps({"versions": versions}), file=answers)
    desk = Desk(library.Systems(Path(folder), device).prepare)
    for line in sys.stdin:
        print(json.dumps(desk.answer(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
