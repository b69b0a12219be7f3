"""From energies to thermodynamics: fit a Cu-Au expansion to EMT energies, train a model of it, sweep, compare, export.

Energies, fit and plugin are in `emt_alloy.py`, the file to adapt to another alloy; here are the states and the training. The
supercell has 16 sites, so every average can be compared with the exact one, by enumeration.

    python examples/fit_an_alloy.py --output cu-au            # minutes on one core
    python examples/fit_an_alloy.py --quick --output quick    # seconds: fewer structures, hardly trained
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from emt_alloy import EmtAlloyOptions, Fit, Metal, fit

import arlattice as arl
from arlattice.io.files import replacing, write_text
from arlattice.thermo.exact import Enumeration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import Dataset

SPECIES: tuple[Metal, ...] = ("Cu", "Au")
STATES = arl.StateRange(temperature=(250.0, 800.0), chemical_potentials={"Au": (-0.2, 0.2)})
TEMPERATURES = (250.0, 400.0, 700.0)
EXPORTED = arl.SemiGrandCanonical(400.0, {"Au": -0.05})
NETWORK = {"width": 64, "heads": 4, "layers": 2}
TRAINING = {"objective": "forward", "batch_size": 128, "learning_rate": 2e-3, "ema_decay": 0.99, "equilibration_sweeps": 200}
TRAINING |= {"replica_temperatures": 8, "replica_potentials": 16, "replica_copies": 2}


class Effort(NamedTuple):
    """How much of everything."""

    largest: int
    cutoffs: tuple[float, ...]
    steps: int
    states: int
    samples: int


FULL = Effort(largest=6, cutoffs=(2.3, 1.25), steps=3000, states=41, samples=1000)
QUICK = Effort(largest=3, cutoffs=(1.3,), steps=30, states=5, samples=300)


def main() -> None:
    """Fit, train, sweep, compare, export, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("fit-an-alloy-output"), help="new folder")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    effort, folder = QUICK if arguments.quick else FULL, arguments.output
    if folder.exists():
        parser.error(f"argument --output: {folder} is there already; name a new folder")
    folder.mkdir(parents=True)
    started = time.monotonic()
    options = EmtAlloyOptions(species=SPECIES, expansion=str(folder / "cu-au.ce"), largest=effort.largest, cutoffs=effort.cutoffs)
    fitted = fit(options)
    fitted.write(options.expansion)
    print(fitted)
    arl.load_plugin(Path(__file__).with_name("emt_alloy.py"))
    hamiltonian = arl.hamiltonian("emt-alloy", species=SPECIES, expansion=options.expansion)
    model = arl.train(hamiltonian, STATES, model_options=NETWORK, training=TRAINING | {"steps": effort.steps}, device="cpu")
    model.save(folder / "model")
    potentials = np.linspace(-0.2, 0.2, effort.states)
    sweep = arl.sweep(model, TEMPERATURES, delta_mu=potentials, n=effort.samples, out=folder / "sweep.nc", progress=True)
    exact = Exact(hamiltonian)
    rows = [compared(sweep, exact, temperature) for temperature in TEMPERATURES]
    for row in rows:
        print("{temperature:.0f} K: ESS {lowest_ess:.3f} or more, x_Au within {worst:.1f} errors in {mixed} states".format(**row))
    export(model, folder, effort.samples)
    draw(folder / "cu-au.png", fitted, sweep, exact)
    write_results(folder / "results.json", fitted, rows, effort, time.monotonic() - started)
    print("written:", *sorted(path.name for path in folder.iterdir()))


class Exact:
    """x_Au of every configuration of the supercell and its averages."""

    def __init__(self, hamiltonian: arl.Hamiltonian) -> None:
        self._all = Enumeration.of(hamiltonian)
        self._x = self._all.occupations.double().mean(1)

    def x(self, temperature: float, delta_mu: float) -> float:
        """The exact x_Au of a state."""
        return self._all.mean(arl.SemiGrandCanonical(temperature, {"Au": delta_mu}), self._x)


def compared(sweep: Dataset, exact: Exact, temperature: float) -> dict[str, float]:
    """ESS along an isotherm, and the deviation of x_Au from the exact one in units of the standard error.

    States within 1 % of a pure metal are left out of the deviation: too few atoms of the other are drawn for an error bar.
    """
    line = sweep.sel(temperature=temperature)
    known = np.array([exact.x(temperature, mu) for mu in sweep["delta_mu"].values])
    mixed = (known > 0.01) & (known < 0.99)
    off = (line["x"].sel(species="Au").values - known)[mixed] / line["x_error"].sel(species="Au").values[mixed]
    ess = line["ess"].values
    return {
        "temperature": temperature,
        "median_ess": float(np.median(ess)),
        "lowest_ess": float(ess.min()),
        "mixed": int(mixed.sum()),
        "within": float(np.mean(np.abs(off) < 1)),
        "worst": float(np.abs(off).max()),
    }


def export(model: arl.Model, folder: Path, n: int) -> None:
    """Weighted samples of one state as extxyz; ten of them, chosen by weight, as CIF."""
    samples = model.sample(n, EXPORTED, seed=1)
    samples.write(folder / "samples.extxyz")
    samples.resample(10, seed=0).write(folder / "cif", format="cif")


def draw(path: Path, fitted: Fit, sweep: Dataset, exact: Exact) -> None:
    """Parity plot of the fit; isotherms of the model on the exact curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained", dpi=120)
    parity, isotherms = figure.subplots(1, 2, width_ratios=[1, 1.3])
    draw_parity(parity, fitted)
    draw_isotherms(isotherms, sweep, exact)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_parity(axes: Axes, fitted: Fit) -> None:
    """Mixing energies by the expansion against those by EMT, meV per atom."""
    known, predicted = 1000 * fitted.energies, 1000 * fitted.predicted
    composition = [np.mean(atoms.symbols == SPECIES[1]) for atoms in fitted.structures]
    axes.axline((0, 0), slope=1, color="0.6", linewidth=1)
    dots = axes.scatter(known, predicted, c=composition, cmap="copper", edgecolors="0.3", linewidths=0.4, s=22)
    axes.figure.colorbar(dots, ax=axes, label=r"$x_{Au}$")
    title = f"mixing energies, cross-validation {1000 * fitted.rmse:.1f} meV"
    axes.set(xlabel="EMT, meV/atom", ylabel="expansion, meV/atom", title=title)


def draw_isotherms(axes: Axes, sweep: Dataset, exact: Exact) -> None:
    """x_Au against Delta mu at every temperature."""
    mu = sweep["delta_mu"].values
    fine = np.linspace(mu.min(), mu.max(), 4 * len(mu) - 3)
    for k, temperature in enumerate(TEMPERATURES):
        line = sweep.sel(temperature=temperature, species="Au")
        axes.plot(fine, [exact.x(temperature, value) for value in fine], color=f"C{k}", linewidth=1)
        axes.errorbar(mu, line["x"], line["x_error"], fmt="o", color=f"C{k}", markersize=4, capsize=2, label=f"{temperature:.0f} K")
    axes.plot([], [], color="0.3", linewidth=1, label="exact")
    axes.set(xlabel=r"$\Delta\mu = \mu_{Au} - \mu_{Cu}$, eV", ylabel=r"$x_{Au}$", title="16 sites", xticks=np.linspace(-0.2, 0.2, 5))
    axes.legend(frameon=False)


def write_results(path: Path, fitted: Fit, rows: list[dict[str, float]], effort: Effort, seconds: float) -> None:
    """The figures of the run, for the tables of the manual."""
    result: dict[str, Any] = {
        "command": f"python examples/fit_an_alloy.py{' --quick' * (effort == QUICK)}",
        "device": f"CPU, {platform.machine()}",
    }
    result |= {"torch": torch.__version__, "seconds": seconds, "steps": effort.steps, "samples": effort.samples}
    write_text(path, json.dumps(result | {"fit": fitted.figures, "states": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
