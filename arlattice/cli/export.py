"""``arlattice export``."""

from __future__ import annotations

import click

from arlattice.cli.command import Command, answer
from arlattice.cli.parameters import output_options

__all__ = ["export"]


@click.command(cls=Command)
@click.argument("samples", metavar="SAMPLES")
@click.argument("output", metavar="OUTPUT")
@output_options
def export(samples: str, output: str, file_format: str | None, vacancies: str) -> None:
    """Convert samples to another format.

    Weights and origin go along.

    SAMPLES is a file that `arlattice sample` wrote (extxyz, netCDF, ase.db).

    \b
    Examples:
      arlattice export out.extxyz out.nc
      arlattice export out.nc structures --format cif
      arlattice export out.nc poscars --format poscar --vacancies X
    """
    from arlattice.io.formats import check_target
    from arlattice.samples import SampleSet

    check_target(output, file_format)
    read = SampleSet.read(samples)
    read.write(output, format=file_format, vacancies=vacancies)
    answer(f"{read.n} samples: {output}")
