"""Supercells as integer matrices, and how large they may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from arlattice.errors import InputError

__all__ = ["MOST_SITES", "SupercellLike", "check_size", "periodic_matrix", "supercell_matrix"]

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
