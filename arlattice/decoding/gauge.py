"""Exact spin-flip symmetry: where exchanging the two species leaves the energy as it is, the model does too.

With f the exchange, q(f(x) | -field) = q(x | field) holds exactly. Configurations in a negative field (mu_1 < mu_0, or fewer
atoms of species 1) are read exchanged. In a state that is symmetric itself, the first species is drawn with
probability 1/2 and the configuration is read so that it is species 1: no mode can be lost to its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from arlattice.cluster_family import ClusterFamily
from arlattice.conditions import Conditions
from arlattice.constraint import Constraint
from arlattice.hamiltonians import Hamiltonian, energies_or_nan, fixed_configurations

__all__ = ["Reading", "SpinGauge", "turned"]


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
        if isinstance(hamiltonian, ClusterFamily):  # all of its members, or none
            reference = hamiltonian.of(torch.arange(len(hamiltonian)).repeat_interleave(len(x))).to("cpu", torch.float64)
            x = x.repeat(len(hamiltonian), 1)
        energy, exchanged = energies_or_nan(reference, x), energies_or_nan(reference, 1 - x)  # none, if it refuses any of them
        return cls() if torch.allclose(energy, exchanged, rtol=1e-9, atol=1e-9) else None

    def read(self, occupations: Tensor, first: Tensor, conditions: Conditions, constraint: Constraint) -> Reading:
        """Configurations and states as a network reads them.

        Args:
            occupations: (batch, sites), -1 where unknown.
            first: species of the first site that is known or drawn, (batch,).
            conditions: the states.
            constraint: of their ensemble.
        """
        exchanged = constraint.exchanged(conditions.targets)
        if exchanged is None:  # the ensemble has no such symmetry
            never = torch.zeros_like(first, dtype=torch.bool)
            return Reading(occupations, conditions, never, never)
        sign = self._sign(conditions, exchanged)
        flip = (sign < 0) | ((sign == 0) & (first == 0))
        mu = torch.where(flip[:, None], conditions.mu.flip(-1), conditions.mu)
        states = replace(conditions, mu=mu, targets=torch.where(flip[:, None], exchanged, conditions.targets))
        return Reading(turned(occupations, flip), states, flip, sign == 0)

    def even(self, conditions: Conditions, constraint: Constraint) -> Tensor:
        """Which states an exchange leaves as they are, (batch,)."""
        exchanged = constraint.exchanged(conditions.targets)
        never = torch.zeros_like(conditions.beta, dtype=torch.bool)
        return never if exchanged is None else self._sign(conditions, exchanged) == 0

    def _sign(self, conditions: Conditions, exchanged: Tensor) -> Tensor:
        """What an exchange changes the sign of, (batch,): mu_1 - mu_0, or the excess of species 1; 0 in a symmetric state."""
        differences = [conditions.mu[:, 1] - conditions.mu[:, 0], *(exchanged - conditions.targets).T.to(conditions.mu.dtype)]
        sign = differences[0]
        for other in differences[1:]:
            sign = torch.where(sign == 0, other, sign)
        return sign


@dataclass(frozen=True)
class Reading:
    """A batch as a network reads it.

    Attributes:
        occupations: (batch, sites).
        conditions: the states.
        flip: rows that are read exchanged, (batch,).
        even: rows whose state is symmetric itself: their first species has probability 1/2, (batch,).
    """

    occupations: Tensor
    conditions: Conditions
    flip: Tensor
    even: Tensor

    def __getitem__(self, rows: Tensor) -> Reading:
        return Reading(self.occupations[rows], self.conditions[rows], self.flip[rows], self.even[rows])

    def logits(self, logits: Tensor, drawn_first: Tensor) -> Tensor:
        """Logits (batch, k, species) of the configurations as they are, from those of the network.

        Args:
            drawn_first: which of them are those of the first site of all, (batch, k) or (k,).
        """
        logits = torch.where(self.flip[:, None, None], logits.flip(-1), logits)
        return logits.masked_fill((self.even[:, None] & drawn_first)[..., None], 0.0)


def turned(occupations: Tensor, flip: Tensor) -> Tensor:
    """Exchange the species of some rows (batch, sites); -1 stays."""
    return torch.where(flip[:, None] & (occupations >= 0), 1 - occupations, occupations)
