"""Files are written whole or not at all: killed writers, full disks, and two processes in one folder."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.io.files import folder_lock, replacing, turn, write_text
from arlattice.io.records import read_json
from arlattice.models.base import Model
from arlattice.models.checkpoint import read_record

TINY = {"width": 16, "heads": 2, "layers": 1}
STATE = arl.SemiGrandCanonical(2.0)
BRIEF: dict[str, Any] = {
    "seed": 0,
    "steps": 2,
    "batch_size": 4,
    "reverse_states": 1,
    "reverse_samples": 4,
    "evaluate_samples": 32,
    "equilibration_sweeps": 1,
}
BRIEF |= {"replica_temperatures": 1, "replica_potentials": 1, "replica_copies": 2, "replay_group": 2}


def train(folder: Path, **keywords: Any) -> Model:
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
    training = BRIEF | keywords.pop("training", {})
    return arl.train(hamiltonian, STATE, model_options=TINY, training=training, folder=folder, device="cpu", progress=False, **keywords)


def program(text: str, *arguments: str) -> subprocess.Popen[str]:
    """Python code in a process of its own; it says on standard output when it has begun."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen([sys.executable, "-c", text, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    return child


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


# -- two processes -----------------------------------------------------------------------------------


def test_a_second_training_in_a_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with folder_lock(folder) as ours:
        assert ours
        for resume in (False, True):
            with pytest.raises(arl.InputError, match="another process trains there"):
                train(folder, resume=resume)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert train(folder).record["steps"] == 2


def test_the_lock_of_a_process_that_was_killed_is_stale(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    hold = "import sys, time; from pathlib import Path; from arlattice.io.files import folder_lock\n"
    child = program(hold + "with folder_lock(Path(sys.argv[1])) as ours:\n    print('begun', flush=True)\n    time.sleep(600)", str(folder))
    with pytest.raises(arl.InputError, match="another process trains there"):
        train(folder)
    kill(child)
    assert train(folder).record["steps"] == 2


def test_a_folder_that_holds_a_model_is_not_trained_into(tmp_path: Path) -> None:
    """`load` would give the model that was there."""
    model = train(tmp_path / "run")
    model.save(tmp_path / "saved")
    for folder, resume in ((tmp_path / "saved", False), (tmp_path / "saved", True)):
        with pytest.raises(arl.InputError, match="holds a trained model already"):
            train(folder, resume=resume)
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    with pytest.raises(arl.InputError, match="holds a trained model already"):
        train(tmp_path / "run")
    assert arl.load(tmp_path / "saved").fingerprint == arl.load(tmp_path / "run").fingerprint == model.fingerprint


@pytest.mark.parametrize("there", [False, True])
def test_a_refused_run_leaves_no_folder(there: bool, tmp_path: Path) -> None:
    """`mam` needs a model with a marginal head, which shows at the first step only."""
    folder = tmp_path / "made" / "run"
    if there:
        folder.mkdir(parents=True)
    with pytest.raises(arl.InputError, match="marginal"):
        train(folder, training={"objective": "mam"})
    assert [path.name for path in tmp_path.rglob("*")] == (["made", "run", ".lock"] if there else [])


# -- killed writers ----------------------------------------------------------------------------------

SAVING = """
import sys, torch, arlattice as arl
from itertools import count
from arlattice.io.files import write_text
from pathlib import Path
models = [arl.load(sys.argv[1]) for _ in range(2)]
for number, model in enumerate(models):
    model.record = {"number": number}
    torch.nn.utils.vector_to_parameters(torch.full((sum(p.numel() for p in model.parameters()),), float(number)), model.parameters())
print("begun", flush=True)
for turn in count():
    models[turn % 2].save(sys.argv[2])
    write_text(Path(sys.argv[2]).parent / "text", "ab" * 10**6)
"""


def test_killed_writers_leave_a_whole_model_with_its_own_record_and_litter_that_the_next_clears(tmp_path: Path, ising_model: Path) -> None:
    """6 writers that overwrite one model again and again, killed after 5 to 30 ms (benchmarks/kills.py has 250)."""
    folder = tmp_path / "model"
    for kills in range(6):
        child = program(SAVING, str(ising_model), str(folder))
        time.sleep(0.3 if kills == 0 else 0.005 * (1 + kills))
        kill(child)
        loaded = arl.load(folder)
        number = int(next(iter(loaded.parameters())).flatten()[0])
        assert all(bool((p == number).all()) for p in loaded.parameters())
        assert loaded.record == read_record(folder) == {"number": number}
        if (folder / "model.json").is_file():
            assert read_json(folder / "model.json", "model")["record"] == {"number": number}
    loaded.save(folder)
    write_text(tmp_path / "text", "")
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {"model", "text"}


@pytest.mark.parametrize("waiting", ["load", "save"])
def test_who_reads_or_writes_a_model_waits_for_who_overwrites_it(waiting: str, tmp_path: Path, ising_model: Path) -> None:
    model = arl.load(ising_model)
    model.save(tmp_path)
    work = {"load": lambda: arl.load(tmp_path), "save": lambda: model.save(tmp_path)}[waiting]
    thread = threading.Thread(target=work)
    with turn(tmp_path):
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()


def test_two_processes_that_overwrite_one_model_leave_it_whole_at_every_moment(tmp_path: Path, ising_model: Path) -> None:
    """Read 60 times while both write as fast as they can."""
    folder = tmp_path / "model"
    children = [program(SAVING, str(ising_model), str(folder)) for _ in range(2)]
    while not (folder / "model.json").is_file():
        time.sleep(0.01)
    try:
        for _ in range(60):
            loaded = arl.load(folder)
            assert all(bool((p == loaded.record["number"]).all()) for p in loaded.parameters())
    finally:
        for child in children:
            kill(child)


def test_a_writer_that_lives_keeps_its_scratch_folder(tmp_path: Path) -> None:
    with replacing(tmp_path / "slow") as slow:
        slow.write_text("slow")
        write_text(tmp_path / "quick", "quick")
        assert slow.read_text() == "slow"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quick", "slow"]


# -- a full disk ---------------------------------------------------------------------------------------


@contextmanager
def small_files(folder: Path) -> Iterator[None]:
    """No file may grow over 16 kB: writing more fails as on a full disk, whatever the file system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 16 kB in memory, where the test may mount one."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


DRAW = "sample model -n 400 --temperature 2 --quiet"
WRITERS = {
    "old.extxyz": f"{DRAW} -o disk/old.extxyz",
    "old.nc": f"{DRAW} -o disk/old.nc",
    "old.db": f"{DRAW} -o disk/old.db",
    "old.safetensors": "hamiltonians ising --set supercell=[24,24] --compile disk/old.safetensors",
    "sweep.nc": "sweep model --temperature 1:3:150 -n 2 --quiet -o disk/sweep.nc",
    "run": "train config.toml -o disk/run --quiet --device cpu",
    "picture.png": "inpaint model unknown.extxyz -n 4 --temperature 2 --quiet --picture disk/picture.png",
}
CONFIG = """
hamiltonian = { name = "ising", supercell = [3, 3] }
states = { temperature = 2.0 }
model = { name = "any-order-transformer", width = 64, heads = 2, layers = 4 }
training = { steps = 2, batch_size = 4, replica_temperatures = 1, replica_potentials = 1, replica_copies = 2, equilibration_sweeps = 1 }
"""


@pytest.mark.parametrize("full", [small_files, small_disk])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_in_one_line_and_the_old_file_stays(
    name: str, full: Callable[[Path], Any], tmp_path: Path, ising_model: Path, run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").symlink_to(ising_model)
    Path("config.toml").write_text(CONFIG)
    lattice = arl.load(ising_model).lattice
    import ase.io

    ase.io.write("unknown.extxyz", lattice.to_ase(torch.full((9,), -1)))
    Path("disk").mkdir()
    with full(Path("disk")):
        if name.startswith("old"):
            Path("disk", name).write_text("old")
        ran = run_cli(*WRITERS[name].split())
        left = {path.name for path in Path("disk").rglob("*") if path.is_file()}
        old = Path("disk", name).read_text() if name.startswith("old") else None
    assert (ran.code, ran.out) == (2, "")
    told = [line for line in ran.err.splitlines() if "warning" not in line]
    assert len(told) == 1 and re.fullmatch(rf"arlattice: error: .*disk/{re.escape(name.split('.')[0])}.*", told[0]), ran.err
    assert old in (None, "old")
    assert not any("writing" in each for each in left)
    assert "checkpoint.safetensors" not in left and name not in left - ({name} if old else set())


def test_a_folder_that_its_maker_locks_while_it_is_cleared_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maker was slow between making and locking; the neighbour took the folder for a left-over."""
    made, remove = tmp_path / ".writing-slow", shutil.rmtree
    made.mkdir()

    def late(path: Path, **options: Any) -> None:
        if not (made / "mine").exists() and "writing-slow" in str(path):
            made.mkdir(exist_ok=True)
            (made / "mine").write_text("mine")
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", late)
    write_text(tmp_path / "text", "")
    assert (made / "mine").read_text() == "mine"
