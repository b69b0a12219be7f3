r"""Monte Carlo references for CuAu: log Z, x_Au and energies with error bars, independent of any model.

Ladder: replica exchange from infinite temperature (where log Z = sites log 2) down to 450 K, at every Delta mu by itself;
log Z by MBAR (extra: pymbar). --line: the Delta mu line at 680 K, renewed through hotter states; log Z relative to field 0.
--population: population annealing down in temperature at every Delta mu, an estimate of log Z that shares nothing with
the ladder but the heat bath. Errors: copies (blocks) do not exchange, so each gives an independent estimate.

    python benchmarks/reference_cuau.py run --supercell 4,4,4 --line --device cuda --output runs/reference-cuau-4x4x4.npz
    python benchmarks/reference_cuau.py analyse runs/reference-cuau-4x4x4.npz --output arlattice/pretrained/cuau-4x4x4/reference.json

    python benchmarks/reference_cuau.py run --supercell 4,4,8 --temperatures 500,680,860,1040,1200 --mu=-0.2,-0.1,0,0.1,0.2 \
        --rungs 64 --copies 32 --equilibration 6000 --snapshots 120 --spacing 100 --population 1024 \
        --device cuda --output runs/reference-cuau-4x4x8.npz
    python benchmarks/reference_cuau.py run --supercell 4,4,8 --temperatures 500,680,860,1040,1200 --mu=-0.2 --rungs 64 --copies 16 \
        --equilibration 300 --snapshots 300 --spacing 3 --device cpu --output runs/reference-cuau-4x4x8-dilute.npz
    python benchmarks/reference_cuau.py analyse runs/reference-cuau-4x4x8.npz runs/reference-cuau-4x4x8-dilute.npz --discard 0.2 \
        --output benchmarks/results/reference-cuau-4x4x8.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions, centred
from arlattice.ensemble import BOLTZMANN
from arlattice.estimate import Estimate
from arlattice.io.files import replacing, write_text
from arlattice.montecarlo.population_annealing import Rung, population_annealing
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream

KT = BOLTZMANN["eV"]
TARGETS = (500.0, 680.0, 1200.0)  # whose configurations are kept, at field 0
COLDEST = 450.0
LINE_TEMPERATURE, LINE_HOTTEST, LINE_MU = 680.0, 2500.0, np.linspace(-0.4, 0.4, 81)
AU = 1


def main() -> None:
    """Run the chains, or analyse what they left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    _run_arguments(commands.add_parser("run"))
    analysis = commands.add_parser("analyse")
    analysis.add_argument("data", type=Path, nargs="+", help="what runs left; where several have a Delta mu, their estimates are pooled")
    analysis.add_argument("--discard", type=float, default=0.5, help="share of the snapshots to leave out at the start, as equilibration")
    analysis.add_argument("--output", "-o", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "run" and not set(TARGETS) <= set(arguments.temperatures):
        parser.error(f"--temperatures must hold {', '.join(f'{t:g}' for t in TARGETS)}: their configurations are kept")
    if arguments.command == "run" and arguments.line and 0.0 not in arguments.mu:
        parser.error("--line needs 0 among --mu: its log Z is relative to field 0")
    run(arguments) if arguments.command == "run" else analyse(arguments)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    cell = parser.add_mutually_exclusive_group(required=True)
    cell.add_argument("--supercell", type=_integers, help="of the primitive cell, e.g. 4,4,8 (needs icet)")
    cell.add_argument("--hamiltonian", type=Path, help="compiled tables instead, for machines without icet")
    parser.add_argument("--temperatures", type=_numbers, default=list(TARGETS), help="K, of the table")
    parser.add_argument("--mu", type=_numbers, default=[0.0], help="Delta mu of the ladders, eV; at 0 configurations are kept")
    parser.add_argument("--rungs", type=int, default=48, help="of the ladder, evenly in 1/kT; the temperatures come on top")
    parser.add_argument("--copies", type=int, default=64)
    parser.add_argument("--equilibration", type=int, default=4000, help="sweeps")
    parser.add_argument("--snapshots", type=int, default=200)
    parser.add_argument("--spacing", type=int, default=20, help="sweeps between snapshots")
    parser.add_argument("--samples", type=int, default=4096, help="configurations kept per temperature, of the second half")
    parser.add_argument("--line", action="store_true", help="Delta mu line at 680 K, with a quarter of the copies")
    parser.add_argument("--population", type=int, default=0, help="of a block of population annealing; 0: none")
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--annealing-rungs", type=int, default=300)
    parser.add_argument("--annealing-sweeps", type=int, default=10, help="at every rung")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", "-o", type=Path, required=True)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


# -- on the machine that simulates: torch, numpy and arlattice -------------------------------------


def run(arguments: argparse.Namespace) -> None:
    """Exact energies, atom numbers, and configurations at the target temperatures, as npz; written again after every set."""
    hamiltonian = _hamiltonian(arguments)
    record, data = _record(hamiltonian, arguments), dict[str, Any](sites=hamiltonian.lattice.n_sites)
    sets = {"": _ladder} | ({"line_": _line} if arguments.line else {}) | ({"annealing_": _annealing} if arguments.population else {})
    for prefix, simulate in sets.items():
        start = time.monotonic()
        data |= {prefix + key: value for key, value in simulate(hamiltonian, arguments).items()}
        record["seconds"][simulate.__name__.strip("_")] = round(time.monotonic() - start, 1)
        print(record["seconds"], flush=True)
        with replacing(arguments.output) as path:
            np.savez_compressed(path, record=json.dumps(record), **data)


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


def _ladder(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """beta from 0 to 450 K with the temperatures of the table put in; every Delta mu exchanges along beta only."""
    even = np.linspace(0.0, 1 / (KT * COLDEST), arguments.rungs)
    beta, mu = _with(even, arguments.temperatures), np.array(arguments.mu)
    keep = [_nearest(beta, 1 / (KT * t)) for t in TARGETS if 0.0 in mu]
    shape = (len(beta), len(mu), arguments.copies)
    energy, atoms, kept = _chains(hamiltonian, beta, mu, shape, (shape[0], shape[1] * shape[2]), (keep, _nearest(mu, 0)), arguments)
    return {"beta": beta, "mu": mu, "energy": energy, "atoms": atoms, "occupations": kept}


def _line(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Delta mu at 680 K; exchanges along Delta mu and along beta, up to hot states."""
    beta = 1 / (KT * np.geomspace(LINE_HOTTEST, LINE_TEMPERATURE, 12))
    shape = (len(beta), len(LINE_MU), max(2, arguments.copies // 4))
    energy, atoms, _ = _chains(hamiltonian, beta, LINE_MU, shape, shape, ([], 0), arguments)
    return {"mu": LINE_MU, "energy": energy[-1], "atoms": atoms[-1]}


def _with(even: np.ndarray, temperatures: list[float]) -> np.ndarray:
    return np.unique(np.concatenate([even, [1 / (KT * t) for t in temperatures]]))


def _nearest(values: np.ndarray, value: float) -> int:
    return int(np.abs(values - value).argmin())


def _chains(
    hamiltonian: arl.Hamiltonian,
    beta: np.ndarray,
    mu: np.ndarray,
    shape: tuple[int, ...],
    exchanges: tuple[int, ...],
    keep: tuple[list[int], int],
    arguments: argparse.Namespace,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies and Au atoms, (beta, mu, snapshots, copies), and the kept configurations (kept, snapshots, copies, sites)."""
    stream = Stream(arguments.seed, f"chains {shape}", arguments.device)
    fuse = arguments.device.startswith("cuda")
    tables, exact = hamiltonian.to(arguments.device, torch.float32), hamiltonian.to(arguments.device, torch.float64)
    chains = ReplicaExchange(tables, _conditions(hamiltonian, beta, mu, shape[-1]), exchanges, stream, fuse=fuse)
    chains.run(arguments.equilibration)
    kept_snapshots = np.linspace(arguments.snapshots // 2, arguments.snapshots - 1, max(1, arguments.samples // shape[-1])).astype(int)
    energies, atoms, kept = [], [], []
    for snapshot in range(arguments.snapshots):
        chains.run(arguments.spacing)
        energies.append(exact.energy(chains.occupations).view(shape).cpu())
        atoms.append((chains.occupations == AU).sum(1).view(shape).to(torch.int16).cpu())
        if snapshot in kept_snapshots:
            kept.append(chains.occupations.view(*shape, -1)[keep[0], keep[1]].to(torch.int8).cpu())
    return torch.stack(energies, 2).numpy(), torch.stack(atoms, 2).numpy(), torch.stack(kept, 1).numpy()


def _conditions(hamiltonian: arl.Hamiltonian, beta: np.ndarray, mu: np.ndarray, copies: int) -> Conditions:
    """Every beta with every Delta mu, ``copies`` times in a row."""
    b, m = (torch.from_numpy(a.flatten()).repeat_interleave(copies) for a in np.meshgrid(beta, mu, indexing="ij"))
    mu_vector = centred(torch.stack([torch.zeros_like(m), m], 1), hamiltonian.lattice)
    return Conditions(b, mu_vector, torch.zeros(len(b), 0), arl.SemiGrandCanonical)


def _annealing(hamiltonian: arl.Hamiltonian, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """log Z of every block at the temperatures of the table, (mu, temperatures, blocks)."""
    coldest = min(arguments.temperatures)
    beta = _with(np.linspace(0.0, 1 / (KT * coldest), arguments.annealing_rungs + 1)[1:], arguments.temperatures)
    wanted = [_nearest(beta, 1 / (KT * t)) for t in arguments.temperatures]
    tables = hamiltonian.to(arguments.device, torch.float32)
    return {"log_z": torch.stack([_annealed(tables, beta, mu, arguments)[wanted] for mu in arguments.mu]).numpy()}


def _annealed(tables: arl.Hamiltonian, beta: np.ndarray, mu: float, arguments: argparse.Namespace) -> Tensor:
    """log Z of every block at every rung, (rungs, blocks)."""
    rungs = population_annealing(
        tables,
        [arl.SemiGrandCanonical(1 / (KT * b), {"Au": mu}) for b in beta],
        seed=Stream(arguments.seed, f"population {mu}", arguments.device),
        population=arguments.population,
        blocks=arguments.blocks,
        sweeps=arguments.annealing_sweeps,
        fuse=arguments.device.startswith("cuda"),
    )
    return torch.stack([rung.block_log_z for rung in rungs])


# -- anywhere: numpy and pymbar --------------------------------------------------------------------


def analyse(arguments: argparse.Namespace) -> None:
    """MBAR copy by copy, beside population annealing where it was run; write the reference as JSON."""
    runs = [_read(path, arguments.discard) for path in arguments.data]
    first, *further = (json.loads(str(run["record"])) for run in runs)
    for path, record in zip(arguments.data[1:], further, strict=True):
        if record["hamiltonian"] != first["hamiltonian"] or record["run"]["temperatures"] != first["run"]["temperatures"]:
            sys.exit(f"{path}: of another Hamiltonian or at other temperatures than {arguments.data[0]}; analyse it by itself")
    rows = _table(runs, first["run"]["temperatures"])
    for line in (run for run in runs if "line_mu" in run):
        rows += _line_table(line, next(r for r in rows if r["delta_mu"] == 0 and r["temperature"] == LINE_TEMPERATURE))
    method = "replica exchange, heat bath; log Z by MBAR from infinite temperature"
    if any("annealing_log_z" in run for run in runs):
        method += ", and by population annealing; log_z is their mean by inverse variance"
    notes = {"method": f"{method}; errors over independent copies", "discarded": arguments.discard}
    reference = {**first, **notes, **({"further_runs": further} if further else {}), "states": rows}
    write_text(arguments.output, json.dumps(reference, indent=1) + "\n")
    for row in rows:
        print(" ".join(f"{key} {value:.6g}" for key, value in row.items()))


def _read(path: Path, discard: float) -> dict[str, np.ndarray]:
    """What a run left, without the share of snapshots before equilibrium."""
    with np.load(path, allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    for key in {"energy", "atoms", "line_energy", "line_atoms"} & set(data):
        data[key] = data[key][..., round(discard * data[key].shape[-2]) :, :]
    return data


def _table(runs: list[dict[str, np.ndarray]], temperatures: list[float]) -> list[dict[str, float]]:
    """The states of the ladders; what several runs say of one is pooled."""
    rows = []
    for mu in sorted({mu for run in runs for mu in run["mu"].tolist()}):
        found = [_ladder_estimates(run, run["mu"].tolist().index(mu), temperatures) for run in runs if mu in run["mu"]]
        annealed = [run["annealing_log_z"][run["mu"].tolist().index(mu)] for run in runs if mu in run["mu"] and "annealing_log_z" in run]
        for j, t in enumerate(temperatures):
            mbar, x, energy = (_pooled([estimates[j][key] for estimates in found]) for key in ("log_z", "x_Au", "energy_per_site"))
            annealing = _pooled([_annealing_log_z(t, blocks[j]) for blocks in annealed]) if annealed else None
            averages = {"x_Au": x, "energy_per_site": energy}
            rows.append({"temperature": t, "delta_mu": mu, **_both(mbar, annealing), **_flat(averages)})
    return rows


def _ladder_estimates(run: dict[str, np.ndarray], m: int, temperatures: list[float]) -> list[dict[str, Estimate]]:
    """log Z, x_Au and the energy at every temperature, from one run's ladder at one Delta mu."""
    beta, energy, atoms, sites = run["beta"], run["energy"][:, m], run["atoms"][:, m], int(run["sites"])
    enthalpy = energy - run["mu"][m] * atoms
    log_z, error = _mean_error(np.array([_ladder_log_z(beta, enthalpy[..., c], sites) for c in range(energy.shape[-1])]))
    rungs = [_nearest(beta, 1 / (KT * t)) for t in temperatures]
    return [{"log_z": Estimate(float(log_z[k]), float(error[k])), **_averages(energy[k], atoms[k], sites)} for k in rungs]


def _annealing_log_z(temperature: float, blocks: np.ndarray) -> Estimate:
    return Rung(arl.SemiGrandCanonical(temperature), 0, torch.from_numpy(blocks), torch.empty(0)).log_z


def _line_table(data: dict[str, np.ndarray], base: dict[str, float]) -> list[dict[str, float]]:
    """Every fourth state of the line; its log Z is that of field 0 plus a difference."""
    mu, energy, atoms, sites = data["line_mu"], data["line_energy"], data["line_atoms"], int(data["sites"])
    shifts = [_line_log_z(1 / (KT * LINE_TEMPERATURE), mu, energy[..., c], atoms[..., c]) for c in range(energy.shape[-1])]
    relative, error = _mean_error(np.array(shifts))
    rows = []
    for k in range(0, len(mu), 4):
        log_z = {"log_z": base["log_z"] + float(relative[k]), "log_z_error": math.hypot(float(error[k]), base["log_z_error"])}
        averages = _flat(_averages(energy[k], atoms[k], sites))
        rows.append({"temperature": LINE_TEMPERATURE, "delta_mu": round(float(mu[k]), 6), **log_z, **averages})
    return rows


def _both(mbar: Estimate, annealed: Estimate | None) -> dict[str, float]:
    """log Z by MBAR alone, or both estimates and their mean by inverse variance, its error no less than half their difference."""
    if annealed is None:
        return _flat({"log_z": mbar})
    mean = _pooled([mbar, annealed])
    mean = Estimate(mean.value, max(mean.error, abs(mbar.value - annealed.value) / 2))
    return _flat({"log_z": mean, "log_z_mbar": mbar, "log_z_annealing": annealed})


def _pooled(estimates: list[Estimate]) -> Estimate:
    """The mean by inverse variance of independent estimates; one alone as it is."""
    if len(estimates) == 1:
        return estimates[0]
    precision = [e.error**-2 for e in estimates]
    return Estimate(sum(p * e.value for p, e in zip(precision, estimates, strict=True)) / sum(precision), sum(precision) ** -0.5)


def _flat(estimates: dict[str, Estimate]) -> dict[str, float]:
    """Values under their names, errors under NAME_error."""
    return {f"{name}{part}": float(v) for name, e in estimates.items() for part, v in zip(("", "_error"), e, strict=True)}


def _ladder_log_z(beta: np.ndarray, energy: np.ndarray, sites: int) -> np.ndarray:
    """log Z of every temperature, from log Z = sites log 2 at beta = 0; E - mu N (states, snapshots)."""
    return sites * math.log(2) + _mbar(beta[:, None, None] * energy[None])


def _line_log_z(beta: float, mu: np.ndarray, energy: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """log Z relative to Delta mu = 0; mu counts as mu(Au), mu(Cu) = 0."""
    log_z = _mbar(beta * (energy[None] - mu[:, None, None] * atoms[None]))
    return np.asarray(log_z - log_z[_nearest(mu, 0)])


def _mbar(reduced: np.ndarray) -> np.ndarray:
    """log Z relative to the first state from reduced potentials (evaluated at, drawn at, sample)."""
    from pymbar import MBAR

    states, _, samples = reduced.shape
    mbar = MBAR(reduced.reshape(states, -1), np.full(states, samples), initialize="BAR")
    return -np.asarray(mbar.f_k)


def _averages(energy: np.ndarray, atoms: np.ndarray, sites: int) -> dict[str, Estimate]:
    """x_Au and the energy per site in eV from (snapshots, copies), with errors over the copies."""
    found = {"x_Au": atoms.mean(0) / sites, "energy_per_site": energy.mean(0) / sites}
    return {name: Estimate(*map(float, _mean_error(copies))) for name, copies in found.items()}


def _mean_error(copies: np.ndarray) -> tuple[Any, Any]:
    return copies.mean(0), copies.std(0, ddof=1) / math.sqrt(len(copies))


if __name__ == "__main__":
    main()
