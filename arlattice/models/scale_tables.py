"""`Layout`: the blocks of one kind of plan on a supercell, and for every scale what its network needs to know of the cells, as tensors.

Tables name sites by their place in the order of the plan, so that a plan that is moved as a whole needs no other tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from arlattice.decoding.scales import Scale, Scales
from arlattice.models.torus_convolution import Rim
from arlattice.plan import Plan
from arlattice.random_numbers import Stream

__all__ = ["Layout", "ScaleTables"]

_SHIFTS = 2**25  # entries of the table of translated sites, at most


@dataclass(frozen=True)
class ScaleTables:
    """One scale, on a device. M cells, C sites a cell, N sites.

    Attributes:
        level: 0 is the finest; -1 is the first cell of all.
        cells, sites: M and C.
        rim: of the torus of its cells.
        members: place in the order of every site of every cell, (M C,).
        slot: the entry of ``members`` that is a place, M C where there is none, (N,).
        codes: what a place is in its cell and scale: class of the cell and site of the cell, one-hot, (N, codes).
        mean: takes the mean over the cells of the finest scale in the region of each cell that are no cells of this scale, (M, M_0);
            None where there are none.
    """

    level: int
    cells: int
    sites: int
    rim: Rim
    members: Tensor
    slot: Tensor
    codes: Tensor
    mean: Tensor | None

    def to(self, device: torch.device) -> ScaleTables:
        """The same elsewhere."""
        mean = None if self.mean is None else self.mean.to(device)
        members, slot, codes = (t.to(device) for t in (self.members, self.slot, self.codes))
        return replace(self, rim=self.rim.to(device), members=members, slot=slot, codes=codes, mean=mean)


class Layout:
    """The blocks of one kind of plan.

    Args:
        scales: of the supercell.
    """

    def __init__(self, scales: Scales) -> None:
        self.scales, self.lattice = scales, scales.lattice
        self.sizes = Plan(scales.order[None], scales.sizes).sizes
        self.order = scales.order
        self._kept: dict[torch.device, tuple[ScaleTables, ...]] = {}
        self._shifted: dict[torch.device, Tensor] = {}

    @cached_property
    def scale_of_block(self) -> list[int]:
        """Number of the scale of every block, -1 for the sites that may hold one species only."""
        fixed = [-1] if len(self.scales.fixed) else []
        return fixed + [k for k, scale in enumerate(self.scales) for _ in scale.blocks]

    def tables(self, device: torch.device) -> tuple[ScaleTables, ...]:
        """Of all scales, coarsest first, on a device."""
        if device not in self._kept:
            self._kept[device] = tuple(t.to(device) for t in self._tables)
        return self._kept[device]

    @cached_property
    def _tables(self) -> tuple[ScaleTables, ...]:
        place = self.order.argsort()
        return tuple(self._table(scale, place) for scale in self.scales)

    def _table(self, scale: Scale, place: Tensor) -> ScaleTables:
        members = place[torch.from_numpy(scale.members)].flatten()
        slot = torch.full((len(place),), len(members)).scatter_(0, members, torch.arange(len(members)))
        codes = torch.zeros(len(place), scale.labels + len(self.scales.cell))
        for block in scale.blocks:
            here = place[torch.from_numpy(scale.members[block.cells, block.site])]
            codes[here, block.label] = 1.0
            codes[here, scale.labels + block.site] = 1.0
        rim = Rim.of(scale.torus, self.scales.axes, scale.dilation)
        level = -1 if scale.root else scale.level
        return ScaleTables(level, len(scale.torus), len(self.scales.cell), rim, members, slot, codes, self._mean(scale))

    def _mean(self, scale: Scale) -> Tensor | None:
        finest = self.scales.scales[-1].torus
        if len(scale.torus) == len(finest):
            return None
        nearest = scale.torus.number(np.ceil(finest.points / scale.spacing - 0.5).astype(int))
        finer = np.ones(len(finest))
        finer[finest.number(scale.torus.points * scale.spacing)] = 0.0
        mean = np.zeros((len(scale.torus), len(finest)))
        mean[nearest, np.arange(len(finest))] = finer
        return torch.from_numpy(mean / np.maximum(mean.sum(1, keepdims=True), 1)).float()

    # -- plans -----------------------------------------------------------------------------------

    def plan(self, n: int, stream: Stream) -> Plan:
        """``n`` plans, each moved by a random translation of the supercell."""
        shift = stream["origin"].integers(self.lattice.n_cells, 1, n)[0]
        return Plan(self._moved(shift), self.sizes)

    def are_moved(self, order: Tensor) -> Tensor:
        """Which rows (n, sites) are the order of these blocks, moved by a translation: (n,)."""
        first, sites = self.order[:1], self.lattice.n_sites // self.lattice.n_cells
        there, here = self.lattice.cell_offsets[order[:, 0].cpu().numpy()], self.lattice.cell_offsets[first.numpy()]
        shift = self.lattice.site_index(there - here, 0) // sites
        return (self._moved(torch.from_numpy(shift).to(order.device)) == order).all(1)

    def _moved(self, shift: Tensor) -> Tensor:
        lattice, device = self.lattice, shift.device
        if lattice.n_cells * lattice.n_sites > _SHIFTS:
            offsets = lattice.cell_offsets[lattice.n_sites // lattice.n_cells * shift.cpu().numpy()]
            moved = lattice.cell_offsets[self.order.numpy()] + offsets[:, None]
            return torch.from_numpy(lattice.site_index(moved, lattice.sublattice[self.order.numpy()])).to(device)
        if device not in self._shifted:
            self._shifted[device] = lattice.translations[:, self.order].to(device, torch.int32)
        return self._shifted[device][shift].long()
