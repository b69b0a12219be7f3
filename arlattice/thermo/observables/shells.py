"""Neighbour shells: pairs of sites by distance on the infinite lattice, folded onto the supercell.

Distances are those of the idealised lattice (`arlattice.symmetry`), so that coordinates rounded in a file, which make equal
distances a little different, neither split a shell nor lose neighbours. A new shell begins where the next distance is longer by
more than 0.1 %. Distances that symmetry does not make equal stay apart: 6 + 6 neighbours in HCP Mg, 0.4 % apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from arlattice.lattice import Lattice
from arlattice.symmetry import Symmetry

__all__ = ["Shell", "neighbour_shells"]

_GAP = 1e-3  # between shells, relative


class Shell(NamedTuple):
    """One shell: every ordered pair of neighbours at one distance.

    Args:
        distance: mean over the pairs, in the units of the cell, angstrom for crystals.
        centre: site of each pair, (pairs,).
        neighbour: its neighbour, (pairs,); the site itself where the supercell is that small.
    """

    distance: float
    centre: Tensor
    neighbour: Tensor


def neighbour_shells(lattice: Lattice, count: int) -> list[Shell]:
    """The ``count`` nearest shells, nearest first; fewer where no direction is periodic."""
    offsets, first, second, distances = _vectors(Symmetry.of(lattice).lattice, count)
    number = _numbers(distances)
    shells = []
    for k in range(min(count, int(number.max(initial=-1)) + 1)):
        of = number == k
        shells.append(_shell(lattice, float(distances[of].mean()), offsets[of], first[of], second[of]))
    return shells


def _vectors(lattice: Lattice, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cell offset, first and second sublattice, and length of every vector between sites, past ``count`` shells."""
    spacing = 1 / np.linalg.norm(np.linalg.inv(lattice.cell), axis=0)  # of the lattice planes
    reach = np.linalg.norm(lattice.cell, axis=1).min()
    while True:
        steps = [np.arange(-k, k + 1) if p else np.zeros(1, int) for k, p in zip(_cells(lattice, reach, spacing), lattice.pbc, strict=True)]
        offsets = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
        difference = lattice.basis[None, :] - lattice.basis[:, None]  # (first, second, 3)
        vectors = (offsets[:, None, None] + difference) @ lattice.cell
        length = np.linalg.norm(vectors, axis=-1)
        found = np.nonzero((length > 1e-9) & ((length <= reach) | (not any(lattice.pbc))))
        if int(_numbers(length[found]).max(initial=-1)) >= count or not any(lattice.pbc):  # one more, so that the last is whole
            return offsets[found[0]], found[1], found[2], length[found]
        reach *= 1.5


def _cells(lattice: Lattice, reach: float, spacing: np.ndarray) -> np.ndarray:
    """Cells to look at along each direction, so that no vector shorter than ``reach`` is missed."""
    spread = np.ptp(lattice.basis, axis=0)
    return np.ceil(reach / spacing + spread).astype(int)


def _numbers(distances: np.ndarray) -> np.ndarray:
    """The shell that each distance belongs to, from 0."""
    order = distances.argsort(kind="stable")
    ordered = distances[order]
    number = np.empty(len(distances), int)
    number[order] = np.cumsum(np.diff(ordered, prepend=ordered[:1]) > _GAP * ordered)
    return number


def _shell(lattice: Lattice, distance: float, offsets: np.ndarray, first: np.ndarray, second: np.ndarray) -> Shell:
    cells = lattice.cell_offsets[lattice.sublattice == 0]
    centre = [lattice.site_index(cells, int(a)) for a in first]
    neighbour = [lattice.site_index(cells + step, int(b)) for step, b in zip(offsets, second, strict=True)]
    return Shell(distance, torch.from_numpy(np.concatenate(centre)), torch.from_numpy(np.concatenate(neighbour)))
