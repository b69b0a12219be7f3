"""Odd values for every option of every command and every key of a run file: the exit codes, and what is not one line.

Run from anywhere; it works in a temporary folder:

    python benchmarks/bad_input.py            # all
    python benchmarks/bad_input.py sweep      # one command

Without a command it writes the counts to results/bad-input.json. A value may be good (0 for a chemical potential): exit code 0
is counted, not judged. Exit code 1, a second line, a message of more than 500 characters, and a command that takes more than
30 seconds are faults, and printed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import arlattice as arl
from arlattice.cli.main import run
from arlattice.hooks.manager import default_manager
from arlattice.models.build import build_model

RESULTS = Path(__file__).parent.resolve() / "results"
SECONDS, MEMORY = 30, 6 * 2**30
HUGE = "9" * 5000
TEXTS = ["", " ", "0", "-1", "1.5", "1e9", "1e12", "1e300", "1e-300", "1e400", "nan", "inf", "-inf", "true", "[]", "[1, 2]", "{}", HUGE]
TEXTS += [str(2**63), str(2**64), "10" * 15, "a\0b", "\udcff", "é", "x" * 5000, "../..", "/", "/dev/null", "folder", "good.toml", "text"]
TEXTS += ["A=1", "up=1", "up=nan", f"up={HUGE}", "up=1e300", "supercell=true", "=", "x=", "1:2:3", "1:2:1000000000", f"1:2:{HUGE}", "1:2:0"]
TEXTS += ["0:0:1", "a:b:c", ",", "-", "[" * 3000, "cuda:99", "cuda", "meta", "-5:5:3", "0.1"]
VALUES = ["0", "-1", "1.5", "1e300", "-1e300", "1e-300", "nan", "inf", "-inf", "true", '""', '"text"', '"3"', "[]", "[1, 2]", "[[1]]"]
VALUES += ["{}", HUGE, str(2**62), str(10**9), str(10**12), "2020-01-01", '["a"]', "[" * 3000, "{a = 1}", '"' + "x" * 5000 + '"']
VALUES += ["[2, 1]", "[true, 2]", '"\\u0000"']

BASE = {
    "plugins": "",
    "hamiltonians": "ising --set supercell=[3,3]",
    "models": "",
    "observables": "",
    "train": "good.toml -o run --quiet --device cpu",
    "sample": "model -n 4 --quiet --temperature 2",
    "inpaint": "model unknown.extxyz -n 4 --quiet --temperature 2",
    "sweep": "model --temperature 2 -n 4 --quiet -o out.nc",
    "phase-diagram": "sweep.nc -o out.png",
    "bench": "paper-table-1 --small --list",
    "export": "samples.extxyz out.nc",
}
CONFIG = {
    "hamiltonian": {"name": '"ising"', "supercell": "[3, 3]", "J": "1.0", "h": "0.0"},
    "states": {"temperature": "2.0", "chemical_potentials": "{ up = 0.1 }"},
    "model": {"name": '"any-order-transformer"', "width": "16", "heads": "2", "layers": "1"},
    "training": {
        "steps": "1", "batch_size": "8", "replica_temperatures": "1", "replica_potentials": "1", "replica_copies": "8",
        "equilibration_sweeps": "1", "evaluate_samples": "4", "reverse_states": "1", "reverse_samples": "2",
    },
}  # fmt: skip
LONG = ("steps", "equilibration_sweeps", "sweeps_per_step")
"""Options of a run file that may be as long as one likes: it would just train."""


def main() -> None:
    """Print the counts of exit codes, and every fault."""
    only = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _prepare()
        lines = [*_command_lines(only), *(_run_files() if not only or "run-files" in only else [])]
        codes: Counter[Any] = Counter()
        faults = 0
        for arguments, config in lines:
            code, fault = _attempt(arguments, config)
            codes[code] += 1
            if fault:
                print(f"FAULT {code} {_shown(arguments)} {config[:60]!r}: {fault[:300]}", flush=True)
            faults += bool(fault)
    counts = {"commands": sum(codes.values()), "exit_codes": {str(c): n for c, n in sorted(codes.items(), key=str)}, "faults": faults}
    print(json.dumps(counts))
    if not only:
        (RESULTS / "bad-input.json").write_text(json.dumps(counts, indent=2) + "\n")


def _prepare() -> None:
    h = arl.hamiltonian("ising", supercell=(3, 3))
    model = build_model("any-order-transformer", h, {"width": 16, "heads": 2, "layers": 1})
    model.save("model")
    model.sample(4, arl.SemiGrandCanonical(2.0)).write("samples.extxyz")
    arl.sweep(model, [2.0, 3.0], delta_mu=[0.0, 0.1], n=4, out="sweep.nc")
    import ase.io
    import torch

    ase.io.write("unknown.extxyz", h.lattice.to_ase(torch.full((9,), -1)))
    Path("folder").mkdir()
    Path("good.toml").write_text(_toml({}))


def _toml(changed: dict[tuple[str, str], str]) -> str:
    tables = {name: dict(table) for name, table in CONFIG.items()}
    for (table, key), value in changed.items():
        tables[table][key] = value
    return "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in table.items()) for name, table in tables.items())


def _command_lines(only: list[str]) -> Iterator[tuple[list[str], str]]:
    for command in (entry.factory for entry in default_manager().commands):
        if only and command.name not in only:
            continue
        base = BASE[command.name or ""].split()
        for parameter in command.params:
            for text in TEXTS:
                changed = _with(base, parameter, command, text)
                if changed is not None:
                    yield [command.name or "", *changed], ""
    for group_option in ("-p", "--plugins-dir") if not only else ():
        for text in TEXTS:
            yield [group_option, text, "plugins"], ""


def _with(base: list[str], parameter: click.Parameter, command: click.Command, text: str) -> list[str] | None:
    """The arguments with one of them replaced."""
    if isinstance(parameter, click.Argument):
        place = [p for p in command.params if isinstance(p, click.Argument)].index(parameter)
        changed = [*base, ""][: len(base) + (0 if len(base) > place else 1)]
        changed[place] = text
        return ["--", *changed] if text.startswith("-") and len(base) <= 1 else changed
    if not isinstance(parameter, click.Option) or parameter.is_flag:
        return None
    name = max(parameter.opts, key=len)
    kept, i = [], 0
    while i < len(base):
        if base[i] in parameter.opts and not parameter.multiple:
            i += 2
        else:
            kept.append(base[i])
            i += 1
    return [*kept, f"{name}={text}"] if name.startswith("--") else [*kept, name, text]


def _run_files() -> Iterator[tuple[list[str], str]]:
    from arlattice.training.config import TrainingOptions

    keys = [(table, key) for table, entries in CONFIG.items() for key in entries]
    keys += [("training", key) for key in TrainingOptions.model_fields if key != "compile"]  # good, and takes a minute
    keys += [("states", "compositions"), ("hamiltonian", "supercell"), ("model", "heads"), ("states", "up")]
    for table, key in dict.fromkeys(keys):
        for value in VALUES:
            if key not in LONG or value not in (str(2**62), str(10**9), str(10**12)):
                yield BASE["train"].split(), f"# {table}.{key} = {value[:30]}\n" + _toml({(table, key): value})
    for value in VALUES:
        yield BASE["train"].split(), f"hamiltonian = {value}\n"
        yield BASE["train"].split(), f"supercells = {value}\n" + _toml({})
        yield BASE["train"].split(), value


class _TooLong(BaseException):
    pass


def _attempt(arguments: list[str], config: str) -> tuple[Any, str]:
    if config:
        Path("odd.toml").write_text(config)
        arguments = ["train", "odd.toml", *arguments[1:]]
    out, err = io.StringIO(), io.StringIO()

    def stop(*_: Any) -> None:
        raise _TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code: Any = run(arguments)
    except BaseException as error:
        return "raised", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        shutil.rmtree("run", ignore_errors=True)
        shutil.rmtree("out.nc.parts", ignore_errors=True)
    told = [line for line in err.getvalue().splitlines() if not line.startswith("arlattice: warning:")]
    one_line = code == 0 or (len(told) == 1 and re.match(r"arlattice: error: \S.* ?", told[0]) and len(told[0]) < 500)
    fault = code not in (0, 2) or not one_line
    return code, ("\\n".join(told) or "nothing told") if fault else ""


def _shown(arguments: list[str]) -> str:
    return " ".join(repr(a) if len(a) < 60 else repr(a[:57]) + "..." for a in arguments)


if __name__ == "__main__":
    main()
