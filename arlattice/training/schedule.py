"""What changes with the step: the learning rate, and how much the averaged weights remember."""

from __future__ import annotations

import math

from arlattice.training.config import TrainingOptions

__all__ = ["average_decay", "learning_rate"]

_FINAL_RATE = 0.02  # of the peak learning rate, where the cosine ends


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Learning rate of the step after so many: linear warm-up times cosine decay, which begins anew with every cycle.

    Source: I. Loshchilov and F. Hutter, SGDR, ICLR 2017.
    """
    warm = min(1.0, (step + 1) / options.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * (step * options.cycles / options.steps % 1)))
    return options.learning_rate * warm * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)


def average_decay(step: int, options: TrainingOptions) -> float:
    """Decay of the averaged weights after so many steps: a short memory at the start."""
    return min(options.ema_decay, (1 + step) / (10 + step)) if options.ema_decay else 0.0
