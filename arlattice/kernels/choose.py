"""Which kernels compute the energies of a Hamiltonian: compiled ones where they are to be had, gathers elsewhere."""

from __future__ import annotations

import importlib.util
from typing import Protocol, Self

import torch
from torch import Tensor

from arlattice.kernels.tables import Tables

__all__ = ["Energies", "choose_kernels", "numba_is_there"]

_COMPILED = (torch.float32, torch.float64)


class Energies(Protocol):
    """What all kernels compute. Occupations are int64 (batch, sites) on their device and are not checked."""

    def of(self, member: Tensor) -> Self:
        """The same kernels for other configurations, given the member of each (batch,), on their device."""

    def energy(self, x: Tensor) -> Tensor:
        """(batch,)."""

    def site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        """Of one site (1,) or one a row (batch,), up to a constant a row: (batch, species)."""

    def flip_differences(self, x: Tensor) -> Tensor:
        """(batch, sites, species)."""

    def swap_differences(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Of one pair a row, (batch,)."""

    def completed_energies(self, x: Tensor, rank: Tensor) -> Tensor:
        """Rank (batch, sites) of the sites in an order: (batch, sites, species)."""

    def completed_site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        """Sites (batch, k) to be placed, -1 in x where nothing is placed: (batch, k, species)."""


def numba_is_there() -> bool:
    """Whether loops can be compiled for the CPU; it comes with arlattice, but not on every platform."""
    return importlib.util.find_spec("numba") is not None


def choose_kernels(tables: Tables, device: torch.device, dtype: torch.dtype, member: Tensor | None = None) -> Energies:
    """Compiled kernels of a device and a precision, or gathers."""
    if device.type == "cpu" and dtype in _COMPILED and numba_is_there():
        from arlattice.kernels.cpu import CpuKernels

        return CpuKernels(tables, dtype, member)
    if device.type == "cuda" and dtype in _COMPILED:
        from arlattice.kernels import nvrtc
        from arlattice.kernels.cuda import CudaKernels

        if nvrtc.available():
            return CudaKernels(tables, device, dtype, member)
    from arlattice.kernels.gathers import GatherKernels

    return GatherKernels(tables, device, dtype, member)
