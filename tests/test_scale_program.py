"""The program that times how the shipped models draw."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

import arlattice as arl

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_models_are_timed_in_each_precision_and_their_weights_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trained and a random model on a CPU. Rates depend on the machine: that they are there is what is tested."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    program = importlib.import_module("scale")
    for name, value in {"REPEATS": 1, "RECOMPUTED": 2, "STATES": {"ising-16x16": arl.SemiGrandCanonical(2.6)}}.items():
        monkeypatch.setattr(program, name, value)
    words = ["ising-16x16", program.TRANSFORMER, "--precision", "float32", "--sites", "1", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["scale.py", *words, "--output", str(tmp_path / "found.json")])
    program.main()
    trained, random = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert trained["ess"] > 0.95 and "ess" not in random and trained["n"] == random["n"] == 64
    for row in (trained, random):
        assert row["samples_per_second"] > 0 and row["recomputed_difference"] < 1e-4 and row["precision"] == "float32"


def test_growth_is_the_exponent_of_the_time_a_sample_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    program = importlib.import_module("scale")
    rates = {256: 1000.0, 1024: 250.0, 4096: 31.25}
    rows = [{"model": f"ising-{n}", "precision": "float32", "sites": n, "samples_per_second": rate} for n, rate in rates.items()]
    assert [(row["from"], row["to"], round(row["exponent"], 9)) for row in program.growth(rows)] == [(256, 1024, 1.0), (1024, 4096, 1.5)]
