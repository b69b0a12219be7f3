"""Run files: one TOML file holds everything that makes a trained model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arlattice.arguments import path_text
from arlattice.errors import InputError
from arlattice.hooks.options import Options
from arlattice.io.records import read_text
from arlattice.models.prior import ExpansionPrior
from arlattice.random_numbers import HIGHEST_SEED
from arlattice.training.states import StateRange

__all__ = ["RunConfig", "TrainingOptions"]


class TrainingOptions(Options):
    """How to train. Batches are numbers of configurations."""

    objective: Annotated[
        str,
        Field(
            description="hybrid; Monte Carlo: forward, log-variance, balanced; energies: reverse; marginal models: mam, self-consistency"
        ),
    ] = "hybrid"
    steps: Annotated[int, Field(ge=1, description="optimiser steps")] = 2000
    batch_size: Annotated[int, Field(ge=1, description="replayed configurations a step")] = 512
    replay_group: Annotated[int, Field(ge=2, description="replayed configurations of one state together (log-variance, balanced)")] = 8
    soft_targets: Annotated[
        bool, Field(description="teach the heat-bath probabilities of every site, not its species: less noise (forward, balanced, hybrid)")
    ] = False
    priority: Annotated[float, Field(ge=0, le=1, description="share of the states drawn by their spread (log-variance, balanced)")] = 0.0
    reverse_states: Annotated[int, Field(ge=1, description="states of the reverse term a step")] = 8
    reverse_samples: Annotated[int, Field(ge=2, description="configurations per state of the reverse term")] = 32
    reverse_weight: Annotated[float, Field(ge=0, description="weight of the reverse term in the hybrid")] = 0.5
    consistency_weight: Annotated[float, Field(ge=0, description="weight of the self-consistency of marginals")] = 1.0
    chain_block: Annotated[int, Field(ge=1, description="sites that block Gibbs draws anew a step (mam)")] = 4
    chain_refresh: Annotated[int, Field(ge=1, description="steps between draws of the chains from nothing (mam)")] = 200
    coarse_share: Annotated[float, Field(ge=0, le=1, description="share of coarse-to-fine orders; the rest is random")] = 0.5
    block_share: Annotated[
        float, Field(ge=0, le=1, description="share of the blocks computed for each configuration; 0: the coarse scales alone (forward)")
    ] = 1.0
    coarse_batch_size: Annotated[
        int, Field(ge=0, description="replayed configurations a step for the coarse scales of blocks, 0: those of the batch")
    ] = 0
    given_share: Annotated[float, Field(ge=0, le=1, description="share of configurations learned given random sites (blocks)")] = 0.0
    learning_rate: Annotated[float, Field(gt=0, description="peak learning rate of AdamW; cosine decay to 2 %")] = 1e-3
    cycles: Annotated[int, Field(ge=1, description="cosine cycles, each a warm restart at the peak (SGDR)")] = 1
    until_ess: Annotated[
        float | None, Field(gt=0, le=1, description="stop once the worst ESS of the states that are evaluated is this high; none: go on")
    ] = None
    until_steady: Annotated[bool, Field(description="stop when cycles no longer raise mean or worst ESS, or leave no time for another")] = (
        False
    )
    warmup_steps: Annotated[int, Field(ge=1, description="steps of linear warm-up")] = 50
    gradient_clip: Annotated[float, Field(gt=0, description="largest gradient norm")] = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1, description="decay of the averaged weights that are evaluated and saved; 0 = none")] = (
        0.998
    )
    replica_temperatures: Annotated[int, Field(ge=1, description="temperature cells of the replica-exchange grid")] = 12
    replica_potentials: Annotated[int, Field(ge=1, description="cells along every chemical-potential axis")] = 8
    replica_copies: Annotated[int, Field(ge=1, description="chains per cell")] = 8
    equilibration_sweeps: Annotated[int, Field(ge=0, description="Monte Carlo sweeps before the first step")] = 500
    sweeps_per_step: Annotated[float, Field(gt=0, description="Monte Carlo sweeps before every step; 0.25: before one step of four")] = 1
    seed: Annotated[
        int | None, Field(ge=0, le=HIGHEST_SEED, description="of every random number of the run; none: a fresh one, kept in config.json")
    ] = None
    precision: Annotated[Literal["float32", "bfloat16"], Field(description="arithmetic of the network in training (bfloat16 on GPUs)")] = (
        "float32"
    )
    compile: Annotated[bool, Field(description="compile the one-pass network with torch.compile (GPUs)")] = False
    evaluate_every: Annotated[int, Field(ge=1, description="steps between evaluations of gap and ESS")] = 200
    evaluate_samples: Annotated[int, Field(ge=2, description="configurations per evaluated state")] = 256
    checkpoint_every: Annotated[int, Field(ge=1, description="steps between checkpoints")] = 500
    tensorboard: Annotated[bool, Field(description="write TensorBoard events too (extra 'tensorboard')")] = False


class RunConfig(Options):
    """A whole run: tables ``[hamiltonian]``, ``[states]``, ``[model]``, ``[training]``.

    ``[hamiltonian]`` and ``[model]`` hold a ``name`` and the options of that name. ``supercells`` lists options that
    replace the Hamiltonian's, one table for each further supercell to train the same weights on. Several tables
    ``[[hamiltonian]]`` are Hamiltonians with energies of their own that share the weights. A table ``[family]`` stands in the place of
    ``[hamiltonian]`` for a model of any alloy (`arlattice.models.prior.ExpansionPrior`). What ``[model]`` and ``[training]`` leave
    open is chosen (`arlattice.training.automatic`).
    """

    supercells: tuple[dict[str, Any], ...] = ()
    hamiltonian: dict[str, Any] | tuple[dict[str, Any], ...] = ()
    family: ExpansionPrior | None = None
    states: StateRange
    model: dict[str, Any] | None = None
    training: TrainingOptions = TrainingOptions()

    @model_validator(mode="after")
    def _one_or_the_other(self) -> RunConfig:
        if self.family is not None and self.hamiltonians:
            raise InputError("family", self.family.lattice, "give [hamiltonian] or [family], not both")
        if self.family is not None and self.supercells:
            raise InputError("supercells", len(self.supercells), "a family of alloys is trained on its own supercell alone")
        if not self.hamiltonians and self.family is None:
            raise InputError("hamiltonian", [], "give at least one table [hamiltonian], or a table [family]")
        return self

    @property
    def hamiltonians(self) -> tuple[dict[str, Any], ...]:
        """The tables of the Hamiltonians, at least one."""
        return self.hamiltonian if isinstance(self.hamiltonian, tuple) else (self.hamiltonian,)

    @classmethod
    def from_toml(cls, path: str | Path) -> RunConfig:
        """Read and check a run file.

        Raises:
            InputError: no such file, not TOML, or an unknown or bad entry.
        """
        try:
            data = tomllib.loads(read_text(path_text("config", path), "config"))
        except InputError:
            raise
        except (ValueError, RecursionError) as error:  # ValueError too: Python reads whole numbers of at most 4,300 digits
            raise InputError("config", str(path), f"is not TOML: {' '.join(str(error).split())[:200]}") from None
        config = cls.parse(data)
        models = [] if config.model is None else [("model", config.model)]
        named = [*models, *(("hamiltonian", table) for table in config.hamiltonians)]
        for kind, table in named:
            if not isinstance(table.get("name"), str):
                raise InputError(f"{kind}.name", table.get("name"), f"give a registered name; `arlattice {kind}s` lists them")
        return config
