"""Flags mean and accept the same in every command, and an error begins with the flag that was typed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

import arlattice as arl
from arlattice.cli.flags import flag_of, naming_flags
from arlattice.cli.parameters import read_state
from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")

DRAWING = {
    "-n": "0",
    "--temperature": "-5",
    "--mu": "up=much",
    "--delta-mu": "nan",
    "--field": "strong",
    "--composition": "up=0.5",
    "--ensemble": "sideways",
    "--state": "sideways=1",
    "--order": "sideways",
    "--seed": "-1",
    "--batch-size": "0",
    "--hamiltonian": "nope.safetensors",
    "--device": "abacus",
    "--precision": "exact",
    "--output": "out.xzy",
    "--format": "xyz",
    "--vacancies": "keep",
}
BAD: dict[str, tuple[str, dict[str, str]]] = {
    "hamiltonians": ("ising --set supercell=[3,3]", {"--set": "JJ=1", "--compile": "nowhere/out.safetensors"}),
    "train": (
        "good.toml -o run --device cpu",
        {"--output": "file", "--hamiltonian": "nope", "--start": "nope", "--seed": "1.5", "--time-limit": "-1", "--device": "abacus"},
    ),
    "sample": ("model -n 2 --temperature 2 --quiet -o out.nc", DRAWING | {"--part-size": "0"}),
    "inpaint": ("model known.extxyz -n 2 --temperature 2 --quiet -o out.nc", DRAWING | {"--mask": "all", "--picture": "out.bmp"}),
    "sweep": (
        "model -n 2 --temperature 2 --quiet -o out.nc",
        {
            "--temperature": "nan",
            "--mu": "up=much",
            "--delta-mu": "nan",
            "--field": "0:1",
            "--observable": "energi",
            "--set": "energy.x=1",
            "-n": "1",
            "--target-error": "x_up=true",
            "--max-samples": "1",
            "--min-ess": "nan",
            "--order": "sideways",
            "--seed": "-1",
            "--batch-size": "0",
            "--workers": "0",
            "--hamiltonian": "nope",
            "--device": "abacus",
            "--output": "out.extxyz",
        },
    ),
    "phase-diagram": ("sweep.nc -o out.png", {"--output": "out.bmp"}),
    "bench": (
        "paper-table-1 --small --list",
        {
            "--rows": "nothing",
            "--systems": "nothing",
            "--model": "nothing",
            "--set": "width=wide",
            "--objective": "nothing",
            "--label": "/",
            "--training": "steps=true",
            "--hamiltonians": "nowhere",
            "--samples": "1",
            "--seed": "-1",
            "--time-limit": "nan",
            "--device": "abacus",
        },
    ),
    "export": ("samples.nc out.nc", {"--format": "xyz", "--vacancies": "keep"}),
}
"""Arguments of every command that are right, and a bad value of every flag that takes one."""

EXEMPT = {"bench": {"--runs", "--output"}, "phase-diagram": {"--shares", "--compositions"}}
"""Folders that are made if need be; and variables that a sweep does not have, which is told of the sweep."""


def commands() -> list[Any]:
    """Those of arlattice and of the plugins that ship."""
    return [entry.factory for entry in default_manager().commands]


def _flags(command: click.Command) -> set[str]:
    return {flag_of(p) for p in command.params if isinstance(p, click.Option) and not p.is_flag}


def test_the_table_has_every_command_and_flag() -> None:
    listed = {name: set(flags) | EXEMPT.get(name, set()) for name, (_, flags) in BAD.items()}
    assert {str(c.name): _flags(c) for c in commands() if _flags(c)} == listed


@pytest.fixture
def workplace(tmp_path: Path, ising_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(ising_model)
    (tmp_path / "file").write_text("a file\n")
    model = arl.load(ising_model)
    samples = model.sample(2, arl.SemiGrandCanonical(2.0), seed=1)
    samples.write("samples.nc")
    model.lattice.to_ase([-1, *[0] * 8]).write("known.extxyz")
    (tmp_path / "good.toml").write_text(
        '[hamiltonian]\nname = "ising"\nsupercell = [3, 3]\n[states]\ntemperature = 2.0\n'
        '[model]\nname = "any-order-transformer"\nwidth = 16\nheads = 2\nlayers = 1\n[training]\nsteps = 1\nbatch_size = 4\n'
        "replica_temperatures = 1\nreplica_potentials = 1\nreplica_copies = 2\nequilibration_sweeps = 1\n"
    )
    return tmp_path


def _with(line: str, flag: str, value: str) -> list[str]:
    """The line with the flag given this value, once."""
    words, short = shlex.split(line), {"--output": "-o"}.get(flag, flag)
    for name in (flag, short):
        if name in words:
            at = words.index(name)
            del words[at : at + 2]
    return [*words, flag, value]


@pytest.mark.parametrize(("command", "flag"), [(command, flag) for command, (_, flags) in BAD.items() for flag in flags], ids=str)
def test_the_line_begins_with_the_flag(command: str, flag: str, workplace: Path, run_cli: Any) -> None:
    line, flags = BAD[command]
    more = ["--model", "any-order-mlp"] if (command, flag) in (("bench", "--set"), ("bench", "--label"), ("bench", "--objective")) else []
    more = ["--observable", "energy"] if (command, flag) == ("sweep", "--set") else more
    ran = run_cli(command, *_with(line, flag, flags[flag]), *more)
    assert (ran.code, ran.out) == (2, "")
    assert re.match(rf"arlattice: error: {flag}[ :]", ran.err), ran.err


@pytest.mark.parametrize(("flag", "value"), [("--plugin", "nope.py"), ("--plugin", "no:isng"), ("--plugins-dir", "nowhere")])
def test_so_does_that_of_a_flag_before_the_command(flag: str, value: str, run_cli: Any) -> None:
    ran = run_cli(flag, value, "plugins")
    assert ran.code == 2 and ran.err.startswith(f"arlattice: error: {flag} = "), ran.err


@click.command()
@click.option("--steps", type=int)
@click.option("--mu", "chemical_potentials", multiple=True)
@click.option("--file")
def _command() -> None:
    """Nothing."""


@pytest.mark.parametrize(
    ("line", "argument", "value", "told"),
    [
        ("--steps 0", "steps", 0, "--steps = 0"),
        ("--steps 4", "steps", 5, "steps = 5"),
        ("", "steps", 0, "steps = 0"),
        ("--mu Au=x", "chemical_potentials[Au]", "x", "--mu Au = 'x'"),
        ("--mu Au=x", "chemical_potentials[Cu]", "x", "chemical_potentials[Cu] = 'x'"),
        ("--mu a.b=x", "options[a].b.0", "x", "--mu a.b.0 = 'x'"),
        ("--mu Au=x", "chemical_potentials", "Au", "--mu = 'Au'"),
        ("--file x", "path", "x", "--file = 'x'"),
        ("--file x", "path", "y", "path = 'y'"),
        ("--file x", "--file", "x", "--file = 'x'"),
    ],
)
def test_an_error_belongs_to_the_option_of_its_name_or_its_value(line: str, argument: str, value: Any, told: str) -> None:
    ctx = _command.make_context("command", line.split())
    with pytest.raises(InputError) as refused, naming_flags(ctx):
        raise InputError(argument, value, "no")
    assert str(refused.value) == f"{told}: no"


# -- the same in every command ---------------------------------------------------------------------


def test_flags_of_one_name_have_one_text_and_one_type() -> None:
    """But for what a range is in a sweep and a number elsewhere, and for what the number of configurations is of."""
    for flag in ("--seed", "--hamiltonian", "--field", "--quiet", "--json", "--mu"):
        found = [p for c in commands() for p in c.params if isinstance(p, click.Option) and flag in p.opts]
        assert len(found) > 1 and len({p.help for p in found if flag != "--quiet"}) <= 1, flag
    takers = {c.name for c in commands() if any("--seed" in p.opts for p in c.params)}
    assert takers == {"train", "sample", "inpaint", "sweep", "bench"}


@pytest.mark.parametrize(
    ("flags", "mu"),
    [("--delta-mu 0.3", {"up": 0.3}), ("--field 0.3", {"up": 0.3, "down": -0.3}), ("--field -0.1", {"up": -0.1, "down": 0.1}), ("", {})],
)
def test_a_difference_and_a_field_are_chemical_potentials(flags: str, mu: dict[str, float], workplace: Path, run_cli: Any) -> None:
    plain = " ".join(f"--mu {species}={value}" for species, value in mu.items())
    runs = [
        json.loads(run_cli("sample", *shlex.split(f"model -n 20 --temperature 2 --quiet --seed 3 --json {f}")).out) for f in (flags, plain)
    ]
    x = [run["x_up"]["value"] for run in runs]
    assert x[0] == pytest.approx(x[1], abs=1e-6)
    ran = run_cli("inpaint", *shlex.split(f"model known.extxyz -n 4 --temperature 2 --quiet --seed 3 {flags} -o out.nc"))
    assert ran.code == 0, ran.err
    assert dict(arl.SampleSet.read("out.nc").state.chemical_potentials) == mu  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["sample model -n 2", "inpaint model known.extxyz -n 2", "sweep model -n 2 -o out.nc"])
@pytest.mark.parametrize(("first", "second"), [("--mu up=1", "--field 1"), ("--mu up=1", "--delta-mu 1"), ("--delta-mu 1", "--field 1")])
def test_two_ways_to_give_one_thing_are_refused_by_name(command: str, first: str, second: str, workplace: Path, run_cli: Any) -> None:
    ran = run_cli(*shlex.split(f"{command} --temperature 2 --quiet {first} {second}"))
    names = [word.split()[0] for word in (first, second)]
    assert ran.code == 2
    assert ran.err.startswith(f"arlattice: error: {names[1]} = ") and ran.err.endswith(f"give {names[0]} or {names[1]}, not both\n")


def test_a_difference_needs_two_species() -> None:
    lattice = arl.square(2, ["A", "B", "C"])
    for flag, values in (("--delta-mu", (0.1, None)), ("--field", (None, 0.1))):
        with pytest.raises(InputError, match=f"{flag} = 0.1: needs two species, here are A, B, C"):
            read_state(1.0, (), *values, ())(lattice)


def test_the_seed_of_the_command_line_is_that_of_the_run(workplace: Path, run_cli: Any) -> None:
    ran = run_cli("train", "good.toml", "-o", "run", "--quiet", "--device", "cpu", "--seed", "5")
    assert ran.code == 0, ran.err
    assert json.loads(Path("run/config.json").read_text())["training"]["seed"] == 5
