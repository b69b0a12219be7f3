"""`Numbers`: which random numbers a run of sweeps takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Numbers"]


@dataclass(frozen=True)
class Numbers:
    """Numbers of a seed and two purposes (`arlattice.random_numbers`), from a step on; or those given in their place.

    Attributes:
        seed: of the stream.
        purposes: word and first step, of the noise and of the places to visit.
        noise: (visits, chains) float64 in [0, 1); None to make it.
        places: order of the visits (sweeps, visits a sweep), sites (visits, chains) or pairs (visits, 2, chains); None to make them.
    """

    seed: int
    purposes: tuple[tuple[int, int], tuple[int, int]]
    noise: Tensor | None = None
    places: Tensor | None = None

    def given(self, rule: str) -> tuple[Tensor, Tensor]:
        """Noise and places as arrays of the right number of axes."""
        noise = torch.empty(0, 0, dtype=torch.float64) if self.noise is None else self.noise.double().contiguous()
        axes = 3 if rule == "swap" else 2
        return noise, torch.empty(*[0] * axes, dtype=torch.int64) if self.places is None else self.places.contiguous()
