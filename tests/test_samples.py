"""`SampleSet` against enumeration: weights, log Z, averages and their error bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from arlattice.ensemble import Canonical, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.hamiltonians import FunctionHamiltonian
from arlattice.lattice import Lattice
from arlattice.samples import SampleSet
from arlattice.simple_lattices import square

pytestmark = pytest.mark.filterwarnings(
    "ignore::arlattice.LowEssWarning"
)  # few samples on purpose; tests/test_reliability.py has the warnings

LATTICE = square(4)
STATE = SemiGrandCanonical(10.0, {"up": 0.5})
P_UP = 0.55


def ising_energy(occupations: Tensor) -> Tensor:
    spins = (2 * occupations - 1).double().view(-1, 4, 4)
    return -(spins * (spins.roll(1, 1) + spins.roll(1, 2))).sum((1, 2))


ISING = FunctionHamiltonian(LATTICE, ising_energy, units="reduced", name="ising")


@pytest.fixture(scope="module")
def all_states() -> Tensor:
    return torch.tensor(list(itertools.product((0, 1), repeat=16)))


def set_of(occupations: Tensor, log_prob: Tensor | None, state: Ensemble = STATE, known: Tensor | None = None) -> SampleSet:
    return SampleSet(LATTICE, occupations, ising_energy(occupations), state, "reduced", log_prob=log_prob, known=known)


def exact(all_states: Tensor, state: Ensemble, observable: Callable[[SampleSet], Tensor]) -> tuple[float, float]:
    """log Z and the average of an observable by enumeration."""
    everything = set_of(all_states, None, state)
    return float(everything.log_f.logsumexp(0)), float(everything.log_f.softmax(0) @ observable(everything))


def independent_sites(n: int, seed: int, p_up: float = P_UP, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Configurations of independent sites and their exact log-probabilities."""
    occupations = (torch.rand(n, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) < p_up).long()
    drawn = torch.ones(16, dtype=torch.bool)
    if known is not None:
        drawn = known < 0
        occupations = torch.where(drawn, occupations, known)
    terms = torch.tensor([math.log1p(-p_up), math.log(p_up)], dtype=torch.float64)[occupations]
    return occupations, (terms * drawn).sum(1)


# -- exact claims --------------------------------------------------------------------------------


def test_samples_of_the_exact_distribution_have_ess_1_and_log_z_without_error(all_states: Tensor) -> None:
    log_z, _ = exact(all_states, STATE, lambda s: s.energy)
    log_p = set_of(all_states, None).log_f - log_z
    rows = torch.multinomial(log_p.exp(), 500, replacement=True, generator=torch.Generator().manual_seed(0))
    samples = set_of(all_states[rows], log_p[rows])
    assert samples.ess == pytest.approx(1, abs=1e-12)
    assert samples.log_z().value == pytest.approx(log_z, abs=1e-10)
    assert samples.log_z().error < 1e-10
    assert samples.elbo().value == pytest.approx(log_z, abs=1e-10)


def test_every_state_once_with_uniform_probability_gives_the_enumerated_values(all_states: Tensor) -> None:
    samples = set_of(all_states, torch.full((2**16,), -16 * math.log(2), dtype=torch.float64))
    log_z, energy = exact(all_states, STATE, lambda s: s.energy)
    assert samples.log_z().value == pytest.approx(log_z, abs=1e-10)
    assert samples.mean("energy").value == pytest.approx(energy, abs=1e-9)
    assert samples.free_energy().value == pytest.approx(-10.0 * log_z, abs=1e-9)
    assert samples.free_energy().error == pytest.approx(10.0 * samples.log_z().error)
    assert samples.elbo().value < log_z


def test_two_samples_by_hand() -> None:
    occupations = torch.stack([torch.zeros(16), torch.ones(16)]).long()
    samples = set_of(occupations, torch.tensor([-1.0, -2.0]))
    log_f = [32 / 10, (32 + 0.5 * 16) / 10]
    assert samples.log_f.tolist() == pytest.approx(log_f)
    w = [math.exp(log_f[0] + 1), math.exp(log_f[1] + 2)]
    assert samples.log_weight.tolist() == pytest.approx([math.log(v) for v in w])
    assert samples.weights.tolist() == pytest.approx([v / sum(w) for v in w])
    assert samples.ess == pytest.approx((sum(w) / 2) ** 2 / ((w[0] ** 2 + w[1] ** 2) / 2))
    assert samples.log_z().value == pytest.approx(math.log(sum(w) / 2))
    assert samples.log_z().error == pytest.approx(abs(w[0] - w[1]) / 2 / (sum(w) / 2))
    assert samples.mean("x_up").value == pytest.approx(w[1] / sum(w))
    share = [v / sum(w) for v in w]  # sqrt(sum of (share (x - <x>))^2) times sqrt(n / (n - 1))
    assert samples.mean("x_up").error == pytest.approx(math.hypot(share[0] * share[1], share[1] * share[0]) * math.sqrt(2))
    surprise = [samples.log_z().value - f for f in log_f]
    mean = share[0] * surprise[0] + share[1] * surprise[1]
    each = [2 * s * (a - mean) + 2 * s - 1 for s, a in zip(share, surprise, strict=True)]  # of <log f>, and of log Z
    assert samples.entropy() == pytest.approx((mean, math.sqrt((each[0] ** 2 + each[1] ** 2) / 2)))
    assert samples.composition.tolist() == [[1, 0], [0, 1]]
    assert samples.energy_per_site.tolist() == [-2, -2]
    assert samples.energy_minus_mu_n.tolist() == pytest.approx([-32, -40])


def test_weights_survive_log_weights_beyond_the_range_of_floats() -> None:
    samples = set_of(torch.zeros(3, 16).long(), torch.tensor([-5000.0, -5000.0, -5001.0]))
    assert samples.log_z().value == pytest.approx(32 / 10 + 5000 + math.log((2 + math.e) / 3))
    assert samples.weights.tolist() == pytest.approx([1 / (2 + math.e), 1 / (2 + math.e), math.e / (2 + math.e)], rel=1e-12)
    assert 0 < samples.ess < 1 and math.isfinite(samples.log_z().error)
    near = set_of(torch.zeros(2, 16).long(), torch.tensor([-5000.0, -5000.0001], dtype=torch.float64)).weights
    assert float((near[1] / near[0]).log()) == pytest.approx(1e-4, rel=1e-6)  # float32 cannot tell them apart


def test_an_observable_is_a_name_a_tensor_or_a_function() -> None:
    samples = set_of(*independent_sites(100, 0))
    assert samples.mean("energy") == samples.mean(samples.energy) == samples.mean(lambda s: s.energy)
    assert samples.mean("x_up").value == pytest.approx(1 - samples.mean("x_down").value)


def test_a_single_sample_has_an_infinite_error() -> None:
    samples = set_of(*independent_sites(1, 0))
    assert samples.log_z().error == samples.mean("energy").error == samples.elbo().error == math.inf


def test_monte_carlo_samples_weigh_the_same_and_have_no_log_z() -> None:
    occupations, _ = independent_sites(50, 0)
    samples = set_of(occupations, None)
    assert samples.ess == pytest.approx(1) and not samples.log_weight.any()
    assert samples.mean("energy").value == pytest.approx(float(samples.energy.mean()))
    assert samples.mean("energy").error == pytest.approx(float(samples.energy.std()) / math.sqrt(50))
    for estimate in (samples.log_z, samples.free_energy, samples.elbo):
        with pytest.raises(InputError, match="log_prob = None"):
            estimate()


# -- random claims -------------------------------------------------------------------------------


def sigmas(estimate: Estimate, truth: float) -> float:
    return abs(estimate.value - truth) / estimate.error


def test_log_z_and_averages_agree_with_enumeration_within_4_sigma(all_states: Tensor) -> None:
    """n = 20,000, three comparisons: fails for nothing 2 times in 10,000 (seed fixed)."""
    samples = set_of(*independent_sites(20_000, 1))
    log_z, energy = exact(all_states, STATE, lambda s: s.energy)
    _, x_up = exact(all_states, STATE, lambda s: s.composition[:, 1])
    assert sigmas(samples.log_z(), log_z) < 4
    assert sigmas(samples.mean("energy"), energy) < 4
    assert sigmas(samples.mean("x_up"), x_up) < 4
    assert samples.elbo().value < log_z


@pytest.mark.parametrize("wrong", ["shifted", "reversed"])
def test_a_wrong_log_prob_fails_the_same_check(all_states: Tensor, wrong: str) -> None:
    """n = 20,000: the false values lie more than 10 sigma off, so passing for nothing is out of the question."""
    right = set_of(*independent_sites(20_000, 1))
    assert right.log_prob is not None
    turned = 2 * right.log_f - right.log_prob  # weights w become 1 / w
    log_prob = right.log_prob - 0.2 if wrong == "shifted" else turned - turned.max()
    samples = set_of(right.occupations, log_prob)
    log_z, energy = exact(all_states, STATE, lambda s: s.energy)
    assert sigmas(samples.log_z(), log_z) > 10 if wrong == "shifted" else sigmas(samples.mean("energy"), energy) > 10


def test_one_sigma_covers_the_truth_in_about_68_of_100_repeats(all_states: Tensor) -> None:
    """200 repeats of n = 500 at ESS 0.64; 60-76 % is 2.4 sigma of a fair coin of 68 %: 2 in 100 false alarms each (seeds fixed)."""
    log_z, energy = exact(all_states, STATE, lambda s: s.energy)
    hits = torch.zeros(2)
    for seed in range(200):
        samples = set_of(*independent_sites(500, 1000 + seed))
        hits += torch.tensor([sigmas(samples.log_z(), log_z) < 1, sigmas(samples.mean("energy"), energy) < 1])
    assert ((hits / 200 > 0.60) & (hits / 200 < 0.76)).all(), hits / 200


def test_log_z_of_inpainted_samples_sums_over_the_completions(all_states: Tensor) -> None:
    """n = 20,000: fails for nothing 6 times in 100,000 (seed fixed)."""
    known = torch.full((16,), -1)
    known[[0, 3, 5, 10]] = torch.tensor([1, 1, 0, 1])
    fits = ((all_states == known) | (known < 0)).all(1)
    truth = float(set_of(all_states[fits], None).log_f.logsumexp(0))
    samples = set_of(*independent_sites(20_000, 2, known=known), known=known)
    assert sigmas(samples.log_z(), truth) < 4


def test_at_fixed_composition_other_compositions_weigh_nothing(all_states: Tensor) -> None:
    """n = 20,000, two comparisons: fails for nothing 1 time in 10,000 (seed fixed)."""
    state = Canonical(10.0, {"up": 8})
    samples = set_of(*independent_sites(20_000, 3, p_up=0.5), state)
    log_z, energy = exact(all_states, state, lambda s: s.energy)
    assert samples.mean("x_up").value == pytest.approx(0.5, abs=1e-12)
    assert sigmas(samples.log_z(), log_z) < 4
    assert sigmas(samples.mean("energy"), energy) < 4
    assert sigmas(samples.entropy(), log_z + energy / 10.0) < 4
    with pytest.raises(InputError, match="composition of the state"):
        _ = set_of(torch.zeros(2, 16).long(), torch.zeros(2), state).weights


def test_resampled_configurations_follow_the_target_without_weights(all_states: Tensor) -> None:
    """4,000 drawn from 100,000: fails for nothing 6 times in 100,000 (seed fixed)."""
    samples = set_of(*independent_sites(100_000, 4))
    drawn = samples.resample(4000, seed=0)
    again = samples.resample(4000, seed=0)
    _, energy = exact(all_states, STATE, lambda s: s.energy)
    assert len(drawn) == 4000 and drawn.log_prob is None and drawn.metadata["resampled_from"] == 100_000
    assert torch.equal(drawn.occupations, again.occupations)
    assert sigmas(drawn.mean("energy"), energy) < 4
    assert sigmas(set_of(samples.occupations, None).mean("energy"), energy) > 10


# -- sets of sets --------------------------------------------------------------------------------


def test_select_takes_numbers_slices_and_masks() -> None:
    samples = set_of(*independent_sites(10, 0))
    assert torch.equal(samples.select([3, 1]).occupations, samples.occupations[[3, 1]])
    assert torch.equal(samples.select(slice(2, 5)).energy, samples.energy[2:5])
    assert len(samples.select(samples.energy < 0)) == int((samples.energy < 0).sum())
    assert len(samples.select(-1)) == 1
    for wrong in ([10], "a", [True, False]):
        with pytest.raises(InputError, match="indices"):
            samples.select(wrong)


def test_concatenate_joins_in_order_and_keeps_metadata_all_agree_on() -> None:
    occupations, log_prob = independent_sites(10, 0)
    whole = set_of(occupations, log_prob)
    facts = {"hamiltonian_fingerprint": "ab"}
    order = torch.arange(16).repeat(10, 1)
    parts = [
        SampleSet(LATTICE, x, ising_energy(x), STATE, "reduced", log_prob=q, order=o, metadata={**facts, "seed": i})
        for i, (x, q, o) in enumerate(zip(occupations.split(4), log_prob.split(4), order.split(4), strict=True))
    ]
    joined = SampleSet.concatenate(parts)
    assert torch.equal(joined.occupations, occupations) and joined.log_z() == whole.log_z()
    assert joined.order is not None and joined.order.shape == (10, 16)
    assert dict(joined.metadata) == facts


def test_concatenate_refuses_sets_that_do_not_belong_together() -> None:
    occupations, log_prob = independent_sites(4, 0)
    first = set_of(occupations, log_prob)
    others = {
        "state": set_of(occupations, log_prob, SemiGrandCanonical(5.0)),
        "log_prob": set_of(occupations, None),
        "known": set_of(occupations[:1], log_prob[:1], known=occupations[0]),
        "lattice": SampleSet(square((2, 8)), occupations, torch.zeros(4), STATE, "reduced", log_prob=log_prob),
        "units": SampleSet(LATTICE, occupations, torch.zeros(4), STATE, "eV", log_prob=log_prob),
    }
    for name, other in others.items():
        with pytest.raises(InputError, match=f"{name} differs"):
            SampleSet.concatenate([first, other])
    with pytest.raises(InputError, match="at least one"):
        SampleSet.concatenate([])


# -- construction --------------------------------------------------------------------------------

GOOD = {
    "lattice": LATTICE,
    "occupations": torch.zeros(2, 16, dtype=torch.long),
    "energy": torch.zeros(2),
    "state": STATE,
    "units": "reduced",
}


@pytest.mark.parametrize("species", [0, 1])
def test_samples_must_hold_what_is_known(species: int) -> None:
    known = torch.full((16,), -1)
    known[3] = species
    with pytest.raises(InputError, match="must hold the known species"):
        SampleSet(**{**GOOD, "occupations": torch.full((2, 16), 1 - species), "known": known})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("occupations", torch.zeros(2, 15, dtype=torch.long), "16 sites"),
        ("occupations", torch.zeros(0, 16, dtype=torch.long), "at least one"),
        ("occupations", torch.zeros(2, 16), "integer species"),
        ("occupations", torch.full((2, 16), 2), "species indices run"),
        ("occupations", torch.full((2, 16), -1), "species indices run"),
        ("energy", torch.zeros(3), r"shape \(2,\)"),
        ("energy", torch.tensor([0.0, math.nan]), "finite"),
        ("state", SemiGrandCanonical(1.0, {"Au": 1.0}), "species of this lattice"),
        ("state", Canonical(1.0, {"up": 17}), "add up"),
        ("units", "meV", "one of eV"),
        ("log_prob", torch.zeros(1), r"shape \(2,\)"),
        ("log_prob", torch.tensor([-1.0, 0.5]), "at most 0"),
        ("log_prob", torch.tensor([-1.0, -math.inf]), "finite"),
        ("order", torch.zeros(2, 16).long(), "permutation"),
        ("order", torch.arange(1, 17).expand(2, 16), "permutation"),
        ("order", torch.arange(-1, 15).expand(2, 16), "permutation"),
        ("order", torch.arange(16), "permutation"),
        ("known", torch.full((15,), -1), "one occupation per site"),
        ("known", torch.ones(16).long(), "must hold the known species"),
        ("metadata", {"a b": 1}, "plain identifiers"),
        ("metadata", {"a": [1]}, "line of text"),
        ("metadata", {"a": None}, "line of text"),
        ("metadata", {"a": "two\nlines"}, "line of text"),
        ("metadata", {"a": math.nan}, "finite"),
        ("metadata", {"a": 2**64}, "64-bit"),
    ],
)
def test_bad_input_is_named_in_one_line(argument: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        SampleSet(**{**GOOD, argument: value})  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("observable", ["x_Au", "entropy", torch.zeros(3), lambda s: s.composition])
def test_bad_observables_are_refused(observable: object) -> None:
    with pytest.raises(InputError, match="observable"):
        SampleSet(**GOOD).mean(observable)  # type: ignore[arg-type]


def test_the_fraction_of_vacancies_is_over_all_sites() -> None:
    from ase.build import bulk

    lattice = Lattice.from_ase(bulk("NaCl", "rocksalt", 5.6), [["Na", "X"], ["Cl"]], (2, 1, 1))
    samples = SampleSet(lattice, torch.tensor([[1, 2, 0, 2]]), torch.zeros(1), SemiGrandCanonical(300.0), "eV")
    assert samples.mean("x_X").value == 0.25 and samples.mean("x_Cl").value == 0.5


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.5432, 0.0042, "12.543(4)"),
        (12.0, 0.0096, "12.000(10)"),
        (123.4, 23.0, "123(23)"),
        (-5.0, 0.5, "-5.0(5)"),
        (1.0, 0.0, "1(0)"),
        (1.0, math.inf, "1 +- inf"),
        (1.0, 1e-15, "1 +- 1e-15"),
    ],
)
def test_estimates_print_the_error_in_units_of_the_last_digit(value: float, error: float, text: str) -> None:
    assert str(Estimate(value, error)) == f"{Estimate(value, error)}" == text


def test_estimates_take_a_format() -> None:
    assert f"{Estimate(12.5432, 0.0042):.3f}" == "12.543 +- 0.004"
