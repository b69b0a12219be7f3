"""Figures of the shipped models, against exact or Monte Carlo references.

Writes benchmarks/results/MODEL.json and the record in arlattice/pretrained/MODEL/model.json, which `arlattice models
MODEL` shows.

    python benchmarks/evaluate_models.py cuau-2x2x4
    python benchmarks/evaluate_models.py cuau-4x4x4 --reference-samples runs/reference-cuau-4x4x4.npz
    python benchmarks/evaluate_models.py cuau-4x4x8 --samples 1024
    python benchmarks/evaluate_models.py ising-10x10
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import arlattice as arl
from arlattice.io.records import read_tensors
from arlattice.models.base import Model
from arlattice.models.checkpoint import describe, load, read_record
from arlattice.random_numbers import Stream
from arlattice.samples import SampleSet
from arlattice.thermo.exact import Enumeration, ising_torus_log_z

ROOT = Path(__file__).parent.parent
AU = 1
REPORTED = ("coarse-to-fine", "random")  # orders
KT = 8.617333262e-5
PHASES = {
    "L1_0": ((1.0, 0.0, 0.0), 0.5),
    "Cu3Au": ((0.5, 0.5, 0.5), 0.25),
    "CuAu3": ((0.5, 0.5, 0.5), 0.75),
    "disordered": ((0.0, 0.0, 0.0), 0.5),
}


def main() -> None:
    """Evaluate one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=list(EVALUATIONS))
    parser.add_argument("--samples", type=int, default=4096, help="per state and kind of order")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reference-samples", type=Path, help="what benchmarks/reference_cuau.py run wrote")
    arguments = parser.parse_args()
    model = load(arguments.model, device=arguments.device)
    evaluate = EVALUATIONS[arguments.model]
    result = {
        "model": arguments.model,
        "command": f"python benchmarks/evaluate_models.py {arguments.model} --samples {arguments.samples} --seed {arguments.seed}",
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        **evaluate(model, arguments),
    }
    (ROOT / "benchmarks" / "results" / f"{arguments.model}.json").write_text(json.dumps(result, indent=1) + "\n")
    _record(arguments.model, result)
    print(result["summary"])


def cuau_small(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    """Gap to enumeration, KL(q || p) = exact log Z - ELBO, over 10 temperatures x 11 chemical potentials."""
    enumeration = Enumeration.of(model.hamiltonian)
    rows = []
    grid = list(itertools.product(np.linspace(450, 1250, 10), np.linspace(-0.4, 0.4, 11)))
    for (temperature, mu), order in tqdm(list(itertools.product(grid, REPORTED))):
        state = arl.SemiGrandCanonical(float(temperature), {"Au": float(mu)})
        samples = model.sample(arguments.samples, state, order=order, seed=arguments.seed)
        rows.append(_row(samples, order, enumeration.log_z(state)) | {"delta_mu": round(float(mu), 6)})
    figures = {order: _over([r["gap"] for r in rows if r["order"] == order]) for order in REPORTED}
    parts = [f"{order}: mean gap {f['mean']:.4f}, worst {f['worst']:.4f} nats" for order, f in figures.items()]
    return {"figures": figures, "states": rows, "summary": "T 450-1250 K x Delta mu +-0.4 eV, 110 states; " + "; ".join(parts)}


def cuau_large(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    """ESS from the model's samples (q) and from Monte Carlo samples (p) at field 0, and the phases in both."""
    file = np.load(arguments.reference_samples, allow_pickle=False)
    reference = {float(t): file["occupations"][k] for k, t in enumerate((500.0, 680.0, 1200.0))}
    rows = []
    for (temperature, chains), order in tqdm(list(itertools.product(reference.items(), REPORTED))):
        state = arl.SemiGrandCanonical(temperature, {"Au": 0.0})
        samples = model.sample(arguments.samples, state, order=order, seed=arguments.seed)
        row = _row(samples, order, None) | {"p_ess": _p_ess(model, state, chains, order, arguments)}
        row["phases_model"], row["phases_monte_carlo"] = _phases_model(samples), _phases_chains(chains, model)
        rows.append(row)
    parts = [f"{r['temperature']:.0f} K {r['ess']:.3f} / {r['p_ess']:.3f}" for r in rows if r["order"] == "coarse-to-fine"]
    return {"states": rows, "summary": "field 0, coarse to fine, q-ESS / p-ESS: " + ", ".join(parts)}


def cuau_largest(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    """log Z and x at the states of the Monte Carlo reference; benchmarks/report.py puts the two side by side."""
    reference = json.loads((ROOT / "benchmarks" / "results" / "reference-cuau-4x4x8.json").read_text(encoding="utf-8"))
    rows = []
    for seed, (known, order) in enumerate(tqdm(list(itertools.product(reference["states"], REPORTED))), arguments.seed):
        state = arl.SemiGrandCanonical(known["temperature"], {"Au": known["delta_mu"]})
        samples = model.sample(arguments.samples, state, order=order, seed=seed)
        x = samples.mean("x_Au")
        rows.append(_row(samples, order, None) | {"delta_mu": known["delta_mu"], "x_Au": x.value, "x_Au_error": x.error})
    at = {(r["temperature"], r["order"]): r for r in rows if r["delta_mu"] == 0}
    parts = [f"{t} K {' / '.join(format(at[t, order]['ess'], '.2f') for order in REPORTED)}" for t in (500, 680, 1200)]
    median = np.median([r["ess"] for r in rows])
    return {"states": rows, "summary": f"25 states: median ESS {median:.2f}; field 0, {' / '.join(REPORTED)}: " + ", ".join(parts)}


def ising(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    """Gap to Kaufman at h = 0, and ESS with a field."""
    critical = 2 / math.log(1 + math.sqrt(2))
    rows = []
    grid = itertools.product((1.5, critical, 3.0, 5.0), (0.0, 0.1, 1.0), REPORTED)
    for temperature, field, order in tqdm(list(grid)):
        state = arl.SemiGrandCanonical(temperature, arl.ChemicalPotentials.from_field(field))
        samples = model.sample(arguments.samples, state, order=order, seed=arguments.seed)
        exact = ising_torus_log_z(10, 1 / temperature) if field == 0 else None
        rows.append(_row(samples, order, exact) | {"field": field})
    at = {r["order"]: r["gap"] for r in rows if r["field"] == 0 and r["temperature"] == critical}
    return {"states": rows, "summary": "gap at T_c, h = 0: " + ", ".join(f"{order} {gap:.4f} nats" for order, gap in at.items())}


def _row(samples: SampleSet, order: str, exact: float | None) -> dict[str, Any]:
    log_z, elbo = samples.log_z(), samples.elbo()
    row = {
        "temperature": samples.state.temperature,
        "order": order,
        "samples": len(samples),
        "log_z": log_z.value,
        "log_z_error": log_z.error,
        "elbo": elbo.value,
        "elbo_error": elbo.error,
        "ess": samples.ess,
        "gap": (log_z.value if exact is None else exact) - elbo.value,
    }
    return row if exact is None else row | {"exact_log_z": exact}


def _over(gaps: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(gaps)), "worst": float(np.max(gaps))}


def _p_ess(model: Model, state: arl.Ensemble, chains: np.ndarray, order: str, arguments: argparse.Namespace) -> float:
    """1 / (E_p[w] E_p[1/w]) over Monte Carlo samples; equals E_q[w]^2 / E_q[w^2] if q misses nothing."""
    flat = torch.from_numpy(chains.reshape(-1, chains.shape[-1])).long()
    rows = Stream(arguments.seed, "rows").permutation(len(flat))[: arguments.samples]
    x = flat[rows]
    log_q = model.log_prob(x, state, order, seed=arguments.seed)
    log_w = state.log_f(model.lattice, "eV", model.hamiltonian.energy(x), x) - log_q
    n = math.log(len(x))
    return float(torch.exp(-(log_w.logsumexp(0) - n) - ((-log_w).logsumexp(0) - n)))


def _phases_model(samples: SampleSet) -> dict[str, list[float]]:
    """Weighted share of every phase and L1_0 variant, with error."""
    names, membership = _classify(samples.lattice, samples.occupations)
    return {name: list(samples.mean(membership[:, k])) for k, name in enumerate(names)}


def _phases_chains(chains: np.ndarray, model: Model) -> dict[str, list[float]]:
    """The same from Monte Carlo; errors over independent copies."""
    names, membership = _classify(model.lattice, torch.from_numpy(chains.reshape(-1, chains.shape[-1])).long())
    shares = membership.view(*chains.shape[:2], -1).mean(0)  # (copies, phases)
    errors = shares.std(0) / math.sqrt(len(shares))
    return {name: [float(shares[:, k].mean()), float(errors[k])] for k, name in enumerate(names)}


def _classify(lattice: arl.Lattice, occupations: Tensor) -> tuple[list[str], Tensor]:
    """Nearest ideal phase by the three <001> ordering waves and x_Au: names and one-hot (n, phases), float64.

    L1_0 is split into its six variants: the axis of the wave and its sign.
    """
    spins = (2 * (occupations == AU).double() - 1).numpy()
    waves = spins @ np.cos(2 * np.pi * lattice.positions / (lattice.cell.max() * 2)) / lattice.n_sites  # (n, 3), a = 2 x 1.9
    x_au = (spins.mean(1) + 1) / 2
    size = np.sort(np.abs(waves), axis=1)[:, ::-1]
    distance = np.stack([((size - ideal) ** 2).sum(1) + (x_au - x) ** 2 for ideal, x in PHASES.values()], 1)
    phase = distance.argmin(1)
    axis = np.abs(waves).argmax(1)
    sign = np.sign(np.take_along_axis(waves, axis[:, None], 1)[:, 0])
    variants = [f"L1_0 {a}{s}" for a in "xyz" for s in "+-"]
    names = [*variants, *list(PHASES)[1:]]
    index = np.where(phase == 0, 2 * axis + (sign < 0), 5 + phase)
    return names, torch.nn.functional.one_hot(torch.from_numpy(index), len(names)).double()


def _record(name: str, result: dict[str, Any]) -> None:
    """Put what was measured into the model's ``model.json``; the weights stay as they are."""
    folder = ROOT / "arlattice" / "pretrained" / name
    record = read_record(name) | {
        "command": f"arlattice train configs/{name}.toml -o runs/{name} --device cuda",
        "summary": result["summary"],
        "measured_by": result["command"],
    }
    tensors, description = read_tensors(folder / "model.safetensors", "model")
    describe(folder, tensors, description, record)


EVALUATIONS = {"cuau-2x2x4": cuau_small, "cuau-4x4x4": cuau_large, "cuau-4x4x8": cuau_largest, "ising-10x10": ising}


if __name__ == "__main__":
    main()
