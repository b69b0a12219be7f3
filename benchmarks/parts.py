"""What parts of a class of cells buy: the same network and the same seconds of training, with more and smaller blocks (docs: blocks).

python benchmarks/parts.py --length 8 --seconds 90 --device cpu
python benchmarks/parts.py --length 16 --seconds 50 --width 64 --layers 3 --batch-size 512 --device cuda
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import torch

import arlattice as arl
from arlattice.io.files import write_text
from arlattice.thermo.exact import ising_torus_log_z

RESULTS = Path(__file__).parent / "results" / "parts.json"
CRITICAL = arl.SemiGrandCanonical(2.269185, {})
PARTS = (1, 2, 4)


def main() -> None:
    """Train with each number of parts, one after another, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=8, help="of the Ising torus")
    parser.add_argument("--seconds", type=float, default=90, help="of training, for each number of parts")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [_row(given, parts) for parts in PARTS]
    command = " ".join(["python benchmarks/parts.py", *(f"--{name.replace('_', '-')} {value}" for name, value in vars(given).items())])
    device = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"CPU, {platform.machine()}"
    found = {"command": command, "device": device, "torch": torch.__version__, "length": given.length, "rows": rows}
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")


def _row(given: argparse.Namespace, parts: int) -> dict[str, Any]:
    """One number of parts: as many steps as its seconds hold, so that the learning rate comes to its end."""
    hamiltonian = arl.hamiltonian("ising", supercell=(given.length, given.length))
    started = time.perf_counter()
    _train(hamiltonian, given, parts, 10, 1)  # what is compiled once
    started = time.perf_counter()
    _train(hamiltonian, given, parts, 40, 1)
    steps = max(50, round(given.seconds * 40 / (time.perf_counter() - started)))
    started = time.perf_counter()
    model = _train(hamiltonian, given, parts, steps, 500)
    seconds = time.perf_counter() - started
    samples = model.sample(given.samples, CRITICAL, seed=1)
    gap = ising_torus_log_z(given.length, 1 / CRITICAL.temperature) - samples.elbo().value
    sizes = samples.plan.sizes if samples.plan is not None else None
    row = {"parts": parts, "blocks": len(sizes or ()), "steps": steps, "seconds": seconds, "ess": samples.ess, "gap": gap}
    print(row, flush=True)
    return row


def _train(hamiltonian: arl.Hamiltonian, given: argparse.Namespace, parts: int, steps: int, sweeps: int) -> arl.Model:
    gpu = given.device.startswith("cuda")
    options = {
        "objective": "forward",
        "soft_targets": True,
        "steps": steps,
        "batch_size": given.batch_size,
        "replica_copies": 8 * given.batch_size,
        "equilibration_sweeps": sweeps,
        "learning_rate": 2e-3,
        "ema_decay": 0.99,
        "evaluate_every": 10**6,
        "seed": 0,
        "precision": "bfloat16" if gpu else "float32",
        "compile": gpu,
    }
    network = {"width": given.width, "layers": given.layers, "parts": parts}
    return arl.train(
        hamiltonian, CRITICAL, model="multiscale", model_options=network, training=options, device=given.device, progress=False
    )


if __name__ == "__main__":
    main()
