"""docs/worked-examples.md: what the examples reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pages.reading import pair, read, source, table

__all__ = ["SECTIONS"]


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
    "fit-an-alloy": fit_an_alloy,
    "ternary-alloy": ternary_alloy,
}
