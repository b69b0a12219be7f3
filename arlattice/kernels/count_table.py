"""`CountTable`: the energies of a site as a polynomial that many chains evaluate side by side with bytes.

With [x_j = a] for 1 where site j holds species a and 0 elsewhere, the energies of a site are

    E_i(s) = sum over groups g of weight[g, s] * (number of products of g that are 1)

Each product is of the [x_j = a] of other sites, a any species of j but its first. The energy of a configuration is one such sum too,
over products that hold the site itself. Products of one weight stand in one group: a crystal has
few weights, so that nearly all of the work is to AND and to add bytes, one a chain. It is the cluster expansion in indicators (lattice
gas) variables, so it holds for any number of species and sites in a cluster.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from arlattice.kernels.shared_tables import shared_tables
from arlattice.kernels.site_table import SiteTable

__all__ = ["CountTable", "count_table"]

_NEGLIGIBLE = 1e-15  # of a weight, over the largest
_MOST_PRODUCTS = 64  # a cluster; more of them are slower than looking its table up


class CountTable(NamedTuple):
    """Groups of products by kind of site.

    Attributes:
        kind: of every site, (sites,) int32.
        near: the number of [x_j = a] for every (slot, species) around each site, and for itself, (sites, (slots + 1) * species) uint32.
        feature: the number of [x_i = a], (sites, species) int32; -1 for the first species of a site, and those it may not hold.
        starts: groups of kind K are ``starts[K]`` to ``starts[K + 1]``, (kinds + 1,) int32.
        factors: of each product of a group, (groups,) int32.
        sizes: products of each group, (groups,) int32.
        first: where the places of each group begin, (groups,) int32.
        places: slot * species + a of every factor, int32; the slot after the last is the site itself.
        weights: (members, groups, species), relative to the first species of the site; of energies (members, groups, 1).
    """

    kind: np.ndarray
    near: np.ndarray
    feature: np.ndarray
    starts: np.ndarray
    factors: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    places: np.ndarray
    weights: np.ndarray


def count_table(table: SiteTable, allowed: np.ndarray, *, energies: bool = False) -> CountTable | None:
    """The polynomial of a table.

    Args:
        table: what to write so.
        allowed: species of each site, (sites, species) bool.
        energies: of the species that the site holds, not of all that it may take.

    Returns:
        None where tables have so many entries that looking them up is faster.
    """
    q, members = allowed.shape[1], len(table.rows)
    first_species = allowed.argmax(1)
    own = np.unique(table.kind, return_index=True)[1]  # a site of each kind
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    n_products = 0
    with_own = np.column_stack([table.neighbours, np.arange(len(allowed))])
    for p in range(table.most_others + 1):
        kinds, slots, rows = _clusters(table, p)
        if len(kinds) == 0:
            continue
        values = table.rows[:, rows[:, None] + np.arange(q**p)]  # (members, clusters, q^p, q)
        values = np.moveaxis(values, 0, -1).reshape(len(kinds), *[q] * p, q, members).copy()
        if energies:
            slots = np.column_stack([slots, np.full(len(slots), table.neighbours.shape[1])])
            values = values[..., None, :]
        else:
            _from_first(values, first_species[own[kinds]], allowed[own[kinds]])
        neighbour = with_own[own[kinds][:, None], slots]
        _coefficients(values, first_species[neighbour])
        for species in product(range(q), repeat=slots.shape[1]):
            a = np.array(species, dtype=int)
            fits = allowed[neighbour, a].all(1)
            present = a != first_species[neighbour]
            weight = values.reshape(len(values), -1, *values.shape[-2:])[:, sum(b * q**j for j, b in enumerate(reversed(species)))]
            for pattern in np.unique(present[fits], axis=0):
                rows_of = fits & (present == pattern).all(1)
                key = np.sort(slots[rows_of][:, pattern] * q + a[pattern], 1)
                found.setdefault(int(pattern.sum()), []).append((np.column_stack([kinds[rows_of], key]), weight[rows_of]))
                n_products += int(rows_of.sum())
        if n_products > _MOST_PRODUCTS * max(1, len(table.row)):
            return None
    feature = _features(first_species, allowed)
    near = feature[with_own].reshape(len(allowed), -1).astype(np.uint32)
    return _grouped(found, len(own), (1 if energies else q, members), (table.kind, near, feature))


def _clusters(table: SiteTable, p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kinds (M,), slots (M, p) and first rows (M,) of all clusters with p others."""
    counts = table.starts[:, p + 1] - table.starts[:, p]
    kinds = np.repeat(np.arange(len(counts)), counts)
    number = np.repeat(table.starts[:, p] - np.concatenate([[0], counts.cumsum()[:-1]]), counts) + np.arange(counts.sum())
    slots = table.slots[table.slot_starts[number][:, None] + np.arange(p)]
    return kinds, slots, table.row[number]


def _coefficients(values: np.ndarray, references: np.ndarray) -> None:
    """Tables (M, q, ..., q, m, members) -> coefficients of the products, in place; references (M, p) are the species without one."""
    for a in range(references.shape[1]):
        axis = np.moveaxis(values, 1 + a, 1)
        every = np.arange(len(values))
        base = axis[every, references[:, a]].copy()
        axis -= base[:, None]
        axis[every, references[:, a]] = base


def _from_first(values: np.ndarray, own: np.ndarray, allowed: np.ndarray) -> None:
    """Tables (M, q, ..., q, members) -> differences from the first species of the site, own (M,), in place; 0 where it may not be."""
    last = np.moveaxis(values, -2, 1)
    last -= last[np.arange(len(values)), own][:, None].copy()
    values *= allowed.reshape(len(values), *[1] * (values.ndim - 3), allowed.shape[1], 1)


def _features(first_species: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    numbered = allowed.copy()
    numbered[np.arange(len(allowed)), first_species] = False
    return np.where(numbered, numbered.cumsum().reshape(allowed.shape) - 1, -1).astype(np.int32)


def _grouped(
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]], n_kinds: int, shape: tuple[int, int], around: tuple[np.ndarray, ...]
) -> CountTable:
    """Products of one weight together, by kind."""
    groups: list[tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]] = []
    merged = {}
    for f, parts in found.items():
        keys, inverse = np.unique(np.concatenate([k for k, _ in parts]), axis=0, return_inverse=True)
        total = np.zeros((len(keys), *shape))
        np.add.at(total, inverse.reshape(-1), np.concatenate([w for _, w in parts]))
        merged[f] = keys, total
    largest = max((np.abs(w).max(initial=0.0) for _, w in merged.values()), default=0.0)
    for f, (keys, weights) in sorted(merged.items()):
        kept = np.abs(weights).max((1, 2)) > _NEGLIGIBLE * largest
        if kept.any():
            shared, which = shared_tables(weights[kept])
            label, group = np.unique(np.column_stack([keys[kept][:, 0], which]), axis=0, return_inverse=True)
            order = np.argsort(group.reshape(-1), kind="stable")
            groups.append((label[:, 0], f, np.bincount(group.reshape(-1)), keys[kept][order, 1:], shared[label[:, 1]]))
    kind = np.concatenate([g[0] for g in groups]) if groups else np.zeros(0, int)
    order = np.argsort(kind, kind="stable")
    factors = np.concatenate([np.full(len(g[0]), g[1]) for g in groups]) if groups else kind
    sizes = np.concatenate([g[2] for g in groups]) if groups else kind
    places = np.concatenate([g[3].ravel() for g in groups]) if groups else kind
    weights = np.concatenate([g[4] for g in groups]) if groups else np.zeros((0, *shape))
    first = np.concatenate([[0], (factors * sizes).cumsum()])[:-1] if groups else kind
    starts = np.searchsorted(kind[order], np.arange(n_kinds + 1))
    whole = (starts, factors[order], sizes[order], first[order], places)
    indices = [np.ascontiguousarray(a, np.int32) for a in whole]
    return CountTable._make([*around, *indices, np.ascontiguousarray(np.moveaxis(weights[order], 2, 0))])
