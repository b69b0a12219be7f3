"""Cells and small lattices that several tests of blocks use."""

from __future__ import annotations

from typing import Any

import numpy as np

from arlattice.lattice import Lattice

FCC = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
BCC = np.array([[-1.5, 1.5, 1.5], [1.5, -1.5, 1.5], [1.5, 1.5, -1.5]])
HEXAGONAL = np.array([[2.5, 0.0, 0.0], [-1.25, 1.25 * 3**0.5, 0.0], [0.0, 0.0, 4.08]])
CUBE = 4.0 * np.eye(3)
PRIMITIVE = np.eye(3, dtype=int)
PEROVSKITE = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
AB, OX = ("A", "B"), ("O", "X")


def lattice(cell: np.ndarray, supercell: Any, basis: Any = ((0, 0, 0),), allowed: Any = None, flat: bool = False) -> Lattice:
    held = tuple(allowed or [AB] * len(basis))
    species = tuple(dict.fromkeys(s for names in held for s in names))
    return Lattice(cell, np.array(basis, dtype=float), held, PRIMITIVE, species, (True, True, not flat)).with_supercell(supercell)


def fcc(supercell: Any) -> Lattice:
    return lattice(FCC, supercell)


def rock_salt(supercell: Any) -> Lattice:
    return lattice(FCC, supercell, [[0, 0, 0], [0.5] * 3], [AB, OX])


def perovskite(supercell: Any) -> Lattice:
    return lattice(CUBE, supercell, PEROVSKITE, [("Sr",), AB, OX, OX, OX])


def triangular(size: int) -> Lattice:
    return lattice(HEXAGONAL, (size, size, 1), flat=True)
