"""`TabledHamiltonian`: energies that compiled loops read from tables, whatever the tables were made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from arlattice.device import check_device
from arlattice.hamiltonians import Hamiltonian
from arlattice.kernels.choose import Energies, choose_kernels
from arlattice.kernels.tables import Tables
from arlattice.lattice import Lattice

__all__ = ["TabledHamiltonian"]


class TabledHamiltonian(Hamiltonian):
    """A sum of cluster energies, whose tables are made when they are first read and shared by all copies.

    Attributes:
        member: which of several Hamiltonians each configuration of a batch belongs to, (batch,) int64; None: there is one alone.
    """

    member: Tensor | None = None

    def __init__(self, lattice: Lattice, *, units: str = "eV", name: str = "unnamed", options: Mapping[str, Any] | None = None) -> None:
        super().__init__(lattice, units=units, name=name, options=options)
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._made: dict[Any, Any] = {}  # tables, and kernels by device and precision

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be made again: compiled kernels do not travel to other processes."""
        return self.__dict__ | {"_made": {}}

    @abstractmethod
    def compile_tables(self) -> Tables:
        """The tables, made anew; read them by `tables`."""

    @property
    def tables(self) -> Tables:
        """What compiled loops read."""
        if "tables" not in self._made:
            self._made["tables"] = self.compile_tables()
        return self._made["tables"]

    @property
    def kernels(self) -> Energies:
        """What computes the energies, on this device and in this precision; it checks nothing."""
        key = self._device, self._dtype
        if key not in self._made:
            self._made[key] = choose_kernels(self.tables, self._device, self._dtype, self.member)
        return self._made[key]

    @property
    def compiled(self) -> Energies | None:
        """`kernels`, unless a subclass computes energies in another way."""
        methods = ("energy", "site_energies", "swap_differences")
        return self.kernels if all(getattr(type(self), name) is getattr(TabledHamiltonian, name) for name in methods) else None

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same Hamiltonian with its tables on another device or in float32 / float64."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._device = self._device if device is None else check_device(device)
        new._dtype = self._dtype if dtype is None else dtype
        return new

    def energy(self, occupations: Tensor) -> Tensor:
        return self.kernels.energy(occupations)

    def site_energies(self, occupations: Tensor, site: Tensor | int) -> Tensor:
        return self.kernels.site_energies(occupations, torch.as_tensor(site, device=occupations.device).view(-1))

    def flip_differences(self, occupations: Tensor) -> Tensor:
        return self.kernels.flip_differences(occupations)

    def swap_differences(self, occupations: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return self.kernels.swap_differences(occupations, first, second)

    def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
        steps = torch.arange(order.shape[1], device=order.device).expand_as(order)
        return self.kernels.completed_energies(occupations, torch.empty_like(order).scatter_(1, order, steps))

    def completed_site_energies(self, occupations: Tensor, site: Tensor) -> Tensor:
        if site.ndim == 2:
            return self.kernels.completed_site_energies(occupations, site)
        return self.kernels.completed_site_energies(occupations, site.view(-1, 1).expand(len(occupations), 1))[:, 0]
