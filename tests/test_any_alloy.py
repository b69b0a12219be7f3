"""One set of weights for any alloy: what it reads of a Hamiltonian, that it is normalised on each, and that it learns."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.cli.hamiltonian_file import read_hamiltonian
from arlattice.conditions import Conditions
from arlattice.ensemble import boltzmann_constant
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.checkpoint import read_record
from arlattice.models.prior import ExpansionPrior
from arlattice.models.probes import Probes, probe_configurations
from arlattice.samples import OUT_OF_RANGE
from arlattice.simple_lattices import bcc, fcc
from arlattice.testing import check_model, randomise, small_cases
from arlattice.thermo.exact import Enumeration
from arlattice.training.config import RunConfig
from arlattice.training.health import TrainingWarning
from arlattice.training.train import explanation, run

TINY: dict[str, Any] = {"width": 16, "heads": 2, "layers": 1, "reads": "probes"}
FAMILY: dict[str, Any] = {"supercell": [2, 2, 1], "members": 4, "reach": {"2": 1.01, "3": 1.01}}
PRIOR = ExpansionPrior(**FAMILY)
EIGHT = ExpansionPrior(supercell=2, members=16, reach={"2": 1.01, "3": 1.01})
RANGE = arl.StateRange(temperature=(1.5, 6.0))
BRIEF: dict[str, Any] = {
    "seed": 0,
    "objective": "balanced",
    "steps": 4,
    "batch_size": 8,
    "replay_group": 4,
    "equilibration_sweeps": 2,
    "replica_temperatures": 2,
    "replica_copies": 16,
    "evaluate_every": 2,
    "evaluate_samples": 8,
    "checkpoint_every": 2,
}
STATE = arl.SemiGrandCanonical(2.0, {"B": 0.3})


# -- what is read ------------------------------------------------------------------------------------


def alloy(lattice: arl.Lattice, *, pair: float = 0.4, field: float = 0.0, constant: float = 0.0, units: str = "reduced") -> Any:
    """Pairs of one direction and triplets, one more site energy for the second species."""
    spin = np.array([-1.0, 1.0])
    places = [((0, 0, 0), 0), ((1, 0, 0), 0), ((0, 1, 0), 0)]
    both = np.multiply.outer(spin, spin)
    terms: list[Any] = [(places[:2], pair * both), (places, 0.2 * np.multiply.outer(both, spin)), (places[:1], np.array([0.0, field]))]
    return arl.ClusterHamiltonian.from_cell(lattice, terms, constant, units=units)


def written_out(h: arl.ClusterHamiltonian, lattice: arl.Lattice | None = None) -> arl.ClusterHamiltonian:
    """The same from all clusters of the supercell, also on another lattice."""
    tensors, description = h.to_tensors()
    terms: list[Any] = []
    for k in {key.split(".")[1] for key in tensors}:
        sites, table, energies = (tensors[f"clusters.{k}.{part}"] for part in ("sites", "table", "energies"))
        terms += [(s, energies[t].numpy()) for s, t in zip(sites.tolist(), table.tolist(), strict=True)]
    return arl.ClusterHamiltonian.from_terms(lattice or h.lattice, terms, description["constant"], units=h.units)


class BlackBox(arl.Hamiltonian):
    """Energies alone."""

    def __init__(self, h: arl.Hamiltonian) -> None:
        super().__init__(h.lattice, units=h.units, name="black box")
        self._h = h

    def energy(self, occupations: Tensor) -> Tensor:
        return self._h.energy(occupations)


def log_f(h: arl.Hamiltonian, state: arl.Ensemble) -> Tensor:
    return Probes(h).log_f(Conditions.from_states([state], h))[0]


def test_log_f_of_probes_is_minus_beta_e_with_mu_less_the_mean() -> None:
    h = alloy(fcc((2, 2, 1), ("A", "B")))
    x = probe_configurations(h.lattice)
    by_hand = -(h.energy(x) - 0.3 * (x == 1).double().sum(1)) / 2.0
    assert torch.allclose(log_f(h, STATE), by_hand - by_hand.mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("supercell", [(2, 2, 1), (3, 2, 2)])
def test_probes_read_the_alloy_and_not_how_it_is_written(supercell: Any) -> None:
    """Zero of energy, zero of mu (0.7 a B atom), eV and kelvin, clusters or a black box: the same; other couplings: other numbers."""
    lattice = fcc(supercell, ("A", "B"))
    expected = log_f(alloy(lattice), STATE)
    kelvin = 1 / boltzmann_constant("eV")
    same = {
        "zero of energy": log_f(alloy(lattice, constant=37.0), STATE),
        "zero of mu": log_f(alloy(lattice, field=0.7), arl.SemiGrandCanonical(2.0, {"B": 1.0})),
        "both mu": log_f(alloy(lattice), arl.SemiGrandCanonical(2.0, {"A": 5.0, "B": 5.3})),
        "units": log_f(alloy(lattice, units="eV"), arl.SemiGrandCanonical(2.0 * kelvin, {"B": 0.3})),
        "all clusters": log_f(written_out(alloy(lattice)), STATE),
        "black box": log_f(BlackBox(alloy(lattice)), STATE),
        "other precision": log_f(alloy(lattice).to(dtype=torch.float32), STATE),
    }
    for name, found in same.items():
        assert float((found - expected).abs().max()) < 1e-11, name
    for other in (alloy(lattice, pair=0.41), alloy(lattice, field=0.01)):
        assert float((log_f(other, STATE) - expected).abs().max()) > 1e-3


def test_probes_of_a_family_are_those_of_its_members() -> None:
    family, rows = PRIOR.family(), torch.tensor([2, 0, 3, 3])
    states = [arl.SemiGrandCanonical(t, {"B": 0.1}) for t in (1.0, 2.0, 3.0, 4.0)]
    found = Probes(family).log_f(replace(Conditions.from_states(states, family), member=rows))
    expected = torch.stack([log_f(family.one(m), state) for m, state in zip(rows.tolist(), states, strict=True)])
    assert torch.allclose(found, expected, rtol=0, atol=1e-11)


def test_probes_hold_species_that_their_sites_may_hold() -> None:
    """Two sublattices of different species; the first probes are one for every species, on all sites that may hold it."""
    lattice = next(case for case in small_cases() if case.name == "two sublattices, vacancies").hamiltonian.lattice
    x, allowed = probe_configurations(lattice), lattice.allowed
    assert bool(allowed[torch.arange(lattice.n_sites), x].all())
    assert all(bool((x[s] == s)[allowed[:, s]].all()) for s in range(lattice.n_species))
    assert len(torch.unique(x[lattice.n_species :], dim=0)) > 50
    assert bool(((x[:, :, None] == torch.arange(lattice.n_species)).any(0) == allowed).all())


def test_probes_are_version_1() -> None:
    """Other probes would break all saved weights: they need a version of their own."""
    vacancies = next(case for case in small_cases() if case.name == "two sublattices, vacancies").hamiltonian.lattice
    lattices = [fcc((2, 2, 1), ("A", "B")), fcc(4, ("A", "B")), bcc(3, ("A", "B", "C")), vacancies]
    found = [hashlib.sha256(probe_configurations(lattice).numpy().tobytes()).hexdigest()[:12] for lattice in lattices]
    assert found == ["7082efe4f4f6", "1a4611dd77cf", "060f21b35546", "2c8e58ac9884"]


# -- one model on many alloys ------------------------------------------------------------------------


def model_of(prior: ExpansionPrior, seed: int = 1) -> tuple[Model, arl.ClusterFamily]:
    """With random weights and the scaling of states of a run."""
    family = prior.family()
    model = randomise(build_model("any-order-transformer", family, TINY), seed=seed)
    rows = torch.arange(len(family)).repeat(2)
    states = Conditions.from_states([arl.SemiGrandCanonical(1.5 + 0.5 * (k % 7)) for k in range(len(rows))], family)
    model.set_state_range(replace(states, member=rows))
    return model.eval(), family


@torch.no_grad()
def of_member(model: Model, x: Tensor, state: arl.Ensemble, member: int, order: Tensor) -> Tensor:
    conditions = Conditions.from_states([state] * len(x), model.hamiltonian).to(dtype=model.state_mean.dtype)
    return model(x, order.expand(len(x), -1), replace(conditions, member=torch.full((len(x),), member))).double().sum(1)


def turned(lattice: arl.Lattice) -> arl.Lattice:
    """Of copper and gold, 3.8 times as large, in a frame turned about two axes."""
    a, b = 0.7, 1.9
    one = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    other = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    return arl.Lattice(3.8 * lattice.cell @ one @ other, lattice.basis, (("Cu", "Au"),), lattice.supercell, ("Cu", "Au"))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
@pytest.mark.parametrize("prior", [PRIOR, EIGHT], ids=["4 sites", "8 sites"])
def test_every_member_has_one_normalised_distribution_wherever_the_model_is(prior: Any, precision: str, tolerance: float) -> None:
    """In the family, on the member alone, on the same alloy of other species, size and direction, and on the black box of it."""
    model, family = model_of(prior)
    model = model.double() if precision == "float64" else model
    x = Enumeration.of(prior.ideal()).occupations.long()
    order = torch.randperm(family.lattice.n_sites, generator=torch.Generator().manual_seed(4))
    found = []
    for member in (0, 1, 3):
        log_q = of_member(model, x, STATE, member, order)
        one = family.one(member)
        copper = written_out(one, turned(one.lattice))
        assert float(log_q.exp().sum()) == pytest.approx(1.0, abs=tolerance)
        assert torch.allclose(model.on(one).log_prob(x, STATE, order), log_q, rtol=0, atol=10 * tolerance)
        state = arl.SemiGrandCanonical(2.0, {"Au": 0.3})
        assert torch.allclose(model.on(copper).log_prob(x, state, order), log_q, rtol=0, atol=10 * tolerance)
        found.append(log_q)
    assert all(float((a - b).abs().max()) > 0.01 for a, b in ((found[0], found[1]), (found[0], found[2]), (found[1], found[2])))


def test_a_model_on_an_alloy_conforms() -> None:
    """Draws what it says, in every order, with given sites, in both ensembles; log-weights of samples are found again."""
    model, family = model_of(EIGHT)
    on_one = model.on(family.one(2))
    check_model(on_one, [STATE, arl.Canonical(2.0, {"B": 3})], n=400)
    samples = on_one.sample(64, STATE, seed=3)
    assert samples.log_prob is not None and samples.order is not None
    again = on_one.log_prob(samples.occupations, STATE, samples.order)
    expected = STATE.log_f(family.lattice, "reduced", family.one(2).energy(samples.occupations), samples.occupations) - again
    assert torch.allclose(samples.log_weight, expected, rtol=0, atol=1e-4)


def test_the_weights_are_shared_and_the_unit_of_energy_does_not_matter() -> None:
    model, family = model_of(PRIOR)
    one = family.one(1)
    tensors, description = one.to_tensors()
    ev = arl.ClusterHamiltonian.from_tensors(tensors, description | {"units": "eV"})
    x, kelvin = Enumeration.of(one).occupations.long(), 1 / boltzmann_constant("eV")
    order = torch.arange(4)
    in_ev = model.on(ev).log_prob(x, arl.SemiGrandCanonical(2.0 * kelvin, {"B": 0.3}), order)
    assert torch.allclose(in_ev, model.on(one).log_prob(x, STATE, order), rtol=0, atol=1e-5)
    assert all(a is b for a, b in zip(model.on(ev).parameters(), model.parameters(), strict=True))


def sites(names: tuple[tuple[str, ...], ...], species: tuple[str, ...]) -> arl.Lattice:
    """Two sites a cell."""
    return arl.Lattice(np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), names, np.diag([2, 1, 1]), species)


LATTICES: dict[str, arl.Lattice] = {
    "another supercell": fcc((2, 2, 2), ("A", "B")),
    "the same sites by another matrix": fcc([[2, 0, 0], [0, 2, 0], [1, 0, 1]], ("A", "B")),
    "bcc": bcc((2, 2, 1), ("A", "B")),
    "a little strained": arl.Lattice(fcc(1).cell * [1, 1, 1.01], np.zeros((1, 3)), (("A", "B"),), np.diag([2, 2, 1]), ("A", "B")),
    "ternary": fcc((2, 2, 1), ("A", "B", "C")),
    "two sites a cell": sites((("A", "B"), ("A", "B")), ("A", "B")),
}


@pytest.mark.parametrize("name", LATTICES)
def test_alloys_on_other_sites_are_refused(name: str) -> None:
    with pytest.raises(arl.InputError, match=r"^hamiltonian = ") as refused:
        model_of(PRIOR)[0].on(arl.ClusterHamiltonian.from_terms(LATTICES[name], [], units="reduced"))
    assert "\n" not in str(refused.value)


def test_every_site_has_to_hold_the_species_that_the_model_has_there() -> None:
    """As many species a site, others of the three."""
    ours, theirs = (sites((("A", "B"), second), ("A", "B", "C")) for second in (("B", "C"), ("A", "C")))
    model = build_model("any-order-transformer", arl.ClusterHamiltonian.from_terms(ours, []), TINY)
    assert model.on(arl.ClusterHamiltonian.from_terms(ours, [((0,), np.arange(3.0))])) is not None
    with pytest.raises(arl.InputError, match="needs sites with 3 species as the model has them"):
        model.on(arl.ClusterHamiltonian.from_terms(theirs, []))


def test_a_model_on_a_whole_family_draws_nothing() -> None:
    with pytest.raises(arl.InputError, match=r"^hamiltonian = .*model\.on\(family\.one\(0\)\)$"):
        model_of(PRIOR)[0].sample(2, STATE)


# -- training ----------------------------------------------------------------------------------------


def train(folder: Path | None = None, prior: Any = PRIOR, *, options: dict[str, Any] = TINY, **keywords: Any) -> Model:
    training = BRIEF | keywords.pop("training", {})
    family = {"model": "any-order-transformer", "model_options": options, "training": training} | keywords
    return arl.train(prior, RANGE, folder=folder, device="cpu", progress=False, **family)


def test_a_run_leaves_a_model_of_the_ideal_alloy_that_samples_any_other(tmp_path: Path) -> None:
    model = train(tmp_path / "run")
    assert model.hamiltonian.fingerprint == PRIOR.ideal().fingerprint and not model.training
    record = read_record(tmp_path / "run")
    assert record["family"] == PRIOR.model_dump(mode="json") | {"states": record["family"]["states"]}
    assert record["family"]["states"]["temperature"] == [1.5, 6.0] and "trained_range" not in record
    plain, h = arl.load(tmp_path / "run"), PRIOR.held_out(2).one(1)
    loaded = arl.load(tmp_path / "run", hamiltonian=h)
    assert plain.fingerprint == loaded.fingerprint == model.fingerprint
    assert plain.hamiltonian.name == "ideal" and loaded.hamiltonian is h and loaded.record == plain.record
    mine, theirs = (m.sample(20, STATE, seed=5) for m in (model.on(h), loaded))
    assert torch.equal(mine.occupations, theirs.occupations) and mine.log_prob is not None and theirs.log_prob is not None
    assert torch.equal(mine.log_prob, theirs.log_prob)
    assert torch.allclose(theirs.energy, h.energy(theirs.occupations))


def test_stopped_and_resumed_it_is_the_same_run(tmp_path: Path, without_clock: Callable[[Path], Any]) -> None:
    whole = train(tmp_path / "whole")
    for resume in (False, True):
        with pytest.warns(TrainingWarning, match="the model is unfinished"):
            train(tmp_path / "parts", resume=resume, time_limit=0)
    assert train(tmp_path / "parts", resume=True).fingerprint == whole.fingerprint
    for name in ("checkpoint.safetensors", "model/model.safetensors"):
        assert without_clock(tmp_path / "parts" / name) == without_clock(tmp_path / "whole" / name)
    with pytest.raises(arl.InputError, match=r"^\[hamiltonian\] = "):
        train(tmp_path / "parts", ExpansionPrior(**FAMILY | {"seed": 1}), resume=True)


def test_a_run_may_start_from_another_and_go_on_with_one_alloy(tmp_path: Path) -> None:
    """The scaling of what is read stays that of the start; on one alloy the range of its states is recorded."""
    first = train(tmp_path / "first")
    again = train(start=tmp_path / "first", training={"seed": 1})
    assert again.record["start"]["fingerprint"] == first.fingerprint != again.fingerprint
    assert torch.equal(again.probe_axes, first.probe_axes) and torch.equal(again.state_mean, first.state_mean)
    h = PRIOR.held_out(1).one(0)
    tuned = train(prior=h, start=tmp_path / "first")
    assert tuned.hamiltonian.fingerprint == h.fingerprint and tuned.outside(arl.SemiGrandCanonical(9.0)) is not None


def test_what_a_run_leaves_open_is_chosen(tmp_path: Path) -> None:
    with pytest.warns(TrainingWarning, match="the model is unfinished"):
        model = arl.train(PRIOR, RANGE, model_options=TINY, time_limit=0, device="cpu", progress=False, folder=tmp_path)
    assert model.record["chosen"] and "report" not in model.record  # no one alloy to report on


@pytest.mark.parametrize("options", [{"width": 16, "heads": 2}, {"width": 16, "heads": 2, "reads": "state"}])
def test_a_model_that_reads_states_alone_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(arl.InputError, match=r'^model = .* with reads = "probes"$'):
        train(options=options)


def test_a_family_without_its_prior_is_refused() -> None:
    with pytest.raises(arl.InputError, match=r"^hamiltonian = .*give an ExpansionPrior"):
        train(prior=PRIOR.family())


RUN_FILE = """
[family]
supercell = [2, 2, 1]
members = 4
reach = {2 = 1.01, 3 = 1.01}
[states]
temperature = [1.5, 6.0]
[model]
name = "any-order-transformer"
width = 16
heads = 2
layers = 1
reads = "probes"
[training]
"""


def run_file(folder: Path, more: str = "") -> Path:
    path = folder / "run.toml"
    training = "\n".join(f"{name} = {value!r}" for name, value in BRIEF.items())
    path.write_text(more + RUN_FILE + training)
    return path


def test_a_run_file_with_a_family_trains_as_train_does(tmp_path: Path) -> None:
    config = RunConfig.from_toml(run_file(tmp_path))
    assert config.family == PRIOR
    assert run(config, tmp_path / "run", device="cpu", progress=False).fingerprint == train().fingerprint
    assert "nothing is chosen" in explanation(config, device="cpu")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[hamiltonian]\nname = "ising"\nsupercell = [2, 2]\n', r"family = 'fcc': give \[hamiltonian\] or \[family\], not both"),
        ("supercells = [{supercell = [2, 2, 2]}]\n", "supercells = 1: a family of alloys is trained on its own supercell alone"),
    ],
)
def test_a_run_file_with_a_family_and_something_else_is_refused(more: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(arl.InputError, match=f"^{told}$"):
        RunConfig.from_toml(run_file(tmp_path, more))


def test_a_run_without_hamiltonian_and_family_or_with_a_file_for_a_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(arl.InputError, match=r"^hamiltonian = \[\]: give at least one table \[hamiltonian\], or a table \[family\]$"):
        run(RunConfig.parse({"states": {"temperature": 2.0}}), tmp_path / "run")
    with pytest.raises(arl.InputError, match=r"^hamiltonian file = "):
        run(RunConfig.from_toml(run_file(tmp_path)), tmp_path / "run", hamiltonian_file=tmp_path / "h.safetensors")


# -- what a trained model knows ------------------------------------------------------------------------

LEARNS: dict[str, Any] = {
    "steps": 150,
    "batch_size": 256,
    "soft_targets": True,
    "equilibration_sweeps": 30,
    "replica_temperatures": 4,
    "replica_copies": 256,
    "learning_rate": 4e-3,
    "warmup_steps": 10,
    "ema_decay": 0.9,
    "evaluate_every": 1000,
    "checkpoint_every": 1000,
}


def divergence(model: Model, h: arl.Hamiltonian) -> float:
    """KL(q || p) in nats at T = 2 by enumeration, of one order."""
    enumeration, state = Enumeration.of(h), arl.SemiGrandCanonical(2.0)
    log_q = model.on(h).log_prob(enumeration.occupations.long(), state, torch.tensor([2, 0, 3, 1]))
    return float((log_q.exp() * (log_q - enumeration.log_f(state).log_softmax(0))).sum())


def test_training_helps_on_alloys_that_were_held_out() -> None:
    """Mean of 24 alloys: 0.241 nats before, where energies alone tell the first sites; 0.124 and 0.125 after, of two seeds."""
    prior, options = PRIOR.model_copy(update={"members": 64}), TINY | {"width": 32, "layers": 2}
    untrained, alloys = build_model("any-order-transformer", prior.ideal(), options), prior.held_out(24)
    trained = train(prior=prior, options=options, training=LEARNS)
    before, after = (sum(divergence(model, alloys.one(m)) for m in range(24)) / 24 for model in (untrained, trained))
    assert before > 0.2 and after < 0.7 * before


@pytest.fixture(scope="module")
def ranged() -> tuple[Model, arl.ClusterFamily]:
    """A model of 8 sites that knows what its 64 alloys were, and these."""
    prior = EIGHT.model_copy(update={"members": 64})
    return train(prior=prior, training={"replica_copies": 256, "steps": 1}), prior.family()


def test_states_among_those_of_the_training_are_inside(ranged: tuple[Model, arl.ClusterFamily]) -> None:
    """Every alloy was trained below and above T = 3; hotter is weaker."""
    model, family = ranged
    for member in (0, 3, 40):
        on = model.on(family.one(member))
        assert [on.outside(arl.SemiGrandCanonical(t)) for t in (3.0, 5.9, 100.0)] == [None] * 3
    assert OUT_OF_RANGE not in on.sample(20, arl.SemiGrandCanonical(3.0), seed=1).metadata


@pytest.mark.parametrize(("temperature", "mu"), [(0.1, 0.0), (2.0, 60.0), (2.0, -60.0)])
def test_stronger_couplings_and_fields_are_told(temperature: float, mu: float, ranged: tuple[Model, arl.ClusterFamily]) -> None:
    model, family = ranged
    told = model.on(family.one(3)).outside(arl.SemiGrandCanonical(temperature, {"B": mu}))
    assert told is not None and "stronger than in all alloys of the training" in told and "\n" not in told


def test_couplings_that_no_alloy_had_are_told_and_samples_carry_it(ranged: tuple[Model, arl.ClusterFamily]) -> None:
    """A pair of second neighbours, which fold onto no nearest ones; alone, and a little of it beside an alloy that is known."""
    model, family = ranged
    spin, state, lattice = np.array([-1.0, 1.0]), arl.SemiGrandCanonical(2.0), family.lattice
    pair: list[Any] = [([((0, 0, 0), 0), ((1, 1, -1), 0)], np.multiply.outer(spin, spin))]
    far = arl.ClusterHamiltonian.from_cell(lattice, pair, units="reduced")
    for h in (far, arl.ClusterFamily.sums([family.one(3), far], [[1.0, 0.1]], [0]).one(0)):
        told = model.on(h).outside(state)
        assert told is not None and "couplings that no alloy of the training had" in told
    samples = model.on(far).sample(200, state, seed=1)
    assert samples.metadata[OUT_OF_RANGE] == model.on(far).outside(state)
    with pytest.warns(arl.OutOfRangeWarning, match="no alloy of the training had"):
        samples.log_z()


def test_an_untrained_model_knows_no_range() -> None:
    assert build_model("any-order-transformer", PRIOR.ideal(), TINY).outside(arl.SemiGrandCanonical(0.01, {"B": 9.0})) is None


# -- files -------------------------------------------------------------------------------------------


def test_a_model_of_a_black_box_is_loaded_with_it_and_then_put_on_others(tmp_path: Path) -> None:
    family = PRIOR.family()
    black, other = (BlackBox(family.one(m)) for m in (0, 1))
    model = randomise(build_model("any-order-transformer", black, TINY))
    model.save(tmp_path)
    loaded = arl.load(tmp_path, hamiltonian=black)
    x, order = Enumeration.of(other).occupations.long(), torch.arange(4)
    assert torch.equal(loaded.on(other).log_prob(x, STATE, order), model.on(other).log_prob(x, STATE, order))


def never() -> np.ndarray:
    raise AssertionError("asked for a supercell")


def test_compiled_tables_are_read_as_a_hamiltonian_and_say_their_supercell(tmp_path: Path) -> None:
    h = PRIOR.family().one(2)
    h.save(tmp_path / "h.safetensors")
    assert read_hamiltonian(tmp_path / "h.safetensors", never).fingerprint == h.fingerprint


@pytest.mark.parametrize("name", ["alloy.txt", "alloy", "missing.safetensors"])
def test_a_file_that_nothing_reads_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_text("J = 1")
    with pytest.raises(arl.InputError, match=r"^hamiltonian file = ") as refused:
        read_hamiltonian(tmp_path / name, never)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore::arlattice_icet.compile.SelfInteractionWarning")
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("ending", ["ce", "CE"])
def test_files_of_icet_are_read_by_its_plugin_and_a_model_of_any_alloy_samples_them(ending: str, tmp_path: Path) -> None:
    icet = pytest.importorskip("icet")
    from ase.build import bulk

    logging.getLogger("icet").setLevel(logging.ERROR)
    space = icet.ClusterSpace(bulk("Cu", "fcc", a=3.8), [3.0], ["Pd", "Ag"])
    path = tmp_path / f"agpd.{ending}"
    icet.ClusterExpansion(space, [0.0, 0.02, 0.01]).write(str(path))
    model = model_of(PRIOR)[0]
    h = read_hamiltonian(path, lambda: model.lattice.supercell)
    assert h.fingerprint == arl.hamiltonian("icet", expansion=path, supercell=(2, 2, 1)).fingerprint and h.species == ("Pd", "Ag")
    samples = model.on(h).sample(16, arl.SemiGrandCanonical(600.0, {"Pd": 0.01}), seed=2)
    assert torch.allclose(samples.energy, h.energy(samples.occupations)) and samples.lattice.species == ("Pd", "Ag")
    path.write_text("no expansion")
    with pytest.raises(arl.InputError):
        read_hamiltonian(path, lambda: model.lattice.supercell)
