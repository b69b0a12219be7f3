"""Lattices of one line, of spacing 1, one site a cell: `square`, `cubic` and `chain`; `fcc` and `bcc` in their primitive cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arlattice.arguments import whole_number
from arlattice.checked_lattice import species_per_site
from arlattice.errors import InputError
from arlattice.lattice import Lattice
from arlattice.supercell import SupercellLike, supercell_matrix

__all__ = ["bcc", "chain", "cubic", "fcc", "square"]


def square(length: int | tuple[int, int], species: Sequence[str] = ("down", "up")) -> Lattice:
    """A periodic square lattice of ``length`` x ``length`` sites (or two lengths), spacing 1."""
    return _simple((*_lengths(length, 2), 1), species, (True, True, False))


def cubic(length: int | tuple[int, int, int], species: Sequence[str] = ("down", "up")) -> Lattice:
    """A periodic simple-cubic lattice, spacing 1."""
    return _simple(_lengths(length, 3), species, (True, True, True))


def chain(length: int, species: Sequence[str] = ("down", "up")) -> Lattice:
    """A periodic chain of ``length`` sites, spacing 1."""
    return _simple((*_lengths(length, 1), 1, 1), species, (True, False, False))


def fcc(supercell: SupercellLike, species: Sequence[str] = ("down", "up")) -> Lattice:
    """A periodic face-centred cubic lattice, nearest neighbours at 1: repetitions of the primitive cell, turned as `ase.build.bulk`'s."""
    return _of_cell((np.ones((3, 3)) - np.eye(3)) / 2**0.5, supercell, species)


def bcc(supercell: SupercellLike, species: Sequence[str] = ("down", "up")) -> Lattice:
    """A periodic body-centred cubic lattice; see `fcc`."""
    return _of_cell((np.ones((3, 3)) - 2 * np.eye(3)) / 3**0.5, supercell, species)


def _of_cell(cell: np.ndarray, supercell: SupercellLike, species: Sequence[str]) -> Lattice:
    (names,) = species_per_site(species, 1)
    return Lattice(cell, np.zeros((1, 3)), (names,), supercell_matrix(supercell), names, (True, True, True))


def _lengths(length: Any, dimension: int) -> tuple[int, ...]:
    lengths = tuple(length) if isinstance(length, tuple | list) else (length,) * dimension
    if len(lengths) != dimension:
        raise InputError("length", length, f"give one number of sites, or {dimension}")
    return tuple(whole_number("length", each) for each in lengths)


def _simple(lengths: Sequence[int], species: Sequence[str], pbc: tuple[bool, bool, bool]) -> Lattice:
    (names,) = species_per_site(species, 1)
    return Lattice(np.eye(3), np.zeros((1, 3)), (names,), supercell_matrix(tuple(lengths)), names, pbc)
