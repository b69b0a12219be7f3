"""Blocks of sites at once, from the coarsest scale of the supercell to the finest, by a convolution network a scale.

The sites are drawn in the blocks of `arlattice.decoding.scales`: one cell first, then the cells of every finer scale, class by class.
The network of a scale reads the species of the cells known so far, the completed-cluster energies of the sites that are unknown, and
which of them are asked for, and gives the logits of the block beyond the Boltzmann weights:

    logit(s) = -beta (e(s) - mu_s) + network(s)

with e(s) the energy of the clusters that the site completes as species s, given what is known before the block. The sites of a block do
not see one another; log q is exact all the same, the sum over blocks and sites. Known sites that are finer than the scale (in-painting)
enter through their energies and, averaged over the region of each cell, through the network.

Sources: hierarchical sampling of the Ising model, P. Bialas et al., Comput. Phys. Commun. 281, 108502 (2022), and RiGCS, A. Singha et al.,
ICLR 2025. Ours: cells that hold every ordered phase, any lattice and supercell, completed-cluster energies.

Shapes: B batch, N sites, q species, M cells of a scale, C sites a cell, d width, k sites of a block.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.decoding.draw import Decoder
from arlattice.decoding.gauge import SpinGauge, turned
from arlattice.decoding.scales import Cell, Scales
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.base import Model
from arlattice.models.multiscale_options import MultiscaleOptions
from arlattice.models.recorded import RecordedPasses
from arlattice.models.scale_decoder import ScaleDecoder
from arlattice.models.scale_network import ScaleNetwork
from arlattice.models.scale_tables import Layout, ScaleTables
from arlattice.ordering import ordering_translations
from arlattice.plan import Plan, Visits
from arlattice.random_numbers import Stream

__all__ = ["Multiscale", "MultiscaleOptions"]

_CELLS_AT_ONCE = {"cuda": 2**21, "cpu": 2**15}
"""Cells of all rows that one pass of a network reads."""


class Multiscale(Model):
    """See the module's docstring. It draws in its own blocks, and in the same with twice as many parts."""

    orders = ("blocks", "finer-blocks")
    draws_blocks = True
    options: MultiscaleOptions

    def __init__(self, hamiltonian: Hamiltonian, options: MultiscaleOptions, ensemble: type[Ensemble] = SemiGrandCanonical) -> None:
        lattice = hamiltonian.lattice
        cell = Cell.of(lattice, ordering_translations(hamiltonian) if options.cells == "auto" else np.array(options.cells))
        rows = tuple(tuple(row) for row in cell.vectors.tolist())
        super().__init__(hamiltonian, options.model_copy(update={"cells": rows}), ensemble)  # the weights belong to these cells
        self.q, width = lattice.n_species, options.width
        parts = zip(self.orders, (options.parts, 2 * options.parts), strict=True)
        self.layouts = {kind: Layout(Scales(lattice, cell, k)) for kind, k in parts}
        scales = self.layouts["blocks"].scales
        self.state_token = nn.Sequential(nn.Linear(len(self.feature_names), width), nn.GELU(), nn.Linear(width, width))
        self.networks = self._networks_of({_name(-1 if scale.root else scale.level): scale.labels for scale in scales}, scales)
        self.gauge = SpinGauge.of(hamiltonian)
        self._recorded: RecordedPasses | None = None
        self._has_own_blocks = True

    @property
    def any_supercell(self) -> bool:
        return True

    @property
    def state_layers(self) -> tuple[nn.Linear, ...]:
        """See `StateReader.state_layers`."""
        return tuple(layer for layer in self.state_token.children() if isinstance(layer, nn.Linear))[:1]

    def on(self, hamiltonian: Hamiltonian) -> Self:
        """See `Model.on`.

        Raises:
            InputError: also a supercell with a scale that divides cells into other classes, as thirds where halves were trained.
        """
        other = super().on(hamiltonian)
        other.check_classes()
        return other

    def check_classes(self) -> None:
        """Refuse a supercell with a scale that divides cells into other classes than its network knows."""
        for scale in self.layouts[self.orders[0]].scales:
            classes = self.network_of(-1 if scale.root else scale.level).labels
            if classes != scale.labels:
                cure = f"{self.name} has weights for {classes} classes of cells at scale {scale.level}, this supercell has {scale.labels}"
                raise InputError("hamiltonian", self.hamiltonian.name, f"{cure}; give one that is divided alike, as by powers of 2")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take weights; the networks are then those of the scales they are for, as after `on`, whichever scales this supercell has."""
        scales = self.layouts[self.orders[0]].scales
        codes = {key.split(".")[1]: weights.shape[1] for key, weights in state_dict.items() if key.endswith(".code.weight")}
        if codes and codes.keys() != set(self.networks):
            with torch.random.fork_rng(devices=[]):  # as in `build_model`
                self.networks = self._networks_of({name: n - len(scales.cell) for name, n in codes.items()}, scales).to(self.state_mean)
            self.check_classes()
        return super().load_state_dict(state_dict, strict, assign)

    def _networks_of(self, labels: Mapping[str, int], scales: Scales) -> nn.ModuleDict:
        """New networks by name, for so many classes of cells."""
        size = self.options.width, self.options.layers
        axes = {name: 0 if name == _name(-1) else len(scales.axes) for name in labels}
        return nn.ModuleDict({name: ScaleNetwork(len(scales.cell), self.q, n, axes[name], *size) for name, n in labels.items()})

    def adopt(self, other: Model) -> None:
        """See `Model.adopt`; scales coarser than those of the other model take the weights of its coarsest."""
        weights = other.state_dict()
        if isinstance(other, Multiscale):
            for name, network in self.networks.items():
                served = other.network_of(-1 if name == _name(-1) else int(name.removeprefix("level")))
                weights |= {f"networks.{name}.{key}": tensor for key, tensor in served.state_dict().items() if key in network.state_dict()}
        self.load_state_dict({key: tensor for key, tensor in weights.items() if key in self.state_dict()})

    @property
    def energies(self) -> bool:
        return self.options.energies

    def network_of(self, level: int) -> ScaleNetwork:
        """The network of a scale; scales coarser than all that were trained are served by the coarsest of them."""
        levels = [int(name.removeprefix("level")) for name in self.networks if name != _name(-1)]
        return self.networks[_name(min(level, max(levels, default=-1)))]  # type: ignore[return-value]

    # -- plans -----------------------------------------------------------------------------------

    def resolve_plan(self, n: int, plan: str | Plan | Tensor | None, stream: Stream, known: Tensor | None = None) -> Plan:
        """Its own blocks, moved by a random translation; or a plan of such blocks as it is.

        Raises:
            InputError: other kinds, or blocks that are not its own.
        """
        chosen = self.orders[0] if plan is None else plan
        if isinstance(chosen, str):
            if chosen not in self.orders:
                raise InputError("order", chosen, f"{self.name} draws in blocks: {', '.join(self.orders)}")
            return self.given_in(self.layouts[chosen].plan(n, stream), known)
        found = super().resolve_plan(n, chosen, stream)
        layout = self.layout_of(found)
        if layout is None or not bool(layout.are_moved(found.order).all()):
            cure = f"{self.name} draws in blocks of its own; give samples.plan, or one of {', '.join(self.orders)}"
            raise InputError("plan" if isinstance(chosen, Plan) else "order", f"{len(found.spans)} blocks", cure)
        return self.given_in(found, known)

    def given_in(self, plan: Plan, known: Tensor | None) -> Plan:
        """See `Model.given_in`; blocks stay where they are, those of one site too."""
        given = None if known is None else (known.to(plan.order.device) >= 0).expand_as(plan.order)
        return Plan(plan.order, plan.sizes, given)

    def layout_of(self, plan: Plan) -> Layout | None:
        """The blocks of a plan, None if they are not of one of its kinds."""
        return next((layout for layout in self.layouts.values() if self._has_own_blocks and layout.sizes == plan.sizes), None)

    # -- logits ----------------------------------------------------------------------------------

    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        """See `Model.block_logits`; the scale of a site is that of the plan with the first cell at the origin."""
        layout = self.layouts[self.orders[0]]
        order = layout.order.to(partial.device).expand(len(partial), -1)
        places = order.argsort(1).gather(1, sites)
        base, placed = self.steps.of_block(partial, sites, conditions).base, partial.gather(1, order).to(torch.int8)
        found = torch.zeros_like(base)
        for scale in layout.tables(partial.device):
            here = (scale.slot[places] < scale.cells * scale.sites)[..., None] & (scale.codes[places].sum(-1, keepdim=True) > 0)
            fields = self.steps.of_block(partial, order[:, scale.members], conditions).fields
            logits = self._network_logits(layout, scale, placed, places, fields, conditions, given=True)
            found = torch.where(here, logits.to(found.dtype), found)
        return base + found

    def plan_logits(self, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
        """See `Model.plan_logits`; the blocks of a scale in one pass, as far as memory allows."""
        layout = self.layout_of(plan)
        if layout is None:
            return super().plan_logits(occupations, plan, conditions, steps)
        last = len(plan.spans) if steps is None else sum(start < steps for start, _ in plan.spans)
        rows = torch.arange(len(occupations), device=occupations.device)
        found = []
        for blocks in self.passes_of(plan, len(rows)):
            if blocks[0] >= last:
                break
            logits = self.logits_of_blocks(occupations, plan, conditions, blocks, rows.expand(len(blocks), -1))
            for block, each in zip(blocks, logits.chunk(len(blocks)), strict=True):
                start, end = plan.spans[block]
                found.append(each[:, : end - start])
        return torch.cat(found, 1)[:, :steps]

    def passes_of(self, plan: Plan, rows: int) -> list[range]:
        """See `Model.passes_of`: blocks of one scale, as many as fit into memory."""
        layout = self.layout_of(plan)
        if layout is None:
            return super().passes_of(plan, rows)
        found = []
        for scale, group in groupby(range(len(plan.spans)), key=layout.scale_of_block.__getitem__):
            first, *others = group
            last = others[-1] + 1 if others else first + 1
            cells = 1 if scale < 0 else layout.tables(self.device)[scale].cells
            most = max(1, _CELLS_AT_ONCE[self.device.type] // (rows * cells))
            found += [range(block, min(block + most, last)) for block in range(first, last, most)]
        return found

    def coarse_blocks(self, plan: Plan) -> int:
        """See `Model.coarse_blocks`: those of scales with at most an eighth of the cells of the finest."""
        layout = self.layout_of(plan)
        if layout is None:
            return 0
        tables = layout.tables(self.device)
        coarse = [scale for scale in layout.scale_of_block if scale < 0 or 8 * tables[scale].cells <= tables[-1].cells]
        return len(coarse) if max(coarse, default=-1) >= 0 else 0

    def logits_of_blocks(self, occupations: Tensor, plan: Plan, conditions: Conditions, blocks: range, rows: Tensor) -> Tensor:
        """See `Model.logits_of_blocks`; blocks of one scale in one pass."""
        layout = self.layout_of(plan)
        if layout is None:
            return super().logits_of_blocks(occupations, plan, conditions, blocks, rows)
        flat, places = rows.flatten(), plan.places(blocks)[0].repeat_interleave(rows.shape[1], 0)
        start, by_place = places[:, :1], torch.arange(plan.order.shape[1], device=rows.device)
        known, here = plan.rank.int()[flat] < start, by_place < start
        if plan.given is not None:
            known, here = known | plan.given[flat], here | plan.given.gather(1, plan.order)[flat]
        partial = torch.where(known, occupations[flat], -1)
        placed = torch.where(here, occupations.gather(1, plan.order).to(torch.int8)[flat], -1)
        scale = layout.scale_of_block[blocks[0]]
        return self.placed_logits(layout, scale, partial, placed, plan.order[flat], places, conditions[flat], plan.given is not None)

    def placed_logits(
        self,
        layout: Layout,
        scale: int,
        partial: Tensor,
        placed: Tensor,
        order: Tensor,
        places: Tensor,
        conditions: Conditions,
        given: bool,
        alike: bool = False,
    ) -> Tensor:
        """Logits (B, k, q) of some sites, all of one scale.

        Args:
            layout: of the plan.
            scale: its number, -1 for sites that may hold one species only.
            partial: species by site, (B, N), -1 where unknown.
            placed: the same by place in the order, int8.
            order: sites by place, (B, N).
            places: of the sites that are asked for, (B, k).
            conditions: one row a configuration.
            given: whether sites finer than the scale may be known.
            alike: whether ``places`` are the same in all rows, and no gradient is wanted.
        """
        if scale < 0:
            return self.steps.of_block(partial, order.gather(1, places), conditions).base
        table = layout.tables(partial.device)[scale]
        step = self.steps.of_block(partial, order.index_select(1, table.members), conditions)
        base = step.base.gather(1, table.slot[places][..., None].expand(-1, -1, self.q))
        return base + self._network_logits(layout, table, placed, places, step.fields, conditions, given, alike).to(base.dtype)

    def _network_logits(
        self,
        layout: Layout,
        scale: ScaleTables,
        placed: Tensor,
        places: Tensor,
        fields: Tensor,
        conditions: Conditions,
        given: bool,
        alike: bool = False,
    ) -> Tensor:
        """What the network of a scale adds to the logits, (B, k, q); arguments as in `placed_logits`, with the fields of all its sites.

        In a state that an exchange of two species leaves as it is, the network reads configurations so that most of the known sites hold
        species 1: in a field, however weak, nearly all that it is trained on are like this.
        """
        turn = self._mostly_first(placed, conditions)
        if turn is not None:
            turned_fields = fields.unflatten(-1, (2, self.q)).flip(-1).flatten(-2)
            fields = torch.where(turn[:, None, None], turned_fields, fields)
            placed = turned(placed, turn)
        network, codes = self.network_of(scale.level), scale.codes[places].mean(1)
        species = placed.index_select(1, scale.members)
        finer = self._finer(layout, scale, placed) if given and scale.mean is not None else None
        with torch.autocast(fields.device.type, enabled=False):  # near a transition 8 bits of a state are too few
            state = self.state_token(self.standardised(conditions))
        logits: Tensor = network(species, scale.slot[places], fields, codes, state, finer, scale.rim, alike)
        return logits if turn is None else torch.where(turn[:, None, None], logits.flip(-1), logits)

    def _mostly_first(self, placed: Tensor, conditions: Conditions) -> Tensor | None:
        """Rows whose state is symmetric and most of whose known sites hold the first species, (B,); None without such a symmetry."""
        if self.gauge is None:
            return None
        excess = (placed == 1).sum(1) - (placed == 0).sum(1)
        return self.gauge.even(conditions, self.steps.constraint(conditions.ensemble)) & (excess < 0)

    def _finer(self, layout: Layout, scale: ScaleTables, placed: Tensor) -> Tensor:
        """Shares of known species around every cell of a scale, among cells that are finer: (B, M, C q)."""
        finest = layout.tables(placed.device)[-1]
        species = placed.index_select(1, finest.members).view(len(placed), finest.cells, finest.sites, 1)
        known = (species == torch.arange(self.q, device=placed.device)).to(self.state_mean.dtype)
        return torch.einsum("mf,bfx->bmx", scale.mean.to(known.dtype), known.flatten(2))  # type: ignore[union-attr]

    def log_prob_of_known(self, partial: Tensor, plan: Plan, conditions: Conditions) -> Tensor:
        """See `Model.log_prob_of_known`; blocks with the known sites first are not its own, even where they have the same sizes."""
        layout, other = self.layout_of(plan), copy.copy(self)
        other._has_own_blocks, other._recorded = False, None
        own = partial.new_zeros(len(plan), dtype=torch.bool) if layout is None else layout.are_moved(plan.order)
        found = torch.zeros(len(plan), dtype=torch.float64, device=partial.device)
        for model, rows in ((self, own), (other, ~own)):
            if bool(rows.any()):
                found[rows] = Model.log_prob_of_known(model, partial[rows], plan[rows], conditions[rows])
        return found

    def forward(
        self, occupations: Tensor, plan: Plan | Tensor, conditions: Conditions, targets: Tensor | None = None, visits: Visits | None = None
    ) -> Tensor:
        """See `Model.forward`; recorded, once `compile_network` was called."""
        if self._recorded is None or not occupations.is_cuda:
            return super().forward(occupations, plan, conditions, targets, visits)
        return self._recorded(occupations, Plan.of(plan), conditions, targets, visits)

    def compile_network(self) -> None:
        """Record passes as CUDA graphs."""
        self._recorded = RecordedPasses(self)

    # -- drawing ---------------------------------------------------------------------------------

    def decoder(self, plan: Plan) -> Decoder:
        """See `Model.decoder`; of its own blocks, with the networks of their scales."""
        layout = self.layout_of(plan)
        return super().decoder(plan) if layout is None else ScaleDecoder(self, layout, plan.given is not None)


def _name(level: int) -> str:
    return "first" if level < 0 else f"level{level}"
