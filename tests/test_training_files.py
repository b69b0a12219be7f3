"""A resumed run is the same run; what a run leaves in its folder is whole or absent, and resumes or is refused."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ising_runs import BRIEF, CRITICAL, RANGE, TINY, brief, ising, lines, stopped, trainer
from torch import Tensor

import arlattice as arl
from arlattice.io.records import read_tensors, write_tensors
from arlattice.training.checkpoint import Progress, load_checkpoint, save_checkpoint

# -- a resumed run ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "states", [RANGE, CRITICAL, [arl.Canonical(1.0, {"up": 4}), arl.Canonical(2.0, {"up": 4})]], ids=["range", "one", "canonical"]
)
def test_a_resumed_run_is_the_same_run(states: Any, tmp_path: Path, without_clock: Callable[[Path], Any]) -> None:
    """Stopped during equilibration, after step 1 and again after step 2: weights, files and figures are the same bits."""
    whole = brief(tmp_path / "whole", states)
    stopped(tmp_path / "parts", states, steps=2)
    parts = brief(tmp_path / "parts", states, resume=True)
    assert parts.fingerprint == whole.fingerprint
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert (tmp_path / "parts" / "config.json").read_bytes() == (tmp_path / "whole" / "config.json").read_bytes()
    for name in ("checkpoint.safetensors", "model/model.safetensors"):
        assert without_clock(tmp_path / "parts" / name) == without_clock(tmp_path / "whole" / name)


def test_a_run_that_is_resumed_without_saying_its_start_again_keeps_it_in_its_record(tmp_path: Path) -> None:
    brief(tmp_path / "first")
    stopped(tmp_path / "second", start=tmp_path / "first")
    record = brief(tmp_path / "second", resume=True).record
    assert record["start"] == brief(tmp_path / "whole", start=tmp_path / "first").record["start"]
    assert record["start"]["model"] == str(tmp_path / "first") and record["start"]["seconds"] > 0


def test_the_record_sums_the_seconds_of_all_commands(tmp_path: Path) -> None:
    """What a checkpoint says is where a resumed run begins to count."""
    run = trainer()
    run.done = Progress(seconds=100.0)
    assert 100.0 < run.seconds < 160.0
    save_checkpoint(tmp_path / "checkpoint", run.parts, run.done._replace(seconds=run.seconds), run._identity())
    again = trainer()
    again.done = load_checkpoint(tmp_path / "checkpoint", again.parts, again._identity())
    assert run.done.seconds < again.done.seconds < again.seconds < 160.0


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    done = brief(tmp_path / "run")
    before = lines(tmp_path / "run")
    assert brief(tmp_path / "run", resume=True).fingerprint == done.fingerprint
    assert lines(tmp_path / "run") == before


# -- files: whole or absent ------------------------------------------------------------------------


def contents(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


WHOLE = {".lock", "config.json", "metrics.jsonl", "checkpoint.safetensors", "model", "model/model.safetensors", "model/model.json"}


def test_a_run_leaves_its_files_and_nothing_else(tmp_path: Path) -> None:
    brief(tmp_path / "run")
    assert contents(tmp_path / "run") == WHOLE
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert set(config) == {"hamiltonian", "supercells", "states", "model", "training"}
    assert config["training"]["steps"] == 6 and config["model"]["width"] == 16


class DiskFullError(OSError):
    pass


@pytest.mark.parametrize("where", ["while writing", "while renaming"])
def test_a_crash_while_a_checkpoint_is_written_leaves_the_one_before(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second checkpoint fails half-way: the first is there, resumes, and ends in the same bits as an undisturbed run."""
    import safetensors.torch

    write, replace, calls = safetensors.torch.save_file, os.replace, itertools.count(1)

    def half_written(tensors: Any, path: Any, metadata: Any) -> None:
        write(tensors, path, metadata)
        if Path(path).name == "checkpoint.safetensors" and "run" in Path(path).parts and next(calls) == 2:
            Path(path).write_bytes(Path(path).read_bytes()[:1000])
            raise DiskFullError("no space left on device")

    def failing(source: Any, target: Any) -> None:
        if Path(target).name == "checkpoint.safetensors" and next(calls) == 2:
            raise DiskFullError("no space left on device")
        replace(source, target)

    undisturbed = brief(tmp_path / "undisturbed")
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"no space left.*checkpoint\.safetensors"):
        if where == "while writing":
            patch.setattr(safetensors.torch, "save_file", half_written)
        else:
            patch.setattr(os, "replace", failing)
        brief(tmp_path / "run")
    assert contents(tmp_path / "run") == {".lock", "config.json", "metrics.jsonl", "checkpoint.safetensors"}
    assert read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["step"] == 2
    assert brief(tmp_path / "run", resume=True).fingerprint == undisturbed.fingerprint
    assert lines(tmp_path / "run") == lines(tmp_path / "undisturbed")


def test_a_metrics_line_cut_off_by_a_crash_is_dropped_on_resuming(tmp_path: Path) -> None:
    stopped(tmp_path / "run", training={"evaluate_every": 1})
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "sec')
    brief(tmp_path / "run", resume=True, training={"evaluate_every": 1})
    assert [row["step"] for row in lines(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("table", "other"),
    [
        ("hamiltonian", {"hamiltonian": arl.hamiltonian("ising", supercell=(3, 3), J=1.5)}),
        ("states", {"states": CRITICAL}),
        ("model", {"model_options": TINY | {"layers": 1}}),
        ("training", {"training": {"learning_rate": 0.5}}),
    ],
)
def test_resuming_another_run_is_refused_and_the_table_that_differs_named(table: str, other: dict[str, Any], tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    before = {p: (tmp_path / "run" / p).read_bytes() for p in ("config.json", "metrics.jsonl", "checkpoint.safetensors")}
    arguments: dict[str, Any] = {"hamiltonian": ising(3, 3), "states": RANGE, "model_options": TINY, "training": {}} | other
    arguments["training"] = BRIEF | arguments["training"]
    with pytest.raises(arl.InputError, match=rf"^\[{table}\]"):
        arl.train(**arguments, folder=tmp_path / "run", resume=True, device="cpu", progress=False)
    assert before == {p: (tmp_path / "run" / p).read_bytes() for p in before}


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    with pytest.raises(arl.InputError, match="holds a run already"):
        brief(tmp_path / "run")


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(arl.InputError, match="folder"):
        brief(resume=True)
    with pytest.raises(arl.InputError, match="no such file"):
        brief(tmp_path / "nothing", resume=True)
    assert contents(tmp_path) == set()


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    whole = path.read_bytes()
    tensors, description = read_tensors(path)
    for damage in (b"", whole[: len(whole) // 2], b"\x80\x04" + whole):
        path.write_bytes(damage)
        with pytest.raises(arl.InputError, match="damaged"):
            brief(tmp_path / "run", resume=True)
    incomplete: list[tuple[dict[str, Tensor], Any]] = [
        ({k: t for k, t in tensors.items() if not k.startswith(part)}, description) for part in ("model.", "average.", "source.")
    ]
    incomplete += [(tensors, {k: v for k, v in description.items() if k != key}) for key in ("format", "step", "identity", "counters")]
    for some, about in incomplete:
        write_tensors(path, some, about)
        with pytest.raises(arl.InputError, match="checkpoint"):
            brief(tmp_path / "run", resume=True)


def test_a_run_file_trains_as_train_does(tmp_path: Path) -> None:
    from arlattice.training.config import RunConfig
    from arlattice.training.train import run

    training = "\n".join(f"{key} = {json.dumps(value)}" for key, value in BRIEF.items())
    (tmp_path / "run.toml").write_text(
        f"""
        [hamiltonian]
        name = "ising"
        supercell = [3, 3]
        [states]
        temperature = [1.5, 3.5]
        chemical_potentials = {{ up = [-0.3, 0.3] }}
        [model]
        name = "any-order-transformer"
        width = 16
        heads = 2
        layers = 2
        [training]
        {training}
        """
    )
    config = RunConfig.from_toml(tmp_path / "run.toml")
    assert run(config, tmp_path / "run", device="cpu", progress=False).fingerprint == brief().fingerprint
    ising(3, 3).save(tmp_path / "ising.safetensors")  # type: ignore[attr-defined]
    compiled = run(config, tmp_path / "compiled", device="cpu", progress=False, hamiltonian_file=tmp_path / "ising.safetensors")
    assert compiled.fingerprint == brief().fingerprint
    arl.hamiltonian("ising", supercell=(3, 3), J=2.0).save(tmp_path / "other.safetensors")  # type: ignore[attr-defined]
    with pytest.raises(arl.InputError, match="was compiled as"):
        run(config, tmp_path / "other", device="cpu", progress=False, hamiltonian_file=tmp_path / "other.safetensors")


def test_train_and_run_are_still_found_where_they_were() -> None:
    from arlattice.training import train, trainer

    for name in ("run", "train"):
        with pytest.warns(DeprecationWarning, match=r"arlattice\.training\.train"):
            assert getattr(trainer, name) is getattr(train, name)
    with pytest.raises(AttributeError):
        _ = trainer.walk  # type: ignore[attr-defined]


def test_a_run_without_a_seed_resumes_with_the_seed_of_its_folder_and_the_same_bits(tmp_path: Path) -> None:
    """config.json and the record tell the seed; with it, another run from the start gives the same."""
    unset = {"training": {"seed": None}}
    stopped(tmp_path / "run", **unset)
    seed = json.loads((tmp_path / "run" / "config.json").read_text())["training"]["seed"]
    resumed = brief(tmp_path / "run", resume=True, **unset)
    assert resumed.record["seed"] == seed
    assert resumed.fingerprint == brief(training={"seed": seed}).fingerprint != brief(**unset).fingerprint


def test_a_checkpoint_keeps_the_seed_and_counters_of_steps(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    tensors, description = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert "generator" not in tensors and description["seed"] == 0
    assert description["counters"]["training/state"] > 0 and description["counters"]["training/supercell 0/replay/sweep"] > 0


def test_a_checkpoint_of_the_earlier_generator_is_refused_with_the_way_on(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    tensors, description = read_tensors(path)
    generator = {"generator": torch.Generator().get_state()}
    write_tensors(path, tensors | generator, {key: description[key] for key in ("step", "identity")} | {"format": "arlattice-checkpoint-1"})
    for training in ({}, {"seed": None}):
        with pytest.raises(arl.InputError, match="another generator of random numbers: finish it there, or start a new run from its model"):
            brief(tmp_path / "run", resume=True, training=training)
