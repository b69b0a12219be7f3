"""Cell vectors: what is there for crystals, slabs, wires and particles, and what a lattice needs of them.

A direction that is not periodic needs no vector of its own: `completed` gives it one, across the others and long
enough to leave a vacuum, so that every lattice has three vectors and fractional positions mean something.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arlattice.arguments import items_of
from arlattice.errors import InputError

__all__ = ["VACUUM", "check_cell", "check_distinct", "check_pbc", "check_repeats", "completed"]

VACUUM = 15.0
"""Angstrom beyond the outermost sites, in directions that got their vector from `completed`."""

_FLAT = 1e-6  # volume over the product of the lengths
_SAME_PLACE = 1e-3  # angstrom


def completed(cell: np.ndarray, pbc: Sequence[bool], positions: np.ndarray) -> np.ndarray:
    """Three cell vectors (3, 3) for positions (sites, 3), angstrom; vectors that are not zero stay.

    Raises:
        InputError: a zero vector in a periodic direction.
    """
    from ase.geometry import complete_cell

    missing = ~np.any(cell, axis=1)
    if not missing.any() or not np.isfinite(cell).all():
        return cell
    for axis in np.flatnonzero(missing & np.asarray(pbc)):
        cure = f"direction {axis} is periodic and has no vector; give one, or set pbc to False there"
        raise InputError("cell", cell.tolist(), cure)
    whole = np.array(complete_cell(cell))
    for axis in np.flatnonzero(missing):
        along = positions @ whole[axis] / np.linalg.norm(whole[axis])
        whole[axis] *= (np.ptp(along) + VACUUM) / np.linalg.norm(whole[axis])
    return whole


def check_cell(cell: np.ndarray) -> None:
    """Refuse vectors (3, 3) that span no volume, on which all positions would fall together."""
    if not np.isfinite(cell).all():
        raise InputError("cell", cell.tolist(), "give finite numbers, in angstrom")
    if not abs(np.linalg.det(cell)) > _FLAT * np.prod(np.linalg.norm(cell, axis=1)):
        cure = "the three vectors must span a volume; from_ase and from_pymatgen complete those that are not periodic"
        raise InputError("cell", cell.tolist(), cure)


def check_pbc(pbc: Sequence[bool]) -> None:
    """Refuse what does not say of three directions whether they are periodic."""
    cure = "give three of True or False"
    if len(items_of("pbc", pbc, (bool, np.bool_), cure)) != 3:
        raise InputError("pbc", pbc, cure)


def check_repeats(supercell: np.ndarray, pbc: Sequence[bool]) -> None:
    """Refuse a supercell that repeats, or mixes in, a direction that is not periodic: its images are no neighbours."""
    for axis in np.flatnonzero(~np.asarray(pbc)):
        unit = np.eye(3, dtype=int)[axis]
        if not (np.array_equal(supercell[axis], unit) and np.array_equal(supercell[:, axis], unit)):
            cure = f"direction {axis} is not periodic and cannot be repeated; set pbc to True, or give all sites in the primitive cell"
            raise InputError("supercell", supercell.tolist(), cure)


def check_distinct(cell: np.ndarray, basis: np.ndarray, pbc: Sequence[bool]) -> None:
    """Refuse two sites in one place, or one site and the image of another; ``basis`` (sites, 3) is fractional."""
    from scipy.spatial import cKDTree

    for shift in (0.0, 0.5):  # twice, so that no pair is missed across a face of the cell
        folded = np.where(pbc, (basis + shift) % 1.0, basis)
        for i, j in sorted(cKDTree(folded @ cell).query_pairs(_SAME_PLACE)):
            raise InputError(
                "basis", basis[[i, j]].tolist(), f"sites {i} and {j} of the primitive cell are in one place; give each site once"
            )
