"""Chains that run until an average is known: they stop when it is, say so when it is not, and their error bars hold."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

import arlattice as arl
from arlattice.errors import InputError
from arlattice.montecarlo import precision, sample_chains, sample_replicas
from arlattice.montecarlo.autocorrelation import mean_error
from arlattice.montecarlo.precision import PrecisionWarning, looks
from arlattice.thermo.exact import Enumeration

ISING = arl.hamiltonian("ising", supercell=(3, 3))
STATE = arl.SemiGrandCanonical(4.0, {"up": 0.3})
RUN = {"chains": 8, "burn_in": 20, "thin": 2, "seed": 3}


def test_a_run_ends_when_the_error_is_reached() -> None:
    """Its configurations are the first ones of the run that goes on, and the metadata tells its length."""
    stopped = sample_chains(ISING, STATE, sweeps=4000, until={"x_up": 0.01, "energy": 0.5}, **RUN)
    whole = sample_chains(ISING, STATE, sweeps=4000, **RUN)
    draws = int(stopped.metadata["draws"])
    assert draws in looks(2000) and draws < 2000 and stopped.metadata["sweeps"] == 2 * draws and len(stopped) == 8 * draws
    assert torch.equal(stopped.occupations, whole.occupations[: len(stopped)])
    for name, target in (("x_up", 0.01), ("energy", 0.5)):
        assert float(mean_error(stopped.per_sample(name), 8)) <= target


def test_a_run_that_does_not_reach_it_says_what_would() -> None:
    with pytest.warns(
        PrecisionWarning, match=r"temperature 4\.0.*the error of x_up is 0\.0\d+, not 1e-05; about [\d,]+ sweeps would do; give"
    ):
        samples = sample_chains(ISING, STATE, sweeps=205, until={"x_up": 1e-5}, **RUN)
    assert samples.metadata["draws"] == 102 and samples.metadata["sweeps"] == 205


def test_what_a_longer_run_takes_is_about_what_was_said() -> None:
    """The estimate of 100 draws, times two, is enough here."""
    with pytest.warns(PrecisionWarning) as caught:
        sample_chains(ISING, STATE, sweeps=200, until={"x_up": 2e-3}, **RUN)
    needed = int(str(caught[0].message).partition("; about ")[2].partition(" sweeps")[0].replace(",", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PrecisionWarning)
        sample_chains(ISING, STATE, sweeps=2 * needed, until={"x_up": 2e-3}, **RUN)


def test_every_state_of_a_grid_is_to_reach_it() -> None:
    states = [arl.SemiGrandCanonical(t, {"up": 0.1}) for t in (2.2, 3.0, 4.0)]
    sets = sample_replicas(ISING, states, sweeps=20_000, until={"x_up": 0.01}, **RUN)
    errors = [float(mean_error(samples.per_sample("x_up"), 8)) for samples in sets]
    assert max(errors) <= 0.01 and len({len(samples) for samples in sets}) == 1 and len(sets[0]) < 8 * 10_000


@pytest.mark.parametrize("chains", [1, 2])
@pytest.mark.parametrize("sweeps", [1, 60])
def test_what_has_not_changed_is_not_known(sweeps: int, chains: int) -> None:
    """At T = 0.5 in a field no spin turns; a mean of equal numbers has no error that could be believed."""
    frozen = arl.SemiGrandCanonical(0.5, {"up": 2.0})
    with pytest.warns(PrecisionWarning, match="x_up never changed, so its error is not known"):
        samples = sample_chains(ISING, frozen, chains=chains, sweeps=sweeps, burn_in=50, thin=1, until={"x_up": 0.1}, seed=1)
    assert samples.metadata["draws"] == sweeps


def test_what_cannot_be_reached_or_is_no_number_ends_with_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that no sweeps reach, numbers that are none, and an observable that refuses a configuration: no run is lost."""
    with pytest.warns(PrecisionWarning, match="about too many sweeps"):
        assert len(sample_chains(ISING, STATE, sweeps=100, until={"x_up": 1e-200}, **RUN)) == 400
    plain = arl.SampleSet.per_sample

    def refusing(samples: arl.SampleSet, name: str) -> torch.Tensor:
        if len(samples) > 8 and name == "energy":
            raise InputError("observable", name, "has no such number")
        return plain(samples, name) if len(samples) <= 8 else torch.where(torch.arange(len(samples)) == 9, math.nan, plain(samples, name))

    monkeypatch.setattr(arl.SampleSet, "per_sample", refusing)
    with pytest.warns(PrecisionWarning, match="has no such number.*x_up is not a number in every configuration"):
        assert len(sample_chains(ISING, STATE, sweeps=100, until={"energy": 1.0, "x_up": 1.0}, **RUN)) == 400


def test_chains_that_are_too_short_or_disagree_go_on() -> None:
    """At T = 0.5 single flips keep every chain in its magnetisation: the error between chains does not shrink."""
    with pytest.warns(PrecisionWarning, match="sweeps would do"):
        sample_chains(arl.hamiltonian("ising", supercell=(4, 4)), arl.SemiGrandCanonical(0.5), sweeps=400, until={"x_up": 0.05}, **RUN)


def mean_square_deviation(runs: int) -> float:
    """Of averages of runs that stop by their errors, from the exact one, in units of the error."""
    exact = Enumeration.of(ISING)
    truth = exact.mean(STATE, (exact.occupations == 1).double().mean(1))
    found = 0.0
    for seed in range(runs):
        samples = sample_chains(ISING, STATE, chains=8, sweeps=2000, burn_in=20, thin=1, until={"x_up": 0.03}, seed=seed)
        values = samples.per_sample("x_up")
        found += ((float(values.mean()) - truth) / float(precision.mean_error(values, 8))) ** 2 / runs
    return found


def test_error_bars_hold_where_runs_stop_by_them() -> None:
    """200 runs. For honest errors the mean square is that of chi^2 of 200 / 200, with a standard deviation of .1: above 1.5 once in 1e5."""
    assert mean_square_deviation(200) < 1.5


def test_errors_that_take_samples_as_independent_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: configurations one sweep apart are correlated here."""
    monkeypatch.setattr(precision, "mean_error", lambda values, chains: (values.var() / len(values)).sqrt())
    monkeypatch.setattr(precision, "autocorrelation_time", lambda values, chains: torch.tensor(0.5))
    assert mean_square_deviation(60) > 2.0


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ({}, "until"),
        ([("x_up", 0.1)], "until"),
        ({"x_up": 0.0}, "until\\['x_up'\\] = 0"),
        ({"x_up": -1.0}, "until\\['x_up'\\] = -1"),
        ({"x_up": math.nan}, "until\\['x_up'\\] = nan"),
        ({"x_up": "small"}, "until\\['x_up'\\] = 'small'"),
        ({3: 0.1}, "until = 3"),
        ({"x_gold": 0.1}, "x_.*gold"),
    ],
)
def test_errors_that_cannot_be_reached_are_refused_before_a_sweep(until: object, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arlattice.montecarlo.replica_exchange.ReplicaExchange.run", lambda *a: pytest.fail("swept"))
    with pytest.raises(InputError, match=told):
        sample_chains(ISING, STATE, until=until, **RUN)  # type: ignore[arg-type]


def test_progress_is_shown_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    sample_chains(ISING, STATE, sweeps=50, progress=True, **RUN)
    assert "Monte Carlo" in capsys.readouterr().err
    sample_chains(ISING, STATE, sweeps=50, **RUN)
    assert capsys.readouterr().err == ""
