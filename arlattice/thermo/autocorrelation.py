"""Deprecated: `arlattice.montecarlo.autocorrelation` is the name; this one goes with the next release."""

import warnings

from arlattice.montecarlo.autocorrelation import autocorrelation_time, chain_mean, mean_error, number_of_chains

__all__ = ["autocorrelation_time", "chain_mean", "mean_error", "number_of_chains"]

warnings.warn("arlattice.thermo.autocorrelation is now arlattice.montecarlo.autocorrelation", DeprecationWarning, stacklevel=2)
