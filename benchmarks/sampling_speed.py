"""Cached sampling against re-running the network for every site: same weights, same device, one run.

Both draw the same number of configurations of the square-lattice Ising model and return exact log-probabilities.
The slow way is the plain one: for every site a causal pass over the sites placed so far.

    python benchmarks/sampling_speed.py --size 20 --batch 1024 --device cuda --output benchmarks/results/sampling_speed.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.decoding.orders import draw_orders
from arlattice.models.base import Model
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import randomise


def main() -> None:
    """Measure, print one line a configuration, and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20)
    parser.add_argument("--batch", type=int, nargs="+", default=[1024])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=5, help="of the cached way; the slow way runs once")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--fuse", action="store_true", help="compile the cached step")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = [
        _compare(arguments.size, batch, precision, arguments.repeats, arguments.device, arguments.fuse)
        for precision in arguments.precision
        for batch in arguments.batch
    ]
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2) + "\n")


def _compare(size: int, batch: int, precision: str, repeats: int, device: str, fuse: bool) -> dict[str, object]:
    model = _model(size, device)
    model.precision = precision
    stream = Stream(0, "speed", device)
    order = draw_orders(model.lattice, batch, "random", stream["order"])
    noise = stream.uniform(model.lattice.n_sites, batch)
    conditions = Conditions.from_states([arl.SemiGrandCanonical(2.269)], model.hamiltonian, device).expand(batch)
    slow, (x_slow, log_slow) = _timed(lambda: _rerun(model, noise, order, conditions), device)
    if fuse:
        model.compile_network()
    first, _ = _timed(lambda: model.draw(noise, order, conditions), device)
    times = [_timed(lambda: model.draw(noise, order, conditions), device) for _ in range(repeats)]
    x, log_prob = times[-1][1]
    fast = statistics.median(t for t, _ in times)
    same = (x == x_slow).all(1)
    row = {
        "sites": size * size,
        "batch": batch,
        "precision": precision,
        "fused": fuse,
        "cached_seconds": fast,
        "rerun_seconds": slow,
        "ratio": slow / fast,
        "cached_samples_per_second": batch / fast,
        "recording_seconds": first - fast,
        "same_configurations": float(same.double().mean()),
        "largest_log_prob_difference": float((log_prob - log_slow)[same].abs().max()) if same.any() else None,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
    }
    print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    return row


def _model(size: int, device: str) -> Model:
    """Default size, weights away from their zero start (the time does not depend on training)."""
    model = arl.model("any-order-transformer", arl.hamiltonian("ising", supercell=(size, size)))
    return randomise(model, scale=0.02).to(device).eval()


@torch.no_grad()
def _rerun(model: Model, noise: Tensor, order: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
    occupations = torch.zeros_like(order)
    log_prob = torch.zeros(len(order), dtype=torch.float64, device=order.device)
    with model.autocast():
        for i in range(order.shape[1]):
            logits = weigh.logits(model, occupations, Plan(order), conditions, steps=i + 1)[:, -1].double()
            total = logits.softmax(-1).cumsum(-1)
            species = (total[:, :-1] <= noise[i][:, None] * total[:, -1:]).sum(-1, keepdim=True)
            log_prob += logits.log_softmax(-1).gather(1, species)[:, 0]
            occupations.scatter_(1, order[:, i : i + 1], species)
    return occupations, log_prob


def _timed(function: Callable[[], tuple[Tensor, Tensor]], device: str) -> tuple[float, tuple[Tensor, Tensor]]:
    with torch.no_grad():
        _synchronize(device)
        started = time.perf_counter()
        result = function()
        _synchronize(device)
    return time.perf_counter() - started, result


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
