"""`GatherKernels`: energies of a cluster expansion by torch alone, on any device: where nothing is compiled, and the proof of what is."""

from __future__ import annotations

from copy import copy
from typing import Self

import numpy as np
import torch
from torch import Tensor

from arlattice.kernels.site_table import SiteTable
from arlattice.kernels.tables import Tables

__all__ = ["GatherKernels"]

_CHUNK = 2**24  # table look-ups held in memory at once


class _Padded:
    """A `SiteTable` by tensors: the clusters of each kind padded with one whose energies are zero."""

    def __init__(self, table: SiteTable, device: torch.device, dtype: torch.dtype) -> None:
        self.kind = torch.from_numpy(table.kind).long().to(device)
        self.neighbours = torch.from_numpy(table.neighbours).long().to(device)
        self.q, self.members = table.n_species, len(table.rows)
        self.by_others = []
        for p in range(table.most_others + 1):
            lists = [table.clusters(k, p) for k in range(len(table.starts))]
            m = max(len(row) for _, row in lists)
            if m:
                slots, row = np.zeros((len(lists), m, p), np.int64), np.full((len(lists), m), table.rows.shape[1])
                for k, (own_slots, own_row) in enumerate(lists):
                    slots[k, : len(own_row)], row[k, : len(own_row)] = own_slots, own_row
                self.by_others.append((torch.from_numpy(slots).to(device), torch.from_numpy(row).to(device)))
        padding = np.zeros((self.members, self.q ** max(0, table.most_others), self.q))
        self.rows = torch.from_numpy(np.concatenate([table.rows, padding], 1)).to(device, dtype).flatten(0, 1)
        self.stride = self.rows.shape[0] // self.members

    @property
    def lookups(self) -> int:
        """Of all sites of one configuration."""
        return max(1, len(self.kind) * sum(slots[0].numel() + row.shape[1] for slots, row in self.by_others))

    def energies(self, x: Tensor, site: Tensor, member: Tensor | None, rank: Tensor | None = None, own: Tensor | None = None) -> Tensor:
        """Energies of sites by their species.

        Args:
            x: (batch, sites).
            site: (k,) the same for all rows, or (batch, k).
            member: of a family, (batch,).
            rank: (batch, sites): clusters of which another site has no lower rank than the site itself are left out.
            own: rank of the sites themselves, as ``site``; None: theirs in ``rank``.

        Returns:
            (batch, k, species).
        """
        site = site.expand(len(x), -1)
        total = torch.zeros(*site.shape, self.q, dtype=self.rows.dtype, device=x.device)
        kind, near = self.kind[site], self.neighbours[site]
        base = 0 if member is None else (member * self.stride)[:, None, None]
        local = x.gather(1, near.flatten(1)).view(near.shape)
        if rank is not None:
            own = rank.gather(1, site) if own is None else own
            before = rank.gather(1, near.flatten(1)).view(near.shape) < own[..., None]
        for slots, row in self.by_others:
            at = slots[kind].flatten(2)
            species = local.gather(2, at).view(*site.shape, *slots.shape[1:])
            code = torch.zeros(species.shape[:-1], dtype=torch.int64, device=x.device)
            for j in range(species.shape[-1]):
                code = code * self.q + species[..., j]
            index = row[kind] + code
            if rank is not None:
                index = torch.where(before.gather(2, at).view(species.shape).all(-1), index, self.stride - 1)
            total = total + self.rows[base + index].sum(-2)
        return total


class GatherKernels:
    """Energies by gathers and table look-ups; sums run in a fixed order.

    Args:
        tables: what to read.
        device: where to.
        dtype: float64 or float32.
        member: which of a family each configuration of a batch belongs to, (batch,); None: there is one alone.
    """

    def __init__(self, tables: Tables, device: torch.device, dtype: torch.dtype, member: Tensor | None = None) -> None:
        self.tables, self._member = tables, None if member is None else member.to(device)
        self._listed, self._anchored = (_Padded(t, device, dtype) for t in (tables.listed, tables.anchored))
        self._constant = torch.from_numpy(tables.constant).to(device, dtype)
        self._every = torch.arange(len(tables.allowed), device=device)

    def of(self, member: Tensor) -> Self:
        """See `arlattice.kernels.choose.Energies`."""
        other = copy(self)
        other._member = member
        return other

    # See the methods of `arlattice.Hamiltonian`.

    def energy(self, x: Tensor) -> Tensor:
        parts = [
            self._anchored.energies(rows, self._every, member).gather(2, rows[..., None]).sum((1, 2))
            for rows, member in self._chunks(self._anchored, x)
        ]
        member = self._member_of(x)
        return torch.cat(parts) + self._constant[0 if member is None else member]

    def site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        return self._listed.energies(x, site.view(-1, 1), self._member_of(x))[:, 0]

    def flip_differences(self, x: Tensor) -> Tensor:
        table = torch.cat([self._listed.energies(rows, self._every, member) for rows, member in self._chunks(self._listed, x)])
        return table - table.gather(2, x[:, :, None])

    def swap_differences(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        a, b = x.gather(1, first[:, None]), x.gather(1, second[:, None])
        half = x.scatter(1, first[:, None], b)
        one, two = self.site_energies(x, first), self.site_energies(half, second)
        return (one.gather(1, b) - one.gather(1, a) + two.gather(1, a) - two.gather(1, b))[:, 0]

    def completed_energies(self, x: Tensor, rank: Tensor) -> Tensor:
        parts = zip(self._chunks(self._listed, x), self._chunks(self._listed, rank), strict=True)
        return torch.cat([self._listed.energies(rows, self._every, member, ranks) for (rows, member), (ranks, _) in parts])

    def completed_site_energies(self, x: Tensor, site: Tensor) -> Tensor:
        return self._listed.energies(x.clamp(min=0), site, self._member_of(x), (x < 0).long(), torch.ones_like(site))

    def _chunks(self, table: _Padded, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        size = max(1, _CHUNK // table.lookups)
        rows = x.split(size)
        member = self._member_of(x)
        return list(zip(rows, [None] * len(rows) if member is None else member.split(size), strict=True))

    def _member_of(self, x: Tensor) -> Tensor | None:
        """Of every configuration of a batch, which holds all of them so many times."""
        return None if self._member is None else self._member.repeat(len(x) // len(self._member))
