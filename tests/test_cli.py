"""The command line: every command does what its help says, in text and in JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch

import arlattice as arl
from arlattice.cli import main
from arlattice.hooks.manager import default_manager
from arlattice.io.records import read_record, write_record

pytestmark = pytest.mark.filterwarnings(
    "ignore::arlattice.LowEssWarning"
)  # few samples on purpose; tests/test_reliability.py has the warnings

RunCli = Callable[..., Any]
COMMANDS = [entry.factory for entry in default_manager().commands]
NAMES = [command.name for command in COMMANDS]

CONFIG = """
[hamiltonian]
name = "ising"
supercell = [3, 3]

[states]
temperature = [2.0, 4.0]
chemical_potentials = { up = [-0.2, 0.2] }

[model]
name = "any-order-transformer"
width = 16
heads = 2
layers = 1

[training]
steps = 4
batch_size = 16
replica_temperatures = 2
replica_potentials = 2
replica_copies = 2
equilibration_sweeps = 2
evaluate_every = 2
evaluate_samples = 8
checkpoint_every = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


# -- help ------------------------------------------------------------------------------------------


def test_the_commands_are_those_of_the_contract(run_cli: RunCli) -> None:
    assert NAMES == [
        "plugins",
        "hamiltonians",
        "models",
        "observables",
        "train",
        "sample",
        "inpaint",
        "sweep",
        "phase-diagram",
        "export",
        "bench",
    ]
    ran = run_cli()
    assert ran.code == 0
    assert all(f"\n  {name} " in ran.out for name in NAMES)
    assert run_cli("--help").out == ran.out


@pytest.mark.parametrize("name", NAMES)
def test_help_of_every_command_gives_an_example_of_it(name: str, run_cli: RunCli) -> None:
    ran = run_cli(name, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "Examples:" in ran.out
    assert f"\n    arlattice {name}" in ran.out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_says_what_it_is(command: Any) -> None:
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{command.name} {parameter.opts}"


def test_version(run_cli: RunCli) -> None:
    assert run_cli("--version").out.split()[-1] == arl.__version__


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "arlattice", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == arl.__version__


# -- tables ----------------------------------------------------------------------------------------


def test_plugins_hamiltonians_and_models_are_listed(run_cli: RunCli) -> None:
    for name, expected in [("plugins", "ising"), ("hamiltonians", "cuau"), ("models", "any-order-transformer")]:
        assert expected in run_cli(name).out
        assert expected in [row["name"] for row in json.loads(run_cli(name, "--json").out)]


def test_the_options_of_a_hamiltonian_and_of_a_model_family_are_shown(run_cli: RunCli) -> None:
    assert "sites along each direction" in run_cli("hamiltonians", "ising").out
    assert {"supercell", "J", "h"} <= {row["name"] for row in json.loads(run_cli("hamiltonians", "ising", "--json").out)}
    assert {"width", "layers"} <= {row["name"] for row in json.loads(run_cli("models", "any-order-transformer", "--json").out)}


def test_every_shipped_model_is_listed_with_its_record(run_cli: RunCli) -> None:
    from arlattice.models.checkpoint import shipped_models

    listed = [row["name"] for row in json.loads(run_cli("models", "--json").out) if row["kind"] == "trained"]
    assert listed == shipped_models()
    for name in listed:
        assert run_cli("models", name).out


def test_a_hamiltonian_is_built_and_compiled(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "ising.safetensors"
    ran = run_cli("hamiltonians", "ising", "--set", "supercell=[3, 4]", "--set", "h=0.5", "--compile", path, "--json")
    facts = json.loads(ran.out)
    loaded = arl.ClusterHamiltonian.load(path)
    assert facts["fingerprint"] == loaded.fingerprint == arl.hamiltonian("ising", supercell=(3, 4), h=0.5).fingerprint
    assert (facts["sites"], loaded.name, loaded.options["h"]) == (12, "ising", 0.5)


# -- sample, inpaint, export -----------------------------------------------------------------------


def sample(run_cli: RunCli, model: Path, *arguments: object) -> dict[str, Any]:
    ran = run_cli("sample", model, "--temperature", 2.5, "--quiet", "--json", *arguments)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_sample_writes_files_and_prints_averages_with_errors(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.extxyz"
    facts = sample(run_cli, ising_model, "-n", 20, "--mu", "up=0.1", "-o", out, "-o", tmp_path / "out.nc")
    samples = arl.SampleSet.read(out)
    assert facts["samples"] == len(samples) == len(ase.io.read(out, ":")) == 20
    assert samples.state == arl.SemiGrandCanonical(2.5, {"up": 0.1})
    assert facts["log_z"] == {"value": samples.log_z().value, "error": samples.log_z().error}
    assert facts["x_up"]["value"] == pytest.approx(samples.mean("x_up").value)
    assert torch.equal(arl.SampleSet.read(tmp_path / "out.nc").log_prob, samples.log_prob)
    text = run_cli("sample", ising_model, "--temperature", 2.5, "-n", 20, "--quiet").out
    assert all(word in text for word in ("log z", "ess", "energy per site", "x up"))


def test_the_seed_decides_what_is_drawn(run_cli: RunCli, ising_model: Path) -> None:
    first, again, other = (sample(run_cli, ising_model, "-n", 20, "--seed", seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_fixed_composition_is_met(run_cli: RunCli, ising_model: Path) -> None:
    facts = sample(run_cli, ising_model, "-n", 10, "--composition", "up=3")
    assert facts["x_up"]["value"] == pytest.approx(1 / 3)
    assert facts["x_up"]["error"] == pytest.approx(0, abs=1e-12)


def test_inpaint_keeps_what_is_known(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    sample(run_cli, ising_model, "-n", 1, "-o", tmp_path / "one.extxyz")
    known = arl.SampleSet.read(tmp_path / "one.extxyz").occupations[0]
    (tmp_path / "mask.txt").write_text("0\n3 5\n")
    for mask in ("0,3,5", tmp_path / "mask.txt"):
        out = tmp_path / "out.nc"
        ran = run_cli("inpaint", ising_model, tmp_path / "one.extxyz", "--mask", mask, "-n", 30, "--temperature", 50, "--quiet", "-o", out)
        assert ran.code == 0, ran.err
        samples = arl.SampleSet.read(out)
        changed = (samples.occupations != known).any(0).nonzero().flatten().tolist()
        assert changed == [0, 3, 5]
        assert samples.known is not None
        assert (samples.known < 0).nonzero().flatten().tolist() == [0, 3, 5]


def test_inpaint_takes_atoms_x_as_unknown(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    lattice = arl.hamiltonian("ising", supercell=(3, 3)).lattice
    occupations = torch.tensor([1] * 4 + [-1] * 5)
    ase.io.write(tmp_path / "known.extxyz", lattice.to_ase(occupations))
    ran = run_cli("inpaint", ising_model, tmp_path / "known.extxyz", "-n", 8, "--temperature", 2, "--quiet", "-o", tmp_path / "out.nc")
    assert ran.code == 0, ran.err
    assert torch.equal(arl.SampleSet.read(tmp_path / "out.nc").known, occupations)


def test_export_converts_between_formats(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    sample(run_cli, ising_model, "-n", 5, "-o", tmp_path / "a.extxyz")
    assert run_cli("export", tmp_path / "a.extxyz", tmp_path / "b.nc").code == 0
    assert run_cli("export", tmp_path / "b.nc", tmp_path / "c.db").code == 0
    first, last = arl.SampleSet.read(tmp_path / "a.extxyz"), arl.SampleSet.read(tmp_path / "c.db")
    assert torch.equal(first.log_prob, last.log_prob)
    assert torch.equal(first.occupations, last.occupations)


# -- train -----------------------------------------------------------------------------------------


def test_train_leaves_a_model_to_sample_from_and_resumes(run_cli: RunCli, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ran = run_cli("train", config, "-o", folder, "--quiet", "--device", "cpu")
    assert (ran.code, ran.err) == (0, "")
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [2, 4]
    assert sample(run_cli, folder, "-n", 5)["samples"] == 5
    assert run_cli("train", config, "-o", folder, "--quiet", "--device", "cpu", "--resume").code == 0


def test_train_takes_a_compiled_hamiltonian(run_cli: RunCli, config: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables.safetensors"
    run_cli("hamiltonians", "ising", "--set", "supercell=[3,3]", "--compile", tables)
    ran = run_cli("-p", "no:ising", "train", config, "-o", tmp_path / "run", "--hamiltonian", tables, "--quiet", "--device", "cpu")
    assert (ran.code, ran.err) == (0, "")


def test_progress_bars_go_to_standard_error(run_cli: RunCli, config: Path, tmp_path: Path) -> None:
    ran = run_cli("train", config, "-o", tmp_path / "run", "--device", "cpu")
    assert "training" in ran.err
    assert ran.out == f"trained model: {tmp_path / 'run'}\n"


# -- plugins and errors ----------------------------------------------------------------------------


def test_a_plugin_file_is_loaded_for_one_command_only(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(
        "import arlattice, click\n\n@arlattice.hookimpl\ndef arlattice_register_commands(cli):\n"
        "    @cli.command()\n    def hello():\n        '''Greet.'''\n        click.echo('hello')\n"
    )
    assert run_cli("-p", tmp_path / "hello.py", "hello").out == "hello\n"
    assert "Greet." in run_cli("-p", tmp_path / "hello.py", "--help").out
    assert run_cli("--plugins-dir", tmp_path, "hello").out == "hello\n"
    assert run_cli("hello").code == 2


@pytest.mark.filterwarnings("default")
def test_a_broken_plugin_in_a_folder_is_one_warning(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_package")
    ran = run_cli("--plugins-dir", tmp_path, "hamiltonians")
    assert ran.code == 0
    assert "ising" in ran.out
    assert ran.err.startswith("arlattice: warning: plugin 'broken'")
    assert ran.err.count("\n") == 1


def test_debug_raises_instead(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARLATTICE_DEBUG", "1")
    with pytest.raises(arl.InputError, match="hamiltonian = 'isng'"):
        run_cli("hamiltonians", "isng")


def test_a_mistake_of_ours_is_one_line_and_exit_code_1(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> int:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(main, "_run", fail)
    ran = run_cli()
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "arlattice: error: internal: ZeroDivisionError: two lines (set ARLATTICE_DEBUG=1 for the traceback)\n"


@pytest.mark.parametrize("arguments", [["models"], ["--help"], ["bench", "mam-ising", "--small", "--list"]], ids=lambda words: words[0])
def test_nothing_is_told_when_the_reader_is_gone(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "arlattice", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_file_says_cannot_command_the_terminal(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    """A record and a file name that clear the screen, set the title and write over the line."""
    hostile = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202e"
    folder = tmp_path / f"model{hostile}"
    shutil.copytree(ising_model, folder)
    described = read_record(folder / "model.json", "path")
    write_record(folder / "model.json", described | {"record": {"summary": hostile, f"key{hostile}": [hostile]}})
    shown = [run_cli("models", folder), run_cli("models", folder, "--json"), run_cli("sample", folder, "--temperature", "hot")]
    (folder / "model.json").write_text("{")
    shown += [run_cli("models", folder), run_cli("export", folder, tmp_path / "out.nc")]
    assert [ran.code for ran in shown] == [0, 0, 2, 2, 2]
    assert "\\x1b[2J" in shown[0].out
    for ran in shown:
        assert (ran.out + ran.err).replace("\n", "").isprintable()


def test_the_end_of_a_pipe_and_an_interrupt_end_quietly(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_run", interrupt)
    assert run_cli() == (130, "", "arlattice: error: interrupted\n")
