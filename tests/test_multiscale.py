"""Blocks from coarse to fine: one normalised distribution on many lattices, by enumeration, with weights at random."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from block_models import TINY, every, model_of
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.lattice import Lattice
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.multiscale import Multiscale
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import Case, FrequencyTest, random_hamiltonian, randomise, small_cases

SGC = arl.SemiGrandCanonical
FCC = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
BCC = np.array([[-1.5, 1.5, 1.5], [1.5, -1.5, 1.5], [1.5, 1.5, -1.5]])
HEXAGONAL = np.array([[2.5, 0.0, 0.0], [-1.25, 1.25 * 3**0.5, 0.0], [0.0, 0.0, 4.08]])
PEROVSKITE = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
BINARY = ("A", "B")


def lattice(cell: np.ndarray, basis: Any, allowed: Any, supercell: Any, pbc: tuple[bool, bool, bool] = (True, True, True)) -> Lattice:
    species = tuple(dict.fromkeys(s for names in allowed for s in names))
    return Lattice(cell, np.array(basis, dtype=float), tuple(allowed), np.eye(3, dtype=int), species, pbc).with_supercell(supercell)


def neighbours(where: Lattice, strength: float, shells: int = 1, seed: int = 0) -> arl.ClusterHamiltonian:
    """Every pair of equal species within some shells costs ``strength``, and random point terms: the same in every cell."""
    near = [(range(-2, 3) if periodic else (0,)) for periodic in where.pbc]
    offsets, sites = np.array(list(itertools.product(*near))), range(len(where.basis))
    found = [
        (i, j, o, np.linalg.norm((o + where.basis[j] - where.basis[i]) @ where.cell).round(6))
        for i in sites
        for j in sites
        for o in offsets
    ]
    lengths = sorted({length for *_, length in found if length > 0})[:shells]
    q, rng = where.n_species, np.random.Generator(np.random.PCG64(seed))
    terms: list[Any] = [([((0, 0, 0), i)], rng.normal(scale=0.1, size=q)) for i in sites]
    terms += [([((0, 0, 0), i), (tuple(o), j)], strength / 2 * np.eye(q)) for i, j, o, length in found if length in lengths]
    return arl.ClusterHamiltonian.from_cell(where, terms, units="reduced")


def ising(*size: int, **options: float) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=size, **options)


SMALL = {case.name: case for case in small_cases()}
STATE = SGC(1.5, {"B": 0.2})
SEVEN = lattice(FCC, [[0, 0, 0]], [BINARY], [[1, 0, 0], [0, 1, 0], [2, 3, 7]])
THIRTEEN = lattice(FCC, [[0, 0, 0]], [BINARY], [[2, 1, 0], [0, 2, 1], [1, 0, 3]])
LARGE = [
    Case("Ising 4x4", ising(4, 4), SGC(2.3)),
    Case("FCC 13 sites", neighbours(THIRTEEN, 0.5), STATE),
    Case("antiferromagnet 4x4", ising(4, 4, J=-1.0), SGC(2.5, {"up": 0.4})),
    Case("FCC 2x2x4", neighbours(lattice(FCC, [[0, 0, 0]], [BINARY], (2, 2, 4)), 0.8), STATE),
]
CASES = [
    Case("Ising 3x3 in a field", ising(3, 3, h=0.2), SGC(2.0, {"up": 0.3})),
    Case("Ising 2x4, symmetric", ising(2, 4), SGC(2.0)),
    Case("FCC 7 sites", neighbours(SEVEN, 0.5), STATE),
    Case("perovskite", random_hamiltonian(lattice(3.9 * np.eye(3), PEROVSKITE, [("Sr",), BINARY, *[("O", "X")] * 3], (2, 1, 1)), 1), STATE),
    Case("BCC", neighbours(lattice(BCC, [[0, 0, 0]], [BINARY], 2), 0.8), STATE),
    Case("HCP", neighbours(lattice(HEXAGONAL, [[0, 0, 0], [1 / 3, 2 / 3, 0.5]], [BINARY] * 2, (2, 2, 1)), 0.3), STATE),
    Case("chain", random_hamiltonian(arl.chain(8), 2), SGC(1.5, {"up": 0.1})),
    Case("triangular", neighbours(lattice(HEXAGONAL, [[0, 0, 0]], [BINARY], (3, 3, 1), (True, True, False)), 0.8), STATE),
    Case("Ising 2x4, half up", ising(2, 4), arl.Canonical(2.0, {"up": 4})),
    *(SMALL[name] for name in ("skewed FCC", "skewed ternary", "two sublattices, vacancies")),
    *(case for name, case in SMALL.items() if "composition" in name and "ternary" not in name),
]
KINDS = Multiscale.orders


def plan_of(model: Model, kind: str, rows: int = 1, seed: int = 0) -> Plan:
    """One plan of a kind, repeated."""
    one = model.resolve_plan(1, kind, Stream(seed))
    return Plan(one.order.expand(rows, -1), one.sizes)


def rows_of(case: Case, x: Tensor) -> Tensor:
    place = case.hamiltonian.lattice.n_species ** torch.arange(x.shape[1])
    numbers, rows = (every(case) * place).sum(1).sort()
    return rows[torch.searchsorted(numbers, (x * place).sum(1))]


def given_at(case: Case, mask: Tensor) -> Tensor:
    """A sample where ``mask`` says so, -1 elsewhere."""
    return torch.where(mask, model_of(case).sample(1, case.state, seed=2).occupations[0], -1)


def thirds(case: Case) -> Tensor:
    return torch.arange(case.hamiltonian.lattice.n_sites) % 3 == 1


# -- one normalised distribution ---------------------------------------------------------------------


def test_the_probabilities_of_65536_configurations_sum_to_one() -> None:
    """Half of them: each has the probability of its mirror image."""
    case = LARGE[0]
    model, x = model_of(case), every(case)
    half = model.log_prob(x[x[:, 0] == 1], case.state, plan=plan_of(model, "blocks"))
    assert float(half.logsumexp(0).exp()) == pytest.approx(0.5, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_completions_of_many_sites_are_normalised_around_sites_given_anywhere(case: Case, kind: str) -> None:
    """Nine sites are left, the others given; samples have what log_prob tells, to 1e-9."""
    model, n = model_of(case), case.hamiltonian.lattice.n_sites
    left = Stream(3).permutation(n)[:9]
    known = given_at(case, torch.ones(n, dtype=torch.bool).scatter(0, left, False))
    x = known.expand(512, -1).scatter(1, left.expand(512, -1), torch.cartesian_prod(*[torch.arange(2)] * 9))
    log_q = model.log_prob(x, case.state, plan=plan_of(model, kind), known=known)
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    samples = model.inpaint(known, 100, case.state, plan=plan_of(model, kind, 100), seed=1)
    numbers = (samples.occupations[:, left] * 2 ** torch.arange(8, -1, -1)).sum(1)
    torch.testing.assert_close(samples.log_prob, log_q[numbers], rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_probabilities_sum_to_one_and_samples_have_them(case: Case, kind: str) -> None:
    """Chi-square over all configurations, n = 1,000, false alarms 1e-6 each; log_prob to 1e-9, of every one of its plans."""
    model, x = model_of(case), every(case)
    log_q = model.log_prob(x, case.state, plan=plan_of(model, kind))
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    assert torch.equal(log_q > -torch.inf, case.state.allows(case.hamiltonian.lattice, x))
    samples = model.sample(1000, case.state, plan=plan_of(model, kind, 1000), seed=1)
    rows = rows_of(case, samples.occupations)
    torch.testing.assert_close(samples.log_prob, log_q[rows], rtol=0, atol=1e-9)
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(torch.bincount(rows, minlength=len(x)))
    free = model.sample(60, case.state, plan=kind, seed=2)
    assert free.plan is not None and len(free.plan.order.unique(dim=0)) > 1  # moved at random
    torch.testing.assert_close(free.log_prob, model.log_prob(free.occupations, case.state, plan=free.plan), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_completions_are_normalised_and_drawn_around_sites_given_anywhere(case: Case, kind: str) -> None:
    """Chi-square over all completions, n = 1,000, false alarms 1e-6 each."""
    model, x, known = model_of(case), every(case), given_at(case, thirds(case))
    matching = (x[:, known >= 0] == known[known >= 0]).all(1)
    log_q = torch.full((len(x),), -torch.inf, dtype=torch.float64)
    log_q[matching] = model.log_prob(x[matching], case.state, plan=plan_of(model, kind), known=known)
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    samples = model.inpaint(known, 1000, case.state, plan=plan_of(model, kind, 1000), seed=3)
    rows = rows_of(case, samples.occupations)
    torch.testing.assert_close(samples.log_prob, log_q[rows], rtol=0, atol=1e-9)
    again = model.log_prob(samples.occupations, case.state, plan=samples.plan, known=known)
    torch.testing.assert_close(samples.log_prob, again, rtol=0, atol=1e-9)
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(torch.bincount(rows, minlength=len(x)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_marginals_sum_to_one_and_are_those_of_nothing_and_of_everything(case: Case) -> None:
    """Over the species of some sites; each row is what it is alone."""
    model, x = model_of(case), every(case)
    for mask in (thirds(case), torch.arange(x.shape[1]) < 5):
        parts = torch.where(mask, x, -1).unique(dim=0)
        if len(parts) <= 32:
            found = model.log_marginal(parts, case.state, plan=plan_of(model, "blocks", len(parts)))
            assert float(found.logsumexp(0)) == pytest.approx(0, abs=1e-9)
    whole = model.sample(1, case.state, plan=plan_of(model, "blocks"), seed=2)
    row = whole.occupations[0]
    rows = torch.stack([row, torch.full_like(row, -1), torch.where(thirds(case), row, -1)])
    alone = torch.cat([model.log_marginal(one[None], case.state, plan=plan_of(model, "blocks")) for one in rows])
    together = model.log_marginal(rows, case.state, plan=plan_of(model, "blocks", 3))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-9)
    torch.testing.assert_close(alone[:2], torch.stack([whole.log_prob[0], torch.zeros(()).double()]), rtol=0, atol=1e-9)


# -- given sites, symmetries, refusals -------------------------------------------------------------------


@pytest.mark.parametrize("case", [*LARGE, CASES[2], CASES[4], CASES[9]], ids=str)
def test_a_given_site_is_seen_at_every_scale_also_where_it_is_finer(case: Case) -> None:
    """Without energies: the logits of the first block of every scale change with the species of the site drawn last."""
    model = model_of(case, energies=False)
    plan, row = plan_of(model, "blocks"), every(case)[:1].clone()
    last = plan.order[0, -1]
    assert isinstance(model, Multiscale)
    layout = model.layout_of(plan)
    assert layout is not None
    known = torch.full_like(row[0], -1)
    known[last] = row[0, last]
    other = row.scatter(1, last.expand(1, 1), 1)
    given = model.given_in(plan, known)
    conditions = Conditions.from_states([case.state], case.hamiltonian)
    before, after = (model.plan_logits(x, given, conditions) for x in (row, other))
    firsts = [plan.spans[layout.scale_of_block.index(k)] for k in range(len(layout.scales.scales))]
    for start, end in firsts:
        if start < row.shape[1] - (plan.spans[-1][1] - plan.spans[-1][0]):
            assert float((before - after)[:, start:end].detach().abs().max()) > 1e-5


MOVED = [case for case in CASES if case.name in ("FCC 7 sites", "BCC", "HCP", "triangular", "Ising 2x4, half up")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", MOVED, ids=str)
def test_a_moved_configuration_has_the_same_probability_in_the_moved_plan(case: Case, kind: str) -> None:
    model, x = model_of(case), every(case)[::37]
    order = plan_of(model, kind).order
    expected = model.log_prob(x, case.state, plan=plan_of(model, kind))
    for images in case.hamiltonian.lattice.translations:
        moved = torch.empty_like(x)
        moved[:, images] = x
        plan = Plan(images[order].expand(len(x), -1), plan_of(model, kind).sizes)
        torch.testing.assert_close(model.log_prob(moved, case.state, plan=plan), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_exchanged_spins_have_the_same_probability_in_the_opposite_field(kind: str) -> None:
    model, x = model_of(CASES[1]), every(CASES[1])
    for one, other in ((SGC(2.0, {"up": 0.3}), SGC(2.0, {"up": -0.3})), (SGC(2.0), SGC(2.0))):
        here = model.log_prob(x, one, plan=plan_of(model, kind))
        torch.testing.assert_close(model.log_prob(1 - x, other, plan=plan_of(model, kind)), here, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [CASES[2], CASES[4], CASES[9], CASES[11]], ids=str)
def test_the_sites_of_a_block_do_not_see_one_another(case: Case) -> None:
    """The logits of a block stay when species in it change, to the bit: every block, in one pass and asked for alone."""
    model, x = model_of(case), every(case)[5:6]
    plan, conditions = plan_of(model, "blocks"), Conditions.from_states([case.state], case.hamiltonian)
    before = weigh.logits(model, x, plan, conditions)
    for start, end in plan.spans:
        sites = plan.order[0, start:]
        changed = x.clone()
        changed[0, sites] = torch.where(case.hamiltonian.lattice.allowed[sites][:, 1], 1 - x[0, sites].clamp(max=1), x[0, sites])
        after = weigh.logits(model, changed, plan, conditions)[:, start:end]
        torch.testing.assert_close(after, before[:, start:end], rtol=0, atol=1e-12)


def test_in_single_precision_the_logits_are_those_of_double_precision() -> None:
    case = CASES[4]
    model = randomise(build_model("multiscale", case.hamiltonian, TINY), seed=3)
    log_q = model.log_prob(every(case), case.state, plan=plan_of(model, "blocks"))
    torch.testing.assert_close(log_q, model_of(case).log_prob(every(case), case.state, plan=plan_of(model, "blocks")), rtol=0, atol=1e-3)
    assert log_q.dtype == torch.float64 and float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-5)
