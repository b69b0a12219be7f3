"""Drawing at fixed composition: which species may still be placed.

A species may be placed if the remaining sites can hold the remaining atoms afterwards. By Hall's marriage
theorem that is so when, for every set S of species, the remaining sites that hold only species of S are no
more than the remaining atoms of S. With one sublattice this reads: some atoms of the species are left.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.constraint import Constraint, Rule
from arlattice.lattice import Lattice

__all__ = ["FixedComposition"]


class FixedComposition(Constraint):
    """The numbers of atoms of all species are fixed; they are the targets (B, species)."""

    def __init__(self, lattice: Lattice) -> None:
        super().__init__(lattice)
        q = lattice.n_species
        subsets = torch.arange(1, 2**q)
        self.member = (subsets[:, None] >> torch.arange(q) & 1).bool()  # (subsets, species)
        self.captive = (lattice.allowed[:, None, :] <= self.member[None]).all(-1)  # (sites, subsets)

    def completable(self, partial: Tensor, targets: Tensor) -> Tensor:
        """See `Constraint.completable`."""
        left = self._left(partial, targets)
        slack = (left[:, None] * self.member).sum(-1) - (self.captive & (partial < 0)[..., None]).sum(1)
        return (slack >= 0).all(1) & (left.sum(1) == (partial < 0).sum(1))

    def at(self, partial: Tensor, sites: Tensor, targets: Tensor) -> Rule:
        """See `Constraint.at`; the share of a species is that of its atoms among those that are left."""
        unknown = partial < 0
        captives = (self.captive & unknown[..., None]).sum(1)[:, None] - self.captive[sites].long()
        left = self._left(partial, targets)[:, None].expand(-1, sites.shape[1], -1)
        return self._rule(left, captives, sites, unknown.sum(1)[:, None])

    def along(self, occupations: Tensor, order: Tensor, targets: Tensor) -> Rule:
        """See `Constraint.along`."""
        placed = F.one_hot(occupations.gather(1, order), targets.shape[1])
        held = self.captive[order].long()
        sites_left = order.shape[1] - torch.arange(order.shape[1], device=order.device)
        left = targets[:, None] - placed.cumsum(1) + placed
        return self._rule(left, held.sum(1, keepdim=True) - held.cumsum(1), order, sites_left)

    def exchanged(self, targets: Tensor) -> Tensor:
        """See `Constraint.exchanged`."""
        return targets.flip(-1)

    def _left(self, partial: Tensor, targets: Tensor) -> Tensor:
        """Atoms not placed yet, (B, species)."""
        known = (partial >= 0)[..., None]
        return targets - (F.one_hot(partial.clamp(min=0), targets.shape[1]) * known).sum(1)

    def _rule(self, left: Tensor, captives: Tensor, sites: Tensor, sites_left: Tensor) -> Rule:
        """``left`` atoms (B, k, species) and ``captives`` (B, k, subsets) on the other sites when each of ``sites`` (B, k) is drawn."""
        slack = (left[..., None, :] * self.member).sum(-1) - captives
        tight = (slack < 1)[..., None] & self.member  # a set with no slack cannot give an atom away
        share = (left.clamp(min=1).double() / sites_left[..., None]).log()
        return ~tight.any(-2) & self.allowed[sites], share
