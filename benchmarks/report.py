"""Tables of the README and of docs/, from what the benchmarks left.

A page marks the place of a table with ``<!-- generated: NAME -->`` and ``<!-- end -->``; this program puts there what the
section NAME makes of benchmarks/results/, arlattice/pretrained/ and docs/demo.txt. A test checks that it was run.

    python benchmarks/report.py
"""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PRETRAINED = ROOT / "arlattice" / "pretrained"
PAGES = [ROOT / "README.md", PRETRAINED / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACE = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Rows = Iterable[Sequence[str]]


def main() -> None:
    """Rewrite the marked places of every page."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """A page with its marked places filled."""
    return PLACE.sub(lambda match: f"{match[1]}{section(match[2])}\n{match[3]}", text)


def section(name: str) -> str:
    """The text of one section; says so where its figures are not there."""
    try:
        return SECTIONS[name]()
    except FileNotFoundError as missing:
        return f"*Not measured yet: {Path(missing.filename).name} is not there.*"


# -- sections --------------------------------------------------------------------------------------


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
        rows.append([f"`{folder.name}`", f"{size:.1f} MB", f"{record['steps']:,} steps, {record['device']}", measured])
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
    reference = {(r["temperature"], r["delta_mu"]): r for r in json.loads((RESULTS / "reference-cuau-4x4x8.json").read_text())["states"]}
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
    states = [r for r in result["states"] if r["order"] == "coarse-to-fine"]
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


FROM_ENERGIES = ("reverse", "mam")


def monte_carlo_rows() -> str:
    """Gaps of rows trained by forward KL beside those of the tables now, same network size."""
    return before_and_now(lambda training: training["objective"] not in FROM_ENERGIES, ("coarse-to-fine", "random"))


def energy_rows() -> str:
    """Gaps of rows trained from energies alone as they were beside those of the tables now."""
    return before_and_now(lambda training: training["objective"] in FROM_ENERGIES, ("random",))


def before_and_now(wanted: Callable[[dict[str, Any]], bool], orders: tuple[str, ...]) -> str:
    """Every file of results/objectives/, an earlier result of a row, beside that of the tables."""
    rows = []
    for path in sorted((RESULTS / "objectives").glob("*.json")):
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


def paper_conditions() -> str:
    """The temperature at which the best published figure of a column would be the optimum, and what the others would be there."""
    from scipy.optimize import brentq

    from arlattice.thermo.exact import ising_torus_log_z

    data = read("paper-table-1")
    lengths = {system["system"]: system["hamiltonian"]["size"][0] for system in data["systems"]}
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


def sweep() -> str:
    """How the samples of the shipped sweep count."""
    import numpy as np
    import xarray

    path = RESULTS / "sweep-cuau-4x4x4.nc"
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    data = xarray.load_dataset(path, engine="h5netcdf")
    ess, samples = data["ess"].values.ravel(), int(data["samples"].sum())
    figures = [f"{np.median(ess):.3f}", f"{np.quantile(ess, 0.05):.3f}", f"{ess.min():.3f}"]
    rows = [[str(ess.size), f"{samples:,}", *figures, str(int(data["flagged"].sum()))]]
    return table(["states", "samples", "median ESS", "worst 5 % below", "lowest", "flagged"], rows)


def hysteresis() -> str:
    """How far the two directions of a scan lie apart."""
    result = read("hysteresis")
    own = {"temperature": result["model"]["temperature"], **result["agreement"]["model up, model down"]}
    rows = [
        [
            f"{r['temperature']:g} K",
            f"{r['sweeps']} sweeps a state" if "sweeps" in r else f"`{result['run']['model']}`, {result['run']['samples']} samples a state",
            pair(1000 * r["area"], 1000 * r["area_error"]),
            pair(r["largest_gap"], r["largest_gap_error"]),
        ]
        for r in [*result["loops"], own]
    ]
    return table(["T", "by", "area of the loop, meV", "largest difference of x"], rows) + source(result)


def hysteresis_agreement() -> str:
    """chi2 of the model's directions and of the model against replica exchange."""
    agreement = read("hysteresis")["agreement"]
    rows = [
        [name, str(r["states"]), f"{r['chi2']:.1f}", f"{r['probability']:.2f}", f"{r['largest_deviation']:.1f}"]
        for name, r in agreement.items()
    ]
    return table(["x(Au) of", "states", "chi2", "probability of a larger one", "largest deviation, errors"], rows)


def phase_diagram_check() -> str:
    """Coexistences by replica exchange, by the sweep and by more samples of the model, with their deviations."""
    result = read("phase-diagram-check")
    samples = {"sweep": result["sweep"]["samples"], "model again": result["again"]}
    ways = {"equal_weight": "replica exchange"} | {
        key: f"{by}, {samples[by]} samples" for key, by in (("model", "sweep"), ("again", "model again"))
    }
    rows = []
    for r in result["coexistences"]:
        for by in (way for way in ways if way in r):
            deviation = r.get(f"deviation_{by}", {})
            cells = [
                pair(*(scale * part for part in r[by][key])) + (f" ({deviation[key]:+.1f})" if deviation else "")
                for key, scale in (("delta_mu", 1000), ("x_1", 1), ("x_2", 1))
            ]
            rows.append([f"{r['temperature']:g} K", " + ".join(r["phases"]), ways[by], *cells])
    return table(["T", "phases", "by", "Delta mu, meV", "x_1", "x_2"], rows) + source(result)


def ising_crossings() -> str:
    """Where Binder cumulants of two sizes cross, and how far that is from T_c."""
    result = read("ising-check")
    rows = []
    for r in result["crossings"]:
        exact = [f"{r['exact']:.4f}", f"{r['exact'] - result['critical_temperature']:+.4f}"] if r["exact"] else ["-", "-"]
        found = pair(r["temperature"], r["error"]) if r["temperature"] else "none found"
        rows.append([" and ".join(map(str, r["lengths"])), r["by"], found, *exact])
    return table(["L", "by", "crossing, J/k", "exact", "exact less T_c"], rows) + source(result)


def ising_agreement() -> str:
    """chi2 of free energies and cumulants against exact values."""
    result = read("ising-check")
    rows = [["free energy", "model", "10", result["free_energy_chi2"]]]
    rows += [["Binder cumulant", r["by"], str(r["length"]), r] for r in result["agreement"]]
    cells = [[*names, str(r["points"]), f"{r['chi2']:.1f}", f"{r['probability']:.2f}"] for *names, r in rows]
    return table(["what", "by", "L", "temperatures", "chi2", "probability of a larger one"], cells)


def fit_an_alloy() -> str:
    """The binary fit, and x_Au along isotherms against enumeration."""
    result, rows = read("fit-an-alloy"), []
    for r in result["states"]:
        ess, within = [f"{r['median_ess']:.3f}", f"{r['lowest_ess']:.2f}"], f"{100 * r['within']:.0f} %"
        rows.append([f"{r['temperature']:g} K", *ess, str(r["mixed"]), within, f"{r['worst']:.1f}"])
    head = ["T", "median ESS", "lowest ESS", "states compared", "x(Au) within one error", "largest deviation, errors"]
    return f"{emt_fit(result)}\n\n{table(head, rows)}{source(result)}"


def ternary_alloy() -> str:
    """The ternary fit, and compositions and short-range order against Monte Carlo."""
    result, rows = read("ternary-alloy"), []
    names = {"x_Cu": "x(Cu)"} | {key: key.removesuffix(" 1") for key in result["checked"][0]["model"] if key.startswith("alpha")}
    for r in result["checked"]:
        where = [f"{r['temperature']:g} K", *(f"{mu:g}" for mu in r["chemical_potentials"].values()), f"{r['ess']:.2f}"]
        rows.append([*where, *(pair(*r[who][key]) for key in names for who in ("model", "monte_carlo"))])
    head = ["T", "mu(Au), eV", "mu(Cu), eV", "ESS", *(f"{name}, {who}" for name in names.values() for who in ("model", "Monte Carlo"))]
    checked = f"All {result['compared']} averages: rms deviation {result['rms']:.2f} combined errors, largest {result['worst']:.1f}."
    swept = f"The {result['states']} states of the picture: median ESS {result['median_ess']:.2f}, lowest {result['lowest_ess']:.2f}."
    return f"{emt_fit(result)}\n\n{table(head, rows)}\n\n{checked} {swept}{source(result)}"


def emt_fit(result: dict[str, Any]) -> str:
    """Size and quality of a fit to EMT energies, and the time of the whole example."""
    fit = result["fit"]
    counts = f"{fit['structures']} structures, {fit['left_out']} left out, {fit['parameters']} parameters"
    quality = f"cross-validation RMSE {1000 * fit['rmse']:.1f} meV/atom"
    return f"{counts}, {quality}; {result['steps']:,} training steps; {result['seconds'] / 60:.0f} minutes in all."


SECTIONS: dict[str, Callable[[], str]] = {
    "hysteresis": hysteresis,
    "hysteresis-agreement": hysteresis_agreement,
    "phase-diagram-check": phase_diagram_check,
    "ising-crossings": ising_crossings,
    "ising-agreement": ising_agreement,
    "sweep": sweep,
    "demo": demo,
    "models": models,
    "cuau-2x2x4": cuau_small,
    "cuau-4x4x4": cuau_large,
    "dilute": dilute,
    "phases": phases,
    "ising-10x10": ising,
    "sampling-speed": sampling_speed,
    "training": training,
    "monte-carlo-rows": monte_carlo_rows,
    "energy-rows": energy_rows,
    "cuau-4x4x8": cuau_largest,
    "paper-table-1": partial(paper_table, "paper-table-1"),
    "paper-table-2": partial(paper_table, "paper-table-2"),
    "mam-ising": partial(paper_table, "mam-ising"),
    "paper-conditions": paper_conditions,
    "lost": lost,
    "figure-2": figure_2,
    "fit-an-alloy": fit_an_alloy,
    "ternary-alloy": ternary_alloy,
}


# -- reading and writing ---------------------------------------------------------------------------


def read(name: str) -> Any:
    """One file of benchmarks/results/."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def reference_states() -> list[dict[str, float]]:
    """The Monte Carlo reference that ships with the model."""
    rows: list[dict[str, float]] = json.loads((PRETRAINED / "cuau-4x4x4" / "reference.json").read_text(encoding="utf-8"))["states"]
    return rows


def lowest_ess(result: dict[str, Any], order: str) -> float:
    """Over the states of one kind of order."""
    return min(float(r["ess"]) for r in result["states"] if r["order"] == order)


def seconds_per_step(lines: list[dict[str, float]]) -> float:
    """Median over the evaluations; the clock of a resumed run starts again, those differences are left out."""
    pairs = itertools.pairwise(lines)
    return statistics.median((b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) for a, b in pairs if b["seconds"] > a["seconds"])


def pair(value: float, error: float) -> str:
    """Value and standard error with two digits of the error; exact zeros as they are."""
    decimals = 1 - math.floor(math.log10(error)) if error > 0 else 0
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def table(head: Sequence[str], rows: Rows) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def source(result: dict[str, Any]) -> str:
    """Command and device under a table."""
    return f"\n\n`{result['command']}` ({result['device']}, torch {result['torch']})"


if __name__ == "__main__":
    main()
