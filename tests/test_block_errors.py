"""The program that tells what a model of blocks loses, on 16 sites, against enumeration."""

from __future__ import annotations

import json
import math
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
import torch

import arlattice as arl
from arlattice.models.build import build_model
from arlattice.random_numbers import Stream
from arlattice.testing import randomise
from arlattice.thermo.exact import Enumeration

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "block_errors.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = util.spec_from_file_location("block_errors", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mutual_information_of_pairs(program: ModuleType) -> None:
    """log 2 of equal sites, 0 of sites that do not depend on one another: by 20,000 samples to .001, 4 of its errors."""
    x = Stream(1, "sites").integers(2, 20000, 2)
    assert abs(program._information(x, 2)) < 1e-3
    assert program._information(x[:, [0, 0]], 2) == pytest.approx(math.log(2), abs=1e-3)


def test_errors_of_the_network_are_those_of_enumeration(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4x4 Ising with a field in the Hamiltonian, random weights. The last block is known exactly: no site is left beside it."""
    hamiltonian = arl.hamiltonian("ising", supercell=(4, 4), h=0.3)
    model = randomise(build_model("multiscale", hamiltonian, {"width": 8, "layers": 1, "parts": 1}), seed=3)
    model.save(tmp_path / "model")
    monkeypatch.setattr(program, "RESULTS", tmp_path / "found.json")
    words = ["--temperature", "3", "--prefixes", "4", "--completions", "4", "--chains", "256", "--snapshots", "40", "--configurations", "1"]
    monkeypatch.setattr("sys.argv", ["block_errors.py", str(tmp_path / "model"), *words])
    program.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert [(row["cells"], row["known"]) for row in found["scales"]] == [(1, 0), (4, 1), (16, 4)]
    assert [(row["class"], row["sites"], row["known"]) for row in found["blocks"]] == [(1, 4, 4), (2, 4, 8), (3, 4, 12)]
    state, stream = arl.SemiGrandCanonical(3.0), Stream(1, "block errors", "cpu")["configuration 0"]
    plan = model.layouts["blocks"].plan(1, stream["plan"])
    walk = program._Walk(model, model.conditions_of(state).expand(256), stream["walk"])
    start = model.draw(stream["draw"].uniform(16, 1), plan, model.conditions_of(state))[0]
    x = walk.sweeps(start.expand(256, -1), plan.order[0], 60)[:1]
    enumeration = Enumeration.of(hamiltonian)
    weights, rows = enumeration.log_f(state).double().softmax(0), enumeration.occupations
    q = model.plan_logits(x, plan, model.conditions_of(state)).detach().double().softmax(-1)[0]
    for row in found["blocks"]:
        first = row["known"]
        known, sites = plan.order[0, :first], plan.order[0, first : first + 4]
        own = weights * (rows[:, known] == x[0, known]).all(1)
        up = (own[:, None] * rows[:, sites]).sum(0) / own.sum()
        p = torch.stack([1 - up, up], 1)
        exact = float((p * (p / q[first : first + 4]).log()).sum())
        assert row["network"] == pytest.approx(exact, abs=0.02 + 0.05 * exact)
        assert exact > 0.05
