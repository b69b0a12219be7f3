"""``arlattice plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from arlattice.cli.command import Command
from arlattice.cli.tables import json_option, print_table

if TYPE_CHECKING:
    from arlattice.hooks.plugin_info import PluginInfo

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

    found = default_manager().plugins()
    print_table([asdict(info) for info in found] if as_json else [row for info in found for row in _rows(info)], as_json, "no plugins")


def _rows(info: PluginInfo) -> list[dict[str, Any]]:
    """A line for each kind of things that a plugin provides; the first says where it comes from."""
    provided = [(kind, names) for kind, names in vars(info).items() if isinstance(names, tuple) and names] or [("", ())]
    head = {"name": info.name, "source": info.source, "status": info.status}
    return [{**(head if k == 0 else dict.fromkeys(head, "")), "provides": kind, "names": names} for k, (kind, names) in enumerate(provided)]
