"""``arlattice models``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arlattice.cli.command import Command
from arlattice.cli.tables import json_option, print_facts, print_table

__all__ = ["models"]


@click.command(cls=Command)
@click.argument("name", required=False)
@json_option
def models(name: str | None, as_json: bool) -> None:
    """List the models; show one.

    Trained models ship with arlattice; families can be trained. Of a trained model, shipped or in a folder, the
    record is shown: how it was made, what it measured, and the range of states that it was trained for.

    \b
    Examples:
      arlattice models                           # all of them
      arlattice models cuau-4x4x4                # how a shipped model was trained, and its measured figures
      arlattice models run                       # the same of one of your own
      arlattice models any-order-transformer     # the options of a family
    """
    from arlattice.hooks.manager import default_manager
    from arlattice.hooks.options import describe_options
    from arlattice.models.checkpoint import shipped_models

    families = default_manager().models
    if name is None:
        print_table([*_shipped(), *_families()], as_json)
    elif name in shipped_models() or Path(name).is_dir():
        print_facts(_record(name, as_json), as_json)
    else:
        print_table(describe_options(families[name].load_options()), as_json, "takes no options")


def _record(name: str, as_json: bool) -> dict[str, Any]:
    """The record of a trained model; in text the trained range is in words."""
    from arlattice.models.checkpoint import read_record
    from arlattice.models.trained_range import KEY, TrainedRange

    record = read_record(name)
    return record if as_json else record | {KEY: str(TrainedRange.from_record(record) or "not recorded")}


def _shipped() -> list[dict[str, Any]]:
    from arlattice.models.checkpoint import read_record, shipped_models

    return [
        {"name": name, "kind": "trained", "plugin": "arlattice", "summary": read_record(name).get("summary", "")}
        for name in shipped_models()
    ]


def _families() -> list[dict[str, Any]]:
    from arlattice.hooks.manager import default_manager

    return [{"name": e.name, "kind": "family", "plugin": e.plugin, "summary": e.summary} for e in default_manager().models]
