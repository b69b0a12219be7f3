"""Bad input: one line that names argument, value and cure; exit code 2; nothing written, nothing run from a file."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.build
import ase.io
import numpy as np
import pytest
import torch

import arlattice as arl
from arlattice.models.base import Model
from arlattice.training.config import RunConfig

CONFIG = """
[hamiltonian]
name = "ising"
size = [3, 3]
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

CONFIGS = {
    "good": CONFIG,
    "syntax": CONFIG.replace("steps = 1", "steps ="),
    "unknown_table": CONFIG + "[trainning]\nsteps = 1\n",
    "unknown_key": CONFIG.replace("batch_size", "batchsize"),
    "mistyped": CONFIG.replace("steps = 1", 'steps = "many"'),
    "out_of_range": CONFIG.replace("steps = 1", "steps = 0"),
    "no_name": CONFIG.replace('name = "ising"\n', ""),
    "no_hamiltonian": CONFIG.replace('[hamiltonian]\nname = "ising"\nsize = [3, 3]\n', ""),
    "unknown_hamiltonian": CONFIG.replace('"ising"', '"isng"'),
    "unknown_hamiltonian_option": CONFIG.replace("size = [3", "sise = [3"),
    "unknown_model": CONFIG.replace("any-order-transformer", "any-order-transformr"),
    "unknown_model_option": CONFIG.replace("width", "widht"),
    "unknown_objective": CONFIG + 'objective = "hybird"\n',
    "cold": CONFIG.replace("temperature = 2.0", "temperature = [-1.0, 2.0]"),
    "backwards": CONFIG.replace("temperature = 2.0", "temperature = [3.0, 2.0]"),
    "nan": CONFIG.replace("temperature = 2.0", "temperature = nan"),
    "unknown_species": CONFIG.replace("temperature = 2.0", "temperature = 2.0\nchemical_potentials = { Au = 0.1 }"),
}

PLUGIN_HEAD = "import arlattice as arl\n\n@arl.hookimpl\n"
PLUGINS = {
    "duplicate": PLUGIN_HEAD + "def arlattice_register_hamiltonians(register): register('ising', len)\n",
    "misspelt": PLUGIN_HEAD + "def arlattice_register_hamiltonian(register): ...\n",
    "hookless": "x = 1\n",
    "broken": "def broken(:\n",
}


class RunsCode:
    """Unpickling this would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.fixture
def workplace(tmp_path: Path, ising_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, full of files that are wrong in some way."""
    monkeypatch.chdir(tmp_path)
    for name, text in CONFIGS.items():
        Path(f"{name}.toml").write_text(text)
    for name, text in PLUGINS.items():
        Path(f"{name}.py").write_text(text)
    Path("text.txt").write_text("hello\n")
    Path("folder").mkdir()
    Path("folder/keep").write_text("mine")
    Path("model").symlink_to(ising_model)
    _write_models(ising_model)
    _write_hamiltonians()
    _write_structures()
    Path("hostile.ce").write_bytes(_tar({"items": pickle.dumps(RunsCode()), "cluster_space": b""}))
    Path("hostile.extxyz").write_bytes(pickle.dumps(RunsCode()))
    Path("hostile.nc").write_bytes(pickle.dumps(RunsCode()))
    return tmp_path


def _write_models(model: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    damaged = {
        "truncated": weights[: len(weights) // 2],
        "empty": b"",
        "pickled": pickle.dumps(RunsCode()),
        "foreign": weights.replace(b"ising", b"isinh"),
    }
    for name, content in damaged.items():
        Path(name).mkdir()
        Path(name, "model.safetensors").write_bytes(content)
    Path("garbled").mkdir()
    Path("garbled", "model.safetensors").write_bytes(weights)
    Path("garbled", "model.json").write_text("{")


def _write_hamiltonians() -> None:
    arl.hamiltonian("ising", size=(4, 4)).save("ising-4x4.safetensors")  # type: ignore[attr-defined]
    content = Path("ising-4x4.safetensors").read_bytes()
    Path("truncated.safetensors").write_bytes(content[:-8])


def _write_structures() -> None:
    lattice = arl.hamiltonian("ising", size=(3, 3)).lattice
    ase.io.write("known.extxyz", lattice.to_ase(torch.ones(9, dtype=torch.long)))
    ase.io.write("unknown.extxyz", lattice.to_ase(torch.full((9,), -1)))
    ase.io.write("copper.cif", ase.build.bulk("Cu"))


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder, but for what Python itself caches."""
    paths = [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


# -- the command line ------------------------------------------------------------------------------

SAMPLE = "sample model -n 4 --quiet --temperature 2"
INPAINT = "inpaint model {} -n 4 --quiet --temperature 2"
TRAIN = "train {}.toml -o run --quiet --device cpu"
CE = "hamiltonians icet --set supercell=2 --set expansion="

COMMANDS = [
    # commands and options
    ("trian", ["command = 'trian'", "did you mean 'train'"]),
    ("sample", ["Missing argument 'MODEL'", "arlattice sample --help"]),
    ("sample model", ["Missing option '--temperature'"]),
    (f"{SAMPLE} --temprature 3", ["No such option", "--temprature"]),
    (f"{SAMPLE} -n 0", ["'-n'", "0 is not in the range x>=1"]),
    (f"{SAMPLE} -n many", ["'-n'", "'many' is not a valid integer"]),
    (f"{SAMPLE} --batch-size -1", ["--batch-size", "-1"]),
    (f"{SAMPLE} --order sideways", ["order = 'sideways'", "coarse-to-fine, random"]),
    (f"{SAMPLE} --device abacus", ["device = 'abacus'", "cpu"]),
    (f"{SAMPLE} --vacancies keep", ["--vacancies", "'keep'", "'drop', 'X'"]),
    # the state
    ("sample model --temperature 0", ["temperature = 0.0", "must be > 0"]),
    ("sample model --temperature -300", ["temperature = -300.0", "must be > 0"]),
    ("sample model --temperature nan", ["temperature = nan", "finite"]),
    ("sample model --temperature inf", ["temperature = inf", "finite"]),
    ("sample model --temperature hot", ["--temperature", "'hot'"]),
    (f"{SAMPLE} --mu Au=0.1", ["chemical_potentials = 'Au'", "down, up"]),
    (f"{SAMPLE} --mu up=nan", ["chemical_potentials[up] = nan", "finite"]),
    (f"{SAMPLE} --mu up=much", ["chemical_potentials[up] = 'much'", "give a number"]),
    (f"{SAMPLE} --mu up", ["--mu = 'up'", "NAME=VALUE"]),
    (f"{SAMPLE} --mu up=1 --mu up=2", ["--mu = 'up=2'", "given twice"]),
    (f"{SAMPLE} --mu up=1 --composition up=3", ["--composition = 'up=3'", "not both"]),
    (f"{SAMPLE} --composition up=10", ["composition", "10", "9 sites"]),
    (f"{SAMPLE} --composition up=-1", ["composition[up] = -1", ">= 0"]),
    (f"{SAMPLE} --composition up=0.5", ["composition[up] = 0.5", "9 sites"]),
    (f"{SAMPLE} --composition Au=3", ["composition = 'Au'", "down, up"]),
    # models
    ("sample no-such-model --temperature 2", ["model = 'no-such-model'", "neither a folder"]),
    ("sample folder --temperature 2", ["model = 'folder'", "neither a folder with model.safetensors"]),
    ("sample truncated --temperature 2", ["truncated", "damaged"]),
    ("sample empty --temperature 2", ["empty", "damaged"]),
    ("sample pickled --temperature 2", ["pickled", "damaged"]),
    ("sample garbled --temperature 2", ["model = 'garbled'", "model.json"]),
    (f"{SAMPLE} --hamiltonian ising-4x4.safetensors", ["hamiltonian = 'ising'", "not those this model was trained for"]),
    (f"{SAMPLE} --hamiltonian nope.safetensors", ["nope.safetensors", "no such file"]),
    (f"{SAMPLE} --hamiltonian text.txt", ["text.txt", "damaged, or not a file of arlattice"]),
    (f"{SAMPLE} --hamiltonian truncated.safetensors", ["truncated.safetensors", "damaged"]),
    (f"{SAMPLE} --hamiltonian model/model.safetensors", ["model.safetensors", "not a compiled Hamiltonian"]),
    # outputs, refused before anything is drawn
    (f"{SAMPLE} -o out.xzy", ["path = 'out.xzy'", ".extxyz"]),
    (f"{SAMPLE} -o nowhere/out.extxyz", ["nowhere/out.extxyz", "does not exist"]),
    (f"{SAMPLE} -o folder", ["path = 'folder'", "ends in .extxyz"]),
    (f"{SAMPLE} -o folder --format cif", ["path = 'folder'", "is there already"]),
    (f"{SAMPLE} -o out.extxyz --format xyz", ["format = 'xyz'", "extxyz, netcdf, db"]),
    (f"{SAMPLE} -o out.extxyz --format netcdf", ["path = 'out.extxyz'", "ends in .nc"]),
    (f"{SAMPLE} -o spins --format cif", ["cif", "magnetic moments"]),
    # structures
    (INPAINT.format("nope.cif"), ["STRUCTURE = 'nope.cif'", "no such file"]),
    (INPAINT.format("folder"), ["STRUCTURE = 'folder'", "no such file"]),
    (INPAINT.format("text.txt"), ["STRUCTURE = 'text.txt'", "ASE cannot read it"]),
    (INPAINT.format("copper.cif"), ["structure cell", "supercell vectors"]),
    (INPAINT.format("known.extxyz"), ["STRUCTURE = 'known.extxyz'", "every site is known", "--mask"]),
    (INPAINT.format("known.extxyz") + " --mask 9", ["--mask = 9", "0 to 8"]),
    (INPAINT.format("known.extxyz") + " --mask all", ["--mask = 'all'", "0,3,5"]),
    (INPAINT.format("known.extxyz") + " --mask 0 --composition up=3", ["known = '8 up'", "only 3"]),
    # export
    ("export nope.extxyz out.nc", ["nope.extxyz", "no such file"]),
    ("export known.extxyz out.nc", ["known.extxyz", "not"]),
    ("export hostile.extxyz out.nc", ["hostile.extxyz"]),
    ("export hostile.nc out.extxyz", ["hostile.nc"]),
    ("export text.txt out.nc", ["text.txt", ".extxyz"]),
    # Hamiltonians
    ("hamiltonians isng", ["hamiltonian = 'isng'", "did you mean 'ising'"]),
    ("hamiltonians --compile out.safetensors", ["NAME = None", "name the Hamiltonian"]),
    ("hamiltonians ising --set size=[3,3] --set JJ=1", ["JJ = 1", "unknown option"]),
    ("hamiltonians ising --set size=[3,3,3,3]", ["size = [3, 3, 3, 3]", "at most 3"]),
    ("hamiltonians ising --set size=[3,1]", ["size.1 = 1", "greater than or equal to 2"]),
    ("hamiltonians ising --set size=[3,2.5]", ["size.1 = 2.5", "integer"]),
    ("hamiltonians ising --set size=[3,3] --set J=inf", ["J = inf", "finite"]),
    ("hamiltonians ising --set size", ["--set = 'size'", "NAME=VALUE"]),
    ("hamiltonians ising --compile out.safetensors", ["size = None", "is required"]),
    ("hamiltonians ising --set size=[3,3] --compile nowhere/out.safetensors", ["nowhere/out.safetensors", "does not exist"]),
    ("hamiltonians cuau --set supercell=[[1,0,0],[0,1,0],[1,1,0]]", ["supercell", "positive determinant"]),
    ("hamiltonians cuau --set supercell=[[0,1,0],[1,0,0],[0,0,1]]", ["supercell", "positive determinant"]),
    ("hamiltonians cuau --set supercell=[2,2]", ["supercell = [2, 2]", "3x3"]),
    ("hamiltonians cuau --set supercell=1.5", ["supercell = 1.5", "integer"]),
    ("hamiltonians cuau --set supercell=0", ["supercell = 0", "positive"]),
    (f"{CE}hostile.ce", ["hostile.ce", "system"]),
    (f"{CE}text.txt", ["text.txt", "damaged, or not written by icet"]),
    (f"{CE}nope.ce", ["nope.ce", "no such file"]),
    # run files
    (TRAIN.format("nope"), ["config = 'nope.toml'", "No such file"]),
    (TRAIN.format("syntax"), ["config = 'syntax.toml'", "is not TOML", "line"]),
    (TRAIN.format("unknown_table"), ["trainning", "did you mean 'training'"]),
    (TRAIN.format("unknown_key"), ["training.batchsize = 4", "did you mean 'batch_size'"]),
    (TRAIN.format("mistyped"), ["training.steps = 'many'", "integer"]),
    (TRAIN.format("out_of_range"), ["training.steps = 0", "greater than or equal to 1"]),
    (TRAIN.format("no_name"), ["hamiltonian.name = None", "registered name"]),
    (TRAIN.format("no_hamiltonian"), ["hamiltonian = None", "is required"]),
    (TRAIN.format("unknown_hamiltonian"), ["hamiltonian = 'isng'", "did you mean 'ising'"]),
    (TRAIN.format("unknown_hamiltonian_option"), ["hamiltonian.sise = [3, 3]", "did you mean 'size'"]),
    (TRAIN.format("unknown_model"), ["model = 'any-order-transformr'", "did you mean 'any-order-transformer'"]),
    (TRAIN.format("unknown_model_option"), ["widht = 16", "did you mean 'width'"]),
    (TRAIN.format("unknown_objective"), ["objective = 'hybird'", "did you mean 'hybrid'"]),
    (TRAIN.format("cold"), ["states.temperature", "-1.0", "must be > 0"]),
    (TRAIN.format("backwards"), ["states.temperature", "lowest value first"]),
    (TRAIN.format("nan"), ["states.temperature = nan", "finite"]),
    (TRAIN.format("unknown_species"), ["chemical_potentials = 'Au'", "down, up"]),
    (TRAIN.format("good") + " --resume", ["run/checkpoint.safetensors", "no such file"]),
    (TRAIN.format("good") + " --hamiltonian ising-4x4.safetensors", ["ising-4x4.safetensors", "compiled as"]),
    ("train good.toml -o run --quiet --device abacus", ["device = 'abacus'", "cpu"]),
    ("train good.toml -o folder/keep --quiet --device cpu", ["folder/keep"]),
    # plugins
    ("-p nope.py plugins", ["plugin = 'nope.py'", "no such file"]),
    ("-p no_such_module plugins", ["plugin = 'no_such_module'", "no such file or module"]),
    ("-p text.txt plugins", ["plugin = 'text.txt'", ".py"]),
    ("-p duplicate.py plugins", ["hamiltonian = 'ising'", "'ising'", "'duplicate'", "rename"]),
    ("-p misspelt.py plugins", ["'misspelt'", "did you mean 'arlattice_register_hamiltonians'"]),
    ("-p hookless.py plugins", ["'hookless'", "implements no hook"]),
    ("-p broken.py plugins", ["'broken'", "SyntaxError"]),
    ("-p no:isng plugins", ["'no:isng'", "did you mean 'ising'"]),
    ("--plugins-dir nowhere plugins", ["plugins-dir = 'nowhere'", "no such folder"]),
]


@pytest.mark.parametrize(("line", "told"), COMMANDS, ids=[line for line, _ in COMMANDS])
def test_a_bad_command_is_told_in_one_line_and_writes_nothing(
    line: str, told: list[str], workplace: Path, run_cli: Callable[..., Any]
) -> None:
    before = _contents(workplace)
    ran = run_cli(*line.split())
    assert (ran.code, ran.out) == (2, "")
    assert re.fullmatch(r"arlattice: error: [^\n]+\n", ran.err), ran.err
    for part in told:
        assert part in ran.err
    assert len(ran.err) < 500
    assert _contents(workplace) == before


def test_there_are_at_least_forty_cases() -> None:
    assert len({line for line, _ in COMMANDS}) == len(COMMANDS) >= 40


def test_a_missing_extra_is_named_with_the_line_that_installs_it(run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icet", None)
    ran = run_cli("hamiltonians", "cuau", "--set", "supercell=2")
    assert ran.code == 2
    assert ran.err == "arlattice: error: package = 'icet': not installed; run: pip install 'arlattice[icet]'\n"


def test_the_installed_command_behaves_the_same() -> None:
    code = "from arlattice.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "sample", "x", "--temperature", "-3"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "arlattice: error: temperature = -3.0: must be > 0\n")


# -- Python ----------------------------------------------------------------------------------------

STATE = arl.SemiGrandCanonical(2.0)
CALLS: dict[str, tuple[Callable[[Model], Any], str]] = {
    "no samples": (lambda m: m.sample(0, STATE), "n = 0"),
    "a fraction of a sample": (lambda m: m.sample(1.5, STATE), "n = 1.5"),  # type: ignore[arg-type]
    "state is a number": (lambda m: m.sample(1, 300.0), "state = 300.0"),  # type: ignore[arg-type]
    "order that is no permutation": (lambda m: m.sample(1, STATE, order=torch.zeros(9, dtype=torch.long)), "order"),
    "order of another lattice": (lambda m: m.sample(1, STATE, order=torch.arange(4)), "order"),
    "batch of none": (lambda m: m.sample(1, STATE, batch_size=0), "batch_size = 0"),
    "known of another lattice": (lambda m: m.inpaint(torch.full((4,), -1), 1, STATE), "known"),
    "known of an unknown species": (lambda m: m.inpaint(torch.full((9,), 7), 1, STATE), "known = 7"),
    "floating occupations": (lambda m: m.log_prob(torch.zeros(1, 9), STATE), "occupations"),
    "unknown site in log_prob": (lambda m: m.log_prob(torch.full((1, 9), -1), STATE), "occupations = -1"),
    "temperature is text": (lambda m: arl.SemiGrandCanonical("300"), "temperature = '300'"),  # type: ignore[arg-type]
    "temperature is none": (lambda m: arl.SemiGrandCanonical(None), "temperature = None"),  # type: ignore[arg-type]
    "temperature is a bool": (lambda m: arl.SemiGrandCanonical(True), "temperature = True"),
    "mu is a number": (lambda m: arl.SemiGrandCanonical(300, 0.1), "chemical_potentials = 0.1"),  # type: ignore[arg-type]
    "mu is infinite": (lambda m: arl.SemiGrandCanonical(300, {"Au": np.inf}), "chemical_potentials[Au] = inf"),
    "composition is empty": (lambda m: arl.Canonical(300, {}), "composition = {}"),
    "composition is negative": (lambda m: arl.Canonical(300, {"Au": -1}), "composition[Au] = -1"),
    "composition exceeds the sites": (lambda m: m.sample(1, arl.Canonical(2, {"up": 5, "down": 5})), "composition"),
    "species given twice": (lambda m: arl.square(3, ("a", "a")), "species"),
    "species as one text": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), "CuAu"), "species = 'CuAu'"),
    "supercell of floats": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), ["Cu"], 1.5), "supercell = 1.5"),  # type: ignore[arg-type]
    "supercell is text": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), ["Cu"], "2x2x2"), "supercell = '2x2x2'"),  # type: ignore[arg-type]
    "lattice of no length": (lambda m: arl.square(0), "length = 0"),
    "unknown Hamiltonian": (lambda m: arl.hamiltonian("isng"), "hamiltonian = 'isng'"),
    "unknown option": (lambda m: arl.hamiltonian("ising", size=(3, 3), K=1), "K = 1"),
    "no such model": (lambda m: arl.load("no-such-model"), "model = 'no-such-model'"),
    "unknown units": (lambda m: arl.FunctionHamiltonian(arl.chain(3), len, units="kcal"), "units = 'kcal'"),  # type: ignore[arg-type]
    "energies of the wrong shape": (
        lambda m: arl.FunctionHamiltonian(arl.chain(3), lambda x: x.double()).energy(torch.zeros(2, 3).long()),
        "energy function",
    ),
    "sites that are not there": (lambda m: arl.ClusterHamiltonian.from_terms(arl.chain(3), [((7,), np.zeros(2))]), "sites = (7,)"),
    "energies that are not finite": (lambda m: arl.ClusterHamiltonian.from_terms(arl.chain(3), [((0,), np.full(2, np.nan))]), "table"),
    "unknown training option": (lambda m: arl.train(m.hamiltonian, STATE, training={"step": 1}), "training.step = 1"),
    "no states": (lambda m: arl.train(m.hamiltonian, [], device="cpu", progress=False), "states = []"),
    "unknown model family": (lambda m: arl.train(m.hamiltonian, STATE, model="mlp", device="cpu", progress=False), "model = 'mlp'"),
    "resume without a folder": (
        lambda m: arl.train(m.hamiltonian, STATE, resume=True, device="cpu", progress=False, training={"equilibration_sweeps": 0}),
        "folder = None",
    ),
    "no run file": (lambda m: RunConfig.from_toml("nope.toml"), "config = 'nope.toml'"),
}


@pytest.fixture(scope="module")
def model(ising_model: Path) -> Model:
    return arl.load(ising_model)


@pytest.mark.parametrize("case", CALLS)
def test_a_bad_call_raises_one_line(case: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, told = CALLS[case]
    with pytest.raises(arl.InputError) as error:
        call(model)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
