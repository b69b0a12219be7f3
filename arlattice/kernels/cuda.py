"""`CudaKernels`: energies and sweeps of a cluster expansion on a GPU, by kernels that NVRTC compiles (`loops.cu`).

torch brings NVRTC along, so no CUDA toolkit is needed. The kernels of a precision and a number of species are compiled when they are
first used, in about a second, and run on the current stream: recorded graphs may hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arlattice.kernels.numbers import Numbers
from arlattice.kernels.site_table import SiteTable
from arlattice.kernels.tables import Tables

__all__ = ["CudaKernels", "available"]

_MOST_SLOTS = 1023  # of a packed cluster
_ROWS_IN_SHARED = 16 * 1024  # bytes
_SHARED = 100 * 1024  # bytes of a block, so that two of them share a multiprocessor
_LANES = 128
_RULES = {"heat-bath": 0, "metropolis": 1, "swap": 2}


@cache
def available() -> bool:
    """Whether kernels can be compiled and run here."""
    try:
        _compiled("energies", torch.float32, 2, True)
    except Exception:  # NVRTC, the driver or torch's call of them is another than we know: gathers do instead
        return False
    return True


class CudaKernels:
    """Kernels over the tables of a Hamiltonian.

    Args:
        tables: what to read.
        device: a GPU.
        dtype: float64 or float32.
        member: which of a family each configuration of a batch belongs to, (batch,); None: there is one alone.
    """

    def __init__(self, tables: Tables, device: torch.device, dtype: torch.dtype, member: Tensor | None = None) -> None:
        self.tables, self.dtype = tables, dtype
        self._sites, self._listed, self._anchored = (_OnDevice(t, device, dtype) for t in (tables.sites, tables.listed, tables.anchored))
        self._member = torch.zeros(1, dtype=torch.int32, device=device) if member is None else member.to(device, torch.int32)
        self._constant = torch.from_numpy(tables.constant).to(device)
        bits = (tables.allowed * 2 ** np.arange(tables.allowed.shape[1])).sum(1)
        self._allowed = torch.from_numpy(bits.astype(np.int32)).to(device)
        self._n_sites, self._q = tables.allowed.shape

    # -- energies: see the methods of `arlattice.Hamiltonian` ------------------------------------

    def energy(self, x: Tensor) -> Tensor:
        table, out = self._anchored, torch.empty(len(x), dtype=self.dtype, device=x.device)
        lanes = _LANES
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
        return self._at(self._sites, x, None, 1)

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
        new, table = x.clone(memory_format=torch.contiguous_format), self._sites
        order = numbers.places  # that of a heat bath is always given
        visits = self._n_sites if order is None else order.shape[1] if rule == "heat-bath" else len(order) // max(1, sweeps)
        around, lanes = self._sites.n_slots, _LANES
        in_shared = self._n_sites * lanes + around * lanes <= _SHARED
        shared = table.shared + (around + self._n_sites * in_shared) * lanes
        far = x.new_empty(0 if in_shared else self._n_sites * -(-len(x) // lanes) * lanes, dtype=torch.uint8)
        states = [self._allowed, beta.double().contiguous(), mu.double().contiguous(), new, far]
        counts = [len(x), self._n_sites, sweeps, visits, _RULES[rule]]
        random = [*_words(numbers.seed), *(w for word, step in numbers.purposes for w in (word, *_words(step)))]
        given = [_or_null(None if numbers.noise is None else numbers.noise.to(x.device, torch.float64))]
        given += [_or_null(None if order is None else order.to(x.device, torch.int32))]
        arguments = [*table.arguments, table.members, table.fits, self._member_of(x), *states, *counts, *random, *given]
        self._run("sweeps", len(x), lanes, shared, arguments, in_shared)
        return new

    def _member_of(self, x: Tensor) -> Tensor:
        """Of every configuration of a batch, which holds all of them so many times."""
        return self._member.repeat(len(x) // len(self._member))

    def _run(self, name: str, n: int, lanes: int, shared: int, arguments: list[Any], in_shared: bool = True) -> None:
        if n:
            kernel = _compiled(name, self.dtype, self._q, in_shared)
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
        self.fits = int(size <= _ROWS_IN_SHARED)
        self.shared = -(-size // 16) * 16 if self.fits else 0


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


def _words(number: int) -> tuple[int, int]:
    """The low and the high 32 bits."""
    return number & 0xFFFFFFFF, number >> 32


@cache
def _compiled(name: str, dtype: torch.dtype, n_species: int, in_shared: bool) -> Callable[..., None]:
    source = Path(__file__).with_name("loops.cu").read_text(encoding="utf-8")
    real = "double" if dtype == torch.float64 else "float"
    head = f"#define REAL {real}\n#define Q {n_species}\n#define SHARED_STATE {int(in_shared)}\n"
    kernel: Any = torch.cuda._compile_kernel(head + source, name)
    properties: Any = torch.cuda.get_device_properties()
    kernel.set_shared_memory_config(properties.shared_memory_per_block_optin)
    return kernel
