"""Error bars at default settings cover as often as they should: benchmarks/error_bar_coverage.py, small and with fixed seeds."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

import arlattice as arl
from arlattice import random_numbers
from arlattice.models.base import Model

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # the exact values come from sets of all states

REPEATS = 150


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load("error_bar_coverage")


@pytest.fixture(scope="module")
def model() -> Model:
    return program.train()  # type: ignore[no-any-return]


def failures(model: Model, call: str = "sample", repeats: int = REPEATS) -> list[str]:
    repeat, exact = program.calls(model, n=200)[call]
    return program.judged(program.covered(call, repeat, exact, repeats, progress=False))["failed"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("call", ["sample", "sweep"])
def test_one_sigma_covers_two_thirds_of_the_repeats(call: str, model: Model) -> None:
    """150 repeats of 200 samples (a sweep: 40), seeds fixed. False alarm 1e-3 over all columns of a call; a column whose errors are
    1.6 times too small or 2 times too large (coverage 0.47, 0.95) is seen with probability > 0.95 at 150 repeats.
    """
    assert failures(model, call, REPEATS if call == "sample" else 40) == []


def test_equal_seeds_are_seen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known-wrong library: every call draws the same samples, so every repeat covers or none."""
    monkeypatch.setattr(random_numbers, "fresh_seed", lambda: 0)
    assert "sample: log_z" in failures(model)


def test_errors_that_are_too_small_or_too_large_are_seen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known-wrong formulas of one column: log Z 1.6 times too small, the energy 2 times too large."""
    log_z, mean = arl.SampleSet.log_z, arl.SampleSet.mean
    monkeypatch.setattr(arl.SampleSet, "log_z", lambda self: arl.Estimate(log_z(self).value, log_z(self).error / 1.6))
    monkeypatch.setattr(arl.SampleSet, "mean", lambda self, name: arl.Estimate(mean(self, name).value, 2 * mean(self, name).error))
    assert {"sample: log_z", "sample: energy", "sample: x_up"} <= set(failures(model))


def test_the_expected_share_is_that_of_one_sigma() -> None:
    assert math.erf(math.sqrt(0.5)) == pytest.approx(0.6827, abs=1e-4) == program.SHARE
