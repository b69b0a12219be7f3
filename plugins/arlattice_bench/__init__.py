"""The tables of the paper as programs: each row is a model that is trained or painted, then measured against exact references.

`table` is what a table is made of, `recipes` how its rows are trained, `paper_table_1` and the like what is in them;
`run` does one row of one system, `report` puts the rows together, `command` is ``arlattice bench``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import arlattice as arl

if TYPE_CHECKING:
    import click

__all__: list[str] = []


@arl.hookimpl
def arlattice_register_commands(cli: click.Group) -> None:
    """Add ``arlattice bench``."""
    from arlattice_bench.command import bench

    cli.add_command(bench)
