"""Picture of the weights of the phases of an alloy, the model beside Monte Carlo, from what evaluate_models.py wrote.

A column a state: above the share of every ordered phase and variant with two standard errors, below the histograms of the
order parameter and of x.

    python benchmarks/phase_weights.py cuau-8x8x8
    python benchmarks/phase_weights.py cuau-8x8x8 --states 500:0 680:0 800:-0.1
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from references.histograms import BINS

from arlattice.io.files import replacing

ROOT = Path(__file__).parent.parent
WAYS = {"model": "C0", "monte_carlo": "0.45"}
LABELS = {"model": "model, weighted", "monte_carlo": "Monte Carlo"}


def main() -> None:
    """Draw the states asked for, in the first kind of plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of benchmarks/results/NAME.json")
    parser.add_argument("--states", nargs="+", default=["500:0", "680:0", "500:-0.1", "800:-0.1"], metavar="T:MU")
    parser.add_argument("--result", type=Path, help="instead of benchmarks/results/NAME.json")
    parser.add_argument("--output", "-o", type=Path, help="default: docs/images/phase-weights-NAME.png")
    arguments = parser.parse_args()
    result = json.loads((arguments.result or ROOT / "benchmarks" / "results" / f"{arguments.name}.json").read_text(encoding="utf-8"))
    wanted = [tuple(map(float, text.split(":"))) for text in arguments.states]
    rows = [r for r in reversed(result["states"]) if "phases_monte_carlo" in r]
    found: dict[tuple[float, ...], dict[str, Any]] = {(r["temperature"], r["delta_mu"]): r for r in rows}
    if missing := [text for text, state in zip(arguments.states, wanted, strict=True) if state not in found]:
        parser.error(f"--states: {', '.join(missing)} not measured beside Monte Carlo; there are {len(found)}: {sorted(found)}")
    draw([found[state] for state in wanted], arguments.output or ROOT / "docs" / "images" / f"phase-weights-{arguments.name}.png")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A column a row of the results."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(rows), 7), layout="constrained", dpi=130)
    axes = figure.subplots(3, len(rows), squeeze=False, height_ratios=[3, 2, 2])
    for column, row in zip(axes.T, rows, strict=True):
        _draw_phases(column[0], row)
        column[0].set_title(f"{row['temperature']:g} K, {row['delta_mu']:g} eV")
        _draw_histogram(column[1], row, "order_histogram", "order parameter")
        _draw_histogram(column[2], row, "x_histogram", "x(Au)")
    axes[0, 0].legend(frameon=False, fontsize=7)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


def _draw_phases(axes: Any, row: dict[str, Any]) -> None:
    names = list(row["phases_model"])
    place = np.arange(len(names))
    for shift, (way, colour) in zip((-0.2, 0.2), WAYS.items(), strict=True):
        share, error = np.array([row[f"phases_{way}"][name] for name in names]).T
        axes.barh(place + shift, share, 0.4, xerr=2 * error, color=colour, error_kw={"linewidth": 0.8}, label=LABELS[way])
    axes.set(yticks=place, xlabel="weight", xlim=(0, None))
    axes.set_yticklabels(names, fontsize=7)
    axes.invert_yaxis()


def _draw_histogram(axes: Any, row: dict[str, Any], name: str, label: str) -> None:
    for way, colour in WAYS.items():
        axes.stairs(row[f"{name}_{way}"], BINS, color=colour, fill=way == "monte_carlo", alpha=0.5 if way == "monte_carlo" else 1.0)
    axes.set(xlabel=label, ylabel="weight")


if __name__ == "__main__":
    main()
