"""Exact spin-flip symmetry: where exchanging the two species leaves the energy as it is, the model does too.

With f the exchange, q(f(x) | -field) = q(x | field) holds exactly. Configurations in a negative field (mu_1 < mu_0, or fewer
atoms of species 1) are read exchanged. In a state that is symmetric itself, the first species is drawn with
probability 1/2 and the configuration is read so that it is species 1: no mode can be lost to its mirror image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian, energies_or_nan, fixed_configurations

__all__ = ["SpinGauge"]


class SpinGauge:
    """The exchange of two species. Find it with `of`."""

    @classmethod
    def of(cls, hamiltonian: Hamiltonian) -> SpinGauge | None:
        """The gauge of a Hamiltonian; None unless it has two species, anywhere allowed, that may be exchanged."""
        lattice = hamiltonian.lattice
        if lattice.n_species != 2 or not bool(lattice.allowed.all()):
            return None
        x = fixed_configurations(lattice, 4)
        reference = hamiltonian.to("cpu", torch.float64)
        energy, exchanged = energies_or_nan(reference, x), energies_or_nan(reference, 1 - x)  # none, if it refuses any of them
        return cls() if torch.allclose(energy, exchanged, rtol=1e-9, atol=1e-9) else None

    def field(self, conditions: Conditions) -> Tensor:
        """What an exchange changes the sign of: mu_1 - mu_0, or the excess of species 1, (batch,)."""
        pair = conditions.mu if conditions.counts is None else conditions.counts
        return pair[:, 1] - pair[:, 0]

    def flips(self, conditions: Conditions, first: Tensor) -> Tensor:
        """Which configurations to read exchanged (batch,); ``first`` (batch,) is the species drawn first."""
        field = self.field(conditions)
        return (field < 0) | ((field == 0) & (first == 0))

    def turn(self, occupations: Tensor, flip: Tensor) -> Tensor:
        """Exchange the species of some rows (batch, sites); -1 stays."""
        return torch.where(flip[:, None] & (occupations >= 0), 1 - occupations, occupations)

    def turn_conditions(self, conditions: Conditions, flip: Tensor) -> Conditions:
        """The states in which the exchanged rows are read."""
        mu = torch.where(flip[:, None], conditions.mu.flip(-1), conditions.mu)
        counts = conditions.counts
        return Conditions(conditions.beta, mu, None if counts is None else torch.where(flip[:, None], counts.flip(-1), counts))
