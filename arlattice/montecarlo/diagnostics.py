"""How much the samples of chains are worth: autocorrelation time, R-hat and effective sample sizes.

Mean, error and autocorrelation time: `arlattice.montecarlo.autocorrelation`. R-hat and ESS are those of A. Vehtari, A. Gelman,
D. Simpson, B. Carpenter and P.-C. Buerkner, Bayesian Analysis 16, 667 (2021), rank-normalised, every chain split in two, as
arviz-stats computes them. Not done: choosing the burn-in.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from arlattice.arguments import of_type
from arlattice.errors import InputError, MissingExtraError
from arlattice.estimate import Estimate
from arlattice.montecarlo.autocorrelation import autocorrelation_time, mean_error, number_of_chains
from arlattice.samples import Observable, SampleSet

__all__ = ["LEAST_DRAWS", "ChainDiagnostics", "diagnose"]

LEAST_DRAWS = 4
"""Of every chain, below which nothing can be said."""

_TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class ChainDiagnostics:
    """One observable over all chains.

    Attributes:
        mean: with the standard error that allows for the correlations.
        autocorrelation_time: integrated, in sweeps; samples twice as far apart are worth as much as independent ones. Half of
            the ``thin`` of the run, and not less, where the recorded samples are uncorrelated.
        r_hat: above 1.01, the chains have not seen the same thing; infinite if each stands still somewhere else, nan if nothing
            ever changes. One chain is cut in two; nan if it has fewer than 8 draws.
        ess_bulk: effective number of samples in the bulk of the distribution; nan if nothing ever changes.
        ess_tail: the smaller of those at the 5 % and the 95 % quantile, likewise.
    """

    mean: Estimate
    autocorrelation_time: float
    r_hat: float
    ess_bulk: float
    ess_tail: float


def diagnose(samples: SampleSet, observables: Mapping[str, Observable] | None = None) -> dict[str, ChainDiagnostics]:
    """Diagnostics of every observable.

    Args:
        samples: from `sample_chains`, `sample_replicas` or the mchammer bridge, whole.
        observables: name -> ``"energy"``, ``"energy_per_site"``, ``"x_"`` and a species, a tensor (n,), or a function of the
            samples; None takes the energy per site and the fraction of every species.

    Raises:
        InputError: samples that are not whole chains, or fewer than 4 draws a chain.
        MissingExtraError: arviz-stats is not installed.
    """
    if importlib.util.find_spec("arviz_stats") is None:
        raise MissingExtraError("arviz-stats", "thermo")
    chains = number_of_chains(samples)
    if len(samples) // chains < LEAST_DRAWS:
        raise InputError("samples", f"{len(samples) // chains} draws a chain", "record at least 4: more sweeps, or a smaller thin")
    if observables is not None:
        of_type("observables", observables, Mapping, "give observables by name, e.g. {'energy': 'energy'}")
    if observables is None:
        observables = {name: name for name in ("energy_per_site", *(f"x_{s}" for s in samples.lattice.species))}
    thin = int(samples.metadata.get("thin", 1))
    return {name: _diagnose(samples.per_sample(of), chains, thin) for name, of in observables.items()}


def _diagnose(values: Tensor, chains: int, thin: int) -> ChainDiagnostics:
    mean = Estimate(float(values.mean()), float(mean_error(values, chains)))
    return ChainDiagnostics(mean, thin * float(autocorrelation_time(values, chains)), *_ranks(values.view(-1, chains).T))


def _ranks(values: Tensor) -> tuple[float, float, float]:
    """R-hat, bulk and tail ESS of values (chains, draws)."""
    from arviz_stats.base.array import array_stats

    if bool((values == values[0, 0]).all()):
        return math.nan, math.nan, math.nan
    if bool((values == values[:, :1]).all()):
        return math.inf, len(values), len(values)
    axes, array = {"chain_axis": 0, "draw_axis": 1}, values.numpy()
    parts = array if len(array) > 1 else array[:, : array.shape[1] // 2 * 2].reshape(2, -1)
    return (
        float(array_stats.rhat(parts, method="rank", **axes)) if parts.shape[1] >= LEAST_DRAWS else math.nan,
        float(array_stats.ess(array, method="bulk", **axes)),
        float(array_stats.ess(array, method="tail", prob=_TAILS, **axes)),
    )
