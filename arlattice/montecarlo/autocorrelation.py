"""Errors of the means of correlated samples, by the integrated autocorrelation time.

With rho(t) the normalised autocorrelation of a chain in equilibrium, tau = 1/2 + sum_{t>=1} rho(t), and n samples of
variance v give a mean of variance 2 tau v / n. The sum stops at the first window W >= 5 tau(W).
Source: A. D. Sokal, in Functional Integration (Plenum, 1997), section 3; bias: U. Wolff, Comput. Phys. Commun. 156, 143
(2004). Whether chains are in equilibrium: `arlattice.thermo.equilibration`; a mode that no chain entered is not seen.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from arlattice.arguments import of_type, whole_number
from arlattice.errors import InputError
from arlattice.samples import SampleSet

__all__ = ["autocorrelation_time", "mean_error", "number_of_chains"]

_WINDOW = 5.0


def autocorrelation_time(values: Tensor, chains: int = 1) -> Tensor:
    """Integrated autocorrelation time in draws; 1/2 for independent samples, never less.

    Args:
        values: (n,) or (n, columns); the first draw of all chains, then the second, and so on.
        chains: their number; covariances are averaged over them, about the common mean.

    Returns:
        A scalar, or (columns,).

    Raises:
        InputError: ``n`` is not a multiple of ``chains``.
    """
    chains = whole_number("chains", chains)
    if not isinstance(values, Tensor) or values.ndim == 0:
        raise InputError("values", values, "give a tensor, (n,) or (n, columns)")
    if len(values) % chains:
        raise InputError("chains", chains, f"{len(values)} samples must be as many of each chain")
    n, draws = len(values), len(values) // chains
    centred = (values.double() - values.double().mean(0)).reshape(draws, chains, -1)
    spectrum = torch.fft.rfft(centred, n=2 * draws, dim=0).abs().square().sum(1)
    covariance = torch.fft.irfft(spectrum, n=2 * draws, dim=0)[:draws] / torch.arange(draws, 0, -1)[:, None]  # summed over chains
    tau = (covariance / covariance[0].clamp(min=torch.finfo(torch.float64).tiny)).cumsum(0) - 0.5  # (window, columns)
    window = torch.arange(draws)[:, None]
    stop = torch.where(window >= _WINDOW * tau, window, draws - 1).amin(0, keepdim=True)
    corrected = tau.gather(0, stop)[0] * (1 + (2 * stop[0] + 1) / n)
    return corrected.clamp(min=0.5).reshape(values.shape[1:])


def mean_error(values: Tensor, chains: int = 1) -> Tensor:
    """Standard error of the mean of each column; shapes as in `autocorrelation_time`. Infinite for a single sample."""
    if len(values) < 2:
        return torch.full(values.shape[1:], math.inf, dtype=torch.float64)
    variance = values.double().var(0, correction=0)
    return (variance * 2 * autocorrelation_time(values, chains) / len(values)).sqrt()


def number_of_chains(samples: SampleSet) -> int:
    """``metadata["chains"]``, the first draw of all of them first, or 1.

    Raises:
        InputError: part of a run, or runs joined, in which neighbours are not neighbours of a chain.
    """
    of_type("samples", samples, SampleSet, "give a SampleSet")
    chains, draws = (int(samples.metadata.get(key, default)) for key, default in (("chains", 1), ("draws", len(samples))))
    if chains * draws != len(samples):
        raise InputError("samples", f"{len(samples)} of {chains} chains with {draws} draws", "give all samples of one Monte Carlo run")
    return chains
