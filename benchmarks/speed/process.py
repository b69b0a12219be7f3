"""The other end of `speed.worker`: a library's process, and rounds in which all of a case take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from speed.pieces import Case, Piece

__all__ = ["Process", "measure"]

_FOLDER = Path(__file__).parents[1]
_CLOCKS = ("seconds", "processor_seconds")
_TOLERANCE = 1e-8  # eV a supercell, of the energies of another library


class Process:
    """One library in its own process; use it as a context.

    Args:
        python: the interpreter that has the library.
        module: of this package, ``"with_..."``.
        folder: of the systems; what the library prints is kept there.
        device: ``"cpu"`` or ``"cuda"``.
        cores: to run on.

    Attributes:
        versions: of the library and what it stands on; empty if it is absent.
        absent: why it is; empty if it is there.
    """

    def __init__(self, python: str, module: str, folder: Path, device: str, cores: Sequence[int]) -> None:
        threads = str(len(cores))
        path = os.pathsep.join([str(_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads)
        with (folder / f"{module}-{threads}.log").open("w") as log:
            self._process = subprocess.Popen(
                [python, "-m", "speed.worker", module, str(folder), device, *map(str, cores)],
                env={**os.environ, **limits, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        self._requests: Any = self._process.stdin
        self._answers: Any = self._process.stdout
        first = self._read()
        self.versions: dict[str, str] = first.get("versions", {})
        self.absent: str = first.get("error", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()  # ends its input, and so itself

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to one request; ``{"error": ...}`` if it is absent, or dies."""
        if self.absent:
            return {"error": self.absent}
        try:
            self._requests.write(json.dumps(request) + "\n")
        except BrokenPipeError:
            return {"error": self.absent or "its process died"}
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process died"}
        return answer


def measure(case: Case, processes: Mapping[str, Process], repeats: int, seconds: float, budget: float) -> list[dict[str, Any]]:
    """Time the pieces of a case in turns.

    Args:
        case: its pieces.
        processes: by library.
        repeats: rounds; a piece that takes long sits out the last ones.
        seconds: a repeat lasts at least about as long.
        budget: seconds that all repeats of one piece may take; it has one at least.

    Returns:
        One row a piece: what it is, ``units`` of a repeat, and the ``seconds`` and ``processor_seconds`` of each; or the ``error``.
    """
    rows = [_ready(piece, key, processes, seconds) for key, piece in enumerate(case.pieces)]
    for turn in range(repeats):
        for key, row in enumerate(rows):
            if "error" in row or turn * row["first"] > budget:
                continue
            answer = processes[row["library"]].ask({"time": key})
            if "error" in answer:
                row["error"] = answer["error"]
            else:
                for clock in _CLOCKS:
                    row[clock].append(answer[clock])
    for process in processes.values():
        process.ask({"forget": True})
    for row in rows:
        row.pop("first", None)
    return rows


def _ready(piece: Piece, key: int, processes: Mapping[str, Process], seconds: float) -> dict[str, Any]:
    if piece.library not in processes:
        return {**piece.to_dict(), "error": "not asked for"}
    answer = processes[piece.library].ask({"prepare": piece.to_dict(), "key": key, "seconds": seconds})
    if "error" in answer:
        return {**piece.to_dict(), "error": answer["error"]}
    if (difference := answer["told"].get("largest_energy_difference", 0.0)) > _TOLERANCE:
        return {**piece.to_dict(), "error": f"its energies are not ours: they differ by {difference:.1e}"}
    print(f"  {piece.library} {piece.how} {piece.count} {piece.dtype}: {answer['seconds']:.2f} s a repeat", file=sys.stderr, flush=True)
    counted = {"units": answer["units"] * answer["loops"], "first": answer["seconds"], **{clock: [] for clock in _CLOCKS}}
    return {**piece.to_dict(), **answer["told"], **counted}
