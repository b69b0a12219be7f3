"""Work handed out to as many threads as torch uses. Compiled loops do not hold the interpreter, so they run at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

__all__ = ["Work", "in_threads", "run", "threads_for"]

Work = Callable[[int, int], Any]
"""Called for the configurations from the first to before the last."""

_WORTH_A_THREAD = 200_000  # lookups, a third of a millisecond: several times what it takes to begin a thread


def in_threads(work: Work, n: int, lookups: float) -> None:
    """Split n configurations of so many lookups each; what each of them becomes does not depend on it."""
    if n == 1:
        work(0, 1)
        return
    parts = threads_for(n * lookups, n)
    run(work, [(n * i // parts, n * (i + 1) // parts) for i in range(parts)], parts)


def threads_for(lookups: float, n: int) -> int:
    """How many threads so many lookups for n configurations are worth."""
    return max(1, min(torch.get_num_threads(), n, int(lookups / _WORTH_A_THREAD)))


def run(work: Work, parts: Sequence[tuple[int, int]], threads: int) -> None:
    """Do all parts, as many at once as there are threads."""
    if threads == 1:
        for part in parts:
            work(*part)
    else:
        with ThreadPoolExecutor(min(len(parts), threads)) as pool:
            for done in [pool.submit(work, *part) for part in parts]:
                done.result()
