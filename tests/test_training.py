"""Training lowers the exact divergence; one seed gives one run; the loop does what its options say."""

from __future__ import annotations

import math
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ising_runs import CRITICAL, RANGE, brief, ising, lines, train, trainer, untrained
from torch import Tensor

import arlattice as arl
from arlattice.decoding.orders import draw_orders
from arlattice.models.base import Model
from arlattice.random_numbers import Stream
from arlattice.thermo.exact import Enumeration
from arlattice.training.checkpoint import Progress
from arlattice.training.schedule import average_decay
from arlattice.training.weights import move_average

QUICK: dict[str, Any] = {
    "steps": 100,
    "batch_size": 64,
    "reverse_states": 2,
    "reverse_samples": 16,
    "equilibration_sweeps": 30,
    "replica_copies": 64,
    "learning_rate": 6e-3,
    "warmup_steps": 10,
    "ema_decay": 0.9,
    "evaluate_every": 1000,
    "evaluate_samples": 16,
}


def divergence(model: Model, state: arl.Ensemble) -> float:
    """KL(q || p) in nats by enumeration, mean over three orders of each kind."""
    enumeration = Enumeration.of(model.hamiltonian)
    log_p, x, found = enumeration.log_f(state).log_softmax(0), enumeration.occupations.long(), []
    for kind in ("coarse-to-fine", "random"):
        for order in draw_orders(model.lattice, 3, kind, Stream(0)):
            log_q = model.log_prob(x, state, order)
            possible = log_q > -torch.inf
            found.append(float((log_q.exp() * (log_q - log_p))[possible].sum()))
    return sum(found) / len(found)


# -- it learns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["hybrid", "forward", "log-variance", "balanced", "reverse"])
def test_every_objective_lowers_the_exact_divergence(objective: str) -> None:
    """3x3 Ising near T_c: 0.85 nats before, below 0.4 after 100 steps on two seconds of one core."""
    hamiltonian = ising(3, 3)
    assert divergence(untrained(hamiltonian), CRITICAL) > 0.8
    assert divergence(train(hamiltonian, CRITICAL, QUICK | {"objective": objective}), CRITICAL) < 0.4


def test_fixed_compositions_train() -> None:
    """Two compositions of the 3x3 Ising model: 0.6 nats before; the divergence of each falls by a third at least."""
    hamiltonian, states = ising(3, 3), [arl.Canonical(2.27, {"up": n}) for n in (3, 4)]
    before = [divergence(untrained(hamiltonian), s) for s in states]
    model = train(hamiltonian, states, QUICK | {"replica_copies": 32})
    assert all(divergence(model, s) < 0.67 * b for s, b in zip(states, before, strict=True))


def test_black_boxes_train() -> None:
    """The 3x3 Ising model as a function: 2.8 nats before, below 1.4 after 100 steps."""
    reference = ising(3, 3)
    hamiltonian = arl.FunctionHamiltonian(reference.lattice, reference.energy, units="reduced")
    assert divergence(untrained(hamiltonian), CRITICAL) > 2.5
    assert divergence(train(hamiltonian, CRITICAL, QUICK), CRITICAL) < 1.4


def test_a_black_box_that_cannot_be_copied_trains_and_is_the_one_that_was_given() -> None:
    class Locked:
        def __init__(self) -> None:
            self.own = threading.Lock()

        def __call__(self, x: Tensor) -> Tensor:
            with self.own:
                return x.sum(1).double()

    hamiltonian = arl.FunctionHamiltonian(arl.square(2), Locked(), units="reduced")
    assert brief(hamiltonian=hamiltonian).hamiltonian is hamiltonian


def test_one_model_learns_a_range_of_states() -> None:
    hamiltonian = ising(3, 3)
    states = [arl.SemiGrandCanonical(t, {"up": mu}) for t in (1.8, 3.2) for mu in (-0.25, 0.25)]
    before = sum(divergence(untrained(hamiltonian), s) for s in states)
    model = train(hamiltonian, RANGE, QUICK | {"replica_copies": 4, "replica_temperatures": 4, "replica_potentials": 4})
    assert sum(divergence(model, s) for s in states) < 0.6 * before


# -- one seed, one run -----------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["hybrid", "forward", "log-variance", "balanced", "reverse"])
def test_one_seed_gives_one_run(objective: str, tmp_path: Path) -> None:
    one, same = (brief(tmp_path / name, training={"objective": objective}) for name in ("one", "same"))
    other = brief(training={"objective": objective, "seed": 1})
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert lines(tmp_path / "one") == lines(tmp_path / "same")


def test_training_leaves_the_global_random_numbers_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    brief()
    after = np.random.get_state()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(after) == str(before[1]) and random.getstate() == before[2]


def test_initial_weights_do_not_depend_on_the_global_random_numbers() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = brief()
        torch.manual_seed(2)
        assert brief().fingerprint == one.fingerprint


# -- the loop --------------------------------------------------------------------------------------


def test_metrics_have_a_line_for_every_evaluation(tmp_path: Path) -> None:
    brief(tmp_path / "run", training={"steps": 5})
    rows = lines(tmp_path / "run")
    assert [row["step"] for row in rows] == [2, 4, 5]
    expected = {
        "step",
        "forward",
        "reverse_spread",
        "gradient_norm",
        "learning_rate",
        "exchange_rate",
        "gap",
        "worst_gap",
        "ess",
        "worst_ess",
        "above_random",
    }
    assert all(set(row) == expected and all(map(math.isfinite, row.values())) for row in rows)
    assert all(0 < row["worst_ess"] <= row["ess"] <= 1 and 0 <= row["gap"] <= row["worst_gap"] for row in rows)


def test_the_learning_rate_warms_up_and_decays_to_two_percent(tmp_path: Path) -> None:
    options = {"steps": 12, "evaluate_every": 1, "warmup_steps": 4, "learning_rate": 0.01, "objective": "forward"}
    brief(tmp_path / "run", training=options)
    rates = [row["learning_rate"] for row in lines(tmp_path / "run")]
    cosine = [0.02 + 0.98 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    assert rates == pytest.approx([0.01 * min(1, (step + 1) / 4) * c for step, c in enumerate(cosine)])


def test_the_saved_weights_are_the_moving_average() -> None:
    """average <- d average + (1 - d) weights, d = min(decay, (1 + step) / (10 + step))."""
    run = trainer(ema_decay=0.5)
    expected, parameters = [p.detach().clone() for p in run.model.parameters()], list(run.model.parameters())
    for step in (1, 2, 60):
        run.done = Progress(step)
        with torch.no_grad():
            for p in parameters:
                p.add_(1.0)
        move_average(list(run.average.parameters()), list(run.model.parameters()), average_decay(run.step, run.options))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * p for e, p in zip(expected, parameters, strict=True)]
        assert all(torch.allclose(a, e, atol=1e-6) for a, e in zip(run.average.parameters(), expected, strict=True))


def test_without_averaging_the_weights_themselves_are_saved() -> None:
    run = trainer(ema_decay=0.0, steps=2)
    assert run.fit(None, False, None, False) is run.average
    assert all(torch.equal(a, b) for a, b in zip(run.average.parameters(), run.model.parameters(), strict=True))


def test_gradients_are_clipped_after_their_norm_is_told(tmp_path: Path) -> None:
    brief(tmp_path / "run", training={"gradient_clip": 1e-9, "learning_rate": 1e-3, "steps": 2})
    assert lines(tmp_path / "run")[-1]["gradient_norm"] > 1e-6


def test_the_model_comes_back_evaluated_with_its_record() -> None:
    model = brief()
    assert not model.training and model.record["steps"] == 6 and model.record["seed"] == 0
    assert model.sample(4, CRITICAL).log_prob is not None
