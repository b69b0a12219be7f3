"""Where the atoms of a structure lie on a lattice: the one place that knows of orientations, origins and strain.

A structure is placed by a rotation (with or without a reflection), a uniform or slight strain that brings its cell to the
supercell's, and a shift of the origin. `placements` lists those to try, the likeliest first:

1. the supercell's vectors, or others of the same supercell, as they lie in space;
2. the vectors of the structure on those of the supercell, one by one (CIF keeps lengths and angles only);
3. every other map of the structure's repeats onto the supercell's,

those that need no change of shape before those that do; and each with the origin as given, then with an atom
on every site of the primitive cell. Directions that are not periodic have no vector to match, only positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from arlattice.errors import InputError
from arlattice.lattice import Lattice

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Placement", "cell_refused", "ours_again", "placements", "supercell_around"]

_LARGEST_STRAIN = 0.1
_SAME_SHAPE = 1e-3  # relative: what rounding of files does to lengths and angles
_SAME_SIZE = 0.02  # relative: a larger change may mean another number of cells
_LARGEST_SEARCH = 10**6  # lattice vectors
_AS_GOOD = 1e-6  # angstrom
_TRIED_FIRST = 12  # atoms that rule out most origins


@dataclass(frozen=True)
class Placement:
    """A map of space, position -> position @ linear + shift, that may bring a structure onto a lattice.

    Args:
        positions: of the atoms, on the lattice, angstrom, (atoms, 3).
        linear: (3, 3).
        shift: angstrom, (3,).
        as_given: fractional coordinates and origin stay those of the structure.
    """

    positions: np.ndarray
    linear: np.ndarray
    shift: np.ndarray
    as_given: bool

    def sites(self, lattice: Lattice, atoms: Atoms, tolerance: float) -> np.ndarray:
        """The site of every atom, (atoms,).

        Raises:
            InputError: an atom off the sites, or two on one site.
        """
        sites, off = _nearest_sites(lattice, self.positions)
        distance = np.linalg.norm(off, axis=1)
        if not (distance <= tolerance).all():
            worst = int(np.flatnonzero(~(distance <= tolerance))[0])
            value = f"atom {worst} ({atoms.symbols[worst]})"
            raise InputError("structure", value, f"is {distance[worst]:.3f} angstrom off the nearest site (tolerance {tolerance})")
        if len(set(sites.tolist())) != len(sites):
            raise InputError("structure", f"{len(atoms)} atoms", "two atoms lie on the same site")
        return sites


def placements(lattice: Lattice, atoms: Atoms, tolerance: float) -> Iterator[Placement]:
    """All placements worth trying, the likeliest first; none where the cells do not match."""
    for linear, keeps_fractions in _frames(lattice, atoms):
        for positions in _across_the_vacuum(lattice, atoms):
            turned = positions @ linear
            for shift in _origins(lattice, turned, tolerance):
                yield Placement(turned + shift, linear, shift, keeps_fractions and not shift.any())


def ours_again(lattice: Lattice, first: Placement, second: Placement, tolerance: float) -> bool:
    """Whether two placements of one structure differ by a map of the lattice onto itself, species that sites may hold included."""
    there = (lattice.positions - first.shift) @ np.linalg.inv(first.linear) @ second.linear + second.shift
    sites, off = _nearest_sites(lattice, there)
    on_sites = bool((np.linalg.norm(off, axis=1) <= tolerance).all())
    return on_sites and len(set(sites.tolist())) == len(sites) and bool((lattice.allowed[sites] == lattice.allowed).all())


def cell_refused(lattice: Lattice, atoms: Atoms) -> InputError:
    """Why no placement was found, and the cure."""
    ours, theirs = np.round(lattice.supercell_vectors, 4).tolist(), np.round(np.array(atoms.cell), 4).tolist()
    other = None if _vectors(lattice, atoms) is None else supercell_around(lattice, atoms)
    if other is not None and other.fingerprint != lattice.fingerprint:
        cure = f"is another supercell, that of lattice.with_supercell({other.supercell.tolist()}); use it, or repeat the structure"
    elif _vectors(lattice, atoms) is None:
        cure = f"lacks cell vectors in periodic directions; set_cell to the supercell vectors {ours}"
    else:
        cure = f"the supercell vectors of this lattice are {ours}; scale or turn the structure, or repeat its cell"
    return InputError("structure cell", theirs, cure)


# -- cells -------------------------------------------------------------------------------------------


def _vectors(lattice: Lattice, atoms: Atoms) -> np.ndarray | None:
    """The structure's cell vectors (k, 3) for the k periodic directions of the lattice; None where one is zero or they are dependent."""
    same_number = int(np.sum(atoms.pbc)) == sum(lattice.pbc)
    vectors = np.array(atoms.cell)[np.asarray(atoms.pbc if same_number else lattice.pbc)]
    lengths = np.linalg.norm(vectors, axis=1)
    flat = not (lengths > 1e-6).all() or np.linalg.matrix_rank(vectors / lengths[:, None], tol=1e-3) < len(vectors)
    return None if flat else vectors


def _squared(vectors: np.ndarray, height: float) -> np.ndarray:
    """Three vectors (3, 3) from two or three: the normal of the two, ``height`` long, makes the third."""
    if len(vectors) == 3:
        return vectors
    normal = np.cross(*vectors)
    return np.array([*vectors, height * normal / np.linalg.norm(normal)])


def _size(vectors: np.ndarray) -> float:
    """Length, area or volume of one, two or three vectors."""
    return float(np.sqrt(np.linalg.det(vectors @ vectors.T)))


def _frames(lattice: Lattice, atoms: Atoms) -> Iterator[tuple[np.ndarray, bool]]:
    """Linear maps (3, 3) of the structure's cell onto the supercell, and whether fractional coordinates or positions stay as given."""
    ours, theirs = lattice.supercell_vectors[np.asarray(lattice.pbc)], _vectors(lattice, atoms)
    if theirs is None:
        return
    scale = (_size(ours) / _size(theirs)) ** (1 / len(ours)) if len(ours) else 1.0
    if len(ours) > 1:
        height = 10 * np.linalg.norm(theirs, axis=1).max()  # so that no vector of a layer is mistaken for its normal
        yield from _turns(_squared(theirs, height), _squared(ours, height * scale), scale)
    elif _parallel(theirs, ours) and abs(scale - 1) <= _LARGEST_STRAIN:  # a wire or particle may be turned by any angle: no search
        yield scale * np.eye(3), True


def _parallel(theirs: np.ndarray, ours: np.ndarray) -> bool:
    """Whether two sets of no vector or one lie along each other."""
    cosines = [abs(float(a @ b)) / float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(theirs, ours, strict=True)]
    return all(cosine > 1 - _SAME_SHAPE**2 for cosine in cosines)


def _turns(theirs: np.ndarray, ours: np.ndarray, scale: float) -> Iterator[tuple[np.ndarray, bool]]:
    """The maps between two sets of three vectors, as `_frames` gives them."""
    direct = [m for m in (_in_space(theirs, ours, scale), _one_by_one(theirs, ours)) if m is not None and np.isfinite(_strain(m, scale))]
    if direct and _strain(direct[0], scale) < _SAME_SHAPE:
        yield direct[0], True  # without the search, as most structures need none
    others = sorted(
        _all_turns(theirs, ours, scale), key=lambda m: (np.linalg.det(m) < 0, float(np.abs(m / scale - np.eye(3)).sum().round(3)))
    )
    maps = [*((m, True) for m in direct), *((m, False) for m in others)]
    yield from sorted(maps, key=lambda pair: _strain(pair[0], scale) >= _SAME_SHAPE)


def _in_space(theirs: np.ndarray, ours: np.ndarray, scale: float) -> np.ndarray | None:
    """The map that turns nothing, if the two sets of vectors span the same repeats."""
    steps = np.rint(theirs @ np.linalg.inv(ours) * scale)
    if abs(round(float(np.linalg.det(steps)))) != 1:
        return None
    linear: np.ndarray = np.linalg.solve(theirs, steps @ ours)
    return linear if np.abs(linear / scale - np.eye(3)).max() < _LARGEST_STRAIN else None


def _one_by_one(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray | None:
    """The map of each vector onto its own; no reflection, but for left-handed vectors, which files bring back right-handed."""
    linear: np.ndarray = np.linalg.solve(theirs, ours)
    return None if np.linalg.det(linear) < 0 < np.linalg.det(ours) else linear


def _strain(linear: np.ndarray, scale: float) -> float:
    """Largest relative change of a length beside the change of size; infinite where a map stretches too much."""
    stretch = np.linalg.svd(linear, compute_uv=False)
    return float(np.abs(stretch / scale - 1).max()) if np.abs(stretch - 1).max() <= _LARGEST_STRAIN else np.inf


def _all_turns(theirs: np.ndarray, ours: np.ndarray, scale: float) -> list[np.ndarray]:
    """Every linear map of one set of repeats onto the other that stretches by little."""
    from ase.geometry import minkowski_reduce

    ours, theirs = minkowski_reduce(ours)[0], minkowski_reduce(theirs)[0]
    targets = _unimodular() @ ours
    lengths = np.linalg.norm(targets, axis=2) / np.linalg.norm(theirs, axis=1)
    targets = targets[(np.abs(lengths - 1) <= _LARGEST_STRAIN + _SAME_SHAPE).all(1)]
    maps = np.linalg.inv(theirs) @ targets
    return [m for m in maps if np.isfinite(_strain(m, scale))]


@cache
def _unimodular() -> np.ndarray:
    """Integer matrices (n, 3, 3) of entries -1, 0, 1 and determinant -1 or 1: all maps between reduced vectors of one lattice."""
    rows = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    matrices = np.stack(np.meshgrid(*[np.arange(27)] * 3, indexing="ij"), -1).reshape(-1, 3)
    chosen = rows[matrices]
    return chosen[np.abs(np.rint(np.linalg.det(chosen))) == 1]


# -- positions ---------------------------------------------------------------------------------------


def _across_the_vacuum(lattice: Lattice, atoms: Atoms) -> Iterator[np.ndarray]:
    """Positions (atoms, 3) as given; and where the structure is periodic and the lattice is not, cut where the vacuum is widest.

    Files (CIF, POSCAR) call every direction periodic, and their readers may have moved atoms across.
    """
    yield np.array(atoms.positions)
    across = np.flatnonzero(atoms.pbc & ~np.asarray(lattice.pbc))
    if int(np.sum(atoms.pbc)) == sum(lattice.pbc) or not len(across) or len(atoms) == 0 or abs(np.linalg.det(atoms.cell)) < 1e-9:
        return
    fractional = atoms.positions @ np.linalg.inv(atoms.cell)
    for axis in across:
        ordered = np.sort(fractional[:, axis] % 1.0)
        gaps = np.diff(ordered, append=ordered[0] + 1.0)
        lowest = ordered[(gaps.argmax() + 1) % len(ordered)]
        fractional[:, axis] = lowest + (fractional[:, axis] - lowest + 1e-9) % 1.0 - 1e-9
    yield fractional @ np.array(atoms.cell)


def _origins(lattice: Lattice, positions: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """Shifts (3,) to try: none, then those that bring the first atom to each site of the primitive cell, and all atoms nearest to sites."""
    yield np.zeros(3)
    for site in lattice.basis @ lattice.cell if len(positions) else []:
        shift = site - positions[0]
        off = _nearest_sites(lattice, positions[:_TRIED_FIRST] + shift)[1]
        if (np.linalg.norm(off, axis=1) <= 3 * tolerance).all():
            yield shift - _nearest_sites(lattice, positions + shift)[1].mean(0)


def _nearest_sites(lattice: Lattice, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest site of every position (n,), and how far off it is, (n, 3).

    Found through the primitive cell, so that a long, skewed supercell does no harm. Along directions that are not periodic
    positions count as they are, or else moved by whole cell vectors.
    """
    primitive = positions @ np.linalg.inv(lattice.cell)
    from_basis = primitive[:, None, :] - lattice.basis  # (n, sublattices, 3)
    folded = np.rint(np.nan_to_num(from_basis))
    offsets = folded if all(lattice.pbc) else np.concatenate([np.where(lattice.pbc, folded, 0.0), folded], 1)
    off = (np.tile(from_basis, (1, offsets.shape[1] // len(lattice.basis), 1)) - offsets) @ lattice.cell
    distance = np.linalg.norm(off, axis=2)
    distance[:, len(lattice.basis) :] += _AS_GOOD
    nearest, row = distance.argmin(1), np.arange(len(positions))
    return lattice.site_index(offsets[row, nearest].astype(int), nearest % len(lattice.basis)), off[row, nearest]


# -- other supercells --------------------------------------------------------------------------------


def supercell_around(lattice: Lattice, atoms: Atoms) -> Lattice | None:
    """The lattice in the supercell of a structure: itself, or another of the same primitive cell; None where there is none.

    The size is told from the number of atoms if all sites have one, else from the volume.
    """
    theirs = _vectors(lattice, atoms)
    ours, primitive = (v[np.asarray(lattice.pbc)] for v in (lattice.supercell_vectors, lattice.cell))
    if theirs is None or len(ours) == 0:
        return None if theirs is None else lattice
    strained = (_size(ours) / _size(theirs)) ** (1 / len(ours))
    fits = next(_frames(lattice, atoms), None) is not None
    if fits and abs(strained - 1) < _SAME_SIZE:
        return lattice
    cells = {round(_size(theirs) / _size(primitive))}
    counted = [len(atoms) // len(lattice.basis)] if len(atoms) % len(lattice.basis) == 0 else []
    for n in [*counted, *cells]:
        steps = _steps(theirs, primitive, n)
        if steps is not None:
            matrix = np.eye(3, dtype=int)
            matrix[np.ix_(lattice.pbc, lattice.pbc)] = steps
            return lattice if n == lattice.n_cells and fits else lattice.with_supercell(matrix.tolist())
    return lattice if fits else None


def _steps(theirs: np.ndarray, primitive: np.ndarray, n: int) -> np.ndarray | None:
    """Integer matrix (k, k) of determinant ``n``: the structure's repeats in units of the primitive vectors."""
    size = (_size(theirs) / (n * _size(primitive))) ** (1 / len(theirs)) if n else 0.0
    if abs(size - 1) > _LARGEST_STRAIN:
        return None
    scaled = theirs / size
    lengths = np.linalg.norm(scaled, axis=1) / np.linalg.norm(primitive, axis=1)
    in_place, along = np.rint(scaled @ np.linalg.pinv(primitive)).astype(int), np.diag(np.rint(lengths).astype(int))
    direct = [steps for steps in (in_place, along) if _same_metric(steps @ primitive, scaled)]
    for steps in itertools.chain(direct, _turned_steps(scaled, primitive)):
        determinant = round(float(np.linalg.det(steps)))
        if abs(determinant) == n:
            return steps if determinant > 0 else np.vstack([-steps[:1], steps[1:]])
    return None


def _turned_steps(vectors: np.ndarray, primitive: np.ndarray) -> Iterator[np.ndarray]:
    """Integer matrices (k, k) of lattice vectors with the lengths and angles of the structure's shortest ones, however turned."""
    from ase.geometry import minkowski_reduce

    wanted = minkowski_reduce(_squared(vectors, 1.0), pbc=[True, True, len(vectors) == 3])[0][: len(vectors)]
    lengths = np.linalg.norm(wanted, axis=1)
    reach = np.ceil(lengths.max() * np.linalg.norm(np.linalg.pinv(primitive), axis=0)).astype(int) + 1
    if len(vectors) == 1 or np.prod(2 * reach + 1) > _LARGEST_SEARCH:
        return
    grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, len(reach))
    size = np.linalg.norm(grid @ primitive, axis=1)
    near = [grid[np.abs(size - length) <= _SAME_SHAPE * length] for length in lengths]
    yield from _joined(near, wanted, primitive, np.zeros((0, len(reach)), dtype=int))


def _joined(near: list[np.ndarray], wanted: np.ndarray, primitive: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """``chosen`` rows (j, k), continued by rows of ``near`` that make the angles wanted."""
    j = len(chosen)
    if j == len(near):
        yield chosen
        return
    products = (near[j] @ primitive) @ (chosen @ primitive).T
    allowed = 2 * _SAME_SHAPE * np.linalg.norm(wanted[j]) * np.linalg.norm(wanted[:j], axis=1)
    for row in near[j][(np.abs(products - wanted[:j] @ wanted[j]) <= allowed).all(1)]:
        yield from _joined(near, wanted, primitive, np.vstack([chosen, row]))


def _same_metric(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether lengths and angles agree, to a few per cent."""
    product = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(first, axis=1))
    return bool(np.abs((first @ first.T - second @ second.T) / product).max() < _LARGEST_STRAIN)
