"""Training lowers the exact divergence; its gradients are the exact ones; one seed gives one run; a resumed run is the same run."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding.orders import draw_orders, levels
from arlattice.io.records import read_tensors, write_tensors
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.base import Model
from arlattice.models.checkpoint import read_record
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import random_hamiltonian, randomise
from arlattice.thermo.exact import Enumeration
from arlattice.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from arlattice.training.config import TrainingOptions
from arlattice.training.health import TrainingWarning
from arlattice.training.objectives import Batch, balanced, forward, hybrid, log_variance, reverse
from arlattice.training.schedule import average_decay
from arlattice.training.states import StateRange, replica_grid
from arlattice.training.trainer import Trainer
from arlattice.training.weights import move_average

TINY = {"width": 16, "heads": 2, "layers": 2}
CRITICAL = arl.SemiGrandCanonical(2.27)
RANGE = StateRange(temperature=(1.5, 3.5), chemical_potentials={"up": (-0.3, 0.3)})
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


def train(hamiltonian: arl.Hamiltonian, states: Any, training: dict[str, Any], **keywords: Any) -> Model:
    return arl.train(hamiltonian, states, model_options=TINY, training=training, device="cpu", progress=False, **keywords)


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


def untrained(hamiltonian: arl.Hamiltonian) -> Model:
    return AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(**TINY))


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


# -- gradients -------------------------------------------------------------------------------------


class OneOrder(Batch):
    """A batch whose orders are all the same."""

    def plan(self, model: Model, n: int) -> Plan:
        return Plan(torch.arange(model.lattice.n_sites).flip(0).expand(n, -1))


def batch(conditions: Conditions | None, group_size: int, x: Tensor | None = None, kind: type[Batch] = OneOrder, **keywords: Any) -> Batch:
    values: dict[str, Any] = {"coarse_share": 0.5, "reverse_weight": 0.3, "stream": Stream(0)}
    own = None if x is None else Conditions.from_states([CRITICAL] * len(x), ising(3, 3))
    return kind(x, own, conditions, group_size, **(values | keywords))


def flat_gradient(value: Tensor, model: Model) -> Tensor:
    gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten().double() for g in gradients])


@pytest.mark.parametrize("size", [2, 3])
def test_the_reverse_gradient_is_exact_on_average(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its expectation over every group of draws from a two-site model, against the gradient of the enumerated divergence.

    Two states with a group each; one group takes every value while the other is held.
    """
    hamiltonian = random_hamiltonian(arl.chain(2), 2)
    model = randomise(AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(**TINY)), scale=0.4).double()
    states = Conditions.from_states([arl.SemiGrandCanonical(0.7, {"up": 0.2}), arl.SemiGrandCanonical(2.0)], hamiltonian)
    x = Enumeration.of(hamiltonian).occupations.long()
    order = torch.tensor([1, 0]).expand(4, -1)
    log_q = [model(x, order, states[k : k + 1].expand(4)).sum(1) for k in range(2)]
    log_f = [states[k : k + 1].expand(4).log_f(hamiltonian.energy(x), x) for k in range(2)]
    exact = flat_gradient(torch.stack([(q.exp() * (q - f)).sum() for q, f in zip(log_q, log_f, strict=True)]).mean(), model)

    expected = torch.zeros_like(exact)
    held = [0] * size
    for drawn in itertools.product(range(4), repeat=size):
        for k in range(2):
            rows = torch.tensor([*drawn, *held] if k == 0 else [*held, *drawn])
            q = torch.cat([log_q[0][rows[:size]], log_q[1][rows[size:]]]).detach()
            monkeypatch.setattr(model, "draw", lambda noise, order, conditions, rows=rows, q=q: (x[rows], q))
            loss = reverse(model, batch(states[torch.arange(2).repeat_interleave(size)], size))
            expected += float(log_q[k][list(drawn)].detach().sum().exp()) * flat_gradient(loss.value, model)
    assert float(exact.abs().max()) > 0.01
    assert float((expected - exact).abs().max()) < 1e-6 * max(1.0, float(exact.abs().max()))


@pytest.mark.parametrize("size", [2, 3])
def test_the_log_variance_gradient_is_exact_on_average(size: int) -> None:
    """Its expectation over every group of replayed configurations, against half the gradient of the enumerated variance."""
    hamiltonian = random_hamiltonian(arl.chain(2), 2)
    model = randomise(AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(**TINY)), scale=0.03).double()
    states = Conditions.from_states([arl.SemiGrandCanonical(6.0, {"up": 0.2})] * size, hamiltonian)
    x = Enumeration.of(hamiltonian).occupations.long()
    log_f = states[:1].expand(4).log_f(hamiltonian.energy(x), x)
    p = log_f.double().softmax(0)
    log_q = model(x, torch.tensor([1, 0]).expand(4, -1), states[:1].expand(4)).sum(1)
    advantage = log_q - log_f
    assert float((advantage.max() - advantage.min()).detach()) < 1  # no limit is reached
    exact = flat_gradient(0.5 * ((p * advantage**2).sum() - (p * advantage).sum() ** 2), model)
    expected = torch.zeros_like(exact)
    for drawn in itertools.product(range(4), repeat=size):
        group = OneOrder(x[list(drawn)], states, None, 0, 0.5, 0.0, Stream(0), replay_group=size)
        expected += float(p[list(drawn)].prod()) * flat_gradient(log_variance(model, group).value, model)
    assert float(exact.abs().max()) > 1e-3
    assert float((expected - exact).abs().max()) < 1e-6


def test_where_the_model_has_far_too_little_weight_the_log_variance_pulls_as_the_forward_kl_does() -> None:
    """Weights of one group from -1, as in the forward KL, to 1."""
    hamiltonian = ising(3, 3)
    model = randomise(untrained(hamiltonian), scale=0.5)
    x = torch.randint(2, (16, 9), generator=torch.Generator().manual_seed(1))
    states = Conditions.from_states([CRITICAL] * 16, hamiltonian)
    log_q = model(x, torch.arange(9).flip(0).expand(16, -1), states).sum(1)
    advantage = (log_q - states.log_f(hamiltonian.energy(x), x)).detach()
    rest = (advantage.sum() - advantage) / 15
    weight = (advantage - rest).clamp(-1, 1)
    assert float((weight == -1).sum()) >= 4 and float((weight.abs() < 1).sum()) >= 1
    loss = log_variance(model, OneOrder(x, states, None, 0, 0.5, 0.0, Stream(0), replay_group=16))
    assert loss.value.item() == pytest.approx(float((weight * log_q).mean().detach()), rel=1e-5)


@dataclass(frozen=True)
class Told(Conditions):
    """States whose log f is given."""

    told: Tensor | None = None

    def log_f(self, energy: Tensor, occupations: Tensor) -> Tensor:
        assert self.told is not None
        return self.told


def test_the_balanced_objective_weighs_each_group_by_its_variance() -> None:
    """Two groups, log q - log f of one stretched 100 times and of the other a hundredth: (D - V) / (1 + V), V at least 0.1."""
    hamiltonian = ising(3, 3)
    x = torch.randint(2, (16, 9), generator=torch.Generator().manual_seed(1))
    model = randomise(untrained(hamiltonian), scale=0.1)
    states = Conditions.from_states([CRITICAL] * 16, hamiltonian)
    group = OneOrder(x, states, None, 0, 0.5, 0.0, Stream(0), replay_group=8)
    log_q = model(x, group.orders(model, 16), states).sum(1).double()
    advantage = (log_q - states.log_f(hamiltonian.energy(x), x)).detach() * torch.tensor([100.0] * 8 + [0.01] * 8)
    group.conditions = Told(**vars(states), told=log_q.detach() - advantage)
    weights = []
    for one in advantage.view(2, 8):
        variance = max(float(one.var()), 0.1)
        weights.append((one - torch.stack([one[torch.arange(8) != k].mean() for k in range(8)]) - variance) / (1 + variance))
    assert float(advantage[:8].var()) > 100 and float(advantage[8:].var()) < 0.1
    expected = flat_gradient((torch.cat(weights) * log_q).mean(), model)
    torch.testing.assert_close(flat_gradient(balanced(model, group).value, model), expected, rtol=1e-4, atol=1e-5)


def test_only_the_log_variance_is_blind_to_what_the_replay_never_holds() -> None:
    """One configuration over and over, far below its weight: no gradient; the balanced objective keeps that of the forward KL."""
    hamiltonian = ising(3, 3)
    model, x = randomise(untrained(hamiltonian)), torch.ones(8, 9, dtype=torch.long)
    group = OneOrder(x, Conditions.from_states([CRITICAL] * 8, hamiltonian), None, 0, 0.5, 0.0, Stream(0), replay_group=8)
    kept, pull = flat_gradient(balanced(model, group).value, model), flat_gradient(forward(model, group).value, model)
    assert float(flat_gradient(log_variance(model, group).value, model).abs().max()) < 1e-6
    torch.testing.assert_close(kept, pull * 0.1 / 1.1, rtol=1e-4, atol=1e-6)
    group.replay_group = 3
    for objective in (log_variance, balanced):
        with pytest.raises(ValueError, match="needs whole groups"):
            objective(model, group)


@pytest.mark.parametrize("objective", ["reverse", "log-variance"])
def test_a_perfect_model_has_no_gradient_not_even_noise(objective: str) -> None:
    """With q = p every advantage is the same, so the leave-one-out baseline leaves nothing; the forward KL keeps noise."""
    lattice = arl.square(2)
    hamiltonian = arl.ClusterHamiltonian.from_terms(lattice, [((i,), np.array([0.0, 0.3 * i])) for i in range(4)], units="reduced")
    model = AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(**TINY)).double()
    states = Conditions.from_states([CRITICAL, arl.SemiGrandCanonical(0.7)], hamiltonian)[torch.arange(2).repeat_interleave(8)]
    x = torch.randint(2, (16, 4), generator=torch.Generator().manual_seed(2))
    replayed = Batch(x, states, None, 0, 0.5, 0.0, Stream(0), replay_group=8)
    loss = reverse(model, batch(states, 8, kind=Batch)) if objective == "reverse" else log_variance(model, replayed)
    assert float(flat_gradient(loss.value, model).abs().max()) < 1e-6
    assert float(flat_gradient(forward(model, replayed).value, model).abs().max()) > 1e-2


def test_the_forward_loss_is_the_mean_of_minus_log_q_and_the_hybrid_adds_the_weighted_reverse() -> None:
    hamiltonian = ising(3, 3)
    model = randomise(untrained(hamiltonian))
    x = torch.randint(2, (20, 9), generator=torch.Generator().manual_seed(1))
    states = Conditions.from_states([CRITICAL] * 8, hamiltonian)
    loss = forward(model, batch(None, 0, x))
    order = torch.arange(9).flip(0)
    assert loss.value.item() == pytest.approx(-float(model.log_prob(x, CRITICAL, order).mean()), abs=1e-5)
    both, second = hybrid(model, batch(states, 4, x)), reverse(model, batch(states, 4))
    assert both.value.item() == pytest.approx(loss.value.item() + 0.3 * second.value.item(), abs=1e-5)
    assert set(both.figures) == {"forward", "reverse_spread"}


@pytest.mark.parametrize("objective", [forward, log_variance, balanced, reverse])
def test_an_objective_without_its_data_is_refused(objective: Any) -> None:
    with pytest.raises(ValueError, match="needs"):
        objective(untrained(ising(3, 3)), batch(None, 2))


def test_the_share_of_coarse_to_fine_orders_is_what_was_asked_for() -> None:
    model = untrained(ising(4, 4))
    origins = levels(model.lattice)[model.lattice.translations]
    orders = batch(None, 0, kind=Batch, coarse_share=0.25).orders(model, 40)
    coarse = [bool((origins[:, order].diff(dim=1) >= 0).all(1).any()) for order in orders]
    assert coarse == [True] * 10 + [False] * 30


# -- states ----------------------------------------------------------------------------------------


def test_chains_lie_each_in_its_own_cell_of_the_box() -> None:
    conditions, shape = replica_grid(RANGE, ising(3, 3), (4, 3), 5, seed=1)
    assert shape == (4, 3, 5) and len(conditions) == 60
    log_t = -conditions.beta.log().view(shape)
    cell = (log_t - math.log(1.5)) / (math.log(3.5) - math.log(1.5)) * 4
    assert torch.equal(cell.floor().long(), torch.arange(4)[:, None, None].expand(shape))
    difference = (conditions.mu[:, 1] - conditions.mu[:, 0]).view(shape)
    assert torch.equal(((difference + 0.3) / 0.6 * 3).floor().long(), torch.arange(3)[:, None].expand(shape))
    assert len(torch.unique(conditions.beta)) == 60


def test_chains_of_a_ladder_have_the_same_chemical_potentials_and_temperatures_at_equal_steps() -> None:
    conditions, shape = replica_grid(RANGE, ising(3, 3), (4, 3), 5, seed=1)
    steps = conditions.beta.log().view(shape).diff(dim=0)
    torch.testing.assert_close(steps, torch.full_like(steps, math.log(1.5 / 3.5) / 4))
    mu = conditions.mu.view(*shape, -1)
    torch.testing.assert_close(mu, mu[:1].expand(mu.shape))
    assert len(torch.unique(mu[0, ..., 0].round(decimals=9))) == 15


def test_groups_of_chains_share_a_place_in_their_cell() -> None:
    conditions, shape = replica_grid(RANGE, ising(3, 3), (4, 3), 6, seed=1, group=3)
    beta = conditions.beta.view(24, 3)
    assert shape == (4, 3, 6) and torch.equal(beta, beta[:, :1].expand(-1, 3)) and len(torch.unique(beta)) == 24


def test_a_batch_of_the_log_variance_holds_whole_groups_and_other_sizes_are_refused() -> None:
    training = BRIEF | {"objective": "log-variance", "replay_group": 2, "replica_copies": 4}
    trainer = Trainer([ising(3, 3)], RANGE, "any-order-transformer", TINY, TrainingOptions.parse(training), "cpu")
    made = trainer.systems[0].batch(trainer.stream)
    assert made.replay_group == 2 and made.conditions is not None
    assert torch.equal(made.conditions.beta[::2], made.conditions.beta[1::2])
    assert len(torch.unique(made.conditions.beta)) > 1
    for name, size in (("batch_size", 7), ("replica_copies", 3)):
        with pytest.raises(arl.InputError, match=f"{name} = {size}: give a multiple of replay_group = 2"):
            Trainer([ising(3, 3)], RANGE, "any-order-transformer", TINY, TrainingOptions.parse(training | {name: size}), "cpu")


def test_a_box_without_width_is_one_state() -> None:
    conditions, shape = replica_grid(StateRange(temperature=2.0), ising(3, 3), (4, 3), 5, seed=1)
    assert shape == (1, 5) and torch.allclose(conditions.beta, torch.tensor(0.5, dtype=torch.float64))


def test_states_given_one_by_one_are_kept() -> None:
    states = [arl.SemiGrandCanonical(1.0), arl.SemiGrandCanonical(2.0, {"up": 0.5})]
    conditions, shape = replica_grid(states, ising(3, 3), (4, 3), 2, seed=1)
    assert shape == (2, 2) and conditions.beta.tolist() == [1.0, 1.0, 0.5, 0.5]
    with pytest.raises(arl.InputError, match="at least one state"):
        replica_grid([], ising(3, 3), (4, 3), 2, seed=1)


def test_compositions_make_an_axis() -> None:
    box = StateRange(temperature=(1.0, 2.0), compositions=({"up": 3}, {"up": 4}, {"up": 5}))
    conditions, shape = replica_grid(box, ising(3, 3), (2, 7), 2, seed=1)
    assert shape == (2, 3, 2) and conditions.ensemble is arl.Canonical
    assert conditions.targets[:, 1].view(shape)[0, :, 0].tolist() == [3, 4, 5]
    assert {s.temperature for s in box.corners()} == {1.0, 1.5, 2.0} and len(box.corners()) == 9


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": (2.0, 1.0)},
        {"temperature": 1.0, "chemical_potentials": {"up": (0.2, 0.1)}},
        {"temperature": 1.0, "chemical_potentials": {"up": 0.2}, "compositions": ({"up": 1},)},
    ],
)
def test_a_box_that_makes_no_sense_is_told(values: dict[str, Any]) -> None:
    for make in (StateRange.parse, lambda given: StateRange(**given)):
        with pytest.raises(arl.InputError):
            make(values)


def test_a_box_of_a_wrong_name_or_type_is_told_in_one_line() -> None:
    with pytest.raises(arl.InputError, match=r"^temprature = 2.0: unknown option; did you mean 'temperature'\?$"):
        StateRange(temprature=2.0)
    with pytest.raises(arl.InputError, match=r"^temperature = None: is required$"):
        StateRange()
    with pytest.raises(arl.InputError, match=r"^temperature = True: "):
        StateRange(temperature=True)


# -- one seed, one run -----------------------------------------------------------------------------


def lines(folder: Path) -> list[dict[str, float]]:
    """metrics.jsonl without the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(row.pop("seconds") >= 0 for row in rows)
    return rows


@pytest.mark.parametrize("objective", ["hybrid", "forward", "log-variance", "balanced", "reverse"])
def test_one_seed_gives_one_run(objective: str, tmp_path: Path) -> None:
    one, same = (brief(tmp_path / name, training={"objective": objective}) for name in ("one", "same"))
    other = brief(training={"objective": objective, "seed": 1})
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert lines(tmp_path / "one") == lines(tmp_path / "same")


@pytest.mark.parametrize(
    "states", [RANGE, CRITICAL, [arl.Canonical(1.0, {"up": 4}), arl.Canonical(2.0, {"up": 4})]], ids=["range", "one", "canonical"]
)
def test_a_resumed_run_is_the_same_run(states: Any, tmp_path: Path, without_clock: Callable[[Path], Any]) -> None:
    """Stopped during equilibration, after step 1 and again after step 2: weights, files and figures are the same bits."""
    whole = brief(tmp_path / "whole", states)
    stopped(tmp_path / "parts", states, steps=2)
    parts = brief(tmp_path / "parts", states, resume=True)
    assert parts.fingerprint == whole.fingerprint
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert (tmp_path / "parts" / "config.json").read_bytes() == (tmp_path / "whole" / "config.json").read_bytes()
    for name in ("checkpoint.safetensors", "model/model.safetensors"):
        assert without_clock(tmp_path / "parts" / name) == without_clock(tmp_path / "whole" / name)


def test_a_run_that_is_resumed_without_saying_its_start_again_keeps_it_in_its_record(tmp_path: Path) -> None:
    brief(tmp_path / "first")
    stopped(tmp_path / "second", start=tmp_path / "first")
    record = brief(tmp_path / "second", resume=True).record
    assert record["start"] == brief(tmp_path / "whole", start=tmp_path / "first").record["start"]
    assert record["start"]["model"] == str(tmp_path / "first") and record["start"]["seconds"] > 0


def test_the_record_sums_the_seconds_of_all_commands(tmp_path: Path) -> None:
    """What a checkpoint says is where a resumed run begins to count."""
    run = trainer()
    run.done = Progress(seconds=100.0)
    assert 100.0 < run.seconds < 160.0
    save_checkpoint(tmp_path / "checkpoint", run.parts, run.done._replace(seconds=run.seconds), run._identity())
    again = trainer()
    again.done = load_checkpoint(tmp_path / "checkpoint", again.parts, again._identity())
    assert run.done.seconds < again.done.seconds < again.seconds < 160.0


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    done = brief(tmp_path / "run")
    before = lines(tmp_path / "run")
    assert brief(tmp_path / "run", resume=True).fingerprint == done.fingerprint
    assert lines(tmp_path / "run") == before


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


def trainer(**training: Any) -> Trainer:
    return Trainer([ising(3, 3)], CRITICAL, "any-order-transformer", TINY, TrainingOptions.parse(BRIEF | training), "cpu")


def test_the_saved_weights_are_the_moving_average() -> None:
    """average <- d average + (1 - d) weights, d = min(decay, (1 + step) / (10 + step))."""
    run = trainer(ema_decay=0.5)
    expected, parameters = [p.detach().clone() for p in run.model.parameters()], list(run.model.parameters())
    for step in (1, 2, 60):
        run.done = Progress(step)
        with torch.no_grad():
            for p in parameters:
                p.add_(1.0)
        move_average(run.average, run.model, average_decay(run.step, run.options))
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


# -- files: whole or absent ------------------------------------------------------------------------


def contents(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


WHOLE = {".lock", "config.json", "metrics.jsonl", "checkpoint.safetensors", "model", "model/model.safetensors", "model/model.json"}


def test_a_run_leaves_its_files_and_nothing_else(tmp_path: Path) -> None:
    brief(tmp_path / "run")
    assert contents(tmp_path / "run") == WHOLE
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert set(config) == {"hamiltonian", "supercells", "states", "model", "training"}
    assert config["training"]["steps"] == 6 and config["model"]["width"] == 16


class DiskFullError(OSError):
    pass


@pytest.mark.parametrize("where", ["while writing", "while renaming"])
def test_a_crash_while_a_checkpoint_is_written_leaves_the_one_before(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second checkpoint fails half-way: the first is there, resumes, and ends in the same bits as an undisturbed run."""
    import safetensors.torch

    write, replace, calls = safetensors.torch.save_file, os.replace, itertools.count(1)

    def half_written(tensors: Any, path: Any, metadata: Any) -> None:
        write(tensors, path, metadata)
        if Path(path).name == "checkpoint.safetensors" and "run" in Path(path).parts and next(calls) == 2:
            Path(path).write_bytes(Path(path).read_bytes()[:1000])
            raise DiskFullError("no space left on device")

    def failing(source: Any, target: Any) -> None:
        if Path(target).name == "checkpoint.safetensors" and next(calls) == 2:
            raise DiskFullError("no space left on device")
        replace(source, target)

    undisturbed = brief(tmp_path / "undisturbed")
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"no space left.*checkpoint\.safetensors"):
        if where == "while writing":
            patch.setattr(safetensors.torch, "save_file", half_written)
        else:
            patch.setattr(os, "replace", failing)
        brief(tmp_path / "run")
    assert contents(tmp_path / "run") == {".lock", "config.json", "metrics.jsonl", "checkpoint.safetensors"}
    assert read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["step"] == 2
    assert brief(tmp_path / "run", resume=True).fingerprint == undisturbed.fingerprint
    assert lines(tmp_path / "run") == lines(tmp_path / "undisturbed")


def test_a_metrics_line_cut_off_by_a_crash_is_dropped_on_resuming(tmp_path: Path) -> None:
    stopped(tmp_path / "run", training={"evaluate_every": 1})
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "sec')
    brief(tmp_path / "run", resume=True, training={"evaluate_every": 1})
    assert [row["step"] for row in lines(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("table", "other"),
    [
        ("hamiltonian", {"hamiltonian": arl.hamiltonian("ising", supercell=(3, 3), J=1.5)}),
        ("states", {"states": CRITICAL}),
        ("model", {"model_options": TINY | {"layers": 1}}),
        ("training", {"training": {"learning_rate": 0.5}}),
    ],
)
def test_resuming_another_run_is_refused_and_the_table_that_differs_named(table: str, other: dict[str, Any], tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    before = {p: (tmp_path / "run" / p).read_bytes() for p in ("config.json", "metrics.jsonl", "checkpoint.safetensors")}
    arguments: dict[str, Any] = {"hamiltonian": ising(3, 3), "states": RANGE, "model_options": TINY, "training": {}} | other
    arguments["training"] = BRIEF | arguments["training"]
    with pytest.raises(arl.InputError, match=rf"^\[{table}\]"):
        arl.train(**arguments, folder=tmp_path / "run", resume=True, device="cpu", progress=False)
    assert before == {p: (tmp_path / "run" / p).read_bytes() for p in before}


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    with pytest.raises(arl.InputError, match="holds a run already"):
        brief(tmp_path / "run")


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(arl.InputError, match="folder"):
        brief(resume=True)
    with pytest.raises(arl.InputError, match="no such file"):
        brief(tmp_path / "nothing", resume=True)
    assert contents(tmp_path) == set()


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    whole = path.read_bytes()
    tensors, description = read_tensors(path)
    for damage in (b"", whole[: len(whole) // 2], b"\x80\x04" + whole):
        path.write_bytes(damage)
        with pytest.raises(arl.InputError, match="damaged"):
            brief(tmp_path / "run", resume=True)
    incomplete: list[tuple[dict[str, Tensor], Any]] = [
        ({k: t for k, t in tensors.items() if not k.startswith(part)}, description) for part in ("model.", "average.", "source.")
    ]
    incomplete += [(tensors, {k: v for k, v in description.items() if k != key}) for key in ("format", "step", "identity", "counters")]
    for some, about in incomplete:
        write_tensors(path, some, about)
        with pytest.raises(arl.InputError, match="checkpoint"):
            brief(tmp_path / "run", resume=True)


def test_a_run_file_trains_as_train_does(tmp_path: Path) -> None:
    from arlattice.training.config import RunConfig
    from arlattice.training.train import run

    training = "\n".join(f"{key} = {json.dumps(value)}" for key, value in BRIEF.items())
    (tmp_path / "run.toml").write_text(
        f"""
        [hamiltonian]
        name = "ising"
        supercell = [3, 3]
        [states]
        temperature = [1.5, 3.5]
        chemical_potentials = {{ up = [-0.3, 0.3] }}
        [model]
        name = "any-order-transformer"
        width = 16
        heads = 2
        layers = 2
        [training]
        {training}
        """
    )
    config = RunConfig.from_toml(tmp_path / "run.toml")
    assert run(config, tmp_path / "run", device="cpu", progress=False).fingerprint == brief().fingerprint
    ising(3, 3).save(tmp_path / "ising.safetensors")  # type: ignore[attr-defined]
    compiled = run(config, tmp_path / "compiled", device="cpu", progress=False, hamiltonian_file=tmp_path / "ising.safetensors")
    assert compiled.fingerprint == brief().fingerprint
    arl.hamiltonian("ising", supercell=(3, 3), J=2.0).save(tmp_path / "other.safetensors")  # type: ignore[attr-defined]
    with pytest.raises(arl.InputError, match="was compiled as"):
        run(config, tmp_path / "other", device="cpu", progress=False, hamiltonian_file=tmp_path / "other.safetensors")


def test_train_and_run_are_still_found_where_they_were() -> None:
    from arlattice.training import train, trainer

    for name in ("run", "train"):
        with pytest.warns(DeprecationWarning, match=r"arlattice\.training\.train"):
            assert getattr(trainer, name) is getattr(train, name)
    with pytest.raises(AttributeError):
        _ = trainer.walk  # type: ignore[attr-defined]


def test_a_run_without_a_seed_resumes_with_the_seed_of_its_folder_and_the_same_bits(tmp_path: Path) -> None:
    """config.json and the record tell the seed; with it, another run from the start gives the same."""
    unset = {"training": {"seed": None}}
    stopped(tmp_path / "run", **unset)
    seed = json.loads((tmp_path / "run" / "config.json").read_text())["training"]["seed"]
    resumed = brief(tmp_path / "run", resume=True, **unset)
    assert resumed.record["seed"] == seed
    assert resumed.fingerprint == brief(training={"seed": seed}).fingerprint != brief(**unset).fingerprint


def test_a_checkpoint_keeps_the_seed_and_counters_of_steps(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    tensors, description = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert "generator" not in tensors and description["seed"] == 0
    assert description["counters"]["training/state"] > 0 and description["counters"]["training/supercell 0/replay/sweep"] > 0


def test_a_checkpoint_of_the_earlier_generator_is_refused_with_the_way_on(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    tensors, description = read_tensors(path)
    generator = {"generator": torch.Generator().get_state()}
    write_tensors(path, tensors | generator, {key: description[key] for key in ("step", "identity")} | {"format": "arlattice-checkpoint-1"})
    for training in ({}, {"seed": None}):
        with pytest.raises(arl.InputError, match="another generator of random numbers: finish it there, or start a new run from its model"):
            brief(tmp_path / "run", resume=True, training=training)
