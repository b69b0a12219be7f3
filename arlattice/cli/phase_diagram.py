"""``arlattice phase-diagram``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from arlattice.cli.command import Command, answer, note
from arlattice.cli.tables import json_option, print_facts, print_table
from arlattice.errors import InputError

if TYPE_CHECKING:
    from xarray import Dataset

    from arlattice.thermo.phase_diagram import Coexistence, Invariant

__all__ = ["phase_diagram"]


@click.command("phase-diagram", cls=Command)
@click.argument("sweep", metavar="SWEEP.nc")
@click.option("-o", "--output", required=True, metavar="PATH", help="The picture: a .png, .pdf or .svg file.")
@click.option("--shares", default="fcc_phase", show_default=True, metavar="NAME", help="Variable of the share of each phase.")
@click.option("--compositions", default="fcc_phase_x", show_default=True, metavar="NAME", help="Variable of the composition of each phase.")
@json_option
def phase_diagram(sweep: str, output: str, shares: str, compositions: str, as_json: bool) -> None:
    """Draw the phase diagram of a sweep: where two phases have equal weight.

    Prints every coexistence with the compositions of both phases, their errors and how many effective samples each has in the
    state beside where it has fewer; then congruent and three-phase points. A warning names the phases that no sample of the
    sweep is in: the diagram cannot show them.

    \b
    Examples:
      arlattice sweep cuau-4x4x4 --temperature 450:1250:17 --delta-mu=-0.2:0.2:41 \\
        --observable fcc_phase --observable fcc_phase_x -o sweep.nc
      arlattice phase-diagram sweep.nc -o cuau.png
    """
    from arlattice.io.phase_diagram_picture import draw_phase_diagram
    from arlattice.io.picture import check_picture
    from arlattice.reliability import missing_phase
    from arlattice.thermo.phase_diagram import coexistences, invariants, missing_phases

    check_picture(output)
    data = _read(sweep)
    found = coexistences(data, shares, compositions)
    if not found:
        raise InputError("SWEEP", sweep, "one phase leads everywhere; sweep lower temperatures or a wider range of Delta mu")
    temperatures = [float(t) for t in data["temperature"].values]
    points = invariants(found, temperatures)
    units = str(data["temperature"].attrs.get("units", "")), str(data["delta_mu"].attrs.get("units", ""))
    species = str(data["species"].values[-1]) if "species" in data else "B"
    draw_phase_diagram(output, found, points, temperatures, species=species, units=units)
    missing = missing_phases(data, shares)
    _print(found, points, _warnings(data), [str(missing_phase(missing))] if missing else [], as_json)
    note(f"written: {output}")


def _print(found: list[Coexistence], points: list[Invariant], of_sweep: list[str], of_diagram: list[str], as_json: bool) -> None:
    rows = [_row(c) for c in found]
    named = [{"point": p.kind, "phase": p.phase, "temperature": p.temperature, "delta_mu": p.delta_mu, "x": p.x} for p in points]
    if as_json:
        print_facts({"coexistences": rows, "invariants": named, "warnings": of_sweep + of_diagram}, as_json)
        return
    print_table(rows, as_json)
    answer()
    print_table(named, as_json, "no congruent or three-phase point between these temperatures")
    for text in (*(f"of the sweep: {text}" for text in of_sweep), *of_diagram):
        answer(f"warning: {text}")


def _row(c: Coexistence) -> dict[str, Any]:
    columns = {"phase": c.phases, "x": c.x, "effective": tuple(round(n) for n in c.effective)}
    ends = {f"{name}_{k + 1}": values[k] for k in (0, 1) for name, values in columns.items()}
    return {"temperature": c.temperature, "delta_mu": c.delta_mu, **ends, "note": "few samples" if c.few else None}


def _warnings(sweep: Dataset) -> list[str]:
    """What the sweep itself says against its states; sweeps of older versions say nothing."""
    return list(json.loads(str(sweep.attrs.get("warnings", "[]"))))


def _read(path: str) -> Dataset:
    import xarray

    from arlattice.io.header import reading
    from arlattice.io.netcdf import read_netcdf

    with reading(path, "SWEEP", "a sweep") as file:
        return xarray.decode_cf(read_netcdf(file, "SWEEP"))
