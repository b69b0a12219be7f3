"""Supercells as integer matrices, and how large they may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from arlattice.errors import InputError

__all__ = [
    "MOST_SITES",
    "SupercellLike",
    "cell_numbers",
    "check_size",
    "hermite_form",
    "lattice_points",
    "periodic_matrix",
    "supercell_matrix",
]

MOST_SITES = 2**18
"""Sites that a supercell may have; what is asked of one on top of that needs memory of its own."""

SupercellLike = int | Sequence[int] | Sequence[Sequence[int]]


def supercell_matrix(supercell: Any) -> np.ndarray:
    """Integer 3x3 matrix with positive determinant from a number, three numbers or a matrix (rows).

    Raises:
        InputError: not integers, wrong shape, or zero or negative volume.
    """
    cure = "give one positive integer, three, or a 3x3 integer matrix with positive determinant"
    try:
        array = np.asarray(supercell)
    except (TypeError, ValueError):
        raise InputError("supercell", supercell, cure) from None
    if array.dtype.kind not in "iuf" or (array.size and not np.abs(array).max() < 2**53):  # bool, text and numbers beyond 64 bits
        raise InputError("supercell", supercell, cure)
    array = array.astype(float)
    if array.shape == ():
        array = np.eye(3) * array
    elif array.shape == (3,):
        array = np.diag(array)
    if array.shape != (3, 3) or not np.isfinite(array).all() or not np.allclose(array, np.rint(array)):
        raise InputError("supercell", supercell, cure)
    if not 0.5 <= np.linalg.det(array) < math.inf:
        raise InputError("supercell", supercell, cure)
    check_size(array, 1)
    return np.rint(array).astype(int)


def periodic_matrix(supercell: Any, pbc: Sequence[bool]) -> np.ndarray:
    """Integer 3x3 matrix from what is given for the periodic directions alone, or from a 3x3 matrix.

    Args:
        supercell: one number for all periodic directions, one for each, or an integer matrix (rows) over them.
        pbc: which of the three directions are periodic. The others are not repeated.

    Raises:
        InputError: as `supercell_matrix`.
    """
    axes = np.flatnonzero(pbc)
    try:
        given = np.asarray(supercell)
    except (TypeError, ValueError):
        return supercell_matrix(supercell)
    given = np.full(len(axes), given) if given.shape == () else given
    given = np.diag(given) if given.shape == (len(axes),) else given
    if given.shape != (len(axes), len(axes)):
        return supercell_matrix(supercell)
    whole = np.eye(3, dtype=given.dtype)
    whole[np.ix_(axes, axes)] = given
    try:
        return supercell_matrix(whole)
    except InputError as error:
        raise InputError(error.argument, supercell, error.cure) from None


def check_size(supercell: np.ndarray, n_basis: int) -> None:
    """Refuse a supercell before anything is made of it: too many sites, or so skewed that the box around it is huge."""
    corners, rows = np.abs(supercell.astype(float)).sum(0), supercell.astype(int).tolist()
    n_sites = float(np.linalg.det(supercell)) * n_basis
    if n_sites > MOST_SITES + 0.5:
        raise InputError("supercell", rows, f"makes at least {n_sites:.0f} sites; a lattice holds at most {MOST_SITES}")
    if np.prod(corners + 1) > 64 * MOST_SITES:
        raise InputError("supercell", rows, "is too long and thin; give the shortest vectors of this supercell")


def hermite_form(supercell: np.ndarray) -> np.ndarray:
    """Upper triangular integer 3x3 matrix, positive on the diagonal, whose rows span the same lattice as those of a supercell."""
    rows: list[np.ndarray] = [*supercell.astype(int)]
    for k in range(3):
        while any(row[k] for row in rows[k + 1 :]):  # Euclid's algorithm on column k
            rows[k:] = sorted(rows[k:], key=lambda row: abs(row[k]) or math.inf)
            rows[k + 1 :] = [row - row[k] // rows[k][k] * rows[k] for row in rows[k + 1 :]]
        rows[k] = rows[k] * np.sign(rows[k][k])
    return np.stack(rows)


def cell_numbers(offsets: np.ndarray, hermite: np.ndarray) -> np.ndarray:
    """One number, 0 to volume - 1, for all integer offsets (..., 3) that differ by supercell vectors; `hermite_form` gives the matrix."""
    x, y, z = np.moveaxis(np.asarray(offsets), -1, 0)
    along_x, x = np.divmod(x, hermite[0, 0])
    along_y, y = np.divmod(y - along_x * hermite[0, 1], hermite[1, 1])
    z = (z - along_x * hermite[0, 2] - along_y * hermite[1, 2]) % hermite[2, 2]
    return np.asarray((x * hermite[1, 1] + y) * hermite[2, 2] + z)


def lattice_points(supercell: np.ndarray) -> np.ndarray:
    """Integer offsets of the cells in a supercell, (volume, 3), in the order of `ase.build.make_supercell`: by x, then y, then z."""
    volume, (a, b, c) = round(np.linalg.det(supercell)), supercell.astype(int)
    one_each = np.indices(tuple(hermite_form(supercell).diagonal().tolist())).reshape(3, -1).T
    shares = one_each @ np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], 1) % volume  # of the supercell vectors
    points = shares @ supercell // volume
    return points[np.lexsort(points.T[::-1])]
