"""Warm starts (weights of a trained model) and warm restarts (cosine cycles)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

import arlattice as arl
from arlattice.training.config import TrainingOptions
from arlattice.training.schedule import learning_rate
from arlattice.training.trainer import Trainer

TINY = {"width": 16, "heads": 2, "layers": 1}
STATE = arl.SemiGrandCanonical(2.5)
BRIEF = {
    "seed": 0,
    "objective": "forward",
    "steps": 8,
    "batch_size": 8,
    "replica_copies": 4,
    "equilibration_sweeps": 1,
    "evaluate_samples": 4,
}


def trainer(hamiltonian: arl.Hamiltonian, start: Path | None = None, **training: float) -> Trainer:
    options = TrainingOptions.parse({**BRIEF, **training})
    return Trainer([hamiltonian], STATE, "any-order-transformer", TINY, options, "cpu", start)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    arl.train(arl.hamiltonian("ising", supercell=(3, 3)), STATE, model_options=TINY, training=BRIEF, folder=tmp_path, progress=False)
    return tmp_path


def test_a_warm_start_begins_with_the_trained_weights_in_another_supercell(trained: Path) -> None:
    begun = trainer(arl.hamiltonian("ising", supercell=(4, 4)), trained)
    expected = arl.load(trained).state_dict()
    for model in (begun.model, begun.average):
        assert all(torch.equal(tensor, expected[key]) for key, tensor in model.state_dict().items())


def test_a_warm_start_from_a_model_of_other_species_is_refused(trained: Path) -> None:
    with pytest.raises(arl.InputError, match=r"^start = .*other species$"):
        trainer(arl.hamiltonian("potts", supercell=(3, 3), q=3), trained)


def test_every_cycle_restarts_at_the_peak_and_ends_near_the_floor() -> None:
    run = trainer(arl.hamiltonian("ising", supercell=(3, 3)), steps=100, cycles=2, warmup_steps=1, learning_rate=1.0)
    rates = []
    for step in range(100):
        rates.append(learning_rate(step, run.options))
    assert rates[0] == rates[50] == pytest.approx(1.0)
    assert rates[49] == rates[99] < 0.025
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[:50]))


def test_initial_weights_come_from_the_seed_alone_and_zero_layers_stay_zero() -> None:
    first, second = (trainer(arl.hamiltonian("ising", supercell=(3, 3)), seed=7).model for _ in range(2))
    other = trainer(arl.hamiltonian("ising", supercell=(3, 3)), seed=8).model
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert not first.head.weight.any()


def test_a_warm_start_names_the_option_that_differs(trained: Path) -> None:
    options, wider = TrainingOptions.parse(BRIEF), {**TINY, "width": 24}
    with pytest.raises(arl.InputError, match=r"^start = .*: was trained with other options: width = 16, not 24$"):
        Trainer([arl.hamiltonian("ising", supercell=(4, 4))], STATE, "any-order-transformer", wider, options, "cpu", trained)
