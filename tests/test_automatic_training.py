"""What a user leaves open is chosen, what is given stays; a run stops when it is good enough or no better, and says how good it is."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.models.base import Model
from arlattice.montecarlo.chains import sample_replicas
from arlattice.random_numbers import Stream
from arlattice.testing import random_hamiltonian, randomise, small_cases
from arlattice.thermo.exact import Enumeration
from arlattice.training.automatic import Setup, set_up
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.health import TrainingWarning
from arlattice.training.out_of_memory import is_out_of_memory
from arlattice.training.pure_ends import crossings
from arlattice.training.report import Examined, Report, examine
from arlattice.training.rules import RULES, Rule
from arlattice.training.states import StateRange, check_states
from arlattice.training.stopping import Reached, Stopping
from arlattice.training.train import run
from arlattice.training.trainer import Trainer

ISING = arl.hamiltonian("ising", supercell=(3, 3))
RANGE = StateRange(temperature=(2.0, 3.5), chemical_potentials={"up": (-0.2, 0.2)})
CPU, GPU = torch.device("cpu"), torch.device("cuda")
SMALL: dict[str, Any] = {
    "batch_size": 16,
    "replica_temperatures": 2,
    "replica_potentials": 2,
    "replica_copies": 8,
    "equilibration_sweeps": 5,
    "evaluate_samples": 32,
    "seed": 0,
}


def setup(
    hamiltonian: arl.Hamiltonian | list[arl.Hamiltonian] = ISING,
    device: torch.device = CPU,
    states: Any = RANGE,
    model: str | None = None,
    model_options: dict[str, Any] | None = None,
    **training: Any,
) -> Setup:
    several = hamiltonian if isinstance(hamiltonian, list) else [hamiltonian]
    return set_up(several, check_states(states), device, model, model_options, TrainingOptions.parse(training, "training"))


def ising(length: int) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=(length, length))


# -- the choice ------------------------------------------------------------------------------------


def test_every_rule_is_about_an_entry_that_exists_and_says_why() -> None:
    for rule in RULES:
        table, _, name = rule.entry.partition(".")
        assert table == "model" or name in TrainingOptions.model_fields, rule.entry
        assert len(rule.reason) > 10, rule.entry


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
@pytest.mark.parametrize("length", [3, 6, 10])
@pytest.mark.parametrize(
    "states", [RANGE, arl.SemiGrandCanonical(2.0), [arl.Canonical(2.0, {"up": 3})]], ids=["box", "state", "composition"]
)
def test_what_is_chosen_makes_a_run(length: int, device: torch.device, states: Any) -> None:
    """Options in their ranges, whole groups, a network that is built; the GPU's choice is built on the CPU here."""
    hamiltonian = ising(length)
    chosen = setup(hamiltonian, device, states)
    options = chosen.training.model_copy(update={"compile": False, "seed": 0})
    run = Trainer([hamiltonian], states, chosen.model, chosen.model_options, options, CPU, choices=chosen.choices)
    assert options.batch_size % options.replay_group == 0 == options.replica_copies % options.replay_group
    assert len(run.systems[0].states) >= 4 * options.batch_size / (2 if device is GPU else 1)


def test_the_family_follows_from_lattice_and_device() -> None:
    families = {(n, d.type): setup(ising(n), d).model for n in (6, 11) for d in (CPU, GPU)}
    assert families == {
        (6, "cpu"): "any-order-mlp",
        (11, "cpu"): "multiscale",
        (6, "cuda"): "any-order-transformer",
        (11, "cuda"): "multiscale",
    }
    several = setup([ising(3), ising(4)])
    assert several.model == "any-order-transformer"
    assert dict(several.model_options or {})["positions"] == "primitive"


def test_a_family_for_some_supercells_is_one_line() -> None:
    line = Rule("model.name", "mine", "more than 100 sites on a GPU", lambda s: s.gpu and s.sites > 100)
    for hamiltonian, device, name in ((ising(11), GPU, "mine"), (ising(11), CPU, "multiscale"), (ISING, GPU, "any-order-transformer")):
        found = set_up([hamiltonian], check_states(RANGE), device, None, None, TrainingOptions(), rules=[line, *RULES])
        assert found.model == name


def test_what_is_given_stays() -> None:
    """Also where it changes what the rest has to be."""
    assert setup(model_options={"width": 16}).model_options == {"width": 16}
    assert setup(model_options={"width": 16}).model == "any-order-transformer"
    given = setup(batch_size=20, learning_rate=0.1, steps=7)
    assert (given.training.batch_size, given.training.learning_rate, given.training.steps) == (20, 0.1, 7)
    assert given.training.objective == "forward" and given.training.priority == 0  # 20 are no groups of 8
    assert (given.training.cycles, given.training.until_steady) == (1, False)  # the user wants so many steps
    assert {c.entry for c in given.choices}.isdisjoint({"training.batch_size", "training.steps"})
    named = setup(model="any-order-mlp", device=GPU)
    assert named.model == "any-order-mlp" and dict(named.model_options or {})["width"] == 512
    assert setup(replay_group=6).training.batch_size % 6 == 0
    assert setup(model="marginal-mlp").training.objective == "self-consistency"


def test_nothing_is_chosen_in_a_run_by_hand() -> None:
    for keywords in ({"model": "any-order-mlp"}, {"model_options": {"width": 16}}):
        found = setup(**keywords, steps=7)  # type: ignore[arg-type]
        assert found.choices == () and found.training == TrainingOptions(steps=7)
    assert found.model == "any-order-transformer"


def test_a_seed_alone_makes_no_run_by_hand() -> None:
    """A resumed run has it from its checkpoint, and must be set up as it was."""
    found, without = (setup(model="any-order-mlp", **seed) for seed in ({"seed": 3}, {}))  # type: ignore[arg-type]
    assert found.choices == without.choices and found.training.seed == 3


def test_a_run_by_hand_has_the_bits_of_one_whose_entries_are_all_given() -> None:
    """What it leaves open has the default of its table, whatever the rules say."""
    options = SMALL | {"steps": 2, "reverse_states": 1, "reverse_samples": 4}
    everything = TrainingOptions.parse(options).model_dump()
    network = {"width": 16, "heads": 2, "layers": 1}
    first, second = (
        arl.train(ISING, RANGE, model_options=network, training=training, device="cpu", progress=False)
        for training in (options, everything)
    )
    assert first.fingerprint == second.fingerprint
    assert "chosen" not in first.record and "report" not in first.record


def test_a_run_that_starts_from_a_model_takes_its_family_and_size(tmp_path: Path) -> None:
    network = {"width": 24, "layers": 1, "centred": True}
    arl.model("any-order-mlp", ISING, **network).save(tmp_path / "first")
    found = set_up([ISING], check_states(RANGE), CPU, None, None, TrainingOptions(), start=tmp_path / "first")
    assert found.model == "any-order-mlp" and found.choices[0].reason == "as the model that the run starts from"
    assert found.model_options is not None and dict(found.model_options)["width"] == 24


def test_a_black_box_is_asked_for_fewer_energies() -> None:
    black = arl.FunctionHamiltonian(ISING.lattice, ISING.energy, units="reduced")
    few, many = (setup(h).training for h in (black, ISING))
    assert few.equilibration_sweeps < many.equilibration_sweeps and few.replica_copies < many.replica_copies


# -- a run -----------------------------------------------------------------------------------------


def test_a_run_without_options_is_good_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """3x3 Ising, cycles of 100 steps instead of 3,000: the exact log Z within 5 errors, both ESS above 0.8 everywhere."""
    shorter = [Rule(r.entry, 1000, r.reason) if r.entry == "training.steps" else r for r in RULES]
    monkeypatch.setattr("arlattice.training.train.set_up", lambda *given: set_up(*given, rules=shorter))
    model = arl.train(ISING, RANGE, device="cpu", folder=tmp_path / "run")
    record = model.record
    assert record["steps"] < 1000 and "rose no more" in record["stopped"] and "warning" not in record
    report = record["report"]
    assert len(report["states"]) == 9 and min(min(s["q_ess"], s["p_ess"]) for s in report["states"]) > 0.8
    assert "the model is good in its whole range" in report["text"] and report["text"] in capsys.readouterr().err
    assert any("any-order-mlp" in line for line in record["chosen"])
    state = arl.SemiGrandCanonical(2.5, {"up": 0.1})
    log_z = model.sample(2000, state, seed=0).log_z()
    assert abs(log_z.value - Enumeration.of(ISING).log_z(state)) < 5 * log_z.error
    assert json.loads((tmp_path / "run" / "model" / "model.json").read_text())


RUN_FILE = """
[hamiltonian]
name = "ising"
supercell = [3, 3]
[states]
temperature = [2.0, 3.5]
chemical_potentials = { up = [%s] }
"""


def test_the_command_explains_and_does_not_train(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    (tmp_path / "run.toml").write_text(RUN_FILE % "-0.2, 0.2")
    ran = run_cli("train", tmp_path / "run.toml", "--explain", "--device", "cpu")
    assert ran.code == 0 and list(tmp_path.iterdir()) == [tmp_path / "run.toml"]
    lines = ran.out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["model.name = any-order-mlp", "model.width = 96"]
    assert len(lines) == len(setup().choices) + 1 and "cross at mu(up) - mu(down) = 0" in lines[-1]
    (tmp_path / "run.toml").write_text(RUN_FILE % "-0.2, 0.2" + '[model]\nname = "any-order-mlp"\n[training]\nsteps = 5\n')
    assert "nothing is chosen" in run_cli("train", tmp_path / "run.toml", "--explain", "--device", "cpu").out
    ran = run_cli("train", tmp_path / "run.toml", "--device", "cpu")
    assert ran.code == 2 and "--output" in ran.err and len(ran.err.splitlines()) == 1


def test_a_run_file_without_tables_of_model_and_training_behaves_as_train_does(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN_FILE % "-0.2, 0.2" + "[training]\nsteps = 3\nseed = 0\nequilibration_sweeps = 3\n")
    ours = run(RunConfig.from_toml(tmp_path / "run.toml"), tmp_path / "run", device="cpu", progress=False)
    theirs = arl.train(ISING, RANGE, training={"steps": 3, "seed": 0, "equilibration_sweeps": 3}, device="cpu", progress=False)
    assert ours.fingerprint == theirs.fingerprint and ours.name == "any-order-mlp"


def test_the_command_tells_a_run_that_stopped_by_itself_from_an_unfinished_one(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    quick = "[training]\nuntil_ess = 0.01\nevaluate_every = 5\nevaluate_samples = 32\nequilibration_sweeps = 3\n"
    (tmp_path / "run.toml").write_text(RUN_FILE % "-0.2, 0.2" + quick)
    ran = run_cli("train", tmp_path / "run.toml", "-o", tmp_path / "run", "--quiet", "--device", "cpu")
    assert ran.code == 0 and ran.out.startswith("trained model: ") and "unfinished" not in ran.out + ran.err


# -- when it stops ---------------------------------------------------------------------------------


def trained(**training: Any) -> Model:
    return arl.train(
        ISING, RANGE, model="any-order-mlp", model_options={"width": 16}, training=SMALL | training, device="cpu", progress=False
    )


def test_a_run_stops_at_the_worst_ess_that_was_asked_for() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = trained(steps=400, evaluate_every=5, until_ess=0.05, objective="forward")
    assert model.record["steps"] < 400 and "the worst ESS reached" in model.record["stopped"]


def ends(values: list[tuple[float, float]], deadline: float = float("inf"), **training: Any) -> str | None:
    """Why a run stops that has these worst and mean ESS at the ends of its cycles of 10 steps; it must be at the last."""
    stopping = Stopping(TrainingOptions(steps=100, cycles=10, until_steady=True, **training))
    for number, (worst, mean) in enumerate(values, 1):
        assert stopping.reason is None
        stopping.look(10 * number, {"worst_ess": worst, "ess": mean}, deadline)
    return stopping.reason


def test_a_run_stops_after_a_cycle_that_did_not_help() -> None:
    assert ends([(0.1, 0.5), (0.6, 0.8), (0.61, 0.802)]) == "the ESS rose no more in the last cycle (worst 0.61, mean 0.802)"
    assert ends([(0.1, 0.5), (0.2, 0.6), (0.21, 0.602)]) is None  # a poor model gets one more
    assert ends([(0.1, 0.5), (0.2, 0.6), (0.21, 0.602), (0.2, 0.6)]) is not None
    assert ends([(0.1, 0.5), (0.1, 0.6), (0.2, 0.6), (0.2, 0.6), (0.3, 0.6)]) is None
    assert ends([(0.1, 0.5)], deadline=time.monotonic()) == "another cycle would not have ended before the time limit"


def test_only_ends_of_cycles_count_and_only_if_asked_for() -> None:
    stopping = Stopping(TrainingOptions(steps=100, cycles=10, until_steady=True))
    assert [step for step in range(101) if stopping.ends_cycle(step)] == list(range(10, 101, 10))
    for step in (3, 4, 5):
        stopping.look(step, {"worst_ess": 0.1, "ess": 0.5}, float("inf"))
    assert stopping.reason is None and stopping.reached == Reached()
    assert not any(Stopping(TrainingOptions(steps=100, cycles=10)).ends_cycle(step) for step in range(101))


def test_a_run_that_is_resumed_stops_where_the_whole_run_does(tmp_path: Path) -> None:
    options = {"steps": 60, "cycles": 6, "until_steady": True, "evaluate_every": 1000, "objective": "forward"}
    whole = trained(**options)
    keywords: dict[str, Any] = {"model": "any-order-mlp", "model_options": {"width": 16}, "device": "cpu", "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        for resume in (False, *[True] * 14):
            part = arl.train(ISING, RANGE, training=SMALL | options, folder=tmp_path / "run", time_limit=0, resume=resume, **keywords)
    assert part.record["steps"] == 11  # 4 parts did sweeps only
    rest = arl.train(ISING, RANGE, training=SMALL | options, folder=tmp_path / "run", resume=True, **keywords)
    assert rest.record["steps"] == whole.record["steps"] and rest.fingerprint == whole.fingerprint


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("can't allocate memory")])
def test_out_of_memory_halves_the_batch_and_says_so(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step with more than 8 configurations fails: 16 are tried, then 8 are taken, the whole run long."""
    sizes, right = [], Model.__call__

    def fails(self: Model, occupations: torch.Tensor, *given: Any, **named: Any) -> Any:
        if torch.is_grad_enabled():
            sizes.append(len(occupations))
            if len(occupations) > 8:
                raise error
        return right(self, occupations, *given, **named)

    monkeypatch.setattr(Model, "__call__", fails)
    with pytest.warns(TrainingWarning, match="memory ran out with batch_size = 16: the run goes on with batch_size = 8"):
        model = trained(steps=3, objective="balanced", replay_group=4)
    assert model.record["steps"] == 3 and sizes[:4] == [16, 8, 8, 8]


def test_out_of_memory_in_the_coarse_batch_halves_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the coarse scales alone nothing else is there to halve."""
    sizes, right = [], Model.__call__

    def fails(self: Model, occupations: torch.Tensor, *given: Any, **named: Any) -> Any:
        if torch.is_grad_enabled():
            sizes.append(len(occupations))
            if len(occupations) > 8:
                raise MemoryError
        return right(self, occupations, *given, **named)

    monkeypatch.setattr(Model, "__call__", fails)
    own = {"model": "multiscale", "model_options": {"width": 8, "layers": 1}, "progress": False}
    options = SMALL | {
        "steps": 2,
        "objective": "forward",
        "block_share": 0.0,
        "coarse_batch_size": 16,
        "replica_copies": 16,
        "batch_size": 1,
    }
    with pytest.warns(TrainingWarning, match="memory ran out with coarse_batch_size = 16: the run goes on with coarse_batch_size = 8"):
        arl.train(arl.hamiltonian("ising", supercell=(8, 8)), arl.SemiGrandCanonical(2.3, {"up": 0.1}), training=options, **own)
    assert sizes == [16, 8, 8]


def test_where_nothing_is_left_to_halve_the_run_ends_and_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> None:
        def call(self: Model, *given: Any, **named: Any) -> Any:
            raise error

        monkeypatch.setattr(Model, "__call__", call)

    fails(MemoryError())
    with pytest.warns(TrainingWarning), pytest.raises(InputError, match="memory runs out with the smallest batch"):
        trained(steps=3, objective="balanced")
    fails(RuntimeError("a shape does not fit"))
    with pytest.raises(RuntimeError, match="a shape does not fit"):
        trained(steps=3, objective="forward")
    assert not is_out_of_memory(ValueError("out of memory"))


# -- chemical potentials -----------------------------------------------------------------------------


def test_pure_ends_cross_where_their_grand_potentials_are_equal() -> None:
    """Random energies, three species: at the crossing both pure supercells have one value of E - sum of mu N."""
    hamiltonian = random_hamiltonian(arl.square(2, species=("A", "B", "C")), 3)
    found = {c.pair: c for c in crossings(hamiltonian, [arl.SemiGrandCanonical(1.0, {"B": 0.3}), arl.SemiGrandCanonical(2.0)])}
    assert set(found) == {("A", "B"), ("A", "C"), ("B", "C")}
    pure = [hamiltonian.energy(torch.full((1, 4), k)).item() for k in range(3)]
    for (a, b), crossing in found.items():
        k, j = (hamiltonian.species.index(s) for s in (a, b))
        assert pure[j] - 4 * crossing.crossing == pytest.approx(pure[k])
    assert found["A", "B"].box == (0.0, 0.3) and found["A", "C"].box == (0.0, 0.0)


def test_a_lattice_of_lone_sites_changes_within_a_few_kt() -> None:
    lattice = arl.square(2)
    hamiltonian = arl.ClusterHamiltonian.from_terms(lattice, [((i,), torch.tensor([0.0, 1.5]).numpy()) for i in range(4)], units="reduced")
    (found,) = crossings(hamiltonian, [arl.SemiGrandCanonical(0.1), arl.SemiGrandCanonical(0.2, {"up": 1.0})])
    assert found.crossing == pytest.approx(1.5) and found.changes == pytest.approx((1.5 - 0.8, 1.5 + 0.8)) and not found.outside
    (found,) = crossings(hamiltonian, [arl.SemiGrandCanonical(0.1), arl.SemiGrandCanonical(0.1, {"up": 1.0})])
    assert found.outside and "WHOLLY OUTSIDE: they hold nearly pure down" in str(found)


def test_there_is_no_guidance_where_compositions_are_fixed_or_species_cannot_fill_the_supercell() -> None:
    cases = {case.name: case for case in small_cases()}
    for name in ("square 3x4, fixed composition", "two sublattices, vacancies"):
        assert [c.pair for c in crossings(cases[name].hamiltonian, [cases[name].state])] in ([], [("X",)])


def test_a_box_outside_is_told_before_training(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    states = StateRange(temperature=0.2, chemical_potentials={"up": (9.5, 9.8)})
    with pytest.warns(TrainingWarning, match="WHOLLY OUTSIDE: they hold nearly pure up"):
        model = arl.train(ISING, states, training={"steps": 1, "equilibration_sweeps": 1}, device="cpu", progress=False)
    assert "choose chemical potentials around the crossing" in model.record["report"]["text"]


# -- the report --------------------------------------------------------------------------------------


def test_both_ess_are_those_of_the_enumeration() -> None:
    """A model with random weights: Z^2 / E_q[w^2] by enumeration of one order, from 4,000 samples and from independent chains."""
    state = arl.SemiGrandCanonical(2.5, {"up": 0.1})
    model = randomise(arl.model("fixed-order-mlp", ISING, width=16), scale=0.1)
    enumeration = Enumeration.of(ISING)
    log_f, log_q = enumeration.log_f(state), model.log_prob(enumeration.occupations.long(), state).double()
    exact = float((2 * log_f.logsumexp(0) - (2 * log_f - log_q).logsumexp(0)).exp())
    (found,) = examine(model, [state], Stream(0), n=4000)
    assert found.p_ess is not None and 0.1 < exact < 0.95
    assert abs(found.q_ess.value - exact) < 5 * found.q_ess.error < 0.2
    assert abs(found.p_ess.value - exact) < 5 * found.p_ess.error < 0.2


def test_the_chains_of_the_report_are_not_those_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their seed is not that of the run, and their start shares no random number with the replay."""
    seeds, right = [], sample_replicas

    def sampled(*given: Any, seed: int, **named: Any) -> Any:
        seeds.append(seed)
        return right(*given, seed=seed, **named)

    monkeypatch.setattr("arlattice.thermo.bounds.sample_replicas", sampled)
    model = trained(steps=1)
    assert seeds == []  # a run by hand has no report
    examine(model, [arl.SemiGrandCanonical(2.0), arl.SemiGrandCanonical(2.5)], Stream(7, "training")["report"], n=50)
    assert len(set(seeds)) == 2 and 7 not in seeds


def report(*pairs: tuple[float, float | None], stopped: str = "all steps were done") -> str:
    states = [
        Examined(arl.SemiGrandCanonical(1.0 + k), Estimate(q, 0.01), None if p is None else Estimate(p, 0.01))
        for k, (q, p) in enumerate(pairs)
    ]
    return str(Report(states, "9 sites, T 1 to 4", 100, stopped, []))


def test_the_report_names_the_worst_states_and_what_to_do() -> None:
    good = report((0.9, 0.9), (0.7, 0.71), (0.99, 0.98), (0.95, 0.95))
    assert good.splitlines()[2].startswith("  T 2: q-ESS 0.70, p-ESS 0.71")
    assert "Mean ESS of 4 states: 0.885" in good and "good in its whole range" in good
    assert "draw about 10 times as many samples" in report((0.1, 0.11), (0.9, 0.9))
    assert "few samples count" in report((0.01, 0.011))
    assert "Monte Carlo" not in report((0.9, None)).partition("next")[2]


def test_the_report_says_where_the_two_ess_disagree() -> None:
    text = report((0.9, 0.9), (0.8, 0.2))
    assert "disagree at T 2. Do" in text


def test_a_lost_mode_is_in_the_report_and_no_warning_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent Monte Carlo in one state, a model of another: 4x4 Ising below T_c, drawn in a field that is not there."""
    model = arl.model("any-order-mlp", ising(4), width=8)
    model.gauge = None
    one_sided = torch.tensor([0.0, 8.0])
    logits = type(model).block_logits
    monkeypatch.setattr(type(model), "block_logits", lambda *given: logits(*given) + one_sided)
    monkeypatch.setattr(type(model), "plan_logits", lambda self, x, plan, c, steps=None: Model.plan_logits(self, x, plan, c, steps))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = examine(model, [arl.SemiGrandCanonical(1.5)], Stream(0), n=500)
    assert found.disagree and found.lost_mode and found.p_ess is not None and found.p_ess.value < 0.1 < found.q_ess.value


def test_a_black_box_is_examined_by_its_own_samples() -> None:
    black = arl.FunctionHamiltonian(ISING.lattice, ISING.energy, units="reduced")
    (found,) = examine(arl.model("any-order-mlp", black, width=8), [arl.SemiGrandCanonical(5.0)], Stream(0), n=50)
    assert found.p_ess is None and not found.disagree and found.worst == found.q_ess.value
