"""The part of the reference program that simulates: it needs torch, numpy and arlattice alone, and a compiled Hamiltonian."""

from __future__ import annotations

import argparse
import platform
import time
from typing import Any

import numpy as np
import torch

import arlattice as arl
from arlattice.ensemble import BOLTZMANN
from arlattice.random_numbers import Stream
from references import exchange, ladder, line
from references.annealing import Population, anneal
from references.data import write

__all__ = ["KT", "run"]

KT = BOLTZMANN["eV"]
_SHORT = exchange.Schedule(equilibration=400, snapshots=40, spacing=10, between=2)  # of the runs that place the rungs
_SHORT_COPIES = 16


def run(arguments: argparse.Namespace) -> None:
    """Ladders, then the line and population annealing where they are asked for; the file is written again after each."""
    hamiltonian = _hamiltonian(arguments)
    record = _record(hamiltonian, arguments)
    data: dict[str, Any] = {"sites": hamiltonian.lattice.n_sites, "temperatures": np.array(arguments.temperatures)}
    data["mu"] = np.array(arguments.mu)
    parts = [_place_rungs, _ladders, *([_line] if arguments.line else []), *([_annealing] if arguments.population else [])]
    for part in parts:
        start = time.monotonic()
        data |= part(hamiltonian, arguments, data)
        record["seconds"][part.__name__.strip("_")] = round(time.monotonic() - start, 1)
        print(record["seconds"], flush=True)
        write(arguments.output, record, data)


def _hamiltonian(arguments: argparse.Namespace) -> arl.Hamiltonian:
    if arguments.hamiltonian:
        return arl.ClusterHamiltonian.load(arguments.hamiltonian)
    return arl.hamiltonian("cuau", supercell=arguments.supercell, formation_energies=True)


def _record(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace) -> dict[str, Any]:
    sizes = {k: v for k, v in vars(arguments).items() if k not in ("command", "hamiltonian", "supercell", "output")}
    supercell = np.diag(hamiltonian.lattice.supercell).tolist()
    words = [f"--{k.replace('_', '-')}={_word(v)}" for k, v in {"supercell": supercell, **sizes}.items() if k != "line"]
    cuda = arguments.device.startswith("cuda")
    return {
        "command": " ".join(["python benchmarks/reference_cuau.py run", *words, *(["--line"] if arguments.line else [])]),
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "hamiltonian": {"name": hamiltonian.name, **hamiltonian.options, "fingerprint": hamiltonian.fingerprint},
        "boltzmann_constant": KT,
        "run": sizes,
        "seconds": {},
    }


def _word(value: Any) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)


def _stream(arguments: argparse.Namespace, name: str) -> Stream:
    return Stream(arguments.seed, name, arguments.device)


def _place_rungs(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace, data: dict[str, Any]) -> dict[str, Any]:
    """Rungs of every Delta mu from infinite temperature to the coldest, placed twice, and the length of every ladder between them."""
    mu = data["mu"]
    first = ladder.even(1 / (KT * min(arguments.temperatures)), arguments.rungs)
    beta = np.repeat(first[:, None], len(mu), 1)
    for turn in range(2):
        stream = _stream(arguments, f"rungs {turn}")
        found = exchange.replica_exchange(hamiltonian, beta, np.broadcast_to(mu, beta.shape), _SHORT_COPIES, _SHORT, stream)
        enthalpy = (found.energy - mu[:, None, None] * found.atoms).reshape(*beta.shape, -1)
        length = np.column_stack([ladder.thermodynamic_length(beta[:, m], enthalpy[:, m]) for m in range(len(mu))])
        measured, beta = beta, np.column_stack([ladder.equally_far(beta[:, m], length[:, m], arguments.rungs) for m in range(len(mu))])
    print("lengths of the ladders:", length[-1].round(1), flush=True)
    return {"measured_beta": measured, "length": length}


def _ladders(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace, data: dict[str, Any]) -> dict[str, Any]:
    """Every Delta mu exchanges along its ladder; the configurations of the table are kept."""
    beta, mu, wanted = _rungs(data, arguments.rungs), data["mu"], 1 / (KT * data["temperatures"])
    keep = np.array([(np.abs(beta[:, m] - b).argmin(), m) for b in wanted for m in range(len(mu))])
    schedule = exchange.Schedule(arguments.equilibration, arguments.snapshots, arguments.spacing, arguments.between)
    snapshots = max(1, min(arguments.snapshots, arguments.samples // arguments.copies))
    run = {"keep": keep, "kept_snapshots": snapshots}
    found = exchange.replica_exchange(
        hamiltonian, beta, np.broadcast_to(mu, beta.shape), arguments.copies, schedule, _stream(arguments, "ladders"), **run
    )
    occupations = found.occupations.reshape(len(wanted), len(mu), *found.occupations.shape[1:])
    return {"beta": beta, "energy": found.energy, "atoms": found.atoms, "occupations": np.packbits(occupations, axis=-1)}


def _rungs(data: dict[str, Any], rungs: int) -> np.ndarray:
    """So many, equally far, and the temperatures of the table, (rungs, mu)."""
    wanted = 1 / (KT * data["temperatures"])
    columns = [ladder.equally_far(b, length, rungs) for b, length in zip(data["measured_beta"].T, data["length"].T, strict=True)]
    return np.column_stack([ladder.with_rungs_at(column, wanted) for column in columns])


def _line(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace, data: dict[str, Any]) -> dict[str, Any]:
    """The line in Delta mu, with a quarter of the copies and of the snapshots' spacing of the ladders."""
    schedule = exchange.Schedule(arguments.equilibration, arguments.snapshots, arguments.spacing, arguments.between)
    return line.run(hamiltonian, max(2, arguments.copies // 4), schedule, _stream(arguments, "line"))


def _annealing(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace, data: dict[str, Any]) -> dict[str, Any]:
    """log Z of every block at the temperatures of the table, (mu, temperatures, blocks)."""
    beta, size = _rungs(data, arguments.annealing_rungs + 1), Population(arguments.population, arguments.blocks, arguments.annealing_sweeps)
    wanted = 1 / (KT * data["temperatures"])
    found = []
    for m, mu in enumerate(arguments.mu):
        log_z = anneal(hamiltonian, beta[1:, m], mu, size, _stream(arguments, f"population {mu}"))
        found.append(log_z[[int(np.abs(beta[1:, m] - b).argmin()) for b in wanted]])
    return {"annealing_log_z": np.stack(found)}
