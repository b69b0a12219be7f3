r"""Monte Carlo references for CuAu: log Z, x_Au, energies and phases with error bars, independent of any model.

Ladders: replica exchange from infinite temperature (where log Z = sites log 2) down to the coldest temperature of the table,
at every Delta mu by itself, rungs placed by short runs; log Z by MBAR (extra: pymbar). --population: population annealing down
the same ladder, an estimate of log Z that shares nothing with it but the heat bath. --line: the Delta mu line at 680 K,
renewed through hotter states; log Z relative to field 0. Errors: copies (blocks) do not exchange, so each gives an independent
estimate; half of the copies start ordered, half disordered, and an error is no less than half of what these differ by.

    arlattice hamiltonians cuau --set 'supercell=[8,8,8]' --set formation_energies=true --compile runs/cuau-8x8x8.safetensors
    python benchmarks/reference_cuau.py run --hamiltonian runs/cuau-8x8x8.safetensors ...   (where icet is not installed)

    python benchmarks/reference_cuau.py run --supercell 8,8,8 --mu=-0.2,-0.1,0,0.1,0.2 \
        --temperatures 450,500,600,680,740,800,860,950,1040,1200,1250 --rungs 56 --copies 256 --equilibration 15000 \
        --snapshots 20 --spacing 1500 --between 10 --population 6144 --annealing-rungs 200 --annealing-sweeps 60 \
        --device cuda --output runs/reference-cuau-8x8x8.npz
    python benchmarks/reference_cuau.py analyse runs/reference-cuau-8x8x8.npz --output benchmarks/results/reference-cuau-8x8x8.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from references import analysis, data, line, simulate
from references.histograms import BINS, described
from references.readable_json import readable_json

from arlattice.io.files import write_text
from arlattice.lattice import Lattice

TEMPERATURES = (500.0, 680.0, 1200.0)


def main() -> None:
    """Run the chains, or analyse what they left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    _run_arguments(commands.add_parser("run"))
    analyser = commands.add_parser("analyse")
    analyser.add_argument("data", type=Path, nargs="+", help="what runs left; where several have a Delta mu, their estimates are pooled")
    analyser.add_argument("--discard", type=float, default=0.0, help="share of the snapshots to leave out at the start, as equilibration")
    analyser.add_argument("--output", "-o", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "run" and arguments.line and not (0.0 in arguments.mu and line.TEMPERATURE in arguments.temperatures):
        parser.error("--line needs 0 among --mu and 680 among --temperatures: its log Z is relative to that state")
    simulate.run(arguments) if arguments.command == "run" else analyse(arguments)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    cell = parser.add_mutually_exclusive_group(required=True)
    cell.add_argument("--supercell", type=_integers, help="of the primitive cell, e.g. 4,4,8 (needs icet)")
    cell.add_argument("--hamiltonian", type=Path, help="compiled tables instead, for machines without icet")
    parser.add_argument("--temperatures", type=_numbers, default=list(TEMPERATURES), help="K, of the table")
    parser.add_argument("--mu", type=_numbers, default=[0.0], help="Delta mu of the ladders, eV")
    parser.add_argument("--rungs", type=int, default=48, help="of a ladder; the temperatures come on top")
    parser.add_argument("--copies", type=int, default=64, help="of a ladder; half of them start ordered")
    parser.add_argument("--equilibration", type=int, default=4000, help="sweeps")
    parser.add_argument("--snapshots", type=int, default=20)
    parser.add_argument("--spacing", type=int, default=200, help="sweeps between snapshots")
    parser.add_argument("--between", type=int, default=1, help="sweeps between exchanges")
    parser.add_argument("--samples", type=int, default=1024, help="configurations kept of every state of the table")
    parser.add_argument("--line", action="store_true", help="Delta mu line at 680 K, with a quarter of the copies")
    parser.add_argument("--population", type=int, default=0, help="of a block of population annealing; 0: none")
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--annealing-rungs", type=int, default=200)
    parser.add_argument("--annealing-sweeps", type=int, default=10, help="at every rung")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", "-o", type=Path, required=True)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def analyse(arguments: argparse.Namespace) -> None:
    """MBAR block by block, beside population annealing where it was run; write the reference as JSON."""
    runs = [data.read(path, arguments.discard) for path in arguments.data]
    first, *further = map(data.record, runs)
    for path, record in zip(arguments.data[1:], further, strict=True):
        if record["hamiltonian"] != first["hamiltonian"] or record["run"]["temperatures"] != first["run"]["temperatures"]:
            sys.exit(f"{path}: of another Hamiltonian or at other temperatures than {arguments.data[0]}; analyse it by itself")
    rows = analysis.table(runs, first["run"]["temperatures"])
    _add_phases(rows, runs, first["hamiltonian"])
    for lined in (found for found in runs if "line_mu" in found):
        rows += analysis.line_table(lined, next(r for r in rows if r["delta_mu"] == 0 and r["temperature"] == line.TEMPERATURE))
    method = "replica exchange, heat bath; log Z by MBAR from infinite temperature"
    if any("annealing_log_z" in found for found in runs):
        method += ", and by population annealing; log_z is their mean by inverse variance"
    notes = {"method": f"{method}; errors over independent copies, half of them from ordered starts", "discarded": arguments.discard}
    notes |= {"least_exchange_rates": analysis.exchange_rates(runs[0]), "histogram_edges": BINS.tolist()}
    reference = {**first, **notes, **({"further_runs": further} if further else {}), "states": rows}
    write_text(arguments.output, readable_json(reference))
    for row in rows:
        print(" ".join(f"{key} {value:.6g}" for key, value in row.items() if isinstance(value, float)))
    print("least exchange rates:", notes["least_exchange_rates"])


def _add_phases(rows: list[dict[str, Any]], runs: list[dict[str, np.ndarray]], hamiltonian: dict[str, Any]) -> None:
    """Shares of the phases and histograms, from the configurations that the first run of a state kept."""
    from ase.build import bulk  # not there on every machine that simulates

    lattice = Lattice.from_ase(bulk("Cu", "fcc", a=2.0), ["Cu", "Au"], hamiltonian["supercell"])
    kept = {state: x for found in reversed(runs) for state, x in data.configurations(found).items()}
    for row in rows:
        row |= described(lattice, kept[row["temperature"], row["delta_mu"]])


if __name__ == "__main__":
    main()
