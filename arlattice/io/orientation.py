"""Maps that bring the cell of a structure onto a supercell: rotations, reflections, other vectors of the same repeats, strain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from arlattice.lattice import Lattice

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["LARGEST_STRAIN", "SAME_SHAPE", "SAME_SIZE", "frames", "periodic_vectors", "size_of", "squared"]

LARGEST_STRAIN = 0.1
"""Relative change of a length that a map may make."""

SAME_SHAPE = 1e-3
"""Relative: what rounding in files does to lengths and angles."""

SAME_SIZE = 0.02
"""Relative: a larger change of a length may mean another number of cells."""


def periodic_vectors(lattice: Lattice, atoms: Atoms) -> np.ndarray | None:
    """The structure's cell vectors (k, 3) for the k periodic directions of the lattice; None where one is zero or they are dependent."""
    same_number = int(np.sum(atoms.pbc)) == sum(lattice.pbc)
    vectors = np.array(atoms.cell)[np.asarray(atoms.pbc if same_number else lattice.pbc)]
    lengths = np.linalg.norm(vectors, axis=1)
    flat = not (lengths > 1e-6).all() or np.linalg.matrix_rank(vectors / lengths[:, None], tol=1e-3) < len(vectors)
    return None if flat else vectors


def squared(vectors: np.ndarray, height: float) -> np.ndarray:
    """Three vectors (3, 3) from two or three: the normal of the two, ``height`` long, makes the third."""
    if len(vectors) == 3:
        return vectors
    normal = np.cross(*vectors)
    return np.array([*vectors, height * normal / np.linalg.norm(normal)])


def size_of(vectors: np.ndarray) -> float:
    """Length, area or volume of one, two or three vectors."""
    return float(np.sqrt(np.linalg.det(vectors @ vectors.T)))


def frames(lattice: Lattice, atoms: Atoms) -> Iterator[tuple[np.ndarray, bool]]:
    """Linear maps (3, 3) of the structure's cell onto the supercell, and whether fractional coordinates or positions stay as given."""
    ours, theirs = lattice.supercell_vectors[np.asarray(lattice.pbc)], periodic_vectors(lattice, atoms)
    if theirs is None:
        return
    scale = (size_of(ours) / size_of(theirs)) ** (1 / len(ours)) if len(ours) else 1.0
    if len(ours) > 1:
        height = 10 * np.linalg.norm(theirs, axis=1).max()  # so that no vector of a layer is mistaken for its normal
        yield from _turns(squared(theirs, height), squared(ours, height * scale), scale)
    elif _parallel(theirs, ours) and abs(scale - 1) <= LARGEST_STRAIN:  # a wire or particle may be turned by any angle: no search
        yield scale * np.eye(3), True


def _parallel(theirs: np.ndarray, ours: np.ndarray) -> bool:
    """Whether two sets of no vector or one lie along each other."""
    cosines = [abs(float(a @ b)) / float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(theirs, ours, strict=True)]
    return all(cosine > 1 - SAME_SHAPE**2 for cosine in cosines)


def _turns(theirs: np.ndarray, ours: np.ndarray, scale: float) -> Iterator[tuple[np.ndarray, bool]]:
    """The maps between two sets of three vectors, as `frames` gives them."""
    direct = [m for m in (_in_space(theirs, ours, scale), _one_by_one(theirs, ours)) if m is not None and np.isfinite(_strain(m, scale))]
    if direct and _strain(direct[0], scale) < SAME_SHAPE:
        yield direct[0], True  # without the search, as most structures need none
    others = sorted(
        _all_turns(theirs, ours, scale), key=lambda m: (np.linalg.det(m) < 0, float(np.abs(m / scale - np.eye(3)).sum().round(3)))
    )
    maps = [*((m, True) for m in direct), *((m, False) for m in others)]
    yield from sorted(maps, key=lambda pair: _strain(pair[0], scale) >= SAME_SHAPE)


def _in_space(theirs: np.ndarray, ours: np.ndarray, scale: float) -> np.ndarray | None:
    """The map that turns nothing, if the two sets of vectors span the same repeats."""
    steps = np.rint(theirs @ np.linalg.inv(ours) * scale)
    if abs(round(float(np.linalg.det(steps)))) != 1:
        return None
    linear: np.ndarray = np.linalg.solve(theirs, steps @ ours)
    return linear if np.abs(linear / scale - np.eye(3)).max() < LARGEST_STRAIN else None


def _one_by_one(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray | None:
    """The map of each vector onto its own; no reflection, but for left-handed vectors, which files bring back right-handed."""
    linear: np.ndarray = np.linalg.solve(theirs, ours)
    return None if np.linalg.det(linear) < 0 < np.linalg.det(ours) else linear


def _strain(linear: np.ndarray, scale: float) -> float:
    """Largest relative change of a length beside the change of size; infinite where a map stretches too much."""
    stretch = np.linalg.svd(linear, compute_uv=False)
    return float(np.abs(stretch / scale - 1).max()) if np.abs(stretch - 1).max() <= LARGEST_STRAIN else np.inf


def _all_turns(theirs: np.ndarray, ours: np.ndarray, scale: float) -> list[np.ndarray]:
    """Every linear map of one set of repeats onto the other that stretches by little."""
    from ase.geometry import minkowski_reduce

    ours, theirs = minkowski_reduce(ours)[0], minkowski_reduce(theirs)[0]
    targets = _unimodular() @ ours
    lengths = np.linalg.norm(targets, axis=2) / np.linalg.norm(theirs, axis=1)
    targets = targets[(np.abs(lengths - 1) <= LARGEST_STRAIN + SAME_SHAPE).all(1)]
    maps = np.linalg.inv(theirs) @ targets
    return [m for m in maps if np.isfinite(_strain(m, scale))]


@cache
def _unimodular() -> np.ndarray:
    """Integer matrices (n, 3, 3) of entries -1, 0, 1 and determinant -1 or 1: all maps between reduced vectors of one lattice."""
    rows = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    matrices = np.stack(np.meshgrid(*[np.arange(27)] * 3, indexing="ij"), -1).reshape(-1, 3)
    chosen = rows[matrices]
    return chosen[np.abs(np.rint(np.linalg.det(chosen))) == 1]
