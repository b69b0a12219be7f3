"""Tables of the models that draw blocks of sites, and of their Monte Carlo references: docs/results.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from pages import results
from pages.reading import ROOT, pair, read, source, table

__all__ = ["SECTIONS"]

MODELS = ("ising-16x16", "ising-32x32", "ising-64x64", "cuau-8x8x8")
MEASURED_BEFORE = ("ising-10x10", "cuau-4x4x4", "cuau-4x4x8")
REFERENCES = ("cuau-4x4x4", "cuau-8x8x8")
GOAL = "ising-64x64", 10_000
"""A model and the samples a second that it should draw."""


def evaluated(name: str) -> str:
    """One row a state and kind of plan: both ESS, both bounds, log Z beside what is known."""
    result = read(name)
    rows = [[*_where(r), r["order"], *_ess(r), *_bounds(r), *_log_z(r)] for r in result["states"]]
    head = ["T", "h" if "field" in result["states"][0] else "Delta mu", "plan", "q-ESS", "p-ESS", "gap, nats", "EUBO - ELBO"]
    beside = f"\n\nMonte Carlo beside it: `{result['beside']}`" if "beside" in result else ""
    return "\n\n".join([_figures(result), table([*head, "log Z", "known", "dev"], rows) + source(result) + beside])


def either(name: str) -> str:
    """`evaluated`, or the older table of a model that the program of today has not measured yet."""
    return evaluated(name) if "training" in read(name) else results.SECTIONS[name]()


def reference(name: str) -> str:
    """log Z by both ways, and what they differ by."""
    result = read(f"reference-{name}")
    rows = []
    for r in result["states"]:
        both = [(r[f"log_z_{way}"], r[f"log_z_{way}_error"]) for way in ("mbar", "annealing")]
        apart = (both[0][0] - both[1][0]) / math.hypot(both[0][1], both[1][1])
        rows.append([*_where(r), *(pair(*estimate) for estimate in both), f"{apart:+.1f}", pair(r["x_Au"], r["x_Au_error"])])
    return table(["T", "Delta mu", "log Z, replica exchange", "population annealing", "dev", "x_Au"], rows) + source(result)


def other_sizes() -> str:
    """Weights of one supercell on others, untrained."""
    result = read("other-sizes")
    rows = []
    for r in result["rows"]:
        cells = " x ".join(str(n) for n in r["supercell"] if n > 1)
        apart = pair(1e3 * r["eubo_minus_elbo_per_site"], 1e3 * r["error_per_site"])
        rows.append([r["model"], cells, str(r["sites"]), f"{r['temperature']:g}", apart, f"{r['ess']:.2f}"])
    head = ["weights of", "supercell", "sites", "T", "(EUBO - ELBO) / sites, 10^-3 nats", "q-ESS"]
    return table(head, rows) + source(result)


def parts() -> str:
    """The same seconds of training with more and smaller blocks."""
    result = read("parts")
    rows = [
        [str(r["parts"]), str(r["blocks"]), str(r["steps"]), f"{r['seconds']:.0f} s", f"{r['ess']:.3f}", f"{r['gap']:.3f}"]
        for r in result["rows"]
    ]
    return table(["parts", "blocks", "steps", "training", "ESS", "gap, nats"], rows) + source(result)


def block_errors() -> str:
    """What a model loses scale by scale, and by its network or by drawing many sites at once."""
    result = read("block-errors")
    scales = [[f"{r['cells']:,}", f"{r['known']:,}", pair(r["variance"], r["error"])] for r in result["scales"] if r["cells"]]
    classes = sorted({(r["class"], r["sites"]) for r in result["blocks"]})
    rows = []
    for number, sites in classes:
        own = [r for r in result["blocks"] if r["class"] == number]
        each = [
            f"{sum(r[kind] for r in own if r['site'] == site) / result['configurations']:.4f}"
            for kind in ("network", "block")
            for site in sorted({r["site"] for r in own})
        ]
        rows.append([str(number), str(sites), *each])
    count = (len(rows[0]) - 2) // 2
    head = ["class", "sites", *(f"{kind}, site {k}" for kind in ("network", "block") for k in range(1, count + 1))]
    words = "Variance of the log-weight among samples that share what is known before a scale:"
    losses = "Losses of the first block of every class and site of the finest scale, nats:"
    first = table(["cells of the scale", "sites known before it", "variance"], scales)
    return "\n\n".join([words, first, losses, table(head, rows) + source(result)])


def block_speed() -> str:
    """Samples a second in both precisions, and the goal beside the fastest of its model."""
    result = read("scale")
    rows = []
    for r in result["rows"]:
        ess = pair(r["ess"], r["ess_error"]) if "ess" in r else "-"
        share = "-" if r["device_share"] is None else f"{r['device_share']:.2f}"
        figures = [f"{r['samples_per_second']:,.0f}", share, ess, f"{r['recomputed_difference']:.0e}"]
        rows.append([f"`{r['model']}`", f"{r['sites']:,}", r["precision"], f"{r['n']:,}", *figures])
    head = ["model", "sites", "arithmetic", "samples", "samples/s, log_prob included", "device share", "q-ESS", "log_prob again, nats"]
    return "\n\n".join([table(head, rows) + source(result), _goal(result["rows"])])


def _goal(rows: list[dict[str, Any]]) -> str:
    name, goal = GOAL
    best = max((r for r in rows if r["model"] == name), key=lambda r: float(r["samples_per_second"]))
    rate = best["samples_per_second"]
    words = f"`{name}` draws {rate:,.0f} samples a second in {best['precision']}. The goal is {goal:,} samples a second:"
    return f"{words} it is {'reached' if rate >= goal else 'missed'}."


def block_growth() -> str:
    """How the time of a sample grows with the lattice."""
    result = read("scale")
    found = {(r["from"], r["to"], r["precision"]): r["exponent"] for r in result["growth"]}
    precisions = sorted({precision for *_, precision in found}, reverse=True)
    pairs = sorted({(few, many) for few, many, _ in found})
    rows = [[f"{few:,}", f"{many:,}", *(f"{found[few, many, precision]:.2f}" for precision in precisions)] for few, many in pairs]
    return table(["from sites", "to sites", *(f"exponent, {precision}" for precision in precisions)], rows) + source(result)


def block_training() -> str:
    """Seconds to an ESS, of both families on one lattice."""
    result = read("scale")
    until = result["until_ess"]
    rows = []
    for r in result["training"]:
        worst = r["worst_ess"]
        reached = "yes" if worst is not None and worst >= until else "no, the time was over"
        figures = [f"{r['seconds']:.0f} s", f"{r['steps']:,}", "-" if worst is None else f"{worst:.2f}"]
        rows.append([f"`{r['model']}`", f"`configs/{r['run_file']}`", *figures, reached])
    return table(["family", "options of", "training", "steps", "worst ESS seen last", f"{until:g} reached"], rows) + source(result)


def picture(name: str) -> str:
    """The picture of `benchmarks/phase_weights.py`, once it is there."""
    path = f"images/phase-weights-{name}.png"
    if not (ROOT / "docs" / path).is_file():
        raise FileNotFoundError(2, "not drawn", path)
    return f"![Weights of the phases of {name}, the model beside Monte Carlo]({path})"


def _figures(result: dict[str, Any]) -> str:
    """A sentence a kind of plan, and how the model was trained."""
    lines = []
    for order, f in result["figures"].items():
        words = f"mean gap {f['mean']:.3f}, worst {f['worst']:.3f} nats; q-ESS: median {f['median_ess']:.2f}, lowest {f['lowest_ess']:.2f}"
        if "lowest_p_ess" in f:
            states = f" of {f['p_ess_states']:.0f} states" if "p_ess_states" in f else ""
            words += f"; p-ESS{states}: median {f['median_p_ess']:.2f}, lowest {f['lowest_p_ess']:.2f}; lost modes: {f['lost_modes']:.0f}"
        lines.append(f"- {order}: {words}; {f['samples_per_second']:,.0f} samples/s with log_prob")
    trained = result["training"]
    seconds = f" in {trained['seconds']:,.0f} s, all commands together" if "seconds" in trained else ""
    return "\n".join([*lines, f"- trained: {trained['steps']:,} steps{seconds} ({trained['device']}), `{trained.get('command', '-')}`"])


def _where(row: dict[str, Any]) -> list[str]:
    if "field" in row:
        return [f"{row['temperature']:.3f}", f"{row['field']:g}"]
    return [f"{row['temperature']:g} K", f"{row['delta_mu']:g} eV"]


def _ess(row: dict[str, Any]) -> list[str]:
    known = [(row.get(name), row.get(f"{name}_error")) for name in ("ess", "p_ess")]
    return ["-" if ess is None else f"{ess:.2f}" if error is None else pair(ess, error) for ess, error in known]


def _bounds(row: dict[str, Any]) -> list[str]:
    """Gap, and EUBO - ELBO, with their errors; where no log Z is known the gap is to that of the weights."""
    gap = pair(row["gap"], row.get("gap_error", math.hypot(row["elbo_error"], row["log_z_error"])))
    apart = row.get("eubo_minus_elbo")
    return [gap, "-" if apart is None else pair(apart, math.hypot(row["elbo_error"], row["eubo_error"]))]


def _log_z(row: dict[str, Any]) -> list[str]:
    """log Z by the weights, what is known, and the difference in combined errors."""
    own = pair(row["log_z"], row["log_z_error"])
    known = row.get("exact_log_z", row.get("known_log_z"))
    if known is None:
        return [own, "-", "-"]
    error = row.get("known_log_z_error", 0.0)
    apart = (row["log_z"] - known) / math.hypot(row["log_z_error"], error)
    return [own, pair(known, error) if error else f"{known:.4f}", f"{apart:+.1f}"]


SECTIONS: dict[str, Callable[[], str]] = {
    **{name: partial(evaluated, name) for name in MODELS},
    **{name: partial(either, name) for name in MEASURED_BEFORE},
    **{f"reference-{name}": partial(reference, name) for name in REFERENCES},
    "other-sizes": other_sizes,
    "parts": parts,
    "block-errors": block_errors,
    "block-speed": block_speed,
    "block-growth": block_growth,
    "block-training": block_training,
    "phase-weights-cuau-8x8x8": partial(picture, "cuau-8x8x8"),
}
