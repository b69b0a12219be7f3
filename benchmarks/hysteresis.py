"""x_Au(Delta mu) of CuAu scanned up and down: single-flip Monte Carlo, which remembers, beside the model, which does not.

Monte Carlo takes Delta mu in steps, upwards and downwards, every state from the last configuration of the one before; a state
gets a stated number of heat-bath sweeps, the first half of which is left out. Many copies run at once: they give the error
bars. The model draws every state anew, so a direction is no more than a seed. Independent of both: the isotherms of
benchmarks/check_phase_diagram.py by replica exchange, where their temperature is the same.

    python benchmarks/hysteresis.py
    python benchmarks/hysteresis.py --compare-only
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.io.files import replacing, write_text
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CHECK = RESULTS / "phase-diagram-check.json"
BURN_IN = 200  # sweeps before the first state of a scan, which is nearly pure
AU = 1


def main() -> None:
    """Scan, draw from the model, compare, write and draw."""
    arguments = _arguments()
    result = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.compare_only else measure(arguments)
    result["agreement"] = agreement(result)
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    for row in result["loops"]:
        print(" ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()))
    print(*result["agreement"].items(), sep="\n")
    draw(result, arguments.picture)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cuau-4x4x4")
    parser.add_argument("--temperatures", type=_numbers, default=[450.0, 500.0, 650.0, 800.0], help="K")
    parser.add_argument("--shown", type=float, default=500.0, help="temperature of the left panel and of the model's samples, K")
    parser.add_argument("--range", type=_numbers, default=[-0.2, 0.12], help="of Delta mu, eV")
    parser.add_argument("--steps", type=int, default=33, help="values of Delta mu")
    parser.add_argument("--sweeps", type=_integers, default=[10, 100], help="a state; every number is a pair of scans")
    parser.add_argument("--copies", type=int, default=32)
    parser.add_argument("--samples", type=int, default=512, help="of the model, a state and direction")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="for tests: 16 sites, few states")
    parser.add_argument("--compare-only", action="store_true", help="only compare and draw what --output holds")
    parser.add_argument("--output", "-o", type=Path, default=RESULTS / "hysteresis.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "hysteresis.png")
    arguments = parser.parse_args()
    if arguments.small and parser.get_default("output") == arguments.output:
        parser.error("--small needs an --output (and --picture) of its own: the default holds the full figures")
    if arguments.small:
        small = {"model": "cuau-2x2x4", "temperatures": [450.0, 500.0], "steps": 9, "sweeps": [4], "copies": 8, "samples": 50}
        vars(arguments).update(small)
    if arguments.shown not in arguments.temperatures:
        parser.error(f"--shown {arguments.shown:g} must be among --temperatures")
    if min(arguments.sweeps) < 2 or arguments.copies < 2:
        parser.error("--sweeps and --copies must be at least 2: half of the sweeps is left out, errors are over copies")
    return arguments


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both kinds of scan, and how they were made."""
    warnings.filterwarnings("ignore", message=".*periodic images")
    model = arl.load(arguments.model)
    delta_mu = np.linspace(arguments.range[0], arguments.range[1], arguments.steps)
    curves, loops, seconds = {}, [], {}
    for sweeps in arguments.sweeps:
        start = time.monotonic()
        x = scan(model.hamiltonian, arguments.temperatures, delta_mu, sweeps, arguments.copies, arguments.seed)
        seconds[str(sweeps)] = round(time.monotonic() - start, 1)
        curves[str(sweeps)] = {f"{t:g}": _curve(x[:, k]) for k, t in enumerate(arguments.temperatures)}
        loops += [{"temperature": t, "sweeps": sweeps, **loop(delta_mu, x[:, k])} for k, t in enumerate(arguments.temperatures)]
        print(seconds, flush=True)
    return {
        "command": "python benchmarks/hysteresis.py" + " --small" * arguments.small,
        "device": f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "arlattice": arl.__version__,
        "run": {k: v for k, v in vars(arguments).items() if k not in ("small", "compare_only", "output", "picture")},
        "hamiltonian_fingerprint": model.hamiltonian.fingerprint,
        "model_fingerprint": model.fingerprint,
        "seconds": seconds,
        "delta_mu": delta_mu.round(9).tolist(),
        "monte_carlo": curves,
        "loops": loops,
        "model": _model(model, delta_mu, arguments),
    }


# -- Monte Carlo -----------------------------------------------------------------------------------


def scan(hamiltonian: Hamiltonian, temperatures: list[float], delta_mu: np.ndarray, sweeps: int, copies: int, seed: int) -> Tensor:
    """x_Au of every copy: (up and down, temperatures, Delta mu ascending, copies)."""
    stream, found = Stream(seed, "scan"), []
    occupations: Tensor | None = None
    for step, pair in enumerate(zip(delta_mu, delta_mu[::-1], strict=True)):
        states = [arl.SemiGrandCanonical(t, {"Au": float(mu)}) for mu in pair for t in temperatures]
        conditions = Conditions.from_states(states, hamiltonian)[torch.arange(len(states)).repeat_interleave(copies)]
        chains = ReplicaExchange(hamiltonian, conditions, (len(conditions),), stream, occupations)
        chains.run(sweeps - sweeps // 2 + BURN_IN * (step == 0))
        found.append(_mean_x(chains, sweeps // 2).view(2, len(temperatures), copies))
        occupations = chains.occupations
    up, down = torch.stack(found, 2)
    return torch.stack([up, down.flip(1)])


def _mean_x(chains: ReplicaExchange, sweeps: int) -> Tensor:
    """Average over the next sweeps, (chains,)."""
    total = torch.zeros(len(chains.occupations), dtype=torch.float64)
    for _ in range(sweeps):
        chains.run(1)
        total += (chains.occupations == AU).double().mean(1)
    return total / sweeps


def loop(delta_mu: np.ndarray, x: Tensor) -> dict[str, float]:
    """How far the directions lie apart: where most, and the area between them, with errors over the copies.

    Args:
        delta_mu: ascending, eV.
        x: (up and down, Delta mu, copies).
    """
    lag = x[1] - x[0]
    gap, error = _over_copies(lag)
    area, area_error = _over_copies(torch.trapezoid(lag, torch.from_numpy(delta_mu), dim=0))
    widest = int(gap.abs().argmax())
    return {
        "largest_gap": abs(float(gap[widest])),
        "largest_gap_error": float(error[widest]),
        "largest_gap_at": float(delta_mu[widest]),
        "area": float(area),
        "area_error": float(area_error),
    }


def _curve(x: Tensor) -> dict[str, list[float]]:
    """Means over the copies with their errors, by direction."""
    (up, down), (up_error, down_error) = _over_copies(x)
    return {"up": up.tolist(), "up_error": up_error.tolist(), "down": down.tolist(), "down_error": down_error.tolist()}


def _over_copies(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(-1), values.std(-1) / math.sqrt(values.shape[-1])


# -- the model -------------------------------------------------------------------------------------


def _model(model: arl.Model, delta_mu: np.ndarray, arguments: argparse.Namespace) -> dict[str, Any]:
    """x_Au with errors, and ESS, in both directions; Delta mu ascending."""
    up, down = (_drawn(model, order, arguments, seed) for order, seed in ((delta_mu, 1), (delta_mu[::-1], 2)))
    return {"temperature": arguments.shown, "up": up, "down": {key: values[::-1] for key, values in down.items()}}


def _drawn(model: arl.Model, delta_mu: np.ndarray, arguments: argparse.Namespace, direction: int) -> dict[str, list[float]]:
    seed = 10 * arguments.seed + direction
    line = arl.sweep(model, arguments.shown, delta_mu=delta_mu, n=arguments.samples, min_ess=0, seed=seed).isel(temperature=0)
    found = {"x": line["x"].sel(species="Au"), "x_error": line["x_error"].sel(species="Au"), "ess": line["ess"]}
    return {key: values.values.tolist() for key, values in found.items()}


def agreement(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of the model's directions with each other, and of the model with replica exchange at the states that both have."""
    model = result["model"]
    x, error = (np.array([model[direction][key] for direction in ("up", "down")]) for key in ("x", "x_error"))
    found = {"model up, model down": _agreement(x[0], error[0], x[1], error[1]) | _area(np.array(result["delta_mu"]), x, error)}
    if line := _isotherm(model["temperature"], result["hamiltonian_fingerprint"]):
        place = {round(mu, 6): k for k, mu in enumerate(line["delta_mu"])}
        here = [j for j, mu in enumerate(result["delta_mu"]) if round(mu, 6) in place]
        there = [place[round(result["delta_mu"][j], 6)] for j in here]
        y, y_error = (np.array(line[key])[there] for key in ("x_Au", "x_Au_error"))
        found["model, replica exchange"] = _agreement(x.mean(0)[here], np.hypot(*error)[here] / 2, y, y_error)
    return found


def _area(delta_mu: np.ndarray, x: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Area between the directions by the trapezoidal rule, as in `loop`, with the errors of independent states."""
    width = np.gradient(delta_mu) * np.where(np.isin(delta_mu, delta_mu[[0, -1]]), 0.5, 1.0)
    return {"area": float(width @ (x[1] - x[0])), "area_error": float(np.hypot.reduce(width * np.hypot(*error)))}


def _agreement(x: np.ndarray, x_error: np.ndarray, y: np.ndarray, y_error: np.ndarray) -> dict[str, float]:
    """chi2 over the states, the probability of a larger one, and the largest difference."""
    from scipy.stats import chi2

    error = np.hypot(x_error, y_error)
    deviation = np.divide(x - y, error, out=np.zeros_like(error), where=error > 0)
    widest, total = int(np.abs(x - y).argmax()), float((deviation**2).sum())
    return {
        "states": len(x),
        "chi2": total,
        "probability": float(chi2.sf(total, len(x))),
        "largest_gap": float(abs(x - y)[widest]),
        "largest_gap_error": float(error[widest]),
        "largest_deviation": float(np.abs(deviation).max()),
    }


def _isotherm(temperature: float, fingerprint: str) -> dict[str, list[float]] | None:
    """That of replica exchange, if the other program left one of this Hamiltonian and temperature."""
    if not CHECK.is_file():
        return None
    check = json.loads(CHECK.read_text(encoding="utf-8"))
    found: dict[str, list[float]] | None = check["isotherms"].get(f"{temperature:g}")
    return found if check["hamiltonian_fingerprint"] == fingerprint else None


# -- the picture -----------------------------------------------------------------------------------


def draw(result: dict[str, Any], path: Path) -> None:
    """Left: both directions of Monte Carlo and model at one temperature. Right: the area of the loop against temperature."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained", dpi=130)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_scans(left, result)
    _draw_areas(right, result)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


def _draw_scans(axes: Any, result: dict[str, Any]) -> None:
    model, mu = result["model"], result["delta_mu"]
    for k, (sweeps, curves) in enumerate(result["monte_carlo"].items()):
        curve = curves[f"{model['temperature']:g}"]
        for direction, marker in (("up", "^"), ("down", "v")):
            label = f"Monte Carlo {direction}, {sweeps} sweeps a state"
            axes.errorbar(
                mu, curve[direction], curve[f"{direction}_error"], color=f"C{k}", marker=marker, markersize=4, linewidth=1, label=label
            )
    for direction, marker in (("up", "^"), ("down", "v")):
        line = model[direction]
        axes.errorbar(mu, line["x"], line["x_error"], fmt=f"k{marker}", markersize=3, label=f"model {direction}")
    if line := _isotherm(model["temperature"], result["hamiltonian_fingerprint"]):
        axes.plot(line["delta_mu"], line["x_Au"], color="0.5", linewidth=1, label="replica exchange")
    axes.set(xlabel=r"$\Delta\mu$ (eV)", ylabel="x(Au)", title=f"{model['temperature']:g} K, {result['run']['model']}")
    axes.legend(frameon=False, fontsize=7)


def _draw_areas(axes: Any, result: dict[str, Any]) -> None:
    for sweeps in result["run"]["sweeps"]:
        rows = [row for row in result["loops"] if row["sweeps"] == sweeps]
        area, error = ([1000 * row[key] for row in rows] for key in ("area", "area_error"))
        axes.errorbar([row["temperature"] for row in rows], area, error, marker="o", label=f"{sweeps} sweeps a state")
    own = result["agreement"]["model up, model down"]
    axes.errorbar([result["model"]["temperature"]], [1000 * own["area"]], [1000 * own["area_error"]], fmt="k.", label="model")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="T (K)", ylabel="area of the loop (meV)", title="what the directions differ by")
    axes.legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    main()
