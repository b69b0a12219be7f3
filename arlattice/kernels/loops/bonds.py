# mypy: ignore-errors
"""Swendsen-Wang and Wolff, one chain after the other: clusters of active bonds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from arlattice.kernels.loops.compiling import loop
from arlattice.kernels.loops.inputs import Chains
from arlattice.kernels.loops.philox import keys_of, nothing_made, uniform

__all__ = ["BondTable", "swendsen_wang_sweeps", "wolff_sweeps"]

_U64 = np.uint64


class BondTable(NamedTuple):
    """Bonds that may be active: sites (bonds, 2), coupling (bonds,), energies of the sites alone (sites, species).

    Bonds of site i are entries ``starts[i]`` to ``starts[i + 1]`` of ``neighbours``, the other sites, and ``numbers``, the bonds.
    """

    pairs: np.ndarray
    coupling: np.ndarray
    fields: np.ndarray
    starts: np.ndarray
    neighbours: np.ndarray
    numbers: np.ndarray


@loop
def _root(parent, site):
    while parent[site] != site:
        parent[site] = parent[parent[site]]
        site = parent[site]
    return site


@loop
def _pick(logits, u):
    """The first species whose cumulative weight exceeds the number u."""
    top, total, species = logits.max(), 0.0, 0
    for s in range(len(logits)):
        total += math.exp(logits[s] - top)
    before = 0.0
    for s in range(len(logits) - 1):
        before += math.exp(logits[s] - top)
        species += before <= u * total
    return species


@loop
def swendsen_wang_sweeps(bonds: BondTable, chains: Chains, x, seed, noise, bond_noise, sweeps, first, last):
    """All clusters coloured anew, chain by chain; a cluster takes the number of its lowest site."""
    n, q = bonds.fields.shape
    keys, pair, bond_pair = keys_of(seed), nothing_made(), nothing_made()
    parent, logits, species = np.empty(n, np.int64), np.empty((n, q)), np.empty(n, np.int64)
    for c in range(first, last):
        pair[4] = bond_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        beta, mu = chains.beta[c], chains.mu[c]
        for r in range(sweeps):
            for i in range(n):
                parent[i] = i
                for s in range(q):
                    logits[i, s] = 0
            for b in range(len(bonds.pairs)):
                i, j = bonds.pairs[b, 0], bonds.pairs[b, 1]
                if x[c, i] == x[c, j]:
                    u = uniform(keys, bond_noise, c, bond_noise.step + r * len(bonds.pairs) + b, bond_pair)
                    if u < -math.expm1(-beta * bonds.coupling[b]):
                        i, j = _root(parent, i), _root(parent, j)
                        parent[max(i, j)] = min(i, j)
            for i in range(n):
                root = _root(parent, i)
                for s in range(q):
                    logits[root, s] -= beta * (bonds.fields[i, s] - mu[s])
            for i in range(n):
                root = _root(parent, i)
                if root == i:
                    species[i] = _pick(logits[i], uniform(keys, noise, c, noise.step + r * n + i, pair))
                x[c, i] = species[root]


@loop
def wolff_sweeps(bonds: BondTable, chains: Chains, x, seed, noise, sites, bond_noise, sweeps, first, last):
    """The cluster of a random site turned, chain by chain: grown alone, by the numbers of the bonds that it meets."""
    n, q = bonds.fields.shape
    keys, pair, site_pair, bond_pair = keys_of(seed), nothing_made(), nothing_made(), nothing_made()
    member, stack = np.zeros(n, np.bool_), np.empty(n, np.int64)
    for c in range(first, last):
        pair[4] = site_pair[4] = bond_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        beta, mu = chains.beta[c], chains.mu[c]
        for r in range(sweeps):
            stack[0] = np.int64(uniform(keys, sites, c, sites.step + r, site_pair) * n)
            size, done, old = 1, 0, x[c, stack[0]]
            member[stack[0]] = True
            while done < size:
                i = stack[done]
                done += 1
                for k in range(bonds.starts[i], bonds.starts[i + 1]):
                    j, b = bonds.neighbours[k], bonds.numbers[k]
                    if not member[j] and x[c, j] == old:
                        u = uniform(keys, bond_noise, c, bond_noise.step + r * len(bonds.pairs) + b, bond_pair)
                        if u < -math.expm1(-beta * bonds.coupling[b]):
                            member[j] = True
                            stack[size] = j
                            size += 1
            u = uniform(keys, noise, c, noise.step + r, pair) * (q - 1)
            if q > 1:
                pick = min(np.int64(u), q - 2)
                new = pick + (pick >= old)
                change = 0.0
                for k in range(size):
                    change -= beta * (bonds.fields[stack[k], new] - mu[new] - bonds.fields[stack[k], old] + mu[old])
                accept = u - pick < math.exp(min(change, 0.0))
            for k in range(size):
                member[stack[k]] = False
                if q > 1 and accept:
                    x[c, stack[k]] = new
