"""`Symmetry`: the symmetry of an empty lattice, whatever cell it is written in and however its coordinates were rounded.

Two lattices are the same crystal if one is the other in a larger or another cell. What is said of a configuration (shells,
short-range order) must not depend on that choice. So the finest translations come first, then the rotations of their cell:

1. a shift of one site onto another of its kind is a translation if it takes every site onto one of its kind;
2. the three shortest independent translations span the primitive cell (true in up to three dimensions);
3. an integer matrix W with W G W^T = G, G the metric of that cell, is a rotation if with some shift it takes every site onto one
   of its kind. Sites that operations take onto each other form an orbit;
4. averages over all operations put the sites where they belong: the idealised lattice.

Two sites are of one kind if they may hold the same species. Directions without periodicity are kept apart; where there are
two or three of them, all that is looked for across them is inversion.
Source: A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024), section 2. Not done: naming
the space group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from ase.geometry import complete_cell, minkowski_reduce

from arlattice.errors import InputError
from arlattice.lattice import Lattice

__all__ = ["TOLERANCE", "Symmetry"]

TOLERANCE = 0.005
"""How far a site may lie from where the symmetry puts it, as a fraction of the distance of nearest neighbours."""

_STEPS = np.array(list(product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Symmetry of a lattice without its occupations.

    Attributes:
        lattice: the same lattice with cell and basis idealised: what symmetry makes equal is equal to rounding. Its cell is
            turned as the given one.
        orbits: a number for every sublattice, (sublattices,): equal where symmetry takes one onto the other.
        primitive: vectors of the smallest cell as rows, idealised, (3, 3); a vector of length 1 where there is no periodicity.
        sites: number of sites in that cell.
    """

    lattice: Lattice
    orbits: np.ndarray
    primitive: np.ndarray
    sites: int

    @classmethod
    def of(cls, lattice: Lattice, tolerance: float = TOLERANCE) -> Symmetry:
        """Find it; ``tolerance`` as `TOLERANCE`.

        Raises:
            InputError: two sites at one place.
        """
        pbc, kinds, positions = np.array(lattice.pbc), _kinds(lattice), lattice.basis @ lattice.cell
        cell, _ = minkowski_reduce(_completed(lattice.cell, pbc), pbc)
        reach = tolerance * _nearest_distance(cell, positions, pbc)
        primitive = _primitive(_Points(positions @ np.linalg.inv(cell), kinds, cell, pbc, reach))
        periodic = np.arange(3) >= (~pbc).sum()
        every = _Points(positions @ np.linalg.inv(primitive), kinds, primitive, periodic, reach)
        coset, wraps, points = _cosets(every)
        operations = list(_operations(points))
        ideal, sites = _average(points, operations)
        orbits = np.min([op.image for op in operations], 0)
        new_cell = lattice.cell @ np.linalg.inv(primitive) @ ideal
        basis = (sites[coset] + wraps) @ ideal @ np.linalg.inv(new_cell)
        return cls(replace(lattice, cell=new_cell, basis=basis), orbits[coset], ideal, len(sites))


class _Points(NamedTuple):
    """Sites (n, 3) in units of a cell, their kinds, which cell vectors are periodic, and how far a site may be off, in angstrom."""

    sites: np.ndarray
    kinds: np.ndarray
    cell: np.ndarray
    periodic: np.ndarray
    reach: float

    def wraps(self, difference: np.ndarray) -> np.ndarray:
        """The whole cells in a difference of two sites."""
        return np.asarray(np.rint(difference) * self.periodic)

    def near(self, images: np.ndarray, reach: float) -> np.ndarray:
        """Whether each image (n, 3) lies on each site of its kind, bool, (n, n)."""
        difference = images[:, None] - self.sites
        distance = np.linalg.norm((difference - self.wraps(difference)) @ self.cell, axis=-1)
        return np.asarray((distance <= reach) & (self.kinds[:, None] == self.kinds))


class _Operation(NamedTuple):
    """x -> x W + t in units of the primitive cell; it takes site i onto site ``image[i]``, ``wraps[i]`` cells away."""

    rotation: np.ndarray
    shift: np.ndarray
    image: np.ndarray
    wraps: np.ndarray


def _kinds(lattice: Lattice) -> np.ndarray:
    """A number for every set of allowed species, (sublattices,)."""
    sets = [frozenset(names) for names in lattice.allowed_species]
    distinct = list(dict.fromkeys(sets))
    return np.array([distinct.index(names) for names in sets])


def _completed(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell with unit vectors across the periodic directions in place of the others."""
    return np.asarray(complete_cell(np.where(pbc[:, None], cell, 0.0)))


def _nearest_distance(cell: np.ndarray, positions: np.ndarray, pbc: np.ndarray) -> float:
    """Of two sites, or of a site and its image; 1 for a lone site. The cell is reduced."""
    difference = (positions[:, None] - positions) @ np.linalg.inv(cell)
    difference -= np.rint(difference) * pbc
    length = np.linalg.norm((difference[:, :, None] + _STEPS * pbc) @ cell, axis=-1)
    return float(length.min(where=length > 1e-6, initial=np.inf)) if (length > 1e-6).any() else 1.0


def _primitive(points: _Points) -> np.ndarray:
    """The vectors without periodicity, then the shortest independent translations. The cell of the points is reduced."""
    shifts = np.array([op.shift for op in _with_rotation(np.eye(3), points)])
    if not len(shifts):
        raise InputError("lattice", f"{len(points.sites)} sites in the primitive cell", "two of them lie at one place; give each once")
    vectors = ((shifts[:, None] + _STEPS) * points.periodic).reshape(-1, 3) @ points.cell
    rows = list(points.cell[~points.periodic])
    for vector in vectors[np.linalg.norm(vectors, axis=1).argsort(kind="stable")]:
        if np.linalg.matrix_rank(np.array([*rows, vector]), tol=points.reach) > len(rows):
            rows.append(vector)
    return np.array(rows)


def _with_rotation(rotation: np.ndarray, points: _Points) -> Iterator[_Operation]:
    """All operations with one rotation, one for each shift modulo the cell."""
    rare = int(np.argmin(np.bincount(points.kinds)[points.kinds]))  # a site of the rarest kind
    turned = points.sites @ rotation
    for other in np.flatnonzero(points.kinds == points.kinds[rare]):
        start = turned + points.sites[other] - turned[rare]
        near = points.near(start, 2 * points.reach)
        if not bool((near.sum(0) == 1).all() and (near.sum(1) == 1).all()):
            continue
        image = near.argmax(1)
        wraps = points.wraps(start - points.sites[image])
        # such a mean makes an exact group: the centre of the sites goes where the numbering says, without their noise
        shift = (points.sites[image] + wraps - turned).mean(0)
        if np.linalg.norm((turned + shift - points.sites[image] - wraps) @ points.cell, axis=1).max() <= points.reach:
            yield _Operation(rotation, shift, image, wraps)


def _cosets(points: _Points) -> tuple[np.ndarray, np.ndarray, _Points]:
    """For every site its number in the primitive cell and the whole cells to it, (n,) and (n, 3); and the sites of that cell."""
    first = points.near(points.sites, 2 * points.reach).argmax(1)
    wraps = points.wraps(points.sites - points.sites[first])
    kept, coset = np.unique(first, return_inverse=True)
    mean = np.stack([np.bincount(coset, column) for column in (points.sites - wraps).T], 1) / np.bincount(coset)[:, None]
    return coset, wraps, points._replace(sites=mean, kinds=points.kinds[kept])


def _operations(points: _Points) -> Iterator[_Operation]:
    """Operations of a primitive cell, modulo its translations."""
    cell, metric = points.cell, points.cell @ points.cell.T
    length = np.linalg.norm(cell, axis=1)
    same = np.abs(np.linalg.norm(_STEPS @ cell, axis=1) - length[:, None]) <= points.reach  # (3, steps)
    kept = ((_STEPS != 0) <= (points.periodic == points.periodic[:, None])[:, None]).all(2)  # periodic directions stay so
    for rows in product(*(_STEPS[fits] for fits in same & kept)):
        rotation = np.array(rows)
        across = np.trace(rotation[~points.periodic][:, ~points.periodic])  # of the directions without periodicity
        error = np.abs(rotation @ metric @ rotation.T - metric)
        whole = abs(round(np.linalg.det(rotation))) == 1 and abs(across) == (~points.periodic).sum()
        if whole and bool((error <= points.reach * (length[:, None] + length)).all()):
            yield from _with_rotation(rotation, points)


def _average(points: _Points, operations: list[_Operation]) -> tuple[np.ndarray, np.ndarray]:
    """Idealised cell, turned as the given one, and idealised sites in units of it."""
    total = np.zeros_like(points.sites)
    for op in operations:
        total[op.image] += points.sites @ op.rotation + op.shift - op.wraps
    metric = points.cell @ points.cell.T
    cell = np.linalg.cholesky(np.mean([op.rotation @ metric @ op.rotation.T for op in operations], 0))
    u, _, v = np.linalg.svd(cell.T @ points.cell)  # the nearest turn of one onto the other: the orthogonal Procrustes problem
    return np.asarray(cell @ u @ v), total / len(operations)
