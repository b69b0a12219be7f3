"""A plugin's faults are its own: one line that names it, and standard output stays what the command answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.build import build_hamiltonian
from arlattice.hooks import Manager, PluginWarning, using
from arlattice.models.build import build_model

FAULTS = {
    "SystemExit": "import sys; sys.exit(3)",
    "exit without a code": "raise SystemExit",
    "GeneratorExit": "raise GeneratorExit('stop')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "its own BaseException": "class Stop(BaseException): pass\n    raise Stop('now')",
    "recursion": "f = lambda: f()\n    f()",
    "an exception that cannot be told": "class Mute(Exception):\n        def __str__(self): return 1 / 0\n    raise Mute",
    "StopIteration": "raise StopIteration",
    "ten lines": "raise ValueError('line\\n' * 10)",
}

HEAD = "import arlattice as arl\nimport os, sys, click\n"
HOOK = "@arl.hookimpl\ndef arlattice_register_{0}s(register):\n    register('odd', build)\n"
FACTORIES = {
    "import": HEAD + "def fault():\n    {fault}\nfault()\n",
    "hook": HEAD + "@arl.hookimpl\ndef arlattice_register_models(register):\n    {fault}\n",
    "hamiltonian": HEAD + "def build(options):\n    {fault}\n" + HOOK.format("hamiltonian"),
    "model": HEAD + "def build(hamiltonian, options):\n    {fault}\n" + HOOK.format("model"),
    "observable": HEAD + "def build(samples, options):\n    {fault}\n" + HOOK.format("observable"),
    "objective": HEAD + "def build(model, batch):\n    {fault}\n" + HOOK.format("objective"),
    "plan": HEAD + "def build(lattice, n, stream):\n    {fault}\n" + HOOK.format("plan"),
    "exporter": HEAD + "def build():\n    {fault}\n" + HOOK.format("exporter"),
    "export": HEAD
    + "from arlattice.io.exporter import Exporter\nclass build(Exporter):\n  def write(self, samples, path, vacancies):\n    {fault}\n"
    + HOOK.format("exporter"),
    "command": HEAD
    + "@click.command()\ndef odd():\n    {fault}\n@arl.hookimpl\ndef arlattice_register_commands(cli):\n"
    + "    cli.add_command(odd)\n",
    "energy": HEAD
    + "def fault(x):\n    {fault}\ndef build(options):\n    return arl.FunctionHamiltonian(arl.chain(3), fault)\n"
    + HOOK.format("hamiltonian"),
    "lazy": HEAD + "@arl.hookimpl\ndef arlattice_register_hamiltonians(register):\n    register('odd', 'odd_module:build')\n",
}
COMMANDS = {
    "import": "plugins",
    "hook": "plugins",
    "hamiltonian": "hamiltonians odd --set x=1",
    "model": "train odd_model.toml -o run --quiet --device cpu",
    "observable": "sweep model --temperature 2 -n 4 --observable odd --quiet -o out.nc",
    "objective": "train odd_objective.toml -o run --quiet --device cpu",
    "plan": "sample model --temperature 2 -n 4 --quiet --order odd",
    "exporter": "sample model --temperature 2 -n 4 --quiet -o out --format odd",
    "export": "sample model --temperature 2 -n 4 --quiet -o out --format odd",
    "command": "odd",
    "energy": "hamiltonians odd --compile x.safetensors",
    "lazy": "hamiltonians odd --set x=1",
}
COMMANDS["hamiltonian"] = COMMANDS["lazy"] = "train odd_hamiltonian.toml -o run --quiet --device cpu"
COMMANDS["energy"] = COMMANDS["hamiltonian"]

CONFIG = """
[hamiltonian]
name = "ising"
supercell = [3, 3]
[states]
temperature = 2.0
[model]
name = "any-order-mlp"
width = 8
[training]
steps = 1
batch_size = 8
objective = "forward"
replica_temperatures = 1
replica_potentials = 1
replica_copies = 8
equilibration_sweeps = 1
"""


@pytest.fixture
def workplace(tmp_path: Path, ising_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with run files that ask for the plugin's things."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("model").symlink_to(ising_model)
    Path("odd_model.toml").write_text(CONFIG.replace('name = "any-order-mlp"\nwidth = 8', 'name = "odd"'))
    Path("odd_hamiltonian.toml").write_text(CONFIG.replace('name = "ising"\nsupercell = [3, 3]', 'name = "odd"'))
    Path("odd_objective.toml").write_text(CONFIG.replace('"forward"', '"odd"'))
    return tmp_path


def _write(place: str, fault: str) -> None:
    sys.modules.pop("odd_module", None)
    Path("odd.py").write_text(FACTORIES[place].replace("{fault}", fault))
    Path("odd_module.py").write_text(f"def fault():\n    {fault}\nfault()\n")


@pytest.mark.parametrize("place", FACTORIES)
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_a_plugin_raises_wherever_is_one_line_that_names_it(
    place: str, fault: str, workplace: Path, run_cli: Callable[..., Any]
) -> None:
    _write(place, FAULTS[fault])
    ran = run_cli("-p", "odd.py", *COMMANDS[place].split())
    if (place, fault) == ("command", "exit without a code"):  # its own command may end as it likes
        assert ran == (0, "", "")
        return
    assert (ran.code, ran.out) == (2, "")
    assert "odd" in ran.err
    assert ran.err.startswith("arlattice: error: ") and ran.err.count("\n") == 1 and len(ran.err) < 500, ran.err


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_nobody_asked_for_is_named_in_a_warning_and_the_rest_works(fault: str, workplace: Path) -> None:
    Path("folder").mkdir()
    Path("folder/odd.py").write_text(FACTORIES["import"].replace("{fault}", FAULTS[fault]))
    with pytest.warns(PluginWarning, match="plugin 'odd'"):
        loaded = Manager(folders=["folder"])
    assert "ising" in loaded.hamiltonians


PRINTS = "print('noise'); os.write(1, b'noise\\n'); "


@pytest.mark.parametrize("place", ["import", "hook", "observable", "energy"])
def test_what_a_plugin_prints_does_not_mix_with_the_answer(place: str, workplace: Path) -> None:
    """In a process of its own, so that what is written to the system's descriptor 1 is seen too."""
    texts = {
        "import": PRINTS + "\nimport arlattice as arl\n@arl.hookimpl\ndef arlattice_register_models(register): ...\n",
        "hook": "import arlattice as arl\n@arl.hookimpl\ndef arlattice_register_models(register): " + PRINTS + "\n",
        "observable": HEAD + "def build(samples, options):\n    " + PRINTS + "\n    return samples.energy\n" + HOOK.format("observable"),
        "energy": HEAD
        + "def noisy(x):\n    "
        + PRINTS
        + "\n    return x.sum(1).double()\ndef build(options):\n    return arl.FunctionHamiltonian(arl.chain(3), noisy)\n"
        + HOOK.format("hamiltonian"),
    }
    commands = {
        "observable": "sweep model --temperature 2 -n 4 --observable odd --quiet -o out.nc --json",
        "energy": "sample odd_model_folder --temperature 2 -n 4 --quiet --json",
    }
    Path("odd.py").write_text("import os\n" + texts[place])
    if place == "energy":
        with using(Manager(["odd.py"])):
            build_model("any-order-mlp", build_hamiltonian("odd"), {"width": 8}).save("odd_model_folder")
    command = commands.get(place, "hamiltonians --json")
    done = subprocess.run(
        [sys.executable, "-m", "arlattice", "-p", "odd.py", *command.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert done.stderr.count("noise") >= 2


def test_the_own_command_of_a_plugin_may_print(workplace: Path, run_cli: Callable[..., Any]) -> None:
    _write("command", "print('an answer')")
    assert run_cli("-p", "odd.py", "odd") == (0, "an answer\n", "")


NONSENSE = {"nothing": "return None", "text": "return 'text'", "a number": "return 3", "itself": "return build"}


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("place", ["hamiltonian", "model", "observable", "objective", "plan", "exporter"])
def test_nonsense_that_a_plugin_returns_is_told(place: str, nonsense: str, workplace: Path, run_cli: Callable[..., Any]) -> None:
    _write(place, NONSENSE[nonsense])
    ran = run_cli("-p", "odd.py", *COMMANDS[place].split())
    assert (ran.code, ran.out) == (2, "")
    assert "odd" in ran.err and ran.err.count("\n") == 1, ran.err


def test_a_hamiltonian_that_was_never_initialised_is_told(workplace: Path, run_cli: Callable[..., Any]) -> None:
    text = "class H(arl.Hamiltonian):\n    def __init__(self): ...\n    def energy(self, x): return x\ndef build(options): return H()\n"
    Path("odd.py").write_text(HEAD + text + HOOK.format("hamiltonian"))
    ran = run_cli("-p", "odd.py", *COMMANDS["hamiltonian"].split())
    assert ran.code == 2
    assert "plugin 'odd' returned a Hamiltonian that is not whole" in ran.err


def test_the_interrupt_of_the_user_interrupts_a_plugin(workplace: Path) -> None:
    """A plugin that sleeps in its hook; Ctrl-C reaches the command, which ends with 130 and says so."""
    Path("odd.py").write_text(
        "import time, sys\nimport arlattice as arl\n@arl.hookimpl\ndef arlattice_register_models(register):\n"
        "    print('ready', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "arlattice", "-p", "odd.py", "plugins"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background of a script ignores Ctrl-C
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert (process.returncode, told.strip()) == (130, "arlattice: error: interrupted")


# -- what is given to a Hamiltonian ----------------------------------------------------------------


class Stranger(arl.Hamiltonian):
    """Only what the contract asks for: no checks of its own."""

    def energy(self, occupations: torch.Tensor) -> torch.Tensor:
        return occupations.double().sum(1)


def test_a_strangers_subclass_is_checked_and_loops_are_not() -> None:
    lattice = arl.Lattice.from_dict({**arl.chain(3).to_dict(), "species": ["a", "b", "c"], "allowed_species": [["a", "c"]]})
    stranger, right = Stranger(lattice), [[0, 2, 0]]
    assert stranger.energy(right).tolist() == [2.0]  # type: ignore[arg-type]
    for wrong in ([[0, 1, 0]], [[0, -1, 0]], [[0, 3, 0]], [[0, 0]], [[0.0, 0.0, 0.0]]):
        with pytest.raises(arl.InputError, match="occupations"):
            stranger.energy(wrong)  # type: ignore[arg-type]
    with pytest.raises(arl.InputError, match="site = 3"):
        stranger.site_energies(torch.tensor(right), 3)
    loop = stranger.unchecked()
    assert loop.energy(torch.tensor([[0, 1, 0]])).tolist() == [1.0]
    assert loop.unchecked() is loop and stranger.checks
