"""Warm starts (weights of a trained model) and warm restarts (cosine cycles)."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.models.build import build_model
from arlattice.random_numbers import Stream
from arlattice.testing import randomise
from arlattice.training.config import TrainingOptions
from arlattice.training.schedule import learning_rate
from arlattice.training.states import replica_grid
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


WIDE = arl.StateRange(temperature=(1.0, 4.0), chemical_potentials={"up": (-1.0, 1.0)})
NARROW = arl.StateRange(temperature=(2.2, 2.5), chemical_potentials={"up": (-0.1, 0.1)})
OTHER_RANGES = {"wide": WIDE, "one state": arl.StateRange(temperature=2.3), "temperatures": arl.StateRange(temperature=(1.0, 4.0))}
SMALL = arl.hamiltonian("ising", supercell=(4, 4))


def states_of(states: arl.StateRange) -> Conditions:
    return replica_grid(states, SMALL, (4, 4), 8, seed=0)[0]


@pytest.mark.parametrize("before", OTHER_RANGES)
@pytest.mark.parametrize("family", ["multiscale", "any-order-transformer", "marginal-transformer"])
def test_on_another_range_of_states_a_model_computes_what_it_did(family: str, before: str) -> None:
    """From a wider range, and from fewer dimensions: features of the new range, the same log p of both heads to 1e-4."""
    model: Any = randomise(build_model(family, SMALL, {"width": 8, "layers": 1} if family == "multiscale" else TINY), seed=3)
    model.set_state_range(states_of(OTHER_RANGES[before]))
    moved, x = copy.deepcopy(model), torch.randint(2, (8, 16), generator=torch.Generator().manual_seed(0))
    moved.move_state_range(states_of(NARROW))
    conditions = Conditions.from_states([arl.SemiGrandCanonical(2.2 + 0.03 * k, {"up": 0.02 * k - 0.1}) for k in range(8)], SMALL)
    plan = model.resolve_plan(8, None, Stream(0))
    torch.testing.assert_close(moved(x, plan, conditions), model(x, plan, conditions), rtol=1e-4, atol=1e-4)
    if family == "marginal-transformer":
        heads = [each.prefix_log_probs(x, plan.order, conditions)[0] for each in (moved, model)]
        torch.testing.assert_close(*heads, rtol=1e-4, atol=1e-4)
    features = moved.standardised(states_of(NARROW)).double()
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(6).double(), rtol=1e-3, atol=1e-3)


def test_nearly_the_same_range_of_states_stays_to_the_last_bit() -> None:
    model = randomise(build_model("multiscale", SMALL, {"width": 8, "layers": 1}), seed=3)
    model.set_state_range(states_of(WIDE))
    before = model.fingerprint
    model.move_state_range(states_of(arl.StateRange(temperature=(1.2, 4.0), chemical_potentials={"up": (-1.0, 0.8)})))
    assert model.fingerprint == before


def test_a_run_moves_the_range_of_the_model_it_starts_from(tmp_path: Path) -> None:
    """The weights that are trained and their average."""
    options, tiny = TrainingOptions.parse(BRIEF | {"replica_temperatures": 4, "replica_potentials": 4}), {"width": 8, "layers": 1}
    Trainer([SMALL], WIDE, "multiscale", tiny, options, "cpu").average.save(tmp_path)
    run = Trainer([SMALL], NARROW, "multiscale", tiny, options, "cpu", tmp_path)
    for model in (run.model, run.average):
        spread = model.standardised(run.systems[0].states).double().std(0, correction=0)
        torch.testing.assert_close(spread, torch.ones(6).double(), rtol=1e-3, atol=1e-3)
