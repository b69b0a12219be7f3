"""`CpuKernels`: energies and sweeps of a cluster expansion by loops that numba compiles.

A few configurations are looked up one after the other; many are counted side by side (`arlattice.kernels.count_table`). Chains are
handed to as many threads as torch uses; results do not depend on their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from itertools import pairwise
from math import ceil, factorial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from arlattice.kernels.count_table import CountTable
from arlattice.kernels.loops import chains, lanes, lookups
from arlattice.kernels.loops.inputs import Chains, Purpose
from arlattice.kernels.numbers import Numbers
from arlattice.kernels.site_table import SiteTable
from arlattice.kernels.tables import Tables
from arlattice.kernels.threads import Work, in_threads, run, threads_for

__all__ = ["CpuKernels"]

_FEW = 6  # configurations that are looked up faster than counted
_LANES = 256  # side by side: their bytes stay in the cache of a core
_VECTOR = 64  # bytes that one instruction works on, at most
_FASTER = 50  # times as fast as looking up
_ONE_BY_ONE: dict[str, Any] = {
    "heat-bath": chains.heat_bath_sweeps,
    "metropolis": chains.metropolis_sweeps,
    "swap": chains.swap_sweeps,
}


class CpuKernels:
    """Compiled loops over the tables of a Hamiltonian.

    Args:
        tables: what to read.
        dtype: float64, or float32 for speed.
        member: which of a family each configuration of a batch belongs to, (batch,); None: there is one alone.
    """

    def __init__(self, tables: Tables, dtype: torch.dtype, member: Tensor | None = None) -> None:
        self.tables, self.dtype = tables, dtype
        self._real = np.float32 if dtype == torch.float32 else np.float64
        self._member = np.zeros(1, np.int64) if member is None else member.numpy()
        self._sites, self._listed, self._anchored = (_in_precision(t, self._real) for t in (tables.sites, tables.listed, tables.anchored))
        self._clusters = len(tables.listed.row) / max(1, len(tables.listed.starts))

    def of(self, member: Tensor) -> Self:
        """See `arlattice.kernels.choose.Energies`."""
        self._site_counts, self._energy_counts  # noqa: B018 made once, and shared
        other = copy(self)
        other._member = member.numpy()
        return other

    # -- energies: see the methods of `arlattice.Hamiltonian` ------------------------------------

    def energy(self, x: Tensor) -> Tensor:
        rows, out = _array(x), np.empty(len(x), self._real)
        constant = self.tables.constant
        if len(x) > _FEW and (counts := self._energy_counts) is not None:
            around: Any = counts, constant, self._member
            self._side_by_side(lambda a, b: lanes.lane_energies(*around, rows, out, a, b), len(x))
        else:
            self._in_threads(lambda a, b: lookups.energies(self._anchored, constant, self._member, rows, out, a, b), len(x))
        return torch.from_numpy(out)

    def site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        rows, sites, out = _array(x), _array(site.expand(len(x))), self._by_species(len(x))
        self._in_threads(
            lambda a, b: lookups.site_energies(self._sites, self.tables.allowed, self._member, rows, sites, out, a, b), len(x), 1
        )
        return torch.from_numpy(out)

    def flip_differences(self, x: Tensor) -> Tensor:
        rows, out = _array(x), self._by_species(*x.shape)
        if (counts := self._site_counts) is not None:
            around: Any = counts, self._member
            self._side_by_side(lambda a, b: lanes.lane_flips(*around, rows, out, a, b), len(x))
        else:
            self._in_threads(lambda a, b: lookups.flips(self._sites, self.tables.allowed, self._member, rows, out, a, b), len(x))
        return torch.from_numpy(out)

    def swap_differences(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        rows, out = _array(x), np.empty(len(x), self._real)
        pair = _array(first), _array(second)
        self._in_threads(
            lambda a, b: lookups.swap_differences(self._sites, self.tables.allowed, self._member, rows, *pair, out, a, b), len(x), 2
        )
        return torch.from_numpy(out)

    def completed_energies(self, x: Tensor, rank: Tensor) -> Tensor:
        rows, ranks, out = _array(x), _array(rank), self._by_species(*x.shape)
        self._in_threads(lambda a, b: lookups.completed(self._listed, self._member, rows, ranks, out, a, b), len(x))
        return torch.from_numpy(out)

    def completed_site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        rows, sites, out = _array(x), _array(site), self._by_species(*site.shape)
        self._in_threads(lambda a, b: lookups.completed_sites(self._listed, self._member, rows, sites, out, a, b), len(x), site.shape[1])
        return torch.from_numpy(out)

    # -- sweeps ----------------------------------------------------------------------------------

    def sweep(self, rule: str, x: Tensor, beta: Tensor, mu: Tensor, numbers: Numbers, sweeps: int) -> Tensor:
        """New occupations after sweeps of a move, ``heat-bath``, ``metropolis`` or ``swap``."""
        new = _array(x).copy()
        states = Chains(_array(beta.double()), _array(mu.double()), np.resize(self._member, len(x)))
        noise, places = (Purpose(np.uint32(word), np.int64(step)) for word, step in numbers.purposes)
        random: Any = states, new, np.uint64(numbers.seed), noise, places, *map(_array, numbers.given(rule)), sweeps
        allowed = self.tables.allowed
        if rule == "heat-bath" and len(x) >= _FEW and (counts := self._site_counts) is not None:
            around: Any = counts, allowed, _exponential(self._real)
            self._side_by_side(lambda a, b: lanes.lane_sweeps(*around, *random, a, b), len(x), sweeps)
        else:
            one_by_one = _ONE_BY_ONE[rule]
            self._in_threads(lambda a, b: one_by_one(self._sites, allowed, *random, a, b), len(x), sweeps * x.shape[1])
        return torch.from_numpy(new)

    # -- what lies behind ------------------------------------------------------------------------

    @cached_property
    def _site_counts(self) -> CountTable | None:
        return self._counts(False)

    @cached_property
    def _energy_counts(self) -> CountTable | None:
        return self._counts(True)

    def _counts(self, energies: bool) -> CountTable | None:
        table = self.tables.counts(energies=energies)
        return None if table is None else table._replace(weights=table.weights.astype(self._real))

    def _by_species(self, *shape: int) -> np.ndarray:
        return np.empty((*shape, self.tables.allowed.shape[1]), self._real)

    def _in_threads(self, work: Work, n: int, sites: int | None = None) -> None:
        """Split n configurations, where each reads so many sites."""
        in_threads(work, n, self._clusters * (len(self._sites.kind) if sites is None else sites))

    def _side_by_side(self, work: Work, n: int, times: int = 1) -> None:
        """n configurations side by side, all sites of each so many times."""
        threads = threads_for(n * times * self._clusters * len(self._sites.kind) / _FASTER, n)
        run(work, [*self._blocks(n, threads)], threads)

    def _blocks(self, n: int, threads: int) -> Iterator[tuple[int, int]]:
        """Neighbouring configurations of one member, few enough to lie side by side, and as many blocks as threads."""
        ends = [0, *(np.flatnonzero(np.diff(np.resize(self._member, n))) + 1).tolist(), n]
        for first, last in pairwise(ends):
            share = ceil((last - first) / threads / _VECTOR) * _VECTOR
            for start in range(first, last, min(_LANES, share) or 1):
                yield start, min(start + min(_LANES, share), last)


def _in_precision(table: SiteTable, real: type) -> SiteTable:
    """Energies in the precision asked for, indices without a sign: numba tests the sign of an index each time."""
    indices = {name: getattr(table, name).astype(np.uint32) for name in table._fields if name != "rows"}
    return table._replace(rows=table.rows.astype(real), **indices)


def _array(tensor: Tensor) -> np.ndarray:
    """Of one layout: loops are compiled for each."""
    return tensor.contiguous().numpy()


def _exponential(real: type) -> lanes.Exponential:
    """Cody and Waite: exp(v) = 2^k exp(v - k ln 2), the last by its Taylor series to less than a rounding error."""
    single = real is np.float32
    high = 0.693359375 if single else 6.93145751953125e-1
    low = -2.12194440e-4 if single else 1.42860682030941723212e-6
    series = [1 / factorial(j) for j in range(7 if single else 13, -1, -1)]
    numbers = ([1.4426950408889634], [high, low], series, [-80.0 if single else -700.0])
    integers = np.array([127, 23], np.int32) if single else np.array([1023, 52], np.int64)
    return lanes.Exponential._make([*(np.array(n, real) for n in numbers), integers])
