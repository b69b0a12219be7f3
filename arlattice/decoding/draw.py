"""Draw configurations block after block from uniform noise: the one loop of all models.

A model gives a `Decoder`, which says what it thinks of the sites of the next block. The loop chooses their species by the inverse of the
cumulative distribution, under what the ensemble forbids, and reads configurations through the gauge where the model has one. Known sites
are taken as they are. On CUDA the start of the loop and one step for each size of block are recorded (`arlattice.cuda_graph`): nothing in
a step may wait for the device, and a step works on tensors that stay in place.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.constraint import Constraint
from arlattice.cuda_graph import Graphs
from arlattice.decoding.gauge import turned
from arlattice.decoding.steps import choose
from arlattice.decoding.weigh import limited
from arlattice.plan import Plan

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["BlockDecoder", "Decoder", "draw"]

State = dict[str, Tensor]


class Decoder(Protocol):
    """What a model thinks of the next block while a plan is drawn. It may remember earlier blocks.

    Attributes:
        reads_given: it must be led through known sites too, one by one, from nothing; else it sees them from the start.
        recordable: its steps do not wait for the device, so that they can be recorded on CUDA.
    """

    reads_given: bool
    recordable: bool

    @property
    def key(self) -> Hashable:
        """What recorded steps of equal sizes and stages depend on besides the weights."""

    def stage(self, block: int, span: tuple[int, int], sites: int, recorded: bool) -> int:
        """What the step of a block must know as a plain number. Steps of equal size and stage are recorded once.

        Args:
            block: its number in the plan.
            span: its first place in the order, and the place behind it.
            sites: number of places in all.
            recorded: whether steps are recorded: few different stages then.
        """

    def begin(self, order: Tensor, conditions: Conditions) -> State:
        """What to remember, as tensors that `logits` changes in place.

        Args:
            order: sites in the order they are drawn, (batch, sites).
            conditions: one row a configuration.
        """

    def logits(self, memory: State, partial: Tensor, place: Tensor, sites: Tensor, conditions: Conditions, stage: int) -> Tensor:
        """Logits (batch, k, species) of the sites of the next block.

        Args:
            memory: what `begin` gave.
            partial: (batch, sites), -1 where unknown.
            place: their places in the order, (k,), a tensor on the device.
            sites: (batch, k).
            conditions: one row a configuration.
            stage: what `stage` gave.
        """


class BlockDecoder:
    """Remembers nothing: asks the model for the logits of every block anew."""

    reads_given, key = False, "blocks"

    def __init__(self, model: Model, recordable: bool = True) -> None:
        self._model, self.recordable = model, recordable

    def stage(self, block: int, span: tuple[int, int], sites: int, recorded: bool) -> int:
        """See `Decoder.stage`: nothing."""
        return 0

    def begin(self, order: Tensor, conditions: Conditions) -> State:
        """See `Decoder.begin`."""
        return {}

    def logits(self, memory: State, partial: Tensor, place: Tensor, sites: Tensor, conditions: Conditions, stage: int) -> Tensor:
        """See `Decoder.logits`."""
        return self._model.block_logits(partial, sites, conditions)


def draw(
    model: Model, decoder: Decoder, graphs: Graphs, noise: Tensor, plan: Plan, conditions: Conditions, known: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Occupations from uniform noise, a deterministic map, without gradients.

    Args:
        model: of the lattice.
        decoder: of the model.
        graphs: recorded before, for the same decoder.
        noise: (sites, batch) float64 in [0, 1), one number for each place in the order; those of given sites are not used.
        plan: with the known sites as given (`Plan.with_given`).
        conditions: one row a configuration.
        known: (batch, sites) given species, -1 where to draw; None: nothing is known.

    Returns:
        occupations (batch, sites) and the float64 log-probability of what was drawn (batch,).
    """
    loop = _Loop(model, decoder, plan, conditions)
    given = torch.full_like(plan.order, -1) if known is None else known
    inputs = {"noise": noise, "order": plan.order, "known": given, "first": plan.first, **conditions.to_tensors()}
    with torch.no_grad(), model.autocast(cache=False):  # a recorded graph must cast the weights anew, not read a cache that is gone
        recorded = noise.is_cuda and decoder.recordable
        state = graphs.loop(loop.begin, loop.step, inputs, loop.schedule(recorded), loop.key if recorded else None)
        return loop.end(state)


class _Loop:
    """The start, the steps and the end of one drawing."""

    def __init__(self, model: Model, decoder: Decoder, plan: Plan, conditions: Conditions) -> None:
        self.decoder, self.gauge, self.plan, self.conditions = decoder, model.gauge, plan, conditions
        self.constraint: Constraint = model.steps.constraint(conditions.ensemble)
        given = 0 if decoder.reads_given else plan.given_places()  # these are seen from the start
        self.skipped = max((end for _, end in plan.spans if end <= given), default=0)
        weights = (t.data_ptr() for t in (*model.parameters(), *model.buffers()))
        self.key = (conditions.ensemble, decoder.reads_given, decoder.key, self.skipped, model.precision, *weights)

    def schedule(self, recorded: bool) -> list[tuple[int, int]]:
        """Size and stage of every block to visit."""
        blocks, n = enumerate(self.plan.spans), self.plan.order.shape[1]
        visited = [(k, (start, end)) for k, (start, end) in blocks if start >= self.skipped]
        return [(span[1] - span[0], self.decoder.stage(k, span, n, recorded)) for k, span in visited]

    def begin(self, inputs: State) -> State:
        """Everything a step reads and changes."""
        order, known, noise, first = inputs["order"], inputs["known"], inputs["noise"], inputs["first"][:, None]
        conditions = self.conditions.with_tensors(inputs)
        coin = torch.zeros(len(order), dtype=torch.float64, device=order.device)
        state = {"order": order, "noise": noise, "flip": torch.zeros_like(order[:, 0], dtype=torch.bool)}
        fixed, seen = known, known
        if self.gauge is not None:
            given = known.gather(1, first)[:, 0]
            species = torch.where(given >= 0, given, (noise[0] >= 0.5).long())
            reading = self.gauge.read(known, species, conditions, self.constraint)
            conditions, seen = reading.conditions, reading.occupations
            tossed = reading.even & (given < 0)
            drawn = turned(species[:, None], reading.flip)
            fixed = seen.scatter(1, first, torch.where(tossed[:, None], drawn, seen.gather(1, first)))
            coin = coin - math.log(2) * tossed.double()
            state["flip"] = reading.flip
        place = torch.full((1,), self.skipped, dtype=torch.long, device=order.device)
        partial = torch.full_like(order, -1) if self.decoder.reads_given else seen.clone()
        state |= {"known": fixed, "partial": partial, "log_prob": coin, "place": place, **conditions.to_tensors()}
        return state | {f"memory.{name}": t for name, t in self.decoder.begin(order, conditions).items()}

    def step(self, state: State, size: int, stage: int) -> None:
        """Draw one block, in place."""
        conditions = self.conditions.with_tensors(state)
        place = state["place"] + torch.arange(size, device=state["place"].device)
        sites, uniform = state["order"].index_select(1, place), state["noise"].index_select(0, place).T
        memory = {name.removeprefix("memory."): t for name, t in state.items() if name.startswith("memory.")}
        logits = self.decoder.logits(memory, state["partial"], place, sites, conditions, stage)
        fixed = state["known"].gather(1, sites)
        if size == 1 or self.constraint.free:
            species, chosen = choose(logits, uniform, fixed)
        else:
            species, chosen = self._one_after_another(logits, sites, uniform, fixed, state["partial"], conditions.targets)
        state["partial"].scatter_(1, sites, species)
        state["log_prob"].add_(chosen.sum(1))
        state["place"].add_(size)

    def end(self, state: State) -> tuple[Tensor, Tensor]:
        """What was drawn, as it is."""
        return turned(state["partial"], state["flip"]), state["log_prob"].clone()

    def _one_after_another(
        self, logits: Tensor, sites: Tensor, uniform: Tensor, fixed: Tensor, before: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Species (batch, k) and log-probabilities of a block under a constraint; the logits are those of its beginning."""
        partial, columns = before, []
        for j in range(sites.shape[1]):
            site = sites[:, j : j + 1]
            row = limited(self.constraint, logits[:, j : j + 1], site, before, partial, targets)
            columns.append(choose(row, uniform[:, j : j + 1], fixed[:, j : j + 1]))
            partial = partial.scatter(1, site, columns[-1][0])
        species, chosen = zip(*columns, strict=True)
        return torch.cat(species, 1), torch.cat(chosen, 1)
