"""Random checks that say what they can see: how often they fail for nothing, and the smallest defect that they find.

With n draws a check of this module

- fails with probability ``false_alarm`` at most where nothing is wrong, and
- fails with probability ``power`` at least where the defect is `min_discrepancy(n)` or more. Smaller ones may pass: half of it often does.

`min_num_samples` gives the n that finds a defect of a given size. Choose n with it, and write both numbers into the docstring of
the test. For example::

    test = MeanTest(0.0, 1.0)
    test.min_num_samples(0.01)  # 177,310 samples find an error of 0.01
    test.check(samples.composition[:, 1], 0.25, "x_Au")

The model is ``statistical_testing`` of TensorFlow Probability: ``assert_true_mean...``, ``min_discrepancy_...``, ``min_num_samples_...``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.testing.failure import ConformanceError

__all__ = ["FrequencyTest", "MeanTest", "ShareTest", "SpotCheck", "StatisticalTest"]

_EXPECTED = 8.0  # draws in a bin of the chi-square test
_LARGEST_N = 2**50


@dataclass(frozen=True)
class StatisticalTest(ABC):
    """What a random check can see.

    Args:
        false_alarm: probability that a check fails where nothing is wrong.
        power: probability that a check fails where the defect is `min_discrepancy`.

    Attributes:
        defect: what a discrepancy is a size of, in words.
    """

    _: KW_ONLY
    false_alarm: float = 1e-6
    power: float = 0.99
    defect: ClassVar[str]

    def __post_init__(self) -> None:
        for argument in ("false_alarm", "power"):
            value = getattr(self, argument)
            if not 0 < value < 1:
                raise InputError(argument, value, "give a probability between 0 and 1")

    @abstractmethod
    def min_discrepancy(self, n: int) -> float:
        """The smallest defect that a check of ``n`` draws finds; infinite where it finds none."""

    def min_num_samples(self, discrepancy: float) -> int:
        """The number of draws with which a check finds a defect of this size.

        Raises:
            InputError: a defect that no number of draws finds.
        """
        high = 1
        while self.min_discrepancy(high) > discrepancy:
            high *= 2
            if high > _LARGEST_N:
                raise InputError("discrepancy", discrepancy, f"no number of draws finds so small {self.defect}")
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.min_discrepancy(middle) <= discrepancy else (middle, high)
        return high

    def sees(self, n: int) -> str:
        """The numbers of a check of ``n`` draws, for its message."""
        return (
            f"n = {n}; it fails for nothing with probability {self.false_alarm:.1g} and finds {self.defect} "
            f"of {self.min_discrepancy(n):.2g} with probability {self.power:g}"
        )


@dataclass(frozen=True)
class MeanTest(StatisticalTest):
    """The mean of bounded, independent values is what it should be. Exact bounds at every n.

    Source: W. Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), theorem 2.

    Args:
        low, high: bounds of every value.
    """

    low: float
    high: float
    defect = "an error of the mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError("low", (self.low, self.high), "give two finite bounds, the lower one first")

    def min_discrepancy(self, n: int) -> float:
        return self._within(n, self.false_alarm / 2) + self._within(n, 1 - self.power)

    def check(self, values: Tensor, expected: float, what: str = "the values") -> None:
        """Raise `ConformanceError` if the mean of ``values`` (n,) is too far from ``expected``."""
        values = values.detach().double()
        if values.ndim != 1 or len(values) == 0 or not bool(((values >= self.low) & (values <= self.high)).all()):
            raise InputError("values", tuple(values.shape), f"give at least one value, each from {self.low:g} to {self.high:g}")
        found, limit = float(values.mean()), self._within(len(values), self.false_alarm / 2)
        if not abs(found - expected) <= limit:
            told = f"mean {found:.6g}, expected {expected:.6g} within {limit:.2g}"
            raise ConformanceError(f"{what}: {told} (Hoeffding, {self.sees(len(values))})")

    def _within(self, n: int, probability: float) -> float:
        """The mean of n values is this far above its expectation with ``probability`` at most."""
        return (self.high - self.low) * math.sqrt(-math.log(probability) / (2 * n))


@dataclass(frozen=True, eq=False)
class FrequencyTest(StatisticalTest):
    """Outcomes come as often as they should, by Pearson's chi-square test.

    A discrepancy is the root of sum (q - p)^2 / p, with p the right and q the true probabilities: the relative error of the
    probabilities, root mean square. Rare outcomes are put together until a bin expects 8 draws; an exchange among those of one bin
    is not seen. The rate of false alarms holds for many draws a bin; with 8 in each of 30 bins it is 1.1 times as high at 1e-3 and 1.4
    times at 1e-4.
    Sources: K. Pearson, Phil. Mag. 50, 157 (1900); power by the noncentral chi-square distribution, P. B. Patnaik, Biometrika 36,
    202 (1949).

    Args:
        probabilities: of the outcomes, (k,).
    """

    probabilities: Tensor
    defect = "a relative error of the probabilities (root mean square)"

    def min_discrepancy(self, n: int) -> float:
        from scipy.optimize import brentq
        from scipy.stats import chi2, ncx2

        freedom = int(self._bins(n)[1].max())
        if freedom == 0:
            return math.inf
        critical = chi2.isf(self.false_alarm, freedom)
        found = brentq(lambda excess: ncx2.sf(critical, freedom, excess) - self.power, 1e-9, 100 * critical, xtol=1e-9)
        return math.sqrt(found / n)

    def check(self, counts: Tensor, what: str = "the outcomes") -> None:
        """Raise `ConformanceError` if ``counts`` (k,) of the outcomes are too far from what the probabilities say."""
        p, n = self.p_value(counts), int(counts.sum())
        if not p >= self.false_alarm:
            raise ConformanceError(f"{what} do not have the frequencies expected (chi-square, p = {p:.1g}, {self.sees(n)})")

    def p_value(self, counts: Tensor) -> float:
        """Chance of counts (k,) at least as far from the probabilities as these."""
        order, index, wanted = self._bins(int(counts.sum()))
        if len(wanted) == 1:
            return 1.0
        found = torch.zeros_like(wanted).index_add_(0, index, counts[order].double())
        chi_square = ((found - wanted) ** 2 / wanted).sum() / 2
        return float(torch.special.gammaincc(torch.tensor((len(wanted) - 1) / 2, dtype=torch.float64), chi_square))

    def _bins(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Outcomes from likely to rare (k,), the bin of each (k,), and the draws that every bin expects."""
        expected, order = (self.probabilities.double() * n).sort(descending=True)
        bins, filled, number = [], 0.0, 0
        for value in expected.tolist():
            bins.append(number)
            filled += value
            if filled >= _EXPECTED:
                filled, number = 0.0, number + 1
        index = torch.tensor(bins).clamp(max=max(number - 1, 0))  # what is left over joins the last full bin
        return order, index, torch.zeros(int(index.max()) + 1, dtype=torch.float64).index_add_(0, index, expected)


@dataclass(frozen=True)
class ShareTest(StatisticalTest):
    """Something happens in the right share of n independent repeats: neither too seldom nor too often. Exact, by the binomial.

    One use is coverage: the truth is within one standard error in 68.3 % of the repeats, not in 50 % and not in 85 %.
    Source: C. J. Clopper and E. S. Pearson, Biometrika 26, 404 (1934).

    Args:
        share: what is right.
    """

    share: float
    defect = "an error of the share"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1:
            raise InputError("share", self.share, "give a number between 0 and 1")

    def min_discrepancy(self, n: int) -> float:
        """The smallest error that is found in both directions; infinite where a share of 0 or 1 would pass."""
        from scipy.optimize import brentq
        from scipy.stats import binom

        low, high = self.band(n)
        if low == 0 or high == n:
            return math.inf
        above = brentq(lambda q: binom.sf(high, n, q) - self.power, self.share, 1.0)
        below = brentq(lambda q: binom.cdf(low - 1, n, q) - self.power, 0.0, self.share)
        return float(max(above - self.share, self.share - below))

    def band(self, n: int) -> tuple[int, int]:
        """The fewest and the most of n repeats that pass; beyond each end lies half of ``false_alarm`` at most."""
        from scipy.stats import binom

        low, high = int(binom.ppf(self.false_alarm / 2, n, self.share)), int(binom.isf(self.false_alarm / 2, n, self.share))
        return low, high

    def check(self, hits: int, n: int, what: str = "it") -> None:
        """Raise `ConformanceError` if ``hits`` of ``n`` are too few or too many."""
        low, high = self.band(n)
        if not low <= hits <= high:
            told = f"{hits / n:.3f} of the repeats, expected {self.share:.3f}"
            raise ConformanceError(f"{what}: {told} (binomial, {self.sees(n)})")


@dataclass(frozen=True)
class SpotCheck(StatisticalTest):
    """An exact comparison at n random places: it never fails for nothing, and misses what is wrong in few places.

    A discrepancy is the share of the places that are wrong; ``false_alarm`` has no part in it.
    """

    defect = "what is wrong in a share"

    def min_discrepancy(self, n: int) -> float:
        return 1 - (1 - self.power) ** (1 / n)

    def sees(self, n: int) -> str:
        share = self.min_discrepancy(n)
        return f"n = {n} at random; it never fails for nothing and finds {self.defect} of {share:.2g} with probability {self.power:g}"
