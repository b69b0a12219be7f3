"""From what the chains left to a table of references with errors: MBAR, population annealing, phases. Needs pymbar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

import arlattice as arl
from arlattice.ensemble import BOLTZMANN
from arlattice.estimate import Estimate
from arlattice.montecarlo.population_annealing import Rung
from references import line

__all__ = ["exchange_rates", "line_table", "table"]

KT = BOLTZMANN["eV"]
_BLOCKS = 32  # of copies; each gives one estimate


def table(runs: list[dict[str, np.ndarray]], temperatures: list[float]) -> list[dict[str, float]]:
    """The states of the ladders; what several runs say of one is pooled.

    Args:
        runs: of one Hamiltonian, see `references.data`.
        temperatures: of the rows.
    """
    rows = []
    for mu in sorted({mu for run in runs for mu in run["mu"].tolist()}):
        having = [(run, run["mu"].tolist().index(mu)) for run in runs if mu in run["mu"]]
        found = [_ladder_estimates(run, m, temperatures) for run, m in having]
        annealed = [run["annealing_log_z"][m] for run, m in having if "annealing_log_z" in run]
        for j, t in enumerate(temperatures):
            mbar, x, energy = (_pooled([estimates[j][key] for estimates in found]) for key in ("log_z", "x_Au", "energy_per_site"))
            annealing = _pooled([_annealing_log_z(t, blocks[j]) for blocks in annealed]) if annealed else None
            averages = _flat({"x_Au": x, "energy_per_site": energy})
            apart = max(float(estimates[j]["apart"]) for estimates in found)
            rows.append({"temperature": t, "delta_mu": mu, **_both(mbar, annealing), **averages, "starts_apart": apart})
    return rows


def exchange_rates(run: dict[str, np.ndarray]) -> list[float]:
    """The lowest rate of exchange between neighbours at every Delta mu, from the samples of both."""
    least = []
    for m, mu in enumerate(run["mu"]):
        enthalpy = run["energy"][:, m] - mu * run["atoms"][:, m]
        accepted = np.exp(np.minimum(0.0, np.diff(run["beta"][:, m])[:, None, None] * np.diff(enthalpy, axis=0)))
        least.append(float(accepted.mean((1, 2)).min()))
    return least


def _ladder_estimates(run: dict[str, np.ndarray], m: int, temperatures: list[float]) -> list[dict[str, Any]]:
    """log Z, x_Au and the energy at every temperature, from one run's ladder at one Delta mu."""
    beta, energy, atoms, sites = run["beta"][:, m], run["energy"][:, m].astype(float), run["atoms"][:, m], int(run["sites"])
    enthalpy = energy - run["mu"][m] * atoms
    blocks = np.array_split(np.arange(energy.shape[-1]), min(_BLOCKS, energy.shape[-1]))
    log_z = np.array([_ladder_log_z(beta, enthalpy[..., block].reshape(len(beta), -1), sites) for block in blocks])
    found = []
    for t in temperatures:
        k = int(np.abs(beta - 1 / (KT * t)).argmin())
        quantities = {"x_Au": atoms[k].mean(0) / sites, "energy_per_site": energy[k].mean(0) / sites}
        estimates = {name: _of_copies(values) for name, values in {"log_z": log_z[:, k], **quantities}.items()}
        found.append({**estimates, "apart": max(map(_apart, (log_z[:, k], *quantities.values())))})
    return found


def _of_copies(values: np.ndarray) -> Estimate:
    """Mean over copies or blocks of them; its error is no less than half of what the two kinds of starts differ by."""
    random, ordered = _by_start(values)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(float(values.mean()), max(error, abs(float(random.mean() - ordered.mean())) / 2))


def _apart(values: np.ndarray) -> float:
    """Difference between copies that started disordered and ordered, in errors of it."""
    random, ordered = _by_start(values)
    error = math.hypot(*(float(v.std(ddof=1)) / math.sqrt(len(v)) for v in (random, ordered)))
    return abs(float(random.mean() - ordered.mean())) / error if error > 0 else 0.0


def _by_start(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first half of the copies starts at random (`references.exchange`)."""
    return values[: len(values) // 2], values[len(values) // 2 :]


def _annealing_log_z(temperature: float, blocks: np.ndarray) -> Estimate:
    return Rung(arl.SemiGrandCanonical(temperature), 0, torch.from_numpy(blocks), torch.empty(0)).log_z


def line_table(data: dict[str, np.ndarray], base: dict[str, float]) -> list[dict[str, float]]:
    """Every fourth state of the line; its log Z is that of field 0, ``base``, plus a difference."""
    mu, energy, atoms, sites = data["line_mu"], data["line_energy"].astype(float), data["line_atoms"], int(data["sites"])
    beta, copies = 1 / (KT * line.TEMPERATURE), range(energy.shape[-1])
    shifts = np.array([_line_log_z(beta, mu, energy[..., c], atoms[..., c]) for c in copies])
    rows = []
    for k in range(0, len(mu), 4):
        relative, x, per_site = map(_of_copies, (shifts[:, k], atoms[k].mean(0) / sites, energy[k].mean(0) / sites))
        log_z = Estimate(base["log_z"] + relative.value, math.hypot(relative.error, base["log_z_error"]))
        flat = _flat({"log_z": log_z, "x_Au": x, "energy_per_site": per_site})
        rows.append({"temperature": line.TEMPERATURE, "delta_mu": round(float(mu[k]), 6), **flat})
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


def _ladder_log_z(beta: np.ndarray, enthalpy: np.ndarray, sites: int) -> np.ndarray:
    """log Z of every rung, from log Z = sites log 2 at beta = 0; E - mu N (rungs, samples)."""
    return sites * math.log(2) + _mbar(beta[:, None, None] * enthalpy[None])


def _line_log_z(beta: float, mu: np.ndarray, energy: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """log Z relative to Delta mu = 0; mu counts as mu(Au), mu(Cu) = 0."""
    log_z = _mbar(beta * (energy[None] - mu[:, None, None] * atoms[None]))
    return np.asarray(log_z - log_z[np.abs(mu).argmin()])


def _mbar(reduced: np.ndarray) -> np.ndarray:
    """log Z relative to the first state from reduced potentials (evaluated at, drawn at, sample)."""
    from pymbar import MBAR

    states, _, samples = reduced.shape
    mbar = MBAR(reduced.reshape(states, -1), np.full(states, samples), initialize="BAR")
    return -np.asarray(mbar.f_k)
