"""Names: no function hides a module, and the names of the last release work for one release more, with a warning."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import arlattice_bench
import arlattice_icet
import arlattice_ising
import pytest
import torch
from arlattice_bench.result import read_rows
from pydantic import Field

import arlattice as arl
from arlattice.hooks.manager import Manager, using
from arlattice.hooks.registry import Registry
from arlattice.io.records import read_tensors, write_tensors
from arlattice.moved_modules import MOVED
from arlattice.old_names import OldNameWarning
from arlattice.samples import differing_options
from arlattice.training.compiled import load_compiled
from arlattice.training.config import RunConfig
from arlattice.training.train import run

# -- modules ---------------------------------------------------------------------------------------


def packages() -> list[ModuleType]:
    """Every package of arlattice and its plugins, after all their modules were imported."""
    found: list[ModuleType] = []
    for root in (arl, arlattice_bench, arlattice_ising, arlattice_icet):
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        found += [m for name, m in sys.modules.items() if f"{name}.".startswith(f"{root.__name__}.") and hasattr(m, "__path__")]
    return found


def test_no_function_hides_a_module() -> None:
    """A name of a package is its module of that name, if it has one."""
    seen = 0
    for package in packages():
        for module in pkgutil.iter_modules(package.__path__):
            if module.name != "__main__":
                assert vars(package)[module.name] is sys.modules[f"{package.__name__}.{module.name}"], f"{package.__name__}.{module.name}"
                seen += 1
    assert seen > 100


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_module_that_moved_can_be_imported_by_its_old_name(old: str, new: str) -> None:
    name = importlib.import_module(new).__all__[0]
    with pytest.warns(OldNameWarning, match=f"{old} is now called {new}"):
        value = getattr(importlib.import_module(old), name)
    assert value is getattr(importlib.import_module(new), name)


def test_what_a_moved_module_does_not_have_is_no_attribute_and_does_not_warn() -> None:
    moved = importlib.import_module("arlattice.models.orders")
    assert not hasattr(moved, "__file__")
    with pytest.raises(AttributeError):
        moved.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "line",
    [
        "import arlattice.hamiltonian",
        "import arlattice.models.conditions; arlattice.models.conditions.Conditions",
        "import arlattice.models.steps as steps; steps.prefixes",
        "from arlattice.hamiltonian import Hamiltonian",
        "from arlattice.models.orders import draw_orders",
    ],
)
def test_old_imports_work_in_a_fresh_process_and_the_function_stays(line: str) -> None:
    line = line.replace("steps.prefixes", f"steps.{importlib.import_module('arlattice.decoding.steps').__all__[0]}")
    code = f"{line}\nimport arlattice as arl\nassert arl.hamiltonian('ising', supercell=3).lattice.n_sites == 3"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("OldNameWarning" in done.stderr) == (line != "import arlattice.hamiltonian"), done.stderr


# -- options ---------------------------------------------------------------------------------------


def test_an_old_name_of_an_option_works_by_hand_and_warns() -> None:
    with pytest.warns(OldNameWarning, match="size is now called supercell") as told:
        old = arl.hamiltonian("ising", size=(3, 4), J=0.5)
    assert [Path(w.filename).name for w in told] == [Path(__file__).name]
    new = arl.hamiltonian("ising", supercell=(3, 4), J=0.5)
    assert (old.fingerprint, old.options) == (new.fingerprint, new.options)
    assert new.options["supercell"] == [3, 4]


def test_both_names_of_an_option_are_refused() -> None:
    with pytest.raises(arl.InputError, match=r"size = 3: is now called supercell; give supercell alone"):
        arl.hamiltonian("potts", size=3, supercell=3)


def test_an_old_name_works_on_the_command_line_and_warns(run_cli: Any) -> None:
    ran = run_cli("hamiltonians", "ising", "--set", "size=[3,4]", "--json")
    assert ran.code == 0 and json.loads(ran.out)["options"]["supercell"] == [3, 4]
    assert ran.err == "arlattice: warning: size is now called supercell; the old name goes in the next release\n"


class _Inner(arl.Options):
    renamed: ClassVar[dict[str, str]] = {"before": "now"}
    now: int = 1


class _Renamed(arl.Options):
    renamed: ClassVar[dict[str, str]] = {"allow": "allowed"}
    allowed: bool = Field(False)
    inner: _Inner = _Inner()


def test_any_plugin_can_rename_an_option_also_of_an_option() -> None:
    registry = Registry("hamiltonian")
    registry.register("mine", lambda options: options, plugin="me", options=_Renamed)
    parsed = registry["mine"].parse_options({"allow": True, "inner": {"before": 3}})
    assert parsed == _Renamed(allowed=True, inner=_Inner(now=3))
    assert registry.current_names("mine", {"allow": True}) == {"allowed": True}
    assert registry.current_names("unknown", {"allow": True}) == {"allow": True}


def test_what_is_never_read_from_a_file_is_not_read_by_its_old_name() -> None:
    class Trusting(arl.Options):
        renamed: ClassVar[dict[str, str]] = {"believe": "trust"}
        trust: bool = False

    registry = Registry("hamiltonian")
    registry.register("mine", lambda options: options, plugin="me", options=Trusting)
    with pytest.raises(arl.InputError, match="is never read from a file"):
        registry["mine"].parse_options({"believe": True})


# -- files of the last release ----------------------------------------------------------------------

CONFIG = """
supercells = [{ SUPERCELL = [2, 3] }]
[hamiltonian]
name = "ising"
SUPERCELL = [3, 3]
[states]
temperature = 2.0
[model]
name = "any-order-transformer"
width = 16
heads = 2
layers = 1
positions = "primitive"
[training]
steps = 2
batch_size = 4
replica_temperatures = 1
replica_potentials = 1
replica_copies = 2
equilibration_sweeps = 1
seed = 3
"""


def _config(tmp_path: Path, name: str) -> RunConfig:
    path = tmp_path / f"{name}.toml"
    path.write_text(CONFIG.replace("SUPERCELL", name))
    return RunConfig.from_toml(path)


def _with_size(path: Path) -> None:
    """Rewrite a file of tensors as the last release would have left it."""
    tensors, description = read_tensors(path, "file")
    text = json.dumps(description).replace('"supercell"', '"size"')
    if '"lattice"' in text:  # of compiled tables: the lattice has a supercell of its own
        whole = json.loads(json.dumps(description))
        whole["options"] = {{"supercell": "size"}.get(k, k): v for k, v in whole["options"].items()}
        text = json.dumps(whole)
    write_tensors(path, tensors, json.loads(text))


def test_a_shipped_model_says_size_and_is_the_same_hamiltonian() -> None:
    model = arl.load("ising-10x10")
    assert model.hamiltonian.options["size"] == [10, 10]
    assert model.hamiltonian.fingerprint == arl.hamiltonian("ising", supercell=(10, 10)).fingerprint
    assert model.hamiltonian.on((4, 4)).fingerprint == arl.hamiltonian("ising", supercell=(4, 4)).fingerprint


def test_a_run_file_and_a_checkpoint_that_say_size_go_on(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", OldNameWarning)
        warnings.simplefilter("ignore", arl.StatisticsWarning)
        first = run(_config(tmp_path, "size"), tmp_path / "run", progress=False, device="cpu")
        _with_size(tmp_path / "run" / "checkpoint.safetensors")
        again = run(_config(tmp_path, "supercell"), tmp_path / "run", resume=True, progress=False, device="cpu")
    assert again.fingerprint == first.fingerprint


def test_compiled_tables_that_say_size_are_those_of_the_supercell(tmp_path: Path) -> None:
    path, hamiltonian = tmp_path / "ising.safetensors", arl.hamiltonian("ising", supercell=(3, 3))
    hamiltonian.save(path)  # type: ignore[attr-defined]
    _with_size(path)
    for name in ("size", "supercell"):
        loaded = load_compiled(path, "ising", {name: [3, 3]}, "hamiltonian file")
        assert loaded.options["size"] == [3, 3] and loaded.fingerprint == hamiltonian.fingerprint
        with pytest.raises(arl.InputError, match="was compiled as"):
            load_compiled(path, "ising", {name: [3, 4]}, "hamiltonian file")


def test_samples_that_say_size_differ_in_what_differs_only() -> None:
    hamiltonian, state = arl.hamiltonian("ising", supercell=(3, 3)), arl.SemiGrandCanonical(2.0)
    x = torch.zeros(2, 9, dtype=torch.long)
    sets = [
        arl.SampleSet(
            hamiltonian.lattice,
            x,
            hamiltonian.energy(x),
            state,
            "reduced",
            metadata={"hamiltonian": "ising", "hamiltonian_options": json.dumps(o)},
        )
        for o in ({"size": [3, 3], "J": 1.0}, {"supercell": [3, 3], "J": 2.0})
    ]
    assert differing_options(sets) == " (J: 1.0, 2.0)"


def test_results_of_rows_that_say_size_are_those_of_today() -> None:
    rows = read_rows(Path(__file__).parent.parent / "benchmarks" / "results" / "paper-table-1.json")
    described = [row["specification"] for row in rows] + [row["specification"]["painted_from"] or {} for row in rows]
    for part in described:
        assert all("size" not in table for table in (part.get("hamiltonian", {}), *part.get("supercells", [])))
    assert rows[0]["specification"]["hamiltonian"]["supercell"] == [5, 5]


# -- the same Hamiltonian on another supercell -------------------------------------------------------

PLUGIN = """
import arlattice as arl

class Lengths(arl.Options):
    supercell: int = 3
    strength: float = 2.0

class Fixed(arl.Options):
    strength: float = 2.0

class Other(arl.Options):
    supercell: tuple[int, int] = (3, 3)

def build(options):
    length = getattr(options, "supercell", 3)
    return arl.FunctionHamiltonian(arl.square(length), lambda x: options.strength * x.sum(1).double(), units="reduced")

def wrong(options):
    return arl.FunctionHamiltonian(arl.square(3), lambda x: x.sum(1).double(), units="reduced")

@arl.hookimpl
def arlattice_register_hamiltonians(register):
    register("lengths", build, options=Lengths)
    register("fixed", build, options=Fixed)
    register("wrong", wrong, options=Other)
"""


@pytest.mark.parametrize(
    ("start", "supercell", "same"),
    [
        ((4, 4), (4, 5), (4, 5)),
        ((4, 4), 6, (6, 6)),
        ((4, 4), [[4, 0, 0], [0, 5, 0], [0, 0, 1]], (4, 5)),
        ((4, 4), [[2, 1], [0, 3]], [[2, 1], [0, 3]]),
        ([[2, 1], [0, 3]], (4, 5), (4, 5)),
        (5, 7, 7),
        ((2, 2, 3), [[2, 1, 0], [0, 2, 1], [1, 0, 3]], [[2, 1, 0], [0, 2, 1], [1, 0, 3]]),
    ],
    ids=str,
)
def test_ising_on_another_supercell(start: Any, supercell: Any, same: Any) -> None:
    there = arl.hamiltonian("ising", supercell=start, J=0.7, h=0.2).on(supercell)
    expected = arl.hamiltonian("ising", supercell=same, J=0.7, h=0.2)
    assert (there.fingerprint, there.options) == (expected.fingerprint, expected.options)


def test_a_skewed_torus_has_two_bonds_a_site() -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=[[3, 1], [-1, 4]])
    assert hamiltonian.lattice.n_sites == 13
    assert float(hamiltonian.energy(torch.zeros(13, dtype=torch.long))) == -26.0
    with pytest.raises(arl.InputError, match="a site is its own neighbour"):
        arl.hamiltonian("ising", supercell=[[1, 0], [3, 4]])


def test_any_plugin_with_the_option_and_none_without(tmp_path: Path) -> None:
    (tmp_path / "strange.py").write_text(PLUGIN)
    with using(Manager([str(tmp_path / "strange.py")])):
        lengths = arl.hamiltonian("lengths", strength=3.0).on(5)
        assert lengths.lattice.n_sites == 25 and dict(lengths.options) == {"supercell": 5, "strength": 3.0}
        assert arl.hamiltonian("fixed").on(3).name == "fixed"
        for name, told in (("fixed", "it has no option 'supercell'; build it yourself"), ("wrong", "its plugin makes")):
            with pytest.raises(arl.InputError, match=told):
                arl.hamiltonian(name).on(4)
    with pytest.raises(arl.InputError, match="'function' cannot be built in this supercell by name: no plugin registers it"):
        arl.FunctionHamiltonian(arl.square(3), lambda x: x.sum(1).double()).on(4)


# -- building ----------------------------------------------------------------------------------------


def test_a_model_is_built_by_name_and_a_range_of_states_is_public() -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
    model = arl.model("any-order-transformer", hamiltonian, width=16, heads=2, layers=1)
    assert isinstance(model, arl.Model) and model.hamiltonian is hamiltonian and model.options.model_dump()["width"] == 16
    assert arl.StateRange(temperature=(1.0, 2.0)).temperature == (1.0, 2.0)
    with pytest.raises(arl.InputError, match="widht = 16: unknown option; did you mean 'width'"):
        arl.model("any-order-transformer", hamiltonian, widht=16)
    with pytest.raises(arl.InputError, match="give a Hamiltonian"):
        arl.model("any-order-transformer", "ising")  # type: ignore[arg-type]
