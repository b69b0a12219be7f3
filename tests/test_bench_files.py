"""What `arlattice bench` left is read whole or refused: digests of results, and the shape of all that the tables read."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arlattice_bench.references import monte_carlo
from arlattice_bench.result import read_rows

import arlattice as arl
from arlattice.cli.main import run
from arlattice.io.records import read_record, write_record

RunCli = Callable[..., Any]
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
SHORT = ["steps=1", "batch_size=4", "reverse_states=1", "reverse_samples=2", "equilibration_sweeps=1", "evaluate_samples=2"]
CALL = ["bench", "mam-ising", "--small", "--rows", "fixed-order-mlp", "--quiet", "--device", "cpu", "--samples", "4"]
CALL += ["--seed", "0", *(f"--training={text}" for text in SHORT)]

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row that is run: its run folder, and its table."""
    folder = tmp_path_factory.mktemp("bench")
    with warnings.catch_warnings(action="ignore"):
        assert run([*CALL, "--runs", str(folder / "runs"), "-o", str(folder / "results")]) == 0
    return folder


@pytest.fixture
def row(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its run folder, to be damaged, in the folder where commands run: long paths are shortened in messages."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "mam-ising-small" / "4x4" / "fixed-order-mlp"


def again(run_cli: RunCli, row: Path) -> Any:
    return run_cli(*CALL, "--runs", "runs", "-o", "results", "--json")


def refused(ran: Any, *told: str) -> None:
    assert (ran.code, ran.out) == (2, "")
    (line,) = (line for line in ran.err.splitlines() if line.startswith("arlattice: error:"))
    assert all(text in line for text in told), line


def test_a_whole_result_is_read_and_not_made_again(run_cli: RunCli, row: Path) -> None:
    before = (row / "result.json").read_bytes()
    assert again(run_cli, row).code == 0
    assert (row / "result.json").read_bytes() == before


def test_a_changed_number_of_a_result_is_refused(run_cli: RunCli, row: Path) -> None:
    path = row / "result.json"
    text = path.read_text()
    elbo = str(json.loads(text)["conditions"][0]["states"][0]["elbo"])
    path.write_text(text.replace(elbo, elbo[:-1] + ("1" if elbo[-1] != "1" else "2")))
    refused(again(run_cli, row), "--runs = ", "result.json", "sha256")


@pytest.mark.filterwarnings("always::arlattice.UncheckedWarning")
def test_a_result_without_a_digest_is_read_with_a_warning(run_cli: RunCli, row: Path) -> None:
    (row / "result.json").write_text(json.dumps(read_record(row / "result.json", "path")))
    ran = again(run_cli, row)
    assert ran.code == 0
    assert "arlattice: warning: " in ran.err and "result.json" in ran.err


DAMAGE: dict[str, dict[str, Any]] = {
    "no row": {"row": None},
    "no words": {"how": 3},
    "no command": {"command": ["x"]},
    "no seed": {"specification": {"training": {}}},
    "training is no table": {"specification": {"training": [1]}},
    "conditions are no list": {"conditions": {"states": 1}},
    "a condition without states": {"conditions": [{"condition": "c", "order": "o", "states": []}]},
    "a figure that is a text": {"conditions": [{"condition": "c", "order": "o", "states": [{"elbo": "1.0"}]}]},
    "no cost": {"cost": None},
    "a cost that is a text": {"cost": {"seconds": "1"}},
    "half a memory": {"memory": {"batches": [{"batch": 1}]}},
}


@pytest.mark.parametrize("changes", DAMAGE.values(), ids=DAMAGE)
def test_a_result_of_another_shape_is_refused(changes: dict[str, Any], run_cli: RunCli, row: Path) -> None:
    write_record(row / "result.json", read_record(row / "result.json", "path") | changes)
    refused(again(run_cli, row), "--runs = ", "result.json", "damaged")


@pytest.mark.parametrize("changes", DAMAGE.values(), ids=DAMAGE)
def test_a_table_with_such_a_row_is_refused(changes: dict[str, Any], run_cli: RunCli, row: Path) -> None:
    path = row.parents[3] / "results" / "mam-ising-small.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"rows": [table["rows"][0] | changes]}))
    refused(again(run_cli, row), "--output = ", "mam-ising-small.json", "damaged")


@pytest.mark.parametrize("content", ["[]", "{", "", '{"states": [], "hamiltonian": {}, "model": {}, "training": {}}', '{"states": 3}'])
def test_a_config_that_is_none_is_refused(content: str, run_cli: RunCli, row: Path) -> None:
    (row / "result.json").unlink()
    (row / "config.json").write_text(content)
    refused(again(run_cli, row), "--runs = ")


@pytest.mark.parametrize("content", ["[]", '{"seconds": "long"}', '{"seconds": [1]}', '{"weeks": 1}', '{"calls": 1.5}'])
def test_a_cost_that_is_none_is_refused(content: str, run_cli: RunCli, row: Path) -> None:
    (row / "result.json").unlink()
    (row / "cost.json").write_text(content)
    refused(again(run_cli, row), "--runs = ", "cost.json", "remove it")


def test_a_model_that_does_not_say_its_steps_is_refused(run_cli: RunCli, row: Path) -> None:
    (row / "result.json").unlink()
    described = read_record(row / "model" / "model.json", "path")
    write_record(row / "model" / "model.json", described | {"record": {"steps": "many"}})
    refused(again(run_cli, row), "--runs = ", "does not say how long it was trained")


@pytest.mark.parametrize("content", ["[]", '{"states": 1}', '{"states": [1]}', '{"states": [{"temperature": "hot"}]}'])
def test_references_that_are_none_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(arl.InputError, match=r"--output = .*r\.json"):
        monte_carlo("r.json")(lambda: pytest.fail("needs no Hamiltonian"), tmp_path)


@pytest.mark.parametrize("name", ["paper-table-1", "paper-table-2", "mam-ising"])
def test_the_tables_that_ship_are_read(name: str) -> None:
    assert read_rows(RESULTS / f"{name}.json")
