"""The any-order transformer is one normalised distribution per order: everything by enumeration, in float64, random weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions, centred
from arlattice.decoding import weigh
from arlattice.decoding.orders import ORDERS, draw_orders
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import Case, check_model, randomise, small_cases
from arlattice.thermo.exact import Enumeration, enumerate_configurations

SMALL = AnyOrderTransformerOptions(width=16, heads=2, layers=2)
CASES = {case.name: case for case in small_cases()}
SQUARE, TERNARY, VACANCIES, FIXED, TIGHT = (
    CASES[name]
    for name in (
        "square 3x3",
        "skewed ternary",
        "two sublattices, vacancies",
        "two sublattices, fixed composition",
        "two sublattices, tight composition",
    )
)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=str)
each_kind = pytest.mark.parametrize("kind", ORDERS)


def transformer(hamiltonian: arl.Hamiltonian, seed: int = 0) -> AnyOrderTransformer:
    """Random weights, float64."""
    model = randomise(AnyOrderTransformer(hamiltonian, SMALL), seed)
    return model.double()


def some_order(lattice: arl.Lattice, kind: str, seed: int = 0) -> Tensor:
    return draw_orders(lattice, 1, kind, Stream(seed))[0]


def all_configurations(lattice: arl.Lattice) -> Tensor:
    return torch.cat(list(enumerate_configurations(lattice)))


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


@each_case
def test_the_transformer_conforms(case: Case) -> None:
    """Sums, support, sampling, inpainting: `arlattice.testing.check_model`, false alarms 1e-6 a case, n = 1000."""
    check_model(transformer(case.hamiltonian), [case.state], n=1000)


@each_kind
@each_case
def test_probabilities_of_all_configurations_sum_to_one(case: Case, kind: str) -> None:
    log_q = transformer(case.hamiltonian, 1).log_prob(
        all_configurations(case.hamiltonian.lattice), case.state, some_order(case.hamiltonian.lattice, kind)
    )
    assert abs(float(log_q.exp().sum()) - 1) < 1e-10


@each_case
def test_a_fresh_model_is_normalised_too_also_in_float32(case: Case) -> None:
    model = AnyOrderTransformer(case.hamiltonian, SMALL)
    log_q = model.log_prob(all_configurations(case.hamiltonian.lattice), case.state, "random")
    assert abs(float(log_q.exp().sum()) - 1) < 0.2  # one order a row: not one distribution
    log_q = model.log_prob(all_configurations(case.hamiltonian.lattice), case.state, some_order(case.hamiltonian.lattice, "random"))
    assert abs(float(log_q.exp().sum()) - 1) < 1e-5


def sample_by_rerunning(model: AnyOrderTransformer, noise: Tensor, order: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
    """What `draw` should give, without a cache: the whole network for every site, on what is known so far."""
    rows = torch.arange(len(order))
    occupations, log_prob = torch.zeros_like(order), torch.zeros(len(order), dtype=torch.float64)
    for step in range(order.shape[1]):
        log_p = weigh.logits(model, occupations, Plan(order), conditions, steps=step + 1)[:, step].log_softmax(-1)
        species = (log_p.exp().cumsum(-1)[:, :-1] <= noise[step][:, None]).sum(-1)
        occupations[rows, order[:, step]] = species
        log_prob += log_p[rows, species]
    return occupations, log_prob


@torch.no_grad()
@each_kind
@each_case
def test_cached_sampling_is_rerunning_the_network_for_every_site(case: Case, kind: str) -> None:
    model, lattice = transformer(case.hamiltonian), case.hamiltonian.lattice
    generator = torch.Generator().manual_seed(5)
    order = draw_orders(lattice, 40, kind, Stream(5))
    noise = torch.rand(lattice.n_sites, 40, generator=generator, dtype=torch.float64)
    conditions = Conditions.from_states([case.state] * 40, case.hamiltonian)
    cached, log_prob = model.draw(noise, order, conditions)
    rerun, rerun_log_prob = sample_by_rerunning(model, noise, order, conditions)
    assert torch.equal(cached, rerun)
    assert largest(log_prob - rerun_log_prob) < 1e-12


@torch.no_grad()
@each_case
def test_a_conditional_depends_only_on_sites_drawn_before(case: Case) -> None:
    model, lattice = transformer(case.hamiltonian), case.hamiltonian.lattice
    order = some_order(lattice, "random")[None]
    conditions = Conditions.from_states([case.state], case.hamiltonian)
    x = model.sample(1, case.state, order=order[0]).occupations
    whole = weigh.logits(model, x, Plan(order), conditions).softmax(-1)
    for step in range(lattice.n_sites):
        filled = x.clone()
        later = order[0, step:]
        filled[0, later] = lattice.allowed[later].double().argmax(1)
        assert largest(weigh.logits(model, filled, Plan(order), conditions, steps=step + 1)[0, step].softmax(-1) - whole[0, step]) < 1e-14


@torch.no_grad()
def test_the_conditional_reads_every_site_drawn_before() -> None:
    lattice = SQUARE.hamiltonian.lattice
    black_box = arl.FunctionHamiltonian(lattice, SQUARE.hamiltonian.energy, units="reduced")
    model = transformer(black_box)
    order, conditions = some_order(lattice, "random")[None], Conditions.from_states([SQUARE.state], black_box)
    x = torch.zeros(1, 9, dtype=torch.long)
    last = weigh.logits(model, x, Plan(order), conditions)[0, -1]
    for site in order[0, :-1]:
        assert largest(weigh.logits(model, x.scatter(1, site.view(1, 1), 1), Plan(order), conditions)[0, -1] - last) > 1e-6


# -- symmetry --------------------------------------------------------------------------------------


def invariant_hamiltonian(lattice: arl.Lattice, seed: int = 0) -> arl.ClusterHamiltonian:
    """Random clusters of up to three sites, each at all its translations."""
    rng = np.random.default_rng(seed)
    terms = []
    for k in (1, 2, 2, 2, 3, 3):
        sites, table = rng.choice(lattice.n_sites, k, replace=False), rng.normal(scale=0.3, size=(lattice.n_species,) * k)
        terms += [(row[sites].tolist(), table) for row in lattice.translations.numpy()]
    return arl.ClusterHamiltonian.from_terms(lattice, terms, units="reduced")


@each_kind
@each_case
def test_translating_configuration_and_order_leaves_log_prob(case: Case, kind: str) -> None:
    hamiltonian = invariant_hamiltonian(case.hamiltonian.lattice)
    model, lattice = transformer(hamiltonian), hamiltonian.lattice
    samples = model.sample(20, case.state, order=kind)
    assert samples.log_prob is not None and samples.order is not None
    for moved in lattice.translations:
        x = torch.empty_like(samples.occupations)
        x[:, moved] = samples.occupations
        assert largest(model.log_prob(x, case.state, moved[samples.order]) - samples.log_prob) < 1e-11


def test_the_network_sees_more_than_the_translation_class() -> None:
    """The same configuration in another order, or translated without its order, has another log_prob."""
    hamiltonian = invariant_hamiltonian(SQUARE.hamiltonian.lattice)
    model, lattice = transformer(hamiltonian), hamiltonian.lattice
    samples = model.sample(20, SQUARE.state, order="random")
    assert samples.log_prob is not None and samples.order is not None
    moved = lattice.translations[1]
    assert largest(model.log_prob(samples.occupations, SQUARE.state, moved[samples.order]) - samples.log_prob) > 0.01


@pytest.mark.parametrize("case", [SQUARE, TERNARY, VACANCIES], ids=str)
def test_a_common_shift_of_the_chemical_potentials_changes_nothing(case: Case) -> None:
    model, lattice = transformer(case.hamiltonian), case.hamiltonian.lattice
    mu = dict(zip(lattice.species, case.state.mu_vector(lattice), strict=True))
    shifted = arl.SemiGrandCanonical(case.state.temperature, {s: m + 0.7 for s, m in mu.items()})
    x, order = all_configurations(lattice), some_order(lattice, "random")
    assert largest(model.log_prob(x, shifted, order) - model.log_prob(x, case.state, order)) < 1e-12


def test_a_shift_on_one_of_two_separate_sublattices_changes_nothing() -> None:
    """Na/X and Cl/O share no species, so each pair has its own common shift."""
    lattice = arl.Lattice(
        np.eye(3), np.array([[0.0] * 3, [0.5] * 3]), (("Na", "X"), ("Cl", "O")), np.diag([2, 2, 1]), ("Na", "X", "Cl", "O")
    )
    model = transformer(invariant_hamiltonian(lattice))
    x, order = all_configurations(lattice), some_order(lattice, "random")
    states = [arl.SemiGrandCanonical(1.5, {"Na": 0.2 + a, "X": a, "Cl": -0.1}) for a in (0.0, 0.9)]
    first, second = (model.log_prob(x, state, order) for state in states)
    assert largest(first - second) < 1e-12


def test_the_state_acts_on_the_network_and_on_the_boltzmann_weights() -> None:
    x, order = all_configurations(SQUARE.hamiltonian.lattice), some_order(SQUARE.hamiltonian.lattice, "random")
    model = transformer(SQUARE.hamiltonian)
    warmer, richer = arl.SemiGrandCanonical(1.6, {"up": 0.2}), arl.SemiGrandCanonical(1.5, {"up": 0.3})
    for other in (warmer, richer):
        assert largest(model.log_prob(x, other, order) - model.log_prob(x, SQUARE.state, order)) > 0.01


def test_centring_leaves_a_species_without_sites_alone() -> None:
    lattice = arl.Lattice(np.eye(3), np.zeros((1, 3)), (("A", "B"),), np.diag([2, 2, 1]), ("A", "B", "C"))
    assert centred(torch.tensor([[1.0, 3.0, 5.0]]), lattice)[0, :2].tolist() == [-1.0, 1.0]
    model = transformer(arl.FunctionHamiltonian(lattice, lambda x: x.sum(1).double(), units="reduced"))
    log_q = model.log_prob(all_configurations(lattice), arl.SemiGrandCanonical(1.0), some_order(lattice, "random"))
    assert abs(float(log_q.exp().sum()) - 1) < 1e-10


# -- what is exact from the start ------------------------------------------------------------------


def test_a_fresh_model_of_independent_sites_is_exact() -> None:
    rng = np.random.default_rng(0)
    lattice = VACANCIES.hamiltonian.lattice
    terms = [((i,), rng.normal(size=4)) for i in range(lattice.n_sites)]
    hamiltonian = arl.ClusterHamiltonian.from_terms(lattice, terms, units="reduced")
    samples = AnyOrderTransformer(hamiltonian, SMALL).double().sample(200, VACANCIES.state)
    exact = Enumeration.of(hamiltonian).log_z(VACANCIES.state)
    assert largest(samples.log_weight - exact) < 1e-10
    assert samples.ess == pytest.approx(1, abs=1e-10)


def test_the_last_site_of_a_fresh_model_is_exact() -> None:
    """With all other sites known, the completed-cluster energies are the whole conditional."""
    model, lattice = AnyOrderTransformer(TERNARY.hamiltonian, SMALL).double(), TERNARY.hamiltonian.lattice
    known = torch.tensor([0, 2, 1, 1, -1])
    rows = known.expand(3, -1).clone()
    rows[:, 4] = torch.arange(3)
    log_f = TERNARY.state.log_f(lattice, "reduced", TERNARY.hamiltonian.energy(rows), rows)
    assert largest(model.log_prob(rows, TERNARY.state, known=known) - log_f.log_softmax(0)) < 1e-12


def test_a_fresh_model_at_fixed_composition_without_energies_draws_uniformly() -> None:
    for case in (CASES["ternary, fixed composition"], CASES["square 3x4, fixed composition"]):
        lattice = case.hamiltonian.lattice
        free = arl.FunctionHamiltonian(lattice, lambda x: torch.zeros(len(x), dtype=torch.float64), units="reduced")
        log_prob = AnyOrderTransformer(free, SMALL).double().sample(50, case.state).log_prob
        counts = case.state.counts(lattice) or []
        ways = math.factorial(lattice.n_sites) // math.prod(math.factorial(c) for c in counts)
        assert log_prob is not None and largest(log_prob + math.log(ways)) < 1e-10


# -- sampling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [VACANCIES, FIXED], ids=str)
def test_the_same_seed_gives_the_same_samples_and_another_seed_others(case: Case) -> None:
    model = transformer(case.hamiltonian).float()
    one, same, other = (model.sample(50, case.state, seed=seed, order="random") for seed in (3, 3, 4))
    assert one.log_prob is not None and same.log_prob is not None and one.order is not None and same.order is not None
    assert (
        torch.equal(one.occupations, same.occupations) and torch.equal(one.log_prob, same.log_prob) and torch.equal(one.order, same.order)
    )
    assert not torch.equal(one.occupations, other.occupations)


def test_batch_size_splits_the_work_and_nothing_else() -> None:
    model = transformer(VACANCIES.hamiltonian)
    samples = model.sample(23, VACANCIES.state, order="random", batch_size=5)
    assert samples.log_prob is not None and samples.order is not None and len(samples) == 23
    assert len(torch.unique(torch.cat([samples.occupations, samples.order], 1), dim=0)) == 23
    for size in (None, 1, 7, 100):
        again = model.log_prob(samples.occupations, VACANCIES.state, samples.order, batch_size=size)
        assert largest(again - samples.log_prob) < 1e-12


def test_energies_of_samples_are_the_hamiltonians_in_float64() -> None:
    samples = transformer(SQUARE.hamiltonian).float().sample(30, SQUARE.state)
    assert torch.equal(samples.energy, SQUARE.hamiltonian.energy(samples.occupations))


def test_weights_of_samples_give_log_z() -> None:
    """n = 20,000 independent samples, 4 standard errors: fails for nothing in 6e-5 of the seeds."""
    samples = AnyOrderTransformer(TERNARY.hamiltonian, SMALL).sample(20_000, TERNARY.state)
    estimate = samples.log_z()
    assert abs(estimate.value - Enumeration.of(TERNARY.hamiltonian).log_z(TERNARY.state)) < 4 * estimate.error < 0.1


@pytest.mark.parametrize("case", [VACANCIES, FIXED], ids=str)
def test_single_precision_agrees_with_double(case: Case) -> None:
    model = transformer(case.hamiltonian)
    samples = model.sample(100, case.state, order="random")
    assert samples.log_prob is not None and samples.order is not None
    assert largest(model.float().log_prob(samples.occupations, case.state, samples.order) - samples.log_prob) < 1e-4


def test_phases_come_back_in_full_when_the_model_returns_to_double() -> None:
    model = transformer(SQUARE.hamiltonian)
    sites = torch.arange(model.lattice.n_sites)[None]
    before = model.phases.of(sites, torch.float64)[0]
    assert before.dtype == torch.float64 and torch.equal(model.float().double().phases.of(sites, torch.float64)[0], before)


# -- inpainting ------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("case", [SQUARE, VACANCIES, FIXED, TIGHT], ids=str)
def test_inpainting_is_the_enumerated_conditional_of_the_same_order(case: Case, kind: str) -> None:
    """For every set of known sites met on the way along one order, with the species of one sample."""
    model, lattice = transformer(case.hamiltonian), case.hamiltonian.lattice
    order, row = some_order(lattice, kind), model.sample(1, case.state).occupations[0]
    joint, x = model.log_prob(all_configurations(lattice), case.state, order), all_configurations(lattice)
    for given in range(lattice.n_sites + 1):
        known = torch.full_like(row, -1)
        known[order[:given]] = row[order[:given]]
        matching = (x[:, order[:given]] == row[order[:given]]).all(1)
        conditional = joint[matching] - joint[matching].logsumexp(0)
        possible = conditional > -torch.inf
        exact = {tuple(c): p for c, p in zip(x[matching][possible].tolist(), conditional[possible].tolist(), strict=True)}
        completed = model.inpaint(known, 30, case.state, order=order)
        assert completed.log_prob is not None and completed.order is not None
        assert torch.equal(completed.order, order.expand(30, -1))
        worst = max(abs(exact[tuple(c)] - p) for c, p in zip(completed.occupations.tolist(), completed.log_prob.tolist(), strict=True))
        assert worst < 1e-12


def test_inpainting_with_everything_known_is_certain_and_with_nothing_known_is_sampling() -> None:
    model = transformer(VACANCIES.hamiltonian)
    row = model.sample(1, VACANCIES.state).occupations[0]
    whole = model.inpaint(row, 3, VACANCIES.state)
    assert whole.log_prob is not None and whole.log_prob.tolist() == [0.0] * 3
    nothing, sampled = model.inpaint(torch.full_like(row, -1), 20, VACANCIES.state, seed=2), model.sample(20, VACANCIES.state, seed=2)
    assert nothing.log_prob is not None and sampled.log_prob is not None
    assert torch.equal(nothing.occupations, sampled.occupations) and torch.equal(nothing.log_prob, sampled.log_prob)


def test_log_prob_given_known_sites_is_minus_infinity_for_configurations_that_differ_there() -> None:
    model = transformer(SQUARE.hamiltonian)
    known = torch.tensor([1, -1, -1, -1, 0, -1, -1, -1, -1])
    x, order = all_configurations(SQUARE.hamiltonian.lattice), some_order(SQUARE.hamiltonian.lattice, "random")
    log_q = model.log_prob(x, SQUARE.state, order, known=known)
    matching = (x[:, 0] == 1) & (x[:, 4] == 0)
    assert torch.equal(log_q > -torch.inf, matching)
    assert abs(float(log_q.exp().sum()) - 1) < 1e-10


@pytest.mark.parametrize(
    ("known", "complaint"),
    [
        (torch.tensor([1, 0]), "must have the 9 sites"),
        (torch.tensor([2] + [-1] * 8), "run from -1 to 1"),
        (torch.full((9,), -1.0), "integer species indices"),
        (torch.full((2, 9), -1), "one partial configuration"),
    ],
)
def test_malformed_known_sites_are_told(known: Tensor, complaint: str) -> None:
    model = transformer(SQUARE.hamiltonian)
    with pytest.raises(arl.InputError, match=complaint):
        model.inpaint(known, 2, SQUARE.state)
    with pytest.raises(arl.InputError, match=complaint):
        model.log_prob(torch.zeros(1, 9, dtype=torch.long), SQUARE.state, known=known)


@pytest.mark.parametrize(
    ("species", "complaint"),
    [
        ("Na Cl Na ? Na ? ? ?", "the composition has only 2"),
        ("? X ? X ? X ? ?", "cannot be completed"),
        ("X ? X ? X ? ? ?", "cannot be completed"),
    ],
)
def test_known_sites_that_the_composition_cannot_complete_are_told(species: str, complaint: str) -> None:
    """Na 2, X 3, Cl 2, O 1; sites alternate between Na/X and Cl/O/X, so that two X and one X must go there."""
    lattice = FIXED.hamiltonian.lattice
    known = torch.tensor([-1 if s == "?" else lattice.species.index(s) for s in species.split()])
    with pytest.raises(arl.InputError, match=complaint):
        transformer(FIXED.hamiltonian).inpaint(known, 2, FIXED.state)


# -- gradients -------------------------------------------------------------------------------------


def test_every_weight_has_a_gradient_and_the_score_has_mean_zero() -> None:
    """sum_x q(x) grad log q(x) = grad 1 = 0, over all configurations."""
    model, lattice = transformer(VACANCIES.hamiltonian), VACANCIES.hamiltonian.lattice
    x = all_configurations(lattice)
    order = some_order(lattice, "random").expand_as(x)
    steps = model(x, order, Conditions.from_states([VACANCIES.state] * len(x), model.hamiltonian))
    log_q = steps.sum(1)
    parameters = dict(model.named_parameters())
    score = torch.autograd.grad(log_q.exp().sum(), list(parameters.values()), retain_graph=True)
    assert max(largest(g) for g in score) < 1e-12
    gradients = torch.autograd.grad(log_q[:5].sum(), list(parameters.values()))
    silent = [name for name, g in zip(parameters, gradients, strict=True) if largest(g) == 0]
    assert silent == []


def test_gradients_stay_finite_where_species_are_masked() -> None:
    model = transformer(TIGHT.hamiltonian)
    x = model.sample(16, TIGHT.state).occupations
    order = some_order(TIGHT.hamiltonian.lattice, "random").expand_as(x)
    model(x, order, Conditions.from_states([TIGHT.state] * 16, model.hamiltonian)).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
