"""``arlattice bench``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from arlattice.cli.command import Command, note
from arlattice.cli.parameters import seed_option
from arlattice.cli.tables import json_option, print_table
from arlattice.reliability import MIN_EFFECTIVE
from arlattice_bench.call import FIGURE, TABLES, Call

if TYPE_CHECKING:
    from arlattice_bench.job import Job
    from arlattice_bench.report import Line
    from arlattice_bench.settings import Settings
    from arlattice_bench.table import Table

__all__ = ["bench"]


@click.command(cls=Command)
@click.argument("name", metavar="|".join([*TABLES, FIGURE]))
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
def bench(**given: Any) -> None:
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
    call = Call(**given)
    table = call.table()
    settings, jobs = call.settings(table), call.jobs(table)
    if call.only_list:
        print_table([_progress(job, settings) for job in jobs], call.as_json)
    elif call.name == FIGURE:
        _draw(table, settings)
    else:
        _run(jobs, settings)
        _write(table, settings, call.as_json)


def _progress(job: Job, settings: Settings) -> dict[str, Any]:
    """How far a job is."""
    from arlattice_bench.run import steps_done

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
    from arlattice_bench.run import Unfinished, run

    for number, job in enumerate(jobs, 1):
        note(f"{number}/{len(jobs)} {settings.table} {job.system.name} {job.row}: {job.how}")
        try:
            run(job, settings)
        except Unfinished as stopped:
            note(f"  unfinished: {stopped}")


def _write(table: Table, settings: Settings, as_json: bool) -> None:
    from arlattice_bench.report import collect, lines, write

    results, stale = collect(table, settings)
    for name in stale:
        note(f"left out, made with other settings: {name}")
    found = lines(table, results, settings)
    paths = write(table, results, found, settings)
    costs = {(r["system"], r["row"]): r for r in results}
    print_table([_columns(line, costs[line.system, line.row]) for line in found], as_json, "no row is finished yet")
    note(f"written: {', '.join(map(str, paths))}")


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
    from arlattice_bench.figure_2 import draw
    from arlattice_bench.run import Unfinished

    try:
        for path in draw(table, settings):
            note(f"written: {path}")
    except Unfinished as stopped:
        note(f"unfinished: {stopped}")
