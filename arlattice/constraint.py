"""What the states of an ensemble forbid: which species may still be placed while a configuration is drawn.

A constraint says whether a partial configuration can be completed; the rest follows from that: a species may be placed where the
configuration can still be completed afterwards. Constraints that know a faster way, or how likely each species is among what is left,
say so in `Constraint.at` and `Constraint.along`.

Shapes: B batch, N sites, k sites asked about, q species, m numbers that a state fixes (its targets).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor

from arlattice.lattice import Lattice

__all__ = ["Constraint", "Unconstrained"]

Rule = tuple[Tensor, Tensor]
"""Which species may be placed, and the logarithm of their shares, which is added to the logits."""


class Constraint(ABC):
    """What every state of one kind forbids on a lattice.

    Args:
        lattice: the supercell.

    Attributes:
        allowed: which species each site may hold at all, (N, q).
        free: nothing is forbidden but what the sublattices forbid.
    """

    free = False

    def __init__(self, lattice: Lattice) -> None:
        self.allowed = lattice.allowed

    def to(self, device: torch.device | str) -> Self:
        """Move the tables, in place."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    @abstractmethod
    def completable(self, partial: Tensor, targets: Tensor) -> Tensor:
        """Whether the unknown sites can be filled so that the state allows the whole.

        Args:
            partial: (B, N), -1 where unknown; (B, N) without -1 asks whether a configuration is allowed.
            targets: what each state fixes, (B, m).

        Returns:
            bool (B,).
        """

    def at(self, partial: Tensor, sites: Tensor, targets: Tensor) -> Rule:
        """Species that may be placed at some sites, each asked about alone.

        Args:
            partial: (B, N), -1 where unknown; ``sites`` are unknown.
            sites: (B, k). Of a site that is known after all the result is not used.
            targets: (B, m).

        Returns:
            bool (B, k, q), and logarithms of shares (B, k, q), finite: zeros unless a subclass knows better.
        """
        B, k = sites.shape
        q = self.allowed.shape[1]
        rows = partial[:, None, None].expand(B, k, q, -1)
        species = torch.arange(q, device=partial.device).expand(B, k, q)
        tried = rows.scatter(3, sites[:, :, None, None].expand(B, k, q, 1), species[..., None])
        possible = self.completable(tried.reshape(B * k * q, -1), targets.repeat_interleave(k * q, 0)).view(B, k, q)
        return possible & self.allowed[sites], torch.zeros(B, k, q, dtype=torch.float64, device=partial.device)

    def along(self, occupations: Tensor, order: Tensor, targets: Tensor) -> Rule:
        """`at` for every step of an order, the sites before it being known. (B, N), (B, N) -> (B, N, q), indexed by step."""
        partial = torch.full_like(occupations, -1)
        rules = []
        for step in range(order.shape[1]):
            site = order[:, step : step + 1]
            rules.append(self.at(partial, site, targets))
            partial = partial.scatter(1, site, occupations.gather(1, site))
        return torch.cat([r[0] for r in rules], 1), torch.cat([r[1] for r in rules], 1)

    def exchanged(self, targets: Tensor) -> Tensor | None:
        """The targets of the states in which species 0 and 1 are exchanged, (B, m); None if there are none such."""
        return None


class Unconstrained(Constraint):
    """Nothing is forbidden but what the sublattices forbid."""

    free = True

    def completable(self, partial: Tensor, targets: Tensor) -> Tensor:
        """Always."""
        return torch.ones(len(partial), dtype=torch.bool, device=partial.device)

    def at(self, partial: Tensor, sites: Tensor, targets: Tensor) -> Rule:
        """See `Constraint.at`."""
        allowed = self.allowed[sites]
        return allowed, torch.zeros_like(allowed, dtype=torch.float64)

    def along(self, occupations: Tensor, order: Tensor, targets: Tensor) -> Rule:
        """See `Constraint.along`."""
        return self.at(occupations, order, targets)

    def exchanged(self, targets: Tensor) -> Tensor:
        """See `Constraint.exchanged`: there is nothing to exchange."""
        return targets
