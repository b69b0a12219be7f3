"""docs/reproducing.md: the paper's tables."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from pages.reading import pair, read, source, table

__all__ = ["SECTIONS"]

ANY = ("coarse-to-fine", "random")
GOALS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...], float], ...] = (
    ("mam-ising", "10x10", "any-order-transformer", ("random",), ("K = 0.2, h = 0.2",), 0.02),
    ("paper-table-1", "10x10", "any-order-transformer", ("random",), ("T_c", "T = 2.0"), 0.02),
    ("paper-table-1", "10x10", "any-order-mlp", ANY, ("T_c", "T = 2.0"), 0.15),
    ("paper-table-1", "10x10", "any-order-mlp-energies", ANY, ("T_c", "T = 2.0"), 0.15),
    ("paper-table-1", "20x20", "any-order-transformer", ("random",), ("T_c", "T = 2.0"), 0.3),
    ("paper-table-1", "20x20", "any-order-transformer", ("coarse-to-fine",), ("T_c", "T = 2.0"), 0.1),
    ("paper-table-1", "20x20", "any-order-transformer-painted", ("raster", *ANY), ("T_c", "T = 2.0"), 1.0),
    ("paper-table-2", "2x2x4", "any-order-transformer", ANY, ("500 K", "680 K", "1200 K"), 0.03),
    ("paper-table-2", "4x4x8", "any-order-transformer", ANY, ("680 K", "1200 K"), 0.3),
)
"""Table, system, row, orders, conditions, and the gap that was asked."""


def paper_table(name: str) -> str:
    """One table of `arlattice bench`: the gap of every row at every condition, the paper's figure beside."""
    data = read(name)
    parts = [paper_system(data, system) for system in data["systems"]]
    return "\n\n".join([*parts, *left_over(data)])


def paper_system(data: dict[str, Any], system: dict[str, Any]) -> str:
    """Figures, and costs, of one system."""
    name, labels = system["system"], [c["condition"] for c in system["conditions"]]
    found = [line for line in data["lines"] if line["system"] == name]
    keys = list(dict.fromkeys((line["row"], line["how"], line["order"]) for line in found))
    cells = {(line["row"], line["order"], line["condition"]): line for line in found}
    published = {p["row"]: p for p in data["published"] if p["system"] == name and p["row"]}
    rows = [
        [f"{row} ({how})", order, *(gap_and_ess(cells.get((row, order, label))) for label in labels), printed(published.get(row))]
        for row, how, order in keys
    ]
    head = ["row", "order", *(f"{label}: gap, ESS" for label in labels), "published <log p - log f>"]
    parts = [f"**{name}**. {exact_log_z(system)}", table(head, rows), paper_costs(data, name)]
    return "\n\n".join(part for part in parts if part)


def exact_log_z(system: dict[str, Any]) -> str:
    """-log Z of every condition and where it is from."""
    words = []
    for condition in system["conditions"]:
        known = [s for s in condition["states"] if "log_z" in s]
        value = f"{-statistics.fmean(s['log_z'] for s in known):.4f}" if len(known) == len(condition["states"]) else "not known yet"
        words.append(f"{condition['condition']}: {value}")
    sources = {
        s["source"].split(" (")[0] for c in system["conditions"] for s in c["states"] if "source" in s and "annealing" not in s["source"]
    }
    return f"-log Z ({', '.join(sorted(sources)) or 'mean of population annealing and MBAR'}): {'; '.join(words)}."


def gap_and_ess(line: dict[str, Any] | None) -> str:
    """Gap in nats with its error, and ESS."""
    if line is None or line["loss"]["value"] is None:
        return "-"
    ess = "-" if line["ess"] is None else f"{line['ess']:.2f}"
    if line["gap"] is None:
        return f"<log p - log f> {pair(line['loss']['value'], line['loss']['error'])}, {ess}"
    return f"{pair(line['gap']['value'], line['gap']['error'])}, {ess}"


def printed(quoted: dict[str, Any] | None) -> str:
    """A published figure, or what its source says instead."""
    if quoted is None:
        return "-"
    return f"{quoted['value']:.2f} ({quoted['method']})" if quoted["value"] is not None else f"{quoted['note'] or '-'} ({quoted['method']})"


def paper_costs(data: dict[str, Any], system: str) -> str:
    """Parameters, training time and memory of the rows of a system."""
    rows = []
    for r in (r for r in data["rows"] if r["system"] == system):
        if "memory" in r:
            m = r["memory"]
            total = "-" if m["bytes"] is None else f"{m['bytes'] / 1e9:.3g} GB at batch {m['batch']}{' (extrapolated)' * m['extrapolated']}"
            rows.append([r["row"], "-", "not trained", f"{total}, {m['memory_of']}", r["device"]])
        else:
            cost = r["cost"]
            memory = f"{cost['peak_bytes'] / 1e9:.3g} GB, {cost['memory_of']}"
            rows.append([r["row"], f"{r['parameters']:,}", f"{cost['seconds']:.0f} s", memory, cost["device"]])
    return table(["row", "parameters", "training", "peak memory", "device"], rows) if rows else ""


def left_over(data: dict[str, Any]) -> list[str]:
    """Published figures that no row of ours repeats, and the command."""
    rest = [f"{p['method']}, {p['system']}: {p['value']:.2f}" for p in data["published"] if not p["row"] and p["value"] is not None]
    sources = sorted({p["source"] for p in data["published"]})
    quoted = [f"Published: {'; '.join(sources)}.{' Without a row here: ' + '; '.join(rest) + '.' if rest else ''}"] if sources else []
    seeds = sorted({r["specification"]["training"]["seed"] for r in data["rows"]})
    return [
        *quoted,
        f"`arlattice bench {data['table']}`; seeds {', '.join(map(str, seeds))}; every row's own command is in `{data['table']}.md`.",
    ]


def goals() -> str:
    """What was asked of single rows, and what they reach."""
    rows = []
    for name, system, row, orders, conditions, asked in GOALS:
        lines = {(line["order"], line["condition"]): line for line in read(name)["lines"] if (line["system"], line["row"]) == (system, row)}
        for condition, order in itertools.product(conditions, orders):
            gap = lines[order, condition]["gap"]
            rows.append([system, row, condition, order, f"{asked:g}", pair(**gap), "yes" if gap["value"] <= asked else "**no**"])
    return table(["system", "row", "state", "order", "gap asked", "gap", "met"], rows)


def paper_conditions() -> str:
    """The temperature at which the best published figure of a column would be the optimum, and what the others would be there."""
    from scipy.optimize import brentq

    from arlattice.thermo.exact import ising_torus_log_z

    data = read("paper-table-1")
    lengths = {system["system"]: int(system["system"].split("x")[0]) for system in data["systems"]}
    best = {name: min(p["value"] for p in data["published"] if p["system"] == name and p["value"] is not None) for name in lengths}
    rows = []
    for name, length in lengths.items():
        temperature = brentq(lambda t, length=length, name=name: ising_torus_log_z(length, 1 / t) + best[name], 0.5, 4.0)
        optima = [f"{-ising_torus_log_z(other, 1 / temperature):.2f} ({best[key]:.2f})" for key, other in lengths.items()]
        rows.append([name, f"{temperature:.4f}", *optima])
    return table(["optimum of", "at T", *(f"{name}: -log Z (published)" for name in lengths)], rows)


def lost() -> str:
    """Rows of table 1 more than half a nat off at T = 2.0: a magnetisation lost (share of up), or nothing learned (coin tosses)."""
    data = read("paper-table-1")
    rows = []
    for r in data["rows"]:
        exact = {s["system"]: s["conditions"][1]["states"][0]["log_z"] for s in data["systems"]}[r["system"]]
        uniform = -math.prod(map(int, r["system"].split("x"))) * math.log(2)
        for entry in (e for e in r.get("conditions", []) if e["condition"] == "T = 2.0"):
            (state,) = entry["states"]
            if exact - state["elbo"] > 0.5:
                figures = [f"{state['composition']['up']:.2f}", f"{-state['elbo']:.1f}", f"{uniform:.1f}", f"{state['log_z'] - exact:+.2f}"]
                rows.append([r["system"], r["row"], entry["order"], *figures])
    head = ["system", "row", "order", "share of up", "<log p - log f>", "the same of coin tosses", "log Z by weights - exact"]
    return table(head, rows)


def figure_2() -> str:
    """The picture of `arlattice bench figure-2`, and its command."""
    return "![Scores, free energies and samples](../benchmarks/results/figure-2.png)" + source(read("figure-2"))


SECTIONS: dict[str, Callable[[], str]] = {
    "paper-table-1": partial(paper_table, "paper-table-1"),
    "paper-table-2": partial(paper_table, "paper-table-2"),
    "mam-ising": partial(paper_table, "mam-ising"),
    "goals": goals,
    "paper-conditions": paper_conditions,
    "lost": lost,
    "figure-2": figure_2,
}
