"""The clusters of an expansion: terms made of pairs of sites and table, merged, stacked by body order."""

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

__all__ = ["Clusters", "check_clusters", "fold_cluster", "pairs_of", "stack"]

_DIGITS = 14  # of table entries over the largest: all but the last bits, which sums in another order change


@dataclass(frozen=True)
class Clusters:
    """All clusters of one body order k. C clusters, T distinct tables, q species."""

    sites: Tensor  # (C, k)
    table: Tensor  # (C,) row of `energies`
    energies: Tensor  # (T, q, ..., q), the last axis is the last site


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
