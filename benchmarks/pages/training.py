"""docs/training.md: what runs reached, and rows of the tables before and now."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Callable
from typing import Any

from pages.reading import RESULTS, pair, read, table

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


def monte_carlo_rows() -> str:
    """Gaps of rows trained by forward KL beside those of the tables now, same network size."""
    return before_and_now(lambda training: training["objective"] not in FROM_ENERGIES, ("coarse-to-fine", "random"))


def energy_rows() -> str:
    """Gaps of rows trained from energies alone as they were beside those of the tables now."""
    return before_and_now(lambda training: training["objective"] in FROM_ENERGIES, ("random",))


def before_and_now(wanted: Callable[[dict[str, Any]], bool], orders: tuple[str, ...]) -> str:
    """Every file of results/before/, an earlier result of a row, beside that of the tables."""
    rows = []
    for path in sorted((RESULTS / "before").glob("*.json")):
        name, system, row = path.stem.split(".")
        old = json.loads(path.read_text(encoding="utf-8"))
        new = {r["row"]: r for r in read(name)["rows"] if r["system"] == system}[row]
        before_now = [r["specification"]["training"] for r in (old, new)]
        if not wanted(before_now[0]):
            continue
        trained = [system, row, *(" to ".join(dict.fromkeys(map(say, before_now))) for say in (_steps, _batch, _objective))]
        now = {(line["order"], line["condition"]): line for line in read(name)["lines"] if (line["system"], line["row"]) == (system, row)}
        for entry in (e for e in old["conditions"] if e["order"] in orders):
            line, states = now[entry["order"], entry["condition"]], entry["states"]
            loss = -statistics.fmean(s["elbo"] for s in states)
            error = math.hypot(*(s["elbo_error"] for s in states)) / len(states)
            before = pair(loss - line["minus_log_z"]["value"], error)
            rows.append([*trained, entry["condition"], entry["order"], before, pair(**line["gap"])])
    return table(["system", "row", "steps", "batch", "objective", "state", "order", "gap before", "gap now"], rows)


def _batch(training: dict[str, Any]) -> str:
    """Configurations a step; from energies alone, states x configurations of each."""
    if training["objective"] in FROM_ENERGIES:
        return f"{training['reverse_states']} x {training['reverse_samples']}"
    return str(training["batch_size"])


def _steps(training: dict[str, Any]) -> str:
    return f"{training['steps']:,}"


def _objective(training: dict[str, Any]) -> str:
    priority = f", priority {training['priority']}" if training.get("priority") else ""
    return training["objective"] + priority


SECTIONS: dict[str, Callable[[], str]] = {
    "training": training,
    "monte-carlo-rows": monte_carlo_rows,
    "energy-rows": energy_rows,
}
