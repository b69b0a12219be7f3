"""k-hat: how heavy the tail of importance weights is, from a generalised Pareto distribution fitted to the largest of them.

Above 0.5 the variance of the weights would be infinite if the tail went on like this, above 0.7 averages and their errors
cannot be trusted even with many samples. The fit is in the library, fifteen lines, so that the number stands wherever ESS is
printed; a test compares it with arviz-stats.

Sources: A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry, "Pareto smoothed importance sampling", J. Mach. Learn. Res. 25 (72), 1
(2024); J. Zhang and M. A. Stephens, Technometrics 51, 316 (2009), for the fit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["khat"]

_FEWEST = 5  # weights of a tail to fit
_PRIOR_SHAPE, _PRIOR_WEIGHT = 0.5, 10  # Vehtari et al., appendix G: k of a short tail is drawn to 0.5 with the weight of 10 samples
_SAME = 1e-6  # relative spread of the largest weights below which they are rounding errors of log q


def khat(log_weight: Tensor) -> float:
    """Shape parameter of the tail of weights.

    Args:
        log_weight: (n,), up to a constant.

    Returns:
        k-hat; NaN where there is no tail to fit: fewer than 25 samples, or equal weights.
    """
    n = len(log_weight)
    size = min(n // 5, math.floor(3 * math.sqrt(n)))
    if size < _FEWEST or not math.isfinite(float(log_weight.max())):
        return math.nan
    largest = (log_weight - log_weight.max()).double().exp().topk(size + 1, sorted=True).values.flip(0)
    excess = (largest - largest[0])[1:]
    excess = excess[excess > 0]  # equal weights at the cut are no part of the tail
    if len(excess) < _FEWEST or float(excess[-1]) < _SAME:
        return math.nan
    return _shape(excess)


def _shape(excess: Tensor) -> float:
    """k of the generalised Pareto distribution of sorted positive values: Zhang and Stephens, section 3, with the prior of PSIS."""
    n = len(excess)
    points = 30 + math.isqrt(n)
    grid = 1 - (points / (torch.arange(points, dtype=torch.float64) + 0.5)).sqrt()
    theta = 1 / excess[-1] + grid / (3 * excess[int(n / 4 + 0.5) - 1])
    k = torch.log1p(-theta[:, None] * excess).mean(1)
    likelihood = n * ((-theta / k).log() - k - 1)
    mean = torch.softmax(likelihood, 0) @ theta
    return float((n * torch.log1p(-mean * excess).mean() + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (n + _PRIOR_WEIGHT))
