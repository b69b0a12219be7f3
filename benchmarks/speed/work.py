"""`Work`: a piece made ready, and how long it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Work", "loops_for", "timed"]

_FASTEST = 20  # times as many loops as in the try before


@dataclass(frozen=True)
class Work:
    """A piece of work that is ready to be repeated.

    Args:
        run: does it so many times; returns when all is done.
        units: trials, energies or configurations of one loop.
        told: what else is known of it, for the record.
    """

    run: Callable[[int], object]
    units: int
    told: dict[str, Any] = field(default_factory=dict)


def timed(work: Work, loops: int) -> tuple[float, float]:
    """Wall time of so many loops, and processor time: less, where other programs had the core too."""
    wall, processor = time.perf_counter(), time.process_time()
    work.run(loops)
    return time.perf_counter() - wall, time.process_time() - processor


def loops_for(work: Work, seconds: float) -> tuple[int, float]:
    """How many loops last about so long (at least one), and how long they took.

    The first call, which compiles, counts for nothing.
    """
    work.run(1)
    loops, (taken, _) = 1, timed(work, 1)
    while taken < seconds:
        loops = max(loops + 1, math.ceil(loops * min(_FASTEST, 1.1 * seconds / max(taken, 1e-9))))
        taken, _ = timed(work, loops)
    return loops, taken
