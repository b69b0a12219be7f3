"""Work handed out to as many threads as torch uses. Compiled loops do not hold the interpreter, so they run at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

__all__ = ["Work", "in_threads", "run"]

Work = Callable[[int, int], Any]
"""Called for the configurations from the first to before the last."""

_WORTH_A_THREAD = 20_000  # lookups


def in_threads(work: Work, n: int, lookups: float) -> None:
    """Split n configurations of so many lookups each; what each of them becomes does not depend on it."""
    if n == 1:
        work(0, 1)
        return
    parts = max(1, min(torch.get_num_threads(), n, int(n * lookups / _WORTH_A_THREAD)))
    run(work, [(n * i // parts, n * (i + 1) // parts) for i in range(parts)])


def run(work: Work, parts: Sequence[tuple[int, int]]) -> None:
    """Do all parts, at once where there are threads."""
    if len(parts) == 1 or torch.get_num_threads() == 1:
        for part in parts:
            work(*part)
    else:
        with ThreadPoolExecutor(min(len(parts), torch.get_num_threads())) as pool:
            for done in [pool.submit(work, *part) for part in parts]:
                done.result()
