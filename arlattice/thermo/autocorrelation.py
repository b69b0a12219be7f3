"""Equilibrium averages over Monte Carlo samples, with errors from their autocorrelation time (`arlattice.montecarlo.autocorrelation`)."""

from __future__ import annotations

from arlattice.arguments import of_type
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.montecarlo.autocorrelation import mean_error, number_of_chains
from arlattice.samples import Observable, SampleSet
from arlattice.thermo.equilibration import warn_unequilibrated

__all__ = ["chain_mean"]


def chain_mean(samples: SampleSet, observable: Observable) -> Estimate:
    """Equilibrium average over Monte Carlo samples, its error from their autocorrelation time.

    Warns (`arlattice.thermo.equilibration.UnequilibratedWarning`) if the chains disagree, or are short for that time.

    Args:
        samples: without ``log_prob``, of one run.
        observable: as in `SampleSet.per_sample`.

    Raises:
        InputError: samples with ``log_prob``, which are independent: use `SampleSet.mean`.
        MissingExtraError: arviz-stats is not installed.
    """
    of_type("samples", samples, SampleSet, "give a SampleSet")
    if samples.log_prob is not None:
        raise InputError("samples", samples, "samples of a model are independent; use their own mean")
    values = samples.per_sample(observable)
    warn_unequilibrated([samples], observable)
    return Estimate(float(values.mean()), float(mean_error(values, number_of_chains(samples))))
