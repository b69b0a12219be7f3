"""`arl.train(H, states)` with no other option, from nothing, on one core or one GPU: how long it takes and how good the model is.

    OMP_NUM_THREADS=1 python benchmarks/automatic_training.py --agpd agpd.ce
    python benchmarks/automatic_training.py --agpd agpd.ce --write-tables DIR          # compiled Hamiltonians, for a machine without icet
    python benchmarks/automatic_training.py --device cuda --tables DIR --time-limit 250

Each system is trained on a box of temperatures and chemical potentials and then looked at in 5 x 3 states, corners included: q-ESS from
2,000 samples of the model, p-ESS from replica exchange that was never trained on. ``--agpd`` is an icet expansion of Ag and Pd (its
system is left out without it); ``--only`` measures some systems and keeps the others of the last run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import arlattice as arl
from arlattice.io.records import read_record, write_record
from arlattice.random_numbers import Stream
from arlattice.training.report import Examined, examine, how_it_ended

RESULTS = Path(__file__).parent / "results"
SAMPLES, TEMPERATURES, POTENTIALS = 2000, 5, 3


@dataclass(frozen=True)
class System:
    """A Hamiltonian and the box that it is trained on."""

    name: str
    build: Callable[[], arl.Hamiltonian]
    temperature: tuple[float, float]
    species: str
    mu: tuple[float, float]

    @property
    def box(self) -> arl.StateRange:
        """To train on."""
        return arl.StateRange(temperature=self.temperature, chemical_potentials={self.species: self.mu})

    @property
    def states(self) -> list[arl.Ensemble]:
        """To look at, evenly spread, ends included."""
        temperatures = torch.linspace(*self.temperature, TEMPERATURES, dtype=torch.float64).tolist()
        potentials = torch.linspace(*self.mu, POTENTIALS, dtype=torch.float64).tolist()
        return [arl.SemiGrandCanonical(t, {self.species: round(mu, 9)}) for t in temperatures for mu in potentials]


def cuau(*supercell: int) -> Callable[[], arl.Hamiltonian]:
    """CuAu of the plugin, formation energies."""
    return lambda: arl.hamiltonian("cuau", supercell=supercell, formation_energies=True)


def systems(arguments: argparse.Namespace) -> list[System]:
    """All that are measured; the last ones on a GPU only."""
    agpd = lambda: arl.hamiltonian("icet", expansion=arguments.agpd, supercell=(3, 3, 3))  # noqa: E731
    ising = lambda length: lambda: arl.hamiltonian("ising", supercell=(length, length))  # noqa: E731
    found = [
        System("CuAu 2x2x4", cuau(2, 2, 4), (450.0, 1250.0), "Au", (-0.4, 0.4)),
        System("CuAu 3x3x3", cuau(3, 3, 3), (450.0, 1250.0), "Au", (-0.4, 0.4)),
        System("Ising 6x6", ising(6), (1.5, 3.5), "up", (-0.3, 0.3)),
    ]
    if arguments.agpd is not None or arguments.tables is not None:
        found.insert(0, System("Ag-Pd 3x3x3", agpd, (300.0, 900.0), "Pd", (-0.7, 0.5)))
    if arguments.device == "cuda" or arguments.write_tables is not None:
        found.append(System("CuAu 4x4x4", cuau(4, 4, 4), (450.0, 1250.0), "Au", (-0.4, 0.4)))
        found.append(System("Ising 16x16", ising(16), (1.5, 3.5), "up", (-0.3, 0.3)))
    if arguments.tables is not None:
        found = [replace(system, build=compiled(arguments.tables, system.name)) for system in found]
    return [system for system in found if not arguments.only or system.name in arguments.only]


def compiled(folder: Path, name: str) -> Callable[[], arl.Hamiltonian]:
    """What ``--write-tables`` wrote."""
    return lambda: arl.ClusterHamiltonian.load(folder / f"{name.replace(' ', '-')}.safetensors")


def main() -> None:
    """Write one record."""
    arguments = _arguments()
    torch.set_num_threads(1)
    output = arguments.output or RESULTS / ("automatic-training-cuda.json" if arguments.device == "cuda" else "automatic-training.json")
    measured = read_record(output, "--output")["systems"] if arguments.only and output.is_file() else {}
    for system in systems(arguments):
        if arguments.write_tables is not None:
            arguments.write_tables.mkdir(parents=True, exist_ok=True)
            system.build().save(arguments.write_tables / f"{system.name.replace(' ', '-')}.safetensors")
        else:
            measured[system.name] = measure(system, arguments)
            write_record(output, origin(arguments) | {"systems": measured})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agpd", metavar="FILE", help="icet cluster expansion of Ag and Pd")
    parser.add_argument("--only", nargs="+", help="names of systems")
    parser.add_argument("--seed", type=int, default=1, help="of the samples that are looked at; the training takes a fresh one, kept")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of one training; none by default")
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="write compiled Hamiltonians, measure nothing")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="compiled Hamiltonians to use")
    parser.add_argument("--output", type=Path, metavar="FILE")
    return parser.parse_args()


def origin(arguments: argparse.Namespace) -> dict[str, Any]:
    """The command and the machine."""
    limit = "" if arguments.time_limit is None else f" --time-limit {arguments.time_limit:g}"
    command = "python benchmarks/automatic_training.py --agpd agpd.ce"
    if arguments.device == "cuda":
        command, device = f"python benchmarks/automatic_training.py --device cuda --tables DIR{limit}", torch.cuda.get_device_name()
    else:
        command, device = f"OMP_NUM_THREADS=1 {command}{limit}", f"one core, {platform.machine()}"
    return {"command": command, "device": device, "torch": torch.__version__, "samples": SAMPLES}


def measure(system: System, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, then look."""
    print(system.name, file=sys.stderr, flush=True)
    hamiltonian, load, began = system.build(), os.getloadavg()[0], time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", arl.StatisticsWarning)
        model = arl.train(hamiltonian, system.box, device=arguments.device, time_limit=arguments.time_limit)
        seconds = time.monotonic() - began
        states = examine(model, system.states, Stream(arguments.seed, "automatic training"), SAMPLES)
    record = model.record
    return {
        "sites": model.lattice.n_sites,
        "seconds": round(seconds, 1),
        "time_limit": arguments.time_limit,
        "load_before": load,
        "steps": record["steps"],
        "stopped": record.get("stopped", how_it_ended(record["steps"] == record["planned_steps"])),
        "seed": record["seed"],
        "chosen": record["chosen"],
        "states": [row(s) for s in states],
    }


def row(found: Examined) -> dict[str, Any]:
    """One state."""
    p = found.p_ess
    ess = {"q_ess": found.q_ess.value, "q_error": found.q_ess.error, "p_ess": p and p.value, "p_error": p and p.error}
    plain = found.state.to_dict()
    return {"temperature": plain["temperature"], "chemical_potentials": plain["chemical_potentials"], **ess, "disagree": found.disagree}


if __name__ == "__main__":
    main()
