"""When a run stops before its last step: it is good enough, it improves no more, or the time does not reach for another cycle.

The learning rate falls to its floor at the end of a cycle, so figures of one end are comparable with those of another, and the weights are
as good as the cycle could make them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from arlattice.training.config import TrainingOptions

__all__ = ["Reached", "Stopping"]

_WORST, _MEAN = 0.02, 0.004
"""What the worst and the mean ESS must rise in a cycle for another; about the noise of evaluations of a thousand samples."""

_GOOD = 0.5
"""A worst ESS with which one cycle that did not help is enough to stop; else two must not."""


class Reached(NamedTuple):
    """The highest worst and mean ESS at the end of a cycle so far, and how many cycles since then did not help."""

    worst: float = 0.0
    mean: float = 0.0
    idle: int = 0


class Stopping:
    """Looks at every evaluation.

    Args:
        options: of the run.

    Attributes:
        reached: at the ends of cycles so far; a checkpoint keeps it.
        reason: why the run stops, in plain words; None while it goes on.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self._options, self._cycle_began = options, time.monotonic()
        self.reached = Reached()
        self.reason: str | None = None

    def ends_cycle(self, step: int) -> bool:
        """Whether a cycle ends with a step, for a run that may stop there."""
        o = self._options
        return o.until_steady and step > 0 and step * o.cycles // o.steps > (step - 1) * o.cycles // o.steps

    def look(self, step: int, figures: Mapping[str, float], deadline: float) -> None:
        """Take in an evaluation after a step; ``deadline`` is when the time is over (`time.monotonic`)."""
        worst, mean, until = figures["worst_ess"], figures["ess"], self._options.until_ess
        if until is not None and worst >= until:
            self.reason = f"the worst ESS reached {worst:.2f}, and {until:g} was asked for"
        elif self.ends_cycle(step) and step < self._options.steps:
            now, before = time.monotonic(), self.reached
            helped = worst >= before.worst + _WORST or mean >= before.mean + _MEAN
            self.reached = Reached(max(worst, before.worst), max(mean, before.mean), 0 if helped else before.idle + 1)
            if self.reached.idle >= (1 if worst >= _GOOD else 2):
                self.reason = f"the ESS rose no more in the last cycle (worst {worst:.2f}, mean {mean:.3f})"
            elif deadline < math.inf and now + (now - self._cycle_began) > deadline:
                self.reason = "another cycle would not have ended before the time limit"
            self._cycle_began = now
