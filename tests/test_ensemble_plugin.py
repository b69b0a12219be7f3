"""An ensemble that arlattice has never seen, in one plugin file: states without a net charge, with a Monte Carlo move of their own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble
from arlattice.hooks import Manager, using
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.montecarlo import sample_chains
from arlattice.montecarlo.moves import choose_move, make_sweep
from arlattice.montecarlo.start import random_occupations
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import FrequencyTest, check_model, randomise, small_cases
from arlattice.thermo.exact import Enumeration, enumerate_configurations

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.LowEssWarning")  # few samples of models that are not trained

PLUGIN = Path(__file__).parent / "plugins" / "charge_neutral.py"
CHARGES = {"Na": 1, "Cl": -1, "O": -2}
HAMILTONIAN = next(case.hamiltonian for case in small_cases() if case.name == "two sublattices, vacancies")  # (Na, X) and (Cl, O, X)
OPTIONS = {"any-order-transformer": {"width": 16, "heads": 2, "layers": 1}, "any-order-mlp": {"width": 16, "layers": 1}}
FAMILIES = list(OPTIONS)
TRAINING = {
    "steps": 8,
    "batch_size": 16,
    "replica_copies": 16,
    "equilibration_sweeps": 2,
    "reverse_states": 2,
    "reverse_samples": 8,
}


@pytest.fixture(autouse=True)
def plugin() -> Iterator[Manager]:
    """The plugin, loaded as a user does; its one file is all that knows the ensemble."""
    with using(Manager([str(PLUGIN)])) as manager:
        yield manager


def neutral(temperature: float = 1.5, **more: Any) -> Ensemble:
    fields = {"temperature": temperature, "charges": CHARGES, "chemical_potentials": {"Cl": 0.2}}
    return Ensemble.from_dict({"ensemble": "charge-neutral", **fields, **more})


def every() -> Tensor:
    return torch.cat(list(enumerate_configurations(HAMILTONIAN.lattice)))


def net_charge(x: Tensor) -> Tensor:
    return torch.tensor([CHARGES.get(s, 0) for s in HAMILTONIAN.lattice.species])[x].sum(-1)


def model_of(family: str) -> Model:
    return randomise(build_model(family, HAMILTONIAN, OPTIONS[family]), seed=3).double()


def row_of(x: Tensor) -> Tensor:
    """Row of each configuration in the enumeration."""
    place = HAMILTONIAN.lattice.n_species ** torch.arange(x.shape[1])
    numbers, rows = (every() * place).sum(1).sort()
    return rows[torch.searchsorted(numbers, (x * place).sum(1))]


# -- what the state forbids ----------------------------------------------------------------------


def test_completions_are_those_that_an_enumeration_finds() -> None:
    """All partial configurations of four known sites, against all 1,296 configurations."""
    lattice, state = HAMILTONIAN.lattice, neutral()
    whole = every()[net_charge(every()) == 0]
    for known in itertools.islice(itertools.combinations(range(lattice.n_sites), 4), 0, None, 7):
        partial = torch.full_like(every(), -1)
        partial[:, known] = every()[:, known]
        partial = partial.unique(dim=0)
        found = (partial[:, None, known] == whole[None][..., known]).all(-1).any(1)
        assert torch.equal(state.allows(lattice, partial), found)
        assert 0 < found.sum() < len(found)


def test_log_z_is_the_sum_over_neutral_configurations() -> None:
    """And others have f = 0."""
    exact, state = Enumeration.of(HAMILTONIAN), neutral()
    free = exact.log_f(arl.SemiGrandCanonical(1.5, {"Cl": 0.2}))
    is_neutral = net_charge(every()) == 0
    assert exact.log_z(state) == pytest.approx(float(free[is_neutral].logsumexp(0)), abs=1e-12)
    assert torch.equal(exact.log_f(state) > -torch.inf, is_neutral)


def test_random_starts_are_neutral() -> None:
    conditions = Conditions.from_states([neutral()], HAMILTONIAN).expand(200)
    x = random_occupations(HAMILTONIAN.lattice, conditions, Stream(0))
    assert not net_charge(x).any() and len(x.unique(dim=0)) > 50


def test_charges_that_cannot_cancel_are_refused() -> None:
    """Models, Monte Carlo and training alike: no configuration without vacancies on both sublattices is neutral."""
    state = neutral(charges={"Na": 1, "X": 1, "Cl": 1, "O": 2})
    for use in (model_of("any-order-mlp").sample, lambda n, state: sample_chains(HAMILTONIAN, state)):
        with pytest.raises(arl.InputError, match="no configuration of the lattice meets it"):
            use(5, state)
    with pytest.raises(arl.InputError, match="no configuration of the lattice meets it"):
        arl.train(HAMILTONIAN, state, training=TRAINING, progress=False)


# -- the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["raster", "random", "coarse-to-fine", "levels", "blocks"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_normalised_distribution_over_neutral_configurations(family: str, plan: str) -> None:
    """Enumerated to 1e-10; chi-square of 3,000 samples, false alarms 1e-6."""
    model, state, x = model_of(family), neutral(), every()
    chosen: str | Plan = Plan(torch.tensor([[5, 0, 7, 2, 1, 4, 3, 6]]), (3, 1, 4)) if plan == "blocks" else plan
    one = model.resolve_plan(1, chosen, Stream(5))
    log_q = model.log_prob(x, state, plan=Plan(one.order.expand(len(x), -1), one.sizes))
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    assert torch.equal(log_q > -torch.inf, net_charge(x) == 0)
    samples = model.sample(3000, state, plan=Plan(one.order.expand(3000, -1), one.sizes), seed=1)
    rows = row_of(samples.occupations)
    torch.testing.assert_close(samples.log_prob, log_q[rows], rtol=0, atol=1e-9)
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(torch.bincount(rows, minlength=len(x)))


@pytest.mark.parametrize("family", ["any-order-transformer", "marginal-transformer", "any-order-mlp", "marginal-mlp", "fixed-order-mlp"])
def test_the_shipped_check_accepts_every_family(family: str) -> None:
    """`check_model`: sums, conditionals, marginals, inpainting, seeds; false alarms 1e-6."""
    options = OPTIONS["any-order-transformer" if "transformer" in family else "any-order-mlp"]
    check_model(randomise(build_model(family, HAMILTONIAN, options), seed=4), [neutral(), neutral(0.8, chemical_potentials={})])


@pytest.mark.parametrize("plan", [None, "levels"])
def test_inpainting_keeps_what_is_known_and_is_neutral(plan: str | None) -> None:
    """Chi-square over the completions, n = 3,000, false alarms 1e-6."""
    model, state, x = model_of("any-order-transformer"), neutral(), every()
    known = torch.tensor([-1, int(x[-1, 1]), -1, -1, -1, int(x[0, 5]), -1, -1])
    samples = model.inpaint(known, 3000, state, plan=plan, seed=2)
    given = known >= 0
    assert (samples.occupations[:, given] == known[given]).all() and not net_charge(samples.occupations).any()
    again = model.log_prob(samples.occupations, state, plan=samples.plan, known=known)
    torch.testing.assert_close(samples.log_prob, again, rtol=0, atol=1e-9)
    first = model.resolve_plan(1, plan, Stream(6), known[None])
    one = Plan(first.order.expand(len(x), -1), first.sizes)
    log_q = model.log_prob(x, state, plan=one, known=known)
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    drawn = model.inpaint(known, 3000, state, plan=Plan(first.order.expand(3000, -1), first.sizes), seed=3)
    counts = torch.bincount(row_of(drawn.occupations), minlength=len(x))
    FrequencyTest(log_q.exp(), false_alarm=1e-6).check(counts)


def test_what_is_known_and_cannot_be_neutral_is_refused() -> None:
    """Four Na, and one site left for what would have to balance them."""
    lattice = HAMILTONIAN.lattice
    sodium, vacancy = lattice.species.index("Na"), lattice.species.index("X")
    known = torch.where(lattice.allowed[:, sodium], sodium, vacancy)
    known[(known == vacancy).nonzero()[0]] = -1
    with pytest.raises(arl.InputError, match="cannot be completed: the sites that remain cannot make what ChargeNeutral"):
        model_of("any-order-mlp").inpaint(known, 5, neutral())


def test_reweighted_log_z_is_the_enumerated_one() -> None:
    """Within five standard errors of 20,000 samples: fails for nothing in less than 1 of 10^6 seeds."""
    samples = model_of("any-order-transformer").sample(20_000, neutral(), seed=7)
    estimate, exact = samples.log_z(), Enumeration.of(HAMILTONIAN).log_z(neutral())
    assert estimate.error < 0.1
    assert abs(estimate.value - exact) < 5 * estimate.error


# -- Monte Carlo -----------------------------------------------------------------------------------


def test_its_move_is_the_default_and_others_are_refused_with_the_cure() -> None:
    assert choose_move(None, type(neutral())) == "neutral-pairs"
    with pytest.raises(arl.InputError, match=r"move = 'swap': for a ChargeNeutral state give one of neutral-pairs"):
        sample_chains(HAMILTONIAN, neutral(), move="swap")


def test_its_move_keeps_the_boltzmann_distribution() -> None:
    """One sweep from exact samples: chi-square over neutral configurations, n = 20,000, false alarms 1e-6."""
    exact, state = Enumeration.of(HAMILTONIAN), neutral()
    log_p = exact.log_f(state).log_softmax(0)
    start = torch.multinomial(log_p.exp(), 20_000, True, generator=torch.Generator().manual_seed(0))
    sweep = make_sweep(None, type(state), HAMILTONIAN)
    conditions = Conditions.from_states([state], HAMILTONIAN).expand(len(start))
    x = sweep(every()[start], conditions, Stream(1))
    assert (x != every()[start]).any(1).double().mean() > 0.5
    FrequencyTest(log_p.exp(), false_alarm=1e-6).check(torch.bincount(row_of(x), minlength=len(log_p)))


def test_chains_forget_where_they_start() -> None:
    """2,000 chains from random starts, 60 sweeps: chi-square over neutral configurations, false alarms 1e-6."""
    samples = sample_chains(HAMILTONIAN, neutral(), chains=2000, sweeps=1, burn_in=60, thin=1, seed=3)
    assert samples.metadata["sampler"] == "monte-carlo/neutral-pairs"
    p = Enumeration.of(HAMILTONIAN).log_f(neutral()).softmax(0)
    FrequencyTest(p, false_alarm=1e-6).check(torch.bincount(row_of(samples.occupations), minlength=len(p)))


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["reverse", "forward", "hybrid", "log-variance", "balanced", "self-consistency", "mam"])
def test_every_objective_trains_on_it(objective: str, tmp_path: Path) -> None:
    """Replay runs the plugin's move; the run folder and the resumed run know the states."""
    family = "marginal-mlp" if objective in ("mam", "self-consistency") else "any-order-transformer"
    options = OPTIONS["any-order-mlp" if family == "marginal-mlp" else family]
    states, training = [neutral(1.0), neutral(1.5), neutral(2.5)], TRAINING | {"objective": objective}
    trained = arl.train(HAMILTONIAN, states, model=family, model_options=options, training=training, folder=tmp_path, progress=False)
    samples = trained.sample(200, neutral(), seed=0)
    assert not net_charge(samples.occupations).any()
    assert math.isfinite(samples.log_z().value)


def test_training_brings_the_model_to_the_distribution() -> None:
    """ESS after 150 steps is above that of the start, and log Z is the enumerated one within five errors."""
    training = TRAINING | {"steps": 150, "batch_size": 64, "learning_rate": 3e-3, "seed": 1}
    trained = arl.train(
        HAMILTONIAN, neutral(), model="any-order-mlp", model_options={"width": 64, "layers": 1}, training=training, progress=False
    )
    before = build_model("any-order-mlp", HAMILTONIAN, {"width": 64, "layers": 1}).sample(2000, neutral(), seed=1).ess
    samples = trained.sample(2000, neutral(), seed=1)
    assert samples.ess > max(before, 0.8)
    assert abs(samples.log_z().value - Enumeration.of(HAMILTONIAN).log_z(neutral())) < 5 * samples.log_z().error


def test_a_run_file_trains_it(tmp_path: Path) -> None:
    """A box of temperatures and chemical potentials with the charges as a setting; the record and the range say the ensemble."""
    box: dict[str, Any] = {"temperature": (1.0, 2.5), "chemical_potentials": {"Na": (-0.2, 0.2)}}
    states = arl.StateRange(**box, ensemble="charge-neutral", settings={"charges": CHARGES})
    options, training = OPTIONS["any-order-transformer"], TRAINING | {"objective": "hybrid"}
    trained = arl.train(HAMILTONIAN, states, model_options=options, training=training, folder=tmp_path, progress=False)
    assert trained.trained_range is not None and trained.trained_range.ensemble == "charge-neutral"
    assert not net_charge(trained.sample(200, states.corners()[0], seed=0).occupations).any()
    with pytest.warns(arl.OutOfRangeWarning, match="a state that is not charge-neutral is not in"):
        trained.sample(200, arl.SemiGrandCanonical(1.5), seed=0).log_z()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"ensemble": "charge-neutrl"}, "ensemble = 'charge-neutrl': not registered by any plugin; did you mean 'charge-neutral'"),
        ({"settings": {"charges": {}}}, "settings = .*: belong to an ensemble"),
        ({"ensemble": "charge-neutral", "compositions": [{"Na": 1}]}, "ensemble = 'charge-neutral': compositions are of the canonical"),
        ({"ensemble": "charge-neutral", "settings": {"charge": {}}}, "takes temperature, charges"),
    ],
)
def test_a_run_file_that_names_no_states_is_told(more: dict[str, Any], line: str) -> None:
    with pytest.raises(arl.InputError, match=line):
        arl.StateRange(temperature=1.0, **more).corners()


class Broken(arl.SemiGrandCanonical):
    """Cannot be made."""

    name = "broken"

    def __init__(self, temperature: float) -> None:
        raise ValueError("no states today")


def test_an_ensemble_that_cannot_be_made_is_told_by_the_name_of_its_plugin(plugin: Manager) -> None:
    plugin.ensembles.register("broken", Broken, plugin="p")
    with pytest.raises(arl.InputError, match="ensemble = 'broken': plugin 'p' cannot make a state: ValueError: no states today"):
        Ensemble.from_dict({"ensemble": "broken", "temperature": 2.0})
    plugin.ensembles.register("other", Broken, plugin="p")
    with pytest.raises(
        arl.InputError, match=r"ensemble = 'other': plugin 'p' registered .* no subclass of arlattice.Ensemble of that name"
    ):
        Ensemble.from_dict({"ensemble": "other", "temperature": 2.0})


# -- files and the command line --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["extxyz", "nc", "db"])
def test_files_keep_the_state(tmp_path: Path, suffix: str) -> None:
    samples = model_of("any-order-mlp").sample(20, neutral(), plan="levels", seed=0)
    samples.write(tmp_path / f"out.{suffix}")
    again = arl.SampleSet.read(tmp_path / f"out.{suffix}")
    assert again.state == samples.state and torch.equal(again.occupations, samples.occupations)
    assert torch.equal(again.log_prob, samples.log_prob) and again.block_sizes == samples.block_sizes


def test_structures_carry_the_facts_of_the_state(tmp_path: Path) -> None:
    model_of("any-order-mlp").sample(3, neutral(), seed=0).write(tmp_path / "out.extxyz")
    facts = ase.io.read(tmp_path / "out.extxyz", 0).info
    assert facts["ensemble"] == "charge-neutral"
    assert {s: facts[f"charge_{s}"] for s in CHARGES} == CHARGES


def test_a_file_of_the_ensemble_needs_the_plugin(tmp_path: Path) -> None:
    model_of("any-order-mlp").sample(3, neutral(), seed=0).write(tmp_path / "out.extxyz")
    with using(Manager()), pytest.raises(arl.InputError, match="charge-neutral"):
        arl.SampleSet.read(tmp_path / "out.extxyz")


def test_the_command_line_samples_it(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    """As a stranger does: load the plugin, name the ensemble, give its arguments."""
    model_of("any-order-transformer").float().save(tmp_path / "model")
    state = ["--ensemble", "charge-neutral", "--state", "charges={Na=1, Cl=-1, O=-2}", "--mu", "Cl=0.2"]
    common = [tmp_path / "model", "-n", 50, "--temperature", 1.5, "--quiet", "--seed", 1]
    ran = run_cli("-p", PLUGIN, "sample", *common, *state, "-o", tmp_path / "out.extxyz")
    assert (ran.code, ran.err) == (0, "")
    samples = arl.SampleSet.read(tmp_path / "out.extxyz")
    assert samples.state == neutral() and not net_charge(samples.occupations).any()
    assert run_cli("-p", PLUGIN, "export", tmp_path / "out.extxyz", tmp_path / "out.nc").code == 0
    assert arl.SampleSet.read(tmp_path / "out.nc").state == samples.state
    listed = run_cli("-p", PLUGIN, "plugins").out
    assert "charge-neutral" in listed and "neutral-pairs" in listed
    wrong = run_cli("-p", PLUGIN, "sample", *common, "--ensemble", "charge-neutral", "--state", "chrges={Na=1}")
    assert wrong.code == 2 and "charges" in wrong.err and len(wrong.err.splitlines()) == 1
    twice = run_cli("-p", PLUGIN, "sample", *common, "--ensemble", "charge-neutral", "--state", "temperature=3")
    assert twice.code == 2 and "--state = 'temperature=3': give --temperature" in twice.err
