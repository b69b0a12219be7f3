# mypy: ignore-errors
"""Many configurations side by side: the products of a `CountTable` are counted.

*Lanes* lie side by side in memory, so that one instruction works on many of them. No sum is reordered here: what a chain does depends
neither on how many others lie beside it nor on threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arlattice.kernels.count_table import CountTable
from arlattice.kernels.loops.compiling import inlined, loop
from arlattice.kernels.loops.inputs import Chains
from arlattice.kernels.loops.philox import keys_of, nothing_made, number, philox, scan_order

__all__ = ["Exponential", "lane_energies", "lane_flips", "lane_sweeps"]

_U8 = np.uint8
_U32 = np.uint32
_U64 = np.uint64
_LOW = _U64(0xFFFFFFFF)
_MOST_COUNTED = 255  # by a byte


class Exponential(NamedTuple):
    """Constants of exp() in one precision, in arrays of its floating-point and integer types."""

    log2e: np.ndarray
    ln2: np.ndarray
    series: np.ndarray
    lowest: np.ndarray
    integers: np.ndarray


@loop
def _lane_words(keys, purpose, half, first, words):
    """Four words of each lane, (4, lanes)."""
    low, high = _U32(_U64(half) & _LOW), _U32(_U64(half) >> _U64(32))
    for c in range(words.shape[1]):
        words[0, c], words[1, c], words[2, c], words[3, c] = philox(low, high, _U32(first + c), purpose.word, keys)


@inlined
def _lane_numbers(words, odd, out):
    """Numbers in [0, 1): 53 bits in float64, the first 24 of them in float32."""
    high, low = words[2 * odd], words[2 * odd + 1]
    if out.itemsize == 8:
        for c in range(len(out)):
            out[c] = number(high[c], low[c])
    else:
        for c in range(len(out)):
            out[c] = np.float32(high[c] >> _U32(8)) * np.float32(2.0**-24)


@loop
def _planes(table: CountTable, x, first, planes):
    """Bytes [x_i = a] (features, lanes) of rows of x (batch, sites)."""
    for i in range(table.feature.shape[0]):
        for a in range(table.feature.shape[1]):
            f = table.feature[i, a]
            if f >= 0:
                for c in range(planes.shape[1]):
                    planes[f, c] = x[first + c, i] == a


@inlined
def _add_products(table: CountTable, planes, site, f, at, size, count):
    """How many products of a group are 1 in each lane, added to count (lanes,) bytes; several at a time, to begin fewer loops."""
    lanes, near, places = len(count), table.near, table.places
    j, end = at, at + f * size
    if f == 1:
        while j + 4 <= end:
            a, b, d, e = near[site, places[j]], near[site, places[j + 1]], near[site, places[j + 2]], near[site, places[j + 3]]
            for c in range(lanes):
                count[c] += planes[a, c] + planes[b, c] + planes[d, c] + planes[e, c]
            j += 4
    elif f == 2:
        while j + 6 <= end:
            a, b, d = near[site, places[j]], near[site, places[j + 1]], near[site, places[j + 2]]
            e, g, h = near[site, places[j + 3]], near[site, places[j + 4]], near[site, places[j + 5]]
            for c in range(lanes):
                count[c] += (planes[a, c] & planes[b, c]) + (planes[d, c] & planes[e, c]) + (planes[g, c] & planes[h, c])
            j += 6
    elif f == 3:
        while j + 6 <= end:
            a, b, d = near[site, places[j]], near[site, places[j + 1]], near[site, places[j + 2]]
            e, g, h = near[site, places[j + 3]], near[site, places[j + 4]], near[site, places[j + 5]]
            for c in range(lanes):
                count[c] += (planes[a, c] & planes[b, c] & planes[d, c]) + (planes[e, c] & planes[g, c] & planes[h, c])
            j += 6
    while j < end:
        a, b = near[site, places[j]], near[site, places[j + (f > 1)]]
        d, e = near[site, places[j + 2 * (f > 2)]], near[site, places[j + 3 * (f > 3)]]
        if f <= 4:
            for c in range(lanes):
                count[c] += planes[a, c] & planes[b, c] & planes[d, c] & planes[e, c]
        else:
            for c in range(lanes):
                whole = planes[a, c] & planes[b, c] & planes[d, c] & planes[e, c]
                for k in range(4, f):
                    whole &= planes[near[site, places[j + k]], c]
                count[c] += whole
        j += f


@inlined
def _lane_site(table: CountTable, member, planes, site, count, value, out):
    """Energies of a site relative to its first species, (species, lanes); count and value are scratch (lanes,)."""
    lanes = len(count)
    for s in range(out.shape[0]):
        for c in range(lanes):
            out[s, c] = 0
    kind = table.kind[site]
    for g in range(table.starts[kind], table.starts[kind + 1]):
        f, at, left = table.factors[g], table.first[g], table.sizes[g]
        while left > 0:
            size = min(left, _MOST_COUNTED)
            none = _U8(f == 0)
            for c in range(lanes):
                count[c] = none
            if f > 0:
                _add_products(table, planes, site, f, at, size, count)
            for s in range(out.shape[0]):
                weight = table.weights[member, g, s]
                if weight != 0:
                    for c in range(lanes):
                        value[c] = count[c]
                    for c in range(lanes):
                        out[s, c] += weight * value[c]
            at += f * size
            left -= size


@inlined
def _lane_exponential(constants: Exponential, v, s, power, series):
    """exp(v[s]) of lanes, v[s] <= 0, in place; power and series are scratch (lanes,)."""
    log2e, high, low, lowest = constants.log2e[0], constants.ln2[0], constants.ln2[1], constants.lowest[0]
    bias, shift, first = constants.integers[0], constants.integers[1], constants.series[0]
    lanes = len(series)
    for c in range(lanes):
        a = max(v[s, c], lowest)
        k = np.rint(a * log2e)
        v[s, c] = (a - k * high) - k * low
        power[c] = k
        series[c] = first
    for c in range(lanes):
        power[c] = (power[c] + bias) << shift
    for j in range(1, len(constants.series)):
        term = constants.series[j]
        for c in range(lanes):
            series[c] = series[c] * v[s, c] + term
    whole = power.view(v.dtype)
    for c in range(lanes):
        v[s, c] = series[c] * whole[c]


@loop
def lane_sweeps(table: CountTable, allowed, constants, chains: Chains, x, seed, noise, scan, given, order, sweeps, first, last):
    """Heat baths of chains ``first`` to ``last`` side by side; all of one member. See `chain_sweeps`."""
    n = order.shape[1] if len(order) else x.shape[1]
    n_sites, q, lanes = x.shape[1], allowed.shape[1], last - first
    real = table.weights.dtype
    planes = np.zeros((max(1, table.feature.max() + 1), lanes), np.uint8)
    _planes(table, x, first, planes)
    count, words = np.empty(lanes, np.uint8), np.empty((4, lanes), np.uint32)
    energy, u = np.empty((q, lanes), real), np.empty(lanes, real)
    top, total, scratch = np.empty(lanes, real), np.empty(lanes, real), np.empty(lanes, real)
    power, state = np.empty(lanes, constants.integers.dtype), np.empty((n_sites, lanes), np.uint8)
    for c in range(lanes):
        for i in range(n_sites):
            state[i, c] = x[first + c, i]
    beta, mu = np.empty(lanes, real), np.empty((q, lanes), real)
    for c in range(lanes):
        beta[c] = chains.beta[first + c]
        for s in range(q):
            mu[s, c] = chains.mu[first + c, s]
    keys, scan_pair, member = keys_of(seed), nothing_made(), chains.member[first]
    visits, ranks = np.empty(n, np.int64), np.empty(n)
    made = np.int64(-1)
    for r in range(sweeps):
        if len(order):
            visits[:] = order[r]
        else:
            scan_order(keys, scan, r, visits, ranks, scan_pair)
        for t in range(n):
            step = noise.step + r * n + t
            if len(given):
                for c in range(lanes):
                    u[c] = given[r * n + t, first + c]
            else:
                if step >> 1 != made:
                    made = step >> 1
                    _lane_words(keys, noise, made, first, words)
                _lane_numbers(words, step & 1, u)
            site = visits[t]
            _lane_site(table, member, planes, site, count, scratch, energy)
            species = state[site]
            _lane_draw(constants, allowed[site], beta, mu, u, energy, top, total, scratch, power, species)
            for a in range(q):
                f = table.feature[site, a]
                if f >= 0:
                    for c in range(lanes):
                        planes[f, c] = species[c] == a
    for c in range(lanes):
        for i in range(n_sites):
            x[first + c, i] = state[i, c]


@inlined
def _lane_draw(constants, allowed, beta, mu, u, energy, top, total, scratch, power, species):
    """Species of a heat bath in each lane; energy (species, lanes) is overwritten, the last four but species are scratch (lanes,)."""
    q, lanes = energy.shape
    for c in range(lanes):
        top[c] = -np.inf
        total[c] = 0
        species[c] = 0
    for s in range(q):
        if allowed[s]:
            for c in range(lanes):
                energy[s, c] = beta[c] * (mu[s, c] - energy[s, c])
                top[c] = max(top[c], energy[s, c])
    for s in range(q):
        if allowed[s]:
            for c in range(lanes):
                energy[s, c] -= top[c]
            _lane_exponential(constants, energy, s, power, scratch)
            for c in range(lanes):
                total[c] += energy[s, c]
        for c in range(lanes):
            energy[s, c] = total[c]
    for s in range(q - 1):
        for c in range(lanes):
            species[c] += energy[s, c] <= u[c] * total[c]


@loop
def lane_energies(table: CountTable, constant, member, x, out, first, last):
    """Energies of rows ``first`` to ``last`` of x (batch, sites), side by side; all of one member."""
    lanes = last - first
    planes, count = np.zeros((max(1, table.feature.max() + 1), lanes), np.uint8), np.empty(lanes, np.uint8)
    _planes(table, x, first, planes)
    one, total = np.empty((1, lanes), table.weights.dtype), np.full(lanes, constant[member[first % len(member)]])
    scratch = np.empty(lanes, table.weights.dtype)
    for site in range(x.shape[1]):
        _lane_site(table, member[first % len(member)], planes, site, count, scratch, one)
        v = one[0]
        for c in range(lanes):
            total[c] += v[c]
    for c in range(lanes):
        out[first + c] = total[c]


@loop
def lane_flips(table: CountTable, member, x, out, first, last):
    """E(x with site i set to s) - E(x) of rows ``first`` to ``last``, (batch, sites, species); all of one member."""
    lanes, q = last - first, table.feature.shape[1]
    planes = np.zeros((max(1, table.feature.max() + 1), lanes), np.uint8)
    _planes(table, x, first, planes)
    count = np.empty(lanes, np.uint8)
    energy, scratch = np.empty((q, lanes), table.weights.dtype), np.empty(lanes, table.weights.dtype)
    for site in range(x.shape[1]):
        _lane_site(table, member[first % len(member)], planes, site, count, scratch, energy)
        for c in range(lanes):
            own = energy[x[first + c, site], c]
            for s in range(q):
                out[first + c, site, s] = energy[s, c] - own
