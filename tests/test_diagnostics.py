"""Autocorrelation times, error bars and R-hat of chains: right for chains whose correlations are known, and told where they cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.montecarlo import ChainDiagnostics, diagnose

ISING = arl.hamiltonian("ising", supercell=(3, 3))
WARM = arl.SemiGrandCanonical(3.0, {"up": 0.1})


def carrier(chains: int, draws: int, thin: int = 1) -> arl.SampleSet:
    """Independent random samples that say they are chains, to carry observables of any kind."""
    x = torch.randint(2, (chains * draws, 9), generator=torch.Generator().manual_seed(0))
    return arl.SampleSet(ISING.lattice, x, ISING.energy(x), WARM, "reduced", metadata={"chains": chains, "draws": draws, "thin": thin})


def autoregressive(chains: int, draws: int, phi: float, seed: int) -> Tensor:
    """x_t = phi x_(t-1) + noise, from equilibrium, in the layout of the samples: (draws * chains,), variance 1, mean 0."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws, chains, generator=generator, dtype=torch.float64)
    rows = [noise[0]]
    for row in noise[1:]:
        rows.append(phi * rows[-1] + (1 - phi**2) ** 0.5 * row)
    return torch.cat(rows)


def of(samples: arl.SampleSet, values: Tensor) -> ChainDiagnostics:
    return diagnose(samples, {"values": values})["values"]


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_is_that_of_an_autoregressive_chain(phi: float) -> None:
    """tau = (1 + phi) / (1 - phi) / 2 draws, of 3 sweeps each; within 15 % from 8 chains of 4,000 draws (seeds fixed)."""
    found = of(carrier(8, 4000, 3), autoregressive(8, 4000, phi, 0))
    assert found.autocorrelation_time == pytest.approx(1.5 * (1 + phi) / (1 - phi), rel=0.15)
    assert found.ess_bulk == pytest.approx(32000 * (1 - phi) / (1 + phi), rel=0.15)
    assert found.r_hat < 1.01
    assert found.ess_tail > 1000


def test_the_errors_cover_the_truth_as_often_as_they_should() -> None:
    """200 repeats of 4 correlated chains of 200 draws: one error covers in 60-76 % of them (68 +- 3.3 % expected)."""
    samples = carrier(4, 200)
    found = [of(samples, autoregressive(4, 200, 0.6, seed)).mean for seed in range(200)]
    covered = sum(abs(mean.value) < mean.error for mean in found) / len(found)
    assert 0.60 <= covered <= 0.76


def test_chains_that_disagree_are_seen() -> None:
    samples = carrier(4, 100)
    values = autoregressive(4, 100, 0.0, 0)
    assert of(samples, values).r_hat < 1.02
    assert of(samples, values + torch.arange(4).repeat(100)).r_hat > 1.3


def test_chains_that_stand_still_are_told() -> None:
    samples = carrier(4, 10)
    frozen = of(samples, torch.arange(4.0).repeat(10))
    assert frozen.r_hat == float("inf") and frozen.mean.value == 1.5 and frozen.ess_bulk == 4
    constant = of(samples, torch.ones(40))
    assert constant.mean == arl.Estimate(1.0, 0.0) and constant.r_hat != constant.r_hat


def test_the_default_observables_are_energy_and_composition() -> None:
    found = diagnose(carrier(3, 8))
    assert list(found) == ["energy_per_site", "x_down", "x_up"]
    magnetisation = diagnose(carrier(3, 8), {"m": lambda samples: 2 * samples.composition[:, 1] - 1})["m"]
    assert magnetisation.ess_bulk == pytest.approx(found["x_up"].ess_bulk)


def test_what_are_not_whole_chains_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = carrier(3, 8)
    with pytest.raises(arl.InputError, match="give all samples of one Monte Carlo run"):
        diagnose(samples.select(slice(4)))
    with pytest.raises(arl.InputError, match="record at least 4"):
        diagnose(carrier(3, 3))
    with pytest.raises(arl.InputError, match="one value per sample"):
        diagnose(samples, {"short": torch.zeros(3)})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(arl.MissingExtraError, match=r"arlattice\[thermo\]"):
        diagnose(samples)
