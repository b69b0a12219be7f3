"""Where the atoms of a structure lie on a lattice.

A structure is placed by a rotation (with or without a reflection), a uniform or slight strain that brings its cell to the
supercell's, and a shift of the origin. `placements` lists those to try, the likeliest first:

1. the supercell's vectors, or others of the same supercell, as they lie in space;
2. the vectors of the structure on those of the supercell, one by one (CIF keeps lengths and angles only);
3. every other map of the structure's repeats onto the supercell's,

those that need no change of shape before those that do; and each with the origin as given, then with an atom
on every site of the primitive cell. Directions that are not periodic have no vector to match, only positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arlattice.errors import InputError
from arlattice.io.orientation import frames, periodic_vectors
from arlattice.io.supercells import supercells_around
from arlattice.lattice import Lattice

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Placement", "cell_refused", "check_sites", "ours_again", "placements"]

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

    def nearest_sites(self, lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
        """The nearest site of every atom, (atoms,), and the distance to it, angstrom, (atoms,)."""
        sites, off = _nearest_sites(lattice, self.positions)
        return sites, np.linalg.norm(off, axis=1)


def check_sites(atoms: Atoms, sites: np.ndarray, distance: np.ndarray, tolerance: float) -> None:
    """Refuse an atom off the sites, and two on one site."""
    if not (distance <= tolerance).all():
        worst = int(np.flatnonzero(~(distance <= tolerance))[0])
        cure = f"is {distance[worst]:.3f} angstrom off the nearest site (tolerance {tolerance}); move it, or allow more"
        raise InputError("structure", f"atom {worst} ({atoms.symbols[worst]})", cure)
    if len(set(sites.tolist())) != len(sites):
        raise InputError("structure", f"{len(atoms)} atoms", "two atoms lie on the same site")


def placements(lattice: Lattice, atoms: Atoms, tolerance: float) -> Iterator[Placement]:
    """All placements worth trying, the likeliest first; none where the cells do not match."""
    for linear, keeps_fractions in frames(lattice, atoms):
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
    """The error where no placement was found, with the cure."""
    ours, theirs = np.round(lattice.supercell_vectors, 4).tolist(), np.round(np.array(atoms.cell), 4).tolist()
    other = next(supercells_around(lattice, atoms), lattice)
    if other.fingerprint != lattice.fingerprint:
        cure = f"is another supercell, that of lattice.with_supercell({other.supercell.tolist()}); use it, or repeat the structure"
    elif periodic_vectors(lattice, atoms) is None:
        cure = f"lacks cell vectors in periodic directions; set_cell to the supercell vectors {ours}"
    else:
        cure = f"the supercell vectors of this lattice are {ours}; scale or turn the structure, or repeat its cell"
    return InputError("structure cell", theirs, cure)


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
