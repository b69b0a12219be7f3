"""Medians and ratios of what was timed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["rate", "ratio", "with_figures"]


def rate(row: Mapping[str, Any]) -> dict[str, float]:
    """Units a second: median, lowest and highest of the repeats."""
    rates = [row["units"] / seconds for seconds in row["seconds"]]
    return {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}


def ratio(row: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How many times as fast as the other: the median over the rounds that both took part in."""
    mine, theirs = row["units"], other["units"]
    return statistics.median((mine / a) / (theirs / b) for a, b in zip(row["seconds"], other["seconds"], strict=False))


def with_figures(rows: Sequence[Mapping[str, Any]], ours: str) -> list[dict[str, Any]]:
    """Rows with ``per_second``; those of ``ours`` with the ``ratio`` to every other library in the case."""
    timed = {row["library"]: row for row in rows if row.get("seconds") and row["library"] != ours}
    done = []
    for row in rows:
        figures: dict[str, Any] = {**row}
        if row.get("seconds"):
            figures["per_second"] = rate(row)
            if row["library"] == ours and timed:
                figures["ratio"] = {name: ratio(row, other) for name, other in timed.items()}
        done.append(figures)
    return done
