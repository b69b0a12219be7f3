"""Drawing at fixed composition: which species may still be placed.

A species may be placed if the remaining sites can hold the remaining atoms afterwards. By Hall's marriage
theorem that is so when, for every set S of species, the remaining sites that hold only species of S are no
more than the remaining atoms of S. With one sublattice this reads: some atoms of the species are left.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.lattice import Lattice

__all__ = ["CompositionMask"]


class CompositionMask:
    """Feasible species at every step of a drawing order. Works on any device; holds two small tables."""

    def __init__(self, lattice: Lattice) -> None:
        q = lattice.n_species
        subsets = torch.arange(1, 2**q)
        self.member = (subsets[:, None] >> torch.arange(q) & 1).bool()  # (subsets, species)
        self.captive = (lattice.allowed[:, None, :] <= self.member[None]).all(-1)  # (sites, subsets)

    def to(self, device: torch.device) -> CompositionMask:
        """Move the tables."""
        self.member, self.captive = self.member.to(device), self.captive.to(device)
        return self

    def captives_after(self, order: Tensor) -> Tensor:
        """Sites after each step that hold only species of each subset. (batch, sites) -> (batch, sites, subsets)."""
        held = self.captive[order].long()
        return held.sum(1, keepdim=True) - held.cumsum(1)

    def feasible(self, remaining: Tensor, captives_after: Tensor) -> Tensor:
        """Species that may be placed now.

        Args:
            remaining: atoms not placed yet, (..., species).
            captives_after: see `captives_after`, (..., subsets).

        Returns:
            bool (..., species).
        """
        slack = (remaining[..., None, :] * self.member).sum(-1) - captives_after  # (..., subsets)
        tight = (slack < 1)[..., None] & self.member  # a set with no slack cannot give an atom away
        return ~tight.any(-2)

    def completable(self, partial: Tensor, counts: Tensor) -> Tensor:
        """Whether the unknown sites can hold the atoms that are left.

        Args:
            partial: (batch, sites), -1 where unknown.
            counts: atoms in the whole lattice (species,).

        Returns:
            bool (batch,).
        """
        known = (partial >= 0)[..., None]
        left = counts - (F.one_hot(partial.clamp(min=0), len(counts)) * known).sum(1)
        slack = (left[:, None] * self.member).sum(-1) - (self.captive & ~known).sum(1)
        return (slack >= 0).all(1)
