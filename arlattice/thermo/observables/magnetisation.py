"""Magnetisation, its moments, and Binder's cumulant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from arlattice.hooks.options import Options
from arlattice.thermo.observables.spins import spins_of
from arlattice.thermo.observables.values import Values

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["magnetisation"]


def magnetisation(samples: SampleSet, options: Options) -> Values:
    """Averages of m, abs(m), m^2 and m^4 per site, and Binder's cumulant 1 - <m^4> / (3 <m^2>^2); -1 and +1 for two species.

    Source: K. Binder, Z. Phys. B 43, 119 (1981).
    """
    m = spins_of(samples, "magnetisation").mean(1)

    def with_binder(means: Tensor) -> Tensor:
        return torch.cat([means, 1 - means[3:] / (3 * means[2:3].square())])

    columns, names = torch.stack([m, m.abs(), m**2, m**4], 1), ("m", "abs_m", "m2", "m4", "binder")
    return Values(columns, names, dimension="moment", of_means=with_binder, undefined="every sample has m = 0")
