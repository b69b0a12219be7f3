"""docs/training.md: what runs reached."""

from __future__ import annotations

import itertools
import json
import re
import statistics
from collections.abc import Callable
from functools import partial
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


def automatic_training(file: str) -> str:
    """What runs without options reached, and in what time; with time limits, which runs they ended."""
    result = read(file)
    limited = any(r.get("time_limit") for r in result["systems"].values())
    rows = []
    for name, r in result["systems"].items():
        limit = [f"{r['time_limit']:g} s" if r["time_limit"] else "-"] if limited else []
        q, p = ([state[key] for state in r["states"]] for key in ("q_ess", "p_ess"))
        reached = [f"{min(q):.2f}", f"{min(p):.2f}", f"{statistics.mean(q):.3f}", str(sum(state["disagree"] for state in r["states"]))]
        rows.append([name, str(r["sites"]), *limit, f"{r['seconds']:.0f} s", f"{r['steps']:,}", *reached])
    heads = ["system", "sites", *(["time limit"] if limited else []), "training", "steps"]
    heads += ["worst q-ESS", "worst p-ESS", "mean q-ESS", "states that disagree"]
    return table(heads, rows) + (f"\n\n{_ended(result['systems'])}" if limited else "") + source(result)


def _ended(systems: dict[str, Any]) -> str:
    """Which runs the time limit ended, and which stopped by themselves.

    A run cut in the middle of a cycle has no reason of its own, and the file says "all steps were done": the steps tell.
    """
    steady = [name for name, r in systems.items() if r["stopped"].startswith("the ESS rose no more")]
    planned = {name: _planned(r["chosen"]) for name, r in systems.items() if name not in steady}
    cut = [f"{name} (step {systems[name]['steps']:,} of {steps:,})" for name, steps in planned.items() if systems[name]["steps"] < steps]
    words = [f"The time limit ended {len(cut)} of the {len(systems)} runs: {', '.join(cut)}."] if cut else []
    words += [f"The program stopped because the ESS rose no more: {', '.join(steady)}."] if steady else []
    return " ".join(words)


def _planned(chosen: list[str]) -> int:
    """Steps that were chosen as the most."""
    return next(int(found[1]) for line in chosen if (found := re.match(r"training\.steps = (\d+)", line)))


def several_gpus() -> str:
    """Configurations a second of several processes together."""
    result = read("several-gpus")
    rows = []
    for r in result["rows"]:
        figures = [f"{r['seconds_a_step']:.3f} s", f"{r['configurations_per_second']:,.0f}", f"{r['ratio']:.2f}"]
        rows.append([str(r["processes"]), str(r["batch_size"]), *figures])
    return table(["processes", "batch of each", "a step", "configurations/s, all together", "ratio"], rows) + source(result)


SECTIONS: dict[str, Callable[[], str]] = {
    "training": training,
    "automatic-training": partial(automatic_training, "automatic-training"),
    "automatic-training-cuda": partial(automatic_training, "automatic-training-cuda"),
    "several-gpus": several_gpus,
}
