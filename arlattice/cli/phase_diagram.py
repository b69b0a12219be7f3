"""``arlattice phase-diagram``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arlattice.cli.command import Command, answer
from arlattice.cli.tables import json_option, print_facts, print_table
from arlattice.errors import InputError

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["phase_diagram"]


@click.command("phase-diagram", cls=Command)
@click.argument("sweep", metavar="SWEEP.nc")
@click.option("-o", "--output", required=True, metavar="PATH", help="The picture: a .png, .pdf or .svg file.")
@click.option("--shares", default="fcc_phase", show_default=True, metavar="NAME", help="Variable of the share of each phase.")
@click.option("--compositions", default="fcc_phase_x", show_default=True, metavar="NAME", help="Variable of the composition of each phase.")
@json_option
def phase_diagram(sweep: str, output: str, shares: str, compositions: str, as_json: bool) -> None:
    """Draw the phase diagram of a sweep: where two phases have equal weight.

    Prints every coexistence with the compositions of both phases and their errors, then congruent and three-phase points.

    \b
    Examples:
      arlattice sweep cuau-4x4x4 --temperature 450:1250:17 --delta-mu=-0.2:0.2:41 \\
        --observable fcc_phase --observable fcc_phase_x -o sweep.nc
      arlattice phase-diagram sweep.nc -o cuau.png
    """
    from arlattice.io.phase_diagram_picture import draw_phase_diagram
    from arlattice.io.picture import check_picture
    from arlattice.thermo.phase_diagram import coexistences, invariants

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
    rows = [
        {"temperature": c.temperature, "delta_mu": c.delta_mu, "phase_1": c.phases[0], "x_1": c.x[0], "phase_2": c.phases[1], "x_2": c.x[1]}
        for c in found
    ]
    named = [{"point": p.kind, "phase": p.phase, "temperature": p.temperature, "delta_mu": p.delta_mu, "x": p.x} for p in points]
    if as_json:
        print_facts({"coexistences": rows, "invariants": named}, as_json)
    else:
        print_table(rows, as_json)
        answer()
        print_table(named, as_json, "no congruent or three-phase point between these temperatures")
    click.echo(f"written: {output}", err=True)


def _read(path: str) -> Dataset:
    import xarray

    if not Path(path).is_file():
        raise InputError("SWEEP", path, "no such file")
    try:
        return xarray.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise InputError("SWEEP", path, f"is not netCDF: {' '.join(str(error).split())[:100]}") from None
