"""``arlattice bench``."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arlattice.arguments import finite_number
from arlattice.cli.command import Command
from arlattice.cli.parameters import read_assignments, seed_option
from arlattice.cli.tables import json_option, print_table
from arlattice.errors import InputError
from arlattice.reliability import MIN_EFFECTIVE

if TYPE_CHECKING:
    import torch

    from arlattice.bench.job import Job
    from arlattice.bench.recipes import Recipe
    from arlattice.bench.report import Line
    from arlattice.bench.settings import Settings
    from arlattice.bench.table import Table

__all__ = ["TABLES", "bench"]

TABLES = {
    "paper-table-1": "arlattice.bench.paper_table_1",
    "paper-table-2": "arlattice.bench.paper_table_2",
    "mam-ising": "arlattice.bench.mam_ising",
}
"""Modules of the tables by name."""


@click.command(cls=Command)
@click.argument("name", metavar="|".join([*TABLES, "figure-2"]))
@click.option("--small", is_flag=True, help="Small systems and short training: minutes on a CPU.")
@click.option("--rows", default="", metavar="ROW,...", help="Only these rows.")
@click.option("--systems", default="", metavar="SYSTEM,...", help="Only these systems.")
@click.option("--list", "only_list", is_flag=True, help="List the jobs and how far they are; run nothing.")
@click.option("--model", metavar="NAME", help="Add a row with this registered model; without --rows, run that row only.")
@click.option("--set", "options", multiple=True, metavar="OPTION=VALUE", help="Option of --model. May be repeated.")
@click.option("--objective", default="forward", show_default=True, metavar="NAME", help="Objective of --model.")
@click.option("--label", metavar="TEXT", help="Name of the added row, if not that of the model.")
@click.option("--training", multiple=True, metavar="OPTION=VALUE", help="Training option of every row. May be repeated.")
@click.option("--runs", default="runs/bench", show_default=True, metavar="DIR", help="Where run folders are.")
@click.option("-o", "--output", "results", default="benchmarks/results", show_default=True, metavar="DIR", help="Where tables go.")
@click.option("--hamiltonians", metavar="DIR", help="Compiled Hamiltonians, e.g. cuau-2x2x4.safetensors, used where they are.")
@click.option("--samples", type=click.IntRange(min=2), help="Configurations per condition and order; by default 4096, 256 with --small.")
@seed_option
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="Stop training a row after so long; the same command goes on.",
)
@click.option("--device", help="cpu, cuda or cuda:1; by default a GPU if there is one.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
@json_option
def bench(
    name: str,
    small: bool,
    rows: str,
    systems: str,
    only_list: bool,
    model: str | None,
    options: tuple[str, ...],
    objective: str,
    label: str | None,
    training: tuple[str, ...],
    runs: str,
    results: str,
    hamiltonians: str | None,
    samples: int | None,
    seed: int | None,
    time_limit: float | None,
    device: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train, or load, every row of a table of the paper and measure it.

    Prints <log p - log f>, its error, the reference -log Z, the gap between them, how far log Z from the weights is off (a lost
    mode shows there) and ESS, and writes DIR/NAME.json and DIR/NAME.md
    with wall times, memory, devices, versions and commands. Rows that were run before are loaded, unfinished ones go on;
    several processes can share a table by --rows and --systems. figure-2 draws NAME.png from the models of paper-table-1.

    \b
    Examples:
      arlattice bench paper-table-1 --small
      arlattice bench paper-table-1 --rows any-order-transformer --systems 10x10,20x20 --device cuda
      arlattice bench paper-table-2 --hamiltonians compiled --time-limit 500
      arlattice -p my_model.py bench mam-ising --model my-model --set width=64
      arlattice bench figure-2 --small
    """
    from arlattice.bench.settings import Settings

    if name == "figure-2" and (rows or systems or model):
        argument = "--rows" if rows else "--systems" if systems else "--model"
        raise InputError(argument, rows or systems or model, "figure-2 has its own rows")
    table = _table(name, small, training)
    if model is not None:
        table = table.adding(_recipe(model, options, objective, label))
    elif options or label:
        raise InputError("--set" if options else "--label", (*options, label)[0], "belongs to --model; name the model of your row")
    settings = Settings(
        table=table.name,
        runs=Path(runs),
        results=Path(results),
        hamiltonians=_folder(hamiltonians),
        device=_device(device),
        seed=seed,
        samples=samples or (256 if small else 4096),
        time_limit=None if time_limit is None else finite_number("--time-limit", time_limit, 0),
        progress=not quiet,
        plugins=_plugins(),
        arguments=_shown(("--training", text) for text in training),
    )
    wanted = _words(rows) or ([] if model is None else [label or model])
    jobs = table.select(wanted, _words(systems))
    if only_list:
        print_table([_progress(job, settings) for job in jobs], as_json)
    elif name == "figure-2":
        _draw(table, settings)
    else:
        _run(jobs, settings)
        _write(table, settings, as_json)


def _table(name: str, small: bool, training: tuple[str, ...]) -> Table:
    from arlattice.hooks.options import suggestion
    from arlattice.training.config import TrainingOptions

    known = [*TABLES, "figure-2"]
    if name not in known:
        raise InputError("name", name, f"not a table{suggestion(name, known)}")
    values = read_assignments("--training", training)
    TrainingOptions.parse(values, "--training")
    table: Table = importlib.import_module(TABLES.get(name, TABLES["paper-table-1"])).table(small)
    return table.training_with(values)


def _recipe(model: str, options: tuple[str, ...], objective: str, label: str | None) -> Recipe:
    """The row that the user adds; unknown names are refused here, before anything runs."""
    from arlattice.bench.recipes import Recipe
    from arlattice.hooks.manager import default_manager

    if label and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", label):
        raise InputError("--label", label, "use letters, digits and any of _ . + -")
    values = read_assignments("--set", options)
    default_manager().models[model].parse_options(values, "--set", by_hand=True)
    default_manager().objectives[objective].load_factory()
    named = [("--model", model), *(("--set", text) for text in options), ("--objective", objective)]
    return Recipe(label or model, model, objective, values, _shown(named + ([("--label", label)] if label else [])))


def _shown(pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{option} {shlex.quote(text)}" for option, text in pairs)


def _plugins() -> str:
    """The ``-p`` options of this call."""
    parent = click.get_current_context().parent
    return _shown(("-p", text) for text in (parent.params.get("plugin") or () if parent else ()))


def _folder(path: str | None) -> Path | None:
    if path is not None and not Path(path).is_dir():
        raise InputError("--hamiltonians", path, "no such folder")
    return None if path is None else Path(path)


def _device(name: str | None) -> torch.device:
    import torch

    from arlattice.device import check_device

    return check_device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _progress(job: Job, settings: Settings) -> dict[str, Any]:
    """How far a job is."""
    from arlattice.bench.run import steps_done

    asked = job.training.get("steps")
    return {
        "system": job.system.name,
        "row": job.row,
        "how": job.how,
        "objective": job.training.get("objective"),
        "steps": f"{steps_done(job, settings)}/{asked}" if job.kind == "trained" else None,
        "measured": (settings.folder(job) / "result.json").is_file(),
    }


def _run(jobs: Sequence[Job], settings: Settings) -> None:
    from arlattice.bench.run import Unfinished, run

    for number, job in enumerate(jobs, 1):
        click.echo(f"{number}/{len(jobs)} {settings.table} {job.system.name} {job.row}: {job.how}", err=True)
        try:
            run(job, settings)
        except Unfinished as stopped:
            click.echo(f"  unfinished: {stopped}", err=True)


def _write(table: Table, settings: Settings, as_json: bool) -> None:
    from arlattice.bench.report import collect, lines, write

    results, stale = collect(table, settings)
    for name in stale:
        click.echo(f"left out, made with other settings: {name}", err=True)
    found = lines(table, results, settings)
    paths = write(table, results, found, settings)
    costs = {(r["system"], r["row"]): r for r in results}
    print_table([_columns(line, costs[line.system, line.row]) for line in found], as_json, "no row is finished yet")
    click.echo(f"written: {', '.join(map(str, paths))}", err=True)


def _columns(line: Line, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "system": line.system,
        "row": line.row,
        "how": line.how,
        "order": line.order,
        "condition": line.condition,
        "log_p_-_log_f": line.loss,
        "-log_Z": line.minus_log_z.value if line.minus_log_z and line.minus_log_z.error == 0 else line.minus_log_z,
        "gap": line.gap,
        "log_Z_by_weights": line.log_z_error,
        "ESS": line.ess,
        "train_s": result["cost"]["seconds"],
        "peak_GB": result["cost"]["peak_bytes"] / 1e9,
        "parameters": result["parameters"],
        "note": None if line.fewest >= MIN_EFFECTIVE else f"log Z not to be trusted: {line.fewest:.0f} effective samples in a state",
    }


def _draw(table: Table, settings: Settings) -> None:
    from arlattice.bench.figure_2 import draw
    from arlattice.bench.run import Unfinished

    try:
        for path in draw(table, settings):
            click.echo(f"written: {path}", err=True)
    except Unfinished as stopped:
        click.echo(f"unfinished: {stopped}", err=True)
