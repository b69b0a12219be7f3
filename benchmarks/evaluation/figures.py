"""Figures of a model in one state and one kind of plan, from its own samples (q) and from Monte Carlo samples (p).

gap = log Z - ELBO = KL(q || p), with the known log Z, or that of the weights where none is known
q-ESS = E_q[w]^2 / E_q[w^2], p-ESS = 1 / (E_p[w] E_p[1 / w]), ELBO <= log Z <= EUBO; see `arlattice.thermo.bounds`
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from references.histograms import BINS, described
from references.sublattices import PHASES, order_parameter, phase_of, waves

import arlattice as arl
from arlattice.estimate import Estimate
from arlattice.models.base import Model
from arlattice.montecarlo.autocorrelation import mean_error
from arlattice.reliability import quiet
from arlattice.samples import SampleSet
from arlattice.thermo.bounds import bracket, p_ess, q_ess
from evaluation.known import Beside

__all__ = ["measured", "of_chains", "phases_of_chains", "phases_of_model", "rate"]


def measured(model: Model, state: arl.SemiGrandCanonical, order: str, n: int, seed: int, beside: Beside, phases: bool) -> dict[str, Any]:
    """One row of the results.

    Args:
        model: on its device.
        state: where.
        order: the kind of plan.
        n: samples of the model.
        seed: of these.
        beside: what is known of the state.
        phases: count the ordered phases of FCC.
    """
    started = time.perf_counter()
    samples = model.sample(n, state, order=order, seed=seed)
    seconds = time.perf_counter() - started
    with quiet():
        row = _place(samples) | {"order": order, "samples": n, "seed": seed} | _from_weights(samples, beside.log_z)
        row |= {"samples_per_second": n / seconds}
        if beside.chains is not None:
            row |= _from_both(samples, _thinned(beside.chains, n), model, seed)
        if phases:
            row |= phases_of_model(samples) | (phases_of_chains(beside.chains) if beside.chains is not None else {})
    return row


def _thinned(chains: SampleSet, most: int) -> SampleSet:
    """Some draws of all chains, evenly spread, about ``most`` configurations: what weighs them costs as much as drawing them."""
    n, draws = int(chains.metadata["chains"]), int(chains.metadata["draws"])
    kept = max(1, min(draws, most // n))
    rows = torch.linspace(0, draws - 1, kept).round().long()[:, None] * n + torch.arange(n)
    return replace(chains.select(rows.flatten()), metadata=dict(chains.metadata) | {"draws": kept})


def rate(rows: list[dict[str, Any]]) -> float:
    """Samples per second with their log-probabilities: the median, since the first state has the start-up in it."""
    return float(np.median([row["samples_per_second"] for row in rows]))


def _place(samples: SampleSet) -> dict[str, float]:
    """Temperature and field, J = 1, or Delta mu of the second species."""
    first, second = samples.state.mu_vector(samples.lattice)
    mu = {"field": (second - first) / 2} if samples.units == "reduced" else {"delta_mu": second - first}
    return {"temperature": samples.state.temperature} | {name: round(value, 9) + 0.0 for name, value in mu.items()}


def _from_weights(samples: SampleSet, known: Estimate | None) -> dict[str, float]:
    log_z, elbo = samples.log_z(), samples.elbo()
    row = {"log_z": log_z.value, "log_z_error": log_z.error, "elbo": elbo.value, "elbo_error": elbo.error, "ess": samples.ess}
    row |= {"ess_error": q_ess(samples.log_weight).error}
    if known is None:
        return row | {"gap": log_z.value - elbo.value}
    row |= {"gap": known.value - elbo.value, "gap_error": math.hypot(known.error, elbo.error)}
    return row | ({"exact_log_z": known.value} if known.error == 0 else {"known_log_z": known.value, "known_log_z_error": known.error})


def _from_both(samples: SampleSet, chains: SampleSet, model: Model, seed: int) -> dict[str, Any]:
    found = bracket(samples, chains, model, seed=seed)
    row = {"ess_error": found.q_ess.error, "p_ess": found.p_ess.value, "p_ess_error": found.p_ess.error, "chains": len(chains)}
    difference = found.upper.value - found.lower.value
    row |= {"eubo": found.upper.value, "eubo_error": found.upper.error, "eubo_minus_elbo": difference}
    return {name: value if math.isfinite(value) else None for name, value in row.items()} | {"lost_mode": found.lost_mode}


def of_chains(row: dict[str, Any], chains: SampleSet, model: Model, n: int) -> dict[str, Any]:
    """What Monte Carlo adds to a row that was measured without it: p-ESS and EUBO of about ``n`` configurations."""
    some = _thinned(chains, n)
    log_w, copies = some.log_f - model.log_prob(some.occupations, some.state, row["order"], seed=row["seed"]), int(some.metadata["chains"])
    ess, upper, error = p_ess(log_w, copies), float(log_w.mean()), float(mean_error(log_w, copies))
    lost = ess.value + 4 * ess.error < row["ess"] and ess.value < row["ess"] / 2
    bounds = {"eubo": upper, "eubo_error": error, "eubo_minus_elbo": upper - row["elbo"]}
    return {"p_ess": ess.value, "p_ess_error": ess.error, "chains": len(some), "lost_mode": lost} | bounds


def phases_of_model(samples: SampleSet) -> dict[str, Any]:
    """Weighted shares of the phases with errors, histograms of the order parameter and of x, and mean x."""
    rows = samples.occupations.numpy()
    member = np.eye(len(PHASES))[phase_of(samples.lattice, rows)]
    shares = {name: list(samples.mean(torch.from_numpy(member[:, k]))) for k, name in enumerate(PHASES)}
    species = samples.lattice.species[1]
    x, weights = samples.mean(f"x_{species}"), samples.weights.numpy()
    return {
        f"x_{species}": x.value,
        f"x_{species}_error": x.error,
        "phases_model": shares,
        "order_histogram_model": _histogram(order_parameter(waves(samples.lattice, rows)), weights),
        "x_histogram_model": _histogram(rows.mean(1), weights),
    }


def phases_of_chains(chains: SampleSet) -> dict[str, Any]:
    """The same of Monte Carlo samples; errors over their copies."""
    kept = chains.occupations.numpy().reshape(-1, int(chains.metadata["chains"]), chains.lattice.n_sites)
    found = described(chains.lattice, kept)
    return {f"{name}_monte_carlo": found[name] for name in ("phases", "order_histogram", "x_histogram")}


def _histogram(values: np.ndarray, weights: np.ndarray) -> list[float]:
    return [round(float(share), 6) for share in np.histogram(values, BINS, weights=weights)[0] / weights.sum()]
