"""Energy and heat capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.hooks.options import Options
from arlattice.thermo.observables.values import Values

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["energy", "energy_minus_mu_n", "energy_per_atom", "energy_per_site", "heat_capacity"]


def energy(samples: SampleSet, options: Options) -> Values:
    """Energy of the whole supercell."""
    return Values(samples.energy, units=samples.units)


def energy_per_site(samples: SampleSet, options: Options) -> Values:
    """Energy divided by the number of sites."""
    return Values(samples.energy_per_site, units=samples.units)


def energy_per_atom(samples: SampleSet, options: Options) -> Values:
    """Energy divided by the number of atoms; differs from `energy_per_site` where there are vacancies.

    Raises:
        InputError: a configuration without atoms.
    """
    if not bool((samples.n_atoms > 0).all()):
        raise InputError("observable", "energy_per_atom", "a configuration has no atoms at all; take energy_per_site")
    return Values(samples.energy_per_atom, units=samples.units)


def energy_minus_mu_n(samples: SampleSet, options: Options) -> Values:
    """E - sum mu N of the whole supercell."""
    return Values(samples.energy_minus_mu_n, units=samples.units)


def heat_capacity(samples: SampleSet, options: Options) -> Values:
    """T (dS/dT) at constant chemical potentials, per site, in k_B: beta^2 var(E - sum mu N) / sites.

    At fixed composition it is the usual dE/dT. The plug-in variance is low by about one part in the number of
    effective samples.
    """
    excess = samples.energy_minus_mu_n - samples.energy_minus_mu_n.mean()  # of small numbers, so that nothing cancels
    factor = samples.state.beta(samples.units) ** 2 / samples.lattice.n_sites

    def variance(means: Tensor) -> Tensor:
        return factor * (means[1:] - means[:1].square())

    return Values(torch.stack([excess, excess.square()], 1), units="k_B", of_means=variance)
