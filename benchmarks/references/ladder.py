"""Where the rungs of a ladder in beta go: equally far from one another in units of the width of the energy.

Neighbours exchange, and populations keep their members, in proportion to the overlap of their energies, which is set by
sigma(beta) |beta_(k+1) - beta_k|, sigma^2 = var(E - mu N) = -d<E - mu N>/d beta. Equal steps of its integral, the thermodynamic
length, give equal rates (G. Crooks, Phys. Rev. Lett. 99, 100602 (2007)). A short run on a first ladder measures sigma.
"""

from __future__ import annotations

import numpy as np

__all__ = ["equally_far", "even", "thermodynamic_length", "with_rungs_at"]


def even(coldest: float, rungs: int) -> np.ndarray:
    """Evenly spaced beta (rungs,), from infinite temperature to ``coldest``."""
    return np.linspace(0.0, coldest, rungs)


def thermodynamic_length(beta: np.ndarray, enthalpy: np.ndarray) -> np.ndarray:
    """Integral of sigma from the first rung to every rung, (rungs,).

    Args:
        beta: rising, (rungs,).
        enthalpy: E - mu N of the samples of every rung, (rungs, samples). Between two rungs sigma is the larger of what either
            spread says and what the difference of the means says: a transition between them is seen by the latter.
    """
    steps = np.diff(beta)
    spread = enthalpy.std(1)
    by_means = np.sqrt(np.maximum(-np.diff(enthalpy.mean(1)), 0) / steps)
    return np.concatenate([[0.0], np.cumsum(np.maximum((spread[1:] + spread[:-1]) / 2, by_means) * steps)])


def equally_far(beta: np.ndarray, length: np.ndarray, rungs: int) -> np.ndarray:
    """So many rungs with equal steps of ``length`` (`thermodynamic_length`); the ends stay."""
    return np.interp(np.linspace(0.0, length[-1], rungs), length, beta)


def with_rungs_at(beta: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The ladder with further rungs put in where it has none."""
    there = np.isclose(wanted[:, None], beta, rtol=1e-9, atol=0).any(1)
    return np.sort(np.concatenate([beta, wanted[~there]]))
