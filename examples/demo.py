"""The main job, end to end: a trained CuAu model, equilibrium supercells, averages beside a Monte Carlo reference.

    python examples/demo.py              # what `make demo` runs: under three minutes on two cores
    python examples/demo.py --quick      # few samples, to see that everything works

1. Loads the shipped model `cuau-4x4x4` and draws supercells at three temperatures and along a line of Delta mu.
2. Draws supercells of 512 atoms with `cuau-8x8x8`, in blocks of sites.
3. Prints x_Au, energy and log Z with error bars, beside an independent Monte Carlo reference.
4. Writes the supercells (extxyz, netCDF) and two pictures.
5. Trains a 6x6 Ising model from nothing and compares its log Z with Kaufman's exact one.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import arlattice as arl
from arlattice.thermo.exact import ising_torus_log_z

MODEL = "cuau-4x4x4"
TEMPERATURES = (500.0, 680.0, 1200.0)
LINE = (680.0, (-0.16, -0.12, -0.08, -0.04, 0.0, 0.04, 0.08, 0.12, 0.16))
DRAWN = {(500.0, 0.0): "500 K, ordered L1$_0$", (680.0, -0.08): "680 K, Cu-rich L1$_2$", (1200.0, 0.0): "1200 K, disordered"}
LARGE = "cuau-8x8x8"
LARGE_STATES = ((600.0, -0.1), (1200.0, 0.0))
LARGE_DRAWN = {(600.0, -0.1): "600 K, Cu-rich L1$_2$", (1200.0, 0.0): "1200 K, disordered"}
COLORS = ("#b5651d", "#ffd54a")
ISING_TEMPERATURE = 2.269

CAPTION = """\
CuAu, 64 sites, formation energies. 500, 680 and 1200 K at no field: Delta mu = mu_Au - mu_Cu = 0 on the model's
formation energies, which is Delta mu = -5.3277 meV on the expansion's own energies. Then a line of Delta mu at 680 K.
In brackets: the standard error in the last digit. ref: Monte Carlo with replica exchange, log Z by MBAR. dev: the
difference in units of the combined standard error; the references along the line share one error in log Z."""
LARGE_CAPTION = """\
CuAu, 512 sites, drawn in 88 blocks of sites: the same columns. ref: the mean of replica exchange and population annealing."""

State = tuple[float, float]
"""Temperature in K and Delta mu in eV."""
Reference = dict[State, dict[str, arl.Estimate]]


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples and training steps")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for structures and picture (default: demo-output)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    sets, large = draw_supercells(*((12, 8) if arguments.quick else (1000, 400))), draw_large(4 if arguments.quick else 130)
    reference = read_reference(MODEL)
    line = [(t, 0.0) for t in TEMPERATURES] + [(LINE[0], mu) for mu in LINE[1]]
    print(f"\n{CAPTION}\n\n{comparison(sets, reference, line)}\n")
    print(f"{LARGE_CAPTION}\n\n{comparison(large, read_reference(LARGE), LARGE_STATES)}\n")
    written = [*write_structures(sets, large, arguments.output), draw_picture(sets, reference, arguments.output / "cuau.png")]
    written += [draw_large_picture(large, arguments.output / "cuau-512.png")]
    print("written:", *written, sep="\n  ")
    print(f"{train_ising(*((3, 16) if arguments.quick else (300, 4000)))}")
    print(f"\n{time.monotonic() - started:.0f} s in all")


# -- sampling --------------------------------------------------------------------------------------


def draw_supercells(n: int, n_line: int) -> dict[State, arl.SampleSet]:
    """Samples of every state: ``n`` at the three temperatures, ``n_line`` at the others of the line."""
    model = arl.load(MODEL)
    counts = {(LINE[0], mu): n_line for mu in LINE[1]} | {(t, 0.0): n for t in TEMPERATURES}
    sets = {}
    for seed, (temperature, mu) in enumerate(tqdm(sorted(counts), desc="states", unit="state")):
        state = arl.SemiGrandCanonical(temperature, {"Au": mu})
        sets[temperature, mu] = model.sample(counts[temperature, mu], state, seed=seed, batch_size=200, progress=True)
    return sets


def draw_large(n: int) -> dict[State, arl.SampleSet]:
    """``n`` supercells of 512 atoms in each of some states."""
    model = arl.load(LARGE)
    sets = {}
    for seed, (temperature, mu) in enumerate(tqdm(LARGE_STATES, desc="512 atoms", unit="state")):
        sets[temperature, mu] = model.sample(n, arl.SemiGrandCanonical(temperature, {"Au": mu}), seed=seed, batch_size=50, progress=True)
    return sets


def read_reference(model: str) -> Reference:
    """The Monte Carlo averages that ship with a model."""
    text = files("arlattice").joinpath("pretrained", model, "reference.json").read_text(encoding="utf-8")
    rows: Reference = {}
    for row in json.loads(text)["states"]:
        estimates = {key: arl.Estimate(row[key], row[f"{key}_error"]) for key in ("x_Au", "energy_per_site", "log_z")}
        rows.setdefault((row["temperature"], row["delta_mu"]), estimates)
    return rows


# -- the table -------------------------------------------------------------------------------------


def comparison(sets: dict[State, arl.SampleSet], reference: Reference, states: Sequence[State]) -> str:
    """One line a state."""
    blocks = [cell for name in ("x_Au", "E, meV/site", "log Z") for cell in (name, "ref", "dev")]
    rows = [["T, K", "dmu, eV", "ESS", *blocks]]
    for temperature, mu in states:
        samples, expected = sets[temperature, mu], reference[temperature, mu]
        found = {"x_Au": samples.mean("x_Au"), "energy_per_site": samples.mean("energy_per_site"), "log_z": samples.log_z()}
        cells = [cell for key in found for cell in compare(found[key], expected[key], 1000 if key == "energy_per_site" else 1)]
        rows.append([f"{temperature:.0f}", f"{mu:.2f}", f"{samples.ess:.2f}", *cells])
    return aligned(rows)


def compare(found: arl.Estimate, expected: arl.Estimate, scale: float) -> list[str]:
    """Estimate, reference, and their difference in units of the combined standard error."""
    deviation = (found.value - expected.value) / math.hypot(found.error, expected.error)
    return [*(str(arl.Estimate(scale * e.value, scale * e.error)) for e in (found, expected)), f"{deviation:+.1f}"]


def aligned(rows: list[list[str]]) -> str:
    """Rows of cells as right-aligned columns under a rule."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


# -- structures and picture ------------------------------------------------------------------------


def write_structures(sets: dict[State, arl.SampleSet], large: dict[State, arl.SampleSet], folder: Path) -> list[Path]:
    """The supercells of the three temperatures as extxyz (structures) and netCDF (arrays), those of 512 atoms as extxyz."""
    targets = {folder / f"cuau-{t:.0f}K.{suffix}": sets[t, 0.0] for t in TEMPERATURES for suffix in ("extxyz", "nc")}
    targets |= {folder / f"cuau-512-{t:.0f}K.extxyz": samples for (t, _), samples in large.items()}
    for path, samples in tqdm(targets.items(), desc="writing", unit="file", leave=False):
        samples.write(path)
    return list(targets)


def draw_picture(sets: dict[State, arl.SampleSet], reference: Reference, path: Path) -> Path:
    """x_Au against Delta mu, and one supercell each of three states."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels: dict[str, Any] = figure.subplot_mosaic([["line", f"{k}"] for k in range(len(DRAWN))], width_ratios=[1.5, 1])
    draw_line(panels["line"], sets, reference)
    for k, (state, title) in enumerate(DRAWN.items()):
        draw_supercell(panels[f"{k}"], sets[state], title)
    name_species(figure, panels["0"])
    figure.savefig(path, dpi=120)
    return path


def draw_large_picture(large: dict[State, arl.SampleSet], path: Path) -> Path:
    """One supercell of 512 atoms of each state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, state in zip(figure.subplots(1, 2), LARGE_STATES, strict=True):
        draw_supercell(axes, large[state], LARGE_DRAWN[state], dot=420)
    name_species(figure, axes)
    figure.savefig(path, dpi=120)
    return path


def name_species(figure: Any, axes: Any) -> None:
    """A legend of the colours."""
    species = [axes.scatter([], [], s=90, c=color, edgecolors="0.2") for color in COLORS]
    figure.legend(species, ["Cu", "Au"], loc="outside lower right", ncols=2, frameon=False)


def draw_line(axes: Any, sets: dict[State, arl.SampleSet], reference: Reference) -> None:
    """The composition along the line, with the reference behind it."""
    temperature, mus = LINE
    known = sorted((mu, row["x_Au"].value) for (t, mu), row in reference.items() if t == temperature and abs(mu) <= 0.2)
    axes.plot(*zip(*known, strict=True), "-", color="0.6", marker="o", markersize=9, markerfacecolor="white", label="Monte Carlo reference")
    means = [sets[temperature, mu].mean("x_Au") for mu in mus]
    bars = {"yerr": [m.error for m in means], "fmt": "o", "color": "tab:red", "markersize": 4, "capsize": 3}
    axes.errorbar(mus, [m.value for m in means], **bars, label="model, reweighted")
    axes.set(xlabel=r"$\Delta\mu = \mu_{Au} - \mu_{Cu}$, eV (formation energies)", ylabel=r"$x_{Au}$", title=f"CuAu at {temperature:.0f} K")
    axes.legend(frameon=False, loc="upper left")


def draw_supercell(axes: Any, samples: arl.SampleSet, title: str, dot: float = 170) -> None:
    """One supercell, chosen by weight, as a box of cubic cells, twice as long as wide: long side where its layers differ most."""
    chosen = samples.resample(1, seed=0).occupations[0].numpy()
    half = samples.lattice.cell.max()  # half a cubic cell: the spacing of the layers
    steps = (samples.lattice.positions / half).round().astype(int)
    imbalance = [abs(chosen[steps[:, axis] % 2 == 0].mean() - chosen[steps[:, axis] % 2 == 1].mean()) for axis in range(3)]
    size = round(len(chosen) ** (1 / 3))
    x, y, z = folded(steps[:, [(imbalance.index(max(imbalance)) + k) % 3 for k in range(3)]], size).T
    far = sorted(range(len(chosen)), key=lambda site: (-y[site], z[site], x[site]))
    colors = [COLORS[species] for species in chosen[far]]
    axes.scatter((x + 0.13 * y)[far], (z + 0.34 * y)[far], s=dot, c=colors, edgecolors="0.2", linewidths=0.6, clip_on=False)
    axes.set_title(f"{title}, $x_{{Au}}$ = {chosen.mean():.2f}", fontsize=9)
    axes.set(aspect="equal", xlim=(-0.6, 2.13 * size - 0.52), ylim=(-0.6, 1.34 * size - 0.76))
    axes.axis("off")


def folded(steps: np.ndarray, size: int) -> np.ndarray:
    """Sites of a primitive supercell of so many cells a side (in half cubic cells), moved by its vectors into a box of twice its width."""
    x, y, z = steps.T
    x = x - size * ((y // size + z // size) % 2)  # the vectors of the supercell are size (i, j, k) with i + j + k even
    return np.stack([x % (2 * size), y % size, z % size], 1)


# -- a model from nothing --------------------------------------------------------------------------


def train_ising(steps: int, n: int) -> str:
    """Train on the 6x6 Ising model at one temperature; its log Z beside Kaufman's."""
    state = arl.SemiGrandCanonical(ISING_TEMPERATURE)
    options = {"objective": "forward", "steps": steps, "batch_size": 64, "learning_rate": 2e-3, "ema_decay": 0.98}
    options |= {"replica_copies": 256, "equilibration_sweeps": 200, "evaluate_every": 50}
    size = {"width": 64, "heads": 4, "layers": 2}
    print("\nA 6x6 Ising model, trained from nothing:")
    model = arl.train(arl.hamiltonian("ising", supercell=(6, 6)), state, model_options=size, training=options, device="cpu")
    samples = model.sample(n, state, seed=1, progress=True)
    found, exact = samples.log_z(), ising_torus_log_z(6, 1 / ISING_TEMPERATURE)
    deviation = (found.value - exact) / found.error
    return f"T = {ISING_TEMPERATURE}, {n} samples, ESS {samples.ess:.2f}: log Z = {found}, exact {exact:.4f}, dev {deviation:+.1f}"


if __name__ == "__main__":
    main()
