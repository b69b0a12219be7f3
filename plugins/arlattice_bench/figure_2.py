"""Figure 2 of the paper: scores, free energies and samples of the any-order transformer on two Ising tori.

Scores log f of the model's samples at the critical temperature stand beside those of all configurations, or of Monte Carlo
samples where there are too many; free energies come from the importance weights. Models are those of `paper_table_1`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from arlattice.ensemble import SemiGrandCanonical
from arlattice.errors import MissingExtraError
from arlattice.hamiltonians import Hamiltonian
from arlattice.io.files import replacing, write_text
from arlattice.models.base import Model
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream, known_seed
from arlattice.samples import SampleSet
from arlattice.thermo.exact import Enumeration, ising_torus_log_z
from arlattice_bench.job import Job
from arlattice_bench.origin import device_name, versions
from arlattice_bench.paper_table_1 import CRITICAL
from arlattice_bench.run import model_of
from arlattice_bench.settings import Settings
from arlattice_bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

__all__ = ["draw", "monte_carlo_energies"]

ROW = "any-order-transformer"
ORDER = "coarse-to-fine"
TEMPERATURES = [1 + k / 4 for k in range(13)]
SHOWN = (2.0, CRITICAL, 3.0)
ENUMERATED = 2**16
SWEEPS = {"": (2000, 50, 64), "-small": (100, 10, 32)}
"""Monte Carlo: sweeps before the first snapshot, sweeps between snapshots, snapshots; by scale."""


def draw(table: Table, settings: Settings) -> list[Path]:
    """``figure-2.png`` and the numbers in it, ``figure-2.json``, in the folder of results.

    Args:
        table: `paper_table_1.table`, full or small; its last two systems are drawn.
        settings: models are trained if they are not in the run folders.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot") from None
    scale = "-small" if table.name.endswith("-small") else ""
    jobs = [job for job in table.select([ROW], []) if job.system in table.systems[-2:]]
    found = [_panels(job, settings, scale) for job in jobs]
    figure = Figure(figsize=(11, 3.6 * len(found)), layout="constrained", dpi=150)
    for part, (facts, shown) in zip(figure.subfigures(len(found), 1, squeeze=False)[:, 0], found, strict=True):
        _draw_system(part, facts, shown)
    settings.results.mkdir(parents=True, exist_ok=True)
    paths = [settings.results / f"figure-2{scale}.{suffix}" for suffix in ("png", "json")]
    with replacing(paths[0]) as temporary:
        figure.savefig(temporary, format="png")
    seed = "" if settings.seed is None else f" --seed {settings.seed}"
    command = f"arlattice bench figure-2{' --small' * bool(scale)} --samples {settings.samples}{seed}"
    data = {"command": command, "device": device_name(settings.device), **versions(), "systems": [facts for facts, _ in found]}
    write_text(paths[1], json.dumps(data, indent=1) + "\n")
    return paths


# -- numbers ---------------------------------------------------------------------------------------


def _panels(job: Job, settings: Settings, scale: str) -> tuple[dict[str, Any], list[SampleSet]]:
    """The numbers of one system, and a few samples to show."""
    settings = settings.seeded(job)
    model, length = model_of(job, settings), job.system.options["supercell"][0]
    critical = _sample(model, CRITICAL, settings.samples, settings, 1)
    per_state = math.ceil(settings.samples / len(TEMPERATURES))
    free = [_sample(model, t, per_state, settings, 2 + k).free_energy() for k, t in enumerate(TEMPERATURES)]
    energies, weights, source = _reference(model.hamiltonian, settings, SWEEPS[scale])
    facts = {
        "system": job.system.name,
        "row": ROW,
        "order": ORDER,
        "seed": settings.seed,
        "temperature": CRITICAL,
        "model_scores": _histogram(-critical.energy / CRITICAL, None),
        "reference_scores": _histogram(-energies / CRITICAL, weights),
        "reference": source,
        "free_energy_per_site": [
            {"temperature": t, "model": f.value / length**2, "error": f.error / length**2, "exact": _exact(length, t)}
            for t, f in zip(TEMPERATURES, free, strict=True)
        ],
    }
    return facts, [_sample(model, t, 4, settings, 100 + k) for k, t in enumerate(SHOWN)]


def _sample(model: Model, temperature: float, n: int, settings: Settings, draw: int) -> SampleSet:
    return model.sample(n, SemiGrandCanonical(temperature), order=ORDER, seed=known_seed(settings.seed) + draw, progress=settings.progress)


def _exact(length: int, temperature: float) -> float:
    return -temperature * ising_torus_log_z(length, 1 / temperature) / length**2


def _histogram(scores: Tensor, weights: Tensor | None) -> list[dict[str, float]]:
    """Probability of every score; those of a lattice model are few."""
    levels, index = scores.double().round(decimals=6).unique(return_inverse=True)
    each = torch.full_like(scores, 1 / len(scores), dtype=torch.float64) if weights is None else weights
    shares = torch.zeros(len(levels), dtype=torch.float64).index_add_(0, index, each)
    return [{"score": s, "share": p} for s, p in zip(levels.tolist(), shares.tolist(), strict=True)]


def _reference(hamiltonian: Hamiltonian, settings: Settings, sweeps: tuple[int, int, int]) -> tuple[Tensor, Tensor | None, str]:
    """Energies at the critical temperature with weights (None: equal), and where they come from."""
    if 2**hamiltonian.lattice.n_sites <= ENUMERATED:
        table = Enumeration.of(hamiltonian)
        return table.energy, table.log_f(SemiGrandCanonical(CRITICAL)).softmax(0), "all configurations"
    return monte_carlo_energies(hamiltonian, settings, *sweeps), None, "Monte Carlo"


def monte_carlo_energies(hamiltonian: Hamiltonian, settings: Settings, before: int, between: int, snapshots: int) -> Tensor:
    """Energies (n,) at the critical temperature by replica exchange with ten higher temperatures, 64 chains each."""
    from arlattice.training.states import replica_grid

    states = [SemiGrandCanonical(CRITICAL * 1.06**k) for k in range(11)]
    stream = Stream(settings.seed, "reference", settings.device)
    conditions, shape = replica_grid(states, hamiltonian, (1, 1), 64)
    tables = hamiltonian.to(settings.device, torch.float32)
    chains = ReplicaExchange(tables, conditions.to(settings.device, torch.float32), shape, stream)
    chains.run(before)
    found = []
    for _ in range(snapshots):
        chains.run(between)
        found.append(tables.energy(chains.occupations[: shape[-1]]).double().cpu())
    return torch.cat(found)


# -- drawing ---------------------------------------------------------------------------------------


def _draw_system(part: SubFigure, facts: dict[str, Any], shown: list[SampleSet]) -> None:
    scores, curve, pictures = part.subfigures(1, 3, width_ratios=[1, 1, 1.1], squeeze=False)[0]
    _draw_scores(scores.subplots(), facts)
    _draw_free_energy(curve.subplots(), facts)
    pictures.suptitle("samples", fontsize=10)
    for row, samples in zip(pictures.subplots(len(shown), 4, squeeze=False), shown, strict=True):
        _draw_samples(row, samples, facts)


def _draw_scores(axes: Axes, facts: dict[str, Any]) -> None:
    for key, label, style in (("reference_scores", facts["reference"], "0.6"), ("model_scores", "model", "C0")):
        levels = [entry["score"] for entry in facts[key]]
        shares = [entry["share"] for entry in facts[key]]
        axes.step(levels, shares, where="mid", color=style, linewidth=2.5 if style == "0.6" else 1, label=label)
    axes.set(xlabel=r"$\log f$", ylabel="probability", title=f"{facts['system']}, T = {facts['temperature']:.4f}")
    axes.title.set_fontsize(10)
    axes.legend(frameon=False, fontsize=8)


def _draw_free_energy(axes: Axes, facts: dict[str, Any]) -> None:
    rows = facts["free_energy_per_site"]
    length = int(facts["system"].split("x")[0])
    fine = [1 + k / 50 for k in range(151)]
    axes.plot(fine, [_exact(length, t) for t in fine], color="0.6", linewidth=2.5, label="exact (Kaufman)")
    values, errors = [r["model"] for r in rows], [r["error"] for r in rows]
    axes.errorbar([r["temperature"] for r in rows], values, errors, fmt="o", color="C0", markersize=3, label="model")
    axes.set(xlabel="T", ylabel=r"$-kT\,\log Z$ per site", title="free energy")
    axes.title.set_fontsize(10)
    axes.legend(frameon=False, fontsize=8)


def _draw_samples(row: Any, samples: SampleSet, facts: dict[str, Any]) -> None:
    length = int(facts["system"].split("x")[0])
    for axes, occupations in zip(row, samples.occupations, strict=True):
        axes.imshow(occupations.view(length, length).numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
    row[0].set_ylabel(f"T = {samples.state.temperature:.2f}", fontsize=8)
