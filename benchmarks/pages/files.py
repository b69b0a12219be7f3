"""docs/files.md: damaged files and killed writers."""

from __future__ import annotations

from collections.abc import Callable

from pages.reading import read, source, table

__all__ = ["SECTIONS"]


def damage() -> str:
    """What became of damaged files, by format."""
    result = read("damage")
    rows = [[name, f"{sum(counts.values()):,}", *(f"{n:,}" for n in counts.values())] for name, counts in result["formats"].items()]
    totals = [sum(counts[fate] for counts in result["formats"].values()) for fate in next(iter(result["formats"].values()))]
    rows.append(["**all**", f"{sum(totals):,}", *(f"{n:,}" for n in totals)])
    heads = ["file", "damaged", "refused", "read as unchecked", "content unchanged", "silent", "broken"]
    return table(heads, rows) + source(result)


def kills() -> str:
    """What killed writers left."""
    result = read("kills")
    rows = [[name, str(row["kills"]), str(row["left"]), str(row["faults"])] for name, row in result["victims"].items()]
    return table(["what was killed", "kills", "left half-written", "faults"], rows) + source(result)


SECTIONS: dict[str, Callable[[], str]] = {"damage": damage, "kills": kills}
