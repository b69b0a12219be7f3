"""docs/design.md: figures of the source itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pages.reading import read, table

__all__ = ["SECTIONS", "structure_table"]


def structure_table(result: Mapping[str, Any]) -> str:
    """One column a revision."""
    revisions = result["revisions"]
    rows: dict[str, Callable[[Any], str]] = {
        "modules, lines": lambda r: f"{r['files']}, {r['lines']:,}",
        "files over 300 lines": lambda r: _counted(r["long_files"]),
        "functions over 45 lines": lambda r: str(r["long_functions"]),
        "longest functions": lambda r: "<br>".join(f"`{_short(name)}` {n}" for name, n in r["longest_functions"].items()),
        "floors of the package graph": lambda r: str(r["floors"]),
        "circles of packages": lambda r: _listed(r["cycles_of_packages"]),
        "circles of modules": lambda r: str(len(r["cycles_of_modules"])),
        "back arrows, inside functions too": lambda r: _arrows(r["back_arrows"]),
        "private methods overridden": lambda r: str(len(r["private_overrides"])),
    }
    head = ["", *(f"`{name}`" if name == r["commit"] else f"`{name}` ({r['commit']})" for name, r in revisions.items())]
    return table(head, [[name, *(cell(r) for r in revisions.values())] for name, cell in rows.items()]) + f"\n\n`{result['command']}`"


def _counted(files: Mapping[str, int]) -> str:
    return "<br>".join([str(len(files)), *(f"`{name}` {n}" for name, n in files.items())])


def _listed(items: list[str]) -> str:
    return "<br>".join([str(len(items)), *items])


def _arrows(told: list[str]) -> str:
    """Number of arrows, and what rules they break how often."""
    kinds = Counter(line.split(": ", 1)[1] for line in told)
    return _listed([f"{kind}: {n}" for kind, n in kinds.most_common()]).replace(str(len(kinds)), str(len(told)), 1)


def _short(name: str) -> str:
    return name.removeprefix("arlattice.")


SECTIONS: dict[str, Callable[[], str]] = {"structure": lambda: structure_table(read("structure"))}
