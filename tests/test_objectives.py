"""Gradients of the objectives are the exact ones on average, and their losses are what they say."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from ising_runs import CRITICAL, TINY, ising, untrained
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding.orders import levels
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.base import Model
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import random_hamiltonian, randomise
from arlattice.thermo.exact import Enumeration
from arlattice.training.objectives import Batch, balanced, forward, hybrid, log_variance, reverse


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
