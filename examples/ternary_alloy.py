"""A ternary alloy, Ag-Au-Cu: compositions and short-range order over both chemical potentials, checked against Monte Carlo.

Silver and copper do not mix, gold mixes with both: with EMT energies (`emt_alloy.py`) and 16 sites one model gives the whole
composition triangle at any temperature of its range. Adapt the species, the box of states and the grid.

    python examples/ternary_alloy.py --output ag-au-cu              # ten minutes on one core
    python examples/ternary_alloy.py --quick --output quick         # seconds: fewer structures, hardly trained
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from emt_alloy import EmtAlloyOptions, Fit, Metal, fit

import arlattice as arl
from arlattice.io.files import replacing, write_text
from arlattice.montecarlo import sample_replicas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import Dataset

SPECIES: tuple[Metal, ...] = ("Ag", "Au", "Cu")
STATES = arl.StateRange(temperature=(450.0, 1100.0), chemical_potentials={"Au": (-0.25, 0.25), "Cu": (-0.25, 0.25)})
TEMPERATURES = (500.0, 1000.0)
LADDER = (500.0, 630.0, 800.0, 1000.0)  # of the reference: cold chains are renewed through hot ones
CHECKED = ({"Au": -0.2, "Cu": 0.0}, {"Au": 0.0, "Cu": 0.0}, {"Au": 0.1, "Cu": 0.1})
PAIRS = tuple(f"{a}-{b} 1" for a, b in itertools.combinations(SPECIES, 2))
NETWORK = {"width": 64, "heads": 4, "layers": 2}
TRAINING = {"objective": "forward", "batch_size": 128, "learning_rate": 2e-3, "ema_decay": 0.99, "equilibration_sweeps": 200}
TRAINING |= {"replica_temperatures": 6, "replica_potentials": 6, "replica_copies": 2}


class Effort(NamedTuple):
    """How much of everything."""

    largest: int
    cutoffs: tuple[float, ...]
    steps: int
    potentials: int
    samples: int
    sweeps: int


FULL = Effort(largest=5, cutoffs=(2.3, 1.25), steps=2500, potentials=15, samples=1000, sweeps=200)
QUICK = Effort(largest=3, cutoffs=(0.8,), steps=30, potentials=3, samples=200, sweeps=20)


def main() -> None:
    """Fit, train, sweep, check, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("ternary-alloy-output"), help="new folder")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    effort, folder = QUICK if arguments.quick else FULL, arguments.output
    if folder.exists():
        parser.error(f"argument --output: {folder} is there already; name a new folder")
    folder.mkdir(parents=True)
    started = time.monotonic()
    options = EmtAlloyOptions(species=SPECIES, expansion=str(folder / "ag-au-cu.ce"), largest=effort.largest, cutoffs=effort.cutoffs)
    fitted = fit(options)
    fitted.write(options.expansion)
    print(fitted)
    arl.load_plugin(Path(__file__).with_name("emt_alloy.py"))
    hamiltonian = arl.hamiltonian("emt-alloy", species=SPECIES, expansion=options.expansion)
    model = arl.train(hamiltonian, STATES, model_options=NETWORK, training=TRAINING | {"steps": effort.steps}, device="cpu")
    model.save(folder / "model")
    sweep = swept(model, effort, folder / "sweep.nc")
    rows = [row for potentials in CHECKED for row in compared(model, potentials, effort)]
    print(table(rows))
    draw(folder / "ag-au-cu.png", sweep, rows)
    write_results(folder / "results.json", fitted, sweep, rows, effort, time.monotonic() - started)
    print("written:", *sorted(path.name for path in folder.iterdir()))


def swept(model: arl.Model, effort: Effort, path: Path) -> Dataset:
    """Composition and short-range order over the grid of states."""
    axes: dict[str, np.ndarray] = {s: np.linspace(-0.25, 0.25, effort.potentials) for s in SPECIES[1:]}
    order = {"short_range_order": {"shells": 1}}
    return arl.sweep(model, TEMPERATURES, chemical_potentials=axes, observables=order, n=effort.samples, out=path, progress=True)


# -- the check -------------------------------------------------------------------------------------


def compared(model: arl.Model, potentials: dict[str, float], effort: Effort) -> list[dict[str, Any]]:
    """Model and Monte Carlo at the ends of the ladder: x, energy and short-range order, each as value and standard error.

    One configuration is kept of each chain, so the reference is of independent samples and its errors are the plain ones.
    """
    ladder = [arl.SemiGrandCanonical(temperature, potentials) for temperature in LADDER]
    reference = sample_replicas(
        model.hamiltonian, ladder, chains=effort.samples, burn_in=effort.sweeps, sweeps=1, thin=1, move="heat-bath", seed=1
    )
    rows = []
    for known in (reference[0], reference[-1]):
        found = model.sample(effort.samples, known.state, seed=2)
        averages = {"model": measured(found), "monte_carlo": measured(known)}
        rows.append({"temperature": known.state.temperature, "chemical_potentials": potentials, "ess": found.ess, **averages})
    return rows


def measured(samples: arl.SampleSet) -> dict[str, arl.Estimate]:
    """The averages that are compared."""
    found = {f"x_{s}": samples.mean(f"x_{s}") for s in SPECIES} | {"energy_per_site": samples.mean("energy_per_site")}
    return found | {f"alpha {name}": value for name, value in samples.means("short_range_order", shells=1).items()}


def deviations(row: dict[str, Any]) -> list[float]:
    """Differences of model and Monte Carlo in units of their combined standard error."""
    pairs = [(row["model"][name], row["monte_carlo"][name]) for name in row["model"]]
    return [(found.value - known.value) / math.hypot(found.error, known.error) for found, known in pairs]


def table(rows: list[dict[str, Any]]) -> str:
    """One line a state: ESS, each average of the model and of Monte Carlo, and the largest deviation."""
    names = ("x_Au", "x_Cu", *(f"alpha {pair}" for pair in PAIRS))
    lines = [["T, K", *(f"mu_{s}" for s in SPECIES[1:]), "ESS", *itertools.chain(*((name, "MC") for name in names)), "worst dev"]]
    for row in rows:
        where = [f"{row['temperature']:.0f}", *(f"{mu:.2f}" for mu in row["chemical_potentials"].values()), f"{row['ess']:.2f}"]
        values = itertools.chain(*((str(row["model"][name]), str(row["monte_carlo"][name])) for name in names))
        lines.append([*where, *values, f"{max(map(abs, deviations(row))):.1f}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


# -- the picture -----------------------------------------------------------------------------------


def draw(path: Path, sweep: Dataset, rows: list[dict[str, Any]]) -> None:
    """A composition triangle for each temperature, and the short-range order at the states of the check."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=110)
    *triangles, check = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    for axes, temperature in zip(triangles, TEMPERATURES, strict=True):
        dots = draw_triangle(axes, sweep.sel(temperature=temperature), [row for row in rows if row["temperature"] == temperature])
        axes.set_title(f"{temperature:.0f} K")
    figure.colorbar(dots, ax=triangles, label=r"$\alpha_1$(Ag-Cu)", shrink=0.7, extend="both")
    draw_check(check, rows)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_triangle(axes: Axes, line: Dataset, rows: list[dict[str, Any]]) -> Any:
    """Mean compositions of the grid of chemical potentials, by short-range order; crosses where Monte Carlo was run.

    Dots without colour: a species below 2 %.
    """
    axes.plot([0, 1, 0.5, 0], [0, 0, math.sqrt(0.75), 0], color="0.3", linewidth=1)
    x, y = place(*(line["x"].sel(species=s).values for s in SPECIES))
    for mesh_x, mesh_y in ((x, y), (x.T, y.T)):
        axes.plot(mesh_x, mesh_y, color="0.8", linewidth=0.6, zorder=0)
    alpha = line["short_range_order"].sel(pair="Ag-Cu 1").where(line["x"].min("species") > 0.02)  # fewer pairs say nothing
    dots = axes.scatter(x, y, c=alpha, s=16, cmap="viridis", vmin=0, vmax=0.6, edgecolors="0.3", linewidths=0.3, plotnonfinite=True)
    crosses = [place(*(row["monte_carlo"][f"x_{s}"].value for s in SPECIES)) for row in rows]
    axes.plot(*zip(*crosses, strict=True), "kx", markersize=8, label="Monte Carlo")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    for name, position, shift in zip(SPECIES, ((0, 0), (0.5, math.sqrt(0.75)), (1, 0)), ((-20, -5), (-6, 5), (8, -5)), strict=True):
        axes.annotate(name, position, shift, textcoords="offset points")
    axes.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.06, 0.98))
    axes.axis("off")
    return dots


def place(first: Any, second: Any, third: Any) -> tuple[Any, Any]:
    """A composition in the triangle: the first species at the left, the second at the top, the third at the right."""
    return third + second / 2, math.sqrt(0.75) * second


def draw_check(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Short-range order of the model against that of Monte Carlo."""
    for k, pair in enumerate(PAIRS):
        known, found = ([row[who][f"alpha {pair}"] for row in rows] for who in ("monte_carlo", "model"))
        x, y = [e.value for e in known], [e.value for e in found]
        wide, high = [e.error for e in known], [e.error for e in found]
        axes.errorbar(x, y, high, wide, fmt="o", color=f"C{k}", markersize=4, label=pair[:-2])
    axes.axline((0, 0), slope=1, color="0.7", linewidth=1, zorder=0)
    axes.set(xlabel=r"$\alpha_1$, Monte Carlo", ylabel=r"$\alpha_1$, model", title="short-range order, nearest neighbours")
    axes.legend(frameon=False)


def write_results(path: Path, fitted: Fit, sweep: Dataset, rows: list[dict[str, Any]], effort: Effort, seconds: float) -> None:
    """The figures of the run, for the tables of the manual."""
    ess, off = sweep["ess"].values, np.concatenate([deviations(row) for row in rows])
    result: dict[str, Any] = {
        "command": f"python examples/ternary_alloy.py{' --quick' * (effort == QUICK)}",
        "device": f"CPU, {platform.machine()}",
    }
    result |= {"torch": torch.__version__, "seconds": seconds, "steps": effort.steps, "samples": effort.samples}
    result |= {"fit": fitted.figures}
    result |= {"states": ess.size, "median_ess": float(np.median(ess)), "lowest_ess": float(ess.min()), "checked": rows}
    result |= {"compared": off.size, "rms": float(np.sqrt((off**2).mean())), "worst": float(np.abs(off).max())}
    write_text(path, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
