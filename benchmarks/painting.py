"""What painting loses, by order, context and energies.

Writes benchmarks/results/painting-SYSTEM.json and the table in docs/painting.md. The default samples take a quarter of an
hour a system on one core; give more on a GPU.

    python benchmarks/painting.py ising --samples 2048 --device cuda
    python benchmarks/painting.py cuau
    python benchmarks/painting.py --table
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import arlattice as arl
from arlattice.hamiltonians import Hamiltonian
from arlattice.io.files import write_text
from arlattice.models.base import Model
from arlattice.models.painted import paint
from arlattice.thermo.exact import ising_torus_log_z

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "painting.md"
PLACE = re.compile(r"(?<=<!-- painting: table -->\n).*(?=<!-- painting: end -->)", re.DOTALL)
CRITICAL = 2 / math.log(1 + math.sqrt(2))
CHOICES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("raster", {}),
    ("raster", {"true_energies": False}),
    ("raster", {"context": "all", "true_energies": False}),
    ("raster", {"window_temperature": 1.05}),
    ("coarse-to-fine", {}),
    ("random", {}),
)
ALLOY_CHOICES: tuple[tuple[str, dict[str, Any]], ...] = tuple(
    (order, options)
    for order in ("raster", "coarse-to-fine", "random")
    for options in ({}, {"true_energies": False}, {"window_temperature": 1.2}, {"window_temperature": 1.5})
)


def main() -> None:
    """Measure every choice for one system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("system", nargs="?", choices=["ising", "cuau"])
    asked.add_argument("--table", action="store_true", help="only make the table of docs/painting.md anew")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="another file; the page stays as it is")
    arguments = parser.parse_args()
    if arguments.system:
        measure(arguments)
    if arguments.output is None:
        write_text(PAGE, filled(PAGE.read_text(encoding="utf-8")))


def measure(arguments: argparse.Namespace) -> None:
    """Every choice, into the result file."""
    warnings.filterwarnings("ignore", message=".*periodic images")
    rows = {"ising": ising, "cuau": cuau}[arguments.system](arguments)
    result = {
        "command": f"python benchmarks/painting.py {arguments.system} --samples {arguments.samples} --seed {arguments.seed}",
        "device": torch.cuda.get_device_name() if arguments.device.startswith("cuda") else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "rows": rows,
    }
    write_text(arguments.output or RESULTS / f"painting-{arguments.system}.json", json.dumps(result, indent=1) + "\n")


def filled(page: str) -> str:
    """The page with its table made from the result files."""
    results = [json.loads((RESULTS / f"painting-{system}.json").read_text(encoding="utf-8")) for system in ("ising", "cuau")]
    head = ["lattice", "T", "order", "seen", "energies", "window T", "<log p - log f>", "gap, nats", "ESS", "E per site"]
    lines = [head, ["---"] * len(head), *(_cells(row) for result in results for row in result["rows"])]
    made = [f"`{result['command']}` ({result['device']}, torch {result['torch']})" for result in results]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return PLACE.sub(lambda _: f"{table}\n\nBrackets: error in the last digit. {'; '.join(made)}.\n", page)


def _cells(row: dict[str, Any]) -> list[str]:
    small, large = ("x".join(str(n) for n in row[key] if n > 1) for key in ("window", "supercell"))
    log_z = _log_z(row)
    gap = arl.Estimate(log_z.value + row["mean_log_p_minus_log_f"], math.hypot(log_z.error, row["error"]))
    return [
        f"{row['hamiltonian']} {small} -> {large}",
        f"{row['temperature']:.4g}",
        row["order"],
        row["context"],
        "large lattice" if row["true_energies"] else "window",
        f"x {row['window_temperature']:g}",
        str(arl.Estimate(row["mean_log_p_minus_log_f"], row["error"])),
        str(gap),
        f"{row['ess']:.2f}",
        f"{row['energy_per_site']:.4f}",
    ]


def _log_z(row: dict[str, Any]) -> arl.Estimate:
    """Kaufman's, or the Monte Carlo reference of CuAu 4x4x8."""
    if row["hamiltonian"] == "ising":
        return arl.Estimate(ising_torus_log_z(row["supercell"][0], 1 / row["temperature"]), 0.0)
    states = json.loads((RESULTS / "reference-cuau-4x4x8.json").read_text(encoding="utf-8"))["states"]
    known = next(r for r in states if (r["temperature"], r["delta_mu"]) == (row["temperature"], 0.0))
    return arl.Estimate(known["log_z"], known["log_z_error"])


def ising(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """10x10 -> 20x20 at T_c, no field."""
    model, large = arl.load("ising-10x10", device=arguments.device), arl.hamiltonian("ising", supercell=(20, 20))
    state = arl.SemiGrandCanonical(CRITICAL)
    return [_row(model, large, state, *choice, arguments) for choice in tqdm(CHOICES, desc="ising")]


def cuau(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """2x2x4 (and 4x4x4) -> 4x4x8 at 680 and 1200 K, field 0."""
    large = arl.hamiltonian("cuau", supercell=(4, 4, 8), formation_energies=True)
    states = [arl.SemiGrandCanonical(t, {"Au": 0.0}) for t in (680.0, 1200.0)]
    small, middle = (arl.load(name, device=arguments.device) for name in ("cuau-2x2x4", "cuau-4x4x4"))
    rows = [_row(small, large, state, *choice, arguments) for state in states for choice in tqdm(ALLOY_CHOICES, desc="cuau")]
    return rows + [_row(middle, large, state, order, {}, arguments) for state in states for order in ("raster", "coarse-to-fine")]


def _row(
    model: Model,
    large: Hamiltonian,
    state: arl.SemiGrandCanonical,
    order: str,
    options: dict[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    started = time.monotonic()
    samples = paint(model, large, **options).sample(arguments.samples, state, order=order, seed=arguments.seed)
    elbo, log_z = samples.elbo(), samples.log_z()
    return {
        "window": model.lattice.supercell.diagonal().tolist(),
        "supercell": large.lattice.supercell.diagonal().tolist(),
        "hamiltonian": large.name,
        "temperature": state.temperature,
        "order": order,
        **paint(model, large, **options).options.model_dump(),
        "samples": len(samples),
        "mean_log_p_minus_log_f": -elbo.value,
        "error": elbo.error,
        "log_z": log_z.value,
        "log_z_error": log_z.error,
        "ess": samples.ess,
        "energy_per_site": float(samples.energy_per_site.mean()),
        "seconds": time.monotonic() - started,
    }


if __name__ == "__main__":
    main()
