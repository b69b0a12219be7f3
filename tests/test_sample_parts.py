"""Samples drawn part by part: the same as at once, averaged without configurations, kept in a folder that goes on after a stop."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.hooks.manager import Manager, using
from arlattice.models.base import Model
from arlattice.random_numbers import Stream
from arlattice.testing import randomise
from arlattice.thermo.sweep_run import devices_of_workers

pytestmark = [pytest.mark.filterwarnings(f"ignore:{words}") for words in (".*effective samples", "k-hat")]  # a model at random

STATE = arl.SemiGrandCanonical(2.5, {"up": 0.1})
FAMILIES = ["any-order-mlp", "any-order-transformer", "multiscale", "fixed-order-mlp"]


def small(name: str, side: int = 4) -> Model:
    return randomise(arl.model(name, arl.hamiltonian("ising", supercell=(side, side))), scale=0.05).eval()


@pytest.fixture(scope="module")
def model() -> Model:
    return small("multiscale")


# -- the same samples ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_joined_parts_are_what_is_drawn_at_once(family: str) -> None:
    """Parts that no batch divides evenly; the last is smaller."""
    model = small(family)
    whole = model.sample(23, STATE, seed=5, batch_size=4)
    parts = list(model.sample_parts(23, STATE, part_size=6, seed=5, batch_size=4))
    assert [len(part) for part in parts] == [6, 6, 6, 5]
    joined = arl.SampleSet.concatenate(parts)
    assert torch.equal(joined.occupations, whole.occupations) and torch.equal(joined.order, whole.order)
    assert torch.equal(joined.stream, whole.stream) and torch.equal(joined.energy, whole.energy)
    assert torch.allclose(joined.log_prob, whole.log_prob, rtol=0, atol=1e-5)
    later = list(model.sample_parts(23, STATE, part_size=6, skip=2, seed=5, batch_size=4))
    assert [part.stream[0, 2] for part in later] == [12, 18] and torch.equal(later[0].occupations, parts[2].occupations)


def test_an_order_of_every_sample_goes_to_its_part() -> None:
    model = small("any-order-mlp")
    orders = torch.stack([Stream(k).permutation(16) for k in range(7)])
    for given in (orders, orders.numpy(), orders.tolist()):
        parts = list(model.sample_parts(7, STATE, part_size=3, order=given, seed=1))
    assert torch.equal(torch.cat([part.order for part in parts if part.order is not None]), orders)
    blocks = model.sample(5, STATE, seed=2)
    assert blocks.plan is not None
    again = list(model.sample_parts(5, STATE, part_size=2, plan=blocks.plan, seed=2))
    assert torch.equal(torch.cat([part.occupations for part in again]), blocks.occupations)


def test_a_stream_that_starts_later_gives_the_numbers_of_later_samples() -> None:
    whole, later = Stream(3, "a"), Stream(3, "a", first=10)
    assert torch.equal(whole["b"].uniform(5, 16)[:, 10:], later["b"].uniform(5, 6))
    for _ in range(2):  # what is drawn once for all samples is the same
        assert torch.equal(whole["c"].permutation(7), later["c"].permutation(7))
        assert torch.equal(whole["d"].permutations(5, 3), later["d"].permutations(5, 3))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"skip": -1}, "skip = -1"),
        ({"skip": 0.5}, "skip = 0.5"),
        ({"part_size": 2.5}, "part_size"),
        ({"order": torch.zeros(3, 16)}, "3 rows"),
    ],
)
def test_arguments_are_checked_before_the_first_part(more: dict[str, Any], words: str) -> None:
    with pytest.raises(arl.InputError, match=words):
        small("any-order-mlp").sample_parts(7, STATE, **more)


def test_one_part_is_in_memory_at_a_time(model: Model) -> None:
    alive: list[weakref.ref[arl.SampleSet]] = []

    def watched() -> Iterator[arl.SampleSet]:
        for part in model.sample_parts(50, STATE, part_size=10, seed=1):
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 1  # the one that the loop over this generator still names
            alive.append(weakref.ref(part))
            yield part

    assert len(arl.Summary(watched())) == len(alive) * 10 == 50


# -- averages --------------------------------------------------------------------------------------


def test_a_summary_has_the_averages_of_the_joined_samples(model: Model) -> None:
    parts = list(model.sample_parts(500, STATE, part_size=150, seed=5))
    joined, summary = arl.SampleSet.concatenate(parts), arl.Summary(iter(parts), observables=["magnetisation", "heat_capacity"])
    assert len(summary) == summary.n == 500 and summary.metadata == joined.metadata
    for found, expected in [
        *((getattr(summary, name)(), getattr(joined, name)()) for name in ("log_z", "free_energy", "entropy", "elbo")),
        *((summary.mean(name), joined.mean(name)) for name in ("x_up", "energy", "energy_per_site", "heat_capacity", "susceptibility:up")),
        *zip(summary.means("magnetisation").values(), joined.means("magnetisation").values(), strict=True),
    ]:
        assert found.value == pytest.approx(expected.value, rel=1e-12) and found.error == pytest.approx(expected.error, rel=1e-9)
    assert summary.ess == pytest.approx(joined.ess, rel=1e-12) and summary.khat == pytest.approx(joined.khat, rel=1e-9)
    assert torch.equal(summary.log_weight, joined.log_weight) and str(summary.warnings) == str(joined.warnings)


def test_a_summary_counts_atoms_where_there_are_vacancies() -> None:
    lattice = arl.square((3, 3), ("A", "X"))
    field = arl.FunctionHamiltonian(lattice, lambda x: x.double().sum(1), name="count", units="reduced")
    samples = randomise(arl.model("any-order-mlp", field)).sample(40, arl.SemiGrandCanonical(2.0), seed=1)
    summary = arl.Summary([samples.select(slice(0, 10)), samples.select(slice(10, 40))])
    assert torch.equal(summary.n_atoms, samples.n_atoms)


def test_what_needs_configurations_must_be_named(model: Model) -> None:
    summary = arl.Summary(model.sample_parts(20, STATE, part_size=10, seed=1))
    with pytest.raises(arl.InputError, match=r"does not keep these; name it: Summary\(sets, observables"):
        summary.mean("magnetisation")


def test_an_observable_of_energies_is_that_of_all_samples_though_the_first_part_has_one_energy(model: Model) -> None:
    """Rows of a heat capacity are less the mean of their set: of a first part of equal energies they look like rows of single samples."""
    samples = model.sample(200, STATE, seed=5)
    order = samples.energy.argsort()
    alike = order[samples.energy[order] == samples.energy[order].mode().values]
    others = torch.tensor([k for k in range(200) if k not in set(alike.tolist())])
    for first, rest in ((alike, others), (torch.tensor([0]), torch.arange(1, 200))):
        summary = arl.Summary([samples.select(first), samples.select(rest)], observables=["heat_capacity", "magnetisation"])
        joined = samples.select(torch.cat([first, rest]))
        assert summary.mean("heat_capacity").value == pytest.approx(joined.mean("heat_capacity").value, rel=1e-9)
        assert summary.means("magnetisation") == joined.means("magnetisation")


AWAY = """
import arlattice as arl

def away(samples, options):
    m = samples.occupations.double().mean(1)
    return m - m.mean()

@arl.hookimpl
def arlattice_register_observables(register):
    register("away", away, summary="from the mean of the set")
"""


def test_an_observable_that_reads_the_whole_set_is_refused_before_the_second_part(model: Model, tmp_path: Path) -> None:
    """Rows less the mean of their set, as a variance that must not cancel has them: joined, they would be silently wrong."""

    seen = []

    def parts() -> Iterator[arl.SampleSet]:
        for part in model.sample_parts(40, STATE, part_size=20, seed=1):
            seen.append(len(part))
            yield part

    plugin = tmp_path / "stranger.py"
    plugin.write_text(AWAY)
    with using(Manager([str(plugin)])), pytest.raises(arl.InputError, match="'away': the row of a sample depends on the samples beside it"):
        arl.Summary(parts(), observables=["away"])
    assert seen == [20]


def test_sets_that_do_not_belong_together_are_refused(model: Model) -> None:
    one = model.sample(10, STATE, seed=1)
    for others, words in [
        ([one], "share random numbers"),
        ([model.sample(10, arl.SemiGrandCanonical(2.6), seed=2)], "state differs"),
        ([small("any-order-mlp", 3).sample(10, STATE, seed=2)], "lattice differs"),
    ]:
        with pytest.raises(arl.InputError, match=words):
            arl.Summary([one, *others])
    with pytest.raises(arl.InputError, match="give at least one SampleSet"):
        arl.Summary([])


# -- a folder --------------------------------------------------------------------------------------


def drawn(model: Model, folder: Path, **more: Any) -> arl.Summary:
    arguments: dict[str, Any] = {"part_size": 10, "seed": 4, **more}
    return arl.sample_to_folder(model, 35, STATE, folder, **arguments)


@pytest.mark.parametrize("files", ["netcdf", "extxyz"])
def test_a_draw_that_was_stopped_goes_on(files: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(model, tmp_path / "whole", format=files, observables=["magnetisation"])
    written, write = [], arl.SampleSet.write

    def until_full(self: arl.SampleSet, path: Path, **options: Any) -> None:
        if len(written) == 2:
            raise OSError("no space left on the device")
        written.append(path)
        write(self, path, **options)

    monkeypatch.setattr(arl.SampleSet, "write", until_full)
    with pytest.raises(OSError, match="no space"):
        drawn(model, tmp_path / "stopped", format=files)
    monkeypatch.undo()
    before = {path: path.read_bytes() for path in written}
    found = drawn(model, tmp_path / "stopped", format=files, seed=None, observables=["magnetisation"])
    assert {path: path.read_bytes() for path in written} == before
    assert torch.equal(found.log_weight, whole.log_weight)
    assert found.means("magnetisation") == whole.means("magnetisation")
    names = sorted(path.name for path in (tmp_path / "stopped").iterdir() if path.name.startswith("part-"))
    assert [len(arl.SampleSet.read(tmp_path / "stopped" / name)) for name in names] == [10, 10, 10, 5]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"seed": 5}, "another seed"),
        ({"part_size": 11}, "another part_size"),
        ({"format": "extxyz"}, "another files"),
        ({"order": "finer-blocks"}, "another order"),
    ],
)
def test_a_folder_of_another_draw_is_refused_and_stays(more: dict[str, Any], words: str, model: Model, tmp_path: Path) -> None:
    drawn(model, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(arl.InputError, match=words):
        drawn(model, tmp_path / "run", **more)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_other_weights_do_not_go_on_with_a_draw(model: Model, tmp_path: Path) -> None:
    drawn(model, tmp_path / "run")
    with pytest.raises(arl.InputError, match="another model"):
        drawn(small("any-order-mlp"), tmp_path / "run")


def test_a_part_of_something_else_or_a_damaged_one_is_refused(model: Model, tmp_path: Path) -> None:
    drawn(model, tmp_path / "run")
    path = tmp_path / "run" / "part-2.nc"
    model.sample(10, STATE, seed=4).write(path)  # samples 0 to 9
    with pytest.raises(arl.InputError, match=r"part-2.nc.* does not hold samples 10 to 19 of seed 4 of this model and state; remove"):
        drawn(model, tmp_path / "run")
    list(small("any-order-mlp").sample_parts(20, STATE, part_size=10, seed=4))[1].write(path)  # the same numbers, other weights
    with pytest.raises(arl.InputError, match="of this model and state"):
        drawn(model, tmp_path / "run")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(arl.InputError, match="damaged"):
        drawn(model, tmp_path / "run")
    path.unlink()
    assert len(drawn(model, tmp_path / "run")) == 35


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"order": "sideways"}, "order = 'sideways'"),
        ({"order": torch.arange(16)}, "name a kind of orders"),
        ({"observables": ["energi"]}, "energi"),
        ({"vacancies": "keep"}, "vacancies = 'keep'"),
        ({"part_size": 0}, "part_size = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"format": "cif"}, "is not read back; give"),
    ],
)
def test_a_refused_call_leaves_no_folder(more: dict[str, Any], words: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(arl.InputError, match=words):
        drawn(model, tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()
    for state in (arl.SemiGrandCanonical(2.0, {"Au": 0.1}), "hot"):
        with pytest.raises(arl.InputError):
            arl.sample_to_folder(model, 5, state, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(arl.InputError, match="does not exist; make it first"):
        drawn(model, tmp_path / "none" / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_draw_that_ran_out_of_memory_goes_on_in_smaller_batches(model: Model, tmp_path: Path) -> None:
    whole = drawn(model, tmp_path / "run")
    (tmp_path / "run" / "part-3.nc").unlink()
    assert torch.allclose(drawn(model, tmp_path / "run", batch_size=3).log_weight, whole.log_weight, atol=1e-5)


def test_a_folder_of_something_else_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(arl.InputError, match="holds something else; name a new folder"):
        drawn(model, tmp_path)
    with pytest.raises(arl.InputError, match="is a file; name a folder"):
        drawn(model, tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] in (["notes.txt"], [".lock", "notes.txt"], ["notes.txt", ".lock"])


def test_the_command_draws_into_a_folder(tmp_path: Path) -> None:
    small("any-order-mlp").save(tmp_path / "model")
    command = [sys.executable, "-m", "arlattice", "sample", "model", "-n", "25", "--temperature", "2.5", "--part-size", "10", "--json"]
    done = subprocess.run([*command, "-o", "parts", "--seed", "1"], cwd=tmp_path, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["samples"] == 25 and facts["seed"] == 1 and facts["written"] == ["parts"]
    once = arl.load(tmp_path / "model").sample(25, arl.SemiGrandCanonical(2.5), seed=1)
    assert facts["log_z"]["value"] == pytest.approx(once.log_z().value, abs=1e-5)
    assert len(list((tmp_path / "parts").glob("part-*.nc"))) == 3
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--part-size = 10: name one folder for the parts: -o FOLDER" in refused.stderr


# -- workers of a sweep ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "found"),
    [("cuda:0", ["cuda:0", "cuda:1", "cuda:2"]), ("cuda", ["cuda:0", "cuda:1", "cuda:2"]), ("cuda:1", ["cuda:1"]), ("cpu", ["cpu"])],
)
def test_workers_share_the_gpus(device: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices_of_workers(torch.device(device), 8) == found
    assert devices_of_workers(torch.device(device), 2) == found[:2]
