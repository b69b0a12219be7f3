"""A training that diverged, stopped early or learned nothing says so."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.hamiltonians import fixed_configurations
from arlattice.samples import SampleSet
from arlattice.training.health import TrainingWarning, above_random, divergence
from arlattice.training.metrics import MetricsLog

TINY = {"width": 16, "heads": 2, "layers": 1}
STATE = arl.SemiGrandCanonical(2.0)
BRIEF: dict[str, Any] = {
    "seed": 0,
    "steps": 6,
    "batch_size": 8,
    "reverse_states": 1,
    "reverse_samples": 4,
    "evaluate_samples": 64,
    "evaluate_every": 2,
    "replica_temperatures": 1,
    "replica_potentials": 1,
    "replica_copies": 8,
    "equilibration_sweeps": 3,
}
CONFIG = """
hamiltonian = { name = "ising", supercell = [3, 3] }
states = { temperature = 2.0 }
model = { name = "any-order-transformer", width = 16, heads = 2, layers = 1 }
training = { seed = 0, steps = 6, batch_size = 8, replica_temperatures = 1, replica_potentials = 1, replica_copies = 8, learning_rate = %s }
"""


def train(folder: Path | None = None, training: dict[str, Any] | None = None, **keywords: Any) -> arl.Model:
    options = BRIEF | (training or {})
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
    return arl.train(hamiltonian, STATE, model_options=TINY, training=options, folder=folder, device="cpu", progress=False, **keywords)


@pytest.mark.parametrize("rate", [1e30, 1e20])
@pytest.mark.parametrize("objective", ["hybrid", "forward", "reverse", "balanced"])
def test_a_huge_learning_rate_is_an_error_that_names_it_and_leaves_no_model(rate: float, objective: str, tmp_path: Path) -> None:
    with pytest.raises(arl.InputError, match=r"^training.learning_rate = 1e\+(30|20): training diverged"):
        train(tmp_path / "run", {"learning_rate": rate, "objective": objective})
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_the_command_ends_with_2(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    (tmp_path / "run.toml").write_text(CONFIG % "1e30")
    ran = run_cli("train", tmp_path / "run.toml", "-o", tmp_path / "run", "--quiet", "--device", "cpu")
    assert (ran.code, ran.out) == (2, "") and "diverged" in ran.err and len(ran.err.splitlines()) == 1


def test_what_shows_divergence_is_told_in_words() -> None:
    fine, nan = torch.tensor(1.0), torch.tensor(torch.nan)
    assert divergence(fine, fine, [torch.ones(2)]) is None
    assert divergence(nan, fine, [torch.ones(2)]) == "the loss is nan"
    assert divergence(fine, fine / 0, [torch.ones(2)]) == "the norm of the gradient is inf"
    assert divergence(fine, fine, [torch.ones(2), -1e7 * torch.ones(1)]) == "the largest weight is 1e+07"
    assert divergence(fine, fine, [torch.tensor([torch.nan])]) is not None


def test_a_model_that_always_draws_one_configuration_is_worse_than_random_species() -> None:
    """Gap 0 and ESS 1, but a lower bound of log Z far below that of random species: hot, any configuration is one of many."""
    hamiltonian, state = arl.hamiltonian("ising", supercell=(4, 4)), arl.SemiGrandCanonical(10.0)
    x = fixed_configurations(hamiltonian.lattice, 1).expand(64, -1)
    stuck = SampleSet(hamiltonian.lattice, x, hamiltonian.energy(x), state, "reduced", log_prob=torch.zeros(64))
    assert stuck.ess == pytest.approx(1) and stuck.elbo().error == 0
    assert above_random(stuck, hamiltonian) < -5
    free = fixed_configurations(hamiltonian.lattice, 64)
    log_prob = torch.full((64,), -16 * 0.6931471805599453, dtype=torch.float64)
    assert (
        above_random(SampleSet(hamiltonian.lattice, free, hamiltonian.energy(free), state, "reduced", log_prob=log_prob), hamiltonian) >= 0
    )


def test_the_time_limit_holds_during_equilibration_and_the_rest_is_done_on_resuming(tmp_path: Path) -> None:
    """A million sweeps would take minutes. The resumed run is the same run."""
    with pytest.warns(TrainingWarning, match="after 0 of 6 steps: the model is unfinished"):
        stopped = train(tmp_path / "long", {"equilibration_sweeps": 10**6}, time_limit=0.1)
    assert (stopped.record["steps"], stopped.record["planned_steps"]) == (0, 6)
    assert "unfinished" in stopped.record["warning"]
    whole = train(tmp_path / "whole")
    with pytest.warns(TrainingWarning, match="after 0 of 6 steps"):
        train(tmp_path / "parts", time_limit=0)
    assert train(tmp_path / "parts", resume=True).fingerprint == whole.fingerprint


def test_an_early_stop_is_not_called_a_trained_model(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    (tmp_path / "run.toml").write_text(CONFIG % "1e-3")
    command = ["train", tmp_path / "run.toml", "-o", tmp_path / "run", "--quiet", "--device", "cpu"]
    with warnings.catch_warnings():
        warnings.simplefilter("always", TrainingWarning)
        ran = run_cli(*command, "--time-limit", "0")
    assert ran.code == 0 and ran.out.startswith("unfinished model, 0 of 6 steps: ")
    assert "arlattice: warning: the time limit was reached after 0 of 6 steps" in ran.err
    assert run_cli(*command, "--resume").out.startswith("trained model: ")


def test_metrics_hold_no_number_that_json_does_not_have(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, False)
    log.write(1, {"gap": float("inf"), "ess": float("nan"), "loss": 2.0})

    def refuse(name: str) -> None:
        raise ValueError(name)

    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert (row["gap"], row["ess"], row["loss"]) == (None, None, 2.0)
