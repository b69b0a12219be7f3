"""`Plan`: which sites of a configuration are drawn at once, and in which order.

A plan is a list of blocks of sites. The sites of a block are drawn at once, each given all that is known before the block; so

    log q(x) = sum over blocks of sum over the sites i of a block of log q(x_i | what is known before the block)

is a normalised distribution for every plan. With one site a block a plan is an order of the sites. Sites that are given (in-painting)
are known from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby

import torch
from torch import Tensor

from arlattice.errors import InputError

__all__ = ["Plan", "Visits"]


@dataclass(frozen=True, eq=False)
class Plan:
    """Blocks of sites for every configuration of a batch. All rows have blocks of the same sizes.

    Args:
        order: the sites, block after block, permutations, (batch, sites).
        sizes: number of sites of each block; None is one site a block.
        given: sites that are known from the start, bool, (batch, sites), indexed by site; None if there are none. With one site a
            block they come first in the order.

    Raises:
        InputError: sizes that are not those of all sites.
    """

    order: Tensor
    sizes: tuple[int, ...] | None = None
    given: Tensor | None = None

    def __post_init__(self) -> None:
        if self.sizes is not None and (min(self.sizes, default=0) < 1 or sum(self.sizes) != self.order.shape[1]):
            raise InputError("block sizes", list(self.sizes), f"give numbers >= 1 that add up to the {self.order.shape[1]} sites")
        if self.sizes is not None and len(self.sizes) == self.order.shape[1]:
            object.__setattr__(self, "sizes", None)

    @classmethod
    def of(cls, plan: Plan | Tensor) -> Plan:
        """A plan as it is; an order (batch, sites) as one site a block."""
        return plan if isinstance(plan, Plan) else cls(plan)

    @classmethod
    def ending_with(cls, sites: Tensor, given: Tensor, sizes: Sequence[int] | None = None) -> Plan:
        """Given sites as they are numbered, then ``sites`` (batch, k), all the others, in blocks of ``sizes`` or one by one."""
        place = torch.arange(1, 1 + sites.shape[1], device=sites.device).expand_as(sites)
        order = torch.zeros_like(given, dtype=torch.long).scatter(1, sites, place).argsort(dim=1, stable=True)
        first = order.shape[1] - sites.shape[1]
        return cls(order, None if sizes is None else (*((1,) * first), *sizes), given)

    @property
    def one_by_one(self) -> bool:
        """Whether every block has one site, so that the plan is an order."""
        return self.sizes is None

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """First place of each block in the order, and the place behind it."""
        ends = list(accumulate((1,) * self.order.shape[1] if self.sizes is None else self.sizes))
        return list(zip([0, *ends[:-1]], ends, strict=True))

    @cached_property
    def rank(self) -> Tensor:
        """Place of every site in the order, (batch, sites)."""
        return self.order.argsort(1)

    def block(self, number: int) -> Tensor:
        """The sites of a block, (batch, size)."""
        start, end = self.spans[number]
        return self.order[:, start:end]

    def places(self, blocks: range) -> tuple[Tensor, Tensor]:
        """Places in the order of the sites of some blocks, and which of them count, both (blocks, size of the largest).

        A smaller block names its last place again, which does not count.
        """
        sizes = {block: self.spans[block][1] - self.spans[block][0] for block in blocks}
        column = torch.arange(max(sizes.values()), device=self.order.device)
        places, count = [], []
        for size, group in groupby(blocks, key=sizes.__getitem__):
            run = list(group)
            first = torch.arange(self.spans[run[0]][0], self.spans[run[-1]][1], size, device=self.order.device)
            places.append(first[:, None] + column.clamp(max=size - 1))
            count.append((column < size).expand(len(run), -1))
        return torch.cat(places), torch.cat(count)

    def known_before(self, number: int) -> Tensor:
        """Which sites are known before a block is drawn, bool (batch, sites)."""
        earlier = self.rank < self.spans[number][0]
        return earlier if self.given is None or self.one_by_one else earlier | self.given

    @property
    def first(self) -> Tensor:
        """The first site in the order that is given, or the first of all, (batch,)."""
        if self.given is None:
            return self.order[:, 0]
        place = self.given.gather(1, self.order).to(torch.int8).argmax(1, keepdim=True)
        return self.order.gather(1, place)[:, 0]

    def to(self, device: torch.device | str) -> Plan:
        """The same plan elsewhere."""
        return Plan(self.order.to(device), self.sizes, None if self.given is None else self.given.to(device))

    def with_given(self, known: Tensor | None) -> Plan:
        """The same plan where some sites are given.

        Args:
            known: (sites,) or (batch, sites) species, -1 where to draw. With one site a block the known ones come first then.
        """
        if known is None:
            return self
        given = (known.to(self.order.device) >= 0).expand_as(self.order)
        if not self.one_by_one:
            return replace(self, given=given)
        later = (~given).gather(1, self.order).to(torch.int8)
        return Plan(self.order.gather(1, later.argsort(dim=1, stable=True)), None, given)

    def known_first(self, known: Tensor) -> Plan:
        """The same blocks of one row, first those of the known sites, then those of the others: nothing is given.

        Args:
            known: (sites,) species, -1 where unknown.
        """
        here = known.to(self.order.device)[self.order[0]] >= 0
        parts, sizes = [], []
        for wanted in (here, ~here):
            for start, end in self.spans:
                block = self.order[:, start:end][:, wanted[start:end]]
                parts.append(block)
                sizes.append(block.shape[1])
        return Plan(torch.cat(parts, 1), tuple(size for size in sizes if size))

    def given_places(self) -> int:
        """How many places at the start of the order are given in every row."""
        return 0 if self.given is None else int(self.given.gather(1, self.order).cumprod(1).sum(1).min())

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, rows: Tensor | slice) -> Plan:
        return Plan(self.order[rows], self.sizes, None if self.given is None else self.given[rows])

    def split(self, size: int) -> list[Plan]:
        """Plans of at most ``size`` rows."""
        return [self[first : first + size] for first in range(0, len(self), size)]

    @staticmethod
    def concatenate(plans: Sequence[Plan]) -> Plan:
        """All rows of plans with blocks of the same sizes.

        Raises:
            InputError: blocks of different sizes.
        """
        if len({plan.sizes for plan in plans}) > 1:
            raise InputError("plans", [plan.sizes for plan in plans], "give plans with blocks of the same sizes")
        given = [plan.given for plan in plans if plan.given is not None]
        return Plan(torch.cat([plan.order for plan in plans]), plans[0].sizes, torch.cat(given) if len(given) == len(plans) else None)


@dataclass(frozen=True, eq=False)
class Visits:
    """Neighbouring blocks of a plan, and the configurations for which each of them is computed.

    Args:
        rows: numbers of the configurations, drawn without replacement, (blocks, m).
        first: number of the first of these blocks in the plan.
    """

    rows: Tensor
    first: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, blocks: range) -> tuple[range, Tensor]:
        """Those of some neighbouring blocks that are visited, and their rows."""
        here = range(max(blocks[0], self.first), max(self.first, min(blocks[-1] + 1, self.first + len(self))))
        return here, self.rows[here.start - self.first : here.stop - self.first]

    def left_out(self, n: int) -> list[Visits]:
        """What visits that go on to the last block leave out of ``n`` configurations: these blocks for the others, earlier ones for all."""
        seen = torch.zeros(len(self), n, dtype=torch.int8, device=self.rows.device).scatter_(1, self.rows, 1)
        others = seen.argsort(dim=1, stable=True)[:, : n - self.rows.shape[1]]
        before = torch.arange(n, device=self.rows.device).expand(self.first, n)
        return [visits for visits in (Visits(before), Visits(others, self.first)) if visits.rows.numel()]
