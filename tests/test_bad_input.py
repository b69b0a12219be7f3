"""Bad input: one line that names argument, value and cure; exit code 2; nothing written, nothing run from a file."""

from __future__ import annotations

import io
import os
import pickle
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.build
import ase.io
import pytest
import torch

import arlattice as arl

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

CONFIGS = {
    "good": CONFIG,
    "syntax": CONFIG.replace("steps = 1", "steps ="),
    "unknown_table": CONFIG + "[trainning]\nsteps = 1\n",
    "unknown_key": CONFIG.replace("batch_size", "batchsize"),
    "mistyped": CONFIG.replace("steps = 1", 'steps = "many"'),
    "out_of_range": CONFIG.replace("steps = 1", "steps = 0"),
    "no_name": CONFIG.replace('name = "ising"\n', ""),
    "no_hamiltonian": CONFIG.replace('[hamiltonian]\nname = "ising"\nsupercell = [3, 3]\n', ""),
    "unknown_hamiltonian": CONFIG.replace('"ising"', '"isng"'),
    "unknown_hamiltonian_option": CONFIG.replace("supercell = [3", "supercel = [3"),
    "unknown_model": CONFIG.replace("any-order-transformer", "any-order-transformr"),
    "unknown_model_option": CONFIG.replace("width", "widht"),
    "unknown_objective": CONFIG + 'objective = "hybird"\n',
    "cold": CONFIG.replace("temperature = 2.0", "temperature = [-1.0, 2.0]"),
    "backwards": CONFIG.replace("temperature = 2.0", "temperature = [3.0, 2.0]"),
    "nan": CONFIG.replace("temperature = 2.0", "temperature = nan"),
    "many_digits": CONFIG.replace("steps = 1", f"steps = {'9' * 5000}"),
    "deep": CONFIG.replace("supercell = [3, 3]", f"supercell = {'[' * 5000}"),
    "bool_steps": CONFIG.replace("steps = 1", "steps = true"),
    "text_steps": CONFIG.replace("steps = 1", 'steps = "3"'),
    "large_steps": CONFIG.replace("steps = 1", f"steps = {2**63}"),
    "negative_seed": CONFIG + "seed = -1\n",
    "large_size": CONFIG.replace("[3, 3]", "[20000, 20000]"),
    "many_chains": CONFIG.replace("replica_copies = 2", "replica_copies = 1000000000000"),
    "large_batch": CONFIG.replace("batch_size = 4", "batch_size = 1000000000000"),
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
    arl.hamiltonian("ising", supercell=(4, 4)).save("ising-4x4.safetensors")  # type: ignore[attr-defined]
    content = Path("ising-4x4.safetensors").read_bytes()
    Path("truncated.safetensors").write_bytes(content[:-8])


def _write_structures() -> None:
    lattice = arl.hamiltonian("ising", supercell=(3, 3)).lattice
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

HUGE = "9" * 5000
"""More digits than Python reads or prints."""

SAMPLE = "sample model -n 4 --quiet --temperature 2"
INPAINT = "inpaint model {} -n 4 --quiet --temperature 2"
TRAIN = "train {}.toml -o run --quiet --device cpu"
SWEEP = "sweep model -n 4 --quiet -o out.nc"
BENCH = "bench paper-table-1 --small --list"
ISING = "hamiltonians ising --set supercell=[3,3]"
CE = "hamiltonians icet --set supercell=2 --set expansion="

COMMANDS = [
    # commands and options
    ("trian", ["command = 'trian'", "did you mean 'train'"]),
    ("sample", ["Missing argument 'MODEL'", "arlattice sample --help"]),
    ("sample model", ["Missing option '--temperature'"]),
    (f"{SAMPLE} --temprature 3", ["No such option", "--temprature"]),
    (f"{SAMPLE} -n 0", ["-n = 0", "is not in the range x>=1"]),
    (f"{SAMPLE} -n many", ["-n = 'many'", "is not a valid integer"]),
    (f"{SAMPLE} --batch-size -1", ["--batch-size", "-1"]),
    (f"{SAMPLE} --order sideways", ["--order = 'sideways'", "coarse-to-fine, random"]),
    (f"{SAMPLE} --device abacus", ["--device = 'abacus'", "cpu"]),
    (f"{SAMPLE} --vacancies keep", ["--vacancies", "'keep'", "'drop', 'X'"]),
    # the state
    ("sample model --temperature 0", ["--temperature = 0.0", "must be > 0"]),
    ("sample model --temperature -300", ["--temperature = -300.0", "must be > 0"]),
    ("sample model --temperature nan", ["--temperature = nan", "finite"]),
    ("sample model --temperature inf", ["--temperature = inf", "finite"]),
    ("sample model --temperature hot", ["--temperature", "'hot'"]),
    (f"{SAMPLE} --mu Au=0.1", ["--mu = 'Au'", "down, up"]),
    (f"{SAMPLE} --mu up=nan", ["--mu up = nan", "finite"]),
    (f"{SAMPLE} --mu up=much", ["--mu up = 'much'", "give a number"]),
    (f"{SAMPLE} --mu up", ["--mu = 'up'", "NAME=VALUE"]),
    (f"{SAMPLE} --mu up=1 --mu up=2", ["--mu = 'up=2'", "given twice"]),
    (f"{SAMPLE} --mu up=1 --composition up=3", ["--composition = 'up=3'", "not both"]),
    (f"{SAMPLE} --composition up=10", ["composition", "10", "9 sites"]),
    (f"{SAMPLE} --composition up=-1", ["--composition up = -1", ">= 0"]),
    (f"{SAMPLE} --composition up=0.5", ["--composition up = 0.5", "9 sites"]),
    (f"{SAMPLE} --composition Au=3", ["--composition = 'Au'", "down, up"]),
    # models
    ("sample no-such-model --temperature 2", ["model = 'no-such-model'", "neither a folder"]),
    ("sample folder --temperature 2", ["model = 'folder'", "neither a folder with model.safetensors"]),
    ("sample truncated --temperature 2", ["truncated", "damaged"]),
    ("sample empty --temperature 2", ["empty", "damaged"]),
    ("sample pickled --temperature 2", ["pickled", "damaged"]),
    ("sample garbled --temperature 2", ["model = 'garbled/model.json'", "damaged"]),
    (f"{SAMPLE} --hamiltonian ising-4x4.safetensors", ["hamiltonian = 'ising'", "not those this model was trained for"]),
    (f"{SAMPLE} --hamiltonian nope.safetensors", ["nope.safetensors", "no such file"]),
    (f"{SAMPLE} --hamiltonian text.txt", ["text.txt", "damaged, or not a file of arlattice"]),
    (f"{SAMPLE} --hamiltonian truncated.safetensors", ["truncated.safetensors", "damaged"]),
    (f"{SAMPLE} --hamiltonian model/model.safetensors", ["model.safetensors", "not a compiled Hamiltonian"]),
    # outputs, refused before anything is drawn
    (f"{SAMPLE} -o out.xzy", ["--output = 'out.xzy'", ".extxyz"]),
    (f"{SAMPLE} -o nowhere/out.extxyz", ["nowhere/out.extxyz", "does not exist"]),
    (f"{SAMPLE} -o folder", ["--output = 'folder'", "ends in .extxyz"]),
    (f"{SAMPLE} -o folder --format cif", ["--output = 'folder'", "is there already"]),
    (f"{SAMPLE} -o out.extxyz --format xyz", ["--format = 'xyz'", "extxyz, netcdf, db"]),
    (f"{SAMPLE} -o out.extxyz --format netcdf", ["--output = 'out.extxyz'", "ends in .nc"]),
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
    ("hamiltonians ising --set supercell=[3,3] --set JJ=1", ["--set JJ = 1", "unknown option"]),
    ("hamiltonians ising --set supercell=[3,3,3,3]", ["--set supercell = [3, 3, 3, 3]", "at most 3"]),
    ("hamiltonians ising --set supercell=[3,1]", ["--set supercell.1 = 1", "greater than or equal to 2"]),
    ("hamiltonians ising --set supercell=[3,2.5]", ["--set supercell.1 = 2.5", "integer"]),
    ("hamiltonians ising --set supercell=[3,3] --set J=inf", ["--set J = inf", "finite"]),
    ("hamiltonians ising --set supercell", ["--set = 'supercell'", "NAME=VALUE"]),
    ("hamiltonians ising --compile out.safetensors", ["supercell = None", "is required"]),
    ("hamiltonians ising --set supercell=[3,3] --compile nowhere/out.safetensors", ["nowhere/out.safetensors", "does not exist"]),
    ("hamiltonians cuau --set supercell=[[1,0,0],[0,1,0],[1,1,0]]", ["supercell", "positive determinant"]),
    ("hamiltonians cuau --set supercell=[[0,1,0],[1,0,0],[0,0,1]]", ["supercell", "positive determinant"]),
    ("hamiltonians cuau --set supercell=[2,2]", ["supercell = [2, 2]", "3x3"]),
    ("hamiltonians cuau --set supercell=1.5", ["supercell = 1.5", "integer"]),
    ("hamiltonians cuau --set supercell=0", ["supercell = 0", "positive"]),
    (f"{CE}hostile.ce", ["hostile.ce", "system"]),
    (f"{CE}text.txt", ["text.txt", "damaged, or not written by icet"]),
    (f"{CE}nope.ce", ["nope.ce", "no such file"]),
    # run files
    (TRAIN.format("nope"), ["config = 'nope.toml'", "no such file"]),
    (TRAIN.format("syntax"), ["config = 'syntax.toml'", "is not TOML", "line"]),
    (TRAIN.format("unknown_table"), ["trainning", "did you mean 'training'"]),
    (TRAIN.format("unknown_key"), ["training.batchsize = 4", "did you mean 'batch_size'"]),
    (TRAIN.format("mistyped"), ["training.steps = 'many'", "integer"]),
    (TRAIN.format("out_of_range"), ["training.steps = 0", "greater than or equal to 1"]),
    (TRAIN.format("no_name"), ["hamiltonian.name = None", "registered name"]),
    (TRAIN.format("no_hamiltonian"), ["hamiltonian = []", "at least one table [hamiltonian]"]),
    (TRAIN.format("unknown_hamiltonian"), ["hamiltonian = 'isng'", "did you mean 'ising'"]),
    (TRAIN.format("unknown_hamiltonian_option"), ["hamiltonian.supercel = [3, 3]", "did you mean 'supercell'"]),
    (TRAIN.format("unknown_model"), ["model = 'any-order-transformr'", "did you mean 'any-order-transformer'"]),
    (TRAIN.format("unknown_model_option"), ["widht = 16", "did you mean 'width'"]),
    (TRAIN.format("unknown_objective"), ["objective = 'hybird'", "did you mean 'hybrid'"]),
    (TRAIN.format("cold"), ["states.temperature", "-1.0", "must be > 0"]),
    (TRAIN.format("backwards"), ["states.temperature", "lowest value first"]),
    (TRAIN.format("nan"), ["states.temperature = nan", "finite"]),
    (TRAIN.format("unknown_species"), ["chemical_potentials = 'Au'", "down, up"]),
    (TRAIN.format("good") + " --resume", ["run/checkpoint.safetensors", "no such file"]),
    (TRAIN.format("good") + " --hamiltonian ising-4x4.safetensors", ["ising-4x4.safetensors", "compiled as"]),
    ("train good.toml -o run --quiet --device abacus", ["--device = 'abacus'", "cpu"]),
    ("train good.toml -o folder/keep --quiet --device cpu", ["folder/keep"]),
    # plugins
    ("-p nope.py plugins", ["--plugin = 'nope.py'", "no such file"]),
    ("-p no_such_module plugins", ["--plugin = 'no_such_module'", "no such file or module"]),
    ("-p text.txt plugins", ["--plugin = 'text.txt'", ".py"]),
    ("-p duplicate.py plugins", ["hamiltonian = 'ising'", "'ising'", "'duplicate'", "rename"]),
    ("-p misspelt.py plugins", ["'misspelt'", "did you mean 'arlattice_register_hamiltonians'"]),
    ("-p hookless.py plugins", ["'hookless'", "implements no hook"]),
    ("-p broken.py plugins", ["'broken'", "SyntaxError"]),
    ("-p no:isng plugins", ["'no:isng'", "did you mean 'ising'"]),
    ("--plugins-dir nowhere plugins", ["--plugins-dir = 'nowhere'", "no such folder"]),
    # numbers that are too large, too small or none
    (f"{SAMPLE} --seed 18446744073709551616", ["--seed = 18446744073709551616", "is not in the range"]),
    (f"{SAMPLE} --seed=-1", ["--seed = -1", "is not in the range"]),
    (f"{SAMPLE} --seed 1.5", ["--seed = '1.5'", "is not a valid integer"]),
    ("sample model -n 1000000000000 --temperature 2 --quiet", ["-n = 1000000000000", "would need", "of memory", "this machine has"]),
    ("sample model -n 1e12 --temperature 2 --quiet", ["-n = '1e12'", "is not a valid integer"]),
    ("sample model -n HUGE --temperature 2 --quiet", ["-n = '999", "is not a valid integer"]),
    ("sample model --temperature 1e-40 --quiet", ["--temperature = 1e-40", "kT", "between"]),
    ("sample model --temperature 1e300 --quiet", ["--temperature = 1e+300", "kT", "between"]),
    (f"{SAMPLE} --mu up=HUGE", [" = '99999", "longer or deeper"]),
    (f"{SAMPLE} --mu up=true", ["--mu up = True", "give a number"]),
    (f"{SAMPLE} --mu up=1e300", ["state = ", "1e+300", "usual values"]),
    (f"{SAMPLE} --composition up=nan", ["--composition up = nan", "finite"]),
    (f"{SAMPLE} --composition up=true", ["--composition up = True", "give a number"]),
    (f"{SAMPLE} --device cuda:99", ["--device = 'cuda:99'", "give 'cpu'"]),
    (f"{SAMPLE} --device meta", ["--device = 'meta'", "give 'cpu'"]),
    (f"{ISING} --set J=true", ["--set J = True", "valid number"]),
    (f"{ISING} --set J='\"3\"'", ["--set J = '3'", "valid number"]),
    (f"{ISING} --set J=HUGE", [" = '99999", "longer or deeper"]),
    ("hamiltonians ising --set supercell=true", ["--set supercell.0 = True", "integer"]),
    ("hamiltonians ising --set supercell=[true,3]", ["--set supercell.0 = True", "integer"]),
    ("hamiltonians ising --set supercell=[20000,20000]", ["--set supercell = [20000, 20000]", "400000000 sites", "at most 262144"]),
    ("hamiltonians cuau --set supercell=1000", ["supercell", "1000000000 sites", "at most 262144"]),
    ("hamiltonians cuau --set supercell=true", ["supercell = True", "integer"]),
    ("hamiltonians cuau --set supercell=[[1,0,0],[1000000000,1,0],[0,0,1]]", ["supercell", "too long and thin"]),
    ("hamiltonians cuau --set supercell=[1000000000000000000000,1,1]", ["supercell = [1000000000000000000000, 1, 1]", "integer"]),
    ("hamiltonians cuau --set supercell=2 --set formation_energies=yes", ["--set formation_energies = 'yes'", "valid boolean"]),
    ("hamiltonians potts --set supercell=[3,3] --set q=100000", ["--set q = 100000", "less than or equal to 64"]),
    # an option twice, and text that is empty or none
    (f"{SAMPLE} --seed 1 --seed 2", ["--seed", "is the last of 2", "give --seed once"]),
    ("sample model --temperature 2 --temperature 3", ["--temperature", "once"]),
    (f"{SWEEP} --temperature 2 --delta-mu 0:1:3 --delta-mu 0:2:3", ["--delta-mu = '0:2:3'", "give --delta-mu once"]),
    ("hamiltonians --json --json", ["--json", "once"]),
    ("sample '' --temperature 2", ["MODEL = ''", "is empty"]),
    ("sample ' ' --temperature 2", ["MODEL = ' '", "is empty"]),
    ("sample aNULb --temperature 2", ["MODEL = 'a\\x00b'", "UTF-8"]),
    (f"sample {'x' * 5000} --temperature 2", ["path = 'xxx", "name too long"]),
    (f"{SAMPLE} -o ''", ["--output = ''", "is empty"]),
    (f"{SAMPLE} --order ''", ["--order = ''", "is empty"]),
    (f"{SAMPLE} --hamiltonian ''", ["--hamiltonian = ''", "is empty"]),
    (f"{SAMPLE} --hamiltonian folder", ["--hamiltonian = 'folder'", "no such file"]),
    (f"{SAMPLE} -o /dev/null", ["--output = '/dev/null'", "ends in .extxyz"]),
    (f"{SAMPLE} -o /dev/null/out.extxyz", ["/dev/null", "does not exist"]),
    ("-p '' plugins", ["--plugin = ''", "is empty"]),
    ("export '' out.nc", ["SAMPLES = ''", "is empty"]),
    ("export folder out.nc", ["folder", ".extxyz"]),
    ("train '' -o run", ["CONFIG.toml = ''", "is empty"]),
    ("train folder -o run --device cpu", ["config = 'folder'", "no such file"]),
    ("models ''", ["NAME = ''", "is empty"]),
    ("observables energi", ["observable = 'energi'", "did you mean 'energy'"]),
    ("models any-ordr-mlp", ["model = 'any-ordr-mlp'", "did you mean 'any-order-mlp'"]),
    (INPAINT.format("unknown.extxyz") + " --mask ''", ["--mask = ''", "is empty"]),
    (INPAINT.format("unknown.extxyz") + " --mask HUGE", ["--mask = '99999", "0,3,5"]),
    (INPAINT.format("unknown.extxyz") + " --mask -1", ["--mask", "0,3,5"]),
    (INPAINT.format("unknown.extxyz") + " --mask folder", ["--mask = 'folder'", "0,3,5"]),
    (INPAINT.format("unknown.extxyz") + " --picture out.bmp", ["--picture = 'out.bmp'", ".png"]),
    # sweeps and phase diagrams
    (f"{SWEEP} --temperature 1:2:1000000000", ["--temperature = '1:2:1000000000'", "COUNT at most 1000000"]),
    (f"{SWEEP} --temperature 1:2:1000 --field 0:1:2000", ["--temperature = '2000000 states'", "at most 1000000"]),
    (f"{SWEEP} --temperature 1:2:HUGE", ["--temperature = '1:2:999", "FROM:TO:COUNT"]),
    (f"{SWEEP} --temperature nan", ["--temperature = [nan]", "finite"]),
    (f"{SWEEP} --temperature 2 --min-ess nan", ["--min-ess = nan", "finite"]),
    (f"{SWEEP} --temperature 2 --min-ess=-1", ["--min-ess = -1.0", ">= 0"]),
    (f"{SWEEP} --temperature 2 --workers 1000000", ["--workers = 1000000", "would need", "of memory"]),
    (f"{SWEEP} --temperature 2 --seed=-1", ["--seed = -1", "is not in the range"]),
    ("sweep model --temperature 2 -n 100000000000 --quiet -o out.nc", ["n = 100000000000", "would need", "of memory"]),
    (f"{SWEEP} --temperature 2 --max-samples 1000000000000 --target-error log_z=1e-300", ["n = 1000000000000", "would need"]),
    (f"{SWEEP} --temperature 2 --max-samples 3", ["--max-samples = 3", "at least n = 4"]),
    (f"{SWEEP} --temperature 2 --target-error x_up=true", ["--target-error x_up = True", "valid number"]),
    (f"{SWEEP} --temperature 2 --observable l1_0", ["lattice", "FCC"]),
    (f"{SWEEP} --temperature 2 --observable energi", ["--observable = 'energi'", "did you mean 'energy'"]),
    ("sweep model --temperature 2 -o out.extxyz", ["--output = 'out.extxyz'", ".nc"]),
    ("phase-diagram folder -o out.png", ["SWEEP = 'folder'", "no such file"]),
    ("phase-diagram text.txt -o out.png", ["SWEEP = 'text.txt'", "not netCDF"]),
    # tables of the paper
    ("bench paper-table-9", ["name = 'paper-table-9'", "did you mean"]),
    (f"{BENCH} --seed=-1", ["--seed = -1", "is not in the range"]),
    (f"{BENCH} --time-limit nan", ["--time-limit = nan", "finite"]),
    (f"{BENCH} --rows no-such-row", ["no-such-row"]),
    (f"{BENCH} --training steps=true", ["--training steps = True", "integer"]),
    (f"{BENCH} --training steps=HUGE", [" = '99999", "longer or deeper"]),
    # training
    (TRAIN.format("good") + " --time-limit nan", ["--time-limit = nan", "finite"]),
    (TRAIN.format("good") + " --time-limit=-1", ["--time-limit = -1.0", ">= 0"]),
    (TRAIN.format("good") + " --time-limit inf", ["--time-limit = inf", "finite"]),
    (TRAIN.format("many_digits"), ["config = 'many_digits.toml'", "is not TOML", "digits"]),
    (TRAIN.format("deep"), ["config = 'deep.toml'", "is not TOML"]),
    (TRAIN.format("bool_steps"), ["training.steps = True", "integer"]),
    (TRAIN.format("text_steps"), ["training.steps = '3'", "integer"]),
    (TRAIN.format("large_steps"), ["training.steps = 9223372036854775808", "9223372036854775807"]),
    (TRAIN.format("negative_seed"), ["training.seed = -1", "greater than or equal to 0"]),
    (TRAIN.format("large_size"), ["supercell = [20000, 20000]", "400000000 sites"]),
    (TRAIN.format("many_chains"), ["training.replica_copies = 1000000000000", "would need", "of memory"]),
    (TRAIN.format("large_batch"), ["training.batch_size = 1000000000000", "would need", "of memory"]),
]


@pytest.mark.parametrize(("line", "told"), COMMANDS, ids=[line for line, _ in COMMANDS])
def test_a_bad_command_is_told_in_one_line_and_writes_nothing(
    line: str, told: list[str], workplace: Path, run_cli: Callable[..., Any]
) -> None:
    before = _contents(workplace)
    ran = run_cli(*(word.replace("HUGE", HUGE).replace("NUL", "\0") for word in shlex.split(line)))
    assert (ran.code, ran.out) == (2, "")
    assert re.fullmatch(r"arlattice: error: [^\n]+\n", ran.err), ran.err
    for part in told:
        assert part in ran.err
    assert len(ran.err) < 500
    assert _contents(workplace) == before


def test_there_are_at_least_a_hundred_and_twenty_cases() -> None:
    assert len({line for line, _ in COMMANDS}) == len(COMMANDS) >= 120


def test_a_missing_extra_is_named_with_the_line_that_installs_it(run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icet", None)
    ran = run_cli("hamiltonians", "cuau", "--set", "supercell=2")
    assert ran.code == 2
    assert ran.err == "arlattice: error: package = 'icet': not installed; run: pip install 'arlattice[icet]'\n"


def test_the_installed_command_behaves_the_same() -> None:
    code = "from arlattice.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "sample", "x", "--temperature", "-3"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "arlattice: error: --temperature = -3.0: must be > 0\n")
