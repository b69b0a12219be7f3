"""`Model`: a normalised distribution over occupations, conditioned on the thermodynamic state.

A family implements one method, `Model.block_logits`: the logits of some sites given what is known. Two more are there for what is
faster: `Model.plan_logits`, all blocks of a plan in one pass, and `Model.decoder`, which remembers earlier blocks while it draws. The loop
over the blocks is `arlattice.decoding`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arlattice.arguments import path_text
from arlattice.conditions import Conditions
from arlattice.cuda_graph import Graphs
from arlattice.decoding import weigh
from arlattice.decoding.draw import BlockDecoder, Decoder, draw
from arlattice.decoding.gauge import SpinGauge
from arlattice.decoding.orders import ORDERS
from arlattice.decoding.steps import Steps
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.fitted_clusters import FittedClusters
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.drawing import Drawing
from arlattice.models.former_names import FormerNames
from arlattice.models.state_reader import StateReader
from arlattice.models.transfer import Transfer
from arlattice.plan import Plan, Visits

__all__ = ["PRECISIONS", "Model"]


PRECISIONS = ("float32", "bfloat16")
"""What `Model.precision` may be: the arithmetic of the network."""


class Model(StateReader, Drawing, Transfer, FormerNames, ABC):
    """A normalised distribution over the configurations of one lattice.

    Args:
        hamiltonian: what the model is for; its energies go into every `SampleSet`.
        options: the family's options.
        ensemble: kind of states whose features the network reads; other kinds with the same features are read too.

    Attributes:
        orders: kinds of drawing order of the family; the first is the default. One with ``"random"`` draws in any plan.
        draws_blocks: whether it draws in blocks of its own, where given sites may stand anywhere.
        passes: passes of the network that the log-probability of one configuration takes.
        gauge: the symmetry through which the model reads configurations, or None.
        precision: arithmetic of the network, one of `PRECISIONS`.
        name, record: the registered name of the family; plain data on how the weights were made.
        feature_names: what the network reads of a state, see `Ensemble.feature_names`.

    What draws and weighs is in `arlattice.models.drawing`, what reads states in `arlattice.models.state_reader`, what takes
    weights elsewhere in `arlattice.models.transfer`.
    """

    orders: tuple[str, ...] = ORDERS
    draws_blocks: bool = False
    passes: int = 1
    gauge: SpinGauge | None = None

    def __init__(self, hamiltonian: Hamiltonian, options: Options, ensemble: type[Ensemble] = SemiGrandCanonical) -> None:
        super().__init__(hamiltonian, ensemble, getattr(options, "reads", "state"))
        self.options = options
        self.name, self.precision = type(self).__name__, "float32"
        self._steps: Steps | None = None
        self._drawing, self._redrawing = Graphs(), Graphs()

    # -- what a family implements ----------------------------------------------------------------

    @abstractmethod
    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        """Logits of some sites, each given what is known, with gradients.

        Args:
            partial: (batch, sites), -1 where unknown; every row may have its own known sites.
            sites: (batch, k) sites of each row that are not known; the logits of one that is known are not used.
            conditions: one row a configuration.

        Returns:
            (batch, k, species): log p(x_site = s | known sites) up to a constant, -inf where s cannot be placed.
        """

    def plan_logits(self, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
        """`block_logits` of every block of a plan; a family that does it in one pass says so here.

        Args:
            occupations: (batch, sites), indexed by site. The logits of a block depend on the sites known before it, and on no others.
            plan: how they are drawn.
            conditions: one row a configuration.
            steps: only so many places of the order, from the first; whole blocks. None: all.

        Returns:
            (batch, steps, species), indexed by place in the order.
        """
        blocks = [k for k, (start, _) in enumerate(plan.spans) if steps is None or start < steps]
        partial = (torch.where(plan.known_before(k), occupations, -1) for k in blocks)
        return torch.cat([self.block_logits(x, plan.block(k), conditions) for k, x in zip(blocks, partial, strict=True)], 1)

    def logits_of_blocks(self, occupations: Tensor, plan: Plan, conditions: Conditions, blocks: range, rows: Tensor) -> Tensor:
        """Logits of some blocks of one of `passes_of`, each for some configurations.

        Args:
            occupations, plan, conditions: as in `plan_logits`.
            blocks: their numbers; of one size each, unless the family's own `passes_of` puts several sizes together.
            rows: the configurations for each of them, (blocks, m).

        Returns:
            (blocks x m, k, species), of the places that `Plan.places` names, those that do not count too.
        """
        found = []
        for block, some in zip(blocks, rows, strict=True):
            partial = torch.where(plan.known_before(block), occupations, -1)[some]
            found.append(self.block_logits(partial, plan.block(block)[some], conditions[some]))
        return torch.cat(found)

    def passes_of(self, plan: Plan, rows: int) -> list[range]:
        """Blocks that are computed together, in the order of the plan, for so many configurations each; one by one by default."""
        return [range(block, block + 1) for block in range(len(plan.spans))]

    def decoder(self, plan: Plan) -> Decoder:
        """What draws a plan block by block; a family that remembers earlier blocks says so here."""
        return BlockDecoder(self)

    def given_in(self, plan: Plan, known: Tensor | None) -> Plan:
        """A plan in which some sites (sites,) or (batch, sites), -1 elsewhere, are given; in an order they come first."""
        return plan.with_given(known)

    def log_prob_of_known(self, partial: Tensor, plan: Plan, conditions: Conditions) -> Tensor:
        """log p of the known sites of partial configurations (batch, sites), which come first in the plan: (batch,)."""
        each = self(partial.clamp(min=0), plan, conditions).double()
        return torch.where(partial.gather(1, plan.order) >= 0, each, 0.0).sum(1)

    def coarse_blocks(self, plan: Plan) -> int:
        """How many of the first blocks of a plan take little time beside the others, so that they can learn from many configurations."""
        return 0

    def compile_network(self) -> None:
        """Compile what is worth compiling, for training on a GPU; nothing by default."""

    @property
    def any_supercell(self) -> bool:
        """Whether the weights mean the same on every supercell; see `on`."""
        return False

    @property
    def energies(self) -> bool:
        """Whether logits start from completed-cluster energies."""
        return True

    # -- on tensors ------------------------------------------------------------------------------

    def forward(
        self,
        occupations: Tensor,
        plan: Plan | Tensor,
        conditions: Conditions,
        targets: Tensor | None = None,
        visits: Visits | None = None,
    ) -> Tensor:
        """log p of the species of every site, with gradients: the one call of the objectives.

        Args:
            occupations: (batch, sites).
            plan: how they are drawn, or an order (batch, sites).
            conditions: one row a configuration.
            targets: (..., batch, sites, species), indexed by site: weights of the log p of all species of a site, instead of 1 for
                the one that is there. What is known before a site stays as it is in ``occupations``.
            visits: some blocks, and the configurations for which each is computed, see `arlattice.decoding.weigh.visited_log_probs`;
                None computes all.

        Returns:
            (batch, sites), or (..., batch, sites) with targets, indexed by place in the order. With visits (..., batch, blocks):
            the sum over the blocks estimates their log p without bias.
        """
        return self.log_probs(occupations, Plan.of(plan), conditions, targets, visits)

    def log_probs(
        self, occupations: Tensor, plan: Plan, conditions: Conditions, targets: Tensor | None = None, visits: Visits | None = None
    ) -> Tensor:
        """See `forward`, without the hooks of a `torch.nn.Module`."""
        if visits is None:
            return weigh.log_probs(self, occupations, plan, conditions, targets)
        return weigh.visited_log_probs(self, occupations, plan, conditions, visits, targets)

    def draw(self, noise: Tensor, plan: Plan | Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Occupations from uniform noise, a deterministic map, without gradients.

        Args:
            noise: (sites, batch) float64 in [0, 1), one number for each place in the order.
            plan: how to draw, or an order (batch, sites); of an order the known sites come first.
            conditions: one row a configuration.
            known: (batch, sites) given species, -1 where to draw.

        Returns:
            occupations (batch, sites) and the float64 log-probability of what was drawn (batch,).
        """
        found = self.given_in(Plan.of(plan), known)
        given = None if known is None else known.expand_as(found.order)
        return draw(self, self.decoder(found), self._drawing, noise, found, conditions, given)

    def redraw(
        self, occupations: Tensor, block: Tensor, noise: Tensor, conditions: Conditions, sizes: Sequence[int] | None = None
    ) -> Tensor:
        """Occupations with some sites drawn anew given the others: a step of block Gibbs, without gradients.

        Args:
            occupations: (batch, sites).
            block: sites to draw anew, (batch, k).
            noise: (k, batch) float64 in [0, 1).
            conditions: one row a configuration.
            sizes: how many of them are drawn at once, as in a `Plan`; None: one after another.

        Raises:
            InputError: a family of one order.
        """
        if "random" not in self.orders:
            raise InputError("model", self.name, f"draws in these orders only: {', '.join(self.orders)}; block Gibbs needs any order")
        known = occupations.scatter(1, block, -1)
        plan = Plan.ending_with(block, known >= 0, sizes)
        padded = torch.cat([noise.new_zeros(occupations.shape[1] - len(noise), len(occupations)), noise])
        own = self.decoder(plan)
        decoder = BlockDecoder(self) if own.reads_given else own  # that would read the whole configuration for a few sites
        return draw(self, decoder, self._redrawing, padded, plan, conditions, known)[0]

    @property
    def device_hamiltonian(self) -> Hamiltonian:
        """The Hamiltonian where the weights are, in their precision, without checks of what it is given."""
        return self.steps.hamiltonian

    def hamiltonian_of(self, conditions: Conditions) -> Hamiltonian:
        """`device_hamiltonian`, of a family for the members that the rows are of."""
        return self.device_hamiltonian.for_members(conditions.member)

    @property
    def steps(self) -> Steps:
        """Boltzmann logits and features of the steps, where the weights are."""
        here = self.state_mean.device, self.state_mean.dtype
        if self._steps is None or (self._steps.device, self._steps.dtype) != here:
            self._steps = Steps(self.hamiltonian.to(*here).unchecked(), *here, energies=self.energies)
        return self._steps

    # -- precision, identity, files --------------------------------------------------------------

    def autocast(self, cache: bool = True) -> AbstractContextManager[Any]:
        """bfloat16 arithmetic if ``precision`` says so; else nothing.

        Args:
            cache: keep the bfloat16 copies of the weights while the context lasts.
        """
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=cache)
        return nullcontext()

    @property
    def fingerprint(self) -> str:
        """Short hash of the weights, of what was fitted to a black box, and of ``precision`` unless that is float32.

        Other arithmetic gives another distribution.
        """
        digest = hashlib.sha256(b"" if self.precision == PRECISIONS[0] else self.precision.encode())
        if isinstance(self.hamiltonian, FittedClusters):  # logits start from its clusters
            digest.update(self.hamiltonian.expansion.fingerprint.encode())
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(key.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: str | Path) -> None:
        """Write weights, options and Hamiltonian into a folder; `arlattice.load` reads it."""
        from arlattice.models.checkpoint import save

        path_text("folder", folder)
        save(self, folder)
