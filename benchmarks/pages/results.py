"""docs/results.md, and the tables of the README and of the shipped models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from pages.reading import PRETRAINED, ROOT, lowest_ess, pair, read, source, table

__all__ = ["SECTIONS"]


def demo() -> str:
    """What `make demo` printed, from docs/demo.txt, without the list of files."""
    paragraphs = (ROOT / "docs" / "demo.txt").read_text(encoding="utf-8").strip().split("\n\n")
    kept = [text for text in paragraphs if not text.startswith("written:")]
    return "\n".join(["```text", "\n\n".join(kept), "```"])


def models() -> str:
    """One row a shipped model."""
    rows = []
    for folder in sorted(path.parent for path in PRETRAINED.glob("*/model.json")):
        record = json.loads((folder / "model.json").read_text(encoding="utf-8"))["record"]
        measured = record.get("summary", "-").replace("; ", "<br>")
        size = (folder / "model.safetensors").stat().st_size / 1e6
        seconds, before = record.get("seconds"), record.get("start", {}).get("seconds")
        took = (
            ""
            if seconds is None
            else f" in {seconds:,.0f} s" + (f" ({seconds + before:,.0f} s with those it started from)" if before else "")
        )
        rows.append([f"`{folder.name}`", f"{size:.1f} MB", f"{record['steps']:,} steps{took}, {record['device']}", measured])
    return table(["model", "file", "training", "measured"], rows)


def cuau_small() -> str:
    """Gap over the grid of states."""
    result = read("cuau-2x2x4")
    rows = []
    for order, figures in result["figures"].items():
        worst = max((r for r in result["states"] if r["order"] == order), key=lambda r: r["gap"])
        where = f"{worst['temperature']:.0f} K, {worst['delta_mu']:.2f} eV"
        rows.append([order, f"{figures['mean']:.4f}", f"{figures['worst']:.4f}", where, f"{lowest_ess(result, order):.3f}"])
    return table(["order", "mean gap, nats", "worst gap", "worst at T, Delta mu", "lowest ESS"], rows) + source(result)


def cuau_large() -> str:
    """ESS from both sides, and log Z beside the Monte Carlo reference."""
    result, reference = read("cuau-4x4x4"), {r["temperature"]: r for r in reversed(reference_states()) if r["delta_mu"] == 0}
    rows = []
    for r in result["states"]:
        known = reference[r["temperature"]]
        deviation = (r["log_z"] - known["log_z"]) / math.hypot(r["log_z_error"], known["log_z_error"])
        log_z = [pair(r["log_z"], r["log_z_error"]), pair(known["log_z"], known["log_z_error"]), f"{deviation:+.1f}"]
        rows.append([f"{r['temperature']:.0f} K", r["order"], f"{r['ess']:.3f}", f"{r['p_ess']:.3f}", f"{r['gap']:.4f}", *log_z])
    return table(["T", "order", "q-ESS", "p-ESS", "gap, nats", "log Z", "Monte Carlo", "dev"], rows) + source(result)


def cuau_largest() -> str:
    """Gap, ESS and x of the largest model beside Monte Carlo."""
    result = read("cuau-4x4x8")
    reference = {(r["temperature"], r["delta_mu"]): r for r in read("reference-cuau-4x4x8")["states"]}
    rows = []
    for r in result["states"]:
        known = reference[r["temperature"], r["delta_mu"]]
        deviation = (r["x_Au"] - known["x_Au"]) / math.hypot(r["x_Au_error"], known["x_Au_error"])
        x = [pair(r["x_Au"], r["x_Au_error"]), pair(known["x_Au"], known["x_Au_error"]), f"{deviation:+.1f}"]
        where = [f"{r['temperature']:g} K", f"{r['delta_mu']:g} eV", r["order"]]
        gap = pair(known["log_z"] - r["elbo"], math.hypot(r["elbo_error"], known["log_z_error"]))
        rows.append([*where, f"{r['ess']:.2f}", gap, *x])
    return table(["T", "Delta mu", "order", "ESS", "gap, nats", "x_Au", "Monte Carlo", "dev"], rows) + source(result)


def dilute() -> str:
    """log Z where few Au atoms carry the weight: enumeration, the model, the Monte Carlo reference."""
    result, reference = read("dilute-cuau-4x4x4"), {(r["temperature"], r["delta_mu"]): r for r in reference_states()}
    rows = []
    for r in result["states"]:
        known = reference[r["temperature"], r["delta_mu"]]
        figures = [pair(r["log_z"], r["log_z_error"]), pair(known["log_z"], known["log_z_error"])]
        rows.append([f"{r['delta_mu']:.2f} eV", f"{r['exact_log_z']:.4f}", f"{r['left_out']:.0e}", *figures])
    return table(["Delta mu", "enumeration", "weight left out", "model", "Monte Carlo"], rows) + source(result)


def phases() -> str:
    """Share of every phase and variant, the model beside Monte Carlo."""
    result = read("cuau-4x4x4")
    order = result["states"][0]["order"]
    states = [r for r in result["states"] if r["order"] == order and r.get("delta_mu", 0) == 0 and r["temperature"] in (500, 680, 1200)]
    head = ["phase", *(f"{r['temperature']:.0f} K, {who}" for r in states for who in ("model", "Monte Carlo"))]
    names = states[0]["phases_model"]
    rows = [[name, *(pair(*r[key][name]) for r in states for key in ("phases_model", "phases_monte_carlo"))] for name in names]
    return table(head, rows)


def ising() -> str:
    """Gap and ESS of the Ising model."""
    result = read("ising-10x10")
    rows = []
    for r in result["states"]:
        exact = f"{r['exact_log_z']:.4f}" if "exact_log_z" in r else "-"
        log_z = pair(r["log_z"], r["log_z_error"])
        rows.append([f"{r['temperature']:.3f}", f"{r['field']:g}", r["order"], f"{r['gap']:.4f}", f"{r['ess']:.3f}", log_z, exact])
    return table(["T", "h", "order", "gap, nats", "ESS", "log Z", "exact"], rows) + source(result)


def sampling_speed() -> str:
    """Cached drawing against re-running the network."""
    rows = read("sampling_speed")
    cells = [
        [
            str(r["sites"]),
            str(r["batch"]),
            r["precision"],
            f"{r['cached_seconds']:.3f} s",
            f"{r['rerun_seconds']:.1f} s",
            f"{r['ratio']:.0f}",
            f"{r['cached_samples_per_second']:,.0f}",
        ]
        for r in rows
    ]
    head = ["sites", "batch", "arithmetic", "cached", "re-run", "ratio", "samples/s, log_prob included"]
    return table(head, cells) + source(rows[0])


def reference_states() -> list[dict[str, float]]:
    """The Monte Carlo reference that ships with the model."""
    rows: list[dict[str, float]] = json.loads((PRETRAINED / "cuau-4x4x4" / "reference.json").read_text(encoding="utf-8"))["states"]
    return rows


SECTIONS: dict[str, Callable[[], str]] = {
    "demo": demo,
    "models": models,
    "cuau-2x2x4": cuau_small,
    "cuau-4x4x4": cuau_large,
    "cuau-4x4x8": cuau_largest,
    "dilute": dilute,
    "phases": phases,
    "ising-10x10": ising,
    "sampling-speed": sampling_speed,
}
