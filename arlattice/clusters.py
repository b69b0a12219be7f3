"""The clusters of an expansion: terms of a supercell, or of one cell that all translations repeat, merged and stacked by body order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arlattice.cluster_terms import Terms, terms_of_cell, terms_of_sites
from arlattice.errors import InputError
from arlattice.kernels.shared_tables import shared_tables
from arlattice.kernels.translations import Translations
from arlattice.lattice import Lattice

__all__ = ["Clusters", "Parts", "check_clusters", "expanded", "merge_cell", "merge_terms", "n_images"]

Parts = tuple[Tensor, Tensor, Tensor]
"""What `Clusters` is made of."""


@dataclass(frozen=True)
class Clusters:
    """All clusters of one body order k. C clusters, T distinct tables, q species."""

    sites: Tensor  # (C, k)
    table: Tensor  # (C,) row of `energies`
    energies: Tensor  # (T, q, ..., q), the last axis is the last site


def merge_terms(lattice: Lattice, terms: Iterable[Any]) -> tuple[dict[int, Parts], float]:
    """Clusters of terms of a supercell, by body order, and the energy of terms without sites.

    Args:
        lattice: the supercell.
        terms: pairs of k site numbers and a table of energies, (species,) * k. A site that is met twice takes the diagonal.

    Returns:
        Clusters of distinct rising sites, each once, in rising order; their tables are shared where they are equal but for rounding,
        1e-14 of the largest energy.
    """
    folded, constant = _folded(terms_of_sites(lattice, terms))
    return {k: _merged(parts) for k, parts in sorted(folded.items())}, constant


def merge_cell(lattice: Lattice, terms: Iterable[Any]) -> tuple[dict[int, Parts], float]:
    """Clusters of one cell of terms that all translations repeat, by body order, and the energy of terms without places, of one cell.

    Args:
        lattice: the supercell.
        terms: pairs of k places and a table of energies, (species,) * k; a place is an offset (3 integers) and a sublattice.

    Returns:
        As `merge_terms`. Of the images of a cluster the one whose sites come first, and of clusters that are images of each other one:
        the energy is the sum over all translations of all clusters, also of those that some translations carry onto themselves.
    """
    folded, constant = _folded(terms_of_cell(lattice, terms))
    moved = {k: [_to_first_image(part, Translations(lattice, True)) for part in parts] for k, parts in folded.items()}
    return {k: _merged(parts) for k, parts in sorted(moved.items())}, constant


def expanded(lattice: Lattice, clusters: Mapping[int, Clusters]) -> dict[int, Clusters]:
    """The clusters of the whole supercell, from those of one cell."""
    cells = lattice.cell_offsets[:: len(lattice.basis)]
    whole = {}
    for k, part in clusters.items():
        images = [lattice.site_index(lattice.cell_offsets[c] + cells[:, None], lattice.sublattice[c]) for c in part.sites.numpy()]
        sites = np.concatenate(images)
        terms = Terms(np.arange(len(sites)), sites, np.repeat(part.table.numpy(), len(cells)), part.energies.numpy())
        whole[k] = Clusters(*_merged(_folded({k: terms})[0][k]))
    return whole


def n_images(lattice: Lattice, clusters: Clusters) -> int:
    """How many clusters of the whole supercell those of one cell stand for."""
    _, _, times = Translations(lattice, True).canonical(clusters.sites.numpy())
    return int((lattice.n_cells // times).sum())


def check_clusters(lattice: Lattice, k: int, clusters: Clusters) -> None:
    """Refuse clusters that compiled loops would read beyond their tables.

    Raises:
        InputError: shapes that do not fit together, sites or tables that are not there, or energies that are not finite.
    """
    sites, table, energies = clusters.sites, clusters.table, clusters.energies
    shaped = sites.shape == (len(sites), k) and table.shape == (len(sites),) and energies.shape[1:] == (lattice.n_species,) * k
    if not shaped or sites.is_floating_point() or table.is_floating_point() or not energies.is_floating_point():
        raise InputError("clusters", f"{k}-body", "their sites, tables and energies do not fit together")
    rising = bool((sites[:, 1:] > sites[:, :-1]).all())
    if len(sites) and not (rising and 0 <= int(sites.min()) <= int(sites.max()) < lattice.n_sites):
        raise InputError("clusters", f"{k}-body", f"sites must be rising numbers from 0 to {lattice.n_sites - 1}")
    if len(table) and not 0 <= int(table.min()) <= int(table.max()) < len(energies):
        raise InputError("clusters", f"{k}-body", f"tables are numbered from 0 to {len(energies) - 1}")
    if not bool(energies.isfinite().all()):
        raise InputError("clusters", f"{k}-body", "give finite cluster energies")


def _folded(terms: Mapping[int, Terms]) -> tuple[dict[int, list[Terms]], float]:
    """Terms over their distinct sites, rising, by how many these are; a repeated site takes the diagonal. And the terms without sites."""
    found: dict[int, list[Terms]] = {}
    for k, part in terms.items():
        if k == 0:
            continue
        order = part.sites.argsort(1, kind="stable")
        rising = np.take_along_axis(part.sites, order, 1)
        fresh = np.ones(rising.shape, bool)
        fresh[:, 1:] = rising[:, 1:] != rising[:, :-1]
        axes = np.empty_like(order)
        np.put_along_axis(axes, order, fresh.cumsum(1) - 1, 1)
        distinct = fresh.sum(1)
        for n in np.unique(distinct).tolist():
            at = np.flatnonzero(distinct == n)
            table, tables = _with_axes(part.table[at], part.tables, axes[at])
            found.setdefault(n, []).append(Terms(part.given[at], rising[at][fresh[at]].reshape(-1, n), table, tables))
    constant = float(terms[0].tables[terms[0].table].sum()) if 0 in terms else 0.0
    return found, constant


def _to_first_image(part: Terms, translations: Translations) -> Terms:
    """Terms moved to where their sites come first of all images."""
    sites, columns, _ = translations.canonical(part.sites)
    return Terms(part.given, sites, *_with_axes(part.table, part.tables, columns.argsort(1)))


def _with_axes(table: np.ndarray, tables: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables whose axis j is made axis ``axes[:, j]``, which is another for each of the terms (N,); axes that meet take the diagonal."""
    patterns, which = _distinct_rows(axes)
    parts = _Made(len(table))
    for number, pattern in enumerate(patterns.tolist()):
        at = np.flatnonzero(which == number)
        used, row = np.unique(table[at], return_inverse=True)
        parts.add(at, row, np.einsum(tables[used], [..., *pattern], [..., *range(max(pattern) + 1)]))
    return parts.whole()


def _merged(terms: Sequence[Terms]) -> Parts:
    """Clusters on the same sites made one, and equal tables kept once."""
    starts = np.cumsum([0, *(len(part.tables) for part in terms)])
    tables = np.concatenate([part.tables for part in terms])
    table = np.concatenate([part.table + start for part, start in zip(terms, starts[:-1], strict=True)])
    clusters, cluster = _distinct_rows(np.concatenate([part.sites for part in terms]))
    table = table[np.lexsort((np.concatenate([part.given for part in terms]), cluster))]
    count = np.bincount(cluster)
    first = count.cumsum() - count
    sums = _Made(len(clusters))
    for n in np.unique(count).tolist():  # clusters of n terms: those of the same n tables have one sum
        at = np.flatnonzero(count == n)
        added, row = _distinct_rows(table[first[at][:, None] + np.arange(n)])
        sums.add(at, row, reduce(np.add, (tables[column] for column in added.T)))
    number, summed = sums.whole()
    shared, row = shared_tables(summed)
    return torch.from_numpy(clusters), torch.from_numpy(row[number]), torch.from_numpy(shared)


class _Made:
    """Tables made part by part, and which of them each of n terms has."""

    def __init__(self, n: int) -> None:
        self.number, self.made, self.length = np.empty(n, np.int64), list[np.ndarray](), 0

    def add(self, at: np.ndarray, row: np.ndarray, tables: np.ndarray) -> None:
        """Terms ``at`` have these rows of tables."""
        self.number[at] = self.length + row
        self.made.append(tables)
        self.length += len(tables)

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of each term's table, and the tables."""
        return self.number, np.concatenate(self.made)


def _distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows in rising order, and which of them each row is."""
    distinct, which = np.unique(rows, axis=0, return_inverse=True)
    return distinct, which.reshape(-1)
