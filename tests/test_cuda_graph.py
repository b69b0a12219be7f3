"""Recorded CUDA graphs replay what the function does; sampling and Monte Carlo on a GPU say what the CPU says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ising_runs import brief, lines, stopped
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.cuda_graph import Graphs
from arlattice.decoding.plans import draw_plan
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.build import build_model
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.plan import Visits
from arlattice.random_numbers import Stream, uniform
from arlattice.testing import Case, randomise, small_cases
from arlattice.thermo.exact import Enumeration
from arlattice.training.chains import ModelChains

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
CASES = small_cases()


def test_on_the_cpu_the_function_just_runs() -> None:
    seen: list[dict[str, Tensor]] = []

    def double(inputs: dict[str, Tensor]) -> tuple[Tensor]:
        seen.append(inputs)
        return (2 * inputs["x"],)

    inputs = {"x": torch.arange(3)}
    assert Graphs()(double, inputs)[0].tolist() == [0, 2, 4]
    assert len(seen) == 1 and seen[0] is inputs


@cuda
def test_a_replay_is_the_function_and_outputs_are_copies() -> None:
    calls = []

    def step(inputs: dict[str, Tensor]) -> tuple[Tensor]:
        calls.append(1)
        return (inputs["x"] * weight,)

    weight, graphs = torch.tensor([2.0], device="cuda"), Graphs()
    first = graphs(step, {"x": torch.ones(4, device="cuda")})[0]
    recorded = len(calls)
    second = graphs(step, {"x": torch.full((4,), 3.0, device="cuda")})[0]
    assert first.tolist() == [2.0] * 4 and second.tolist() == [6.0] * 4 and len(calls) == recorded
    weight.fill_(5.0)
    assert graphs(step, {"x": torch.ones(4, device="cuda")})[0].tolist() == [5.0] * 4
    assert graphs(step, {"x": torch.ones(7, device="cuda")})[0].tolist() == [5.0] * 7 and len(calls) > recorded
    graphs.clear()
    assert graphs(step, {"x": torch.ones(4, device="cuda")})[0].tolist() == [5.0] * 4


def transformer(case: Case) -> Any:
    return randomise(AnyOrderTransformer(case.hamiltonian, AnyOrderTransformerOptions(width=16, heads=2, layers=2))).double()


@cuda
@pytest.mark.parametrize("case", CASES, ids=str)
def test_log_prob_of_samples_drawn_on_a_gpu_is_what_the_cpu_recomputes(case: Case) -> None:
    model = transformer(case).to("cuda")
    samples, again = (model.sample(200, case.state, order="random", seed=0, batch_size=64) for _ in range(2))
    assert torch.equal(samples.occupations, again.occupations) and torch.equal(samples.log_prob, again.log_prob)
    recomputed = model.to("cpu").log_prob(samples.occupations, case.state, samples.order)
    assert float((samples.log_prob - recomputed).abs().max()) < 1e-10


@cuda
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_noise_gives_the_same_configurations_on_both_devices(case: Case) -> None:
    model, generator = transformer(case), torch.Generator().manual_seed(0)
    n_sites = case.hamiltonian.lattice.n_sites
    noise = torch.rand(n_sites, 64, generator=generator, dtype=torch.float64)
    order = torch.rand(64, n_sites, generator=generator).argsort(1)
    conditions = Conditions.from_states([case.state] * 64, case.hamiltonian)
    with torch.no_grad():
        x, log_prob = model.draw(noise, order, conditions)
        there, log_prob_there = model.to("cuda").draw(noise.cuda(), order.cuda(), conditions.to("cuda"))
    assert torch.equal(x, there.cpu())
    assert float((log_prob - log_prob_there.cpu()).abs().max()) < 1e-10


@cuda
def test_inpainting_and_sampling_are_recorded_apart() -> None:
    case = CASES[0]
    model, known = transformer(case).to("cuda"), torch.tensor([1, -1, 0, -1, -1, 1, -1, -1, 0])
    for _ in range(2):
        assert model.sample(32, case.state).log_prob is not None
        completed = model.inpaint(known, 32, case.state)
        assert torch.equal(completed.occupations[:, known >= 0], known[known >= 0].expand(32, -1))


@cuda
def test_new_weights_are_seen_by_recorded_sampling() -> None:
    case = CASES[0]
    model = transformer(case).to("cuda")
    before = model.sample(64, case.state)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    after = model.sample(64, case.state)
    assert not torch.equal(before.log_prob, after.log_prob)
    assert float((after.log_prob - model.log_prob(after.occupations, case.state, after.order)).abs().max()) < 1e-10


@cuda
@pytest.mark.parametrize("family", ["marginal-mlp", "marginal-transformer"])
def test_recorded_block_gibbs_draws_what_plain_block_gibbs_draws(family: str) -> None:
    """With the weights of the moment, thrice."""
    h = arl.hamiltonian("ising", supercell=(3, 3))
    model = randomise(build_model(family, h, {"width": 32, "energies": False}), seed=1).double().to("cuda")
    states = Conditions.from_states([arl.SemiGrandCanonical(2.0, {"up": 0.2})], h).to("cuda")
    chains = ModelChains(states, 2, 16, 4, 100, Stream(3, "chains", "cuda"))
    for _ in range(3):
        chains.advance(model)
        noise, block = torch.rand(4, 32, dtype=torch.float64, device="cuda"), torch.rand(32, 9, device="cuda").argsort(1)[:, :4]
        at_home = copy.deepcopy(model).cpu()
        plain = at_home.redraw(chains.occupations.cpu(), block.cpu(), noise.cpu(), chains.conditions.to("cpu"))
        assert torch.equal(model.redraw(chains.occupations, block, noise, chains.conditions).cpu(), plain)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)


@cuda
def test_replica_exchange_on_a_gpu_gives_the_enumerated_energies() -> None:
    """4,000 independent copies after 60 sweeps, 2 means within 4 sigma: fails for nothing in 1.3e-4 of the seeds."""
    h = arl.hamiltonian("ising", supercell=(3, 3))
    states = [arl.SemiGrandCanonical(t, {"up": 0.1}) for t in (1.5, 3.0)]
    conditions = Conditions.from_states(states, h)[torch.arange(2).repeat_interleave(4000)]
    chains = ReplicaExchange(h.to("cuda"), conditions.to("cuda"), (2, 4000), Stream(0, "chains", "cuda"))
    chains.run(60)
    exact, energy = Enumeration.of(h), h.energy(chains.occupations.cpu()).view(2, 4000)
    for k, state in enumerate(states):
        mean = exact.mean(state, exact.energy)
        sigma = (exact.mean(state, (exact.energy - mean) ** 2) / 4000) ** 0.5
        assert abs(float(energy[k].mean()) - mean) < 4 * sigma


@cuda
def test_recorded_exchanges_are_those_that_are_not_recorded() -> None:
    """On a grid of temperatures and fields, the same bits sweep after sweep."""
    h = arl.hamiltonian("ising", supercell=(4, 4)).to("cuda")
    states = [arl.SemiGrandCanonical(t, {"up": mu}) for t in (1.5, 2.0, 3.0) for mu in (-0.1, 0.0, 0.2)]
    conditions = Conditions.from_states(states, h)[torch.arange(9).repeat_interleave(50)].to("cuda")
    plain, recorded = (ReplicaExchange(h, conditions, (3, 3, 50), Stream(0, "chains", "cuda"), fuse=fuse) for fuse in (False, True))
    for _ in range(12):
        plain.run(1)
        recorded.run(1)
        assert torch.equal(plain.occupations, recorded.occupations) and plain.exchange_rate == recorded.exchange_rate
    assert plain.exchange_rate > 0


@cuda
def test_numbers_of_a_gpu_are_those_of_the_cpu() -> None:
    """One kernel makes them; large seeds, purposes, steps and samples, odd steps."""
    for steps, samples in (((0, 8), (0, 3)), ((2**34 + 1, 9), (2**31, 300)), ((3, 1), (0, 1)), ((0, 100), (0, 5000)), ((1, 2), (5, 0))):
        for seed, purpose in ((5, 7), (2**62 + 3, 2**32 - 5)):
            assert torch.equal(uniform(seed, purpose, steps, samples), uniform(seed, purpose, steps, samples, "cuda").cpu())


@cuda
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("kind", ["coarse-to-fine", "levels"])
@pytest.mark.parametrize("family", ["any-order-transformer", "any-order-mlp"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_plans_are_drawn_alike_on_both_devices_and_few_steps_are_recorded(case: Case, family: str, kind: str, given: bool) -> None:
    model = randomise(build_model(family, case.hamiltonian, {"width": 16, "layers": 2})).double()
    plan = draw_plan(case.hamiltonian.lattice, 64, kind, Stream(0))
    noise = Stream(1).uniform(case.hamiltonian.lattice.n_sites, 64)
    conditions = Conditions.from_states([case.state], case.hamiltonian).expand(64)
    known = None
    if given:
        row, _ = model.draw(noise, plan, conditions)
        known = torch.where(torch.arange(row.shape[1]) % 3 == 1, row[:1], -1).expand_as(row)
    x, log_prob = model.draw(noise, plan, conditions, known)
    model.to("cuda")
    for _ in range(2):  # recorded, and replayed
        there = None if known is None else known.cuda()
        y, log_q = model.draw(noise.cuda(), plan.to("cuda"), conditions.to("cuda"), there)
        assert torch.equal(x, y.cpu())
        torch.testing.assert_close(log_prob, log_q.cpu(), rtol=0, atol=1e-9)
    assert model._drawing.steps <= (32 if kind == "coarse-to-fine" else len(set(plan.sizes or (1,))))


BLOCK_CASES = [CASES[1], CASES[3], CASES[4], Case("Ising 8x8", arl.hamiltonian("ising", supercell=(8, 8)), arl.SemiGrandCanonical(2.3))]


@cuda
@pytest.mark.parametrize("visited", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("case", BLOCK_CASES, ids=str)
def test_recorded_passes_of_block_models_give_log_probabilities_and_gradients_of_plain_ones(case: Case, given: bool, visited: bool) -> None:
    """Recorded, replayed with other configurations and plans, and with other weights; without gradients too."""
    model = randomise(build_model("multiscale", case.hamiltonian, {"width": 16, "layers": 2}), seed=1).to("cuda")
    plain = copy.deepcopy(model)
    model.compile_network()
    conditions = model.conditions_of(case.state).expand(32)
    for seed in range(3):
        x = plain.sample(32, case.state, seed=seed).occupations.cuda()
        known = torch.where(torch.arange(x.shape[1], device="cuda") % 3 == 1, x[:1], -1) if given else None
        x = x if known is None else plain.inpaint(known[0], 32, case.state, seed=seed).occupations.cuda()  # of the same composition
        plan = plain.given_in(plain.resolve_plan(32, None, Stream(seed, "plan", "cuda")), known)
        visits = Visits(Stream(seed, "visits", "cuda").permutations(32, len(plan.spans))[:, :8]) if visited else None
        found, expected = (one(x, plan, conditions, None, visits) for one in (model, plain))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        for one in (found, expected):
            one.sum(1).mean().backward()
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(*(torch.zeros_like(t) if t.grad is None else t.grad for t in (p, q)), rtol=1e-3, atol=1e-3)
        with torch.no_grad():
            torch.testing.assert_close(*(one(x, plan, conditions, None, visits) for one in (model, plain)), rtol=1e-4, atol=1e-4)
            for p, q in zip(model.parameters(), plain.parameters(), strict=True):
                p.grad = q.grad = None
                for t in (p, q):
                    t.mul_(1.1)


@cuda
@pytest.mark.parametrize("case", BLOCK_CASES, ids=str)
def test_a_pass_is_recorded_while_the_gradient_of_another_is_still_to_come(case: Case) -> None:
    """A loss of two passes, as of coarse scales with their own batch, also of equal shapes: the gradient of the sum."""
    model = randomise(build_model("multiscale", case.hamiltonian, {"width": 16, "layers": 2}), seed=1).to("cuda")
    plain = copy.deepcopy(model)
    model.compile_network()
    x = plain.sample(32, case.state, seed=0).occupations.cuda()
    conditions, plan = plain.conditions_of(case.state).expand(32), plain.resolve_plan(32, None, Stream(0, "plan", "cuda"))
    some = Visits(torch.arange(32, device="cuda").expand(2, -1), 1)
    for _ in range(2):
        for one in (model, plain):
            one.zero_grad()
            (
                one(x, plan, conditions).sum(1).mean() + one(x[:16], plan[torch.arange(16, device="cuda")], conditions[:16]).sum() / 7
            ).backward()
            (one(x, plan, conditions).sum(1).mean() + one(x, plan, conditions, None, some).sum()).backward()
            (one(x, plan, conditions).sum(1).mean() + one(x.flip(0), plan, conditions).sum() / 7).backward()
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(*(torch.zeros_like(t) if t.grad is None else t.grad for t in (p, q)), rtol=1e-3, atol=1e-2)


@cuda
@pytest.mark.parametrize("case", BLOCK_CASES, ids=str)
def test_block_models_draw_on_a_gpu_what_the_cpu_weighs(case: Case) -> None:
    model = randomise(build_model("multiscale", case.hamiltonian, {"width": 16, "layers": 2}), seed=1).double().to("cuda")
    samples, again = (model.sample(100, case.state, seed=0, batch_size=64) for _ in range(2))
    assert torch.equal(samples.occupations, again.occupations) and torch.equal(samples.log_prob, again.log_prob)
    recomputed = model.to("cpu").log_prob(samples.occupations, case.state, plan=samples.plan)
    torch.testing.assert_close(samples.log_prob, recomputed, rtol=0, atol=1e-8)


@cuda
@pytest.mark.parametrize("family", ["multiscale", "any-order-transformer"])
def test_a_resumed_run_on_a_gpu_is_the_same_run(family: str, tmp_path: Path, without_clock: Callable[[Path], Any]) -> None:
    """Recorded passes, recorded exchanges and bfloat16, stopped again and again until two steps are done: the same bits."""
    options: dict[str, Any] = {"precision": "bfloat16", "objective": "balanced", "checkpoint_every": 100}
    keywords: dict[str, Any] = {"model": family, "device": "cuda", "hamiltonian": arl.hamiltonian("ising", supercell=(8, 8))}
    if family == "multiscale":
        options |= {"compile": True, "coarse_batch_size": 64, "block_share": 0.5}
        keywords |= {"model_options": {"width": 64}}
    keywords["training"] = options
    whole = brief(tmp_path / "whole", **keywords)
    stopped(tmp_path / "parts", steps=2, **keywords)
    parts = brief(tmp_path / "parts", resume=True, **keywords)
    assert parts.fingerprint == whole.fingerprint and lines(tmp_path / "parts") == lines(tmp_path / "whole")
    for name in ("checkpoint.safetensors", "model/model.safetensors"):
        assert without_clock(tmp_path / "parts" / name) == without_clock(tmp_path / "whole" / name)
