"""What only the person at the keyboard may decide is never read from a file, whatever plugin it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import arlattice as arl
from arlattice.build import build_hamiltonian
from arlattice.hooks import Manager, using
from arlattice.io.records import read_tensors, write_tensors
from arlattice.models.build import build_model
from arlattice.training.config import RunConfig
from arlattice.training.train import run

PLUGIN = """
from typing import Annotated
import arlattice as arl
from pydantic import Field

class Inner(arl.Options):
    scripts: Annotated[bool, arl.ByHand()] = False

class Mine(arl.Options):
    size: int = 3
    trust: bool = False
    run: Annotated[str, arl.ByHand()] = Field("nothing", alias="execute")
    inner: Inner = Inner()
    more: dict = {}

class Model(arl.Options):
    trust: bool = False

built = []

def build(options):
    built.append(options)
    return arl.FunctionHamiltonian(arl.square(options.size), lambda x: x.sum(1).double(), units="reduced", name="mine")

@arl.hookimpl
def arlattice_register_hamiltonians(register):
    register("mine", build, options=Mine)
"""
TRUSTING: list[dict[str, Any]] = [
    {"trust": True},
    {"trust": 1},
    {"trust": "yes"},
    {"execute": "rm"},
    {"run": "rm"},
    {"inner": {"scripts": True}},
    {"inner": {"trust": True}},
    {"more": {"deeper": [{"trust": True}]}},
]
TRAINING = {"steps": 1, "batch_size": 4, "replica_temperatures": 1, "replica_potentials": 1, "replica_copies": 2, "equilibration_sweeps": 1}
TINY = {"name": "any-order-transformer", "width": 16, "heads": 2, "layers": 1}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    (tmp_path / "stranger.py").write_text(PLUGIN)
    with using(Manager([str(tmp_path / "stranger.py")])) as loaded:
        yield loaded


@pytest.mark.parametrize("given", TRUSTING, ids=str)
def test_a_model_file_cannot_give_it(given: dict[str, Any], manager: Manager, tmp_path: Path) -> None:
    """Before the plugin sees any of it."""
    hamiltonian = arl.hamiltonian("mine")
    build_model("any-order-transformer", hamiltonian, {"width": 16, "heads": 2, "layers": 1}).save(tmp_path / "model")
    tensors, description = read_tensors(tmp_path / "model" / "model.safetensors")
    description["hamiltonian"]["options"] |= given
    (tmp_path / "hostile").mkdir()
    write_tensors(tmp_path / "hostile" / "model.safetensors", tensors, description)
    assert arl.load(tmp_path / "model").hamiltonian.name == "mine"
    with pytest.raises(arl.InputError, match="is never read from a file"):
        arl.load(tmp_path / "hostile")


@pytest.mark.parametrize("given", TRUSTING, ids=str)
@pytest.mark.parametrize("table", ["hamiltonian", "supercells"])
def test_a_run_file_cannot_give_it(given: dict[str, Any], table: str, manager: Manager, tmp_path: Path) -> None:
    tables: dict[str, Any] = {"hamiltonian": {"name": "mine"}, "states": {"temperature": 2.0}, "model": TINY, "training": TRAINING}
    tables |= {"hamiltonian": {"name": "mine", **given}} if table == "hamiltonian" else {"supercells": [given]}
    with pytest.raises(arl.InputError, match="is never read from a file"):
        run(RunConfig.parse(tables), tmp_path / "run", progress=False, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_person_gives_it_in_python_and_it_is_not_recorded(manager: Manager) -> None:
    hamiltonian = arl.hamiltonian("mine", trust=True, execute="it", inner={"scripts": True})
    assert dict(hamiltonian.options) == {"size": 3, "inner": {}, "more": {}}


def test_a_person_gives_it_with_set(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    (tmp_path / "stranger.py").write_text(PLUGIN)
    ran = run_cli("-p", tmp_path / "stranger.py", "hamiltonians", "mine", "--set", "trust=true", "--json")
    assert ran.code == 0 and "trust" not in ran.out


def test_an_old_file_that_says_no_is_read(manager: Manager) -> None:
    assert build_hamiltonian("mine", {"trust": False, "execute": "nothing", "inner": {"scripts": False}}).lattice.n_sites == 9


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_what_was_compiled_by_a_person_who_trusts_trains_with_a_run_file_that_does_not(tmp_path: Path) -> None:
    """The table file holds numbers only; the run file asks for the same expansion, and its trust is not compared."""
    from arlattice_icet.cuau import expansion

    path = str(tmp_path / "mine.ce")
    expansion().write(path)
    with pytest.warns(UserWarning, match="periodic images"):
        arl.hamiltonian("icet", expansion=path, supercell=2, trust=True).save(tmp_path / "tables.safetensors")  # type: ignore[attr-defined]
    tables: dict[str, Any] = {
        "hamiltonian": {"name": "icet", "expansion": path, "supercell": 2},
        "states": {"temperature": 900.0},
        "model": TINY,
        "training": TRAINING | {"evaluate_samples": 32},
    }
    model = run(RunConfig.parse(tables), tmp_path / "run", progress=False, device="cpu", hamiltonian_file=tmp_path / "tables.safetensors")
    assert model.record["steps"] == 1
