"""Chains, square and cubic lattices with periodic boundaries, and their nearest-neighbour bonds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

import arlattice as arl
from arlattice.supercell import periodic_matrix
from arlattice_ising.options import Supercell, directions

__all__ = ["bonds", "torus"]

_LATTICES = (arl.chain, arl.square, arl.cubic)


def torus(supercell: Supercell, species: Sequence[str]) -> arl.Lattice:
    """The periodic lattice of one, two or three directions.

    Raises:
        InputError: a supercell of too many sites, or so narrow that a site would be its own neighbour.
    """
    matrix = periodic_matrix([*supercell], directions(supercell))
    lattice = _LATTICES[len(supercell) - 1](1, species).with_supercell(matrix.tolist())
    if any(site == neighbour for site, neighbour in bonds(lattice, len(supercell))):
        raise arl.InputError("supercell", [*supercell], "is so narrow that a site is its own neighbour; take a wider one")
    return lattice


def bonds(lattice: arl.Lattice, dimension: int) -> Iterator[tuple[int, int]]:
    """Every site with its neighbour in each positive direction.

    A length of 2 has both bonds between its two sites, as the periodic torus does.
    """
    for step in np.eye(3, dtype=int)[:dimension]:
        yield from enumerate(lattice.site_index(lattice.cell_offsets + step, 0).tolist())
