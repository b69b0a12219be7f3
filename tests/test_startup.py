"""What is loaded when: the package and the commands that only tell something load neither torch nor any optional package.

Each test asks a fresh process which modules it holds.
"""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import arlattice as arl

OPTIONAL = {"icet", "matplotlib", "mchammer", "numba", "pymatgen", "pymbar", "submitit", "tensorboard"}
HEAVY = OPTIONAL | {"ase", "h5netcdf", "h5py", "scipy", "torch", "xarray"}

COMMANDS = [
    [],
    ["--help"],
    ["--version"],
    ["plugins"],
    ["plugins", "--json"],
    ["-p", "no:icet", "plugins"],
    ["hamiltonians"],
    ["hamiltonians", "ising"],
    ["hamiltonians", "potts"],
    ["hamiltonians", "icet"],
    ["hamiltonians", "cuau"],
    ["observables"],
    ["no-such-command"],
    ["sample", "cuau-4x4x4", "--temperature", "hot"],
]
"""What needs no tensor; the help of every command besides."""

RUN = """
import os
from arlattice.cli.main import run
from arlattice.hooks.manager import default_manager
commands = json.loads(sys.argv[1]) + [[entry.name, "--help"] for entry in default_manager().commands]
for command in commands:
    run(command)
    print("RAN", json.dumps(command), json.dumps(loaded()))
os.environ |= {"_ARLATTICE_COMPLETE": "bash_complete", "COMP_WORDS": "arlattice sam", "COMP_CWORD": "1"}
stdout = sys.stdout
run([])
sys.stdout = stdout  # gone after click has ended the program
print("RAN", json.dumps(["completion"]), json.dumps(loaded()))
"""


def ran(code: str, *arguments: str) -> str:
    """What a fresh process prints; in the code ``loaded()`` lists the top names of its modules."""
    start = "import json, sys\ndef loaded(): return sorted({name.partition('.')[0] for name in sys.modules})\n"
    done = subprocess.run([sys.executable, "-c", start + code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str) -> set[str]:
    """Top names of the modules after the code has run in a fresh process."""
    return set(json.loads(ran(f"{code}\nprint(json.dumps(loaded()))")))


# -- the package -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["import arlattice", "from arlattice import ByHand, InputError, LowEssWarning, Options, hookimpl, plugins"]
)
def test_the_package_and_what_plugins_import_of_it_load_nothing_heavy(code: str) -> None:
    assert loaded(code) & (HEAVY | {"numpy"}) == set()


@pytest.mark.parametrize("code", ["import arlattice, arlattice.hooks; arlattice.plugins()", "import arlattice.cli.main"])
def test_plugins_are_met_without_torch(code: str) -> None:
    assert loaded(code) & HEAVY == set()


def test_no_public_name_loads_an_optional_package() -> None:
    held = loaded("from arlattice import *")
    assert "torch" in held and held & OPTIONAL == set()


def test_a_program_that_names_a_lattice_loads_torch_alone() -> None:
    assert loaded("import arlattice; arlattice.Lattice") & HEAVY == {"torch"}


# -- its names -------------------------------------------------------------------------------------


def test_every_public_name_is_that_of_its_module() -> None:
    for name in arl.__all__:
        module = "arlattice.version" if name == "__version__" else arl._MODULES[name]
        assert getattr(arl, name) is getattr(importlib.import_module(module), name), name


def test_type_checkers_see_the_names_where_they_are() -> None:
    """The imports that only type checkers read, the table of lazy names and ``__all__`` say the same."""
    (block,) = (node for node in ast.parse(Path(arl.__file__).read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == arl._MODULES
    assert {*seen, "__version__"} == set(arl.__all__) <= set(dir(arl))


@pytest.mark.parametrize(
    "code",
    [
        "import arlattice; assert arlattice.lattice.Lattice is arlattice.Lattice",
        "import arlattice.montecarlo; assert arlattice.montecarlo.__name__ == 'arlattice.montecarlo'",
        "from arlattice import hamiltonian; assert hamiltonian('ising', supercell=3).lattice.n_sites == 3",
        "import arlattice.hamiltonian, arlattice; assert arlattice.hamiltonian('ising', supercell=3).lattice.n_sites == 3",
        "import arlattice.hamiltonians, arlattice; assert arlattice.hamiltonian('ising', supercell=3).lattice.n_sites == 3",
        "import arlattice; assert not hasattr(arlattice, 'no_such_name') and not hasattr(arlattice, '__no_such_name__')",
        "import warnings; warnings.filterwarnings('ignore', category=__import__('arlattice').LowEssWarning)",
    ],
)
def test_modules_and_functions_are_found_in_any_order(code: str) -> None:
    ran(code)


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def after() -> list[tuple[Any, set[str]]]:
    """Commands, run one after the other in one process, each with what is loaded after it."""
    lines = [line.split(" ", 1)[1] for line in ran(RUN, json.dumps(COMMANDS)).splitlines() if line.startswith("RAN ")]
    decoder, found = json.JSONDecoder(), []
    for line in lines:
        command, end = decoder.raw_decode(line)
        found.append((command, set(json.loads(line[end:]))))
    return found


def test_commands_that_only_tell_something_load_nothing_heavy(after: list[tuple[Any, set[str]]]) -> None:
    for command, held in after:
        assert held & HEAVY == set(), command


def test_every_command_is_among_them(after: list[tuple[Any, set[str]]]) -> None:
    commands = [command for command, _ in after]
    assert ["completion"] in commands and all(command in commands for command in COMMANDS)
    assert {command[0] for command in commands if command[1:] == ["--help"]} >= {"sample", "inpaint", "train", "sweep", "bench", "export"}
