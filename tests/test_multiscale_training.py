"""Block models in training: gradients from some blocks have the mean of all, and sizes share weights."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from block_models import BRIEF, TINY, model_on
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.hooks.manager import default_manager
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.multiscale import Multiscale
from arlattice.plan import Plan, Visits
from arlattice.random_numbers import Stream
from arlattice.testing import random_hamiltonian
from arlattice.thermo.exact import enumerate_configurations
from arlattice.training.config import TrainingOptions
from arlattice.training.objectives import Batch, Loss
from arlattice.training.soft_targets import soft_targets
from arlattice.training.trainer import Trainer

SGC = arl.SemiGrandCanonical
STATE = SGC(2.3)


def ising(*size: int, **options: float) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=size, **options)


# -- gradients from some blocks -----------------------------------------------------------------------

CHAIN = random_hamiltonian(arl.chain(4), 2)
SMALL = {
    "a chain": (CHAIN, SGC(2.0, {"up": 0.3})),
    "a fixed composition": (CHAIN, arl.Canonical(2.0, {"up": 2})),
    "symmetric spins": (ising(2, 2), SGC(2.0)),
}
"""Of three blocks or four, of one or two sites."""


@cache
def small(name: str) -> tuple[Any, Tensor, Plan, Conditions]:
    """A model, three configurations, their plan, their states."""
    hamiltonian, state = SMALL[name]
    x = torch.cat(list(enumerate_configurations(hamiltonian.lattice)))
    x = x[state.allows(hamiltonian.lattice, x)][[1, 2, 4]]
    model = model_on(hamiltonian).double()
    return model, x, model.resolve_plan(3, "blocks", Stream(1)), Conditions.from_states([state], hamiltonian).expand(3)


def all_visits(blocks: int, m: int) -> list[Tensor]:
    """Every way to visit each of some blocks for m of three configurations."""
    some = list(itertools.combinations(range(3), m))
    return [torch.tensor(chosen) for chosen in itertools.product(some, repeat=blocks)]


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("name", SMALL)
def test_visits_and_what_they_leave_out_make_the_whole(name: str, m: int, first: int) -> None:
    """log q of each configuration, to 1e-10: the share of the visits, and those that were left out."""
    model, x, plan, states = small(name)
    blocks = len(plan.spans) - first
    visits = Visits(Stream(m, "visits").permutations(3, blocks)[:, :m], first)
    left = visits.left_out(3)
    assert [len(part) for part in left] == [n for n, some in ((first, 3), (blocks, 3 - m)) if n * some]
    found = sum(part.rows.shape[1] / 3 * weigh.visited_log_probs(model, x, plan, states, part).sum(1) for part in (visits, *left))
    torch.testing.assert_close(found, weigh.log_probs(model, x, plan, states).sum(1), rtol=0, atol=1e-10)


def flat_gradient(value: Tensor, model: Model) -> Tensor:
    gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten().double() for g in gradients])


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("name", SMALL)
def test_the_mean_over_all_visits_is_that_of_all_blocks(name: str, m: int) -> None:
    """log q and its gradient, each configuration by itself; weighted unequally, to 1e-10."""
    model, x, plan, states = small(name)
    weights = torch.tensor([0.3, -1.0, 0.6], dtype=torch.float64)
    visits = all_visits(len(plan.spans), m)
    values = torch.stack([weigh.visited_log_probs(model, x, plan, states, Visits(some)).sum(1) for some in visits])
    expected = weigh.log_probs(model, x, plan, states).sum(1)
    torch.testing.assert_close(values.mean(0), expected, rtol=0, atol=1e-10)
    found = flat_gradient((values.mean(0) * weights).sum(), model)
    wanted = flat_gradient((expected * weights).sum(), model)
    assert float(wanted.abs().max()) > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_with_soft_targets_too() -> None:
    model, x, plan, states = small("a chain")
    soft = soft_targets(model, x, states)
    assert soft is not None
    targets = torch.stack([torch.nn.functional.one_hot(x, 2).to(soft), soft])
    visits = all_visits(len(plan.spans), 1)
    values = torch.stack([model(x, plan, states, targets, Visits(some)).sum(-1) for some in visits]).mean(0)
    expected = model(x, plan, states, targets).sum(-1)
    assert values.shape == (2, 3)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(flat_gradient(values.sum(), model), flat_gradient(expected.sum(), model), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_what_is_given_counts_nothing_and_every_block_visited_is_the_whole(name: str) -> None:
    """The sum over the sites of each block, around a given site."""
    model, x, plan, states = small(name)
    same = x.clone()
    same[:, 2] = x[:1, 2]
    given = model.given_in(plan, torch.where(torch.arange(4) == 2, same[0], -1))
    everyone = torch.arange(3).expand(len(plan.spans), -1)
    found = weigh.visited_log_probs(model, same, given, states, Visits(everyone))
    each = torch.where(given.given.gather(1, given.order), 0.0, weigh.log_probs(model, same, given, states))
    torch.testing.assert_close(found, torch.stack([each[:, a:b].sum(1) for a, b in plan.spans], 1), rtol=0, atol=1e-10)


class Told(Batch):
    """A batch whose plan and visits are given."""

    told: tuple[Plan, Tensor | None]

    def plan(self, model: Model, n: int) -> Plan:
        return self.told[0]

    def visits(self, model: Model, plan: Plan) -> Visits | None:
        return None if self.told[1] is None else Visits(self.told[1])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("objective", ["forward", "log-variance", "balanced"])
def test_the_mean_gradient_of_an_objective_is_that_of_all_blocks(objective: str, soft: bool) -> None:
    """What weighs the configurations comes from all blocks. Single precision."""
    model, x, plan, states = small("a chain")
    function: Any = default_manager().objectives[objective].load_factory()

    def gradient(visits: Tensor | None) -> Tensor:
        batch = Told(x, states, None, 0, 0.5, 0.0, Stream(0), replay_group=3, soft_targets=soft)
        batch.told = plan, visits
        loss: Loss = function(model, batch)
        return flat_gradient(loss.value, model)

    found = torch.stack([gradient(visits) for visits in all_visits(len(plan.spans), 1)])
    expected = gradient(None)
    assert float(expected.abs().max()) > 1e-3 and float(found.std(0).max()) > 1e-3
    torch.testing.assert_close(found.mean(0), expected, rtol=1e-5, atol=1e-6)


def test_each_block_is_computed_for_a_share_of_the_configurations() -> None:
    """Without replacement, drawn anew; also where every block has one site; all in families that do not draw blocks."""
    model = model_on(ising(4, 4))
    batch = Batch(None, None, None, 0, 0.5, 0.0, Stream(0), block_share=0.25)
    plan = batch.plan(model, 12)
    first, second = batch.visits(model, plan), batch.visits(model, plan)
    assert first is not None and second is not None and first.rows.shape == (len(plan.spans), 3)
    assert all(len(set(row.tolist())) == 3 for row in first.rows) and not torch.equal(first.rows, second.rows)
    single = batch.visits(model, Plan(plan.order))
    assert single is not None and single.rows.shape == (16, 3)
    assert batch.visits(build_model("any-order-mlp", ising(4, 4), {"width": 8}), plan) is None
    batch.block_share = 1.0
    assert batch.visits(model, plan) is None


def test_a_run_computes_some_blocks_of_each_configuration_if_asked_for() -> None:
    """block_share = 0.5 of 8 configurations; the weights of the balanced objective take a second call, for the other configurations."""
    for share in (0.5, 1.0):
        options = TrainingOptions.parse(BRIEF | {"block_share": share})
        run, seen = Trainer([ising(4, 4)], STATE, "multiscale", TINY, options, "cpu"), list[Any]()
        run.model.register_forward_pre_hook(
            lambda model, given, named, seen=seen: seen.append(tuple(named["visits"].rows.shape) if "visits" in named else None),
            with_kwargs=True,
        )
        before = run.model.fingerprint
        run.fit(None, False, None, False)
        some = len(run.model.resolve_plan(1, None, Stream(0)).spans), 4
        assert seen == ([some, some] * 3 if share < 1 else [None] * 3) and run.model.fingerprint != before


def test_some_configurations_are_learned_given_random_sites_if_asked_for() -> None:
    """given_share = 0.5 of 8 configurations beside all of them; their loss is the mean of -log q of what is not given, times the share."""
    model, plain = model_on(ising(4, 4)), default_manager().objectives["forward"].load_factory()
    x = torch.randint(2, (8, 16), generator=torch.Generator().manual_seed(0))
    conditions = Conditions.from_states([STATE], model.hamiltonian).expand(8)
    losses, seen = [], list[Any]()
    model.register_forward_pre_hook(lambda model, given, named: seen.append((given, named)), with_kwargs=True)
    for share in (0.0, 0.5):
        batch = Batch(x, conditions, None, 0, 0.5, 0.0, Stream(0), given_share=share)
        losses.append(float(plain(model, batch).value.detach()))
    (_, _), (_, _), ((rows, plan, states), _) = seen
    assert len(rows) == 4 and plan.given is not None and len(set(plan.given.sum(1).tolist())) > 1
    each = torch.where(plan.given.gather(1, plan.order), 0.0, weigh.log_probs(model, rows, plan, states)).sum(1)
    assert losses[1] - losses[0] == pytest.approx(-0.5 * float(each.mean().detach()), rel=1e-4)


@pytest.mark.parametrize("visited", [False, True])
def test_given_sites_that_use_up_a_species_leave_gradients_finite(visited: bool) -> None:
    """Both up spins of 4x4 are given: no species is left for a given site, which counts 0; the rest is certain."""
    model, x = model_on(ising(4, 4)), torch.zeros(6, 16, dtype=torch.long)
    x[:, :2] = 1
    conditions = Conditions.from_states([arl.Canonical(2.0, {"up": 2})], model.hamiltonian).expand(6)
    plan = model.given_in(model.resolve_plan(6, None, Stream(0)), torch.where(x == 1, 1, -1))
    visits = Visits(Stream(1, "visits", "cpu").permutations(6, len(plan.spans))) if visited else None
    found = model(x, plan, conditions, None, visits)
    found.sum().backward()
    assert torch.allclose(found, torch.zeros_like(found), atol=1e-6)
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_more_parts_make_more_and_smaller_blocks() -> None:
    """16x16 with parts = 4: the first class of a scale in four parts, then in two, then whole, where there are enough cells."""
    sizes = [model_on(ising(16, 16), parts=parts).layouts["blocks"].sizes for parts in (1, 4)]
    assert sizes[0][-3:] == (64, 64, 64) and sizes[1][-7:] == (16, 16, 16, 16, 32, 32, 64)
    model = model_on(ising(4, 4), parts=2)
    assert model.layouts["finer-blocks"].scales.parts == 4
    with pytest.raises(arl.InputError, match=r"^parts = 3: give a power of 2"):
        model_on(ising(4, 4), parts=3)


# -- sizes share weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 4), (2, 2), (4, 2)])
def test_the_weights_give_a_normalised_model_of_another_supercell(size: tuple[int, int]) -> None:
    state = SGC(2.0, {"up": 0.3})
    model = model_on(ising(4, 4)).double().on(ising(*size))
    x = torch.cat(list(enumerate_configurations(model.lattice)))
    plan = model.resolve_plan(1, "blocks", Stream(0))
    log_q = model.log_prob(x, state, plan=Plan(plan.order.expand(len(x), -1), plan.sizes))
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)


def test_scales_coarser_than_all_that_were_trained_take_the_weights_of_the_coarsest() -> None:
    """Shared, and adopted: 4x4 has two levels beside the first cell, 16x16 four. log_prob of samples to 1e-9."""
    small = model_on(ising(4, 4)).double()
    large: Any = small.on(ising(16, 16))
    assert [large.network_of(level) is small.networks["level1"] for level in (0, 1, 2, 3)] == [False, True, True, True]
    samples = large.sample(20, STATE, seed=0)
    torch.testing.assert_close(samples.log_prob, large.log_prob(samples.occupations, STATE, plan=samples.plan), rtol=0, atol=1e-9)
    own: Any = build_model("multiscale", ising(16, 16), TINY).double()
    assert set(own.networks) == {"first", "level0", "level1", "level2", "level3"}
    own.adopt(small)
    torch.testing.assert_close(own.log_prob(samples.occupations, STATE, plan=samples.plan), samples.log_prob, rtol=0, atol=1e-9)
    assert all(p is not q for p, q in zip(own.networks["level2"].parameters(), own.networks["level3"].parameters(), strict=True))


def test_a_supercell_whose_scales_have_other_classes_is_refused_in_one_line() -> None:
    """Thirds where halves were trained."""
    model = model_on(ising(4, 4))
    with pytest.raises(arl.InputError, match=r"^hamiltonian = .*multiscale.*classes[^\n]*$"):
        model.on(ising(3, 3))
    with pytest.raises(arl.InputError, match=r"^cells = .* must be a multiple"):
        model_on(ising(4, 4, J=-1.0)).on(ising(3, 3, J=-1.0))


def test_a_cell_of_64_sites_starts_one_of_512(tmp_path: Path) -> None:
    """FCC 4x4x4 to 8x8x8, cells of four sites: every network begins with trained weights."""
    hamiltonians = [arl.load(name).hamiltonian for name in ("cuau-4x4x4", "cuau-8x8x8")]
    state = SGC(900.0)
    model = model_on(hamiltonians[0])
    model.save(tmp_path / "small")
    samples = model.sample(5, state, seed=0)
    again = arl.load(tmp_path / "small").log_prob(samples.occupations, state, plan=samples.plan)
    torch.testing.assert_close(again, samples.log_prob, rtol=0, atol=1e-4)
    options = TrainingOptions.parse(BRIEF | {"replica_copies": 4, "batch_size": 4, "equilibration_sweeps": 0})
    begun = Trainer([hamiltonians[1]], state, "multiscale", {**TINY, "cells": model.options.cells}, options, "cpu", tmp_path / "small")
    assert isinstance(begun.model, Multiscale)
    for name, network in begun.model.networks.items():
        trained = model.network_of(-1 if name == "first" else int(name.removeprefix("level")))
        assert all(torch.equal(t, trained.state_dict()[key]) for key, t in network.state_dict().items())


def test_two_supercells_train_together_and_are_kept_in_a_file(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": "multiscale", "model_options": TINY, "training": BRIEF | {"steps": 4, "block_share": 0.5}}
    trained = arl.train(ising(4, 4), STATE, supercells=[ising(8, 8)], folder=tmp_path / "run", device="cpu", progress=False, **options)
    again = arl.load(tmp_path / "run")
    assert again.options.cells == trained.options.cells == ((1, 0, 0), (0, 1, 0), (0, 0, 1))  # type: ignore[attr-defined]
    for size in ((4, 4), (8, 8)):
        model = trained.on(ising(*size))
        samples = model.sample(10, STATE, seed=0)
        same = again.on(ising(*size)).log_prob(samples.occupations, STATE, plan=samples.plan)
        torch.testing.assert_close(same, samples.log_prob, rtol=0, atol=1e-4)
