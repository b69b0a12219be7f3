"""Phase diagram of CuAu checked by a route that the model has no part in: replica exchange, phase shares by MBAR.

run: heat-bath chains on a grid of temperatures and Delta mu that exchange along both; the numbers of Au atoms and the phases
(the observable fcc_phase) are kept at three temperatures. analyse: at one temperature the states differ by Delta mu alone, so
the number of atoms is all that MBAR needs to know of a sample, and with D(N) = sum_k n_k exp(beta mu_k N) / Z_k

    P(N, phase | mu) ~ h(N, phase) exp(beta mu N) / D(N),

h counting the samples of all states. Phases coexist where they have equal weight (arlattice/thermo/phase_diagram.py), here on
a fine line of Delta mu. Errors: jackknife over the copies, which do not exchange. Beside it stand the coexistences of
benchmarks/results/sweep-cuau-4x4x4.nc, which the model drew, and what more samples of the model give at every point, reweighted
without interpolation (again): a sweep's error does not know of a phase that none of its samples is in.

    python benchmarks/check_phase_diagram.py run --device cuda -o runs/phase-diagram-check.npz
    python benchmarks/check_phase_diagram.py analyse runs/phase-diagram-check.npz
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.ensemble import BOLTZMANN
from arlattice.estimate import Estimate
from arlattice.hamiltonians import Hamiltonian
from arlattice.io.files import replacing, write_text
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream
from arlattice.thermo.phase_diagram import COMPOSITIONS, SHARES, Coexistence, coexistences

if TYPE_CHECKING:
    from xarray import Dataset

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KT = BOLTZMANN["eV"]
HOTTER = (535.0, 570.0, 610.0, 700.0, 750.0, 870.0, 950.0, 1050.0)  # K: rungs between and above the temperatures that are kept
FINE = 5e-4  # eV: steps of Delta mu between which equal weight is interpolated
NEARBY = 1e-2  # eV: how far the samples of the model at a coexistence are reweighted
BLOCKS = 20  # of these samples, for the jackknife
AU = 1


def main() -> None:
    """Run the chains, or analyse what they left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    _run_arguments(commands.add_parser("run"))
    analysis = commands.add_parser("analyse")
    analysis.add_argument("data", type=Path)
    analysis.add_argument("--sweep", type=Path, default=RESULTS / "sweep-cuau-4x4x4.nc", help="what the model drew")
    analysis.add_argument("--again", type=int, default=3000, help="samples of the model at every coexistence")
    analysis.add_argument("--output", "-o", type=Path, default=RESULTS / "phase-diagram-check.json")
    analysis.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "phase-diagram-check.png")
    arguments = parser.parse_args()
    run(arguments) if arguments.command == "run" else analyse(arguments)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="cuau-4x4x4", help="whose Hamiltonian to sample")
    parser.add_argument("--temperatures", type=_numbers, default=[500.0, 650.0, 800.0], help="K, kept")
    parser.add_argument("--hotter", type=_numbers, default=list(HOTTER), help="K, further rungs")
    parser.add_argument("--range", type=_numbers, default=[-0.2, 0.12], help="of Delta mu, eV")
    parser.add_argument("--steps", type=int, default=33, help="values of Delta mu")
    parser.add_argument("--copies", type=int, default=32)
    parser.add_argument("--equilibration", type=int, default=2000, help="sweeps")
    parser.add_argument("--snapshots", type=int, default=400)
    parser.add_argument("--spacing", type=int, default=12, help="sweeps between snapshots")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="for tests: 16 sites, few states")
    parser.add_argument("--output", "-o", type=Path, required=True)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


SMALL = {
    "model": "cuau-2x2x4",
    "temperatures": [500.0, 800.0],
    "hotter": [600.0, 1000.0],
    "steps": 17,
    "copies": 4,
    "equilibration": 20,
    "snapshots": 15,
    "spacing": 3,
}


# -- on the machine that simulates: torch and arlattice --------------------------------------------


def run(arguments: argparse.Namespace) -> None:
    """Numbers of Au atoms and phases, (temperatures, Delta mu, snapshots, copies), as npz."""
    vars(arguments).update(SMALL if arguments.small else {})
    warnings.filterwarnings("ignore", message=".*periodic images")
    start, hamiltonian = time.monotonic(), arl.load(arguments.model).hamiltonian
    atoms, phase, rate = _chains(hamiltonian, arguments)
    cuda = arguments.device.startswith("cuda")
    record = {
        "command": _command(arguments),
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "arlattice": arl.__version__,
        "boltzmann_constant": KT,
        "hamiltonian_fingerprint": hamiltonian.fingerprint,
        "sites": hamiltonian.lattice.n_sites,
        "run": {k: v for k, v in vars(arguments).items() if k not in ("command", "small", "output")},
        "exchange_rate": rate,
        "seconds": round(time.monotonic() - start, 1),
    }
    with replacing(arguments.output) as path:
        np.savez_compressed(path, record=json.dumps(record), mu=_line(arguments), atoms=atoms.numpy(), phase=phase.numpy())
    print(record["seconds"], "s, exchange rate", rate)


def _command(arguments: argparse.Namespace) -> str:
    """With every setting, so that it can be run again."""
    settings = {k: v for k, v in vars(arguments).items() if k not in ("command", "small", "output")}
    words = [f"--{k}={','.join(f'{n:g}' for n in v) if isinstance(v, list) else v}" for k, v in settings.items()]
    return " ".join(["python benchmarks/check_phase_diagram.py run", *words])


def _line(arguments: argparse.Namespace) -> np.ndarray:
    return np.linspace(arguments.range[0], arguments.range[1], arguments.steps)


def _chains(hamiltonian: Hamiltonian, arguments: argparse.Namespace) -> tuple[Tensor, Tensor, float]:
    """What is kept, and the mean exchange rate of the whole grid."""
    rungs, line = sorted(arguments.temperatures + arguments.hotter), _line(arguments).tolist()
    states = [arl.SemiGrandCanonical(t, {"Au": mu}) for t in rungs for mu in line]
    rows = torch.arange(len(states)).repeat_interleave(arguments.copies)
    conditions, stream = Conditions.from_states(states, hamiltonian)[rows], Stream(arguments.seed, "chains", arguments.device)
    tables, fuse = hamiltonian.to(arguments.device, torch.float32), arguments.device.startswith("cuda")
    shape = (len(rungs), len(line), arguments.copies)
    chains = ReplicaExchange(tables, conditions, shape, stream, fuse=fuse)
    chains.run(arguments.equilibration)
    keep, kept, rates = [rungs.index(t) for t in arguments.temperatures], [], []
    for _ in range(arguments.snapshots):
        chains.run(arguments.spacing)
        kept.append(_atoms_and_phase(hamiltonian.lattice, hamiltonian.units, chains.occupations.view(*shape, -1)[keep].cpu()))
        rates.append(chains.exchange_rate.cpu())
    atoms, phase = torch.stack(kept, 3)
    return atoms, phase, float(torch.stack(rates).mean())


def _atoms_and_phase(lattice: arl.Lattice, units: str, occupations: Tensor) -> Tensor:
    """Number of Au atoms and number of the phase, (2, ...) for occupations (..., sites)."""
    flat = occupations.flatten(0, -2)
    samples = arl.SampleSet(lattice, flat, torch.zeros(len(flat)), arl.SemiGrandCanonical(1.0), units)
    phase = samples.observe("fcc_phase").columns.argmax(1)
    return torch.stack([(flat == AU).sum(1), phase]).view(2, *occupations.shape[:-1]).to(torch.int16)


# -- anywhere: numpy and scipy ---------------------------------------------------------------------


def analyse(arguments: argparse.Namespace) -> None:
    """Coexistences and isotherms by MBAR, the model's beside them; JSON and a picture."""
    import xarray

    with np.load(arguments.data, allow_pickle=False) as file:
        record, mu, atoms, phase = json.loads(str(file["record"])), file["mu"], file["atoms"], file["phase"]
    sweep = xarray.load_dataset(arguments.sweep, engine="h5netcdf")
    names, swept = [str(name) for name in sweep["phase"].values], coexistences(sweep)
    lines = {"equal_weight": np.arange(mu[0], mu[-1], FINE), "interpolated": sweep["delta_mu"].values}
    rows, isotherms = [], {}
    for k, temperature in enumerate(record["run"]["temperatures"]):
        tables = [Table.of(temperature, mu, count) for count in _left_out(atoms[k], phase[k], record["sites"], len(names))]
        isotherms[f"{temperature:g}"] = _isotherm(mu, tables)
        by_line = {key: _jackknifed([coexistences(_dataset(table, line, names)) for table in tables]) for key, line in lines.items()}
        rows += _rows([c for c in swept if c.temperature == temperature], by_line)
    _draw_again(rows, names, record["run"]["model"], arguments.again)
    result = {
        **record,
        "command": _command(argparse.Namespace(**record["run"])),
        "analysis": f"python benchmarks/check_phase_diagram.py analyse {arguments.data} --again {arguments.again}",
        "again": arguments.again,
        "sweep": {
            "file": arguments.sweep.name,
            "samples": json.loads(sweep.attrs["options"])["n"],
            "model_fingerprint": sweep.attrs["model_fingerprint"],
        },
        "coexistences": rows,
        "isotherms": isotherms,
    }
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(row["temperature"], *row["phases"])
        for key in ("model", "again", *lines):
            deviations = (f"({v:+.1f})" for v in row.get(f"deviation_{key}", {}).values())
            print(f"  {key:<13}", *(f"{name} {estimate}" for name, estimate in row.get(key, {}).items()), *deviations)
    draw(result, swept, arguments.picture)


def draw(result: dict[str, Any], swept: list[Coexistence], path: Path) -> None:
    """The diagram that the model drew as small points, those of replica exchange on it, and the deviations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4), layout="constrained", dpi=120)
    against_x, against_mu, deviations = figure.subplots(1, 3, width_ratios=[4, 4, 3])
    rows = [row for row in result["coexistences"] if "equal_weight" in row]
    for phases, color in _colors(swept).items():
        here = [c for c in swept if c.phases == phases]
        for axes, keys in ((against_x, ("x_1", "x_2")), (against_mu, ("delta_mu",))):
            for key in keys:
                _points(axes, [(c.temperature, _point(c)[key]) for c in here], fmt=".", color=color, markersize=4)
                checked = [(row["temperature"], row["equal_weight"][key]) for row in rows if tuple(row["phases"]) == phases]
                _points(axes, checked, fmt="o", color="k", markersize=8, fillstyle="none")
        against_mu.plot([], [], ".", color=color, label=" + ".join(phases))
    against_x.set(xlabel="x(Au)", ylabel="T (K)", xlim=(0, 1))
    against_mu.set(xlabel=r"$\Delta\mu$ (eV)")
    against_mu.plot([], [], "ko", markersize=8, fillstyle="none", label="replica exchange")
    against_mu.legend(frameon=False, fontsize=6, loc="center", bbox_to_anchor=(0.31, 0.42))
    _draw_deviations(deviations, rows, _colors(swept))
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


def _colors(swept: list[Coexistence]) -> dict[tuple[str, str], str]:
    return {phases: f"C{k}" for k, phases in enumerate(dict.fromkeys(c.phases for c in swept))}


def _points(axes: Any, points: list[tuple[float, Sequence[float]]], **style: Any) -> None:
    """Values with errors across, temperatures upwards."""
    if points:
        temperature, estimates = zip(*points, strict=True)
        value, error = np.array(estimates).T
        axes.errorbar(value, temperature, xerr=error, linewidth=1, **style)


def _draw_deviations(axes: Any, rows: list[dict[str, Any]], colors: dict[tuple[str, str], str]) -> None:
    """Model less replica exchange, a line for each coexistence."""
    for by, style in (("model", "none"), ("again", "full")):
        for k, row in enumerate(rows):
            values = list(row.get(f"deviation_{by}", {}).values())
            axes.plot(
                values, np.linspace(k - 0.2, k + 0.2, len(values)), "o", color=colors[tuple(row["phases"])], fillstyle=style, markersize=4
            )
        axes.plot([], [], "ko", fillstyle=style, markersize=4, label={"model": "sweep", "again": "model again"}[by])
    axes.axvspan(-1, 1, color="0.9")
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row['temperature']:g} K" for row in rows], fontsize=7)
    axes.set(xlabel="deviation in errors", xlim=(-4.5, 4.5), ylim=(-0.6, len(rows) + 0.6))
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center")


class Table(NamedTuple):
    """What MBAR makes of the samples of one temperature.

    Attributes:
        beta: 1 / kT, 1/eV.
        log_density: log h(N, phase) / D(N), (atoms, phases).
    """

    beta: float
    log_density: np.ndarray

    @classmethod
    def of(cls, temperature: float, mu: np.ndarray, count: np.ndarray) -> Table:
        """From how many samples of each state have N atoms and a phase, (Delta mu, atoms, phases); all states have as many."""
        beta = 1 / (KT * temperature)
        log_d = solve_mbar(beta * mu, count.sum(2))
        with np.errstate(divide="ignore"):
            return cls(beta, np.log(count.sum(0)) - log_d[:, None])

    def probabilities(self, mu: np.ndarray) -> np.ndarray:
        """P(N, phase) at every Delta mu, (mu, atoms, phases)."""
        log_p = self.log_density + (self.beta * mu[:, None] * np.arange(len(self.log_density)))[..., None]
        p = np.exp(log_p - log_p.max((1, 2), keepdims=True))
        return np.asarray(p / p.sum((1, 2), keepdims=True))


def solve_mbar(beta_mu: np.ndarray, count: np.ndarray) -> np.ndarray:
    """log D(N) of the module's equation, up to a constant.

    Minimises the convex sum_N h(N) log D(N) - sum_k n_k f_k over f_k = -log Z_k, the first of them 0.

    Args:
        beta_mu: of the states, (states,).
        count: samples of each state with N atoms, as many of every state, (states, atoms).

    Source: M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 124105 (2008), equations 11 and C6.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    atoms, states = np.arange(count.shape[1]), len(count)
    share = count.sum(0) / count.sum()

    def parts(f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_terms = beta_mu[:, None] * atoms + np.append(0.0, f)[:, None]
        log_d = logsumexp(log_terms, axis=0)
        return log_d, np.exp(log_terms - log_d)[1:]

    def objective(f: np.ndarray) -> tuple[float, np.ndarray]:
        log_d, terms = parts(f)
        return float(share @ log_d - f.sum() / states), terms @ share - 1 / states

    def hessian(f: np.ndarray) -> np.ndarray:
        _, terms = parts(f)
        return np.asarray(np.diag(terms @ share) - (terms * share) @ terms.T)

    mean = count @ atoms / count.sum(1)
    start = -np.cumsum(np.diff(beta_mu) * (mean[1:] + mean[:-1]) / 2)  # thermodynamic integration
    return parts(minimize(objective, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-9}).x)[0]


def _left_out(atoms: np.ndarray, phase: np.ndarray, sites: int, phases: int) -> Iterator[np.ndarray]:
    """Counts (Delta mu, atoms, phases) of all copies, then without each in turn, from arrays (Delta mu, snapshots, copies)."""
    states, _, copies = atoms.shape
    each = np.zeros((copies, states, sites + 1, phases))
    state, _, copy = np.indices(atoms.shape)
    np.add.at(each, (copy, state, atoms, phase), 1)
    total = each.sum(0)
    yield total
    yield from total - each


def _dataset(table: Table, mu: np.ndarray, names: list[str]) -> Dataset:
    """Shares and compositions as a sweep gives them; errors come from the jackknife: none here, from any number of samples."""
    import xarray

    p = table.probabilities(mu)
    share, sites = p.sum(1), p.shape[1] - 1
    with np.errstate(invalid="ignore"):
        x = np.einsum("mnp,n->mp", p, np.arange(sites + 1)) / sites / share
    variables = {SHARES: share, f"{SHARES}_error": 0 * share, COMPOSITIONS: x, f"{COMPOSITIONS}_error": 0 * share}
    axes = {"temperature": [1 / (KT * table.beta)], "delta_mu": mu, "phase": names}
    data = {name: (tuple(axes), values[None]) for name, values in variables.items()}
    counts = {name: (tuple(axes)[:2], np.full((1, len(mu)), number)) for name, number in (("ess", 1.0), ("samples", 1e9))}
    return xarray.Dataset(data | counts, coords=axes)


def _isotherm(mu: np.ndarray, tables: list[Table]) -> dict[str, list[float]]:
    """x_Au at the states of the run."""
    x = [p.sum(2) @ np.arange(p.shape[1]) / (p.shape[1] - 1) for p in (table.probabilities(mu) for table in tables)]
    return {"delta_mu": mu.round(9).tolist(), "x_Au": x[0].tolist(), "x_Au_error": _jackknife_error(x[1:]).tolist()}


def _jackknife_error(values: list[np.ndarray]) -> np.ndarray:
    """Standard error from the values without each copy in turn."""
    return np.asarray(np.std(values, axis=0) * math.sqrt(len(values) - 1))


Point = dict[str, Estimate]
"""``delta_mu`` and both ends of the tie line, ``x_1`` and ``x_2``."""


def _point(c: Coexistence) -> Point:
    return {"delta_mu": c.delta_mu, "x_1": c.x[0], "x_2": c.x[1]}


def _jackknifed(found: list[list[Coexistence]]) -> dict[tuple[str, str], Point]:
    """The points of every pair of phases; the error is infinite for pairs that are not there without some copy."""
    whole, *rest = [{c.phases: {key: e.value for key, e in _point(c).items()} for c in line} for line in found]
    errors = {
        phases: _jackknife_error([np.array(list(line[phases].values())) for line in rest])
        if all(phases in line for line in rest)
        else np.full(3, np.inf)
        for phases in whole
    }
    return {
        phases: {key: Estimate(value, float(error)) for (key, value), error in zip(point.items(), errors[phases], strict=True)}
        for phases, point in whole.items()
    }


def _rows(swept: list[Coexistence], found: dict[str, dict[tuple[str, str], Point]]) -> list[dict[str, Any]]:
    """Every coexistence of the model beside that of replica exchange."""
    rows = []
    for c in swept:
        row: dict[str, Any] = {"temperature": c.temperature, "phases": list(c.phases), "model": _point(c)}
        row |= {line: points[c.phases] for line, points in found.items() if c.phases in points}
        rows.append(row | _deviations(row, "model"))
    return rows


def _draw_again(rows: list[dict[str, Any]], names: list[str], name: str, n: int) -> None:
    """The same by ``n`` samples of the model at each point of replica exchange, reweighted to Delta mu nearby."""
    model = arl.load(name)
    for seed, row in enumerate(tqdm([row for row in rows if "equal_weight" in row], desc="again", leave=False)):
        mu = row["equal_weight"]["delta_mu"].value
        samples = model.sample(n, arl.SemiGrandCanonical(row["temperature"], {"Au": mu}), seed=seed)
        line = mu + np.arange(-NEARBY, NEARBY, FINE)
        found = _jackknifed([coexistences(_dataset(table, line, names)) for table in _model_tables(samples, mu, len(names))])
        phases = tuple(row["phases"])
        row |= {"again": found[phases], "again_ess": samples.ess} if phases in found else {}
        row |= _deviations(row, "again")


def _model_tables(samples: arl.SampleSet, mu: float, phases: int) -> Iterator[Table]:
    """From all weighted samples, then without each of some blocks in turn."""
    atoms, phase = _atoms_and_phase(samples.lattice, samples.units, samples.occupations).numpy()
    each = np.zeros((BLOCKS, samples.lattice.n_sites + 1, phases))
    np.add.at(each, (np.arange(len(samples)) % BLOCKS, atoms, phase), samples.weights.numpy())
    beta = samples.state.beta(samples.units)
    for weight in (each.sum(0), *(each.sum(0) - each)):
        with np.errstate(divide="ignore"):
            yield Table(beta, np.log(weight.clip(0)) - beta * mu * np.arange(len(weight))[:, None])


def _deviations(row: dict[str, Any], by: str) -> dict[str, dict[str, float]]:
    """From replica exchange, in units of the combined error."""
    if by not in row or "equal_weight" not in row:
        return {}
    pairs = {key: (own, row["equal_weight"][key]) for key, own in row[by].items()}
    return {f"deviation_{by}": {key: (a.value - b.value) / math.hypot(a.error, b.error) for key, (a, b) in pairs.items()}}


if __name__ == "__main__":
    main()
