"""States drawn by priority: the probabilities, the running variances, and whole runs with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

import arlattice as arl
from arlattice.models.base import Model
from arlattice.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from arlattice.training.config import TrainingOptions
from arlattice.training.health import TrainingWarning
from arlattice.training.objectives import Batch, Loss, balanced
from arlattice.training.priority import StatePriority
from arlattice.training.states import StateRange
from arlattice.training.trainer import Trainer

STATES = StateRange(temperature=(1.5, 3.5))
TRAINING: dict[str, Any] = {
    "objective": "balanced",
    "priority": 0.5,
    "steps": 6,
    "batch_size": 16,
    "equilibration_sweeps": 2,
    "replica_temperatures": 3,
    "replica_copies": 8,
    "replay_group": 4,
    "evaluate_every": 2,
    "evaluate_samples": 8,
    "checkpoint_every": 2,
    "seed": 0,
}


def priority(share: float = 0.5, weights: tuple[float, ...] = (1.0, 0.2, 0.6)) -> StatePriority:
    made = StatePriority(len(weights), 4 * len(weights), share, 0)
    made.weights = torch.tensor(weights, dtype=torch.float64)
    return made


def trainer(**training: Any) -> Trainer:
    options = TrainingOptions.parse(TRAINING | training)
    return Trainer([arl.hamiltonian("ising", supercell=(3, 3))], STATES, "any-order-transformer", {"width": 16, "heads": 2}, options, "cpu")


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_is_drawn_by_weight_and_the_rest_evenly(share: float) -> None:
    expected = (1 - share) / 3 + share * torch.tensor([1.0, 0.2, 0.6], dtype=torch.float64) / 1.8
    torch.testing.assert_close(priority(share).probabilities, expected)


def test_groups_are_drawn_with_these_probabilities_evenly_in_a_cell() -> None:
    """n = 12,000 draws of 12 groups; chi-squared, false alarm 1e-4."""
    made = priority()
    expected = 12_000 * made.probabilities.repeat_interleave(4) / 4
    assert chisquare(made.draw(12_000).bincount(minlength=12), expected).pvalue > 1e-4


def test_the_weights_follow_the_variances_of_the_cells_drawn() -> None:
    made = priority(weights=(1.0, 0.2, 0.6))
    made._drawn = torch.tensor([0, 2, 0])
    made.update(torch.tensor([1.0, 0.0, 3.0]))
    expected: Tensor = torch.tensor([0.98 * 1.0 + 0.02 * (0.5 + 0.75) / 2, 0.2, 0.98 * 0.6], dtype=torch.float64)
    torch.testing.assert_close(made.weights, expected)


def test_a_group_far_off_or_without_a_number_counts_as_not_known_at_all() -> None:
    made = priority(weights=(0.5, 0.5, 0.5))
    made._drawn = torch.tensor([0, 1])
    made.update(torch.tensor([float("inf"), float("nan")]))
    torch.testing.assert_close(made.weights, torch.tensor([0.51, 0.51, 0.5], dtype=torch.float64))


def test_a_batch_holds_whole_groups_of_the_cells_that_were_drawn() -> None:
    run = trainer(priority=1.0)
    system = run.systems[0]
    assert system.priority is not None and len(system.priority.weights) == 3
    system.priority.weights = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    states = system.batch(run.stream).conditions
    assert states is not None and torch.equal(states.beta, states.beta.view(-1, 4)[:, :1].expand(-1, 4).flatten())
    low, high = (1.5 ** (1 - k / 3) * 3.5 ** (k / 3) for k in (1, 2))
    assert bool(((1 / states.beta > low) & (1 / states.beta < high)).all())


def test_training_lowers_the_weights_and_the_worst_known_state_keeps_the_highest() -> None:
    """At T = 50 the completed-cluster energies are nearly right from the start, at T = 0.8 they are not."""
    states = [arl.SemiGrandCanonical(t) for t in (0.8, 50.0)]
    options = TrainingOptions.parse(TRAINING | {"steps": 60, "evaluate_every": 1000})
    run = Trainer([arl.hamiltonian("ising", supercell=(3, 3))], states, "any-order-transformer", {"width": 16, "heads": 2}, options, "cpu")
    run.fit(None, False, None, False)
    assert run.systems[0].priority is not None
    cold, hot = run.systems[0].priority.weights.tolist()
    assert hot < cold < 1


def test_a_resumed_run_is_the_same_run(tmp_path: Path, without_clock: Callable[[Path], Any]) -> None:
    whole = trainer().fit(tmp_path / "whole", False, None, False)
    for resume in (False, True):
        with pytest.warns(TrainingWarning, match="unfinished"):
            trainer().fit(tmp_path / "parts", resume, 0, False)
    parts = trainer().fit(tmp_path / "parts", True, None, False)
    assert parts.fingerprint == whole.fingerprint
    checkpoints = [without_clock(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts")]
    assert checkpoints[0] == checkpoints[1]


def test_the_weights_are_in_the_checkpoint(tmp_path: Path) -> None:
    run, fresh = trainer(), trainer()
    weights = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    run.systems[0].priority.weights = weights  # type: ignore[union-attr]
    save_checkpoint(tmp_path / "checkpoint.safetensors", run.parts, Progress(3), run._identity())
    assert load_checkpoint(tmp_path / "checkpoint.safetensors", fresh.parts, fresh._identity()) == Progress(3)
    assert torch.equal(fresh.systems[0].priority.weights, weights)  # type: ignore[union-attr]


def test_every_supercell_has_priorities_of_its_own() -> None:
    options = TrainingOptions.parse(TRAINING)
    sizes = [arl.hamiltonian("ising", supercell=size) for size in ((3, 3), (3, 4))]
    run = Trainer(sizes, STATES, "any-order-transformer", {"width": 16, "heads": 2, "positions": "primitive"}, options, "cpu")
    first, second = (system.priority for system in run.systems)
    assert first is not None
    assert second is not None
    assert (first.share, second.share) == (0.5, 0.5)
    run._one_step()
    assert bool((first.weights < 1).any())
    assert bool((second.weights == 1).all())
    kept = first.weights.clone()
    run._one_step()
    assert torch.equal(first.weights, kept)
    assert bool((second.weights < 1).any())


def test_an_objective_that_returns_no_variances_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()

    def silent(model: Model, batch: Batch) -> Loss:
        return replace(balanced(model, batch), variances=None)

    monkeypatch.setattr(run, "objective", silent)
    with pytest.raises(arl.InputError, match=r"training.priority = 0.5: the objective balanced returns no variances"):
        run._one_step()


def test_without_a_share_states_are_drawn_evenly_as_before() -> None:
    assert trainer(priority=0.0).systems[0].priority is None


def test_an_objective_without_groups_is_refused() -> None:
    with pytest.raises(arl.InputError, match=r"training.priority = 0.5: needs log-variance or balanced, not forward"):
        trainer(objective="forward")
