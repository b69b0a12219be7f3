# mypy: ignore-errors
"""The random numbers of `arlattice.random_numbers`, made one by one where they are needed (Philox4x32-10)."""

from __future__ import annotations

import numpy as np

from arlattice.kernels.loops.compiling import inlined, loop

__all__ = ["keys_of", "nothing_made", "number", "philox", "scan_order", "uniform"]

_U32 = np.uint32
_U64 = np.uint64
_M0, _M1 = _U64(0xD2511F53), _U64(0xCD9E8D57)
_W0, _W1 = _U32(0x9E3779B9), _U32(0xBB67AE85)
_LOW = _U64(0xFFFFFFFF)
_TINY = 2.0**-53


@loop
def keys_of(seed):
    """The keys of all rounds, (10, 2)."""
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
def philox(a, b, c, d, keys):
    """Four random words of a counter of four."""
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
def number(high, low):
    """A number in [0, 1) of 53 bits."""
    return np.float64((_U64(high) << _U64(21)) | (_U64(low) >> _U64(11))) * _TINY


@loop
def uniform(keys, purpose, sample, step, pair):
    """The number of one step; ``pair`` keeps the words made last and the step they are of, (5,) uint64."""
    half = step >> 1
    if pair[4] != _U64(half):
        a, b, c, d = philox(_U32(_U64(half) & _LOW), _U32(_U64(half) >> _U64(32)), _U32(sample), purpose.word, keys)
        pair[0], pair[1], pair[2], pair[3], pair[4] = a, b, c, d, half
    if step & 1:
        return number(pair[2], pair[3])
    return number(pair[0], pair[1])


@inlined
def nothing_made():
    """What `uniform` keeps, before its first number."""
    return np.full(5, _U64(0xFFFFFFFFFFFFFFFF))


@loop
def scan_order(keys, purpose, sweep, order, noise, pair):
    """The order of visits of a sweep: sites by rising random numbers."""
    n = len(order)
    for i in range(n):
        noise[i] = uniform(keys, purpose, 0, purpose.step + sweep * n + i, pair)
    order[:] = np.argsort(noise)
