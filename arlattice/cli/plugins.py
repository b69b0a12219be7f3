"""``arlattice plugins``."""

from __future__ import annotations

import click

from arlattice.cli.command import Command
from arlattice.cli.tables import json_option, print_table

__all__ = ["plugins"]


@click.command(cls=Command)
@json_option
def plugins(as_json: bool) -> None:
    """List the plugins.

    Tells where each comes from, what it provides, and why one is not loaded.

    \b
    Examples:
      arlattice plugins
      arlattice -p my_plugin.py plugins          # with a plugin from a file
      arlattice -p no:icet plugins               # without the plugin icet
    """
    from dataclasses import asdict

    from arlattice.hooks.manager import default_manager

    print_table([asdict(info) for info in default_manager().plugins()], as_json, "no plugins")
