# mypy: ignore-errors
"""Sweeps of one chain after the other, by lookups: heat baths, Metropolis and swaps."""

from __future__ import annotations

import math

import numpy as np

from arlattice.kernels.loops.compiling import inlined, sums
from arlattice.kernels.loops.inputs import Chains
from arlattice.kernels.loops.lookups import energies_of_site, scratch, swap_difference
from arlattice.kernels.loops.philox import keys_of, nothing_made, scan_order, uniform
from arlattice.kernels.site_table import SiteTable

__all__ = ["heat_bath_sweeps", "metropolis_sweeps", "swap_sweeps"]

_U64 = np.uint64


@inlined
def _draw(energy, beta, mu, allowed, u, weight):
    """The species of a heat bath: the first whose cumulative weight exceeds the number u."""
    q, top = len(energy), -np.inf
    for s in range(q):
        weight[s] = beta * (mu[s] - energy[s])
        if allowed[s] and weight[s] > top:
            top = weight[s]
    total = 0.0
    for s in range(q):
        if allowed[s]:
            total += math.exp(weight[s] - top)
        weight[s] = total
    species = 0
    for s in range(q - 1):
        species += weight[s] <= u * total
    return species


@sums
def heat_bath_sweeps(table: SiteTable, allowed, chains: Chains, x, seed, noise, scan, given, order, sweeps, first, last):
    """Heat baths, chain by chain: all chains visit the sites of a sweep in one random order.

    ``given`` (visits, chains) and ``order`` (sweeps, visits a sweep) stand for random numbers, if they are not empty.
    """
    n = order.shape[1] if len(order) else x.shape[1]
    q = allowed.shape[1]
    local = scratch(table)
    energy, weight = np.empty(q, table.rows.dtype), np.empty(q)
    keys, pair, scan_pair = keys_of(seed), nothing_made(), nothing_made()
    visits, ranks = np.empty(n, np.int64), np.empty(n)
    for c in range(first, last):
        pair[4] = scan_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        for r in range(sweeps):
            if len(order):
                visits[:] = order[r]
            else:
                scan_order(keys, scan, r, visits, ranks, scan_pair)
            for t in range(n):
                step = r * n + t
                u = given[step, c] if len(given) else uniform(keys, noise, c, noise.step + step, pair)
                site = visits[t]
                energies_of_site(table, allowed, chains.member[c], x[c], site, local, energy)
                x[c, site] = _draw(energy, chains.beta[c], chains.mu[c], allowed[site], u, weight)


@sums
def metropolis_sweeps(table: SiteTable, allowed, chains: Chains, x, seed, noise, sites, given, order, sweeps, first, last):
    """Metropolis, chain by chain, each at its own random sites.

    ``given`` (visits, chains) and ``order`` (visits, chains) stand for random numbers, if they are not empty.
    """
    n, q = x.shape[1], allowed.shape[1]
    local = scratch(table)
    energy = np.empty(q, table.rows.dtype)
    keys, pair, site_pair = keys_of(seed), nothing_made(), nothing_made()
    for c in range(first, last):
        pair[4] = site_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        beta, mu = chains.beta[c], chains.mu[c]
        for step in range(len(order) if len(order) else sweeps * n):
            u = given[step, c] if len(given) else uniform(keys, noise, c, noise.step + step, pair)
            site = order[step, c] if len(order) else np.int64(uniform(keys, sites, c, sites.step + step, site_pair) * n)
            old, others = x[c, site], -1
            for s in range(q):
                others += allowed[site, s]
            if others < 1:
                continue
            pick = min(np.int64(u * others), others - 1)
            rest = u * others - pick
            new = 0
            for s in range(q):
                if allowed[site, s] and s != old:
                    if pick == 0:
                        new = s
                        break
                    pick -= 1
            energies_of_site(table, allowed, chains.member[c], x[c], site, local, energy)
            if rest < math.exp(beta * (energy[old] - mu[old] - energy[new] + mu[new])):
                x[c, site] = new


@sums
def swap_sweeps(table: SiteTable, allowed, chains: Chains, x, seed, noise, pairs, given, order, sweeps, first, last):
    """Swaps, chain by chain, each of its own random pairs.

    ``given`` (visits, chains) and ``order`` (visits, 2, chains) stand for random numbers, if they are not empty.
    """
    n, q = x.shape[1], allowed.shape[1]
    local = scratch(table)
    one, two = np.empty(q, table.rows.dtype), np.empty(q, table.rows.dtype)
    keys, pair, site_pair = keys_of(seed), nothing_made(), nothing_made()
    for c in range(first, last):
        pair[4] = site_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        for step in range(len(order) if len(order) else sweeps * n):
            if len(order):
                a, b = order[step, 0, c], order[step, 1, c]
            else:
                at = pairs.step + 2 * step
                a = np.int64(uniform(keys, pairs, c, at, site_pair) * n)
                b = np.int64(uniform(keys, pairs, c, at + 1, site_pair) * n)
            first_species, second_species = x[c, a], x[c, b]
            if first_species == second_species or not (allowed[a, second_species] and allowed[b, first_species]):
                continue
            u = given[step, c] if len(given) else uniform(keys, noise, c, noise.step + step, pair)
            if u < math.exp(-chains.beta[c] * swap_difference(table, allowed, chains.member[c], x[c], a, b, local, one, two)):
                x[c, a], x[c, b] = second_species, first_species
