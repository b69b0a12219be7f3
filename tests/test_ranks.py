"""Several processes train one model: two of them, started by torchrun, that talk through gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.io.records import read_tensors
from arlattice.training.automatic import training_device
from arlattice.training.ranks import Ranks

HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """What `two_ranks` found."""
    done = subprocess.run([*TORCHRUN, str(HERE / "two_ranks.py"), str(folder)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def tensors(folder: Path) -> dict[str, Tensor]:
    return read_tensors(folder / "checkpoint.safetensors", "checkpoint")[0]


# -- one step --------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_one_process_with_the_joined_batch(found: dict[str, Any]) -> None:
    """To 1e-12 in float64, for every objective on replayed or drawn configurations; that of one rank alone is far from it."""
    assert len(found["gradients"][0]) == 9
    for of_rank in found["gradients"]:
        for case, (averaged, alone) in of_rank.items():
            assert averaged < 1e-12, case
            assert alone > 1e-3, case


def test_a_weight_that_one_rank_alone_has_a_gradient_of_moves_at_both(found: dict[str, Any]) -> None:
    assert found["half"] == [[[1.5, 1.5], [1.5, 1.5], None]] * 2


def test_where_memory_runs_out_at_one_rank_all_take_half_of_the_batch(found: dict[str, Any]) -> None:
    assert found["batch"] == [8, 8]


# -- a run -----------------------------------------------------------------------------------------


def test_all_ranks_end_with_the_same_weights(found: dict[str, Any]) -> None:
    for run in ("whole", "parts", "fresh"):
        assert len(set(found[run])) == 1, run


def test_a_resumed_run_is_the_same_run(found: dict[str, Any], folder: Path, without_clock: Callable[[Path], Any]) -> None:
    """Stopped three times: in equilibration, and after steps that no checkpoint was planned for."""
    assert found["parts"] == found["whole"] != found["fresh"]
    for name in ("checkpoint.safetensors", "model/model.safetensors"):
        assert without_clock(folder / "parts" / name) == without_clock(folder / "whole" / name)


def test_a_script_may_load_what_it_trained_and_a_folder_is_refused_at_all_ranks(found: dict[str, Any]) -> None:
    assert found["loaded"] == found["whole"]
    assert len(found["refused"]) == 2 and all("holds a run already" in words for words in found["refused"])


def test_variables_of_a_scheduler_alone_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert Ranks.here(torch.device("cpu")).count == 1 and Ranks.own_device("cuda:0") == "cuda:0"


def test_every_rank_has_chains_of_its_own(found: dict[str, Any], folder: Path) -> None:
    """The same seed at both would be half as many configurations, counted twice."""
    held = tensors(folder / "whole")
    mine = {name for name in held if name.startswith("source.")}
    assert mine and {f"rank1.{name}" for name in mine} == {name for name in held if name.startswith("rank1.")}
    assert not torch.equal(held["source.0.occupations"], held["rank1.source.0.occupations"])


def test_the_record_tells_how_many_processes(found: dict[str, Any], folder: Path) -> None:
    assert arl.load(folder / "whole").record["processes"] == 2


def test_one_process_does_not_go_on_with_a_run_of_two(found: dict[str, Any], folder: Path) -> None:
    H = arl.hamiltonian("ising", supercell=(4, 4))
    config = json.loads((folder / "whole" / "config.json").read_text())
    options = {k: v for k, v in config["training"].items()}
    (folder / "whole" / "model").rename(folder / "model of whole")
    model = {k: v for k, v in config["model"].items() if k != "name"}
    with pytest.raises(arl.InputError, match="processes = 1: the checkpoint was made by 2; resume with as many"):
        arl.train(
            H,
            arl.StateRange(temperature=(2.0, 3.0)),
            model="multiscale",
            model_options=model,
            training=options,
            folder=folder / "whole",
            resume=True,
            progress=False,
        )


# -- the command -----------------------------------------------------------------------------------


def test_the_command_says_once_what_was_trained(tmp_path: Path) -> None:
    run = """
[hamiltonian]
name = "ising"
supercell = [4, 4]
[states]
temperature = 3.0
[model]
name = "any-order-mlp"
[training]
steps = 1
batch_size = 8
equilibration_sweeps = 1
replica_copies = 8
"""
    (tmp_path / "run.toml").write_text(run)
    command = [*TORCHRUN, "-m", "arlattice", "train", "run.toml", "-o", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "trained model: run\n"
    assert done.stderr.count("training:   0%") == 1  # one bar
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


# -- devices ---------------------------------------------------------------------------------------


@pytest.fixture
def as_second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "one", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("as_second_of_two")
@pytest.mark.parametrize(
    ("device", "gpus", "words"),
    [("cuda:0", 2, "device = 'cuda:0': is one GPU for all processes"), ("cuda", 1, "this machine has 1 GPUs; start one process for each")],
)
def test_a_gpu_for_every_rank(monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, words: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(arl.InputError, match=words):
        training_device(device)


@pytest.mark.usefixtures("as_second_of_two")
def test_a_rank_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert Ranks.own_device("cuda") == torch.device("cuda", 1) and taken == [1]
    assert Ranks.own_device("cpu") == "cpu"
