"""Figures of the shipped models, against exact or Monte Carlo references.

Writes benchmarks/results/MODEL.json and the record in arlattice/pretrained/MODEL/model.json, which `arlattice models
MODEL` shows. What is measured where is one entry a model in benchmarks/evaluation/cases.py. Each kind of plan of a model is
reported by itself. The chains of an alloy are the file that `benchmarks/reference_cuau.py run` wrote.

    python benchmarks/evaluate_models.py cuau-2x2x4
    python benchmarks/evaluate_models.py cuau-8x8x8 --chains runs/reference-cuau-8x8x8.npz --device cuda
    python benchmarks/evaluate_models.py ising-64x64 --device cuda
    python benchmarks/evaluate_models.py cuau-8x8x8 --model runs/cuau-8x8x8 --output trial.json
    python benchmarks/evaluate_models.py cuau-8x8x8 --result trial.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluation.cases import CASES, RESULTS, Case
from evaluation.figures import measured, of_chains, phases_of_chains, rate
from references.readable_json import readable_json
from tqdm import tqdm

import arlattice as arl
from arlattice.io.files import write_text
from arlattice.io.records import read_tensors
from arlattice.models.checkpoint import describe, load, read_record

PRETRAINED = Path(arl.__file__).parent / "pretrained"
UNTRAINED = ("raster",)  # kinds of plan that a family draws in and no shipped model is trained for


def main() -> None:
    """Evaluate one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(CASES))
    parser.add_argument("--model", help="a folder instead of the shipped model of that name; its record stays as it is")
    parser.add_argument("--samples", type=int, default=4096, help="per state and kind of plan")
    parser.add_argument("--orders", type=lambda text: text.split(","), help="kinds of plan; default: all that are trained")
    parser.add_argument("--temperatures", type=lambda text: [float(t) for t in text.split(",")], help="default: all that are known")
    parser.add_argument("--chains", type=Path, help="what benchmarks/reference_cuau.py run wrote")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--training-command", help="for the record; default: what it says, or the run file of that name")
    parser.add_argument("--result", type=Path, help="what this program wrote on another machine, of the same weights, instead of measuring")
    parser.add_argument(
        "--weigh", type=int, default=0, help="with --result: configurations of the chains to weigh in states without a field"
    )
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/NAME.json")
    arguments = parser.parse_args()
    result = evaluated(CASES[arguments.name], arguments) if arguments.result is None else _measured_elsewhere(arguments)
    write_text(arguments.output or RESULTS / f"{arguments.name}.json", readable_json(result))
    if arguments.model is None:
        _record(PRETRAINED / arguments.name, arguments, result)
    print(result["summary"])


def evaluated(case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """All rows of a model, with figures over the states of each kind of plan."""
    model = load(arguments.model or arguments.name, device=arguments.device)
    known = case.known(model.hamiltonian, arguments.chains)
    orders = arguments.orders or [kind for kind in model.orders if kind not in UNTRAINED] or list(model.orders)
    wanted = arguments.temperatures
    states = [state for state in known.states if wanted is None or any(math.isclose(state.temperature, t, rel_tol=1e-4) for t in wanted)]
    rows = []
    for number, state in enumerate(tqdm(states, mininterval=5)):
        beside = known.at(state)
        for k, order in enumerate(orders):
            seed = arguments.seed + number * len(orders) + k
            rows.append(measured(model, state, order, arguments.samples, seed, beside, case.phases))
    figures = {order: _figures([r for r in rows if r["order"] == order]) for order in orders}
    return {
        "model": arguments.name,
        "command": _command(arguments),
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "training": _training(model.record),
        "model_fingerprint": model.fingerprint,
        "figures": figures,
        "states": rows,
        "summary": "; ".join(_summary(case, order, rows, figures[order]) for order in orders),
    }


def _training(record: dict[str, Any]) -> dict[str, Any]:
    """How the weights were made; seconds with those of the model that they started from."""
    found = {key: record[key] for key in ("steps", "seconds", "device", "seed", "command") if key in record}
    earlier = record.get("start", {}).get("seconds", 0.0)
    return found | {"seconds": round(found["seconds"] + earlier, 1)} if "seconds" in found else found


def _measured_elsewhere(arguments: argparse.Namespace) -> dict[str, Any]:
    """A result of the same weights."""
    result: dict[str, Any] = json.loads(arguments.result.read_text(encoding="utf-8"))
    model = load(arguments.model or arguments.name)
    if result["model_fingerprint"] != model.fingerprint:
        theirs = f"of the weights {result['model_fingerprint']}, those of {arguments.name} are {model.fingerprint}"
        sys.exit(f"--result {arguments.result}: {theirs}")
    if arguments.chains is not None:
        _add_chains(result, model, arguments)
    return result | {"training": _training(model.record)}


def _add_chains(result: dict[str, Any], model: arl.Model, arguments: argparse.Namespace) -> None:
    """Put Monte Carlo beside what another machine measured of the model, in place."""
    case = CASES[arguments.name]
    known = case.known(model.hamiltonian, arguments.chains)
    states = {(state.temperature, state.chemical_potentials.get("Au", 0.0)): state for state in known.states}
    for row in tqdm(result["states"], mininterval=5):
        chains = known.at(states[row["temperature"], row["delta_mu"]]).chains
        if chains is not None and case.phases:
            row |= phases_of_chains(chains)
        if chains is not None and arguments.weigh and not row["delta_mu"]:
            row |= of_chains(row, chains, model, arguments.weigh)
    result["figures"] = {order: _figures([r for r in result["states"] if r["order"] == order]) for order in result["figures"]}
    result["summary"] = "; ".join(_summary(case, order, result["states"], figures) for order, figures in result["figures"].items())
    words = (
        f"python benchmarks/evaluate_models.py {arguments.name} --result runs/{arguments.name}.json --chains runs/{arguments.chains.name}"
    )
    result["beside"] = f"{words} --weigh {arguments.weigh}"


def _command(arguments: argparse.Namespace) -> str:
    words = [f"python benchmarks/evaluate_models.py {arguments.name} --samples {arguments.samples} --seed {arguments.seed}"]
    words += [f"--orders {','.join(arguments.orders)}"] if arguments.orders else []
    words += [f"--temperatures {','.join(f'{t:g}' for t in arguments.temperatures)}"] if arguments.temperatures else []
    words += [f"--chains runs/{arguments.chains.name}"] if arguments.chains else []
    return " ".join([*words, *(["--device cuda"] if arguments.device.startswith("cuda") else [])])


def _figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Over the states of one kind of plan."""
    gaps, q = [r["gap"] for r in rows], [r["ess"] for r in rows]
    found = {"mean": np.mean(gaps), "worst": np.max(gaps), "median_ess": np.median(q), "lowest_ess": np.min(q)}
    p = [r["p_ess"] for r in rows if "p_ess" in r]
    if p:
        found |= {"median_p_ess": np.median(p), "lowest_p_ess": np.min(p), "lost_modes": sum(r.get("lost_mode", False) for r in rows)}
        found |= {"p_ess_states": len(p)}
    return {name: float(value) for name, value in found.items()} | {"samples_per_second": rate(rows)}


def _summary(case: Case, order: str, rows: list[dict[str, Any]], figures: dict[str, float]) -> str:
    """Gap and ESS at the headline temperatures and field zero, and over all states."""
    own = [r for r in rows if r["order"] == order]
    at_zero = {r["temperature"]: r for r in own if not r.get("delta_mu", r.get("field"))}
    parts = [_at(at_zero[t]) for t in case.headline if t in at_zero]
    every = f"{len(own)} states: mean gap {figures['mean']:.4f}, worst {figures['worst']:.4f} nats, lowest ESS {figures['lowest_ess']:.2f}"
    return f"{order}, field 0, gap (q-ESS / p-ESS): {', '.join(parts)}; {every}; {figures['samples_per_second']:,.0f} samples/s"


def _at(row: dict[str, Any]) -> str:
    """One state in words."""
    both = f"{row['ess']:.3f}" + (f" / {row['p_ess']:.3f}" if "p_ess" in row else "")
    return f"{row['temperature']:.4g}{' K' if 'delta_mu' in row else ''} {row['gap']:.4f} ({both})"


def _record(folder: Path, arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    """Put what was measured into the model's ``model.json``; the weights stay as they are."""
    record = read_record(folder)
    made_by = f"arlattice train configs/{arguments.name}.toml -o runs/{arguments.name} --device cuda"
    record |= {
        "command": arguments.training_command or record.get("command", made_by),
        "summary": result["summary"],
        "measured_by": result["command"],
    }
    tensors, description = read_tensors(folder / "model.safetensors", "model")
    describe(folder, tensors, description, record)


if __name__ == "__main__":
    main()
