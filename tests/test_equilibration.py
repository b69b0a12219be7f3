"""What MBAR says of chains that stand still and of states that do not overlap; 4x4 Ising, exact by enumeration."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.errors import InputError
from arlattice.montecarlo import diagnose, sample_chains
from arlattice.samples import SampleSet
from arlattice.thermo.autocorrelation import chain_mean
from arlattice.thermo.equilibration import UnequilibratedWarning, warn_unequilibrated
from arlattice.thermo.exact import Enumeration
from arlattice.thermo.mbar import Multistate, mbar
from arlattice.thermo.overlap import PoorOverlapWarning, check_overlap

pytestmark = pytest.mark.filterwarnings("ignore:Unknown solver options:scipy.optimize.OptimizeWarning")  # from within pymbar
State = arl.SemiGrandCanonical


@cache
def ising() -> Enumeration:
    return Enumeration.of(arl.hamiltonian("ising", supercell=(4, 4)))


def chains(state: arl.Ensemble, **options: Any) -> SampleSet:
    return sample_chains(ising().hamiltonian, state, **{"chains": 8, "sweeps": 200, "burn_in": 10, "thin": 2, "seed": 0, **options})


def heard(sets: list[SampleSet]) -> tuple[Multistate, dict[type, str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = mbar(sets)
    return found, {w.category: str(w.message) for w in caught if w.category in (PoorOverlapWarning, UnequilibratedWarning)}


def test_chains_that_stand_still_are_said_and_which() -> None:
    """Random starts at T = 0.5 freeze in stripes: -29(1) where -53.596 is right."""
    found, said = heard([chains(State(0.5), move="heat-bath"), chains(State(50.0), move="heat-bath", seed=1)])
    exact = ising().log_z(State(50.0)) - ising().log_z(State(0.5))
    difference = found.difference(0, 1)
    assert abs(difference.value - exact) > 10 * difference.error  # the number is wrong, and said to be
    assert "temperature 0.5: R-hat" in said[UnequilibratedWarning] and "temperature 50.0" not in said[UnequilibratedWarning]
    assert "replica exchange" in said[UnequilibratedWarning]


@pytest.mark.parametrize(("cold", "hot"), [(1.0, 50.0), (1.5, 20.0)])
def test_states_that_hardly_overlap_are_said_and_which(cold: float, hot: float) -> None:
    _, said = heard([chains(State(t), move="swendsen-wang", sweeps=1000, seed=k) for k, t in enumerate((cold, hot))])
    assert f"temperature {cold} and temperature {hot} by 0.0" in said[PoorOverlapWarning]
    assert "add states between" in said[PoorOverlapWarning] and UnequilibratedWarning not in said


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (State(2.0, {"up": -6.0}), State(2.0, {"up": 6.0}), r"chemical potentials \{'up': -6.0\} and temperature 2.0, chemical"),
        (State(0.5), State(50.0), "temperature 0.5 and temperature 50.0 by"),
    ],
)
def test_states_that_do_not_overlap_are_refused_by_name(first: State, second: State, words: str) -> None:
    move = "swendsen-wang" if first.temperature == 0.5 else "heat-bath"
    with pytest.raises(InputError, match=words):
        mbar([chains(state, move=move, seed=k) for k, state in enumerate((first, second))])


def test_good_chains_at_neighbouring_states_are_right_and_nothing_is_said() -> None:
    """8 chains of 250 draws; warnings are errors. At 4 errors the difference fails for nothing once in 16,000 seeds."""
    states = [State(2.5), State(3.0), State(3.6)]
    found = mbar([chains(state, sweeps=500, burn_in=50, seed=k) for k, state in enumerate(states)])
    for k in (1, 2):
        exact = ising().log_z(states[k]) - ising().log_z(states[0])
        assert abs(found.difference(0, k).value - exact) < 4 * found.difference(0, k).error < 0.3


def test_many_sets_of_one_state_overlap() -> None:
    """The number is that of two states at a time: it does not fall as states are added."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorOverlapWarning)
        check_overlap(torch.full((60, 600), 1 / 600.0), torch.full((60,), 10.0), [str(k) for k in range(60)])


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01])
def test_the_overlap_number_is_that_of_a_hand_calculation(share: float) -> None:
    """p = (1 - s, s, 0), q = (0, s, 1 - s): sum of p q / (p + q) = s / 2; the pooled samples in their exact proportions."""
    n = 1000
    p, q = torch.tensor([1 - share, share, 0.0]).double(), torch.tensor([0.0, share, 1 - share]).double()
    rows = torch.arange(3).repeat_interleave((n * (p + q)).round().long())
    table = torch.stack([p, q])[:, rows] / (n * (p + q))[rows]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_overlap(table, torch.tensor([n, n]).double(), ["p", "q"])
    assert bool(caught) == (share / 2 < 0.03)
    if caught:
        assert f"p and q by {share / 2:.2g}" in str(caught[0].message)


def carrier(n: int, chains: int) -> SampleSet:
    x = torch.randint(2, (n, 16), generator=torch.Generator().manual_seed(0))
    return SampleSet(
        ising().hamiltonian.lattice, x, torch.zeros(n), State(2.0), "reduced", metadata={"chains": chains, "draws": n // chains, "thin": 1}
    )


def autoregressive(chains: int, draws: int, phi: float) -> Tensor:
    noise = torch.randn(draws, chains, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = [noise[0]]
    for row in noise[1:]:
        rows.append(phi * rows[-1] + math.sqrt(1 - phi**2) * row)
    return torch.cat(rows)


@pytest.mark.parametrize(
    ("chains", "values", "words"),
    [
        (4, autoregressive(4, 100, 0.0) + 3.0 * torch.arange(4).repeat(100), "R-hat"),
        (1, autoregressive(1, 400, 0.0) + torch.linspace(0, 6, 400), "R-hat"),
        (1, autoregressive(1, 300, 0.8), "effective samples, autocorrelation time"),
        (100, autoregressive(100, 2, 0.0), "2 draws a chain are too few to tell"),
    ],
    ids=["apart", "a drift in one chain", "short", "two draws"],
)
def test_a_mean_over_bad_chains_says_what_is_bad(chains: int, values: Tensor, words: str) -> None:
    with pytest.warns(UnequilibratedWarning, match=words):
        chain_mean(carrier(len(values), chains), values)


@pytest.mark.parametrize(("chains", "draws", "phi"), [(16, 100, 0.0), (16, 100, 0.6), (4, 400, 0.8), (1, 1000, 0.3)])
def test_a_mean_over_good_chains_says_nothing(chains: int, draws: int, phi: float) -> None:
    """Chains in equilibrium with 180 and more effective samples; warnings are errors."""
    assert abs(chain_mean(carrier(chains * draws, chains), autoregressive(chains, draws, phi)).value) < 0.5


@pytest.mark.parametrize(("chains", "draws"), [(1, 50), (1, 400), (8, 12), (8, 25), (32, 25)])
def test_independent_draws_raise_no_alarm(chains: int, draws: int) -> None:
    """100 runs of each length: an alarm in less than one seed of 50. Warnings are errors."""
    samples, generator = carrier(chains * draws, chains), torch.Generator().manual_seed(3)
    independent = replace(samples, metadata={})  # a set that says of no chains has no autocorrelation time to fear
    for _ in range(100):
        values = torch.randn(chains * draws, generator=generator, dtype=torch.float64)
        warn_unequilibrated([samples if chains * draws > 200 else independent], values)


def test_one_chain_is_cut_in_two_for_r_hat() -> None:
    steady, moved = autoregressive(1, 400, 0.0), autoregressive(1, 400, 0.0) + torch.linspace(0, 6, 400)
    found = [diagnose(carrier(400, 1), {"it": values})["it"].r_hat for values in (steady, moved)]
    assert found[0] < 1.05 < 1.3 < found[1]
    assert math.isnan(diagnose(carrier(6, 1), {"it": steady[:6]})["it"].r_hat)
