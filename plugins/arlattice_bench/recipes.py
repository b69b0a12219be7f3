"""How the rows are made: families, objectives, sizes of networks, lengths of training. This is the file to edit.

A job's options are those of its family in `Scale.models`; its training options are `Scale.training[""]`, then those
of its objective, then what the table adds for a system (`Scale.systems`: under ``""`` for all rows, under the objective or the
name of a row for those).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from arlattice_bench.job import Job, Kind
from arlattice_bench.system import System

__all__ = ["ALL", "ARMS", "ENERGY_MLPS", "FULL", "MARGINALS", "SEVERAL_SIZES", "SMALL", "TRANSFORMERS", "Recipe", "Scale", "painted"]

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A row, without the size of its network and the length of its training.

    Attributes:
        row: name of the row.
        family: registered name of the model family.
        objective: registered name of the objective.
        options: of the family, on top of `Scale.models`.
        arguments: of the command line, for a row that a user adds.
    """

    row: str
    family: str
    objective: str
    options: Values = field(default_factory=dict)
    arguments: str = ""


ARMS = (
    Recipe("fixed-order-mlp", "fixed-order-mlp", "reverse", {"energies": False}),
    Recipe("any-order-mlp", "any-order-mlp", "reverse", {"energies": False}),
)
"""The paper's autoregressive models as it trains them: from energies alone, with networks that know nothing of the energy."""

MARGINALS = (
    Recipe("marginal-mlp", "marginal-mlp", "mam", {"energies": False}),
    Recipe("marginal-transformer", "marginal-transformer", "mam", {"energies": False}),
)
"""The paper's marginalization models, likewise."""

ENERGY_MLPS = (
    Recipe("fixed-order-mlp-energies", "fixed-order-mlp", "log-variance", {"energies": True}),
    Recipe("any-order-mlp-energies", "any-order-mlp", "log-variance", {"energies": True, "centred": True}),
)
"""The same perceptrons on completed-cluster energies, trained on replayed Monte Carlo; in any order seen from the site drawn."""

TRANSFORMERS = (
    Recipe("marginal-transformer-energies", "marginal-transformer", "self-consistency", {"energies": True}),
    Recipe("any-order-transformer", "any-order-transformer", "log-variance"),
)
"""Ours."""

ALL = (*ARMS, *MARGINALS, *ENERGY_MLPS, *TRANSFORMERS)
SEVERAL_SIZES = Recipe("any-order-transformer-sizes", "any-order-transformer", "balanced", {"positions": "primitive"})
"""Trained on several smaller supercells, sampled on a larger one."""


@dataclass(frozen=True)
class Scale:
    """Sizes and lengths.

    Attributes:
        models: options by family.
        training: training options by objective; those under ``""`` are for all.
        systems: training options by system, and there by objective or row; those under ``""`` are for all.
    """

    models: Mapping[str, Values]
    training: Mapping[str, Values]
    systems: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)

    def job(self, recipe: Recipe, system: System, *, kind: Kind = "trained", supercells: tuple[Values, ...] = ()) -> Job:
        """One row of one system."""
        here = self.systems.get(system.name, {})
        keys = ("", recipe.objective, recipe.row)
        training = {"objective": recipe.objective}
        for values in (*(self.training.get(key, {}) for key in keys), *(here.get(key, {}) for key in keys)):
            training |= values
        options = {**self.models.get(recipe.family, {}), **recipe.options}
        return Job(recipe.row, system, recipe.family, options, training, kind, supercells, arguments=recipe.arguments)

    def jobs(self, recipes: Iterable[Recipe], systems: Iterable[System]) -> tuple[Job, ...]:
        """Every recipe trained on every system."""
        recipes = tuple(recipes)
        return tuple(self.job(recipe, system) for system in systems for recipe in recipes)

    def with_systems(self, systems: Mapping[str, Mapping[str, Values]]) -> Scale:
        """The same scale with training options for single systems."""
        return replace(self, systems=systems)


def painted(jobs: Iterable[Job], system: System) -> tuple[Job, ...]:
    """Every job of a smaller system that reads sites in any order, painted onto ``system``; the paper's models as the paper paints."""
    return tuple(_painted(job, system) for job in jobs if job.family != "fixed-order-mlp")


def _painted(job: Job, system: System) -> Job:
    as_the_paper = {"context": "all", "true_energies": False} if job.options.get("energies") is False else {}
    return replace(job, row=f"{job.row}-painted", system=system, kind="painted", painted_from=job, painting=as_the_paper)


_MAM = {"consistency_weight": 4.0, "coarse_share": 0.0}
"""As in the public code of the MAM paper: alpha = 4, random orders only."""

FULL = Scale(
    models={
        "fixed-order-mlp": {"width": 1024, "layers": 3},
        "any-order-mlp": {"width": 2048, "layers": 3},
        "marginal-mlp": {"width": 2048, "layers": 3},
        "marginal-transformer": {"width": 128, "heads": 4, "layers": 6},
        "any-order-transformer": {"width": 128, "heads": 4, "layers": 6},
    },
    training={
        "": {
            "steps": 3000,
            "learning_rate": 1e-3,
            "warmup_steps": 100,
            "ema_decay": 0.998,
            "replica_temperatures": 12,
            "replica_potentials": 12,
            "replica_copies": 64,
            "equilibration_sweeps": 500,
            "precision": "bfloat16",
            "compile": True,
            "evaluate_every": 1000,
            "evaluate_samples": 128,
            "checkpoint_every": 2000,
        },
        "forward": {"batch_size": 1024},
        "log-variance": {"batch_size": 1024},
        "balanced": {"batch_size": 1024},
        "self-consistency": {"batch_size": 1024},
        "reverse": {"reverse_states": 8, "reverse_samples": 32, "learning_rate": 5e-4},
        "mam": {**_MAM, "reverse_states": 8, "chain_refresh": 100, "ema_decay": 0.999},
        "marginal-mlp": {"reverse_samples": 256, "learning_rate": 5e-4},
        "marginal-transformer": {"reverse_samples": 64},
        "any-order-mlp-energies": {"batch_size": 512, "learning_rate": 5e-4},
    },
)
"""For a GPU: a minute or two for a row on a small system, up to half an hour for the transformers on the large ones."""

SMALL = Scale(
    models={
        "fixed-order-mlp": {"width": 64, "layers": 2},
        "any-order-mlp": {"width": 64, "layers": 2},
        "marginal-mlp": {"width": 64, "layers": 2},
        "marginal-transformer": {"width": 32, "heads": 2, "layers": 2},
        "any-order-transformer": {"width": 32, "heads": 2, "layers": 2},
    },
    training={
        "": {
            "steps": 50,
            "learning_rate": 4e-3,
            "warmup_steps": 10,
            "ema_decay": 0.95,
            "replica_temperatures": 4,
            "replica_potentials": 4,
            "replica_copies": 16,
            "equilibration_sweeps": 50,
            "evaluate_every": 1000,
            "evaluate_samples": 64,
            "checkpoint_every": 1000,
        },
        "forward": {"steps": 75, "batch_size": 64},
        "log-variance": {"steps": 75, "batch_size": 64},
        "balanced": {"steps": 75, "batch_size": 64},
        "self-consistency": {"batch_size": 64},
        "reverse": {"reverse_states": 4, "reverse_samples": 16},
        "mam": {**_MAM, "reverse_states": 4, "reverse_samples": 16, "chain_block": 2},
    },
)
"""For one core: seconds a row. It shows that everything runs, not how good the methods are."""
