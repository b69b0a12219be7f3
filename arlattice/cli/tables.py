"""Tables on standard output: aligned text, or JSON with ``--json``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from arlattice.cli.command import answer
from arlattice.estimate import Estimate

__all__ = ["json_option", "noted", "print_facts", "print_table"]

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
"""The ``--json`` flag, argument ``as_json`` of the command."""


def print_table(rows: Sequence[Mapping[str, Any]], as_json: bool, empty: str = "nothing") -> None:
    """Print rows that share their keys: a column a key, or a JSON list of objects."""
    if as_json:
        answer(json.dumps([_plain(row) for row in rows], indent=2))
        return
    if not rows:
        answer(empty)
        return
    cells = [[key.replace("_", " ") for key in rows[0]], *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells:
        answer("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print one line a fact, or one JSON object."""
    if as_json:
        answer(json.dumps(_plain(facts), indent=2))
        return
    width = max(map(len, facts), default=0)
    for key, value in facts.items():
        answer(f"{key.replace('_', ' ').ljust(width)}  {_text(value)}".rstrip())


def noted(warnings: Iterable[str], as_json: bool) -> dict[str, Any]:
    """Warnings as a fact that stands with the numbers: a list in JSON; in text one line each, none if there are none."""
    found = list(warnings)
    return {"warnings": found} if as_json else {f"warning {k}" if len(found) > 1 else "warning": text for k, text in enumerate(found, 1)}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Estimate):
        return str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(map(_text, value))
        return text if all(isinstance(item, str) for item in value) else f"[{text}]"
    return str(value)


def _plain(value: Any) -> Any:
    """JSON-able data; numbers that are not finite become null, as JSON has none."""
    if isinstance(value, Estimate):
        return {"value": _plain(value.value), "error": _plain(value.error)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)
