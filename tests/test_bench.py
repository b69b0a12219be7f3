"""`arlattice bench`: every row of the paper's tables is a job that runs, gaps are gaps, and a new model gets a row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from arlattice_bench import mam_ising, paper_table_1, paper_table_2
from arlattice_bench.cost import Cost
from arlattice_bench.memory import measure_memory
from arlattice_bench.recipes import ALL, SMALL, Recipe
from arlattice_bench.references import enumeration, kaufman, monte_carlo, transfer_matrix
from arlattice_bench.report import lines
from arlattice_bench.run import evaluate, model_of, run
from arlattice_bench.settings import Settings
from arlattice_bench.system import Condition, System
from arlattice_bench.table import Table

import arlattice as arl
from arlattice.hooks.manager import default_manager
from arlattice.models.checkpoint import load
from arlattice.thermo.exact import Enumeration
from arlattice.training.config import TrainingOptions
from arlattice.training.states import StateRange

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # small forms; tests/test_reliability.py has the warnings

RunCli = Callable[..., Any]
MODULES = (paper_table_1, paper_table_2, mam_ising)
EVERY = [module.table(small) for module in MODULES for small in (False, True)]
FEW = {
    "steps": 2,
    "batch_size": 4,
    "replay_group": 2,
    "reverse_states": 1,
    "reverse_samples": 4,
    "equilibration_sweeps": 1,
    "evaluate_samples": 2,
}
SHORT = [f"--training={key}={value}" for key, value in (FEW | {"replica_temperatures": 2, "replica_copies": 2}).items()]

PLUGIN = '''
"""One independent conditional a site, on top of completed-cluster energies."""

import torch
from pydantic import Field
from torch import nn

import arlattice as arl


class Options(arl.Options):
    scale: float = Field(1.0, gt=0, description="of the initial bias")


class Bias(arl.Model):
    def __init__(self, hamiltonian, options):
        super().__init__(hamiltonian, options)
        self.bias = nn.Parameter(0.01 * options.scale * torch.ones(hamiltonian.lattice.n_sites, hamiltonian.lattice.n_species))

    def block_logits(self, partial, sites, conditions):
        return self.steps.of_block(partial, sites, conditions).base + self.bias[sites]


@arl.hookimpl
def arlattice_register_models(register):
    register("bias", Bias, options=Options, summary="a bias a site")
'''


def settings(folder: Path, **changes: Any) -> Settings:
    defaults: dict[str, Any] = {
        "table": "test",
        "runs": folder / "runs",
        "results": folder / "results",
        "hamiltonians": None,
        "device": torch.device("cpu"),
        "seed": 0,
        "samples": 16,
    }
    return Settings(**defaults | changes)


def torus(length: int, *states: arl.SemiGrandCanonical) -> System:
    conditions = tuple(Condition(f"T = {s.temperature:g}", (s,)) for s in states)
    trained_on = StateRange(temperature=(2.0, 3.0))
    return System(f"{length}x{length}", "ising", {"supercell": [length, length]}, trained_on, conditions, kaufman(length))


# -- what the tables hold --------------------------------------------------------------------------


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)
def test_every_job_names_registered_models_objectives_and_options(table: Table) -> None:
    manager = default_manager()
    for job in table.jobs:
        manager.models[job.family].parse_options(job.options)
        assert TrainingOptions.parse(job.training).objective in manager.objectives
        manager.hamiltonians[job.system.hamiltonian].parse_options(job.system.options)
        for supercell in job.supercells:
            manager.hamiltonians[job.system.hamiltonian].parse_options({**job.system.options, **supercell})


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)
def test_every_job_has_a_folder_of_its_own_and_painters_come_first(table: Table) -> None:
    folders = [(job.system.name, job.row) for job in table.jobs]
    assert len(set(folders)) == len(folders)
    for place, job in enumerate(table.jobs):
        if job.painted_from is not None:
            assert job.painted_from in table.jobs[:place]


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)
def test_every_measured_state_is_a_state_trained_on(table: Table) -> None:
    for system in table.systems:
        for state in (state for condition in system.conditions for state in condition.states):
            if isinstance(system.trained_on, StateRange):
                low, high = system.trained_on.temperature  # type: ignore[misc]
                assert low <= state.temperature <= high
                for species, mu in state.chemical_potentials.items():
                    assert system.trained_on.chemical_potentials[species][0] <= mu <= system.trained_on.chemical_potentials[species][1]  # type: ignore[index]
            else:
                assert state == system.trained_on


def test_the_tables_have_the_rows_and_systems_of_the_paper() -> None:
    one, two, mam = (module.table() for module in MODULES)
    assert [[s.name for s in t.systems] for t in (one, two, mam)] == [["5x5", "10x10", "20x20"], ["2x2x4", "4x4x8"], ["10x10"]]
    for table in (one, two, mam):
        quoted = {(p.row, p.system) for p in table.published if p.row and p.value is not None}
        assert quoted <= {(job.row, job.system.name) for job in table.jobs}
        assert {recipe.row for recipe in ALL} <= set(table.rows)
    assert len(one.systems[0].conditions[2].states) == 13
    assert len(two.systems[0].conditions[3].states) == 25
    assert mam.systems[0].trained_on == arl.SemiGrandCanonical(5.0, {"up": 1.0, "down": -1.0})


# -- references ------------------------------------------------------------------------------------


def test_exact_references_are_the_enumeration() -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
    states = [arl.SemiGrandCanonical(2.5), arl.SemiGrandCanonical(2.5, {"up": 0.7, "down": 0.3})]
    table = enumeration(lambda: hamiltonian, Path())
    formula, matrix = (maker(lambda: hamiltonian, Path()) for maker in (kaufman(3), transfer_matrix(3, 3)))
    for state in states:
        assert log_z(matrix, state) == pytest.approx(log_z(table, state), abs=1e-9)
    assert log_z(formula, states[0]) == pytest.approx(log_z(table, states[0]), abs=1e-9)


def log_z(found: Any, state: arl.SemiGrandCanonical) -> float:
    reference = found(state)
    assert reference is not None
    return float(reference.log_z.value)


def test_two_monte_carlo_estimates_give_their_mean_and_show_both(tmp_path: Path) -> None:
    row = {
        "temperature": 680.0,
        "delta_mu": 0.1,
        "log_z_annealing": 10.0,
        "log_z_annealing_error": 0.01,
        "log_z": 10.04,
        "log_z_error": 0.04,
    }
    (tmp_path / "r.json").write_text(json.dumps({"states": [row | {"log_z_mbar": 10.08, "log_z_mbar_error": 0.02}]}))
    found = monte_carlo("r.json")(lambda: pytest.fail("needs no Hamiltonian"), tmp_path)
    reference = found(arl.SemiGrandCanonical(680, {"Au": 0.1}))
    assert reference is not None
    assert reference.log_z == pytest.approx((10.04, 0.04))
    assert "10.00(1)" in reference.source
    assert "10.08(2)" in reference.source
    assert found(arl.SemiGrandCanonical(680)) is None
    assert monte_carlo("missing.json")(lambda: pytest.fail("needs no Hamiltonian"), tmp_path)(arl.SemiGrandCanonical(680)) is None


# -- figures ---------------------------------------------------------------------------------------


def test_the_gap_is_the_divergence_of_the_model(ising_model: Path, tmp_path: Path) -> None:
    """n = 4,000 samples; 4 standard errors: false alarms 6e-5 a state."""
    model, states = load(ising_model), (arl.SemiGrandCanonical(2.3), arl.SemiGrandCanonical(4.0))
    system, order = torus(3, *states), torch.arange(9)
    model.orders = ("raster",)
    result = {"row": "r", "system": "3x3", "how": "trained"}
    result["conditions"] = evaluate(model, system.conditions, settings(tmp_path, samples=4000))
    table = Table("test", "", (system,), (), (), SMALL)
    everything = Enumeration.of(model.hamiltonian)
    for line, state in zip(lines(table, [result], settings(tmp_path)), states, strict=True):
        log_q = model.log_prob(everything.occupations.long(), state, order)
        divergence = float((log_q.exp() * (log_q - everything.log_f(state).log_softmax(0))).sum())
        assert line.gap is not None
        assert line.gap.value == pytest.approx(divergence, abs=4 * line.gap.error)
        assert line.gap.error < 0.1


def test_a_mean_over_states_is_the_mean_of_their_gaps(tmp_path: Path) -> None:
    states = [arl.SemiGrandCanonical(t) for t in (2.0, 3.0)]
    system = torus(3, *states)
    exact = [log_z(kaufman(3)(lambda: None, Path()), s) for s in states]  # type: ignore[arg-type,return-value]
    figures = {"elbo_error": 0.03, "log_z_error": 0.01, "ess": 0.5}
    entry = [
        {**figures, "state": s.to_dict(), "elbo": z - 0.2 * k, "log_z": z - 0.1 * k}
        for k, (s, z) in enumerate(zip(states, exact, strict=True))
    ]
    result = {"row": "r", "system": "3x3", "how": "trained", "conditions": [{"condition": "all", "order": "random", "states": entry}]}
    (line,) = lines(Table("test", "", (system,), (), (), SMALL), [result], settings(tmp_path))
    assert line.gap == pytest.approx((0.1, 0.03 / math.sqrt(2)))
    assert line.log_z_error == pytest.approx(-0.1)


def test_a_bound_that_is_not_finite_stays_visible(tmp_path: Path) -> None:
    state = {"state": arl.SemiGrandCanonical(2.0).to_dict(), "elbo": None, "elbo_error": None, "log_z": 1.0, "log_z_error": 0.1, "ess": 0.1}
    result = {"row": "r", "system": "3x3", "how": "trained", "conditions": [{"condition": "c", "order": "random", "states": [state]}]}
    (line,) = lines(Table("test", "", (torus(3),), (), (), SMALL), [result], settings(tmp_path))
    assert math.isnan(line.loss.value)


# -- jobs ------------------------------------------------------------------------------------------


def small_job(**training: Any) -> Any:
    values = FEW | {"replica_temperatures": 2, "replica_copies": 2} | training
    return SMALL.job(Recipe("row", "any-order-transformer", "forward"), torus(3, arl.SemiGrandCanonical(2.5))).training_with(values)


def test_a_finished_run_is_loaded_and_measured_again_only_if_asked_otherwise(tmp_path: Path) -> None:
    job, first = small_job(), settings(tmp_path)
    result = run(job, first)
    written = (first.folder(job) / "result.json").stat().st_mtime_ns
    assert run(job, first) == result
    assert (first.folder(job) / "result.json").stat().st_mtime_ns == written
    more = run(job, settings(tmp_path, samples=20))
    assert more["conditions"][0]["states"][0]["samples"] == 20
    assert Cost.read(first.folder(job)).calls == 1


def test_an_unfinished_run_goes_on_and_its_time_adds_up(tmp_path: Path, run_cli: RunCli) -> None:
    call = ["bench", "mam-ising", "--small", "--quiet", "--device", "cpu", "--rows", "fixed-order-mlp", "--samples", 8, *SHORT]
    call += ["--training", "checkpoint_every=1", "--runs", tmp_path / "runs", "-o", tmp_path / "results"]
    call[call.index("--training=steps=2")] = "--training=steps=3"
    stopped = run_cli(*call, "--time-limit", 0)
    assert stopped.code == 0
    assert "unfinished: 1 of 3 steps" in stopped.err
    assert "no row is finished yet" in stopped.out
    first = Cost.read(tmp_path / "runs" / "mam-ising-small" / "4x4" / "fixed-order-mlp")
    assert '"1/3"' in run_cli(*call, "--list", "--json").out
    finished = run_cli(*call, "--json")
    assert [line["row"] for line in json.loads(finished.out)] == ["fixed-order-mlp"]
    cost = Cost.read(tmp_path / "runs" / "mam-ising-small" / "4x4" / "fixed-order-mlp")
    assert (first.calls, cost.calls) == (1, 2)
    assert cost.seconds > first.seconds > 0
    assert cost.memory_of == "the process so far"


def test_a_run_folder_of_other_options_is_refused(tmp_path: Path) -> None:
    run(small_job(), settings(tmp_path))
    with pytest.raises(arl.InputError, match=r"holds a run with learning_rate = 0\.004, this row asks for 0\.1"):
        run(small_job(learning_rate=0.1), settings(tmp_path))


def test_one_model_of_several_sizes_is_measured_on_another(tmp_path: Path) -> None:
    recipe, sizes = (
        Recipe("sizes", "any-order-transformer", "forward", {"positions": "primitive"}),
        ({"supercell": [3, 3]}, {"supercell": [3, 4]}),
    )
    system = torus(4, arl.SemiGrandCanonical(2.5))
    job = SMALL.job(recipe, system, supercells=sizes).training_with(FEW | {"replica_temperatures": 2, "replica_copies": 2})
    assert model_of(job, settings(tmp_path)).lattice.n_sites == 16
    assert run(job, settings(tmp_path))["how"] == "trained on 2 smaller sizes"


def test_the_memory_of_a_step_grows_with_the_batch(tmp_path: Path) -> None:
    job = SMALL.job(Recipe("row", "any-order-mlp", "reverse", {"energies": False}), torus(4), kind="memory")
    found = measure_memory(job, settings(tmp_path))
    (small, large) = found["batches"]
    assert large["bytes"] > small["bytes"] > 0
    assert found["bytes_per_configuration"] > 4 * 16 * 64 * 2  # at least one float a site, hidden unit and layer
    assert found["bytes"] > found["bytes_per_configuration"] * found["batch"]
    assert found["extrapolated"]


def test_compiled_hamiltonians_are_used_and_checked(tmp_path: Path) -> None:
    arl.hamiltonian("ising", supercell=(3, 3)).save(tmp_path / "ising-3x3.safetensors")  # type: ignore[attr-defined]
    arl.hamiltonian("ising", supercell=(3, 3)).save(tmp_path / "ising-4x4.safetensors")  # type: ignore[attr-defined]
    assert torus(3).build(tmp_path).lattice.n_sites == 9
    with pytest.raises(arl.InputError, match="was compiled as"):
        torus(4).build(tmp_path)


# -- the command -----------------------------------------------------------------------------------


def bench(run_cli: RunCli, folder: Path, name: str, *arguments: object) -> Any:
    options = ["--small", "--quiet", "--device", "cpu", "--samples", 16, "--runs", folder / "runs", "-o", folder / "results", *SHORT]
    return run_cli("bench", name, *options, *arguments)


@pytest.mark.filterwarnings("ignore::arlattice_icet.SelfInteractionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")
@pytest.mark.filterwarnings("ignore::arlattice.training.health.TrainingWarning")  # marginal models learn little in so few steps
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_small_table_runs_whole_as_it_is(module: ModuleType, run_cli: RunCli, tmp_path: Path) -> None:
    """All rows with the samples and steps of `--small`. No bound below -log Z by more than 5 errors: false alarms 3e-7 a line."""
    if module is paper_table_2:
        pytest.importorskip("icet")
    table = module.table(small=True)
    name = table.name.removesuffix("-small")
    ran = run_cli("bench", name, "--small", "--quiet", "--device", "cpu", "--runs", tmp_path / "runs", "-o", tmp_path / "results", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    measured = {(job.system.name, job.row) for job in table.jobs if job.kind != "memory"}
    assert {(line["system"], line["row"]) for line in found} == measured
    assert {line["order"] for line in found if line["row"] == "any-order-mlp"} == {"coarse-to-fine", "random"}
    assert {line["order"] for line in found if line["row"] == "fixed-order-mlp"} == {"raster"}
    assert all(line["gap"]["value"] > -5 * line["gap"]["error"] - 1e-9 and line["parameters"] > 0 and line["train_s"] > 0 for line in found)
    data = json.loads((tmp_path / "results" / f"{table.name}.json").read_text())
    assert all(row["command"].startswith(f"arlattice bench {name} --small --rows ") and row["device"] for row in data["rows"])
    page = (tmp_path / "results" / f"{table.name}.md").read_text()
    assert all(f"| {recipe.row} (trained) |" in page for recipe in ALL)


@pytest.mark.filterwarnings("ignore::arlattice_icet.SelfInteractionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")
def test_a_row_of_the_alloy_table_runs(run_cli: RunCli, tmp_path: Path) -> None:
    pytest.importorskip("icet")
    rows = "fixed-order-mlp-energies"
    ran = bench(run_cli, tmp_path, "paper-table-2", "--rows", rows, "--json")
    assert ran.code == 0, ran.err
    assert {line["condition"] for line in json.loads(ran.out)} == {"500 K", "680 K", "1200 K", "mean over T, Delta mu"}


def test_a_painted_row_and_a_memory_row_stand_beside_their_source(run_cli: RunCli, tmp_path: Path) -> None:
    rows = "any-order-mlp-energies,any-order-mlp-energies-painted,any-order-mlp"
    ran = bench(run_cli, tmp_path, "paper-table-1", "--rows", rows, "--systems", "4x4,8x8", "--json")
    assert ran.code == 0, ran.err
    assert {(line["system"], line["how"]) for line in json.loads(ran.out)} == {("4x4", "trained"), ("8x8", "painted from 4x4")}
    page = (tmp_path / "results" / "paper-table-1-small.md").read_text()
    assert re.search(r"\| any-order-mlp \| 2: [\d.]+ kB, 8: [\d.]+ [kM]B \|", page)


def test_a_model_in_one_file_gets_the_table_with_one_more_row(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(PLUGIN)
    first = bench(run_cli, tmp_path, "mam-ising", "--rows", "fixed-order-mlp", "--json")
    assert first.code == 0, first.err
    options = ["--small", "--quiet", "--device", "cpu", "--samples", 16, "--runs", tmp_path / "mine", "-o", tmp_path / "results", *SHORT]
    added = ["--model", "bias", "--set", "scale=2.0", "--objective", "reverse", "--json"]
    ran = run_cli("-p", tmp_path / "my_model.py", "bench", "mam-ising", *options, *added)
    assert ran.code == 0, ran.err
    assert next(line["row"] for line in json.loads(ran.out)) == "fixed-order-mlp"  # kept from the table that was there
    assert {line["row"] for line in json.loads(ran.out)} == {"fixed-order-mlp", "bias"}
    row = json.loads((tmp_path / "results" / "mam-ising-small.json").read_text())["rows"][-1]
    assert row["specification"]["model"] == {"name": "bias", "scale": 2.0}
    assert f"-p {tmp_path / 'my_model.py'} bench mam-ising --small --rows bias" in row["command"]
    assert "--model bias --set scale=2.0 --objective reverse" in row["command"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["paper-table-3"], "name = 'paper-table-3': not a table; did you mean"),
        (["mam-ising", "--rows", "any-order-mpl"], "--rows = 'any-order-mpl': not in this table; did you mean 'any-order-mlp'?"),
        (["mam-ising", "--systems", "5x5"], "--systems = '5x5': not in this table"),
        (["paper-table-1", "--systems", "8x8", "--rows", "fixed-order-mlp-energies"], "--rows = 'fixed-order-mlp-energies': not in 8x8"),
        (["mam-ising", "--model", "bias"], "model = 'bias': not registered"),
        (["mam-ising", "--model", "any-order-mlp"], "--model = 'any-order-mlp': is a row of this table; name yours with --label"),
        (["mam-ising", "--model", "any-order-mlp", "--label", "mine", "--set", "wide=1"], "--set wide"),
        (["mam-ising", "--model", "any-order-mlp", "--label", "a/b"], "--label = 'a/b': use letters, digits"),
        (["mam-ising", "--model", "any-order-mlp", "--label", "mine", "--objective", "back"], "objective = 'back': not registered"),
        (["mam-ising", "--training", "step=3"], "--training step"),
        (["mam-ising", "--set", "width=3"], "--set = 'width=3': belongs to --model"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(arguments: list[str], told: str, run_cli: RunCli, tmp_path: Path) -> None:
    ran = run_cli("bench", *arguments, "--small", "--device", "cpu", "--runs", tmp_path / "runs", "-o", tmp_path / "results")
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("ignore::arlattice.training.coverage.UncoveredWarning")  # of a few steps it may be told, and rightly
def test_figure_2_is_drawn_with_its_numbers(run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from arlattice_bench import figure_2

    monkeypatch.setitem(figure_2.SWEEPS, "-small", (2, 1, 2))
    ran = bench(run_cli, tmp_path, "figure-2")
    assert ran.code == 0, ran.err
    assert (tmp_path / "results" / "figure-2-small.png").stat().st_size > 10000
    data = json.loads((tmp_path / "results" / "figure-2-small.json").read_text())
    for system in data["systems"]:
        for key in ("model_scores", "reference_scores"):
            assert sum(entry["share"] for entry in system[key]) == pytest.approx(1)
        assert len(system["free_energy_per_site"]) == 13
