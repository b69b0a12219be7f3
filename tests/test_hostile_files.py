"""Hostile files: nothing in them runs, each is told in one line, within 2 GB and 20 seconds; a test for every reader."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.cli.main import run
from arlattice.io.records import read_tensors, write_tensors

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("hostile_files", HERE / "hostile_files.py")
assert _spec is not None and _spec.loader is not None
hostile = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile)

CONFIG = """
[hamiltonian]
name = "ising"
supercell = [3, 3]
[states]
temperature = 2.0
[model]
name = "any-order-transformer"
width = 16
heads = 2
layers = 1
[training]
steps = 1
batch_size = 4
replica_temperatures = 1
replica_potentials = 1
replica_copies = 2
equilibration_sweeps = 1
"""

SHORT = ["steps=1", "batch_size=4", "reverse_states=1", "reverse_samples=2", "equilibration_sweeps=1", "evaluate_samples=2"]

Content = bytes | Callable[[Path], None]
DRAW = "--temperature 2 -n 2 --quiet"
BENCH = f"bench mam-ising --small --rows fixed-order-mlp --quiet --device cpu --seed 0 --samples 4 --training {' --training '.join(SHORT)}"
ROW = "mam-ising-small/4x4/fixed-order-mlp"

READERS: dict[str, tuple[str, str]] = {
    # name of the reader -> where the hostile file lies, the command that reads it
    "model": ("{}/model.safetensors", f"sample {{}} {DRAW}"),
    "record": ("{}/model.json", f"sample {{}} {DRAW}"),
    "compiled Hamiltonian": ("{}.safetensors", f"sample good {DRAW} --hamiltonian {{}}.safetensors"),
    "checkpoint": ("{}/checkpoint.safetensors", "train good.toml -o {} --quiet --device cpu --resume"),
    "part of a sweep": ("{}.nc.parts/PART", "sweep good --temperature 2 -n 10 --quiet -o {}.nc"),
    "sweep": ("{}.nc", "phase-diagram {}.nc -o picture.png"),
    "extxyz": ("{}.extxyz", "export {}.extxyz out.nc"),
    "netcdf": ("{}.nc", "export {}.nc out.extxyz"),
    "db": ("{}.db", "export {}.db out.nc"),
    "expansion": ("{}.ce", "hamiltonians icet --set expansion={}.ce --set supercell=2"),
    "run file": ("{}.toml", "train {}.toml -o run --quiet --device cpu"),
    "structure": ("{}.xyz", f"inpaint good {{}}.xyz {DRAW}"),
    "result of a row": (f"{{}}/{ROW}/result.json", f"{BENCH} --runs {{}} -o out"),
    "config of a row": (f"{{}}/{ROW}/config.json", f"{BENCH} --runs {{}} -o out"),
    "cost of a row": (f"{{}}/{ROW}/cost.json", f"{BENCH} --runs {{}} -o out"),
    "table": ("{}/mam-ising-small.json", f"{BENCH} --runs finished -o {{}}"),
    "mask": ("{}.txt", f"inpaint good known.extxyz {DRAW} --mask {{}}.txt"),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, ising_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "good").symlink_to(ising_model)
    (folder / "good.toml").write_text(CONFIG)
    with warnings.catch_warnings(action="ignore"):  # few samples
        assert run([*BENCH.split(), "--runs", str(folder / "finished"), "-o", str(folder / "out")]) == 0
    import ase.io

    ase.io.write(folder / "known.extxyz", arl.hamiltonian("ising", supercell=(3, 3)).lattice.to_ase(torch.ones(9, dtype=torch.long)))
    return folder


@pytest.fixture(scope="module")
def read_all(workplace: Path) -> Callable[[str, dict[str, Content]], list[dict[str, Any]]]:
    """Give contents to a reader, one file each; what became of every one."""

    def read(reader: str, contents: dict[str, Content]) -> list[dict[str, Any]]:
        where, command = READERS[reader]
        commands = []
        for number, content in enumerate(contents.values()):
            name = f"{reader.replace(' ', '-')}-{number}"
            hostile.place(content, workplace / where.format(name).replace("PART", _part_name()))
            if reader == "record":
                (workplace / name / "model.safetensors").symlink_to(workplace / "good" / "model.safetensors")
            commands.append(command.format(*[name] * command.count("{}")).split())
        program = [sys.executable, str(HERE / "hostile_files.py")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        ran = subprocess.run(
            program, input=json.dumps(commands), capture_output=True, text=True, cwd=workplace, env=environment, check=True
        )
        found: list[dict[str, Any]] = json.loads(ran.stdout)
        return [{"name": name, **each} for name, each in zip(contents, found, strict=True)]

    return read


def _part_name() -> str:
    """The file name of the part of the state that the sweep command asks for."""
    from arlattice.thermo.sweep_state import part_path

    return part_path(Path(), arl.SemiGrandCanonical(2.0)).name


def _check(found: list[dict[str, Any]], workplace: Path, told: str = "") -> None:
    for each in found:
        assert each["code"] == 2, each
        lines = [line for line in each["told"].splitlines() if not line.startswith(("arlattice: warning:", "1/1 "))]
        assert len(lines) == 1 and re.fullmatch(rf"arlattice: error: .*{told}.*", lines[0]), each
        assert each["seconds"] < hostile.SECONDS and each["megabytes"] < 2048, each
    assert not (workplace / hostile.CANARY).exists()


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_runs_nothing_and_refuses_every_hostile_file(reader: str, workplace: Path, read_all: Any) -> None:
    contents = hostile.generic()
    assert len(contents) >= 30
    if reader in ("record", "part of a sweep", "table") or reader.endswith("of a row"):  # that no file is there is no damage
        contents = {name: c for name, c in contents.items() if name not in _NOT_FILES}
    _check(read_all(reader, contents), workplace)


# -- made for one reader, and sound but for what they ask -------------------------------------------------


def _model_with(model: Path, changes: dict[str, Any]) -> Callable[[Path], None]:
    """The weights of a good model with another description and a digest that is right."""

    def write(path: Path) -> None:
        tensors, description = read_tensors(model / "model.safetensors")
        description |= changes
        write_tensors(path, tensors, {key: value for key, value in description.items() if value is not None})

    return write


def _lattice_with(model: Path, **changes: Any) -> dict[str, Any]:
    compiled: dict[str, Any] = read_tensors(model / "model.safetensors")[1]["compiled"]
    return {"compiled": {**compiled, "lattice": {**compiled["lattice"], **changes}}}


HUGE = [[20000, 0, 0], [0, 20000, 0], [0, 0, 1]]
THIN = [[1, 10**9, 0], [0, 1, 0], [0, 0, 1]]


def test_a_model_that_asks_for_code_memory_or_time_is_refused(workplace: Path, read_all: Any, ising_model: Path) -> None:
    (workplace / "x.ce").write_bytes(hostile.tar({"items": hostile.pickle.dumps(hostile.RunsCode()), "cluster_space": b""}))
    named = {name: {"name": "icet", "options": {"expansion": "x.ce", "supercell": 2, **more}} for name, more in TRUST.items()}
    changes: dict[str, dict[str, Any]] = {
        **{name: {"hamiltonian": hamiltonian, "compiled": None} for name, hamiltonian in named.items()},
        "huge lattice": _lattice_with(ising_model, supercell=HUGE),
        "long and thin lattice": _lattice_with(ising_model, supercell=THIN),
        "many sites a cell": _lattice_with(ising_model, basis=[[0.0, 0.0, 0.0]] * 10**6, allowed_species=[["down", "up"]] * 10**6),
        "huge lattice by name": {"hamiltonian": {"name": "ising", "options": {"size": [20000, 20000]}}, "compiled": None},
        "huge network": {"model_options": {"width": 4096, "heads": 4, "layers": 64}},
        "huger network": {"model_options": {"width": 10**9, "heads": 4, "layers": 10**9}},
        "a name that is a path": {"model": "../../../etc/passwd"},
        "a Hamiltonian that is not there": {"hamiltonian": {"name": "os.system", "options": {}}, "compiled": None},
        "description of numbers": {"model_options": [1, 2, 3]},
    }
    _check(read_all("model", {name: _model_with(ising_model, change) for name, change in changes.items()}), workplace)


def test_samples_that_ask_for_a_huge_lattice_are_refused(workplace: Path, read_all: Any, ising_model: Path) -> None:
    samples = arl.load(ising_model).sample(3, arl.SemiGrandCanonical(2.0), seed=0)
    samples.write(workplace / "sound.extxyz")
    sound = (workplace / "sound.extxyz").read_text()
    matrix = json.dumps(samples.lattice.supercell.tolist())
    assert matrix in sound
    contents = {str(huge): sound.replace(matrix, json.dumps(huge)).encode() for huge in (HUGE, THIN)}
    contents["a frame of 10^12 atoms"] = b"1000000000000\nProperties=species:S:1:pos:R:3\nCu 0 0 0\n"
    _check(read_all("extxyz", contents), workplace)


def test_a_run_file_cannot_give_trust_and_asks_for_no_huge_lattice(workplace: Path, read_all: Any) -> None:
    head = CONFIG.replace('name = "ising"\nsupercell = [3, 3]\n', "{}")
    given = {name: "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items()) for name, more in TRUST.items()}
    contents = {
        name: head.format(f'name = "icet"\nexpansion = "x.ce"\nsupercell = 2\n{text}').encode() for name, text in given.items() if text
    }
    supercells = CONFIG.replace("[hamiltonian]", "supercells = [{ trust = true }]\n[hamiltonian]")
    _check(read_all("run file", contents | {"of another supercell": supercells.encode()}), workplace, told="trust")
    sizes = {f"size {size}": CONFIG.replace("[3, 3]", str(size)).encode() for size in ([20000, 20000], [10**9], [2, 2, 10**12])}
    _check(read_all("run file", sizes), workplace)


def test_an_expansion_that_fills_the_memory_is_refused(workplace: Path, read_all: Any) -> None:
    nested: list[Any] = []
    for _ in range(60):
        nested = [nested, nested]
    contents = {
        "2^60 references": hostile.tar({"items": hostile.pickle.dumps({"parameters": nested}), "cluster_space": b""}),
        "2^60 references in the space": hostile.tar(
            {"items": hostile.pickle.dumps({"parameters": [1.0]}), "cluster_space": _space(cutoffs=nested)}
        ),
        "cutoffs of 40": hostile.tar({"items": hostile.pickle.dumps({"parameters": [1.0]}), "cluster_space": _space(cutoffs=[40.0] * 4)}),
    }
    _check(read_all("expansion", contents), workplace)


def _space(**items: Any) -> bytes:
    """A cluster space of FCC copper and gold as icet writes it."""
    import ase.build
    import ase.io

    buffer = io.StringIO()
    ase.io.write(buffer, ase.build.bulk("Cu"), format="json")
    plain = {"cutoffs": [5.0], "chemical_symbols": [["Cu", "Au"]], "pruning_history": [], "symprec": 1e-5, "position_tolerance": None}
    members = {"items": hostile.pickle.dumps(plain | items), "atoms": buffer.getvalue().encode()}
    return bytes(hostile.tar(members))


TRUST: dict[str, dict[str, Any]] = {
    "trust": {"trust": True},
    "trust as a number": {"trust": 1},
    "trust as text": {"trust": "yes"},
    "no trust": {},
}

_NOT_FILES = ("link to itself", "endless device", "pipe without a writer", "folder")
