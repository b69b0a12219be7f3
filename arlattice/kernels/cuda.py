"""`CudaKernels`: energies and sweeps of a cluster expansion on a GPU, by kernels that NVRTC compiles.

A kernel is compiled when it is first used, in about a second, and runs on the current stream: recorded graphs may hold it. There are two
ways, as on a CPU: products are counted for four chains a lane where all of them do the same (`counts.cu`), and tables are looked up by a
lane a chain elsewhere (`loops.cu`).
"""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from arlattice.kernels import nvrtc
from arlattice.kernels.count_table import CountTable
from arlattice.kernels.numbers import Numbers
from arlattice.kernels.site_table import SiteTable
from arlattice.kernels.straight_line import sites_near, straight_line
from arlattice.kernels.tables import Tables

__all__ = ["CudaKernels"]

_MOST_SLOTS = 1023  # of a packed cluster
_MOST_PRODUCTS = 4096  # of all kinds of site, as code
_DATA_IN_SHARED = 16 * 1024  # bytes of tables that all lanes of a block read
_SHARED = 100 * 1024  # bytes of a block, so that two of them share a multiprocessor
_LANES = 128
_WARPS = 12  # that are worth to run at once on a multiprocessor, for those that count
_STATE_IN_SHARED = 200 * 1024  # bytes of a multiprocessor
_TOGETHER = 4  # sites whose energies are written at once
_RULES = {"heat-bath": 0, "metropolis": 1, "swap": 2}


class CudaKernels:
    """Kernels over the tables of a Hamiltonian.

    Args:
        tables: what to read.
        device: a GPU.
        dtype: float64 or float32.
        member: which of a family each configuration of a batch belongs to, (batch,); None: there is one alone.
    """

    def __init__(self, tables: Tables, device: torch.device, dtype: torch.dtype, member: Tensor | None = None) -> None:
        self.tables, self.dtype, self._device = tables, dtype, device
        self._sites, self._listed, self._anchored = (_OnDevice(t, device, dtype) for t in (tables.sites, tables.listed, tables.anchored))
        self._member = torch.zeros(1, dtype=torch.int32, device=device) if member is None else member.to(device, torch.int32)
        self._constant = torch.from_numpy(tables.constant).to(device)
        bits = (tables.allowed * 2 ** np.arange(tables.allowed.shape[1])).sum(1)
        self._allowed = torch.from_numpy(bits.astype(np.int32)).to(device)
        self._n_sites, self._q = tables.allowed.shape

    @cached_property
    def _counts(self) -> _Counted | None:
        """What is counted, or None where there are too many products to be code."""
        table = self.tables.counts()
        if table is None or table.sizes.sum() > _MOST_PRODUCTS:
            return None
        return _Counted(table, self.tables, self._device, self.dtype)

    def of(self, member: Tensor) -> Self:
        """See `arlattice.kernels.choose.Energies`."""
        self._counts  # noqa: B018 made once, and shared
        other = copy(self)
        other._member = member.to(torch.int32)
        return other

    # -- energies: see the methods of `arlattice.Hamiltonian` ------------------------------------

    def energy(self, x: Tensor) -> Tensor:
        out = torch.empty(len(x), dtype=self.dtype, device=x.device)
        if self._counts is not None:
            self._counts.run("energies", x, self._member_of(x), [self._counts.constant, out])
            return out
        table, lanes = self._anchored, _LANES
        while lanes > 32 and self._n_sites * (lanes + 4) > _SHARED:
            lanes //= 2
        if self._n_sites * (lanes + 4) > _SHARED:
            return self._summed(x)
        shared = table.shared + self._n_sites * (lanes + 4)
        arguments = [*table.arguments, table.members, table.fits, self._member_of(x), self._constant, x.contiguous()]
        self._run("energies", len(x), lanes, shared, [*arguments, len(x), self._n_sites, out])
        return out

    def site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        return self._at(self._sites, x, site.expand(len(x))[:, None], 0)[:, 0]

    def flip_differences(self, x: Tensor) -> Tensor:
        if self._counts is None:
            return self._at(self._sites, x, None, 1)
        out = torch.empty(*x.shape, self._q, dtype=self.dtype, device=x.device)
        self._counts.run("flips", x, self._member_of(x), [out])
        return out

    def swap_differences(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        a, b = x.gather(1, first[:, None]), x.gather(1, second[:, None])
        half = x.scatter(1, first[:, None], b)
        one, two = self.site_energies(x, first), self.site_energies(half, second)
        return (one.gather(1, b) - one.gather(1, a) + two.gather(1, a) - two.gather(1, b))[:, 0]

    def completed_energies(self, x: Tensor, rank: Tensor) -> Tensor:
        return self._at(self._listed, x, None, 2, rank)

    def completed_site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        return self._at(self._listed, x, site, 3)

    def _summed(self, x: Tensor) -> Tensor:
        """The energies of configurations that do not fit into shared memory."""
        each = self._at(self._anchored, x, None, 0).gather(2, x[..., None])
        return (each.double().sum((1, 2)) + self._constant[self._member_of(x).long()]).to(self.dtype)

    def _at(self, table: _OnDevice, x: Tensor, site: Tensor | None, mode: int, rank: Tensor | None = None) -> Tensor:
        k = self._n_sites if site is None else site.shape[1]
        out = torch.empty(len(x), k, self._q, dtype=self.dtype, device=x.device)
        where = [x.contiguous(), _or_null(site), _or_null(rank), len(x), k, self._n_sites, mode, out]
        self._run("at_sites", len(x) * k, _LANES, 0, [*table.arguments, table.members, self._member_of(x), *where])
        return out

    # -- sweeps ----------------------------------------------------------------------------------

    def sweep(self, rule: str, x: Tensor, beta: Tensor, mu: Tensor, numbers: Numbers, sweeps: int) -> Tensor:
        """New occupations after sweeps of a move; see `arlattice.kernels.cpu.CpuKernels.sweep`."""
        order = numbers.places  # that of a heat bath is always given
        states = [beta.double().contiguous(), mu.double().contiguous()]
        noise = _or_null(None if numbers.noise is None else numbers.noise.to(x.device, torch.float64))
        places = _or_null(None if order is None else order.to(x.device, torch.int32))
        random = [*nvrtc.words(numbers.seed), *(w for word, step in numbers.purposes for w in (word, *nvrtc.words(step)))]
        if self._counts is not None:
            new = torch.empty_like(x, memory_format=torch.contiguous_format)
            visits = sweeps * self._n_sites if order is None else order.numel() if rule == "heat-bath" else len(order)
            if visits == 0:
                return x.clone()
            self._counts.run(rule, x, self._member_of(x), [*states, places, visits, *random, noise, new])
            return new
        new, table = x.clone(memory_format=torch.contiguous_format), self._sites
        visits = self._n_sites if order is None else order.shape[1] if rule == "heat-bath" else len(order) // max(1, sweeps)
        around, lanes = self._sites.n_slots, _LANES
        in_shared = self._n_sites * lanes + around * lanes <= _SHARED
        shared = table.shared + (around + self._n_sites * in_shared) * lanes
        far = x.new_empty(0 if in_shared else self._n_sites * -(-len(x) // lanes) * lanes, dtype=torch.uint8)
        counts = [len(x), self._n_sites, sweeps, visits, _RULES[rule]]
        arguments = [*table.arguments, table.members, table.fits, self._member_of(x), self._allowed, *states, new, far, *counts, *random]
        self._run("sweeps", len(x), lanes, shared, [*arguments, noise, places], in_shared)
        return new

    def _member_of(self, x: Tensor) -> Tensor:
        """Of every configuration of a batch, which holds all of them so many times."""
        return self._member if len(self.tables.constant) == 1 else self._member.repeat(len(x) // len(self._member))

    def _run(self, name: str, n: int, lanes: int, shared: int, arguments: list[Any], in_shared: bool = True) -> None:
        if n:
            defines = nvrtc.defines(REAL=_REAL[self.dtype], Q=self._q, SHARED_STATE=int(in_shared))
            with torch.cuda.device(self._device):
                kernel = nvrtc.compiled(name, "loops.cu", defines, "", torch.cuda.current_device())
                kernel(grid=(-(-n // lanes), 1, 1), block=(lanes, 1, 1), args=arguments, shared_mem=shared)


class _OnDevice:
    """A `SiteTable` as the arguments of a kernel."""

    def __init__(self, table: SiteTable, device: torch.device, dtype: torch.dtype) -> None:
        self.members, self.n_slots = len(table.rows), table.neighbours.shape[1]
        rows = torch.from_numpy(table.rows).to(device, dtype).contiguous()
        indices = [torch.from_numpy(getattr(table, name)).to(device) for name in table._fields if name != "rows"]
        packed = _packed(table) if self.n_slots <= _MOST_SLOTS else np.zeros((0, 2), np.int32)
        self.arguments: list[Any] = [*indices, _or_null(torch.from_numpy(packed).to(device)), rows]
        self.arguments += [self.n_slots, table.most_others, table.rows.shape[1]]
        size = rows.numel() * rows.element_size()
        self.fits = int(size <= _DATA_IN_SHARED)
        self.shared = _aligned(size) if self.fits else 0


class _Counted:
    """A `CountTable` as code and the arguments of its kernels.

    Energies of configurations are sums over sites too: a product of f other sites and the site itself is met f + 1 times.
    """

    def __init__(self, table: CountTable, tables: Tables, device: torch.device, dtype: torch.dtype) -> None:
        self._code, self._dtype = straight_line(table), dtype
        sites, self._near = sites_near(table, tables.sites.neighbours, tables.sites.kind, tables.allowed)
        self._sites = {size: torch.from_numpy(_in_bytes(sites, 32 * size)).to(device) for size in (1, 4)}
        self._weights = torch.from_numpy(table.weights).to(device, dtype).contiguous()
        shares = table.weights / (table.factors + 1)[:, None]
        self._shares = torch.from_numpy(shares).to(device, dtype).contiguous()
        self.constant = torch.from_numpy(tables.constant + _of_first_species(tables)).to(device)
        self._n_features = max(1, int(table.feature.max(initial=-1)) + 1)
        self._cores = torch.cuda.get_device_properties(device).multi_processor_count

    def run(self, name: str, x: Tensor, member: Tensor, arguments: list[Any]) -> None:
        """Run a kernel over configurations (n, sites)."""
        n, n_sites = x.shape
        if n == 0:
            return
        weights = self._shares if name == "energies" else self._weights
        members, n_groups, q = weights.shape
        chains = 1 if name in ("metropolis", "swap") else 4
        blocks = -(-n // (32 * chains))
        warps, split, shared, width = 1, 1, 0, _TOGETHER * q
        if name in ("energies", "flips"):
            warps = min(8, -(-n_sites // 32))
            shared = warps * chains * (32 * 8 if name == "energies" else (32 * (width + 1) + width) * weights.element_size())
        if name == "flips":
            split = max(1, min(self._cores // blocks, n_sites // (warps * 4 * _TOGETHER)))
        size, cells = weights.numel() * weights.element_size(), 32 * self._n_features
        near_weights = size <= _DATA_IN_SHARED
        shared += _aligned(size) if near_weights else 0
        at_once = min(max(1, _WARPS // warps), -(-blocks // self._cores))
        room = _STATE_IN_SHARED // at_once - shared
        state = 2 if chains == 4 and 4 * cells <= room else 1 if cells <= room else 0
        far = torch.empty(0 if state else blocks * cells, dtype=torch.uint8, device=x.device)
        shared += (0, cells, 4 * cells)[state]
        where = {
            "CHAINS": chains,
            "STATE": state,
            "SHARED_WEIGHTS": int(near_weights),
            "MEMBERS": members,
            "NEAR": self._near,
            "TOGETHER": _TOGETHER,
        }
        defines = nvrtc.defines(REAL=_REAL[self._dtype], Q=q, **where)
        batch = [self._sites[4 if state == 2 else 1], weights, n_groups, n_sites, self._n_features, member, x.contiguous(), n, far]
        with torch.cuda.device(x.device):
            kernel = nvrtc.compiled(name.replace("-", "_"), "counts.cu", defines, self._code, torch.cuda.current_device())
            kernel(grid=(blocks, split, 1), block=(32 * warps, 1, 1), args=[*batch, *arguments], shared_mem=shared)


def _in_bytes(sites: np.ndarray, size: int) -> np.ndarray:
    """A table of sites with features as the bytes before theirs, so many of each; negative ones stay negative."""
    return np.ascontiguousarray(np.column_stack([sites[:, :2], sites[:, 2:] * size]))


def _of_first_species(tables: Tables) -> np.ndarray:
    """Energy of the configuration where every site holds the first species that it may, without the constant, (members,)."""
    table, first = tables.anchored, tables.allowed.argmax(1)
    total = np.zeros(len(table.rows))
    for kind, (site, times) in enumerate(zip(*np.unique(table.kind, return_index=True, return_counts=True)[1:], strict=True)):
        for others in range(table.most_others + 1):
            slots, row = table.clusters(kind, others)
            species = first[table.neighbours[site, slots]]
            code = species @ table.n_species ** np.arange(others)[::-1]
            total += times * table.rows[:, row + code.astype(np.int64), first[site]].sum(1)
    return total


def _packed(table: SiteTable) -> np.ndarray:
    """Three slots of ten bits each and the row of every cluster, (clusters, 2) int32; of larger clusters, nothing to be read."""
    packed = np.zeros((len(table.row), 2), np.int64)
    width = np.diff(np.append(table.slot_starts, len(table.slots)))
    for j in range(3):
        has = (width > j) & (width <= 3)
        packed[has, 0] |= table.slots[table.slot_starts[has] + j].astype(np.int64) << (10 * j)
    packed[:, 1] = table.row
    return packed.astype(np.int32)


def _or_null(tensor: Tensor | None) -> Tensor:
    """A tensor as an argument; an empty one is a null pointer."""
    return torch.empty(0, device="cuda") if tensor is None else tensor.contiguous()


def _aligned(size: int) -> int:
    return -(-size // 16) * 16


_REAL = {torch.float32: "float", torch.float64: "double"}
