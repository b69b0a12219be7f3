"""Chains, square and cubic lattices with periodic boundaries, and their nearest-neighbour bonds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

import arlattice as arl
from arlattice.supercell import periodic_matrix

__all__ = ["Supercell", "bonds", "torus"]

Place = tuple[tuple[int, int, int], int]
"""Offset of a cell, and its one site."""

Bond = tuple[Place, Place]

_LATTICES = (arl.chain, arl.square, arl.cubic)


def _directions(supercell: Sequence[Any]) -> list[bool]:
    return [k < len(supercell) for k in range(3)]


def _lengths_or_rows(given: Any) -> Any:
    """Lengths along the directions, also of a diagonal matrix; rows of another matrix."""
    if isinstance(given, int):
        return (given,)
    if not (isinstance(given, list | tuple) and 1 <= len(given) <= 3 and all(isinstance(row, list | tuple) for row in given)):
        return given
    n = len(given)
    matrix = periodic_matrix(given, _directions(given))[:n, :n]
    lengths = matrix.diagonal()
    return lengths.tolist() if np.array_equal(matrix, np.diag(lengths)) else matrix.tolist()


_LIMITS = Field(min_length=1, max_length=3)

Supercell = Annotated[
    Annotated[tuple[Annotated[int, Field(ge=2)], ...], _LIMITS] | Annotated[tuple[tuple[int, ...], ...], _LIMITS],
    BeforeValidator(_lengths_or_rows),
    Field(
        description="sites along each direction, each >= 2: one number (chain), two (square) or three (cubic); "
        "or an integer matrix (rows) over these directions"
    ),
]
"""Option type of a supercell; lengths are kept as numbers."""


def torus(supercell: Supercell, species: Sequence[str]) -> arl.Lattice:
    """The periodic lattice of one, two or three directions.

    Raises:
        InputError: a supercell of too many sites, or so narrow that a site would be its own neighbour.
    """
    matrix = periodic_matrix([*supercell], _directions(supercell))
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
