"""The Ising models against exact results: free energy beside Kaufman's, Binder cumulants that cross near T_c.

Free energy: the shipped ising-10x10 at zero field beside B. Kaufman, Phys. Rev. 76, 1232 (1949). Binder's cumulant
U = 1 - <m^4> / (3 <m^2>^2) = -k4 / (3 k2^2), the cumulants of the magnetisation being derivatives of log Z with the field: exact from
the transfer matrix up to 10x10. Beside it the shipped model, models of 4x4 and 6x6 trained here for a minute, and
Swendsen-Wang, also at sizes that have neither. U of two sizes crosses near T_c: K. Binder, Z. Phys. B 43, 119 (1981).

    python benchmarks/ising_check.py
    python benchmarks/ising_check.py --draw-only
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import arlattice as arl
from arlattice.estimate import Estimate
from arlattice.io.files import replacing, write_text
from arlattice.models.base import Model
from arlattice.montecarlo import sample_chains
from arlattice.montecarlo.autocorrelation import mean_error, number_of_chains
from arlattice.thermo.exact import ising_torus_log_z
from arlattice.thermo.transfer_matrix import ising_transfer_matrix_log_z
from arlattice.training.states import StateRange

ROOT = Path(__file__).parent.parent
SHIPPED, LENGTH = "ising-10x10", 10
CRITICAL = 2 / math.log(1 + math.sqrt(2))
FIELD_STEPS, WIDEST = 6, 0.3  # of the fit to log Z: beta h M up to 0.3 standard deviations
Cumulants = list[Estimate]
"""Binder's cumulant at the temperatures of the run."""


def main() -> None:
    """Measure, write, draw."""
    arguments = _arguments()
    if not arguments.draw_only:
        write_text(arguments.output, json.dumps(measure(arguments), indent=1) + "\n")
    result = json.loads(arguments.output.read_text(encoding="utf-8"))
    print(result["free_energy_chi2"], *result["agreement"], *result["crossings"], sep="\n")
    draw(result, arguments.picture)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--free-energy-samples", type=int, default=512, help="a temperature")
    parser.add_argument("--free-energy-steps", type=int, default=15, help="temperatures from 1.5 to 5")
    parser.add_argument("--temperatures", type=int, default=7, help="of Binder's cumulant, from 2.12 to 2.42")
    parser.add_argument("--samples", type=int, default=2048, help="of every model, a temperature")
    parser.add_argument("--trained", type=_integers, default=[4, 6], help="sizes of the models trained here")
    parser.add_argument("--training-steps", type=int, default=300)
    parser.add_argument("--sizes", type=_integers, default=[4, 6, 8, 10, 16], help="of Swendsen-Wang")
    parser.add_argument("--exact", type=int, default=10, help="largest size of the transfer matrix, at most 12")
    parser.add_argument("--chains", type=int, default=64)
    parser.add_argument("--sweeps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="for tests: few samples, small sizes")
    parser.add_argument("--draw-only", action="store_true", help="only draw what --output holds")
    parser.add_argument("--output", "-o", type=Path, default=ROOT / "benchmarks" / "results" / "ising-check.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "ising-check.png")
    arguments = parser.parse_args()
    if arguments.small and parser.get_default("output") == arguments.output:
        parser.error("--small needs an --output (and --picture) of its own: the default holds the full figures")
    small = {"free_energy_samples": 16, "free_energy_steps": 3, "temperatures": 3, "samples": 32, "trained": [4], "training_steps": 2}
    vars(arguments).update(small | {"sizes": [4, 6], "exact": 6, "chains": 16, "sweeps": 40} if arguments.small else {})
    return arguments


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures, and how they were made."""
    start, temperatures = time.monotonic(), np.linspace(2.12, 2.42, arguments.temperatures).round(6).tolist()
    shipped = arl.load(SHIPPED)
    free_energy = _free_energies(shipped, np.linspace(1.5, 5.0, arguments.free_energy_steps).tolist(), arguments)
    models = {length: _trained(length, arguments) for length in arguments.trained} | {LENGTH: shipped}
    exact = sorted(length for length in {*arguments.sizes, *models} if length <= arguments.exact)
    found = {
        "exact": {length: [Estimate(binder(length, t), 0.0) for t in temperatures] for length in exact},
        "model": {length: _by_model(model, temperatures, arguments) for length, model in models.items()},
        "swendsen-wang": {length: _by_clusters(length, temperatures, arguments) for length in arguments.sizes},
    }
    return {
        "command": "python benchmarks/ising_check.py" + " --small" * arguments.small,
        "device": f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "arlattice": arl.__version__,
        "run": {k: v for k, v in vars(arguments).items() if k not in ("small", "draw_only", "output", "picture")},
        "model": {"name": SHIPPED, "fingerprint": shipped.fingerprint},
        "seconds": round(time.monotonic() - start, 1),
        "critical_temperature": CRITICAL,
        "free_energy": free_energy,
        "free_energy_chi2": _chi2([(row["free_energy"] - row["exact"]) / row["error"] for row in free_energy]),
        "temperatures": temperatures,
        "binder": found,
        "agreement": _agreements(found),
        "crossings": _crossings(temperatures, found),
    }


# -- free energy -----------------------------------------------------------------------------------


def _free_energies(model: Model, temperatures: Sequence[float], arguments: argparse.Namespace) -> list[dict[str, float]]:
    """Per site, in units of J; every state has random numbers of its own."""
    found = arl.sweep(model, temperatures, n=arguments.free_energy_samples, min_ess=0, seed=arguments.seed, progress=True)
    columns = (found[name].values.tolist() for name in ("phi", "phi_error", "ess"))
    exact = [-t * ising_torus_log_z(LENGTH, 1 / t) / LENGTH**2 for t in temperatures]
    names = ("temperature", "exact", "free_energy", "error", "ess")
    return [dict(zip(names, row, strict=True)) for row in zip(temperatures, exact, *columns, strict=True)]


# -- Binder's cumulant -----------------------------------------------------------------------------


@cache
def binder(length: int, temperature: float) -> float:
    """Exact cumulant of a length x length torus at zero field, for lengths up to 12.

    log Z(h) / Z(0) = k2 a^2 / 2 + k4 a^4 / 24 + ... with a = beta h is even in a: a polynomial in a^2 through six fields.
    """
    beta = 1 / temperature
    log_z = partial(ising_transfer_matrix_log_z, length, length, beta)
    none, first = log_z(0.0), 1e-3 / length
    deviation = math.sqrt(2 * (log_z(first / beta) - none)) / first
    a2 = (WIDEST / deviation * np.arange(1, FIELD_STEPS + 1) / FIELD_STEPS) ** 2
    scaled = np.array([(log_z(math.sqrt(value) / beta) - none) / value for value in a2])
    half_k2, k4_by_24 = np.polynomial.Polynomial.fit(a2, scaled, FIELD_STEPS - 1).convert().coef[:2]
    return float(-24 * k4_by_24 / (3 * (2 * half_k2) ** 2))


def _trained(length: int, arguments: argparse.Namespace) -> Model:
    """A model of a small lattice from nothing, for the temperatures of the cumulants."""
    options = {"objective": "forward", "steps": arguments.training_steps, "batch_size": 64, "learning_rate": 2e-3, "ema_decay": 0.98}
    options |= {"replica_copies": 16, "equilibration_sweeps": 200, "evaluate_every": 50, "seed": arguments.seed}
    size = {"width": 64, "heads": 4, "layers": 2}
    states, hamiltonian = StateRange(temperature=(2.1, 2.45)), arl.hamiltonian("ising", supercell=(length, length))
    return arl.train(hamiltonian, states, model_options=size, training=options, device="cpu")


def _by_model(model: Model, temperatures: Sequence[float], arguments: argparse.Namespace) -> Cumulants:
    found = arl.sweep(
        model, temperatures, observables=["magnetisation"], n=arguments.samples, min_ess=0, seed=arguments.seed, progress=True
    )
    value, error = (found[name].sel(moment="binder").values.tolist() for name in ("magnetisation", "magnetisation_error"))
    print(f"{model.lattice.n_sites} sites: lowest ESS {float(found['ess'].min()):.3f}", flush=True)
    return [Estimate(*pair) for pair in zip(value, error, strict=True)]


def _by_clusters(length: int, temperatures: Sequence[float], arguments: argparse.Namespace) -> Cumulants:
    """Sizes above 10 get fewer sweeps, so that they take as long as 10."""
    hamiltonian, found = arl.hamiltonian("ising", supercell=(length, length)), []
    sweeps = round(arguments.sweeps * min(1.0, LENGTH / length) ** 2)
    for k, t in enumerate(tqdm(temperatures, desc=f"Swendsen-Wang {length}")):
        run = {"chains": arguments.chains, "sweeps": sweeps, "burn_in": sweeps // 10, "thin": 2, "seed": arguments.seed + k}
        found.append(_chain_binder(sample_chains(hamiltonian, arl.SemiGrandCanonical(t), move="swendsen-wang", **run)))
    return found


def _chain_binder(samples: arl.SampleSet) -> Estimate:
    """The cumulant of chains; its error is that of its linear part, from the autocorrelation time."""
    m2 = (2 * samples.composition[:, 1] - 1).square()
    m4, mean2 = m2.square(), m2.mean()
    value = 1 - m4.mean() / (3 * mean2.square())
    linear = (2 * m4.mean() * m2 / mean2 - m4) / (3 * mean2.square())
    return Estimate(float(value), float(mean_error(linear, number_of_chains(samples))))


# -- what follows ----------------------------------------------------------------------------------


def _agreements(found: dict[str, dict[int, Cumulants]]) -> list[dict[str, Any]]:
    """chi2 of every curve against the exact one of its size."""
    return [
        {
            "by": by,
            "length": length,
            **_chi2([(e.value - x.value) / e.error for e, x in zip(found[by][length], found["exact"][length], strict=True)]),
        }
        for by in ("model", "swendsen-wang")
        for length in sorted(set(found[by]) & set(found["exact"]))
    ]


def _chi2(deviations: Sequence[float]) -> dict[str, float]:
    """Sum of squares, the number of them, and the probability of a larger sum."""
    from scipy.stats import chi2

    total = sum(d**2 for d in deviations)
    return {"points": len(deviations), "chi2": total, "probability": float(chi2.sf(total, len(deviations)))}


def _crossings(temperatures: Sequence[float], found: dict[str, dict[int, Cumulants]]) -> list[dict[str, Any]]:
    """Every pair of sizes that one route has, and the exact crossing where there is one."""
    rows = []
    for by in ("model", "swendsen-wang"):
        lengths = sorted(found[by])
        for a, b in [(a, b) for a in lengths for b in lengths if a < b]:
            point = crossing(temperatures, found[by][a], found[by][b])
            exact = exact_crossing(a, b) if b in found["exact"] else None
            found_there = {"temperature": point.value, "error": point.error} if point else {"temperature": None, "error": None}
            rows.append({"by": by, "lengths": [a, b], **found_there, "exact": exact})
    return rows


def crossing(temperatures: Sequence[float], a: Cumulants, b: Cumulants) -> Estimate | None:
    """Where U_a - U_b is zero: a cubic through the differences by least squares (quadratic for three points); None if nowhere."""
    difference, error = np.array([(x.value - y.value, math.hypot(x.error, y.error)) for x, y in zip(a, b, strict=True)]).T
    t = np.array(temperatures) - CRITICAL
    design = t[:, None] ** np.arange(min(4, len(t)))
    covariance = np.linalg.inv((design / error[:, None] ** 2).T @ design)
    fit = np.polynomial.Polynomial(covariance @ (design / error[:, None] ** 2).T @ difference)
    roots = fit.roots()
    inside = roots[(abs(roots.imag) < 1e-9) & (roots.real >= t[0]) & (roots.real <= t[-1])].real
    if not len(inside):
        return None
    root = float(inside[abs(inside).argmin()])
    powers = root ** np.arange(design.shape[1])
    return Estimate(CRITICAL + root, math.sqrt(powers @ covariance @ powers) / abs(float(fit.deriv()(root))))


def exact_crossing(a: int, b: int) -> float:
    """Of the exact cumulants of two sizes."""
    from scipy.optimize import brentq

    return float(brentq(lambda t: binder(a, t) - binder(b, t), 2.15, 2.4, xtol=1e-6))


# -- the picture -----------------------------------------------------------------------------------


def draw(result: dict[str, Any], path: Path) -> None:
    """Left: free energy, and what it differs by. Right: cumulants, and their differences from the exact ones of 10x10."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained", dpi=120)
    panels = figure.subplots(2, 2, height_ratios=[2, 1], sharex="col")
    _draw_free_energy(panels[0, 0], panels[1, 0], result["free_energy"])
    _draw_binder(panels[0, 1], panels[1, 1], result)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


def _draw_free_energy(above: Any, below: Any, rows: list[dict[str, float]]) -> None:
    temperature, found, error, exact = (np.array([row[key] for row in rows]) for key in ("temperature", "free_energy", "error", "exact"))
    fine = np.linspace(temperature[0], temperature[-1], 100)
    above.plot(fine, [-t * ising_torus_log_z(LENGTH, 1 / t) / LENGTH**2 for t in fine], "0.5", label="Kaufman, exact")
    above.plot(temperature, found, "k.", label=f"model {SHIPPED}")
    above.set(ylabel="free energy a site (J)", title="10x10 Ising, no field")
    above.legend(frameon=False, fontsize=8)
    below.axhline(0, color="0.5")
    below.errorbar(temperature, 1e4 * (found - exact), 1e4 * error, fmt="k.")
    below.set(xlabel="T (J/k)", ylabel="difference (1e-4 J)")


def _draw_binder(above: Any, below: Any, result: dict[str, Any]) -> None:
    temperatures, found = np.array(result["temperatures"]), result["binder"]
    fine = np.linspace(temperatures[0], temperatures[-1], 31)
    largest = max(found["exact"], key=int)
    reference = _polynomial(temperatures, found["exact"][largest])
    for k, length in enumerate(sorted({key for curves in found.values() for key in curves}, key=int)):
        if exact := found["exact"].get(length):
            curve = _polynomial(temperatures, exact)
            above.plot(fine, curve(fine), color=f"C{k}", linewidth=1, label=f"L = {length}")
            below.plot(fine, curve(fine) - reference(fine), color=f"C{k}", linewidth=1)
        for by, marker in (("model", "o"), ("swendsen-wang", "x")):
            if line := found[by].get(length):
                value, error = np.array(line).T
                label = None if exact else f"L = {length}"
                style = {"fmt": marker, "color": f"C{k}", "markersize": 4, "fillstyle": "none", "linewidth": 1}
                above.errorbar(temperatures, value, error, **style, label=label)
                below.errorbar(temperatures, value - reference(temperatures), error, **style)
    for axes in (above, below):
        axes.axvline(CRITICAL, color="0.6", linestyle=":", linewidth=1)
    above.plot([], [], "ko", fillstyle="none", label="models")
    above.plot([], [], "kx", label="Swendsen-Wang")
    above.plot([], [], "k", linewidth=1, label="exact")
    above.set(ylabel="Binder cumulant U", title=r"crossing near $T_c$ (dotted)")
    above.legend(frameon=False, fontsize=7, ncols=2)
    below.set(xlabel="T (J/k)", ylabel=f"U - exact U of L = {largest}", ylim=(-0.03, 0.03))


def _polynomial(temperatures: np.ndarray, cumulants: Sequence[Sequence[float]]) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth curve through exact points."""
    return np.polynomial.Polynomial.fit(temperatures, [value for value, _ in cumulants], len(temperatures) - 1)


if __name__ == "__main__":
    main()
