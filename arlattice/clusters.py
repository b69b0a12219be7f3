"""The clusters of an expansion: terms made of pairs of sites and table, merged, stacked by body order, and listed by site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arlattice.arguments import items_of, whole_number
from arlattice.errors import InputError
from arlattice.lattice import Lattice

__all__ = ["Clusters", "SiteClusters", "fold_cluster", "list_by_site", "pairs_of", "stack"]

_DIGITS = 14  # of table entries over the largest: all but the last bits, which sums in another order change


@dataclass(frozen=True)
class Clusters:
    """All clusters of one body order k. C clusters, T distinct tables, q species."""

    sites: Tensor  # (C, k)
    table: Tensor  # (C,) row of `energies`
    energies: Tensor  # (T, q, ..., q), the last axis is the last site


@dataclass(frozen=True)
class SiteClusters:
    """The clusters of one body order, listed by site and padded to m with an all-zero table."""

    others: Tensor  # (sites, m, k-1) the other sites of the cluster
    row: Tensor  # (sites, m) first row of its table in `rows`
    rows: Tensor  # (R, q) energies by species of the site; the last q^(k-1) rows are zero


def pairs_of(terms: Iterable[Any]) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Terms as pairs of site numbers and table of energies, or refused."""
    cure = "give pairs of site numbers and a table of energies, e.g. ((0, 1), np.zeros((2, 2)))"
    for term in items_of("terms", terms, object, cure):
        try:
            sites, table = term
            pair = tuple(whole_number("sites", i, 0) for i in sites), np.asarray(table, dtype=float)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("terms", term, cure) from None
        yield pair


def fold_cluster(sites: tuple[int, ...], table: np.ndarray, lattice: Lattice) -> tuple[tuple[int, ...], np.ndarray]:
    """Sorted distinct sites and the table over them; a repeated site takes the diagonal."""
    if table.shape != (lattice.n_species,) * len(sites):
        raise InputError("table", table.shape, f"a cluster of {len(sites)} sites needs shape {(lattice.n_species,) * len(sites)}")
    if not np.isfinite(table).all():
        raise InputError("table", "not finite", "give finite cluster energies")
    if any(not 0 <= i < lattice.n_sites for i in sites):
        raise InputError("sites", sites, f"site numbers run from 0 to {lattice.n_sites - 1}")
    distinct = tuple(sorted(set(sites)))
    axes = [distinct.index(i) for i in sites]
    return distinct, np.einsum(table, axes, list(range(len(distinct))))


def stack(merged: Mapping[tuple[int, ...], np.ndarray], k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clusters of k sites with their tables; those that are equal but for rounding, 1e-14 of the largest energy, are shared."""
    sites = sorted(s for s in merged if len(s) == k)
    tables = np.stack([merged[s] for s in sites])
    digits = np.round(tables / (np.abs(tables).max() or 1.0), _DIGITS).reshape(len(sites), -1)
    _, first, inverse = np.unique(digits, axis=0, return_index=True, return_inverse=True)
    return torch.tensor(sites), torch.from_numpy(inverse.reshape(-1).astype(np.int64)), torch.from_numpy(tables[first])


def list_by_site(lattice: Lattice, clusters: Clusters) -> SiteClusters:
    """The clusters of one body order, for every site those that hold it."""
    k, q, n = clusters.sites.shape[1], lattice.n_species, lattice.n_sites
    # tables with each position in turn as the last axis; table t seen from position a starts at row (t * k + a) q^(k-1)
    turned = torch.stack([clusters.energies.movedim(1 + a, -1).flatten(1) for a in range(k)], 1)
    rows = torch.cat([turned.reshape(-1, q), turned.new_zeros(q ** (k - 1), q)])
    zero = len(rows) - q ** (k - 1)
    members: list[list[tuple[list[int], int]]] = [[] for _ in range(n)]
    for site_list, t in zip(clusters.sites.tolist(), clusters.table.tolist(), strict=True):
        for a, site in enumerate(site_list):
            members[site].append((site_list[:a] + site_list[a + 1 :], (t * k + a) * q ** (k - 1)))
    m = max(1, max(map(len, members)))
    others = torch.tensor([[o for o, _ in row] + [[i] * (k - 1)] * (m - len(row)) for i, row in enumerate(members)])
    first = torch.tensor([[r for _, r in row] + [zero] * (m - len(row)) for row in members])
    return SiteClusters(others.reshape(n, m, k - 1).long().to(clusters.sites.device), first.to(clusters.sites.device), rows)
