"""The worked examples with EMT energies: the fit, the plugin of one file, and both scripts in their small form."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk

import arlattice as arl
from arlattice.build import build_hamiltonian
from arlattice.hooks import Manager, using
from arlattice.testing import check_hamiltonian

pytest.importorskip("icet")
pytestmark = [
    pytest.mark.filterwarnings("ignore::arlattice_icet.SelfInteractionWarning"),
    pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning"),  # icet's way of calling spglib
]

EXAMPLES = Path(__file__).parent.parent / "examples"
PLUGIN = EXAMPLES / "emt_alloy.py"
SMALL = {"largest": 3, "cutoffs": (1.3,)}


def load(name: str) -> ModuleType:
    """A script or plugin of examples/ as the module that its neighbours import."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def emt_alloy() -> Iterator[ModuleType]:
    yield load("emt_alloy")
    del sys.modules["emt_alloy"]


@pytest.fixture(scope="module")
def fitted(emt_alloy: ModuleType) -> Any:
    return emt_alloy.fit(emt_alloy.EmtAlloyOptions(species=("Cu", "Au"), expansion="not used", **SMALL))


# -- energies and fit --------------------------------------------------------------------------------


def test_the_small_fit_is_to_all_ten_binary_structures_of_up_to_three_sites(fitted: Any) -> None:
    assert len(fitted.structures) + fitted.left_out == 10
    assert sorted({len(atoms) for atoms in fitted.structures}) == [1, 2, 3]


def test_pure_metals_have_no_mixing_energy_by_emt_or_by_the_expansion(fitted: Any) -> None:
    pure = [len(atoms) == 1 for atoms in fitted.structures]
    assert sum(pure) == 2
    assert np.abs(fitted.energies[pure]).max() < 1e-12
    assert np.abs(fitted.predicted[pure]).max() < 1e-12


def test_the_mixing_energy_of_the_ordered_alloy_is_what_emt_gives_by_hand(emt_alloy: ModuleType, fitted: Any) -> None:
    """L1_0 CuAu: relaxed less the mean of the relaxed metals, per atom."""
    ordered = bulk("Cu", "fcc", a=3.9, cubic=True)
    ordered.symbols[ordered.positions[:, 2] > 1] = "Au"
    expected = emt_alloy.relaxed(ordered).get_potential_energy() / 4
    expected -= sum(emt_alloy.relaxed(bulk(metal, "fcc", a=3.9)).get_potential_energy() for metal in ("Cu", "Au")) / 2
    found = [e for atoms, e in zip(fitted.structures, fitted.energies, strict=True) if len(atoms) == 2]
    assert min(abs(e - expected) for e in found) < 1e-4
    assert expected < 0


def test_the_expansion_is_closer_to_emt_than_no_mixing_energies_at_all(fitted: Any) -> None:
    assert np.std(fitted.predicted - fitted.energies) < 0.5 * np.std(fitted.energies)
    assert fitted.rmse > np.sqrt(np.mean((fitted.predicted - fitted.energies) ** 2))


def test_growth_is_no_distortion_and_bcc_is_far_away(emt_alloy: ModuleType) -> None:
    cube = bulk("Cu", "fcc", a=3.6, cubic=True)
    larger, bain = cube.copy(), cube.copy()
    larger.set_cell(1.1 * cube.cell[:])
    bain.set_cell(cube.cell[:] * np.array([1, 1, 2**-0.5]))
    assert emt_alloy.distortion(cube, larger) < 1e-12
    assert emt_alloy.distortion(cube, bain) == pytest.approx(np.log(2) / 2)
    assert emt_alloy.distortion(cube, bain) > emt_alloy.LARGEST_DISTORTION


# -- the plugin --------------------------------------------------------------------------------------


def test_the_plugin_reads_a_fit_that_is_there_and_gives_its_energies(fitted: Any, tmp_path: Path) -> None:
    path = tmp_path / "cu-au.ce"
    fitted.write(path)
    before = path.read_bytes()
    with using(Manager([str(PLUGIN)])):
        hamiltonian = build_hamiltonian("emt-alloy", {"species": ["Cu", "Au"], "expansion": str(path)})
    assert path.read_bytes() == before
    assert hamiltonian.species == ("Cu", "Au") and hamiltonian.units == "eV" and hamiltonian.lattice.n_sites == 16
    check_hamiltonian(hamiltonian)
    x = (hamiltonian.lattice.positions[:, 0] / hamiltonian.lattice.positions[:, 0].max() > 0.5).astype(int)
    predicted = fitted.expansion.predict(hamiltonian.lattice.to_ase(x)) * 16
    assert float(hamiltonian.energy(hamiltonian.lattice.check_occupations(x))[0]) == pytest.approx(predicted, abs=1e-9)


def test_the_plugin_fits_where_there_is_no_file(tmp_path: Path) -> None:
    options = {"species": ["Pd", "Ag"], "expansion": str(tmp_path / "made.ce"), "supercell": 2, **SMALL}
    with using(Manager([str(PLUGIN)])):
        hamiltonian = build_hamiltonian("emt-alloy", options)
    assert (tmp_path / "made.ce").is_file()
    assert hamiltonian.species == ("Pd", "Ag") and hamiltonian.lattice.n_sites == 8


def test_other_metals_than_those_of_the_fit_or_of_emt_are_refused(fitted: Any, tmp_path: Path) -> None:
    path = tmp_path / "cu-au.ce"
    fitted.write(path)
    for species in (["Ag", "Au"], ["Au", "Cu"]):
        with pytest.raises(arl.InputError, match="expansion of Cu, Au"), using(Manager([str(PLUGIN)])):
            build_hamiltonian("emt-alloy", {"species": species, "expansion": str(path)})
    for species, words in ((["Fe", "Cu"], "Fe"), (["Cu", "Cu"], "each metal once")):
        with pytest.raises(arl.InputError, match=words), using(Manager([str(PLUGIN)])):
            build_hamiltonian("emt-alloy", {"species": species, "expansion": str(path)})


def test_the_command_line_takes_the_plugin_file(fitted: Any, tmp_path: Path, run_cli: Any) -> None:
    fitted.write(tmp_path / "cu-au.ce")
    settings = ("--set", 'species=["Cu","Au"]', "--set", f"expansion={tmp_path / 'cu-au.ce'}")
    with using(Manager()):
        ran = run_cli("-p", PLUGIN, "hamiltonians", "emt-alloy", *settings)
    assert ran.code == 0, ran.err
    assert "16" in ran.out and "Au" in ran.out


# -- the scripts -------------------------------------------------------------------------------------


def run_example(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_binary_example_fits_trains_compares_with_enumeration_and_exports(tmp_path: Path) -> None:
    """x_Au at 700 K, hardly trained: within 4 errors of the exact one in all states; n = 300, 5 states, fails for nothing once in 3000."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    done = run_example("fit_an_alloy.py", "--quick", "--output", out)
    assert done.returncode == 0, done.stderr
    assert "cross-validation RMSE" in done.stdout
    result = json.loads((out / "results.json").read_text())
    hot = result["states"][-1]
    assert hot["temperature"] == 700 and hot["mixed"] == 5 and hot["worst"] < 4
    assert (out / "cu-au.png").read_bytes().startswith(b"\x89PNG")
    frames = ase.io.read(out / "samples.extxyz", ":")
    assert len(frames) == 300 and set(frames[0].symbols) <= {"Cu", "Au"} and "log_prob" in frames[0].info
    assert len(list((out / "cif").glob("*.cif"))) == 10
    assert arl.load(out / "model").hamiltonian.name == "emt-alloy"


@pytest.mark.slow
def test_the_ternary_example_agrees_with_monte_carlo(tmp_path: Path) -> None:
    """Six states, seven averages each, within 4 combined errors; n = 200 a side, fails for nothing less than once in 300."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    done = run_example("ternary_alloy.py", "--quick", "--output", out)
    assert done.returncode == 0, done.stderr
    result = json.loads((out / "results.json").read_text())
    assert result["compared"] == 42 and result["worst"] < 4
    assert {name for name in result["checked"][0]["model"] if name.startswith("alpha")} == {
        "alpha Ag-Au 1",
        "alpha Ag-Cu 1",
        "alpha Au-Cu 1",
    }
    assert (out / "ag-au-cu.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("emt_alloy")
@pytest.mark.parametrize("script", ["fit_an_alloy", "ternary_alloy"])
def test_a_folder_that_is_there_is_refused(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--quick", "--output", str(tmp_path)])
    monkeypatch.setitem(sys.modules, script, ModuleType(script))
    with pytest.raises(SystemExit, match="2"):
        load(script).main()
    assert f"argument --output: {tmp_path} is there already; name a new folder" in capsys.readouterr().err
