"""The random checks of the kit have the rate of false alarms and the power that they state, and miss what is half as large.

Every test of a rate draws 2,000 repeats with a fixed seed and holds the rate against its own binomial band, false alarms 1e-6 a rate.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import arlattice as arl
from arlattice.testing import (
    ConformanceError,
    FrequencyTest,
    MeanTest,
    ShareTest,
    SpotCheck,
    check_hamiltonian,
    check_model,
    randomise,
    small_cases,
)
from arlattice.testing.statistics import StatisticalTest
from arlattice.thermo.exact import enumerate_configurations

REPEATS = 2000
EVEN = torch.full((24,), 1 / 24)
SKEWED = torch.arange(1, 25).double().pow(2) / torch.arange(1, 25).double().pow(2).sum()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def fails(test: Any, *arguments: Any) -> bool:
    try:
        test.check(*arguments)
    except ConformanceError:
        return True
    return False


def mean_failures(test: MeanTest, n: int, error: float, at: float = 0.5) -> int:
    """Failures among the repeats, for values of 0 and 1 whose mean is off by ``error``."""
    drawn = rng().random((REPEATS, n)) < at + error
    return sum(fails(test, torch.from_numpy(row), at) for row in drawn)


def frequency_failures(test: FrequencyTest, n: int, error: float) -> int:
    """Failures where every other outcome is too likely by a relative ``error`` and the next one too rare."""
    p = test.probabilities.numpy() * (1 + error * (-1.0) ** np.arange(len(test.probabilities)))
    drawn = rng().multinomial(n, p / p.sum(), size=REPEATS)
    return sum(test.p_value(torch.from_numpy(row)) < test.false_alarm for row in drawn)


def share_failures(test: ShareTest, n: int, error: float) -> int:
    numbers, times = np.unique(rng().binomial(n, test.share + error, size=REPEATS), return_counts=True)
    return sum(int(count) for hits, count in zip(numbers, times, strict=True) if fails(test, int(hits), n))


def has_rate(failures: int, rate: float) -> None:
    ShareTest(rate).check(failures, REPEATS, "failures")


# -- chi-square ------------------------------------------------------------------------------------


def test_chi_square_agrees_with_scipy() -> None:
    from scipy.stats import chisquare

    counts = torch.tensor([30, 50, 20, 40])
    assert FrequencyTest(torch.full((4,), 0.25)).p_value(counts) == pytest.approx(chisquare(counts.numpy()).pvalue, rel=1e-10)


@pytest.mark.parametrize("probabilities", [EVEN, SKEWED], ids=["even", "skewed"])
def test_frequencies_have_the_false_alarms_and_the_power_they_state(probabilities: torch.Tensor) -> None:
    """n = 3,000 draws. At the smallest defect the power is 0.95 within 0.03, as the variance moves too; at half of it below 0.5."""
    test, n = FrequencyTest(probabilities, false_alarm=0.02, power=0.95), 3000
    smallest = test.min_discrepancy(n)
    has_rate(frequency_failures(test, n, 0.0), 0.02)
    assert 0.92 < frequency_failures(test, n, smallest) / REPEATS < 0.98
    assert frequency_failures(test, n, smallest / 2) < 0.5 * REPEATS


def test_a_test_of_one_bin_sees_nothing_and_says_so() -> None:
    test = FrequencyTest(torch.full((4,), 0.25))
    assert test.min_discrepancy(10) == math.inf
    test.check(torch.tensor([10, 0, 0, 0]))


# -- means -----------------------------------------------------------------------------------------


def test_means_have_at_most_the_false_alarms_and_at_least_the_power_they_state() -> None:
    """n = 400 values of 0 and 1, those of the largest variance. Hoeffding's bounds hold for all values, so both rates are better."""
    test, n = MeanTest(0.0, 1.0, false_alarm=0.05, power=0.95), 400
    smallest = test.min_discrepancy(n)
    assert mean_failures(test, n, 0.0) < 0.05 * REPEATS
    for sign in (-1, 1):
        assert mean_failures(test, n, sign * smallest) > 0.95 * REPEATS
        assert mean_failures(test, n, sign * smallest / 2) < 0.6 * REPEATS


def test_the_bound_of_a_mean_is_hoeffdings() -> None:
    """P(mean - expectation >= t) <= exp(-2 n t^2 / (high - low)^2), once for either side and once for the power."""
    test = MeanTest(-1.0, 3.0, false_alarm=0.01, power=0.9)
    assert test.min_discrepancy(100) == pytest.approx(4 * (math.sqrt(math.log(200) / 200) + math.sqrt(math.log(10) / 200)))
    test.check(torch.full((100,), 0.65), 0.0)  # the limit is 4 sqrt(log(200) / 200) = 0.651
    with pytest.raises(
        ConformanceError, match=r"mean 0\.66, expected 0 within 0\.65 .* finds an error of the mean of 1\.1 with probability 0\.9"
    ):
        test.check(torch.full((100,), 0.66), 0.0)


# -- shares ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.683, 0.1])
def test_shares_have_the_false_alarms_and_the_power_they_state(share: float) -> None:
    """n = 300 repeats. Whole numbers leave the rate of false alarms below the 0.05 that is stated."""
    test, n = ShareTest(share, false_alarm=0.05, power=0.95), 300
    smallest = test.min_discrepancy(n)
    assert 0.01 * REPEATS < share_failures(test, n, 0.0) < 0.05 * REPEATS
    found = [share_failures(test, n, sign * smallest) for sign in (-1, 1)]
    assert min(found) < 0.965 * REPEATS  # the harder of the two directions has the power
    assert min(found) > 0.935 * REPEATS
    assert min(share_failures(test, n, sign * smallest / 2) for sign in (-1, 1)) < 0.6 * REPEATS


def test_coverage_that_is_too_high_is_seen_as_coverage_that_is_too_low() -> None:
    """200 repeats find 0.51 and 0.85 for 0.683; ten repeats cannot find that errors always cover, and say so."""
    test = ShareTest(0.683, false_alarm=1e-3, power=0.95)
    assert test.band(200) == (114, 158)
    assert test.min_discrepancy(200) < 0.18
    assert fails(test, 102, 200) and fails(test, 170, 200)
    assert test.min_discrepancy(10) == math.inf


# -- spot checks -----------------------------------------------------------------------------------


def test_a_fault_in_the_stated_share_of_places_is_met_with_the_stated_probability() -> None:
    test = SpotCheck(power=0.95)
    share = test.min_discrepancy(32)
    met = (rng().random((REPEATS, 32)) < share).any(1)
    has_rate(int(met.sum()), 0.95)
    assert ((rng(1).random((REPEATS, 32)) < share / 4).any(1)).mean() < 0.6


# -- all of them -----------------------------------------------------------------------------------

TESTS = [FrequencyTest(EVEN), MeanTest(0.0, 2.0), ShareTest(0.683), SpotCheck()]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: type(test).__name__)
@pytest.mark.parametrize("discrepancy", [0.3, 0.07])
def test_the_number_of_draws_is_the_least_that_finds_the_defect(test: StatisticalTest, discrepancy: float) -> None:
    n = test.min_num_samples(discrepancy)
    assert test.min_discrepancy(n) <= discrepancy < test.min_discrepancy(n - 1)


def test_more_power_and_fewer_false_alarms_need_more_draws() -> None:
    usual = MeanTest(0.0, 1.0).min_num_samples(0.1)
    assert MeanTest(0.0, 1.0, power=0.999).min_num_samples(0.1) > usual
    assert MeanTest(0.0, 1.0, false_alarm=1e-9).min_num_samples(0.1) > usual


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: MeanTest(0.0, 1.0, power=1.0), "power = 1.0"),
        (lambda: MeanTest(1.0, 0.0), "lower one first"),
        (lambda: MeanTest(0.0, 1.0).check(torch.tensor([2.0]), 0.5), "each from 0 to 1"),
        (lambda: ShareTest(1.0), "share = 1.0"),
        (lambda: ShareTest(0.5, false_alarm=0.0), "false_alarm = 0.0"),
        (lambda: MeanTest(0.0, 1.0).min_num_samples(0.0), "no number of draws finds so small an error of the mean"),
    ],
)
def test_numbers_that_make_no_sense_are_told_in_one_line(call: Any, told: str) -> None:
    with pytest.raises(arl.InputError, match=told) as error:
        call()
    assert "\n" not in str(error.value)


# -- what the docstrings of the kit say --------------------------------------------------------------


def test_the_numbers_in_the_docstrings_are_those_of_the_tests() -> None:
    text = " ".join((check_model.__doc__ or "").split())
    assert f"a share of {SpotCheck().min_discrepancy(2000):.2g} of the samples ({SpotCheck().min_discrepancy(256):.2g} in" in text
    share = SpotCheck().min_discrepancy(32)
    assert f"n = 32 a share of {share:.2f}" in " ".join((check_hamiltonian.__doc__ or "").split())
    found = []
    for case in small_cases():
        model = randomise(_tiny(case.hamiltonian)).double()
        x = torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))
        log_q = model.log_prob(x, case.state, "random")
        found.append(FrequencyTest(log_q.exp(), false_alarm=1e-6 / 4).min_discrepancy(2000))
    assert f"the probabilities of {min(found):.2f} to {max(found):.2f} (root" in text


def _tiny(hamiltonian: arl.Hamiltonian) -> Any:
    from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions

    return AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(width=8, heads=1, layers=1))
