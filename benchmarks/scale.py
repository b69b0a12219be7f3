"""How fast the shipped models draw large lattices, in single precision and in bfloat16, and what that costs in ESS: one device, one run.

A sample counts once it is on the host as part of a `SampleSet`, with its exact log-probability and its energy. The any-order
transformer draws beside the models of blocks, on the smallest of their lattices, with weights at random: its time does not depend on them.
With --train both families are trained there too, each with the options of its own run file, until the worst ESS of nine states is 0.8.

    python benchmarks/scale.py --device cuda --train 120 --output benchmarks/results/scale.json
    python benchmarks/scale.py ising-16x16 --device cpu --sites 65536
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shlex
import sys
import time
import warnings
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from references.readable_json import readable_json

import arlattice as arl
from arlattice.device import check_device
from arlattice.io.files import write_text
from arlattice.models.base import PRECISIONS, Model
from arlattice.testing import randomise
from arlattice.thermo.bounds import q_ess
from arlattice.training.config import RunConfig
from arlattice.training.health import TrainingWarning

STATES = {
    "ising-16x16": arl.SemiGrandCanonical(2.269185),
    "ising-32x32": arl.SemiGrandCanonical(2.269185),
    "ising-64x64": arl.SemiGrandCanonical(2.269185),
    "cuau-8x8x8": arl.SemiGrandCanonical(1200.0),
}
TRANSFORMER = "any-order-transformer"
RUN_FILES = {"multiscale": "ising-16x16.toml", TRANSFORMER: "ising-10x10.toml"}
"""Options of the training of each family; states and supercell are those of the first."""

UNTIL_ESS, EVERY = 0.8, 50  # ESS to reach, and steps between looks at it
CONFIGS = Path(__file__).parents[1] / "configs"
REPEATS = 5
RECOMPUTED = 64


def main() -> None:
    """Measure, print one line a model and precision, and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*STATES, TRANSFORMER], help=f"of {', '.join([*STATES, TRANSFORMER])}")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--sites", type=int, default=2**23, help="of all samples that one timing draws")
    parser.add_argument("--train", type=float, default=0.0, metavar="SECONDS", help="train each family for so long at most; 0: not")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {*STATES, TRANSFORMER}:
        parser.error(f"{', '.join(sorted(unknown))}: give some of {', '.join([*STATES, TRANSFORMER])}")
    device = check_device(arguments.device)
    rows: list[dict[str, Any]] = []
    trainings: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "command": shlex.join(["python", "benchmarks/scale.py", *sys.argv[1:]]),
        "rows": rows,
        "until_ess": UNTIL_ESS,
        "training": trainings,
    }
    for family in RUN_FILES if arguments.train > 0 else ():
        trainings.append(training(family, arguments.train, device))
        _keep(arguments.output, result)
    for name, precision in product(arguments.names, arguments.precision):
        rows.append(measured(name, precision, arguments.sites, device))
        _keep(arguments.output, result | {"growth": growth(rows)})


def _keep(output: Path | None, result: dict[str, Any]) -> None:
    """Write what is measured so far: who stops the program keeps it."""
    if output is not None:
        write_text(output, readable_json(result))


def measured(name: str, precision: str, sites: int, device: torch.device) -> dict[str, Any]:
    """Samples a second, the median of some draws after one that is not counted; ESS of all of them."""
    model, state = _model(name, precision, device)
    n = max(64, sites // model.lattice.n_sites)
    sets, times = [], []
    for seed in range(REPEATS + 1):
        started = time.perf_counter()
        sets.append(model.sample(n, state, seed=seed))
        times.append(time.perf_counter() - started)
    seconds = sorted(times[1:])[REPEATS // 2]
    row: dict[str, Any] = {"model": name, "sites": model.lattice.n_sites, "precision": precision, "temperature": state.temperature, "n": n}
    row |= {"samples_per_second": n / seconds, "device_share": _device_share(model, state, n) if device.type == "cuda" else None}
    few = sets[-1].select(slice(0, RECOMPUTED))
    again = model.log_prob(few.occupations, state, plan=few.plan)
    row["recomputed_difference"] = float((again - few.log_prob).abs().max())
    if name != TRANSFORMER:
        weights = torch.cat([samples.log_weight for samples in sets])
        row |= {"ess": q_ess(weights).value, "ess_error": q_ess(weights).error}
    print(", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def training(family: str, seconds: float, device: torch.device) -> dict[str, Any]:
    """Seconds that a family trains until its worst ESS is `UNTIL_ESS`, or all of them; the ESS that it has then."""
    first, own = (RunConfig.from_toml(CONFIGS / RUN_FILES[name]) for name in ("multiscale", family))
    options = own.training.model_copy(update={"until_ess": UNTIL_ESS, "evaluate_every": EVERY, "evaluate_samples": 256, "seed": 1})
    sizes = {name: value for name, value in (own.model or {}).items() if name != "name"}
    H = arl.hamiltonian("ising", supercell=first.hamiltonians[0]["supercell"])
    with TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # that the time was over is in the row
        folder = Path(name) / "run"
        kept = {"folder": folder, "device": device, "time_limit": seconds, "progress": False}
        model = arl.train(H, first.states, model=family, model_options=sizes, training=options, **kept)  # type: ignore[arg-type]
        lines = (folder / "metrics.jsonl").read_text().splitlines()
    worst = json.loads(lines[-1])["worst_ess"] if lines else None
    record = model.record
    row = {"model": family, "run_file": RUN_FILES[family], "seconds": record["seconds"], "steps": record["steps"], "worst_ess": worst}
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exponent of the time a sample takes in the number of sites, between Ising lattices."""
    found = []
    for precision in sorted({row["precision"] for row in rows}):
        ising = [row for row in rows if row["precision"] == precision and row["model"].startswith("ising")]
        for small, large in pairwise(sorted(ising, key=lambda row: row["sites"])):
            exponent = math.log(small["samples_per_second"] / large["samples_per_second"]) / math.log(large["sites"] / small["sites"])
            found.append({"precision": precision, "from": small["sites"], "to": large["sites"], "exponent": exponent})
    return found


def _model(name: str, precision: str, device: torch.device) -> tuple[Model, arl.SemiGrandCanonical]:
    if name != TRANSFORMER:
        return arl.load(name, device=device, precision=precision), STATES[name]
    model = randomise(arl.model(TRANSFORMER, arl.hamiltonian("ising", supercell=(16, 16))), scale=0.02).to(device).eval()
    model.precision = precision
    return model, STATES["ising-16x16"]


def _device_share(model: Model, state: arl.SemiGrandCanonical, n: int) -> float:
    """Share of the wall time in which the device computes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        started = time.perf_counter()
        model.sample(n, state, seed=0)
        seconds = time.perf_counter() - started
    return sum(event.self_device_time_total for event in seen.key_averages()) / 1e6 / seconds


if __name__ == "__main__":
    main()
