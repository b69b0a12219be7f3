"""What the benchmarks left, and the pieces that pages are written with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["PRETRAINED", "RESULTS", "ROOT", "lowest_ess", "pair", "read", "source", "table"]

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PRETRAINED = ROOT / "arlattice" / "pretrained"


def read(name: str) -> Any:
    """One file of benchmarks/results/."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def lowest_ess(result: dict[str, Any], order: str) -> float:
    """Over the states of one kind of order."""
    return min(float(r["ess"]) for r in result["states"] if r["order"] == order)


def pair(value: float, error: float) -> str:
    """Value and standard error with two digits of the error; exact zeros as they are."""
    decimals = 1 - math.floor(math.log10(error)) if error > 0 else 0
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def source(result: dict[str, Any]) -> str:
    """Command and device under a table."""
    return f"\n\n`{result['command']}` ({result['device']}, torch {result['torch']})"
