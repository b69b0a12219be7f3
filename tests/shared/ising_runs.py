"""Small Ising models, brief runs of training on them, whole and stopped, and what a run says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import arlattice as arl
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.base import Model
from arlattice.models.checkpoint import read_record
from arlattice.training.config import TrainingOptions
from arlattice.training.health import TrainingWarning
from arlattice.training.states import StateRange
from arlattice.training.trainer import Trainer

TINY = {"width": 16, "heads": 2, "layers": 2}
CRITICAL = arl.SemiGrandCanonical(2.27)
RANGE = StateRange(temperature=(1.5, 3.5), chemical_potentials={"up": (-0.3, 0.3)})
BRIEF: dict[str, Any] = {
    "seed": 0,
    "steps": 6,
    "batch_size": 8,
    "reverse_states": 2,
    "reverse_samples": 4,
    "equilibration_sweeps": 2,
    "replica_temperatures": 2,
    "replica_potentials": 2,
    "replica_copies": 2,
    "replay_group": 2,
    "evaluate_every": 2,
    "evaluate_samples": 8,
    "checkpoint_every": 2,
}


def ising(*size: int) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=size)


def untrained(hamiltonian: arl.Hamiltonian) -> Model:
    return AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(**TINY))


def train(hamiltonian: arl.Hamiltonian, states: Any, training: dict[str, Any], **keywords: Any) -> Model:
    return arl.train(hamiltonian, states, training=training, progress=False, **({"model_options": TINY, "device": "cpu"} | keywords))


def brief(folder: Path | None = None, states: Any = RANGE, **keywords: Any) -> Model:
    """A run of six steps."""
    training = BRIEF | keywords.pop("training", {})
    return train(keywords.pop("hamiltonian", None) or ising(3, 3), states, training, folder=folder, **keywords)


def stopped(folder: Path, states: Any = RANGE, *, steps: int = 1, **keywords: Any) -> None:
    """The run of `brief`, stopped by its time limit and resumed until so many steps are done."""
    resume = False
    while not resume or read_record(folder)["steps"] < steps:
        with pytest.warns(TrainingWarning, match="the model is unfinished"):
            brief(folder, states, resume=resume, time_limit=0, **keywords)
        resume = True


def trainer(**training: Any) -> Trainer:
    return Trainer([ising(3, 3)], CRITICAL, "any-order-transformer", TINY, TrainingOptions.parse(BRIEF | training), "cpu")


def lines(folder: Path) -> list[dict[str, float]]:
    """metrics.jsonl without the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(row.pop("seconds") >= 0 for row in rows)
    return rows
