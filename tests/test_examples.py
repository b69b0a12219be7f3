"""The demo runs and leaves what it says; the shipped CuAu model agrees with configurations that can be enumerated."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
import pytest

import arlattice as arl

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "examples" / "demo.py"


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    return load("examples/demo.py")


def test_the_demo_prints_writes_and_draws(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, DEMO, "--quick", "--output", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("x_Au", "log Z", "ESS", "-5.3277 meV", "exact 34.1135", "cuau.png"):
        assert word in done.stdout
    assert "states: 100%" in done.stderr
    for picture in ("cuau.png", "cuau-512.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert {len(ase.io.read(tmp_path / f"cuau-512-{t}K.extxyz")) for t in (600, 1200)} == {512}
    for temperature in (500, 680, 1200):
        frames = ase.io.read(tmp_path / f"cuau-{temperature}K.extxyz", ":")
        samples = arl.SampleSet.read(tmp_path / f"cuau-{temperature}K.nc")
        assert len(frames) == len(samples) == 12
        assert samples.state == arl.SemiGrandCanonical(temperature, {"Au": 0.0})
        assert frames[0].info["log_prob"] == float(samples.log_prob[0])


def test_the_references_have_every_state_of_the_demo_and_are_of_the_models_hamiltonians(demo: ModuleType) -> None:
    states = {(t, 0.0) for t in demo.TEMPERATURES} | {(demo.LINE[0], mu) for mu in demo.LINE[1]}
    for name, wanted in ((demo.MODEL, states), (demo.LARGE, set(demo.LARGE_STATES))):
        path = Path(arl.__file__).parent / "pretrained" / name / "reference.json"
        assert json.loads(path.read_text())["hamiltonian"]["fingerprint"] == arl.load(name).hamiltonian.fingerprint
        assert wanted <= set(demo.read_reference(name))


def test_the_reference_beside_the_large_model_is_the_measured_one(demo: ModuleType) -> None:
    shipped = json.loads((Path(arl.__file__).parent / "pretrained" / demo.LARGE / "reference.json").read_text())
    measured = json.loads((ROOT / "benchmarks" / "results" / f"reference-{demo.LARGE}.json").read_text())
    assert [{key: row[key] for key in shipped["states"][0]} for row in measured["states"]] == shipped["states"]


@pytest.mark.parametrize(("name", "size"), [("MODEL", 4), ("LARGE", 8)])
def test_the_drawn_box_holds_every_site_of_the_supercell_once(demo: ModuleType, name: str, size: int) -> None:
    lattice = arl.load(getattr(demo, name)).lattice
    steps = (lattice.positions / lattice.cell.max()).round().astype(int)
    box = demo.folded(steps, size)
    places = itertools.product(range(2 * size), range(size), range(size))
    assert Counter(map(tuple, box.tolist())) == Counter(p for p in places if sum(p) % 2 == 0)
    moved = np.linalg.solve(lattice.supercell_vectors.T / lattice.cell.max(), (box - steps).T)
    assert np.allclose(moved, moved.round())


@pytest.mark.parametrize("delta_mu", [-0.4, -0.28])
def test_the_shipped_model_has_the_log_z_of_dilute_au(delta_mu: float) -> None:
    """At 680 K up to three Au atoms carry all but 7e-4 of the weight at -0.28 eV: they are enumerated.

    n = 200; fails for nothing once in 1e5 (4.5 standard errors).
    """
    dilute = load("benchmarks/dilute_limit.py")
    model = arl.load("cuau-4x4x4")
    state = arl.SemiGrandCanonical(680, {"Au": delta_mu})
    exact, left_out = dilute.dilute_log_z(model.hamiltonian, state, [dilute.energies_with(model.hamiltonian, n) for n in (1, 2, 3)])
    found = model.sample(200, state, seed=3).log_z()
    assert left_out < 7e-4
    assert abs(found.value - exact) < 4.5 * found.error + left_out


def run_example(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_phase_diagram_example_finds_the_ordered_phases(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    printed = run_example("phase_diagram.py", "--quick", "--output", tmp_path)
    assert "L1_0 x_Au = " in printed and "A3B x_Au = " in printed
    assert (tmp_path / "phase-diagram.png").read_bytes().startswith(b"\x89PNG")


def test_the_regions_of_the_inpainting_example_stay_and_order_grows_on_them(tmp_path: Path) -> None:
    """At 800 K the plane beside Au takes less Au than the plane beside Cu; dopants keep off the first shell and take the second."""
    pytest.importorskip("matplotlib")
    printed = run_example("inpaint_around_a_region.py", "-n", 40, "--output", tmp_path)
    gold = [float(line.split("x_Au = ")[1].split("(")[0]) for line in printed.splitlines() if "x_Au = " in line]
    assert len(gold) == 6 and gold[0] < gold[1] and gold[2] < gold[5] < gold[3]
    assert all(atoms.symbols[0] == "Au" for atoms in ase.io.read(tmp_path / "dopants.extxyz", ":"))
    frames = ase.io.read(tmp_path / "slab.extxyz", ":")
    planes = np.round(frames[0].positions[:, 2] / 1.9).astype(int) % 4
    for atoms in frames:
        assert set(atoms.symbols[planes == 0]) == {"Cu"} and set(atoms.symbols[planes == 1]) == {"Au"}
