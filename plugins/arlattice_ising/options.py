"""Options of the Hamiltonians of this plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

import arlattice as arl
from arlattice.supercell import periodic_matrix

__all__ = ["IsingOptions", "PottsOptions", "Supercell", "directions"]


def directions(supercell: Sequence[Any]) -> list[bool]:
    """Which of three directions a supercell of one, two or three has."""
    return [k < len(supercell) for k in range(3)]


def _lengths_or_rows(given: Any) -> Any:
    """Lengths along the directions, also of a diagonal matrix; rows of another matrix."""
    if isinstance(given, int):
        return (given,)
    if not (isinstance(given, list | tuple) and 1 <= len(given) <= 3 and all(isinstance(row, list | tuple) for row in given)):
        return given
    n = len(given)
    matrix = periodic_matrix(given, directions(given))[:n, :n]
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


class IsingOptions(arl.Options):
    """Options of the Hamiltonian ``ising``."""

    renamed = {"size": "supercell"}

    supercell: Supercell
    J: float = Field(1.0, description="coupling of nearest neighbours; > 0 is ferromagnetic")
    h: float = Field(0.0, description="magnetic field")


class PottsOptions(arl.Options):
    """Options of the Hamiltonian ``potts``."""

    renamed = {"size": "supercell"}

    supercell: Supercell
    q: int = Field(3, ge=2, le=64, description="number of states")
    J: float = Field(1.0, description="energy gained by equal neighbours; > 0 is ferromagnetic")
