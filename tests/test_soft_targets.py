"""Soft targets keep the gradient of the forward KL on average, by enumeration, and take noise from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding.orders import draw_orders
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import random_hamiltonian, randomise, small_cases
from arlattice.thermo.exact import Enumeration
from arlattice.training.objectives import Batch, Objective, balanced, forward, hybrid
from arlattice.training.soft_targets import soft_targets as targets_of

TINY = {"width": 16, "heads": 2, "layers": 2}


CASES = {case.name: case for case in small_cases()}
VACANCIES, FIXED = CASES["two sublattices, vacancies"], CASES["two sublattices, fixed composition"]

SYSTEMS = {
    "a chain": (lambda: random_hamiltonian(arl.chain(4), 2), arl.SemiGrandCanonical(1.3, {"up": 0.2})),
    "exchange of spins": (lambda: arl.hamiltonian("ising", supercell=(2, 3)), arl.SemiGrandCanonical(2.3)),
    "exchange of spins in a field": (lambda: arl.hamiltonian("ising", supercell=(2, 3)), arl.SemiGrandCanonical(2.3, {"up": -0.1})),
    "sites that hold some species only": (lambda: VACANCIES.hamiltonian, VACANCIES.state),
    "three species": (lambda: random_hamiltonian(arl.square(2, species=("A", "B", "C")), 3), arl.SemiGrandCanonical(1.5, {"A": 0.3})),
}


def gradient(value: Tensor, model: Model) -> Tensor:
    found = torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten().double() for g in found])


def enumerated(name: str) -> tuple[Model, Tensor, Tensor, Conditions]:
    """A model with random weights in float64, all configurations, their exact probabilities and states."""
    build, state = SYSTEMS[name]
    hamiltonian = build()
    model = randomise(build_model("any-order-transformer", hamiltonian, TINY), scale=0.3).double()
    enumeration = Enumeration.of(hamiltonian)
    x = enumeration.occupations.long()
    return model, x, enumeration.log_f(state).double().softmax(0), Conditions.from_states([state] * len(x), hamiltonian)


def plans(model: Model, n: int) -> list[Plan]:
    """A random order, the same for all, and the same sites in blocks of two."""
    order = draw_orders(model.lattice, 1, "random", Stream(3)).expand(n, -1)
    sites = model.lattice.n_sites
    return [Plan(order), Plan(order, (2,) * (sites // 2) + (1,) * (sites % 2))]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_expected_gradient_is_that_of_the_species_that_are_there(name: str) -> None:
    model, x, p, states = enumerated(name)
    soft = targets_of(model, x, states)
    assert soft is not None
    for plan in plans(model, len(x)):
        hard = gradient((p * model(x, plan, states).sum(1)).sum(), model)
        assert float(hard.abs().max()) > 1e-2
        torch.testing.assert_close(gradient((p * model(x, plan, states, targets=soft).sum(1)).sum(), model), hard, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("wrong", ["of the next site", "by place", "without the field"])
def test_wrong_probabilities_are_caught(name: str, wrong: str) -> None:
    model, x, p, states = enumerated(name)
    soft, plan = targets_of(model, x, states), plans(model, len(x))[0]
    assert soft is not None
    wrongs = {
        "of the next site": soft.roll(1, 1),
        "by place": soft.gather(1, plan.order[..., None].expand_as(soft)),
        "without the field": targets_of(model, x, Conditions(states.beta * 1.01, states.mu, states.targets, states.ensemble)),
    }
    found = gradient((p * model(x, plan, states, targets=wrongs[wrong]).sum(1)).sum(), model)
    hard = gradient((p * model(x, plan, states).sum(1)).sum(), model)
    assert float((found - hard).abs().max()) > 1e-5


def test_they_are_the_conditional_probabilities_of_the_enumeration() -> None:
    model, x, p, states = enumerated("three species")
    soft = targets_of(model, x, states)
    assert soft is not None
    keys = {tuple(row): float(value) for row, value in zip(x.tolist(), p, strict=True)}
    for row, found in zip(x[::7].tolist(), soft[::7], strict=True):
        for site in range(len(row)):
            each = np.array([keys[(*row[:site], s, *row[site + 1 :])] for s in range(3)])
            assert np.allclose(found[site].numpy(), each / each.sum(), atol=1e-12)


def test_one_hot_targets_are_the_species_that_are_there_and_several_go_in_one_call() -> None:
    model, x, _, states = enumerated("three species")
    hard = torch.nn.functional.one_hot(x, 3)
    for plan in plans(model, len(x)):
        both = model(x, plan, states, targets=torch.stack([hard, 0 * hard]))
        torch.testing.assert_close(both[0], model(x, plan, states))
        assert not both[1].any()


def test_a_species_that_is_impossible_and_has_no_weight_counts_nothing() -> None:
    """0 * -inf, and its gradient."""
    model, x, _, states = enumerated("sites that hold some species only")
    soft = targets_of(model, x, states)
    assert soft is not None and float(soft[:, ~model.lattice.allowed].abs().max()) == 0
    found = model(x, plans(model, len(x))[0], states, targets=soft)
    assert bool(found.isfinite().all()) and bool(gradient(found.sum(), model).isfinite().all())


# -- objectives ------------------------------------------------------------------------------------


def batch(hamiltonian: arl.Hamiltonian, state: arl.Ensemble, soft: bool, x: Tensor | None = None, n: int = 32) -> Batch:
    if x is None:
        x = torch.randint(2, (n, hamiltonian.lattice.n_sites), generator=torch.Generator().manual_seed(1))
    conditions = Conditions.from_states([state] * len(x), hamiltonian)
    return Batch(x, conditions, conditions[:16], 8, 0.5, 0.3, Stream(0), replay_group=8, soft_targets=soft)


@pytest.mark.parametrize("objective", [forward, hybrid])
def test_the_forward_kl_is_that_of_the_targets(objective: Objective) -> None:
    hamiltonian, state = SYSTEMS["a chain"][0](), SYSTEMS["a chain"][1]
    model = randomise(build_model("any-order-transformer", hamiltonian, TINY), scale=0.3).double()
    one, other = (batch(hamiltonian, state, soft) for soft in (True, False))
    assert one.occupations is not None and one.conditions is not None
    order = batch(hamiltonian, state, True).orders(model, 32)
    targets = targets_of(model, one.occupations, one.conditions)
    by_hand = gradient(-model(one.occupations, order, one.conditions, targets=targets).sum(1).mean(), model)
    hard = gradient(-model(one.occupations, order, one.conditions).sum(1).mean(), model)
    difference = gradient(objective(model, one).value, model) - gradient(objective(model, other).value, model)
    torch.testing.assert_close(difference, by_hand - hard, rtol=1e-4, atol=1e-6)
    assert float((by_hand - hard).abs().max()) > 1e-3


def test_balanced_takes_them_for_the_share_of_the_forward_kl_alone() -> None:
    """Less the same with hard targets: V / (1 + V) times (hard - soft), group by group."""
    hamiltonian, state = SYSTEMS["a chain"][0](), SYSTEMS["a chain"][1]
    model = randomise(build_model("any-order-transformer", hamiltonian, TINY), scale=0.3).double()
    one, other = (batch(hamiltonian, state, soft) for soft in (True, False))
    x, conditions = one.occupations, one.conditions
    assert x is not None and conditions is not None
    order = batch(hamiltonian, state, True).orders(model, 32)
    log_q, soft = model(x, order, conditions).sum(1), model(x, order, conditions, targets=targets_of(model, x, conditions)).sum(1)
    spread = (log_q - conditions.log_f(hamiltonian.energy(x), x)).detach().view(4, 8).var(1).clamp(min=0.1)
    share = (spread / (1 + spread)).repeat_interleave(8)
    first, second = balanced(model, one), balanced(model, other)
    found = gradient(first.value, model) - gradient(second.value, model)
    torch.testing.assert_close(found, gradient((share * (log_q - soft)).mean(), model), rtol=1e-4, atol=1e-6)
    assert first.variances is not None and second.variances is not None
    torch.testing.assert_close(first.variances, second.variances)
    torch.testing.assert_close(first.figures["forward"], second.figures["forward"])


def test_a_perfect_model_is_pulled_by_less_noise() -> None:
    """One configuration a gradient, of the exact distribution: the variance falls to less than a third on a chain of four sites."""
    model, x, p, states = enumerated("a chain")
    order = plans(model, len(x))[0]
    soft = targets_of(model, x, states)

    def variance(targets: Tensor | None) -> float:
        each = torch.stack(
            [
                gradient(
                    model(
                        x[k : k + 1],
                        Plan(order.order[k : k + 1]),
                        states[k : k + 1],
                        targets=None if targets is None else targets[k : k + 1],
                    ).sum(),
                    model,
                )
                for k in range(len(x))
            ]
        )
        mean = p @ each
        return float((p @ (each - mean).square()).sum())

    assert variance(soft) < variance(None) / 3


def test_where_there_are_none_the_species_that_are_there_do() -> None:
    """Fixed composition, and a black box: the same loss to the last bit with the option as without."""
    reference = arl.hamiltonian("ising", supercell=(2, 2))
    black = arl.FunctionHamiltonian(reference.lattice, reference.energy, units="reduced")
    counted = torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0]] * 16)
    cases = [(reference, arl.Canonical(2.0, {"up": 2}), counted), (black, arl.SemiGrandCanonical(2.0), None)]
    for hamiltonian, state, x in cases:
        model = build_model("any-order-transformer", hamiltonian, TINY, ensemble=type(state))
        for objective in (forward, balanced):
            found, expected = (objective(model, batch(hamiltonian, state, soft, x)).value for soft in (True, False))
            assert torch.equal(found, expected)


def test_a_run_takes_them_if_asked_for() -> None:
    training = {"objective": "forward", "steps": 1, "batch_size": 8, "equilibration_sweeps": 1, "evaluate_samples": 2, "seed": 0}
    hamiltonian, state = arl.hamiltonian("ising", supercell=(2, 2)), arl.SemiGrandCanonical(2.3)
    prints = {
        arl.train(
            hamiltonian, state, model_options=TINY, training=training | {"soft_targets": soft}, progress=False, device="cpu"
        ).fingerprint
        for soft in (False, True)
    }
    assert len(prints) == 2
