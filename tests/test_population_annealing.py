"""Population annealing: the resampling is unbiased, log Z agrees with enumeration at every rung, mistakes are seen."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.montecarlo import population_annealing as module
from arlattice.montecarlo.population_annealing import Rung, population_annealing, systematic_resampling
from arlattice.testing import Case, small_cases
from arlattice.thermo.exact import Enumeration

ISING = Case("Ising 4x4", arl.hamiltonian("ising", supercell=(4, 4)), arl.SemiGrandCanonical(2.269, {"up": 0.1}))
CASES = [ISING, *(case for case in small_cases() if isinstance(case.state, arl.SemiGrandCanonical))]


def ladder(case: Case, steps: int = 12) -> list[arl.SemiGrandCanonical]:
    """Down to half the temperature of the case; the chemical potentials change on the way."""
    full, state = 2 / case.state.temperature, case.state
    assert isinstance(state, arl.SemiGrandCanonical)
    mu = [{s: (2 - k / steps) * v for s, v in state.chemical_potentials.items()} for k in range(1, steps + 1)]
    return [arl.SemiGrandCanonical(steps / (k * full), mu[k - 1]) for k in range(1, steps + 1)]


def anneal(case: Case, seed: int = 0, **sizes: int) -> list[Rung]:
    return list(population_annealing(case.hamiltonian, ladder(case), seed=seed, **sizes))


# -- resampling ------------------------------------------------------------------------------------


def test_every_member_is_copied_as_often_as_its_share_up_to_one() -> None:
    weights = torch.rand(50, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).pow(4)
    chosen = systematic_resampling(weights, torch.rand(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    copies = torch.nn.functional.one_hot(chosen, 20).sum(1)
    shares = 20 * weights / weights.sum(1, keepdim=True)
    assert bool(((copies == shares.floor()) | (copies == shares.ceil())).all())
    assert bool((chosen.diff(dim=1) >= 0).all())


def test_averaged_over_its_noise_the_copies_are_the_shares() -> None:
    """On an even grid of the noise the mean is right within one step of it."""
    n, grid = 7, 4000
    weights = torch.tensor([[0.0, 3.0, 0.1, 0.0, 1.7, 2.2, 0.0]], dtype=torch.float64)
    chosen = systematic_resampling(weights.expand(grid, n), (torch.arange(grid) + 0.5) / grid)
    copies = torch.nn.functional.one_hot(chosen, n).sum(1).double().mean(0)
    assert torch.allclose(copies, n * weights[0] / weights.sum(), rtol=0, atol=1.01 / grid)
    assert bool((copies[weights[0] == 0] == 0).all())


def test_resampling_stays_in_range_at_the_ends_of_the_noise() -> None:
    weights = torch.full((2, 3), 1 / 3, dtype=torch.float64)
    chosen = systematic_resampling(weights, torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64))
    assert int(chosen.min()) >= 0
    assert int(chosen.max()) <= 2


# -- log Z -----------------------------------------------------------------------------------------


def worst_deviation(case: Case, rungs: list[Rung]) -> float:
    """In standard errors, over all rungs."""
    enumeration = Enumeration.of(case.hamiltonian)
    return max(abs(r.log_z.value - enumeration.log_z(r.state)) / r.log_z.error for r in rungs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_log_z_agrees_with_enumeration_at_every_rung(case: Case) -> None:
    """40 blocks of 100, 12 rungs, 4 standard errors: fails for nothing in about 1 of 1,000 per case; the seed is fixed."""
    rungs = anneal(case, population=100, blocks=40)
    assert [r.state for r in rungs] == ladder(case)
    assert worst_deviation(case, rungs) < 4
    assert rungs[-1].log_z.error < 0.05


@pytest.mark.parametrize("sweeps", [0, 1])
def test_z_is_unbiased_for_tiny_populations_with_or_without_moves(sweeps: int) -> None:
    """4,000 blocks of 4: log Z of one block is far too low on average, yet Z itself is right within 4 standard errors."""
    case = CASES[1]
    rungs = anneal(case, population=4, blocks=4000, sweeps=sweeps)
    exact = Enumeration.of(case.hamiltonian).log_z(rungs[-1].state)
    spread = float(rungs[-1].block_log_z.std()) / math.sqrt(4000)
    assert exact - float(rungs[-1].block_log_z.mean()) > 10 * spread
    assert worst_deviation(case, rungs) < 4


def test_a_population_whose_weights_are_forgotten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known wrong: nobody is resampled, as if the moves alone kept the population in equilibrium."""
    monkeypatch.setattr(module, "systematic_resampling", lambda w, u: torch.arange(w.shape[1]).expand(w.shape))
    for case in (ISING, CASES[1]):
        assert worst_deviation(case, anneal(case, population=100, blocks=40)) > 4


def test_the_last_population_has_the_averages_of_its_state() -> None:
    """40 independent blocks of 100: the mean energy within 4 of their standard errors."""
    rung = anneal(ISING, population=100, blocks=40)[-1]
    means = ISING.hamiltonian.energy(rung.occupations).view(40, 100).mean(1)
    enumeration = Enumeration.of(ISING.hamiltonian)
    deviation = float(means.mean()) - enumeration.mean(rung.state, enumeration.energy)
    assert abs(deviation) < 4 * float(means.std()) / math.sqrt(40)


def test_the_start_and_one_rung_are_exact_by_hand() -> None:
    """Without energies log Z is the number of configurations, chemical potentials or not, without noise at mu = 0."""
    lattice = CASES[-1].hamiltonian.lattice
    nothing = arl.FunctionHamiltonian(lattice, lambda x: torch.zeros(len(x), dtype=torch.float64), units="reduced")
    (rung,) = population_annealing(nothing, [arl.SemiGrandCanonical(0.5)], seed=0, population=3, blocks=2)
    assert rung.log_z == pytest.approx((float(lattice.allowed.sum(1).double().log().sum()), 0.0), abs=1e-12)
    lattice.check_occupations(rung.occupations)


def test_a_common_shift_of_the_chemical_potentials_counts() -> None:
    """f = exp(-beta (E - mu N)) as enumeration has it, not with centred mu; the noise is the same."""
    shifted = [arl.SemiGrandCanonical(s.temperature, {"up": s.chemical_potentials["up"] + 0.7, "down": 0.7}) for s in ladder(ISING)]
    rungs = population_annealing(ISING.hamiltonian, shifted, seed=0, population=10, blocks=3)
    for moved, rung in zip(rungs, anneal(ISING, population=10, blocks=3), strict=True):
        assert torch.equal(moved.occupations, rung.occupations)
        expected = torch.full((3,), 16 * 0.7 / rung.state.temperature, dtype=torch.float64)
        assert torch.allclose(moved.block_log_z - rung.block_log_z, expected, rtol=1e-12)


# -- reproducibility and input ---------------------------------------------------------------------


def test_a_seed_gives_the_same_bits_and_another_seed_others() -> None:
    def last(seed: int) -> tuple[Tensor, Tensor]:
        rung = anneal(ISING, seed, population=10, blocks=3)[-1]
        return rung.block_log_z, rung.occupations

    assert all(map(torch.equal, last(1), last(1)))
    assert not torch.equal(last(1)[0], last(2)[0])


def test_blocks_do_not_touch_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of a block descend from members of that block."""
    sources = []
    resample = systematic_resampling

    def recorded(weights: Tensor, uniform: Tensor) -> Tensor:
        sources.append(resample(weights, uniform))
        return sources[-1]

    monkeypatch.setattr(module, "systematic_resampling", recorded)
    rungs = anneal(ISING, population=10, blocks=3, sweeps=0)
    for source, before, after in zip(sources[1:], rungs, rungs[1:], strict=False):
        rows = before.occupations.view(3, 10, -1)
        assert torch.equal(after.occupations.view(3, 10, -1), rows.gather(1, source[:, :, None].expand_as(rows)))


def test_one_block_has_no_error_bar() -> None:
    assert anneal(ISING, population=10, blocks=1)[-1].log_z.error == math.inf


@pytest.mark.parametrize("sizes", [{"population": 0}, {"blocks": 0}, {"sweeps": -1}], ids=str)
def test_sizes_that_make_no_sense_are_told_before_anything_runs(sizes: dict[str, int]) -> None:
    with pytest.raises(arl.InputError, match=f"^{next(iter(sizes))} = "):
        population_annealing(ISING.hamiltonian, ladder(ISING), **sizes)


@pytest.mark.parametrize(
    ("states", "cure"), [([], "at least one"), ([arl.Canonical(1.0, {"up": 8})], "SemiGrandCanonical")], ids=["none", "fixed"]
)
def test_ladders_that_cannot_be_annealed_are_told(states: list[arl.Ensemble], cure: str) -> None:
    with pytest.raises(arl.InputError, match=cure):
        population_annealing(ISING.hamiltonian, states)
