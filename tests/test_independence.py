"""Sets that share random numbers are refused where they are taken as independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import arlattice as arl
from arlattice.independence import check_independent
from arlattice.models.base import Model
from arlattice.montecarlo import sample_chains, sample_replicas
from arlattice.testing import randomise
from arlattice.thermo.bounds import bracket
from arlattice.thermo.mbar import mbar
from arlattice.thermo.neural_metropolis import neural_metropolis

COLD, WARM = arl.SemiGrandCanonical(2.5, {"up": 0.1}), arl.SemiGrandCanonical(3.0, {"up": 0.1})
ISING = arl.hamiltonian("ising", supercell=(3, 3))
concatenate = arl.SampleSet.concatenate


@pytest.fixture(scope="module")
def model(ising_model: Path) -> Model:
    return randomise(arl.load(ising_model))


def chains(state: arl.Ensemble = COLD, seed: int | None = 1) -> arl.SampleSet:
    return sample_chains(ISING, state, chains=4, sweeps=20, burn_in=5, thin=1, seed=seed)


SHARING: dict[str, Callable[[Model, arl.SampleSet], arl.SampleSet]] = {
    "the set itself": lambda model, s: s,
    "the same draw again": lambda model, s: model.sample(50, COLD, seed=1),
    "more of it": lambda model, s: model.sample(80, COLD, seed=1),
    "some of it": lambda model, s: s.select([7, 3]),
    "resampled": lambda model, s: replace(s.resample(20, seed=5), log_prob=torch.full((20,), -3.0)),
    "joined with others": lambda model, s: concatenate([model.sample(9, COLD, seed=2), s.select(slice(5))]),
    "joined with unknown": lambda model, s: concatenate([replace(s.select([0]), stream=None), s.select([9])]),
    "another batch size": lambda model, s: model.sample(50, COLD, seed=1, batch_size=3),
    "another order": lambda model, s: model.sample(50, COLD, seed=1, order="random"),
}


@pytest.mark.parametrize("name", SHARING)
def test_sets_that_share_samples_are_not_joined(name: str, model: Model) -> None:
    samples = model.sample(50, COLD, seed=1)
    with pytest.raises(arl.InputError, match=r"seed 1.*not independent; draw one anew"):
        concatenate([samples, SHARING[name](model, samples)])


@pytest.mark.parametrize("suffix", ["extxyz", "nc", "db"])
def test_files_keep_the_random_numbers(suffix: str, model: Model, tmp_path: Path) -> None:
    for samples in (model.sample(6, COLD, seed=1), chains(), concatenate([model.sample(3, COLD), model.sample(3, COLD)])):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.{suffix}"
        samples.write(path)
        read = arl.SampleSet.read(path)
        assert samples.stream is not None and read.stream is not None and torch.equal(read.stream, samples.stream)
        with pytest.raises(arl.InputError, match="not independent"):
            concatenate([samples, read])


def test_independent_sets_and_parts_of_one_are_joined(model: Model) -> None:
    """Other seeds, fresh seeds, halves of one set; Monte Carlo with the seed of a model's samples; replicas of one run."""
    samples = model.sample(50, COLD, seed=1)
    for other in (model.sample(50, COLD, seed=2), model.sample(50, COLD)):
        assert len(concatenate([samples, other])) > 50
    halves = concatenate([samples.select(slice(20)), samples.select(slice(20, None))])
    assert torch.equal(halves.occupations, samples.occupations) and torch.equal(halves.stream, samples.stream)  # type: ignore[arg-type]
    check_independent([samples, chains(seed=1), *sample_replicas(ISING, [COLD, WARM], chains=2, sweeps=10, thin=5, seed=2)])


def test_sets_of_older_files_cannot_be_checked_and_are_joined(model: Model) -> None:
    old = replace(model.sample(50, COLD, seed=1), stream=None)
    assert len(concatenate([old, old])) == 100 and concatenate([old, old]).stream is None


@pytest.mark.parametrize("make", [lambda m, s: m.sample(50, s, seed=1), lambda m, s: chains(s)], ids=["model", "Monte Carlo"])
def test_mbar_refuses_neighbouring_states_with_one_seed(make: Callable[[Model, arl.Ensemble], arl.SampleSet], model: Model) -> None:
    """The same uniform numbers in two states give nearly the same samples."""
    with pytest.raises(arl.InputError, match=r"^sample_sets = 'seed 1'.*not independent"):
        mbar([make(model, COLD), make(model, WARM)], model=model)


def test_mbar_and_brackets_take_different_seeds_and_record_their_own(model: Model) -> None:
    drawn = [model.sample(50, state, order="random") for state in (COLD, WARM)]
    pooled = mbar(drawn, model=model)
    assert pooled.log_z == mbar(drawn, model=model, seed=pooled.seed).log_z
    found = bracket(drawn[0], chains(), model)
    assert found == bracket(drawn[0], chains(), model, seed=found.seed)


def test_a_bracket_refuses_chains_that_the_same_draws_proposed(model: Model) -> None:
    proposed = neural_metropolis(model, COLD, 20, chains=2, burn_in=2, seed=1)
    with pytest.raises(arl.InputError, match="not independent"):
        bracket(model.sample(50, COLD, order="random", seed=1), proposed, model)


def test_a_check_that_forgets_selections_would_be_seen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known-wrong variant: selections without their random numbers."""
    rows = arl.SampleSet._rows
    monkeypatch.setattr(arl.SampleSet, "_rows", lambda self, index: replace(rows(self, index), stream=None))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_sets_that_share_samples_are_not_joined("some of it", model)


def test_a_torch_generator_is_taken_for_one_more_release(model: Model) -> None:
    samples = model.sample(50, COLD, seed=1)
    with pytest.warns(DeprecationWarning, match="give seed="):
        drawn = samples.resample(5, torch.Generator().manual_seed(0))
    assert len(drawn) == 5 and "resample_seed" not in drawn.metadata


@pytest.mark.parametrize(
    "stream", [torch.zeros(3, 2).long(), torch.zeros(3, 3), torch.zeros(2, 3).long()], ids=["columns", "floats", "rows"]
)
def test_malformed_streams_are_told(stream: torch.Tensor, model: Model) -> None:
    with pytest.raises(arl.InputError, match=r"^stream = "):
        replace(model.sample(3, COLD), stream=stream)
