"""The program that evaluates models, on 16 sites, against enumeration: log Z, both ESS, the phases, what it writes."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import arlattice as arl
from arlattice.models.checkpoint import read_record
from arlattice.random_numbers import Stream
from arlattice.thermo.exact import Enumeration, ising_torus_log_z

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STATES = [(500.0, 0.0), (900.0, -0.1)]
DRAWS, COPIES = 8, 64


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


def program(name: str) -> ModuleType:
    spec = util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model() -> Any:
    return arl.load("cuau-2x2x4")


@pytest.fixture(scope="module")
def chains(model: Any, tmp_path_factory: pytest.TempPathFactory, benchmarks: None) -> Path:
    """Exact samples in the place of chains, and the exact log Z in the place of a reference."""
    folder, enumeration = tmp_path_factory.mktemp("chains"), Enumeration.of(model.hamiltonian)
    rows, kept = [], np.zeros((2, 2, DRAWS, COPIES, 16), bool)
    for j, (temperature, mu) in enumerate((t, m) for t, _ in STATES for _, m in STATES):
        state = arl.SemiGrandCanonical(temperature, {"Au": mu})
        ends = enumeration.log_f(state).double().softmax(0).cumsum(0)
        drawn = torch.searchsorted(ends, Stream(j, "exact").uniform(1, DRAWS * COPIES)[0]).clamp(max=len(ends) - 1)
        kept[j // 2, j % 2] = enumeration.occupations[drawn].view(DRAWS, COPIES, 16).bool().numpy()
        rows.append({"temperature": temperature, "delta_mu": mu, "log_z": enumeration.log_z(state), "log_z_error": 0.01})
    (folder / "reference.json").write_text(json.dumps({"states": rows}))
    data = importlib.import_module("references.data")
    table = {"sites": 16, "temperatures": np.array([500.0, 900.0]), "mu": np.array([0.0, -0.1])}
    data.write(folder / "chains.npz", {}, table | {"occupations": np.packbits(kept, axis=-1)})
    return folder


@pytest.fixture(scope="module")
def result(chains: Path) -> dict[str, Any]:
    """What the program writes of a model in a folder."""
    evaluate, cases = program("evaluate_models"), importlib.import_module("evaluation.cases")
    known = importlib.import_module("evaluation.known")
    case = cases.Case(lambda h, file: known.Alloy(h, chains / "reference.json", file), (500.0,), phases=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cases.CASES, "cuau-2x2x4", case)
        output = f"--output={chains / 'result.json'}"
        words = ["--samples=512", "--orders=coarse-to-fine,random", "--seed=3", f"--chains={chains / 'chains.npz'}", output]
        model = Path(arl.__file__).parent / "pretrained" / "cuau-2x2x4"
        patch.setattr("sys.argv", ["evaluate_models.py", "cuau-2x2x4", f"--model={model}", *words])
        evaluate.main()
    found: dict[str, Any] = json.loads((chains / "result.json").read_text())
    return found


def test_every_state_is_measured_in_every_plan_beside_what_is_known(result: dict[str, Any], model: Any) -> None:
    """log Z within 5 errors; the gap to the known log Z; the two ESS within 5 of theirs; ELBO below and EUBO above log Z by 5 errors."""
    enumeration = Enumeration.of(model.hamiltonian)
    assert len(result["states"]) == 4 * 2
    for row in result["states"]:
        exact = enumeration.log_z(arl.SemiGrandCanonical(row["temperature"], {"Au": row["delta_mu"]}))
        assert row["known_log_z"] == pytest.approx(exact, abs=1e-9)
        assert abs(row["log_z"] - exact) < 5 * row["log_z_error"] + 1e-6
        assert row["gap"] == pytest.approx(exact - row["elbo"], abs=1e-9)
        assert row["ess"] > 0.9
        assert abs(row["p_ess"] - row["ess"]) < 5 * math.hypot(row["p_ess_error"], row["ess_error"]) + 1e-6
        assert row["elbo"] - 5 * row["elbo_error"] < exact < row["eubo"] + 5 * row["eubo_error"]
        assert not row["lost_mode"] and row["samples_per_second"] > 0


def test_the_phases_of_model_and_chains_agree(result: dict[str, Any]) -> None:
    """All fifteen add to one in both; L1_0 is there at 500 K without a field, and every share agrees within 5 errors (and 1/500)."""
    sublattices = importlib.import_module("references.sublattices")
    for row in result["states"]:
        ours, theirs = row["phases_model"], row["phases_monte_carlo"]
        assert list(ours) == list(theirs) == list(sublattices.PHASES)
        for name in ours:
            assert abs(ours[name][0] - theirs[name][0]) < 5 * math.hypot(ours[name][1], theirs[name][1]) + 0.01
        for found in (ours, theirs):
            assert sum(share for share, _ in found.values()) == pytest.approx(1)
        for name in ("order_histogram_model", "order_histogram_monte_carlo", "x_histogram_model", "x_histogram_monte_carlo"):
            assert sum(row[name]) == pytest.approx(1, abs=1e-4) and len(row[name]) == 32
    cold = result["states"][0]
    assert sum(share for name, (share, _) in cold["phases_model"].items() if name.startswith("L1_0")) > 0.5


def test_the_result_says_how_it_was_made(result: dict[str, Any], model: Any) -> None:
    assert result["command"] == (
        "python benchmarks/evaluate_models.py cuau-2x2x4 --samples 512 --seed 3 --orders coarse-to-fine,random --chains runs/chains.npz"
    )
    assert result["training"]["steps"] == model.record["steps"] and result["training"]["device"] == model.record["device"]
    assert set(result["figures"]) == {"coarse-to-fine", "random"}
    assert result["summary"].startswith("coarse-to-fine, field 0, gap (q-ESS / p-ESS): 500 K 0.")


def test_the_tables_and_the_picture_are_made_of_it(result: dict[str, Any], chains: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    scale = importlib.import_module("pages.scale")
    monkeypatch.setattr(scale, "read", lambda name: result)
    lines = scale.evaluated("cuau-2x2x4").splitlines()
    assert lines[0].startswith("- coarse-to-fine: mean gap 0.0")
    assert sum(line.startswith("| 500 K |") for line in lines) == 4
    picture = program("phase_weights")
    words = [f"--result={chains / 'result.json'}", "--states", "500:0", "900:-0.1", "--output", str(chains / "phases.png")]
    monkeypatch.setattr("sys.argv", ["phase_weights.py", "cuau-2x2x4", *words])
    picture.main()
    assert (chains / "phases.png").read_bytes().startswith(b"\x89PNG")


def test_a_result_of_another_machine_is_taken_if_it_is_of_the_same_weights(result: dict[str, Any], chains: Path) -> None:
    evaluate = program("evaluate_models")
    output = chains / "taken.json"
    for fingerprint, taken in ((result["model_fingerprint"], True), ("0123", False)):
        elsewhere = chains / "elsewhere.json"
        elsewhere.write_text(json.dumps(result | {"model_fingerprint": fingerprint}))
        model = Path(arl.__file__).parent / "pretrained" / "cuau-2x2x4"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "sys.argv", ["evaluate_models.py", "cuau-2x2x4", f"--model={model}", f"--result={elsewhere}", f"--output={output}"]
            )
            if taken:
                evaluate.main()
                assert json.loads(output.read_text()) == result
            else:
                with pytest.raises(SystemExit, match="of the weights 0123"):
                    evaluate.main()


def test_the_record_of_a_shipped_model_takes_what_was_measured(model: Any, tmp_path: Path, benchmarks: None) -> None:
    evaluate = program("evaluate_models")
    model.save(tmp_path / "a-model")
    weights = (tmp_path / "a-model" / "model.safetensors").read_bytes()
    arguments = type("Arguments", (), {"name": "a-model", "training_command": "arlattice train a.toml"})
    evaluate._record(tmp_path / "a-model", arguments, {"summary": "good", "command": "evaluate"})
    record = read_record(tmp_path / "a-model")
    assert (record["summary"], record["measured_by"], record["command"]) == ("good", "evaluate", "arlattice train a.toml")
    assert record["steps"] == model.record["steps"]
    assert (tmp_path / "a-model" / "model.safetensors").read_bytes() == weights
    assert arl.load(tmp_path / "a-model").fingerprint == model.fingerprint


def test_the_torus_has_the_exact_log_z_without_a_field_and_chains_with_one(benchmarks: None) -> None:
    """Energies of 512 independent configurations within 5 errors of the derivative of log Z; a field of 0.1 turns the spins up."""
    known = importlib.import_module("evaluation.known")
    hamiltonian = arl.hamiltonian("ising", supercell=(4, 4))
    states = known.grid((2.5,), [arl.ChemicalPotentials.from_field(h) for h in (0.0, 0.1)])
    torus = known.IsingTorus(hamiltonian, states, chains=64)
    free, turned = map(torus.at, states)
    beta, step = 1 / 2.5, 1e-5
    assert free.log_z == (ising_torus_log_z(4, beta), 0.0) and turned.log_z is None
    energy = -(ising_torus_log_z(4, beta + step) - ising_torus_log_z(4, beta - step)) / (2 * step)
    assert abs(float(free.chains.energy.mean()) - energy) < 5 * float(free.chains.energy.std()) / 512**0.5
    spins = [(2 * s.occupations.double() - 1).mean() for s in (free.chains, turned.chains)]
    assert abs(float(spins[0])) < 0.2 and float(spins[1]) > 0.3


def test_rows_tell_the_field_or_delta_mu_that_was_asked_for(benchmarks: None) -> None:
    figures = importlib.import_module("evaluation.figures")
    for system, supercell, mu, name in (
        ("ising", (2, 2), arl.ChemicalPotentials.from_field(0.05), "field"),
        ("cuau", None, {"Au": 0.05}, "delta_mu"),
    ):
        hamiltonian = arl.load("cuau-2x2x4").hamiltonian if supercell is None else arl.hamiltonian(system, supercell=supercell)
        x = torch.zeros(1, hamiltonian.lattice.n_sites, dtype=torch.long)
        samples = arl.SampleSet(hamiltonian.lattice, x, hamiltonian.energy(x), arl.SemiGrandCanonical(2.0, mu), hamiltonian.units)
        assert figures._place(samples) == {"temperature": 2.0, name: 0.05}


def test_all_cases_are_of_models_with_run_files_or_to_come(benchmarks: None) -> None:
    cases = importlib.import_module("evaluation.cases").CASES
    shipped = {path.parent.name for path in (Path(arl.__file__).parent / "pretrained").glob("*/model.json")}
    assert shipped <= set(cases) | {"fcc-binary"}  # of any alloy: benchmarks/any_alloy.py


def test_chains_may_be_put_beside_a_result_later(
    result: dict[str, Any], chains: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a machine without them measured: the same p-ESS, EUBO and phases as with them from the start, in the states asked for."""
    evaluate, cases = program("evaluate_models"), importlib.import_module("evaluation.cases")
    known = importlib.import_module("evaluation.known")
    case = cases.Case(lambda h, file: known.Alloy(h, chains / "reference.json", file), (500.0,), phases=True)
    monkeypatch.setitem(cases.CASES, "cuau-2x2x4", case)
    added = ("p_ess", "p_ess_error", "chains", "lost_mode", "eubo", "eubo_error", "eubo_minus_elbo")
    without = [{k: v for k, v in row.items() if k not in added and "monte_carlo" not in k} for row in result["states"]]
    (tmp_path / "without.json").write_text(json.dumps(result | {"states": without}))
    words = [
        f"--result={tmp_path / 'without.json'}",
        f"--chains={chains / 'chains.npz'}",
        "--weigh=512",
        f"--output={tmp_path / 'both.json'}",
    ]
    model = Path(arl.__file__).parent / "pretrained" / "cuau-2x2x4"
    monkeypatch.setattr("sys.argv", ["evaluate_models.py", "cuau-2x2x4", f"--model={model}", *words])
    evaluate.main()
    found = json.loads((tmp_path / "both.json").read_text())
    for row, expected in zip(found["states"], result["states"], strict=True):
        assert row["phases_monte_carlo"] == expected["phases_monte_carlo"]
        if row["delta_mu"]:
            assert "p_ess" not in row
        else:
            assert {k: row[k] for k in added} == pytest.approx({k: expected[k] for k in added}, rel=1e-6)
    weighed = {order: figures["p_ess_states"] for order, figures in found["figures"].items()}
    assert weighed == {"coarse-to-fine": 2, "random": 2} and "--weigh 512" in found["beside"]
