"""Monte Carlo reference for CuAu 4x4x4: log Z, x_Au and energies with error bars, independent of any model.

Replica exchange in two sets: a ladder from infinite temperature (where log Z = 64 log 2) down to 450 K at field 0,
and the Delta mu line at 680 K, renewed through hotter states. log Z along each set by MBAR (extra: pymbar).
Errors: the copies do not exchange, so each gives an independent estimate; the error is their standard error.

    python benchmarks/reference_cuau.py run --device cuda --output runs/reference-cuau-4x4x4.npz
    python benchmarks/reference_cuau.py analyse runs/reference-cuau-4x4x4.npz --output arlattice/pretrained/cuau-4x4x4/reference.json
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

import arlattice as arl
from arlattice.ensemble import BOLTZMANN
from arlattice.models.conditions import Conditions, centred
from arlattice.montecarlo.replica_exchange import ReplicaExchange

KT = BOLTZMANN["eV"]
TARGETS = (500.0, 680.0, 1200.0)
LINE_TEMPERATURE = 680.0
AU = 1
RECORDED = ("device", "copies", "equilibration", "snapshots", "spacing")


def main() -> None:
    """Run the chains, or analyse what they left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    simulate = commands.add_parser("run")
    simulate.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    simulate.add_argument("--hamiltonian", type=Path, help="compiled tables, for machines without icet")
    simulate.add_argument("--copies", type=int, default=64)
    simulate.add_argument("--equilibration", type=int, default=4000, help="sweeps")
    simulate.add_argument("--snapshots", type=int, default=200)
    simulate.add_argument("--spacing", type=int, default=20, help="sweeps between snapshots")
    simulate.add_argument("--output", type=Path, required=True)
    analysis = commands.add_parser("analyse")
    analysis.add_argument("data", type=Path)
    analysis.add_argument("--discard", type=float, default=0.5, help="share of the snapshots to leave out at the start, as equilibration")
    analysis.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    run(arguments) if arguments.command == "run" else analyse(arguments)


def ladder() -> np.ndarray:
    """beta from 0 to 450 K, evenly, with the targets put in."""
    betas = np.linspace(0.0, 1 / (KT * 450.0), 48)
    return np.unique(np.concatenate([betas, [1 / (KT * t) for t in TARGETS]]))


def line() -> tuple[np.ndarray, np.ndarray]:
    """beta (hot first) and Delta mu of the two-dimensional set; its last row is 680 K."""
    return 1 / (KT * np.geomspace(2500.0, LINE_TEMPERATURE, 12)), np.linspace(-0.4, 0.4, 81)


def run(arguments: argparse.Namespace) -> None:
    """Both sets; energies, atom numbers, and the configurations at the target temperatures."""
    if arguments.hamiltonian:
        hamiltonian = arl.ClusterHamiltonian.load(arguments.hamiltonian)
    else:
        hamiltonian = arl.hamiltonian("cuau", supercell=(4, 4, 4), formation_energies=True)  # type: ignore[assignment]
    betas = ladder()
    data: dict[str, Any] = {
        "beta": betas,
        "fingerprint": hamiltonian.fingerprint,
        "arguments": json.dumps({k: getattr(arguments, k) for k in RECORDED}),
    }
    energy, atoms, occupations = _chains(hamiltonian, betas, np.zeros(len(betas)), (len(betas), arguments.copies), arguments)
    keep = [int(np.abs(betas - 1 / (KT * t)).argmin()) for t in TARGETS]
    data |= {"energy": energy, "atoms": atoms.astype(np.int16), "occupations": occupations[keep].astype(np.int8)}
    hot, mu = line()
    copies = max(2, arguments.copies // 4)
    shape = (len(hot), len(mu), copies)
    energy, atoms, _ = _chains(hamiltonian, np.repeat(hot, len(mu)), np.tile(mu, len(hot)), shape, arguments)
    data |= {"line_mu": mu, "line_energy": energy[-len(mu) :], "line_atoms": atoms[-len(mu) :].astype(np.int16)}
    np.savez_compressed(arguments.output, **data)


def _chains(
    hamiltonian: arl.Hamiltonian, beta: np.ndarray, mu: np.ndarray, shape: tuple[int, ...], arguments: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies, Au atoms (states, snapshots, copies) and occupations (states, snapshots, copies, sites)."""
    copies = shape[-1]
    generator = torch.Generator(arguments.device).manual_seed(len(beta))
    species_mu = torch.stack([torch.zeros(len(mu)), torch.from_numpy(mu)], 1).double()
    conditions = Conditions(torch.from_numpy(beta), centred(species_mu, hamiltonian.lattice))
    conditions = conditions[torch.arange(len(beta)).repeat_interleave(copies)]
    tables = hamiltonian.to(arguments.device, torch.float32)
    chains = ReplicaExchange(tables, conditions, shape, generator, fuse=arguments.device == "cuda")
    chains.run(arguments.equilibration)
    exact = hamiltonian.to(arguments.device, torch.float64)
    energies, snapshots = [], []
    for _ in range(arguments.snapshots):
        chains.run(arguments.spacing)
        snapshots.append(chains.occupations.to(torch.int8).view(-1, copies, chains.occupations.shape[1]).cpu())
        energies.append(exact.energy(chains.occupations).view(-1, copies).cpu())
    occupations = torch.stack(snapshots, 1)
    return torch.stack(energies, 1).numpy(), (occupations == AU).sum(-1).numpy(), occupations.numpy()


def analyse(arguments: argparse.Namespace) -> None:
    """MBAR copy by copy; write the reference as JSON."""
    with np.load(arguments.data, allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    for key in ("energy", "atoms", "line_energy", "line_atoms"):
        data[key] = data[key][:, round(arguments.discard * data[key].shape[1]) :]
    sites = data["occupations"].shape[-1]
    beta, energy, atoms = data["beta"], data["energy"], data["atoms"]
    copies = [_ladder_log_z(beta, energy[:, :, c], sites) for c in range(energy.shape[2])]
    log_z, log_z_error = _mean_error(np.array(copies))
    rows = []
    for t in TARGETS:
        k = int(np.abs(beta - 1 / (KT * t)).argmin())
        rows.append(_row(t, 0.0, log_z[k], log_z_error[k], energy[k], atoms[k], sites))
    base = int(np.abs(beta - 1 / (KT * LINE_TEMPERATURE)).argmin())
    mu = data["line_mu"]
    line_beta = 1 / (KT * LINE_TEMPERATURE)
    line_energy, line_atoms = data["line_energy"], data["line_atoms"]
    shifts = [_line_log_z(line_beta, mu, line_energy[:, :, c], line_atoms[:, :, c]) for c in range(line_energy.shape[2])]
    relative, relative_error = _mean_error(np.array(shifts))
    for k in range(0, len(mu), 4):
        error = math.hypot(float(relative_error[k]), float(log_z_error[base]))
        rows.append(_row(LINE_TEMPERATURE, float(mu[k]), log_z[base] + relative[k], error, line_energy[k], line_atoms[k], sites))
    reference = {
        "hamiltonian": {"name": "cuau", "supercell": [4, 4, 4], "formation_energies": True, "fingerprint": str(data["fingerprint"])},
        "method": "replica exchange, heat bath; log Z by MBAR from infinite temperature; errors over independent copies",
        "boltzmann_constant": KT,
        "run": json.loads(str(data["arguments"])),
        "discarded": arguments.discard,
        "states": rows,
    }
    arguments.output.write_text(json.dumps(reference, indent=1) + "\n")
    for row in rows:
        print(" ".join(f"{key} {value:.6g}" for key, value in row.items()))


def _ladder_log_z(beta: np.ndarray, energy: np.ndarray, sites: int) -> np.ndarray:
    """log Z of every temperature, from log Z = sites log 2 at beta = 0; energy (states, snapshots)."""
    return sites * math.log(2) + _mbar(beta[:, None, None] * energy[None])


def _line_log_z(beta: float, mu: np.ndarray, energy: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """log Z relative to Delta mu = 0; mu counts as mu(Au), mu(Cu) = 0."""
    log_z = _mbar(beta * (energy[None] - mu[:, None, None] * atoms[None]))
    return np.asarray(log_z - log_z[int(np.abs(mu).argmin())])


def _mbar(reduced: np.ndarray) -> np.ndarray:
    """log Z relative to the first state from reduced potentials (evaluated at, drawn at, sample)."""
    from pymbar import MBAR

    states, _, samples = reduced.shape
    mbar = MBAR(reduced.reshape(states, -1), np.full(states, samples), initialize="BAR")
    return -np.asarray(mbar.f_k)


def _row(temperature: float, mu: float, log_z: float, error: float, energy: np.ndarray, atoms: np.ndarray, sites: int) -> dict[str, float]:
    x, x_error = _mean_error(atoms.mean(0) / sites)
    e, e_error = _mean_error(energy.mean(0) / sites)
    return {
        "temperature": temperature,
        "delta_mu": round(mu, 6),
        "log_z": float(log_z),
        "log_z_error": float(error),
        "x_Au": float(x),
        "x_Au_error": float(x_error),
        "energy_per_site": float(e),
        "energy_per_site_error": float(e_error),
    }


def _mean_error(copies: np.ndarray) -> tuple[Any, Any]:
    return copies.mean(0), copies.std(0, ddof=1) / math.sqrt(len(copies))


if __name__ == "__main__":
    main()
