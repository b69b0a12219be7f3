"""A model of any alloy on alloys that it has never seen: ESS of held-out random alloys, of CuAu and of Ag-Pd, none of them trained on.

    python benchmarks/any_alloy.py fcc-binary --agpd agpd.ce
    python benchmarks/any_alloy.py fcc-binary --agpd agpd.ce --write-tables DIR       # compiled Hamiltonians, for a machine without icet
    python benchmarks/any_alloy.py runs/fcc-binary --device cuda --tables DIR

Random alloys are drawn from the prior of the model's record, each in one random state of the range that it was trained on (log T evenly).
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.io.records import read_tensors, write_record
from arlattice.models.checkpoint import describe, read_record
from arlattice.models.prior import ExpansionPrior
from arlattice.random_numbers import Stream

RESULT = Path(__file__).parent / "results" / "any-alloy.json"
PRETRAINED = Path(arl.__file__).parent / "pretrained"
TRAIN = "arlattice train configs/{0}.toml -o runs/{0} --device cuda"
ALLOYS, SAMPLES, TOGETHER, NEIGHBOURS = 256, 1024, 16, 15


@dataclass(frozen=True)
class Alloy:
    """A published expansion and the grid that it is looked at on."""

    name: str
    build: Callable[[], arl.Hamiltonian]
    temperatures: tuple[float, ...]
    species: str
    mu: tuple[float, ...]


def alloys(arguments: argparse.Namespace) -> list[Alloy]:
    """CuAu, and Ag-Pd where its file is given."""
    kelvin = (450.0, 500.0, 600.0, 680.0, 800.0, 1000.0, 1250.0)
    cuau = lambda: arl.hamiltonian("cuau", supercell=(4, 4, 4), formation_energies=True)  # noqa: E731
    agpd = lambda: arl.hamiltonian("icet", expansion=arguments.agpd, supercell=(4, 4, 4))  # noqa: E731
    found = [Alloy("CuAu", cuau, kelvin, "Au", (-0.2, -0.1, 0.0, 0.1, 0.2))]
    if arguments.agpd is not None or arguments.tables is not None:
        found.append(Alloy("Ag-Pd", agpd, (300.0, 450.0, 600.0, 750.0, 900.0), "Pd", (-0.7, -0.4, -0.1, 0.2, 0.5)))
    if arguments.tables is not None:
        found = [replace(alloy, build=compiled(arguments.tables / f"{alloy.name}-4x4x4.safetensors")) for alloy in found]
    return found


def compiled(path: Path) -> Callable[[], arl.Hamiltonian]:
    """What ``--write-tables`` wrote."""
    return lambda: arl.ClusterHamiltonian.load(path)


def main() -> None:
    """Write one record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a shipped model, or its folder")
    parser.add_argument("--agpd", metavar="FILE", help="icet cluster expansion of Ag and Pd")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alloys", type=int, default=ALLOYS, metavar="N", help="random alloys")
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N", help="in each state")
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="write compiled Hamiltonians, measure nothing")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="compiled Hamiltonians to use")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="ESS of every random alloy against the strength of its couplings")
    parser.add_argument("--output", type=Path, metavar="FILE", default=RESULT)
    arguments = parser.parse_args()
    if arguments.write_tables is not None:
        arguments.write_tables.mkdir(parents=True, exist_ok=True)
        for alloy in alloys(arguments):
            alloy.build().save(arguments.write_tables / f"{alloy.name}-4x4x4.safetensors")  # type: ignore[attr-defined]
        return
    model = arl.load(arguments.model, device=arguments.device)
    stream, began = Stream(arguments.seed, "any alloy", arguments.device), time.monotonic()
    held_out = random_alloys(model, arguments, stream)
    result = {
        "command": f"python benchmarks/any_alloy.py {arguments.model} --agpd agpd.ce --samples {arguments.samples}"
        + (" --device cuda" if arguments.device == "cuda" else ""),
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "samples": arguments.samples,
        "training": {key: model.record.get(key) for key in ("steps", "seconds", "device", "family", "start")},
        "held_out": held_out,
        "alloys": {alloy.name: [*published(model, alloy, arguments)] for alloy in alloys(arguments)},
    }
    write_record(arguments.output, result | {"seconds": round(time.monotonic() - began, 1)})
    if (PRETRAINED / arguments.model / "model.json").is_file():
        keep(result, PRETRAINED / arguments.model)
    if arguments.picture is not None:
        draw(result, arguments.picture)
    tell(result)


@torch.no_grad()
def random_alloys(model: arl.Model, arguments: argparse.Namespace, stream: Stream) -> list[dict[str, float]]:
    """ESS of each, from its samples in one state."""
    prior = ExpansionPrior.from_record(model.record)
    if prior is None:
        raise arl.InputError("model", arguments.model, "is no model of any alloy; give fcc-binary, or one trained from a [family]")
    low, high = model.record["family"]["states"]["temperature"]
    family, n = prior.held_out(arguments.alloys), arguments.samples
    place = Stream(arguments.seed, "states of alloys", "cpu").uniform(1, arguments.alloys)[0].tolist()
    states = [arl.SemiGrandCanonical(math.exp(math.log(low) + u * math.log(high / low))) for u in place]
    on_family, found = model.on(family), []
    for first in range(0, arguments.alloys, TOGETHER):
        some = range(first, min(first + TOGETHER, arguments.alloys))
        conditions = Conditions.from_states([states[i] for i in some], family)
        conditions = replace(conditions, member=torch.tensor([*some])).to(model.device, torch.float32)
        rows = conditions[torch.arange(len(some), device=model.device).repeat_interleave(n)]
        plan = on_family.resolve_plan(len(rows), None, stream["order"])
        x, log_q = on_family.draw(stream["draw"].uniform(model.lattice.n_sites, len(rows)), plan, rows)
        log_w = (rows.log_f(on_family.hamiltonian_of(rows).energy(x), x).double() - log_q).view(len(some), n)
        ess = (2 * log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp() / n
        gap = log_w.logsumexp(1) - math.log(n) - log_w.mean(1)
        for i, *figures in zip(some, ess.tolist(), gap.tolist(), strict=True):
            found.append({"temperature": states[i].temperature, "ess": figures[0], "gap": figures[1]})
    return found


def published(model: arl.Model, alloy: Alloy, arguments: argparse.Namespace) -> list[dict[str, float]]:
    """ESS in the states of a grid."""
    on_alloy, found = model.on(alloy.build()), []
    for temperature in alloy.temperatures:
        for mu in alloy.mu:
            state = arl.SemiGrandCanonical(temperature, {alloy.species: mu})
            samples = on_alloy.sample(arguments.samples, state, seed=arguments.seed)
            found.append({"temperature": temperature, "mu": mu, "ess": float(samples.ess)})
    return found


def keep(result: dict[str, Any], folder: Path) -> None:
    """Write what was measured into the record of a shipped model."""
    tensors, description = read_tensors(folder / "model.safetensors", "model")
    ess = sorted(row["ess"] for row in result["held_out"])
    worst = ", ".join(f"{name} {min(row['ess'] for row in rows):.2f}" for name, rows in result["alloys"].items())
    summary = f"{len(ess)} alloys not trained on: median ESS {statistics.median(ess):.2f}, tenth percentile {ess[len(ess) // 10]:.2f}"
    record = read_record(folder) | {"command": TRAIN.format(folder.name), "summary": f"{summary}; worst state of {worst}"}
    describe(folder, tensors, description, record)


def draw(result: dict[str, Any], path: Path) -> None:
    """ESS against the strength of the couplings, 1 / T in units of the prior, with the median of neighbours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = sorted((1 / row["temperature"], row["ess"]) for row in result["held_out"])
    strength, ess = ([point[i] for point in points] for i in (0, 1))
    middle = [statistics.median(ess[max(0, i - NEIGHBOURS) : i + NEIGHBOURS + 1]) for i in range(len(ess))]
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(strength, ess, s=12, alpha=0.6, label="a held-out alloy in a random state")
    axes.plot(strength, middle, color="black", label=f"median of {2 * NEIGHBOURS + 1} neighbours")
    axes.set(xscale="log", ylim=(0, 1.02), ylabel="ESS", xlabel="deviation of E in random configurations / (square root of sites x kT)")
    axes.set_xticks([0.1, 0.2, 0.4, 0.8], ["0.1", "0.2", "0.4", "0.8"])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=150)


def tell(result: dict[str, Any]) -> None:
    """A short table."""
    ess = [row["ess"] for row in result["held_out"]]
    tenth = sorted(ess)[len(ess) // 10]
    print(f"{len(ess)} held-out alloys: median ESS {statistics.median(ess):.3f}, tenth percentile {tenth:.3f}, worst {min(ess):.3f}")
    for low, high in ((1, 1.5), (1.5, 2.25), (2.25, 4), (4, 12)):
        some = [row["ess"] for row in result["held_out"] if low <= row["temperature"] < high]
        if some:
            print(f"  T {low} to {high}: {len(some)} alloys, median {statistics.median(some):.3f}, worst {min(some):.3f}")
    for name, rows in result["alloys"].items():
        print(f"{name}: median {statistics.median(r['ess'] for r in rows):.3f}, worst {min(r['ess'] for r in rows):.3f}")
        for t in sorted({r["temperature"] for r in rows}):
            print(f"  {t:.0f} K: " + "  ".join(f"{r['mu']:+.1f}: {r['ess']:.2f}" for r in rows if r["temperature"] == t))


if __name__ == "__main__":
    main()
