# mypy: ignore-errors
"""The loops that numba compiles for the CPU: lookups for one chain, counts for many side by side.

They stand in one file because the cache of compiled code looks at the file of a function, not at what it calls: in two, a change of one
would leave old code in the other. All take plain arrays; `arlattice.kernels.cpu` knows what they mean and hands out the chains to threads.
numba finds the types, so none are written here. Random numbers are those of `arlattice.random_numbers`: a function of the seed, the
purpose, the number of the chain and the step.

`Lanes` of chains lie side by side in memory, so that one instruction works on many of them. No sum is reordered there: what a chain does
depends neither on how many others lie beside it nor on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from arlattice.kernels.count_table import CountTable
from arlattice.kernels.site_table import SiteTable

__all__ = [
    "BondTable",
    "Chains",
    "Exponential",
    "Purpose",
    "chain_sweeps",
    "completed",
    "completed_sites",
    "energies",
    "flips",
    "lane_energies",
    "lane_flips",
    "lane_sweeps",
    "metropolis_sweeps",
    "site_energies",
    "swap_differences",
    "swap_sweeps",
    "swendsen_wang_sweeps",
    "wolff_sweeps",
]

_U8, _U32, _U64 = np.uint8, np.uint32, np.uint64
_M0, _M1 = _U64(0xD2511F53), _U64(0xCD9E8D57)
_W0, _W1 = _U32(0x9E3779B9), _U32(0xBB67AE85)
_LOW = _U64(0xFFFFFFFF)
_TINY = 2.0**-53
_ABSENT = np.uint64(2**40)  # in place of a species: whatever it is part of is as large
_MOST_COUNTED = 255  # by a byte


def loop(function: Callable[..., Any]) -> Any:
    """Compile, for any types; the interpreter is not held while it runs."""
    return _compiled(function, nogil=True, error_model="numpy")


def sums(function: Callable[..., Any]) -> Any:
    """Compile a loop over single chains: their sums, which have no lanes, may be reordered."""
    return _compiled(function, nogil=True, error_model="numpy", fastmath={"reassoc"})


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep compiled code: neither beside this file nor in a home
        return njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile as a part of what calls it: a call that takes many arrays costs more than such a part does."""
    return njit(inline="always", error_model="numpy")(function)


class Purpose(NamedTuple):
    """Where the numbers of one purpose begin: the word of `arlattice.random_numbers.purpose_word`, and the step."""

    word: np.uint32
    step: np.int64


class Chains(NamedTuple):
    """States of chains: inverse temperature (chains,), chemical potentials (chains, species), member of the family (chains,)."""

    beta: np.ndarray
    mu: np.ndarray
    member: np.ndarray


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


class Exponential(NamedTuple):
    """Constants of exp() in one precision, in arrays of its floating-point and integer types."""

    log2e: np.ndarray
    ln2: np.ndarray
    series: np.ndarray
    lowest: np.ndarray
    integers: np.ndarray


# -- random numbers --------------------------------------------------------------------------------


@loop
def _keys(seed):
    keys = np.empty((10, 2), np.uint32)
    a, b = _U32(seed & _LOW), _U32(seed >> _U64(32))
    for r in range(10):
        keys[r, 0] = a
        keys[r, 1] = b
        a = _U32(a + _W0)
        b = _U32(b + _W1)
    return keys


@inlined
def _round(a, b, c, d, k0, k1):
    p, r = _U64(a) * _M0, _U64(c) * _M1
    return _U32(r >> _U64(32)) ^ b ^ k0, _U32(r), _U32(p >> _U64(32)) ^ d ^ k1, _U32(p)


@inlined
def _philox(a, b, c, d, keys):
    a, b, c, d = _round(a, b, c, d, keys[0, 0], keys[0, 1])
    a, b, c, d = _round(a, b, c, d, keys[1, 0], keys[1, 1])
    a, b, c, d = _round(a, b, c, d, keys[2, 0], keys[2, 1])
    a, b, c, d = _round(a, b, c, d, keys[3, 0], keys[3, 1])
    a, b, c, d = _round(a, b, c, d, keys[4, 0], keys[4, 1])
    a, b, c, d = _round(a, b, c, d, keys[5, 0], keys[5, 1])
    a, b, c, d = _round(a, b, c, d, keys[6, 0], keys[6, 1])
    a, b, c, d = _round(a, b, c, d, keys[7, 0], keys[7, 1])
    a, b, c, d = _round(a, b, c, d, keys[8, 0], keys[8, 1])
    return _round(a, b, c, d, keys[9, 0], keys[9, 1])


@inlined
def _number(high, low):
    return np.float64((_U64(high) << _U64(21)) | (_U64(low) >> _U64(11))) * _TINY


@loop
def _uniform(keys, purpose, sample, step, pair):
    """The number of one step; ``pair`` keeps the words made last and the step they are of, (5,) uint64."""
    half = step >> 1
    if pair[4] != _U64(half):
        a, b, c, d = _philox(_U32(_U64(half) & _LOW), _U32(_U64(half) >> _U64(32)), _U32(sample), purpose.word, keys)
        pair[0], pair[1], pair[2], pair[3], pair[4] = a, b, c, d, half
    if step & 1:
        return _number(pair[2], pair[3])
    return _number(pair[0], pair[1])


@inlined
def _nothing_made():
    return np.full(5, _U64(0xFFFFFFFFFFFFFFFF))


@loop
def _scan(keys, purpose, sweep, order, noise, pair):
    """The order of visits of a sweep: sites by rising random numbers."""
    n = len(order)
    for i in range(n):
        noise[i] = _uniform(keys, purpose, 0, purpose.step + sweep * n + i, pair)
    order[:] = np.argsort(noise)


@loop
def _lane_words(keys, purpose, half, first, words):
    """Four words of each lane, (4, lanes)."""
    low, high = _U32(_U64(half) & _LOW), _U32(_U64(half) >> _U64(32))
    for c in range(words.shape[1]):
        words[0, c], words[1, c], words[2, c], words[3, c] = _philox(low, high, _U32(first + c), purpose.word, keys)


@inlined
def _lane_numbers(words, odd, out):
    """Numbers in [0, 1): 53 bits in float64, the first 24 of them in float32."""
    high, low = words[2 * odd], words[2 * odd + 1]
    if out.itemsize == 8:
        for c in range(len(out)):
            out[c] = _number(high[c], low[c])
    else:
        for c in range(len(out)):
            out[c] = np.float32(high[c] >> _U32(8)) * np.float32(2.0**-24)


# -- one configuration: lookups --------------------------------------------------------------------


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
def _site(table: SiteTable, allowed, member, x, site, local, out):
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
def _local(table):
    return np.zeros(max(1, table.neighbours.shape[1]), np.uint64)


@sums
def energies(table: SiteTable, constant, member, x, out, first, last):
    """Energies of rows ``first`` to ``last`` of x (batch, sites)."""
    local = _local(table)
    for b in range(first, last):
        m = member[b % len(member)]
        out[b] = constant[m] + _energy(table, m, x[b], local)


@sums
def site_energies(table: SiteTable, allowed, member, x, site, out, first, last):
    """Energies (batch, species) of one site a row, site (batch,)."""
    local = _local(table)
    for b in range(first, last):
        _site(table, allowed, member[b % len(member)], x[b], site[b], local, out[b])


@sums
def flips(table: SiteTable, allowed, member, x, out, first, last):
    """E(x with site i set to s) - E(x), (batch, sites, species)."""
    local = _local(table)
    for b in range(first, last):
        for site in range(x.shape[1]):
            _site(table, allowed, member[b % len(member)], x[b], site, local, out[b, site])
            out[b, site] -= out[b, site, x[b, site]]


@inlined
def _swap_difference(table, allowed, member, x, a, b, local, one, two):
    """Energy of exchanging the species of two sites; x is left as it was."""
    first, second = x[a], x[b]
    _site(table, allowed, member, x, a, local, one)
    x[a] = second
    _site(table, allowed, member, x, b, local, two)
    x[a] = first
    return one[second] - one[first] + two[first] - two[second]


@sums
def swap_differences(table: SiteTable, allowed, member, x, a, b, out, first, last):
    """Energy differences (batch,) of exchanging sites a and b of each row."""
    local = _local(table)
    q = table.rows.shape[2]
    one, two, row = np.empty(q, table.rows.dtype), np.empty(q, table.rows.dtype), np.empty(x.shape[1], np.int64)
    for i in range(first, last):
        row[:] = x[i]
        out[i] = _swap_difference(table, allowed, member[i % len(member)], row, a[i], b[i], local, one, two)


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
    local, found = _local(table), _found(table)
    for b in range(first, last):
        for site in range(x.shape[1]):
            for s in range(table.neighbours.shape[1]):
                other = table.neighbours[site, s]
                local[s] = x[b, other] if rank[b, other] < rank[b, site] else _ABSENT
            _complete(table, member[b % len(member)], local, found, site, out[b, site])


@sums
def completed_sites(table: SiteTable, member, x, site, out, first, last):
    """Energies (batch, k, species) of the clusters that each of k sites a row would complete; x is -1 where nothing is placed."""
    local, found = _local(table), _found(table)
    for b in range(first, last):
        for j in range(site.shape[1]):
            for s in range(table.neighbours.shape[1]):
                species = x[b, table.neighbours[site[b, j], s]]
                local[s] = species if species >= 0 else _ABSENT
            _complete(table, member[b % len(member)], local, found, site[b, j], out[b, j])


# -- one chain -------------------------------------------------------------------------------------


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
def chain_sweeps(table: SiteTable, allowed, chains: Chains, x, seed, noise, scan, given, order, sweeps, first, last):
    """Heat baths, chain by chain: all chains visit the sites of a sweep in one random order.

    ``given`` (visits, chains) and ``order`` (sweeps, visits a sweep) stand for random numbers, if they are not empty.
    """
    n = order.shape[1] if len(order) else x.shape[1]
    q = allowed.shape[1]
    local = _local(table)
    energy, weight = np.empty(q, table.rows.dtype), np.empty(q)
    keys, pair, scan_pair = _keys(seed), _nothing_made(), _nothing_made()
    visits, ranks = np.empty(n, np.int64), np.empty(n)
    for c in range(first, last):
        pair[4] = scan_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        for r in range(sweeps):
            if len(order):
                visits[:] = order[r]
            else:
                _scan(keys, scan, r, visits, ranks, scan_pair)
            for t in range(n):
                step = r * n + t
                u = given[step, c] if len(given) else _uniform(keys, noise, c, noise.step + step, pair)
                site = visits[t]
                _site(table, allowed, chains.member[c], x[c], site, local, energy)
                x[c, site] = _draw(energy, chains.beta[c], chains.mu[c], allowed[site], u, weight)


@sums
def metropolis_sweeps(table: SiteTable, allowed, chains: Chains, x, seed, noise, sites, given, order, sweeps, first, last):
    """Metropolis, chain by chain, each at its own random sites.

    ``given`` (visits, chains) and ``order`` (visits, chains) stand for random numbers, if they are not empty.
    """
    n, q = x.shape[1], allowed.shape[1]
    local = _local(table)
    energy = np.empty(q, table.rows.dtype)
    keys, pair, site_pair = _keys(seed), _nothing_made(), _nothing_made()
    for c in range(first, last):
        pair[4] = site_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        beta, mu = chains.beta[c], chains.mu[c]
        for step in range(len(order) if len(order) else sweeps * n):
            u = given[step, c] if len(given) else _uniform(keys, noise, c, noise.step + step, pair)
            site = order[step, c] if len(order) else np.int64(_uniform(keys, sites, c, sites.step + step, site_pair) * n)
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
            _site(table, allowed, chains.member[c], x[c], site, local, energy)
            if rest < math.exp(beta * (energy[old] - mu[old] - energy[new] + mu[new])):
                x[c, site] = new


@sums
def swap_sweeps(table: SiteTable, allowed, chains: Chains, x, seed, noise, pairs, given, order, sweeps, first, last):
    """Swaps, chain by chain, each of its own random pairs.

    ``given`` (visits, chains) and ``order`` (visits, 2, chains) stand for random numbers, if they are not empty.
    """
    n, q = x.shape[1], allowed.shape[1]
    local = _local(table)
    one, two = np.empty(q, table.rows.dtype), np.empty(q, table.rows.dtype)
    keys, pair, site_pair = _keys(seed), _nothing_made(), _nothing_made()
    for c in range(first, last):
        pair[4] = site_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        for step in range(len(order) if len(order) else sweeps * n):
            if len(order):
                a, b = order[step, 0, c], order[step, 1, c]
            else:
                at = pairs.step + 2 * step
                a = np.int64(_uniform(keys, pairs, c, at, site_pair) * n)
                b = np.int64(_uniform(keys, pairs, c, at + 1, site_pair) * n)
            first_species, second_species = x[c, a], x[c, b]
            if first_species == second_species or not (allowed[a, second_species] and allowed[b, first_species]):
                continue
            u = given[step, c] if len(given) else _uniform(keys, noise, c, noise.step + step, pair)
            if u < math.exp(-chains.beta[c] * _swap_difference(table, allowed, chains.member[c], x[c], a, b, local, one, two)):
                x[c, a], x[c, b] = second_species, first_species


# -- many chains side by side: counts --------------------------------------------------------------


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
    keys, scan_pair, member = _keys(seed), _nothing_made(), chains.member[first]
    visits, ranks = np.empty(n, np.int64), np.empty(n)
    made = np.int64(-1)
    for r in range(sweeps):
        if len(order):
            visits[:] = order[r]
        else:
            _scan(keys, scan, r, visits, ranks, scan_pair)
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


# -- clusters of active bonds ----------------------------------------------------------------------


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
    keys, pair, bond_pair = _keys(seed), _nothing_made(), _nothing_made()
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
                    u = _uniform(keys, bond_noise, c, bond_noise.step + r * len(bonds.pairs) + b, bond_pair)
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
                    species[i] = _pick(logits[i], _uniform(keys, noise, c, noise.step + r * n + i, pair))
                x[c, i] = species[root]


@loop
def wolff_sweeps(bonds: BondTable, chains: Chains, x, seed, noise, sites, bond_noise, sweeps, first, last):
    """The cluster of a random site turned, chain by chain: grown alone, by the numbers of the bonds that it meets."""
    n, q = bonds.fields.shape
    keys, pair, site_pair, bond_pair = _keys(seed), _nothing_made(), _nothing_made(), _nothing_made()
    member, stack = np.zeros(n, np.bool_), np.empty(n, np.int64)
    for c in range(first, last):
        pair[4] = site_pair[4] = bond_pair[4] = _U64(0xFFFFFFFFFFFFFFFF)
        beta, mu = chains.beta[c], chains.mu[c]
        for r in range(sweeps):
            stack[0] = np.int64(_uniform(keys, sites, c, sites.step + r, site_pair) * n)
            size, done, old = 1, 0, x[c, stack[0]]
            member[stack[0]] = True
            while done < size:
                i = stack[done]
                done += 1
                for k in range(bonds.starts[i], bonds.starts[i + 1]):
                    j, b = bonds.neighbours[k], bonds.numbers[k]
                    if not member[j] and x[c, j] == old:
                        u = _uniform(keys, bond_noise, c, bond_noise.step + r * len(bonds.pairs) + b, bond_pair)
                        if u < -math.expm1(-beta * bonds.coupling[b]):
                            member[j] = True
                            stack[size] = j
                            size += 1
            u = _uniform(keys, noise, c, noise.step + r, pair) * (q - 1)
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
