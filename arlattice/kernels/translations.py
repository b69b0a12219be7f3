"""Translations that carry a Hamiltonian into itself: which sites are alike, and how they see each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from arlattice.lattice import Lattice

__all__ = ["Translations"]


@dataclass(frozen=True)
class Translations:
    """The translations of a lattice, or the one that moves nothing.

    Sites are named as they are seen from one of them, by the *label* of a site: the site it would be if the one that looks were in the
    cell at offset 0. Without translations a label is the number of the site.

    Attributes:
        lattice: whose sites they move.
        all_cells: whether they repeat the first cell; otherwise each site is of a kind of its own.
    """

    lattice: Lattice
    all_cells: bool

    @property
    def kind(self) -> np.ndarray:
        """Kind of every site, (sites,)."""
        return self.lattice.sublattice if self.all_cells else np.arange(self.lattice.n_sites)

    @property
    def n_kinds(self) -> int:
        """Sublattices, or sites."""
        return len(self.lattice.basis) if self.all_cells else self.lattice.n_sites

    @property
    def origin(self) -> np.ndarray:
        """The site of each kind that sees labels as sites, (kinds,): those of the cell at offset 0."""
        kinds = np.arange(self.n_kinds)
        return self.lattice.site_index(np.zeros((self.n_kinds, 3), int), kinds) if self.all_cells else kinds

    def labels(self, sites: np.ndarray, column: int) -> np.ndarray:
        """Sites (C, k) as the site of one column sees them, (C, k)."""
        if not self.all_cells:
            return sites
        offsets = self.lattice.cell_offsets[sites] - self.lattice.cell_offsets[sites[:, column]][:, None]
        return self.lattice.site_index(offsets, self.lattice.sublattice[sites])

    def images(self, labels: np.ndarray) -> np.ndarray:
        """What the sites see at labels of their kinds: (kinds, m) -> (sites, m)."""
        if not self.all_cells:
            return labels
        kind = self.kind
        offsets = self.lattice.cell_offsets[labels][kind] + self.lattice.cell_offsets[:, None]
        return self.lattice.site_index(offsets, self.lattice.sublattice[labels][kind])

    def canonical(self, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One name for all images of a cluster.

        Args:
            sites: of clusters, distinct in each, (C, k).

        Returns:
            The name, labels (C, k) rising; the column of ``sites`` that each of them is, (C, k); how many translations carry the
            cluster onto itself, (C,).
        """
        columns = range(sites.shape[1] if self.all_cells else 1)
        seen = np.stack([self.labels(sites, a) for a in columns])
        order = np.argsort(seen, 2)
        names = np.take_along_axis(seen, order, 2)
        best = np.zeros(len(sites), np.int64)
        every = np.arange(len(sites))
        for a in columns:
            best = np.where(_before(names[a], names[best, every]), a, best)
        name = names[best, every]
        same_view = (names == name).all(2).sum(0)  # columns: those of one cell have the same view
        return name, order[best, every], same_view // np.isin(name, self.origin).sum(1) if self.all_cells else same_view


def _before(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row, whether a comes first in alphabetical order."""
    differs = a != b
    at = differs.argmax(1)[:, None]
    return np.asarray(differs.any(1) & (np.take_along_axis(a, at, 1) < np.take_along_axis(b, at, 1))[:, 0])
