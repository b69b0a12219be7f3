"""Plans of blocks: q is one normalised distribution for each, drawn, weighed, completed and kept in files alike, by enumeration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.decoding.plans import draw_plan
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import Case, FrequencyTest, randomise, small_cases
from arlattice.thermo.exact import enumerate_configurations

CASES = {case.name: case for case in small_cases()}
OPTIONS = {"any-order-transformer": {"width": 16, "heads": 2, "layers": 1}, "any-order-mlp": {"width": 16, "layers": 1}}
FAMILIES = list(OPTIONS)
ISING = Case("Ising 3x3", arl.hamiltonian("ising", supercell=(3, 3)), arl.SemiGrandCanonical(2.0))
EVEN = Case("Ising 2x4, half up", arl.hamiltonian("ising", supercell=(2, 4)), arl.Canonical(2.0, {"up": 4}))
ALL = [*CASES.values(), ISING, EVEN]


def model_of(family: str, case: Case) -> Model:
    return randomise(build_model(family, case.hamiltonian, OPTIONS[family]), seed=3).double()


def blocks(n: int) -> tuple[int, ...]:
    """A few blocks of different sizes."""
    return tuple(k for k in (2, 1, 3, n - 6) if k > 0) if n > 6 else (2, n - 2)


def some_plan(case: Case, rows: int = 1) -> Plan:
    n = case.hamiltonian.lattice.n_sites
    order = torch.randperm(n, generator=torch.Generator().manual_seed(7))
    return Plan(order.expand(rows, -1), blocks(n))


def every(case: Case) -> Tensor:
    return torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_probabilities_of_all_configurations_sum_to_one(case: Case, family: str) -> None:
    x, model = every(case), model_of(family, case)
    log_q = model.log_prob(x, case.state, plan=some_plan(case, len(x)))
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    assert torch.equal(log_q > -torch.inf, case.state.allows(case.hamiltonian.lattice, x))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_samples_have_the_probabilities_that_log_prob_tells(case: Case, family: str) -> None:
    """Chi-square over all configurations, n = 3,000, false alarms 1e-6 each; log_prob to 1e-9."""
    x, model = every(case), model_of(family, case)
    log_q = model.log_prob(x, case.state, plan=some_plan(case, len(x)))
    samples = model.sample(3000, case.state, plan=some_plan(case, 3000), seed=1)
    rows = row_of(case, x, samples.occupations)
    assert samples.plan is not None and samples.plan.sizes == blocks(case.hamiltonian.lattice.n_sites)
    torch.testing.assert_close(samples.log_prob, log_q[rows], rtol=0, atol=1e-9)
    torch.testing.assert_close(samples.log_prob, model.log_prob(samples.occupations, case.state, plan=samples.plan), rtol=0, atol=1e-9)
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(torch.bincount(rows, minlength=len(x)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_completions_are_normalised_and_drawn_around_sites_given_anywhere(case: Case, family: str) -> None:
    """Chi-square over all completions, n = 3,000, false alarms 1e-6 each."""
    x, model = every(case), model_of(family, case)
    row = model.sample(1, case.state, seed=2).occupations[0]
    known = torch.where(torch.arange(len(row)) % 3 == 1, row, -1)
    log_q = model.log_prob(x, case.state, plan=some_plan(case, len(x)), known=known)
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    samples = model.inpaint(known, 3000, case.state, plan=some_plan(case, 3000), seed=3)
    rows = row_of(case, x, samples.occupations)
    torch.testing.assert_close(samples.log_prob, log_q[rows], rtol=0, atol=1e-9)
    again = model.log_prob(samples.occupations, case.state, plan=samples.plan, known=known)
    torch.testing.assert_close(samples.log_prob, again, rtol=0, atol=1e-9)
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(torch.bincount(rows, minlength=len(x)))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_marginals_are_the_sums_over_what_is_unknown(case: Case) -> None:
    """Of the plan with the known sites of every block first; the rest given these makes the whole."""
    x, model, plan = every(case), model_of("any-order-mlp", case), some_plan(case)
    mask = torch.arange(x.shape[1]) % 3 != 1
    row = model.sample(1, case.state, seed=2).occupations[0]
    partial = torch.where(mask, row, -1)
    whole = model.log_prob(x, case.state, plan=plan.known_first(partial)[torch.zeros(len(x), dtype=torch.long)])
    summed = whole[(x[:, mask] == row[mask]).all(1)].logsumexp(0)
    torch.testing.assert_close(model.log_marginal(partial[None], case.state, plan=plan)[0], summed, rtol=0, atol=1e-9)
    several = torch.stack([partial, torch.full_like(row, -1), row])  # of different sizes
    each = [float(model.log_marginal(one[None], case.state, plan=plan)[0]) for one in several]
    together = model.log_marginal(several, case.state, plan=Plan(plan.order.expand(3, -1), plan.sizes))
    assert together.tolist() == pytest.approx(each, abs=1e-12)
    assert each[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_sites_are_drawn_anew_in_blocks(case: Case, family: str) -> None:
    """Three sites at once, then the others of five: chi-square against the enumerated conditional, n = 3,000, false alarms 1e-6."""
    x, model = every(case), model_of(family, case)
    n, k = x.shape[1], min(5, x.shape[1] - 1)
    sites = torch.randperm(n, generator=torch.Generator().manual_seed(3))[:k]
    row = model.sample(1, case.state, seed=4).occupations[0]
    known = row.scatter(0, sites, -1)
    sizes = (3, k - 3)
    plan = Plan.ending_with(sites[None], (known >= 0)[None], sizes)
    log_q = model.log_prob(x, case.state, plan=Plan(plan.order.expand(len(x), -1), plan.sizes), known=known)
    conditions = Conditions.from_states([case.state], case.hamiltonian).expand(3000)
    drawn = model.redraw(row.expand(3000, -1), sites.expand(3000, -1), Stream(5).uniform(k, 3000), conditions, sizes)
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(torch.bincount(row_of(case, x, drawn), minlength=len(x)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_sites_of_a_block_do_not_see_one_another(case: Case, family: str) -> None:
    """Without a constraint: the logits of a block stay when the species in it change."""
    model, plan = model_of(family, case), some_plan(case)
    conditions = Conditions.from_states([case.state], case.hamiltonian)
    if not model.steps.constraint(conditions.ensemble).free:
        pytest.skip("what is left of a composition links them")
    x = every(case)
    start, end = plan.spans[-1]
    others = plan.order[0, end - 1 : end]
    one = x[:1]
    for species in range(case.hamiltonian.lattice.n_species):
        changed = one.scatter(1, others[None], species)
        before, after = (weigh.logits(model, c, plan, conditions)[:, start:end] for c in (one, changed))
        torch.testing.assert_close(before, after, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_site_a_block_is_the_order(family: str) -> None:
    model, x = model_of(family, ISING), every(ISING)[:64]
    order = some_plan(ISING, len(x)).order
    assert torch.equal(model.log_prob(x, ISING.state, order), model.log_prob(x, ISING.state, plan=Plan(order, (1,) * 9)))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_levels_are_blocks_of_sites_of_one_level(case: Case) -> None:
    """In every translation of the origin the same sizes, and a plan that is one of the kinds by name."""
    model = model_of("any-order-mlp", case)
    plan = draw_plan(case.hamiltonian.lattice, 50, "levels", Stream(0))
    assert sum(end - start for start, end in plan.spans) == case.hamiltonian.lattice.n_sites
    assert len(plan.spans) < case.hamiltonian.lattice.n_sites
    samples = model.sample(50, case.state, plan="levels", seed=0)
    assert samples.metadata["order_kind"] == "levels" and samples.block_sizes == plan.sizes
    torch.testing.assert_close(samples.log_prob, model.log_prob(samples.occupations, case.state, plan=samples.plan), rtol=0, atol=1e-9)


@pytest.mark.parametrize("suffix", ["nc", "extxyz", "db"])
def test_files_keep_the_plan(tmp_path: Path, suffix: str) -> None:
    samples = model_of("any-order-mlp", ISING).sample(20, ISING.state, plan="levels", seed=0)
    samples.write(tmp_path / f"out.{suffix}")
    again = arl.SampleSet.read(tmp_path / f"out.{suffix}")
    assert again.block_sizes == samples.block_sizes and torch.equal(again.plan.order, samples.plan.order)


def test_sets_of_one_plan_join_with_it_and_others_without() -> None:
    model = model_of("any-order-mlp", ISING)
    one, two = (model.sample(10, ISING.state, plan="levels", seed=seed) for seed in (1, 2))
    assert arl.SampleSet.concatenate([one, two]).block_sizes == one.block_sizes
    mixed = arl.SampleSet.concatenate([one, model.sample(10, ISING.state, seed=3)])
    assert mixed.order is None and mixed.plan is None


@pytest.mark.parametrize("sizes", [(), (0, 9), (4, 4), (-1, 10)], ids=str)
def test_blocks_that_are_no_plan_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(arl.InputError, match=r"block sizes = .* add up to the 9 sites"):
        Plan(torch.arange(9)[None], sizes)


def test_a_plan_and_an_order_together_are_refused() -> None:
    model = model_of("any-order-mlp", ISING)
    with pytest.raises(arl.InputError, match="plan = 'levels': give a plan or an order, not both"):
        model.sample(3, ISING.state, order="random", plan="levels")


def row_of(case: Case, x: Tensor, occupations: Tensor) -> Tensor:
    place = case.hamiltonian.lattice.n_species ** torch.arange(case.hamiltonian.lattice.n_sites)
    numbers, rows = (x * place).sum(1).sort()
    return rows[torch.searchsorted(numbers, (occupations * place).sum(1))]


def test_places_of_blocks_of_several_sizes_count_each_site_once() -> None:
    plan = Plan(torch.arange(10)[None], (1, 2, 2, 1, 4))
    for blocks in (range(5), range(1, 3), range(2, 5), range(3, 4)):
        places, count = plan.places(blocks)
        assert places.shape == count.shape == (len(blocks), max(plan.sizes[k] for k in blocks))  # type: ignore[index]
        for block, row, here in zip(blocks, places, count, strict=True):
            start, end = plan.spans[block]
            assert row[here].tolist() == list(range(start, end)) and bool((row[~here] == end - 1).all())
