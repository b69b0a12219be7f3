"""Chains, square and cubic lattices with periodic boundaries, and their nearest-neighbour bonds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import arlattice as arl
from arlattice.supercell import periodic_matrix
from arlattice_ising.options import Supercell, directions

__all__ = ["bonds", "torus"]

Place = tuple[tuple[int, int, int], int]
"""Offset of a cell, and its one site."""

Bond = tuple[Place, Place]

_LATTICES = (arl.chain, arl.square, arl.cubic)


def torus(supercell: Supercell, species: Sequence[str]) -> arl.Lattice:
    """The periodic lattice of one, two or three directions.

    Raises:
        InputError: a supercell of too many sites, or so narrow that a site would be its own neighbour.
    """
    matrix = periodic_matrix([*supercell], directions(supercell))
    lattice = _LATTICES[len(supercell) - 1](1, species).with_supercell(matrix.tolist())
    steps = np.eye(3, dtype=int)[: len(supercell)]
    if (lattice.site_index(steps, 0) == lattice.site_index(0 * steps, 0)).any():
        raise arl.InputError("supercell", [*supercell], "is so narrow that a site is its own neighbour; take a wider one")
    return lattice


def bonds(dimension: int) -> list[Bond]:
    """A site with its neighbour in each positive direction, as places of one cell.

    A length of 2 has both bonds between its two sites, as the periodic torus does.
    """
    return [(((0, 0, 0), 0), (step, 0)) for step in ((1, 0, 0), (0, 1, 0), (0, 0, 1))[:dimension]]
