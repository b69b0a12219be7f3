"""The perceptron families keep the contract of `Model`, start where they say, and see only what they may."""

from __future__ import annotations

import pytest
import torch

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.decoding.orders import draw_orders
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import Case, check_model, randomise, small_cases

CASES = small_cases()
GRAND = [case for case in CASES if isinstance(case.state, arl.SemiGrandCanonical)]
FAMILIES = ("fixed-order-mlp", "any-order-mlp", "marginal-mlp", "marginal-transformer")
TINY = {key: {"width": 16, "heads": 2, "layers": 1} for key in ("any-order-transformer", "marginal-transformer")}


def build(family: str, case: Case, **options: object) -> Model:
    chosen = TINY.get(family, {"width": 24, "layers": 2}) | options
    return build_model(family, case.hamiltonian, chosen)


def conditions(case: Case, n: int) -> Conditions:
    return Conditions.from_states([case.state] * n, case.hamiltonian)


def some(case: Case, n: int, seed: int = 0) -> torch.Tensor:
    """Configurations of allowed species."""
    weights = case.hamiltonian.lattice.allowed.double().repeat(n, 1)
    drawn = torch.multinomial(weights, 1, generator=torch.Generator().manual_seed(seed))
    return drawn.view(n, -1)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_pass_the_conformance_check(family: str, case: Case) -> None:
    """n = 400 a state and order; false alarm 1e-6 each."""
    check_model(randomise(build(family, case), seed=1), [case.state], n=400)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_centred_perceptron_passes_too_and_translations_change_nothing(case: Case) -> None:
    """n = 400 a state and order, false alarm 1e-6 each; what the network adds is the same when everything moves by any vector."""
    model = randomise(build("any-order-mlp", case, centred=True), seed=1)
    check_model(model, [case.state], n=400)
    model, x, states = model.double(), some(case, 3), conditions(case, 3)
    order = draw_orders(model.lattice, 3, "random", Stream(0))
    expected = weigh.logits(model, x, Plan(order), states) - model.steps.along(x, Plan(order), states).base
    for images in model.lattice.translations:
        moved = torch.empty_like(x)
        moved[:, images] = x
        added = weigh.logits(model, moved, Plan(images[order]), states) - model.steps.along(moved, Plan(images[order]), states).base
        torch.testing.assert_close(added, expected, rtol=0, atol=1e-9, equal_nan=True)


def test_a_centred_perceptron_tells_the_sublattices_of_a_cell_apart() -> None:
    """Nothing known: what the network adds to the logits differs between the sites of one cell, not between cells."""
    case = next(c for c in GRAND if len(c.hamiltonian.lattice.basis) > 1)
    model = randomise(build("any-order-mlp", case, centred=True), seed=1).double()
    n, basis = model.lattice.n_sites, len(model.lattice.basis)
    unknown, sites = torch.full((n, n), -1), torch.arange(n)
    states = conditions(case, n)
    added = weigh.next_logits(model, unknown, sites, states) - model.steps.of_block(unknown, sites[:, None], states).base[:, 0]
    torch.testing.assert_close(added, added[:basis].repeat(n // basis, 1), rtol=0, atol=1e-9, equal_nan=True)
    both = added[:2].isfinite().all(0)
    assert bool(both.any()) and float((added[0] - added[1])[both].detach().abs().max()) > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_without_energies_the_check_passes_too(family: str) -> None:
    """n = 400; false alarm 1e-6."""
    case = CASES[3]
    check_model(randomise(build(family, case, energies=False), seed=2), [case.state], n=400)


@pytest.mark.parametrize("case", GRAND, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_models_without_energies_are_uniform_over_allowed_species(family: str, case: Case) -> None:
    if family == "marginal-transformer" and case.hamiltonian.lattice.n_species == 2:
        pytest.skip("the first site of a symmetric state is drawn by the gauge; the same figure, another path")
    log_prob = build(family, case, energies=False).log_prob(some(case, 5), case.state)
    expected = -case.hamiltonian.lattice.allowed.sum(1).double().log().sum()
    torch.testing.assert_close(log_prob, expected.expand(5), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", GRAND, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_models_with_energies_start_at_the_boltzmann_weights_of_what_is_known(family: str, case: Case) -> None:
    x, lattice = some(case, 5), case.hamiltonian.lattice
    order = torch.arange(lattice.n_sites).repeat(5, 1)
    energies = case.hamiltonian.completed_energies(x, order)
    mu = torch.tensor(case.state.mu_vector(lattice), dtype=torch.float64)
    logits = (-case.state.beta("reduced") * (energies - mu)).masked_fill(~lattice.allowed, -torch.inf)
    expected = logits.log_softmax(-1).gather(2, x[..., None]).sum((1, 2))
    found = build(family, case).double().log_prob(x, case.state, order)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_masked_perceptron_sees_only_earlier_sites() -> None:
    """Change site i: no logits of sites up to i change, bit for bit."""
    case = GRAND[0]
    model, x = randomise(build("fixed-order-mlp", case), seed=3).double(), some(case, 4)
    n = x.shape[1]
    order, states = torch.arange(n).repeat(4, 1), conditions(case, 4)
    before = weigh.logits(model, x, Plan(order), states)
    for site in range(n):
        changed = x.clone()
        changed[:, site] = 1 - x[:, site]
        after = weigh.logits(model, changed, Plan(order), states)
        assert torch.equal(before[:, : site + 1], after[:, : site + 1])
        assert site == n - 1 or not torch.equal(before[:, site + 1 :], after[:, site + 1 :])


@pytest.mark.parametrize("family", ["any-order-mlp", "marginal-mlp", "marginal-transformer"])
def test_any_order_logits_depend_on_the_earlier_sites_alone(family: str) -> None:
    case = GRAND[1]
    model, x = randomise(build(family, case), seed=4).double(), some(case, 6)
    order, states = draw_orders(model.lattice, 6, "random", Stream(0)), conditions(case, 6)
    before = weigh.logits(model, x, Plan(order), states)
    for step in range(0, x.shape[1], 3):
        later = torch.where(order.argsort(1) >= step, 1 - x, x)
        torch.testing.assert_close(weigh.logits(model, later, Plan(order), states)[:, : step + 1], before[:, : step + 1])


@pytest.mark.parametrize("family", [*FAMILIES, "any-order-transformer"])
def test_the_first_steps_alone_are_the_first_steps_of_all(family: str) -> None:
    case = CASES[2]
    options = {"width": 16, "heads": 2, "layers": 1} if "transformer" in family else {"width": 16}
    model = randomise(build_model(family, case.hamiltonian, options), seed=5).double()
    x, order = some(case, 3), torch.arange(model.lattice.n_sites).repeat(3, 1)
    every = weigh.logits(model, x, Plan(order), conditions(case, 3))
    torch.testing.assert_close(weigh.logits(model, x, Plan(order), conditions(case, 3), 4), every[:, :4])


def test_a_fixed_order_model_refuses_other_orders_and_scattered_known_sites() -> None:
    case = GRAND[0]
    model, n = build("fixed-order-mlp", case), case.hamiltonian.lattice.n_sites
    known = torch.full((n,), -1)
    with pytest.raises(arl.InputError, match=r"order = 'random': .* draws in these orders: raster"):
        model.sample(2, case.state, order="random")
    with pytest.raises(arl.InputError, match="as they are numbered"):
        model.sample(2, case.state, order=torch.arange(n).flip(0))
    known[n - 1] = 0
    with pytest.raises(arl.InputError, match="only the first sites can be given"):
        model.inpaint(known, 2, case.state)
    with pytest.raises(arl.InputError, match="only the first sites can be given"):
        model.log_marginal(known[None], case.state)
    known = torch.full((n,), -1)
    known[0] = 1
    assert bool((model.inpaint(known, 3, case.state).occupations[:, 0] == 1).all())


def test_the_default_order_is_the_first_of_the_family() -> None:
    case = GRAND[0]
    assert build("fixed-order-mlp", case).sample(2, case.state).metadata["order_kind"] == "raster"
    assert build("any-order-mlp", case).sample(2, case.state).metadata["order_kind"] == "coarse-to-fine"


def test_the_marginal_of_nothing_is_one_and_of_everything_the_log_prob() -> None:
    case = GRAND[2]
    model, x = randomise(build("any-order-mlp", case), seed=6).double(), some(case, 4)
    nothing = model.log_marginal(torch.full_like(x, -1), case.state)
    order = torch.arange(x.shape[1])
    assert torch.equal(nothing, torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(model.log_marginal(x, case.state, order=order), model.log_prob(x, case.state, order))


@pytest.mark.parametrize("case", [case for case in CASES if case not in GRAND], ids=str)
@pytest.mark.parametrize("family", ("any-order-transformer", *FAMILIES[1:]))
def test_at_fixed_composition_the_marginal_of_what_cannot_be_is_minus_infinity(family: str, case: Case) -> None:
    """Whole configurations of another composition, and partial ones that already hold too many of a species."""
    model, x = randomise(build(family, case), seed=6).double(), some(case, 40)
    counts = torch.tensor(case.state.counts(model.lattice))
    meant = torch.nn.functional.one_hot(x, model.lattice.n_species).sum(1)
    assert torch.equal(model.log_marginal(x, case.state).isfinite(), (meant == counts).all(1))
    partial = x.clone()
    partial[:, 0] = -1
    assert bool((model.log_marginal(partial, case.state)[(meant > counts + 1).any(1)] == -torch.inf).all())


@pytest.mark.parametrize("family", ("any-order-transformer", *FAMILIES[1:]))
def test_a_site_is_redrawn_from_its_conditional_given_all_others(family: str) -> None:
    """One site of one configuration from 2,000 equally spaced numbers: shares within 1/2,000 of the conditional; the rest stays."""
    case, n, site = GRAND[2], 2000, 3
    model = randomise(build(family, case), seed=8).double()
    x, states = some(case, 1).expand(n, -1), conditions(case, n)
    noise = (torch.arange(n, dtype=torch.float64)[None] + 0.5) / n
    with torch.no_grad():
        drawn = model.redraw(x, torch.full((n, 1), site), noise, states)
        expected = weigh.next_logits(model, x[:1].scatter(1, torch.tensor([[site]]), -1), torch.tensor([site]), states[:1]).softmax(-1)[0]
    shares = torch.bincount(drawn[:, site], minlength=model.lattice.n_species) / n
    torch.testing.assert_close(shares.double(), expected, rtol=0, atol=1 / n)
    assert torch.equal(drawn.index_fill(1, torch.tensor([site]), 0), x.index_fill(1, torch.tensor([site]), 0))


def test_a_fixed_order_model_refuses_block_gibbs() -> None:
    case = GRAND[0]
    with pytest.raises(arl.InputError, match="block Gibbs needs any order"):
        build("fixed-order-mlp", case).redraw(some(case, 2), torch.zeros(2, 1).long(), torch.zeros(1, 2), conditions(case, 2))
