"""`arl.train(H, states)` with no other option, from nothing, on one core: how long it takes and how good the model is.

    OMP_NUM_THREADS=1 python benchmarks/automatic_training.py --agpd agpd.ce

Each system is trained on a box of temperatures and chemical potentials and then looked at in 5 x 3 states, corners included: q-ESS from
2,000 samples of the model, p-ESS from replica exchange that was never trained on. ``--agpd`` is an icet expansion of Ag and Pd (its
system is left out without it); ``--only`` measures some systems and keeps the others of the last run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import arlattice as arl
from arlattice.random_numbers import Stream
from arlattice.training.report import Examined, examine

RESULT = Path(__file__).parent / "results" / "automatic-training.json"
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


def systems(agpd: str | None) -> list[System]:
    """All that are measured."""
    found = [
        System("CuAu 2x2x4", cuau(2, 2, 4), (450.0, 1250.0), "Au", (-0.4, 0.4)),
        System("CuAu 3x3x3", cuau(3, 3, 3), (450.0, 1250.0), "Au", (-0.4, 0.4)),
        System("Ising 6x6", lambda: arl.hamiltonian("ising", supercell=(6, 6)), (1.5, 3.5), "up", (-0.3, 0.3)),
    ]
    if agpd is None:
        return found
    build = lambda: arl.hamiltonian("icet", expansion=agpd, supercell=(3, 3, 3))  # noqa: E731
    return [System("Ag-Pd 3x3x3", build, (300.0, 900.0), "Pd", (-0.7, 0.5)), *found]


def main() -> None:
    """Write benchmarks/results/automatic-training.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agpd", metavar="FILE", help="icet cluster expansion of Ag and Pd")
    parser.add_argument("--only", nargs="+", help="names of systems")
    parser.add_argument("--seed", type=int, default=1, help="of the samples that are looked at; the training takes a fresh one, kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads(RESULT.read_text(encoding="utf-8"))["systems"] if arguments.only and RESULT.is_file() else {}
    for system in systems(arguments.agpd):
        if not arguments.only or system.name in arguments.only:
            before[system.name] = measure(system, arguments.seed)
            RESULT.write_text(json.dumps(origin() | {"systems": before}, indent=1) + "\n", encoding="utf-8")


def origin() -> dict[str, Any]:
    """The command and the machine."""
    command = "OMP_NUM_THREADS=1 python benchmarks/automatic_training.py --agpd agpd.ce"
    return {"command": command, "device": f"one core, {platform.machine()}", "torch": torch.__version__, "samples": SAMPLES}


def measure(system: System, seed: int) -> dict[str, Any]:
    """Train, then look."""
    print(system.name, file=sys.stderr, flush=True)
    load, began = os.getloadavg()[0], time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", arl.StatisticsWarning)
        model = arl.train(system.build(), system.box)
        seconds = time.monotonic() - began
        states = examine(model, system.states, Stream(seed, "automatic training"), SAMPLES)
    record = model.record
    return {
        "sites": model.lattice.n_sites,
        "seconds": round(seconds, 1),
        "load_before": load,
        "steps": record["steps"],
        "stopped": record.get("stopped", "all steps were done"),
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
