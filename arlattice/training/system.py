"""`TrainingSystem`: one Hamiltonian of a run, the shared weights on it, and where its configurations come from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.errors import InputError
from arlattice.models.base import Model
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream
from arlattice.training.chains import ModelChains
from arlattice.training.config import TrainingOptions
from arlattice.training.objectives import Batch, Loss, Objective, needs
from arlattice.training.priority import StatePriority

__all__ = ["TrainingSystem", "group_size"]


@dataclass(frozen=True)
class TrainingSystem:
    """A Hamiltonian on its supercell; steps take turns over those of a run.

    Attributes:
        model: shares its weights with the other systems.
        states: of the chains, on the device of the model.
        options: of the run.
        group: neighbouring chains that share a state.
        draws: whether the objective draws from the model in states of its own.
        replay: Monte Carlo chains, one a state, if the objective needs them.
        chains: the model's persistent configurations, likewise.
        priority: which states to draw; None draws evenly.
    """

    model: Model
    states: Conditions
    options: TrainingOptions
    group: int
    draws: bool
    replay: ReplicaExchange | None
    chains: ModelChains | None
    priority: StatePriority | None

    @classmethod
    def build(
        cls, model: Model, grid: tuple[Conditions, tuple[int, ...]], objective: Objective, options: TrainingOptions, stream: Stream
    ) -> TrainingSystem:
        """What an objective needs on the Hamiltonian of ``model``.

        Args:
            model: with the weights of the run.
            grid: states of the chains and their grid (`arlattice.training.states.replica_grid`).
            objective: what is minimised.
            options: of the run.
            stream: random numbers of this system, on the device of the model.

        Raises:
            InputError: a share of blocks of 0 where nothing else learns.
        """
        if options.block_share == 0 and not _learns_coarse_scales(model, options, stream):
            cure = "needs the objective forward, a coarse_batch_size, no given_share and a supercell of several scales; give more than 0"
            raise InputError("training.block_share", options.block_share, cure)
        (states, shape), group = grid, group_size(objective, options)
        states, replay, chains, priority = model.balanced(states.to(model.device, torch.float32)), None, None, None
        if options.priority:
            priority = StatePriority(len(states) // shape[-1], len(states) // group, options.priority, stream["priority"])
        if needs(objective, "replay"):
            replay = ReplicaExchange(model.hamiltonian_of(states), states, shape, stream["replay"], fuse=options.compile)
        if needs(objective, "chains"):
            o = options
            chains = ModelChains(states, o.reverse_states, o.reverse_samples, o.chain_block, o.chain_refresh, stream["model chains"])
        return cls(model, states, options, group, needs(objective, "states"), replay, chains, priority)

    @property
    def sources(self) -> list[ReplicaExchange | ModelChains | StatePriority]:
        """What a checkpoint keeps of it."""
        return [source for source in (self.replay, self.chains, self.priority) if source is not None]

    def sweep(self, sweeps: int = 1) -> None:
        """Advance the Monte Carlo chains, if there are any."""
        if self.replay is not None and sweeps:
            self.replay.run(sweeps)

    def batch(self, stream: Stream, turn: int = 0) -> Batch:
        """What one training step may use, after the sweeps before it.

        Args:
            stream: random numbers of the run, shared by its systems.
            turn: of this system, from 0.
        """
        o, x, conditions, own = self.options, None, None, None
        self.sweep(int((turn + 1) * o.sweeps_per_step) - int(turn * o.sweeps_per_step))
        if self.replay is not None:
            rows = self._rows(stream)
            x, conditions = self.replay.occupations[rows], self.states[rows]
        if self.draws:
            rows = stream["reverse state"].integers(len(self.states), 1, o.reverse_states)[0]
            own = self.states[rows.repeat_interleave(o.reverse_samples)]
        if self.chains is not None:
            self.chains.advance(self.model)
        return Batch(
            x,
            conditions,
            own,
            o.reverse_samples,
            o.coarse_share,
            o.reverse_weight,
            stream,
            chains=self.chains,
            consistency_weight=o.consistency_weight,
            replay_group=self.group,
            soft_targets=o.soft_targets,
            block_share=o.block_share,
            given_share=o.given_share,
            coarse=self._coarse(stream),
        )

    def _coarse(self, stream: Stream) -> tuple[Tensor, Conditions] | None:
        """Chains for the coarse scales to learn from, if they are to have their own: each at most once."""
        n = min(self.options.coarse_batch_size, len(self.states))
        if n == 0 or self.replay is None or not self.model.draws_blocks:
            return None
        rows = stream["coarse rows"].permutation(len(self.states))[:n]
        return self.replay.occupations[rows], self.states[rows]

    def _rows(self, stream: Stream) -> Tensor:
        """Chains to train on, whole groups of them."""
        n, count = len(self.states) // self.group, self.options.batch_size // self.group
        drawn = stream["state"].integers(n, 1, count)[0] if self.priority is None else self.priority.draw(count)
        return (drawn[:, None] * self.group + torch.arange(self.group, device=drawn.device)).flatten()

    def learn_priority(self, loss: Loss) -> None:
        """Take in how badly the states of the last batch are known.

        Raises:
            InputError: an objective that does not tell.
        """
        if self.priority is None:
            return
        if loss.variances is None:
            objective, share = self.options.objective, self.options.priority
            raise InputError("training.priority", share, f"the objective {objective} returns no variances")
        self.priority.update(loss.variances)


def _learns_coarse_scales(model: Model, options: TrainingOptions, stream: Stream) -> bool:
    asked = options.objective == "forward" and options.coarse_batch_size > 0 and options.given_share == 0
    return asked and model.coarse_blocks(model.resolve_plan(1, None, stream["plan"])) > 0


def group_size(objective: Objective, options: TrainingOptions) -> int:
    """Replayed configurations that share a state, 1 where the objective needs no groups.

    Raises:
        InputError: chains of a state or a batch that are no whole number of groups, or priorities without groups.
    """
    if not needs(objective, "groups"):
        if options.priority:
            raise InputError("training.priority", options.priority, f"needs log-variance or balanced, not {options.objective}")
        return 1
    group = options.replay_group
    for name in ("replica_copies", "batch_size"):
        if getattr(options, name) % group:
            raise InputError(f"training.{name}", getattr(options, name), f"give a multiple of replay_group = {group}")
    return group
