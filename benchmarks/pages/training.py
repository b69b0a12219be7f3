"""docs/training.md: what runs reached."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable
from typing import Any

from pages.reading import RESULTS, read, source, table

__all__ = ["SECTIONS"]

FROM_ENERGIES = ("reverse", "mam")


def training() -> str:
    """What every training run reached, from its metrics."""
    rows = []
    for path in sorted((RESULTS / "training").glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        options = json.loads(path.with_suffix(".config.json").read_text(encoding="utf-8"))["training"]
        last, per_step = lines[-1], seconds_per_step(lines)
        spent = [f"{last['step']:,}", _batch(options), f"{1000 * per_step:.0f} ms", f"{per_step * last['step']:.0f} s"]
        reached = [f"{last[key]:.3f}" for key in ("ess", "worst_ess")]
        rows.append([path.stem, _objective(options), *spent, f"{last['gap']:.4f}", f"{last['worst_gap']:.3f}", *reached])
    return table(["run", "objective", "steps", "batch", "a step", "steps x a step", "mean gap", "worst", "mean ESS", "worst"], rows)


def seconds_per_step(lines: list[dict[str, float]]) -> float:
    """Median over the evaluations; the clock of a resumed run starts again, those differences are left out."""
    pairs = itertools.pairwise(lines)
    return statistics.median((b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) for a, b in pairs if b["seconds"] > a["seconds"])


def _batch(training: dict[str, Any]) -> str:
    """Configurations a step; from energies alone, states x configurations of each."""
    if training["objective"] in FROM_ENERGIES:
        return f"{training['reverse_states']} x {training['reverse_samples']}"
    return str(training["batch_size"])


def _objective(training: dict[str, Any]) -> str:
    priority = f", priority {training['priority']}" if training.get("priority") else ""
    return training["objective"] + priority


def automatic_training() -> str:
    """What runs without options reached, and in what time."""
    result = read("automatic-training")
    rows = []
    for name, r in result["systems"].items():
        q, p = ([state[key] for state in r["states"]] for key in ("q_ess", "p_ess"))
        reached = [f"{min(q):.2f}", f"{min(p):.2f}", f"{statistics.mean(q):.3f}", str(sum(state["disagree"] for state in r["states"]))]
        rows.append([name, str(r["sites"]), f"{r['seconds']:.0f} s", f"{r['steps']:,}", *reached])
    heads = ["system", "sites", "training", "steps", "worst q-ESS", "worst p-ESS", "mean q-ESS", "states that disagree"]
    return table(heads, rows) + source(result)


SECTIONS: dict[str, Callable[[], str]] = {
    "training": training,
    "automatic-training": automatic_training,
}
