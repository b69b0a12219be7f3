"""Sublattices and phases of FCC, and the rungs of a ladder: parts of the reference program, against what is known in closed form."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.build import bulk

import arlattice as arl
from arlattice.lattice import Lattice


@pytest.fixture(scope="module")
def parts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        yield {name: importlib.import_module(f"references.{name}") for name in ("sublattices", "ladder", "analysis", "histograms")}


@pytest.fixture(scope="module")
def lattice() -> Lattice:
    return Lattice.from_ase(bulk("Cu", "fcc", a=3.8), ["Cu", "Au"], (2, 2, 4))


def test_the_ideal_phases_are_found(parts: dict[str, ModuleType], lattice: Lattice) -> None:
    """Of sixteen: two pure, four A3B, six L1_0, four AB3; all variants differ, and L1_0 of CuAu has one energy, the lowest."""
    sublattices = parts["sublattices"]
    ideal = sublattices.ideal_occupations(lattice)
    names = [list(sublattices.PHASES)[k] for k in sublattices.phase_of(lattice, ideal)]
    assert sorted(names) == sorted([*sublattices.PHASES, "disordered"])
    hamiltonian = arl.load("cuau-2x2x4").hamiltonian
    energy = hamiltonian.energy(hamiltonian.lattice.check_occupations(ideal)).numpy()
    ordered = np.array([name.startswith("L1_0") for name in names])
    assert energy[ordered] == pytest.approx(16 * -36.1825e-3, abs=1e-5)
    assert energy[~ordered].min() > energy[ordered].max()


def test_order_parameters(parts: dict[str, ModuleType], lattice: Lattice) -> None:
    """1 in L1_0, sqrt(3)/2 in A3B and AB3, 0 in pure crystals."""
    sublattices = parts["sublattices"]
    found = sublattices.order_parameter(sublattices.waves(lattice, sublattices.ideal_occupations(lattice)))
    assert np.sort(found) == pytest.approx([0, 0, *[0.75**0.5] * 8, *[1] * 6], abs=1e-12)


def test_shares_of_phases_have_errors_over_the_copies(parts: dict[str, ModuleType], lattice: Lattice) -> None:
    """Two copies that stay in two phases: a half each, with the error of two numbers 0 and 1."""
    ideal = parts["sublattices"].ideal_occupations(lattice)
    found = parts["histograms"].described(lattice, np.stack([ideal[[3, 5]]] * 4))
    shares = [pair for pair in found["phases"].values() if pair[0]]
    assert shares == [[0.5, pytest.approx(0.5)]] * 2
    assert found["x_histogram"][16] == found["order_histogram"][-1] == 1


def test_rungs_are_equally_far(parts: dict[str, ModuleType]) -> None:
    """sigma = 2 everywhere: even steps. A narrow jump of the mean energy between two rungs draws rungs to it."""
    ladder = parts["ladder"]
    beta = ladder.even(10.0, 11)
    wide = np.stack([[-2.0, 2.0]] * 11) - 4 * beta[:, None]
    assert ladder.thermodynamic_length(beta, wide) == pytest.approx(2 * beta)
    assert ladder.equally_far(beta, ladder.thermodynamic_length(beta, wide), 5) == pytest.approx([0, 2.5, 5, 7.5, 10])
    jump = wide - 100 * (beta[:, None] > 5)
    rungs = ladder.equally_far(beta, ladder.thermodynamic_length(beta, jump), 41)
    assert ((rungs > 5) & (rungs < 6)).sum() > 10


def test_further_rungs_are_put_in_once(parts: dict[str, ModuleType]) -> None:
    found = parts["ladder"].with_rungs_at(np.array([0.0, 1.0, 2.0]), np.array([1.5, 2.0 * (1 + 1e-12)]))
    assert found == pytest.approx([0, 1, 1.5, 2])


def test_what_remembers_its_start_has_a_larger_error(parts: dict[str, ModuleType]) -> None:
    """Ordered copies at 1, disordered at 0: the error is at least half of their difference, and they are many errors apart."""
    analysis = parts["analysis"]
    values = np.array([0.0, 0.01, -0.01, 0.0, 1.0, 1.01, 0.99, 1.0])
    assert analysis._of_copies(values) == (pytest.approx(0.5), pytest.approx(0.5))
    assert analysis._apart(values) > 50
    assert analysis._of_copies(values[:4]).error < 0.01


def test_readable_json_is_json_with_numbers_on_one_line(parts: dict[str, ModuleType]) -> None:
    readable_json = importlib.import_module("references.readable_json").readable_json
    value = {"a": [1.5, -2e-9, 3], "b": [{"c": [0, 1]}, {"d": []}], "words": ["x, y", "[1, 2]"], "e": [[1, 2], [3, 4]]}
    text = readable_json(value)
    assert json.loads(text) == value
    assert ' "a": [1.5, -2e-09, 3],\n' in text
