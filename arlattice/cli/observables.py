"""``arlattice observables``."""

from __future__ import annotations

import click

from arlattice.cli.command import Command
from arlattice.cli.tables import json_option, print_table

__all__ = ["observables"]


@click.command(cls=Command)
@click.argument("name", required=False)
@json_option
def observables(name: str | None, as_json: bool) -> None:
    """List the observables; show the options of one.

    \b
    Examples:
      arlattice observables                        # all of them
      arlattice observables short_range_order      # the options of one
    """
    from arlattice.hooks.manager import default_manager
    from arlattice.hooks.options import describe_options

    registered = default_manager().observables
    if name is None:
        print_table([{"name": e.name, "plugin": e.plugin, "summary": e.summary} for e in registered], as_json)
    else:
        print_table(describe_options(registered[name].load_options()), as_json, "takes no options")
