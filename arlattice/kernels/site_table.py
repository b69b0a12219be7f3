"""`SiteTable`: the clusters of a Hamiltonian as compiled loops read them.

Sites that a translation carries into each other are of one *kind*: they see the same clusters. A table lists the clusters of
every kind once, in terms of *slots*, the places in the list of a site's neighbours; what belongs to a site is that list alone.
So the memory of a supercell grows with sites x neighbours, not with sites x clusters, and the clusters stay in the cache of a core.
A Hamiltonian without translations has one kind a site.

    energies of site i by its species = sum over the clusters c of kind[i]
        rows[row[c] + code(species at neighbours[i, slots of c])]          code: base `species`, first slot slowest
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from arlattice.kernels.shared_tables import shared_tables
from arlattice.kernels.translations import Translations

__all__ = ["SiteTable", "site_table"]

Merged = Mapping[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Body order k -> sites (C, k), number of the table (C,), tables (T, species, ..., species, members).

Members are Hamiltonians that share their clusters; one alone is a family of one.
"""


class SiteTable(NamedTuple):
    """Clusters listed by kind of site.

    Attributes:
        kind: of every site, (sites,) int32.
        neighbours: the sites that share a cluster with each site, (sites, slots) int32; padded with the site itself.
        starts: clusters of kind K with p others are numbers ``starts[K, p]`` to ``starts[K, p + 1]``, (kinds, most others + 2) int32.
        row: first row of the table of each cluster, (clusters,) int32.
        slot_starts: where the slots of each cluster begin, (clusters,) int32: p others take p entries, one cluster after the other.
        slots: of the other sites of the clusters, int32.
        rows: energies by species of the site, (members, rows, species) float64; those of a cluster with p others are species^p rows.
    """

    kind: np.ndarray
    neighbours: np.ndarray
    starts: np.ndarray
    row: np.ndarray
    slot_starts: np.ndarray
    slots: np.ndarray
    rows: np.ndarray

    @property
    def n_species(self) -> int:
        """Columns of `rows`."""
        return self.rows.shape[2]

    @property
    def most_others(self) -> int:
        """Other sites of the largest cluster."""
        return self.starts.shape[1] - 2

    def clusters(self, kind: int, others: int) -> tuple[np.ndarray, np.ndarray]:
        """Slots (m, others) and first rows (m,) of the clusters of one kind with so many other sites."""
        first, last = self.starts[kind, others : others + 2]
        begin = self.slot_starts[first] if last > first else 0
        return self.slots[begin : begin + (last - first) * others].reshape(last - first, others), self.row[first:last]


def site_table(merged: Merged, translations: Translations, *, first_only: bool = False, relative: bool = False) -> SiteTable:
    """List clusters by kind of site.

    Args:
        merged: clusters of distinct sites; with translations those of one cell.
        translations: that repeat them.
        first_only: list each cluster at its first site alone: the sum over the sites is then the energy.
        relative: energies less those of the first species that the site may hold.
    """
    n_species, members = next((t.shape[-2:] for _, _, t in merged.values()), (translations.lattice.n_species, 1))
    listed: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for k, (sites, table, energies) in merged.items():
        kinds, labels, tables = _turned(sites, table, energies, translations, 1 if first_only else k)
        if relative:
            first = translations.lattice.allowed.numpy().argmax(1)[translations.origin][kinds]
            tables = tables - np.take_along_axis(tables, first[:, None, None, None], 2)
        listed[k - 1] = kinds, labels, tables
    neighbours, slot_of = _neighbours(listed, translations)
    most = max(listed, default=0)
    starts = np.zeros((translations.n_kinds, most + 2), np.int64)
    for p, (kinds, _, _) in listed.items():
        starts[:, p + 1] = np.bincount(kinds, minlength=translations.n_kinds)
    starts = starts.cumsum(1)
    starts += np.concatenate([[0], starts[:-1, -1].cumsum()])[:, None]
    row = np.zeros(starts[-1, -1], np.int64)
    width = np.zeros(len(row), np.int64)
    blocks: list[np.ndarray] = []
    for p, (kinds, _, tables) in listed.items():
        number = _numbers(starts, kinds, p)
        shared, inverse = shared_tables(tables)
        row[number] = sum(map(len, blocks)) + inverse * n_species**p
        width[number] = p
        blocks.append(shared.reshape(-1, n_species, members))
    slot_starts = np.concatenate([[0], width.cumsum()])
    slots = np.zeros(slot_starts[-1], np.int64)
    for p, (kinds, labels, _) in listed.items():
        at = slot_starts[_numbers(starts, kinds, p)][:, None] + np.arange(p)
        slots[at] = slot_of(kinds, labels)
    rows = np.concatenate([*blocks, np.zeros((1, n_species, members))])
    whole = (translations.kind, neighbours, starts, row, slot_starts[:-1], slots)
    indices = [np.ascontiguousarray(a, np.int32) for a in whole]
    return SiteTable._make([*indices, np.ascontiguousarray(np.moveaxis(rows, 2, 0))])


def _turned(
    sites: np.ndarray, table: np.ndarray, energies: np.ndarray, translations: Translations, positions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters seen from their sites, merged, by kind.

    Returns:
        kind (M,), labels of the others (M, k-1) rising, tables (M, species^(k-1), species, members).
    """
    kinds, labels, tables = [], [], []
    for a in range(positions):
        seen = np.delete(translations.labels(sites, a), a, axis=1)
        order = np.argsort(seen, 1)
        turned = np.moveaxis(energies, 1 + a, -2)
        kinds.append(translations.kind[sites[:, a]])
        labels.append(np.take_along_axis(seen, order, 1))
        tables.append(_permuted(turned, table, order).reshape(len(sites), -1, *energies.shape[-2:]))
    kind, label, values = np.concatenate(kinds), np.concatenate(labels), np.concatenate(tables)
    key = np.column_stack([kind, label])
    distinct, inverse = np.unique(key, axis=0, return_inverse=True)
    if len(distinct) == len(key):
        order = np.lexsort(key.T[::-1])
        return kind[order], label[order], values[order]
    total = np.zeros((len(distinct), *values.shape[1:]))
    np.add.at(total, inverse.reshape(-1), values)
    return distinct[:, 0], distinct[:, 1:], total


def _permuted(energies: np.ndarray, table: np.ndarray, order: np.ndarray) -> np.ndarray:
    """``energies[table]``, the axes of the others (all but the last two) put into an order of each row."""
    out = np.empty((len(table), *energies.shape[1:]))
    distinct, which = np.unique(order, axis=0, return_inverse=True)
    for number, axes in enumerate(distinct):
        chosen = which.reshape(-1) == number
        out[chosen] = np.transpose(energies, (0, *(1 + axes), energies.ndim - 2, energies.ndim - 1))[table[chosen]]
    return out


def _neighbours(
    listed: Mapping[int, tuple[np.ndarray, np.ndarray, np.ndarray]], translations: Translations
) -> tuple[np.ndarray, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Neighbours of every site (sites, slots), and what gives the slots of labels (M, p) seen from kinds (M,)."""
    n_sites = len(translations.kind)
    seen = [kinds[:, None] * n_sites + labels for kinds, labels, _ in listed.values() if labels.size]
    keys = np.unique(np.concatenate([s.ravel() for s in seen])) if seen else np.zeros(0, np.int64)
    kinds, labels = keys // n_sites, keys % n_sites
    first = np.searchsorted(kinds, np.arange(translations.n_kinds))
    slot = np.arange(len(keys)) - first[kinds]
    own = translations.origin
    padded = np.repeat(own[:, None], slot.max(initial=-1) + 1, axis=1)
    padded[kinds, slot] = labels
    return translations.images(padded), lambda kinds, labels: slot[np.searchsorted(keys, kinds[:, None] * n_sites + labels)]


def _numbers(starts: np.ndarray, kinds: np.ndarray, others: int) -> np.ndarray:
    """Places in the whole list of clusters with so many others, given by rising kind."""
    first = np.searchsorted(kinds, kinds)
    return np.asarray(starts[kinds, others] + np.arange(len(kinds)) - first)
