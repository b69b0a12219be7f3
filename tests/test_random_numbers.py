"""The one generator: published answers, and numbers that depend on seed, purpose, sample and step alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice import random_numbers
from arlattice.models.base import Model
from arlattice.montecarlo import sample_chains
from arlattice.montecarlo.population_annealing import population_annealing
from arlattice.random_numbers import HIGHEST_SEED, Stream, check_seed, philox, purpose_word, uniform
from arlattice.testing import randomise
from arlattice.thermo.neural_metropolis import neural_metropolis

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # few samples on purpose

STATE = arl.SemiGrandCanonical(2.5, {"up": 0.1})
ISING = arl.hamiltonian("ising", supercell=(3, 3))


@pytest.fixture(scope="module")
def model(ising_model: Path) -> Model:
    return randomise(arl.load(ising_model)).double()


# -- the generator ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, 0xFFFFFFFFFFFFFFFF, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], 0x299F31D0A4093822, [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ],
    ids=["zeros", "ones", "digits of pi"],
)
def test_known_answers(counter: list[int], key: int, answer: list[int]) -> None:
    """philox4x32 10 in kat_vectors of Random123 (Salmon et al.)."""
    words = [torch.tensor([word, word]) for word in counter]
    assert [word.tolist() for word in philox((words[0], words[1], words[2], words[3]), key)] == [[word, word] for word in answer]


def test_the_counter_is_step_sample_and_purpose() -> None:
    """Steps 2k and 2k + 1 are the two halves of one call; 53 bits of two words each. Steps beyond 2^33 use the second word."""
    seed, purpose, step, sample = 2**40 + 3, purpose_word("x"), 2**33 + 6, 5
    words = philox((torch.tensor([3]), torch.tensor([1]), torch.tensor([sample]), torch.tensor([purpose])), seed)
    expected = [((int(words[0]) << 21) + (int(words[1]) >> 11)) / 2**53, ((int(words[2]) << 21) + (int(words[3]) >> 11)) / 2**53]
    assert uniform(seed, purpose, (step, 2), (sample, 1))[:, 0].tolist() == expected


def test_numbers_are_even_and_uncorrelated() -> None:
    """n = 2^18 of 4 neighbours in sample, step, purpose and seed: 16 bins and 6 correlations, 5 sigma, false alarm 1e-5."""
    n = 512
    first = uniform(1, 7, (0, n), (0, n))
    others = [uniform(1, 7, (1, n), (0, n)), uniform(1, 7, (0, n), (1, n)), uniform(1, 8, (0, n), (0, n)), uniform(2, 7, (0, n), (0, n))]
    assert first.dtype == torch.float64 and bool((first.min() >= 0) & (first.max() < 1))
    bits = (first * 2**53).long()
    assert torch.equal(bits.double() / 2**53, first) and bool((bits % 2**20).unique().numel() > 2**17)  # all 53 bits, not those of float32
    counts = torch.bincount((first * 16).long().flatten(), minlength=16).double()
    assert float((counts - n * n / 16).abs().max()) < 5 * (n * n / 16) ** 0.5
    for other in others:
        assert abs(float(((first - 0.5) * (other - 0.5)).mean()) * 12) < 5 / n


@pytest.mark.parametrize(("first", "steps", "sample", "samples"), [(0, 7, 0, 5), (3, 4, 2, 3), (8, 30_000, 1, 1), (1, 1, 0, 9000)])
def test_a_part_is_a_part_of_the_whole(first: int, steps: int, sample: int, samples: int) -> None:
    part = uniform(3, 4, (first, steps), (sample, samples))
    whole = uniform(3, 4, (0, first + steps), (0, sample + samples))
    assert torch.equal(part, whole[first:, sample:])


def test_a_stream_reads_ahead_without_a_trace() -> None:
    """However the steps are asked for, also with other numbers of samples between them."""
    whole = Stream(5, "x").uniform(40, 3)
    stream = Stream(5, "x")
    parts = [stream.uniform(n, 3) for n in (1, 1, 1, 5, 2, 10, 1, 1)]
    assert stream.uniform(2, 8).shape == (2, 8)
    parts.append(stream.uniform(16, 3))
    assert torch.equal(torch.cat([*parts[:8], whole[22:24], parts[8]]), whole)


def test_branches_are_independent_and_are_restored() -> None:
    stream = Stream(5, "x")
    first = stream["a"].uniform(3, 2)
    assert not torch.equal(first, stream["b"].uniform(3, 2)) and not torch.equal(first, stream.uniform(3, 2))
    stream["a"]["deep"].integers(5, 2, 2)
    again = Stream(5, "x")
    again.restore(stream.counters())
    for one, other in ((stream, again), (stream["a"], again["a"]), (stream["a"]["deep"], again["a"]["deep"])):
        assert torch.equal(one.uniform(2, 2), other.uniform(2, 2))


def test_integers_and_permutations() -> None:
    """6,000 numbers below 6: 1000 +- 29 each, 5 sigma, false alarm 4e-6."""
    counts = torch.bincount(Stream(0, "dice").integers(6, 6000, 1)[:, 0], minlength=6)
    assert len(counts) == 6 and int((counts - 1000).abs().max()) < 145
    assert Stream(0).permutation(9).sort().values.tolist() == list(range(9))


# -- seeds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, torch.tensor(0.5)], ids=str)
def test_bad_seeds_are_told(seed: Any) -> None:
    with pytest.raises(arl.InputError, match=r"^seed = .*whole number from 0 to"):
        check_seed(seed)


def test_the_highest_seed_serves_and_is_written(model: Model, tmp_path: Path) -> None:
    samples = model.sample(3, STATE, seed=HIGHEST_SEED)
    samples.write(tmp_path / "a.extxyz")
    assert arl.SampleSet.read(tmp_path / "a.extxyz").metadata["seed"] == HIGHEST_SEED


Draw = Callable[[Model, int | None], tuple[Tensor, int]]


def _annealed(seed: int | None) -> tuple[Tensor, int]:
    rung = list(population_annealing(ISING, [STATE], population=20, blocks=2, seed=seed))[-1]
    return rung.occupations, rung.seed


def _swept(model: Model, seed: int | None) -> tuple[Tensor, int]:
    found = arl.sweep(model, [2.5, 3.0], n=20, seed=seed)
    return torch.from_numpy(found["log_z"].values), int(found.attrs["seed"])


def _trained(seed: int | None) -> tuple[Tensor, int]:
    tiny: dict[str, Any] = {"objective": "forward", "steps": 1, "batch_size": 8, "equilibration_sweeps": 1, "evaluate_samples": 2}
    made = arl.train(ISING, STATE, model_options={"width": 8, "heads": 1, "layers": 1}, training=tiny | {"seed": seed}, progress=False)
    return torch.cat([p.detach().flatten() for p in made.parameters()]), int(made.record["seed"])


def _of_set(samples: arl.SampleSet, key: str = "seed") -> tuple[Tensor, int]:
    return samples.occupations, int(samples.metadata[key])


DRAWS: dict[str, Draw] = {
    "sample": lambda model, seed: _of_set(model.sample(40, STATE, seed=seed)),
    "inpaint": lambda model, seed: _of_set(model.inpaint(torch.tensor([1, 0] + [-1] * 7), 40, STATE, seed=seed)),
    "sample_chains": lambda model, seed: _of_set(sample_chains(ISING, STATE, chains=8, sweeps=5, burn_in=1, thin=1, seed=seed)),
    "neural_metropolis": lambda model, seed: _of_set(neural_metropolis(model, STATE, 10, chains=4, burn_in=2, seed=seed)),
    "resample": lambda model, seed: _of_set(model.sample(200, STATE, seed=0).resample(40, seed=seed), "resample_seed"),
    "population_annealing": lambda model, seed: _annealed(seed),
    "sweep": _swept,
    "train": lambda model, seed: _trained(seed),
}


@pytest.mark.fresh_seeds
@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_that_nobody_gave_is_fresh_and_its_record_repeats_the_run(name: str, model: Model) -> None:
    draw = DRAWS[name]
    (one, seed), (other, _) = draw(model, None), draw(model, None)
    assert not torch.equal(one, other)
    again, kept = draw(model, seed)
    assert torch.equal(one, again) and kept == seed


def test_a_seed_that_is_ignored_is_seen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above, on a library whose fresh seeds are all alike."""
    monkeypatch.setattr(random_numbers, "fresh_seed", lambda: 0)
    with pytest.raises(AssertionError):
        test_a_seed_that_nobody_gave_is_fresh_and_its_record_repeats_the_run("sample", model)


def test_the_global_generator_is_left_alone(model: Model) -> None:
    before = torch.get_rng_state()
    for draw in DRAWS.values():
        draw(model, None)
    assert torch.equal(torch.get_rng_state(), before)


# -- batches and threads ---------------------------------------------------------------------------


def check_batches(model: Model) -> None:
    """Samples do not depend on the batch they are drawn in: in float64 the species are the same, log_prob within 1e-5."""
    whole = model.sample(50, STATE, seed=3, batch_size=50)
    for size in (1, 7, 49):
        parts = model.sample(50, STATE, seed=3, batch_size=size)
        assert torch.equal(parts.occupations, whole.occupations) and torch.equal(parts.order, whole.order)  # type: ignore[arg-type]
        torch.testing.assert_close(parts.log_prob, whole.log_prob, rtol=0, atol=1e-5)
    fewer = model.sample(20, STATE, seed=3)
    assert torch.equal(fewer.occupations, whole.occupations[:20])


def test_samples_do_not_depend_on_the_batch(model: Model) -> None:
    check_batches(model)


def test_a_stream_used_for_two_samples_is_seen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch with the numbers of the first."""
    from arlattice.decoding import sampling

    monkeypatch.setattr(
        sampling, "uniform", lambda seed, purpose, steps, samples, device: uniform(seed, purpose, steps, (0, samples[1]), device)
    )
    with pytest.raises(AssertionError):
        check_batches(model)


def test_samples_do_not_depend_on_threads(model: Model) -> None:
    before, single = torch.get_num_threads(), model.sample(50, STATE, seed=3)
    chains = sample_chains(ISING, STATE, chains=8, sweeps=5, burn_in=1, thin=1, seed=3)
    try:
        torch.set_num_threads(2 if before == 1 else 1)
        assert torch.equal(model.sample(50, STATE, seed=3).occupations, single.occupations)
        assert torch.equal(sample_chains(ISING, STATE, chains=8, sweeps=5, burn_in=1, thin=1, seed=3).occupations, chains.occupations)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("move", ["heat-bath", "metropolis", "swendsen-wang", "wolff"])
def test_a_chain_does_not_depend_on_the_number_of_chains(move: str) -> None:
    """The first four of ten are the four of four."""
    few, many = (sample_chains(ISING, STATE, chains=n, sweeps=4, burn_in=2, thin=1, move=move, seed=3) for n in (4, 10))
    assert torch.equal(many.occupations.view(4, 10, 9)[:, :4], few.occupations.view(4, 4, 9))
