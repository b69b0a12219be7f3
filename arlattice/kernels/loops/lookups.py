# mypy: ignore-errors
"""Energies of one configuration after the other: its clusters are looked up in a `SiteTable`."""

from __future__ import annotations

import numpy as np

from arlattice.kernels.loops.compiling import inlined, sums
from arlattice.kernels.site_table import SiteTable

__all__ = [
    "completed",
    "completed_sites",
    "energies",
    "energies_of_site",
    "flips",
    "scratch",
    "site_energies",
    "swap_difference",
    "swap_differences",
]

_U64 = np.uint64
_ABSENT = _U64(2**40)  # in place of a species: whatever it is part of is as large


@inlined
def _sum(table: SiteTable, kind, local, rows, species):
    """Energy of a site that holds a species, its neighbours' species given (slots,)."""
    q, total = _U64(table.rows.shape[2]), rows[0, 0] * 0
    for p in range(table.starts.shape[1] - 1):
        first, last = table.starts[kind, p], table.starts[kind, p + 1]
        if first == last:
            continue
        at = table.slot_starts[first]
        if p == 0:
            for c in range(first, last):
                total += rows[table.row[c], species]
        elif p == 1:
            for c in range(first, last):
                total += rows[table.row[c] + local[table.slots[at]], species]
                at += 1
        elif p == 2:
            for c in range(first, last):
                total += rows[table.row[c] + local[table.slots[at]] * q + local[table.slots[at + 1]], species]
                at += 2
        elif p == 3:
            for c in range(first, last):
                code = (local[table.slots[at]] * q + local[table.slots[at + 1]]) * q + local[table.slots[at + 2]]
                total += rows[table.row[c] + code, species]
                at += 3
        else:
            for c in range(first, last):
                code = local[table.slots[at]]
                for j in range(1, p):
                    code = code * q + local[table.slots[at + j]]
                total += rows[table.row[c] + code, species]
                at += p
    return total


@inlined
def energies_of_site(table: SiteTable, allowed, member, x, site, local, out):
    """Energies of a site by its species, relative to its first one, (species,); 0 where it may not be."""
    for s in range(table.neighbours.shape[1]):
        local[s] = x[table.neighbours[site, s]]
    rows, first = table.rows[member], True
    for s in range(rows.shape[1]):
        out[s] = 0
        if allowed[site, s]:
            if not first:
                out[s] = _sum(table, table.kind[site], local, rows, s)
            first = False


@inlined
def _energy(table: SiteTable, member, x, local):
    """Energy of one configuration by a table that lists each cluster once."""
    rows, total = table.rows[member], 0.0
    for site in range(len(x)):
        for s in range(table.neighbours.shape[1]):
            local[s] = x[table.neighbours[site, s]]
        total += _sum(table, table.kind[site], local, rows, x[site])
    return total


@inlined
def scratch(table):
    """Room for the species of the neighbours of a site."""
    return np.zeros(max(1, table.neighbours.shape[1]), np.uint64)


@sums
def energies(table: SiteTable, constant, member, x, out, first, last):
    """Energies of rows ``first`` to ``last`` of x (batch, sites)."""
    local = scratch(table)
    for b in range(first, last):
        m = member[b % len(member)]
        out[b] = constant[m] + _energy(table, m, x[b], local)


@sums
def site_energies(table: SiteTable, allowed, member, x, site, out, first, last):
    """Energies (batch, species) of one site a row, site (batch,)."""
    local = scratch(table)
    for b in range(first, last):
        energies_of_site(table, allowed, member[b % len(member)], x[b], site[b], local, out[b])


@sums
def flips(table: SiteTable, allowed, member, x, out, first, last):
    """E(x with site i set to s) - E(x), (batch, sites, species)."""
    local = scratch(table)
    for b in range(first, last):
        for site in range(x.shape[1]):
            energies_of_site(table, allowed, member[b % len(member)], x[b], site, local, out[b, site])
            out[b, site] -= out[b, site, x[b, site]]


@inlined
def swap_difference(table, allowed, member, x, a, b, local, one, two):
    """Energy of exchanging the species of two sites; x is left as it was."""
    first, second = x[a], x[b]
    energies_of_site(table, allowed, member, x, a, local, one)
    x[a] = second
    energies_of_site(table, allowed, member, x, b, local, two)
    x[a] = first
    return one[second] - one[first] + two[first] - two[second]


@sums
def swap_differences(table: SiteTable, allowed, member, x, a, b, out, first, last):
    """Energy differences (batch,) of exchanging sites a and b of each row."""
    local = scratch(table)
    q = table.rows.shape[2]
    one, two, row = np.empty(q, table.rows.dtype), np.empty(q, table.rows.dtype), np.empty(x.shape[1], np.int64)
    for i in range(first, last):
        row[:] = x[i]
        out[i] = swap_difference(table, allowed, member[i % len(member)], row, a[i], b[i], local, one, two)


@inlined
def _complete(table: SiteTable, member, local, found, site, out):
    """Energies of a site by its species, of the clusters whose other sites are all there; local (slots,) is `_ABSENT` where one is not.

    Nothing is asked before all rows are found: half of the answers would be guessed wrong. The last row holds zeros.
    """
    q, kind, rows, none = _U64(table.rows.shape[2]), table.kind[site], table.rows[member], _U64(table.rows.shape[1] - 1)
    begin, end = table.starts[kind, 0], table.starts[kind, table.starts.shape[1] - 1]
    for p in range(table.starts.shape[1] - 1):
        first, last = table.starts[kind, p], table.starts[kind, p + 1]
        if first == last:
            continue
        at = table.slot_starts[first]
        for c in range(first, last):
            code = _U64(0)
            if p == 1:
                code = local[table.slots[at]]
            elif p == 2:
                code = local[table.slots[at]] * q + local[table.slots[at + 1]]
            elif p > 2:
                code = (local[table.slots[at]] * q + local[table.slots[at + 1]]) * q + local[table.slots[at + 2]]
                for j in range(3, p):
                    code = min(code, _ABSENT) * q + local[table.slots[at + j]]
            at += p
            found[c - begin] = table.row[c] + code if code < _ABSENT else none
    for s in range(rows.shape[1]):
        total = rows[0, 0] * 0
        for c in range(end - begin):
            total += rows[found[c], s]
        out[s] = total


@inlined
def _found(table):
    most = 0
    for k in range(table.starts.shape[0]):
        most = max(most, np.int64(table.starts[k, table.starts.shape[1] - 1]) - np.int64(table.starts[k, 0]))
    return np.empty(max(1, most), np.uint64)


@sums
def completed(table: SiteTable, member, x, rank, out, first, last):
    """Energies (batch, sites, species) of the clusters that each site completes; rank (batch, sites) in the order."""
    local, found = scratch(table), _found(table)
    for b in range(first, last):
        for site in range(x.shape[1]):
            for s in range(table.neighbours.shape[1]):
                other = table.neighbours[site, s]
                local[s] = x[b, other] if rank[b, other] < rank[b, site] else _ABSENT
            _complete(table, member[b % len(member)], local, found, site, out[b, site])


@sums
def completed_sites(table: SiteTable, member, x, site, out, first, last):
    """Energies (batch, k, species) of the clusters that each of k sites a row would complete; x is -1 where nothing is placed."""
    local, found = scratch(table), _found(table)
    for b in range(first, last):
        for j in range(site.shape[1]):
            for s in range(table.neighbours.shape[1]):
                species = x[b, table.neighbours[site[b, j], s]]
                local[s] = species if species >= 0 else _ABSENT
            _complete(table, member[b % len(member)], local, found, site[b, j], out[b, j])
