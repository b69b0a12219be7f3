"""Sets of clusters made small: those that translations repeat are kept once, those inside others are taken into them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from arlattice.kernels.shared_tables import shared_tables
from arlattice.kernels.site_table import Merged
from arlattice.kernels.translations import Translations

if TYPE_CHECKING:
    from arlattice.lattice import Lattice

__all__ = ["absorbed", "one_cell", "together"]

_LARGEST_TABLE = 2**12  # entries of a table that others are taken into


def one_cell(merged: Merged, lattice: Lattice) -> tuple[Merged, Translations]:
    """Clusters of a supercell as those of one cell, where all its translations repeat them; else as they are, and no translations.

    Args:
        merged: clusters of distinct rising sites, each once.
        lattice: their lattice.
    """
    none, every = Translations(lattice, False), Translations(lattice, True)
    if lattice.n_cells == 1:
        return merged, none
    found: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for k, (sites, table, energies) in merged.items():
        if len(sites) * k % lattice.n_cells:
            return merged, none
        name, columns, times = every.canonical(sites)
        named, number = _reordered(energies, table, columns)
        distinct, first, inverse, count = np.unique(name, axis=0, return_index=True, return_inverse=True, return_counts=True)
        inverse = inverse.reshape(-1)
        if (number != number[first][inverse]).any() or (count * times[first] != lattice.n_cells).any():
            return merged, none
        found[k] = distinct, np.arange(len(distinct)), named[number[first]] / times[first].reshape(-1, *[1] * (k + 1))
    return found, every


def together(members: Sequence[Merged], translations: Translations) -> Merged:
    """Clusters of several Hamiltonians, each with the tables of all of them: zero where a member lacks it.

    Args:
        members: one member each.
        translations: that repeat all of them.
    """
    out = {}
    for k in sorted({k for merged in members for k in merged}):
        names, tables, whose = [], [], []
        for number, merged in enumerate(members):
            if k in merged:
                sites, table, energies = merged[k]
                name, columns, _ = translations.canonical(sites)
                named, which = _reordered(energies, table, columns)
                names.append(name)
                tables.append(named[which][..., 0])
                whose.append(np.full(len(name), number))
        distinct, inverse = np.unique(np.concatenate(names), axis=0, return_inverse=True)
        together = np.zeros((len(members), len(distinct), *tables[0].shape[1:]))
        np.add.at(together, (np.concatenate(whose), inverse.reshape(-1)), np.concatenate(tables))
        out[k] = distinct, np.arange(len(distinct)), np.moveaxis(together, 0, -1)
    return out


def absorbed(merged: Merged, translations: Translations) -> Merged:
    """The same energies with fewer clusters: one that lies in others gives each of them an equal part of its table."""
    tables = {k: energies[table] for k, (_, table, energies) in merged.items()}
    names = {k: translations.canonical(sites) for k, (sites, _, _) in merged.items()}
    kept = {k: np.ones(len(sites), bool) for k, (sites, _, _) in merged.items()}
    for k in sorted(merged):
        for larger in sorted(merged):
            if larger > k and tables[larger][:1, ..., 0].size <= _LARGEST_TABLE:
                _take_in(k, larger, merged, tables, names, kept, translations)
    out = {}
    for k in sorted(merged):
        if kept[k].any():
            shared, table = shared_tables(tables[k][kept[k]])
            out[k] = merged[k][0][kept[k]], table, shared
    return out


def _take_in(
    k: int,
    larger: int,
    merged: Merged,
    tables: dict[int, np.ndarray],
    names: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]],
    kept: dict[int, np.ndarray],
    translations: Translations,
) -> None:
    """Tables of the clusters of k sites that lie in larger ones, added to those."""
    parts = [np.array(columns) for columns in combinations(range(larger), k)]
    hosts = merged[larger][0]
    found = [translations.canonical(hosts[:, columns]) for columns in parts]
    keys = np.concatenate([names[k][0], *(name for name, _, _ in found)])
    number = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    own, inner = number[: len(names[k][0])], number[len(names[k][0]) :].reshape(len(parts), len(hosts))
    holders = np.bincount(inner.ravel(), minlength=number.max() + 1)
    cluster = np.full(number.max() + 1, -1)
    cluster[own] = np.where(kept[k], np.arange(len(own)), -1)
    for columns, (_, order, _), which in zip(parts, found, inner, strict=True):
        guest = cluster[which]
        at = np.flatnonzero(guest >= 0)
        if len(at) == 0:
            continue
        guest = guest[at]
        part = tables[k][guest] / holders[which[at]].reshape(-1, *[1] * (k + 1))
        part, _ = _moved(part, names[k][1][guest], order[at])
        n_species, members = part.shape[-2:]
        shape = [n_species if j in columns else 1 for j in range(larger)]
        tables[larger][at] += part.reshape(len(at), *shape, members)
    kept[k] &= holders[own] == 0


def _moved(tables: np.ndarray, own: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables whose axis own[j] is place j of the name, with axis order[j] there instead; and the axes taken."""
    axes = np.take_along_axis(own, np.argsort(order, 1), 1)
    out = np.empty_like(tables)
    distinct, which = np.unique(axes, axis=0, return_inverse=True)
    for number, each in enumerate(distinct):
        chosen = which.reshape(-1) == number
        out[chosen] = np.transpose(tables[chosen], (0, *(1 + each), tables.ndim - 1))
    return out, axes


def _reordered(energies: np.ndarray, table: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables with their axes in the order of the name, shared, and the number of each cluster's."""
    pairs = np.column_stack([table, columns])
    distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
    turned = np.stack([np.transpose(energies[t], (*axes, len(axes))) for t, *axes in distinct.tolist()])
    shared, number = shared_tables(turned)
    return shared, number[inverse.reshape(-1)]
