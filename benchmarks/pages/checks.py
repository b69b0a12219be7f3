"""docs/checks.md and docs/thermodynamics.md: other routes to the same figures."""

from __future__ import annotations

from collections.abc import Callable

from pages.reading import RESULTS, pair, read, source, table

__all__ = ["SECTIONS"]


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


def coverage() -> str:
    """How often error bars covered the exact value, by column."""
    result = read("coverage")
    rows = [
        [f"`{r['call']}`", r["column"], f"{100 * r['covered']:.1f} %", f"{r['spread_over_error']:.2f}", f"{r['p_value']:.2g}"]
        for r in result["columns"]
    ]
    return table(["call", "column", "covered", "spread / error", "p"], rows) + source(result)


SECTIONS: dict[str, Callable[[], str]] = {
    "hysteresis": hysteresis,
    "hysteresis-agreement": hysteresis_agreement,
    "phase-diagram-check": phase_diagram_check,
    "ising-crossings": ising_crossings,
    "ising-agreement": ising_agreement,
    "sweep": sweep,
    "coverage": coverage,
}
