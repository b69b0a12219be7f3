"""`Precision`: Monte Carlo that runs until averages are known well enough.

An error allows for the autocorrelation of the chains (`arlattice.montecarlo.autocorrelation`) and counts once it can be believed: at least
`LEAST_EFFECTIVE` effective samples, and chains of `LEAST_TIMES` autocorrelation times. Chains that disagree have a long time, so they
go on. Errors are looked at seldom, each time after half as many draws again: who looks after every draw stops when an error happens to
look small. Others do this too: CASM has it as "requested precision", with the same idea.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

from arlattice.arguments import finite_number, of_type
from arlattice.errors import InputError
from arlattice.montecarlo.autocorrelation import autocorrelation_time, mean_error
from arlattice.montecarlo.equilibration import describe
from arlattice.samples import SampleSet

__all__ = ["FIRST_LOOK", "LEAST_EFFECTIVE", "LEAST_TIMES", "Precision", "PrecisionWarning", "looks", "warn_of"]

FIRST_LOOK = 20
"""Draws of every chain before errors are looked at."""

LEAST_EFFECTIVE = 200
"""Effective samples of all chains, below which a run that stops by its error stops too often when the error happens to be small."""

LEAST_TIMES = 20.0
"""Length of a chain in autocorrelation times, below which its error is a guess."""

_CURE = "give more sweeps, more chains, another move, or a larger error"


class PrecisionWarning(UserWarning):
    """A run ended before its averages were known as well as was asked for."""


class Precision:
    """Standard errors to reach.

    Args:
        until: by observable, as `SampleSet.per_sample` names it, in its units; e.g. ``{"x_Au": 1e-3, "energy_per_site": 1e-4}``.

    Raises:
        InputError: no errors by name, or one that is not above 0.
    """

    def __init__(self, until: Mapping[str, float]) -> None:
        if not of_type("until", until, Mapping, "give errors by observable, e.g. {'x_Au': 1e-3}"):
            raise InputError("until", {}, "name at least one observable, e.g. {'x_Au': 1e-3}, or leave it out")
        self.until = {of_type("until", name, str, "name observables"): finite_number(f"until[{name!r}]", e) for name, e in until.items()}
        for name, error in self.until.items():
            if error <= 0:
                raise InputError(f"until[{name!r}]", error, "give an error above 0")

    def check(self, samples: SampleSet) -> None:
        """Refuse observables that a configuration does not have, or that are more than one number."""
        for name in self.until:
            if samples.per_sample(name).ndim != 1:
                raise InputError("until", name, "give an observable of one number a configuration")

    def missed(self, sets: Sequence[SampleSet], chains: int) -> list[str]:
        """What is not known well enough, a clause each; empty when all errors are reached in all states."""
        return [clause for samples in sets for name in self.until for clause in self._missed(samples, name, chains)]

    def _missed(self, samples: SampleSet, name: str, chains: int) -> list[str]:
        target, where = self.until[name], describe(samples.state)
        try:
            values = samples.per_sample(name)
        except InputError as refused:  # a configuration that has no such number
            return [f"{where}: {refused}"]
        if bool((values == values[0]).all()):
            return [f"{where}: {name} never changed, so its error is not known"]
        error, tau, draws = float(mean_error(values, chains)), float(autocorrelation_time(values, chains)), len(values) // chains
        if not math.isfinite(error):
            return [f"{where}: {name} is not a number in every configuration"]
        needed = max(LEAST_TIMES * tau, 2 * tau * LEAST_EFFECTIVE / chains, draws * (error / target) * (error / target))
        if needed <= draws:
            return []
        sweeps = f"{math.ceil(needed) * int(samples.metadata['thin']):,}" if needed < 1e12 else "too many"
        found = f"{error:.2g}, not {target:.2g}" if error > target else f"{error:.2g}, but of too few independent samples to be believed"
        return [f"{where}: the error of {name} is {found}; about {sweeps} sweeps would do"]


def looks(draws: int) -> set[int]:
    """After how many draws errors are looked at, the last among them."""
    found, at = {draws}, FIRST_LOOK
    while at < draws:
        found.add(at)
        at = math.ceil(1.5 * at)
    return found


def warn_of(missed: Sequence[str], stacklevel: int = 3) -> None:
    """Warn of what was not reached."""
    if missed:
        warnings.warn(f"{'; '.join(missed)}; {_CURE}", PrecisionWarning, stacklevel=stacklevel)
