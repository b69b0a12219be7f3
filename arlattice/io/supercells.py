"""The supercells that a structure may lie in, where it is another than that of the lattice at hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from arlattice.io.orientation import LARGEST_STRAIN, SAME_SHAPE, SAME_SIZE, frames, periodic_vectors, size_of, squared
from arlattice.lattice import Lattice

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["supercells_around"]

_LARGEST_SEARCH = 10**6  # lattice vectors


def supercells_around(lattice: Lattice, atoms: Atoms) -> Iterator[Lattice]:
    """The lattice in the supercells that a structure may lie in, the likeliest first: its own, or others of the same primitive cell.

    The number of cells is told from the volume if that fits a whole number, else from the number of atoms (a strained structure
    without vacancies), else from the nearest whole number. Where lengths and angles fit several ways, the atoms must tell.
    """
    theirs = periodic_vectors(lattice, atoms)
    ours, primitive = (v[np.asarray(lattice.pbc)] for v in (lattice.supercell_vectors, lattice.cell))
    fits = next(frames(lattice, atoms), None) is not None
    if theirs is None or len(ours) == 0:
        yield from [lattice] if fits else []
        return
    seen = []
    if fits and abs((size_of(ours) / size_of(theirs)) ** (1 / len(ours)) - 1) < SAME_SIZE:
        seen.append(lattice.supercell)
        yield lattice
    for n in _sizes(size_of(theirs) / size_of(primitive), len(atoms) / len(lattice.basis)):
        for steps in _steps(theirs, primitive, n):
            matrix = np.eye(3, dtype=int)
            matrix[np.ix_(lattice.pbc, lattice.pbc)] = steps
            if not any(_same_repeats(matrix, other) for other in seen):
                seen.append(matrix)
                yield lattice if _same_repeats(matrix, lattice.supercell) else lattice.with_supercell(matrix.tolist())
    if fits and not any(_same_repeats(lattice.supercell, other) for other in seen):
        yield lattice


def _same_repeats(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the rows of two integer matrices span the same lattice."""
    steps = first @ np.linalg.inv(second)
    return bool(np.allclose(steps, np.rint(steps), atol=1e-6)) and abs(round(float(np.linalg.det(steps)))) == 1


def _sizes(volume: float, counted: float) -> list[int]:
    """Numbers of cells to try, the likeliest first; both arguments in units of the primitive cell."""
    nearest = round(volume)
    exact = abs(volume - nearest) < 3 * SAME_SHAPE * volume
    by_count = [round(counted)] if counted == round(counted) else []
    return [nearest, *by_count] if exact else [*by_count, nearest]


def _steps(theirs: np.ndarray, primitive: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """Integer matrices (k, k) of determinant ``n``: the structure's repeats in units of the primitive vectors."""
    size = (size_of(theirs) / (n * size_of(primitive))) ** (1 / len(theirs)) if n else 0.0
    if abs(size - 1) > LARGEST_STRAIN:
        return
    scaled = theirs / size
    lengths = np.linalg.norm(scaled, axis=1) / np.linalg.norm(primitive, axis=1)
    in_place, along = np.rint(scaled @ np.linalg.pinv(primitive)).astype(int), np.diag(np.rint(lengths).astype(int))
    direct = [steps for steps in (in_place, along) if _same_metric(steps @ primitive, scaled)]
    for steps in itertools.chain(direct, _turned_steps(scaled, primitive)):
        determinant = round(float(np.linalg.det(steps)))
        if abs(determinant) == n:
            yield steps if determinant > 0 else np.vstack([-steps[:1], steps[1:]])


def _turned_steps(vectors: np.ndarray, primitive: np.ndarray) -> Iterator[np.ndarray]:
    """Integer matrices (k, k) of lattice vectors with the lengths and angles of the structure's shortest ones, however turned."""
    from ase.geometry import minkowski_reduce

    wanted = minkowski_reduce(squared(vectors, 1.0), pbc=[True, True, len(vectors) == 3])[0][: len(vectors)]
    lengths = np.linalg.norm(wanted, axis=1)
    reach = np.ceil(lengths.max() * np.linalg.norm(np.linalg.pinv(primitive), axis=0)).astype(int) + 1
    if len(vectors) == 1 or np.prod(2 * reach + 1) > _LARGEST_SEARCH:
        return
    grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, len(reach))
    size = np.linalg.norm(grid @ primitive, axis=1)
    near = [grid[np.abs(size - length) <= SAME_SHAPE * length] for length in lengths]
    yield from _joined(near, wanted, primitive, np.zeros((0, len(reach)), dtype=int))


def _joined(near: list[np.ndarray], wanted: np.ndarray, primitive: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """``chosen`` rows (j, k), continued by rows of ``near`` that make the angles wanted."""
    j = len(chosen)
    if j == len(near):
        yield chosen
        return
    products = (near[j] @ primitive) @ (chosen @ primitive).T
    allowed = 2 * SAME_SHAPE * np.linalg.norm(wanted[j]) * np.linalg.norm(wanted[:j], axis=1)
    for row in near[j][(np.abs(products - wanted[:j] @ wanted[j]) <= allowed).all(1)]:
        yield from _joined(near, wanted, primitive, np.vstack([chosen, row]))


def _same_metric(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether lengths and angles agree, to a few per cent."""
    product = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(first, axis=1))
    return bool(np.abs((first @ first.T - second @ second.T) / product).max() < LARGEST_STRAIN)
