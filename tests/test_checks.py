"""The programs that check the shipped models: their own arithmetic against exact results, and a small run of each."""

from __future__ import annotations

import importlib.util
import json
import math
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import xarray

import arlattice as arl
from arlattice.estimate import Estimate
from arlattice.montecarlo import sample_chains
from arlattice.thermo.exact import Enumeration

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # small forms; tests/test_reliability.py has the warnings

ROOT = Path(__file__).parent.parent
PNG = b"\x89PNG"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(program: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", [program.__name__, *map(str, arguments)])
    program.main()


# -- hysteresis ------------------------------------------------------------------------------------


def test_single_flips_remember_the_direction_and_the_model_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuAu on 16 sites, 4 sweeps a state, 8 copies: the loop is open by 5 errors; the model's closed within 4 (once in 16,000)."""
    pytest.importorskip("matplotlib")
    out, picture = tmp_path / "loop.json", tmp_path / "loop.png"
    run(load("hysteresis"), monkeypatch, "--small", "-o", out, "--picture", picture)
    result = json.loads(out.read_text())
    assert all(loop["area"] > 5 * loop["area_error"] for loop in result["loops"])
    model = result["agreement"]["model up, model down"]
    assert abs(model["area"]) < 4 * model["area_error"] and model["largest_deviation"] < 5  # of 9 states: once in 190,000
    assert picture.read_bytes().startswith(PNG)


def test_a_scan_that_has_time_enough_is_the_same_both_ways_and_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 3000 K, 2 x 3 states of 16 sites with 100 copies: within 4.5 errors of enumeration, a false alarm in 25,000 seeds."""
    program, hamiltonian, delta_mu = load("hysteresis"), arl.load("cuau-2x2x4").hamiltonian, np.array([-0.2, 0.0, 0.2])
    monkeypatch.setattr(program, "BURN_IN", 10)
    x = program.scan(hamiltonian, [3000.0], delta_mu, sweeps=10, copies=100, seed=0)[:, 0]
    everything = Enumeration.of(hamiltonian)
    gold = everything.occupations.double().mean(1)
    exact = torch.tensor([everything.mean(arl.SemiGrandCanonical(3000.0, {"Au": mu}), gold) for mu in delta_mu.tolist()])
    assert ((x.mean(-1) - exact).abs() < 4.5 * x.std(-1) / math.sqrt(100)).all()


def test_the_area_of_a_loop_is_that_of_its_trapezes() -> None:
    program, delta_mu = load("hysteresis"), np.linspace(0.0, 1.0, 5)
    x = torch.stack([torch.zeros(5, 3), torch.tensor([[0.1, 0.2, 0.3]]).expand(5, 3)]).double()
    found = program.loop(delta_mu, x)
    assert found["area"] == pytest.approx(0.2) and found["largest_gap"] == pytest.approx(0.2)
    assert found["area_error"] == pytest.approx(0.1 / math.sqrt(3))
    lines = np.array([np.zeros(5), np.full(5, 0.2)])
    assert program._area(delta_mu, lines, np.full((2, 5), 0.1))["area"] == pytest.approx(0.2)


# -- the phase diagram -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exact_table() -> tuple[Any, Any]:
    """All configurations of CuAu on 16 sites: number of Au atoms and phase, and the probabilities at any state."""
    program, everything = load("check_phase_diagram"), Enumeration.of(arl.load("cuau-2x2x4").hamiltonian)
    atoms, phase = program._atoms_and_phase(everything.hamiltonian.lattice, "eV", everything.occupations.long()).long()

    def probabilities(temperature: float, mu: float) -> np.ndarray:
        p = everything.log_f(arl.SemiGrandCanonical(temperature, {"Au": mu})).softmax(0)
        return torch.zeros(17, 4, dtype=torch.float64).index_put((atoms, phase), p, accumulate=True).numpy()

    return program, probabilities


def test_mbar_over_numbers_of_atoms_is_exact_between_the_states(exact_table: tuple[Any, Any]) -> None:
    program, probabilities = exact_table
    mu = np.array([-0.15, -0.08, 0.0, 0.08])
    table = program.Table.of(600.0, mu, np.array([1000 * probabilities(600.0, m) for m in mu.tolist()]))
    for between in (-0.12, 0.03):
        np.testing.assert_allclose(table.probabilities(np.array([between]))[0], probabilities(600.0, between), atol=1e-7)


def test_coexistences_of_the_table_are_where_shares_are_equal(exact_table: tuple[Any, Any]) -> None:
    program, probabilities = exact_table
    mu, names = np.linspace(-0.2, 0.0, 9), ["L1_0", "A3B", "AB3", "disordered"]
    table = program.Table.of(500.0, mu, np.array([1000 * probabilities(500.0, m) for m in mu.tolist()]))
    found = program.coexistences(program._dataset(table, np.arange(-0.2, 0.0, program.FINE), names))
    assert [c.phases for c in found] == [("disordered", "A3B"), ("A3B", "L1_0")]
    for c in found:
        there = probabilities(500.0, c.delta_mu.value)
        a, b = (names.index(phase) for phase in c.phases)
        assert there[:, a].sum() == pytest.approx(there[:, b].sum(), rel=1e-4)
        for phase, x in zip((a, b), c.x, strict=True):
            assert x.value == pytest.approx(np.arange(17) @ there[:, phase] / 16 / there[:, phase].sum(), abs=1e-4)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    program, values = load("check_phase_diagram"), np.random.default_rng(0).normal(size=12)
    without = [np.delete(values, k).mean() for k in range(12)]
    assert program._jackknife_error(without) == pytest.approx(values.std(ddof=1) / math.sqrt(12))


def test_replica_exchange_leaves_coexistences_beside_those_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    program, sweep = load("check_phase_diagram"), tmp_path / "sweep.nc"
    data, out, picture = (tmp_path / f"check.{suffix}" for suffix in ("npz", "json", "png"))
    run(program, monkeypatch, "run", "--small", "-o", data)
    observables, line = ["fcc_phase", "fcc_phase_x"], np.linspace(-0.2, 0.12, 9)
    arl.sweep("cuau-2x2x4", [500, 800], delta_mu=line, n=50, observables=observables, min_ess=0, out=sweep)
    run(program, monkeypatch, "analyse", data, "--again", 100, "--sweep", sweep, "-o", out, "--picture", picture)
    result = json.loads(out.read_text())
    row = next(r for r in result["coexistences"] if (r["temperature"], r["phases"]) == (500.0, ["disordered", "A3B"]))
    (by_model, model_error), (checked, error) = row["model"]["delta_mu"], row["equal_weight"]["delta_mu"]
    assert abs(by_model - checked) < 0.02 and 0 < error < 0.02
    assert row["deviation_model"]["delta_mu"] == pytest.approx((by_model - checked) / math.hypot(error, model_error))
    assert abs(row["again"]["delta_mu"][0] - checked) < program.NEARBY
    assert len(result["isotherms"]["800"]["x_Au"]) == 17
    assert picture.read_bytes().startswith(PNG)


# -- Ising -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.8, 2.27, 3.0])
def test_the_cumulant_of_the_transfer_matrix_is_the_enumerated_one(temperature: float) -> None:
    everything, state = Enumeration.of(arl.hamiltonian("ising", supercell=(4, 4))), arl.SemiGrandCanonical(temperature)
    m = 2 * everything.occupations.double().mean(1) - 1
    exact = 1 - everything.mean(state, m**4) / (3 * everything.mean(state, m**2) ** 2)
    assert load("ising_check").binder(4, temperature) == pytest.approx(exact, abs=1e-7)


def test_the_cumulant_of_chains_has_an_error_that_holds() -> None:
    """40 runs of 4x4 Swendsen-Wang: the mean square deviation in errors within 0.45 to 1.8, outside once in 2,000 (chi2 of 40)."""
    program, ising, state = load("ising_check"), arl.hamiltonian("ising", supercell=(4, 4)), arl.SemiGrandCanonical(2.3)
    exact = program.binder(4, 2.3)
    runs = (sample_chains(ising, state, chains=16, sweeps=60, burn_in=10, thin=2, move="swendsen-wang", seed=k) for k in range(40))
    found = [program._chain_binder(samples) for samples in runs]
    assert 0.45 < np.mean([((e.value - exact) / e.error) ** 2 for e in found]) < 1.8


def test_crossings_are_found_with_the_error_that_propagates() -> None:
    program, t = load("ising_check"), [2.2, 2.25, 2.3, 2.35]
    flat, steep = ([Estimate(slope * (v - 2.26), 0.003) for v in t] for slope in (-0.1, -0.4))
    found = program.crossing(t, flat, steep)
    assert found.value == pytest.approx(2.26, abs=1e-6)
    assert 0.5 < found.error / (math.hypot(0.003, 0.003) / 0.3) <= 1
    assert program.crossing(t, flat, [Estimate(2.0, 0.1)] * 4) is None


def test_the_ising_program_writes_figures_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free energies within 5 errors at 16 samples; deviations are exact in the file."""
    pytest.importorskip("matplotlib")
    out, picture = tmp_path / "ising.json", tmp_path / "ising.png"
    run(load("ising_check"), monkeypatch, "--small", "-o", out, "--picture", picture)
    result = json.loads(out.read_text())
    assert all(abs(row["free_energy"] - row["exact"]) < 0.01 for row in result["free_energy"])
    assert {(row["by"], row["length"]) for row in result["agreement"]} == {("model", 4), ("swendsen-wang", 4), ("swendsen-wang", 6)}
    exact = next(row["exact"] for row in result["crossings"] if row["by"] == "swendsen-wang")
    assert exact == pytest.approx(2.2229, abs=1e-4)
    assert picture.read_bytes().startswith(PNG)


# -- a cluster -------------------------------------------------------------------------------------


class Stopped:
    """A pool that is killed when it is asked for more than one state."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.first: Any = None

    def submit(self, function: Any, /, *arguments: Any) -> Any:
        if self.first is not None:
            self.first.result()
            raise KeyboardInterrupt
        self.first = self.pool.submit(function, *arguments)
        return self.first


class Counting:
    """A pool that counts."""

    def __init__(self, pool: Any) -> None:
        self.pool, self.states = pool, 0

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        self.states += 1
        future: Future[Any] = self.pool.submit(function, *arguments)
        return future


def test_a_sweep_on_submitit_gives_what_one_process_gives_and_goes_on_where_it_was_killed(ising_model: Path, tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    jobs = submitit.LocalExecutor(tmp_path / "jobs")
    settings: dict[str, Any] = {"field": [0.0, 0.1, 0.2], "n": 50, "folder": tmp_path / "parts"}
    with pytest.raises(KeyboardInterrupt):
        arl.sweep(ising_model, 2.5, **settings, pool=Stopped(jobs))
    assert len(list((tmp_path / "parts").iterdir())) == 1
    rest = Counting(jobs)
    found = arl.sweep(ising_model, 2.5, **settings, pool=rest)
    assert rest.states == 2
    xarray.testing.assert_allclose(found, arl.sweep(ising_model, 2.5, field=[0.0, 0.1, 0.2], n=50, seed=found.seed), rtol=1e-5)
