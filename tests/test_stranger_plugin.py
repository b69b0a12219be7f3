"""A Hamiltonian that arlattice has never seen: written in one file, trained on, sampled, opened with ASE."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch

import arlattice as arl
from arlattice.hooks import Manager, using

pytestmark = pytest.mark.filterwarnings(
    "ignore::arlattice.LowEssWarning"
)  # few samples on purpose; tests/test_reliability.py has the warnings

TEMPLATE = Path(__file__).parent.parent / "examples" / "plugin-template"

PLUGIN = '''
"""Nickel and aluminium on FCC: a black box that counts aluminium and unlike layers."""

from ase.build import bulk
from pydantic import Field

import arlattice as arl


class Options(arl.Options):
    cells: int = Field(2, ge=1, description="primitive cells along each direction")
    cost: float = Field(0.05, description="energy of an aluminium atom, eV")


def build(options):
    lattice = arl.Lattice.from_ase(bulk("Ni", "fcc", a=3.52), ["Ni", "Al"], options.cells)

    def energy(occupations):
        order = occupations.view(len(occupations), options.cells, -1).double().mean(2)
        return options.cost * occupations.sum(1).double() - 0.1 * order.std(1)

    return arl.FunctionHamiltonian(lattice, energy)


@arl.hookimpl
def arlattice_register_hamiltonians(register):
    register("nial", build, options=Options, summary="nickel and aluminium, a black box")
'''

CONFIG = """
[hamiltonian]
name = "nial"
cost = 0.03

[states]
temperature = [500.0, 1500.0]
chemical_potentials = { Al = [-0.05, 0.05] }

[model]
name = "any-order-transformer"
width = 16
heads = 2
layers = 1

[training]
steps = 5
batch_size = 16
replica_temperatures = 2
replica_potentials = 2
replica_copies = 2
equilibration_sweeps = 2
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "nial.py").write_text(PLUGIN)
    (tmp_path / "nial.toml").write_text(CONFIG)
    return tmp_path / "nial.py"


def test_from_one_file_to_structures(plugin: Path, tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    run, out, cifs = tmp_path / "run", tmp_path / "out.extxyz", tmp_path / "cifs"
    assert "nickel and aluminium" in run_cli("-p", plugin, "hamiltonians").out

    trained = run_cli("-p", plugin, "train", tmp_path / "nial.toml", "-o", run, "--quiet", "--device", "cpu")
    assert (trained.code, trained.err) == (0, "")

    drawn = run_cli("-p", plugin, "sample", run, "-n", 20, "--temperature", 800, "--mu", "Al=0.01", "--quiet", "-o", out)
    assert (drawn.code, drawn.err) == (0, "")
    assert run_cli("export", out, cifs, "--format", "cif").code == 0

    frames = ase.io.read(out, ":")
    samples = arl.SampleSet.read(out)
    with using(Manager([str(plugin)])):
        hamiltonian = arl.hamiltonian("nial", cost=0.03)
    assert len(frames) == len(list(cifs.glob("*.cif"))) == 20
    for atoms, row in zip(frames, samples.occupations, strict=True):
        assert set(atoms.symbols) <= {"Ni", "Al"}
        assert torch.equal(hamiltonian.lattice.occupations_from_ase(atoms), row)
        assert atoms.get_potential_energy() == pytest.approx(float(hamiltonian.energy(row[None])), abs=1e-12)


def test_what_was_trained_on_it_is_normalised(plugin: Path, tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    """Sum of q over all 256 states = 1, to the rounding of float32 weights."""
    run_cli("-p", plugin, "train", tmp_path / "nial.toml", "-o", tmp_path / "run", "--quiet", "--device", "cpu")
    states = torch.cartesian_prod(*[torch.arange(2)] * 8)
    with using(Manager([str(plugin)])):
        model = arl.load(tmp_path / "run")
    log_prob = model.log_prob(states, arl.SemiGrandCanonical(800, {"Al": 0.01}), torch.arange(8))
    assert float(log_prob.exp().sum()) == pytest.approx(1, abs=1e-5)


def test_without_the_plugin_the_model_says_what_is_missing(plugin: Path, tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    run_cli("-p", plugin, "train", tmp_path / "nial.toml", "-o", tmp_path / "run", "--quiet", "--device", "cpu")
    ran = run_cli("sample", tmp_path / "run", "--temperature", 800)
    assert ran.code == 2
    assert ran.err.startswith("arlattice: error: hamiltonian = 'nial': not registered by any plugin")


# -- the template ----------------------------------------------------------------------------------


def test_the_template_works_from_its_file(run_cli: Callable[..., Any]) -> None:
    ran = run_cli("-p", TEMPLATE / "arlattice_j1j2.py", "hamiltonians", "j1j2", "--set", "supercell=[6,6]", "--set", "J2=-0.7")
    assert (ran.code, ran.err) == (0, "")
    assert "2-body 144" in ran.out


def test_the_template_works_installed(tmp_path: Path) -> None:
    """Install it into a folder with pip, and run its own tests against that folder."""
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["arlattice"] == {"j1j2": "arlattice_j1j2"}
    source = tmp_path / "source"
    source.mkdir()
    for file in ("pyproject.toml", "arlattice_j1j2.py"):
        (source / file).write_text((TEMPLATE / file).read_text())
    install = ["install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(tmp_path / "site"), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TEMPLATE)]
    done = subprocess.run(tests, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
