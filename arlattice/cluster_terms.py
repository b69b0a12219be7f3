"""Terms as users give them: sites of a supercell, or places of one cell, and tables of energies; read into arrays, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from arlattice.arguments import LARGEST_INTEGER, items_of, whole_number
from arlattice.errors import InputError
from arlattice.lattice import Lattice

__all__ = ["Terms", "terms_of_cell", "terms_of_sites"]


class Terms(NamedTuple):
    """Terms of k sites each. N terms, T tables, q species."""

    given: np.ndarray  # (N,) the place of each in what was given: sums are in that order
    sites: np.ndarray  # (N, k)
    table: np.ndarray  # (N,) row of `tables`
    tables: np.ndarray  # (T, q, ..., q), the last axis is the last site


_Read = Callable[[Lattice, list[list[Any]]], np.ndarray]


def terms_of_sites(lattice: Lattice, terms: Iterable[Any]) -> dict[int, Terms]:
    """Pairs of site numbers and a table, by their number of sites."""
    return _by_order(lattice, terms, _sites, "give pairs of site numbers and a table of energies, e.g. ((0, 1), np.zeros((2, 2)))")


def terms_of_cell(lattice: Lattice, terms: Iterable[Any]) -> dict[int, Terms]:
    """Pairs of places and a table, by their number of places; places are folded into the supercell."""
    return _by_order(lattice, terms, _places, "give pairs of places and a table of energies, e.g. ([((0, 0, 0), 0)], np.zeros(2))")


def _by_order(lattice: Lattice, terms: Iterable[Any], read: _Read, cure: str) -> dict[int, Terms]:
    """Terms by their number of sites. A table that many terms share is looked at once."""
    pairs = items_of("terms", terms, object, cure)
    members: list[list[Any]] = []
    tables: list[Any] = []
    numbers: dict[int, list[int]] = {}
    for i, term in enumerate(pairs):
        try:
            where, table = term
            members.append(list(where))
        except (TypeError, ValueError):
            raise InputError("terms", term, cure) from None
        tables.append(table)
        numbers.setdefault(len(members[-1]), []).append(i)
    found = {}
    for k, given in numbers.items():
        row: dict[int, int] = {}
        table_of = np.array([row.setdefault(id(tables[i]), len(row)) for i in given])
        first = np.unique(table_of, return_index=True)[1]
        stacked = [_table(tables[given[i]], (lattice.n_species,) * k, pairs[given[i]], cure) for i in first]
        found[k] = Terms(np.array(given), read(lattice, [members[i] for i in given]), table_of, np.stack(stacked))
    return found


def _table(given: Any, shape: tuple[int, ...], term: Any, cure: str) -> np.ndarray:
    try:
        table = np.asarray(given, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise InputError("terms", term, cure) from None
    if table.shape != shape:
        raise InputError("table", table.shape, f"a cluster of {len(shape)} sites needs shape {shape}")
    if not np.isfinite(table).all():
        raise InputError("table", "not finite", "give finite cluster energies")
    return table


def _sites(lattice: Lattice, members: list[list[Any]]) -> np.ndarray:
    """Site numbers (N, k)."""
    sites = _whole_numbers("sites", members, 0)
    for row in sites[(sites >= lattice.n_sites).any(1)]:
        raise InputError("sites", tuple(row.tolist()), f"site numbers run from 0 to {lattice.n_sites - 1}")
    return sites


def _places(lattice: Lattice, members: list[list[Any]]) -> np.ndarray:
    """Sites (N, k) of places (offset, sublattice)."""
    flat = [_place(place) for place in chain.from_iterable(members)]
    whole = _whole_numbers("places", flat, -LARGEST_INTEGER).reshape(-1, 4)
    for row in whole[(whole[:, 3] < 0) | (whole[:, 3] >= len(lattice.basis))]:
        raise InputError("places", int(row[3]), f"sublattices run from 0 to {len(lattice.basis) - 1}")
    for row in whole[(whole[:, :3] * ~np.array(lattice.pbc)).any(1)]:
        raise InputError("places", row[:3].tolist(), f"periodic directions are {lattice.pbc}; along the others offsets are 0")
    return lattice.site_index(whole[:, :3], whole[:, 3]).reshape(len(members), len(members[0]))


def _place(place: Any) -> list[Any]:
    """Offset and sublattice of a place, four integers."""
    try:
        (x, y, z), sublattice = place
    except (TypeError, ValueError):
        x = y = z = sublattice = None
    if not all(isinstance(number, Integral) and not isinstance(number, bool) for number in (x, y, z, sublattice)):
        raise InputError("places", place, "a place is an offset of three integers and a sublattice, e.g. ((0, 0, 1), 0)")
    return [x, y, z, sublattice]


def _whole_numbers(argument: str, rows: Sequence[Sequence[Any]], least: int) -> np.ndarray:
    """Rows of one length as int64; the first that is no whole number is refused."""
    flat = list(chain.from_iterable(rows))
    kinds = set(map(type, flat))
    plain = all(issubclass(kind, Integral) and not issubclass(kind, bool) for kind in kinds)
    if not plain or not least <= min(flat, default=0) <= max(flat, default=0) <= LARGEST_INTEGER:
        flat = [whole_number(argument, value, least) for value in flat]
    return np.array(flat, dtype=np.int64).reshape(len(rows), len(rows[0]) if rows else 0)
