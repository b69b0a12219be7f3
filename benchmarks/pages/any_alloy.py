"""docs/any-alloy.md: alloys that the model of any alloy was not trained on."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from typing import Any

from pages.reading import read, source, table

__all__ = ["SECTIONS"]

GOALS = {"median": 0.9, "tenth percentile": 0.5}
_RANGES = (0.0, 1.75, 2.5, 4.0, 12.5)
"""Of temperatures, in units of the energy deviation of an alloy."""


def held_out() -> str:
    """ESS of random alloys, all and by temperature."""
    result = read("any-alloy")
    every = result["held_out"]
    rows = [_row("all", every)]
    for low, high in itertools.pairwise(_RANGES):
        some = [row for row in every if low <= row["temperature"] < high]
        if some:
            rows.append(_row(f"{max(low, min(r['temperature'] for r in every)):.2f} to {min(high, 12):.2f}", some))
    found = {"median": statistics.median(r["ess"] for r in every), "tenth percentile": _tenth(every)}
    told = "; ".join(f"{name} {found[name]:.2f}, goal {goal}: {'met' if found[name] >= goal else 'missed'}" for name, goal in GOALS.items())
    made = result["training"]
    after = f"Trained {made['steps']:,} steps in {made['seconds']:.0f} s on one {made['device']}. Of all held-out alloys: {told}."
    heads = ["temperature (units of the prior)", "alloys", "median ESS", "tenth percentile", "worst", "median gap (nats)"]
    return table(heads, rows) + f"\n\n{after} {result['samples']} samples in each state." + source(result)


def _tenth(rows: list[dict[str, float]]) -> float:
    ess: float = sorted(row["ess"] for row in rows)[len(rows) // 10]
    return ess


def _row(name: str, rows: list[dict[str, float]]) -> list[str]:
    ess = [row["ess"] for row in rows]
    gap = statistics.median(row["gap"] for row in rows)
    return [name, str(len(rows)), f"{statistics.median(ess):.2f}", f"{_tenth(rows):.2f}", f"{min(ess):.2f}", f"{gap:.3f}"]


def published() -> str:
    """ESS of published expansions, a table each."""
    return "\n\n".join(_grid(name, rows) for name, rows in read("any-alloy")["alloys"].items())


def _grid(name: str, rows: list[dict[str, Any]]) -> str:
    """Temperatures down, chemical potentials across."""
    mus = sorted({row["mu"] for row in rows})
    ess = {(row["temperature"], row["mu"]): row["ess"] for row in rows}
    lines = [[f"{t:.0f} K", *(f"{ess[t, mu]:.2f}" for mu in mus)] for t in sorted({row["temperature"] for row in rows})]
    return table([f"{name}, Delta mu", *(f"{mu:+.1f} eV" for mu in mus)], lines)


SECTIONS: dict[str, Callable[[], str]] = {"any-alloy": held_out, "any-alloy-published": published}
