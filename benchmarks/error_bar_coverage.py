"""How often do error bars cover? Repeats of default calls, each with fresh random numbers, against enumeration.

A right error bar of one sigma covers the exact value in 68.27 % of independent repeats. Every column of every call is tested with
an exact binomial test; the false-alarm rate over all of them together is 1e-3 (Bonferroni). `sample` and `sweep` are called with
their default numbers, Monte Carlo with shorter chains than the default, to stay within minutes.

    python benchmarks/error_bar_coverage.py --output benchmarks/results/coverage.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binomtest
from tqdm import tqdm

import arlattice as arl
from arlattice.montecarlo import sample_chains
from arlattice.montecarlo.autocorrelation import chain_mean
from arlattice.reliability import quiet
from arlattice.thermo.exact import Enumeration

SHARE = math.erf(math.sqrt(0.5))
FALSE_ALARM = 1e-3
SIZE = (3, 3)
TEMPERATURES = (2.0, 3.0)
FIELD = 0.1
STATE = arl.SemiGrandCanonical(2.5, {"up": 0.1, "down": -0.1})
TRAINING = {"objective": "forward", "steps": 400, "batch_size": 128, "seed": 0, "evaluate_every": 10_000, "equilibration_sweeps": 50}
CHAINS = {"chains": 16, "sweeps": 100, "burn_in": 20, "thin": 2}
OBSERVABLES = ("magnetisation",)

Estimates = dict[str, arl.Estimate]
"""Column -> value and error."""

Exact = dict[str, float]


def main() -> None:
    """Measure, print what failed, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=800)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trained = train()
    columns = [row for name, (repeat, exact) in calls(trained).items() for row in covered(name, repeat, exact, arguments.repeats)]
    result = {
        "command": f"python benchmarks/error_bar_coverage.py --repeats {arguments.repeats}",
        "device": f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "repeats": arguments.repeats,
        "expected": SHARE,
        "false_alarm": FALSE_ALARM,
        "system": f"Ising {SIZE[0]}x{SIZE[1]}",
        "training": TRAINING,
        "monte_carlo": CHAINS,
        "ess": trained.sample(10_000, STATE).ess,
        **judged(columns),
    }
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def train() -> arl.Model:
    """A small model that is good, not perfect."""
    states = [arl.SemiGrandCanonical(t, {"up": FIELD, "down": -FIELD}) for t in (*TEMPERATURES, STATE.temperature)]
    options = {"width": 32, "heads": 2, "layers": 2}
    return arl.train(
        arl.hamiltonian("ising", supercell=SIZE), states, model_options=options, training=TRAINING, device="cpu", progress=False
    )


# -- what is called --------------------------------------------------------------------------------


def calls(model: arl.Model, n: int = 1000) -> dict[str, tuple[Callable[[], Estimates], Exact]]:
    """What to repeat, by name, and the exact values of its columns; ``n`` samples a state, 1000 by default."""
    whole = everything(model.hamiltonian, STATE)
    swept = {t: everything(model.hamiltonian, arl.SemiGrandCanonical(t, {"up": FIELD, "down": -FIELD})) for t in TEMPERATURES}
    with quiet():  # exact, however few configurations carry the weight
        of_states = {f"{name}, T = {t:g}": e.value for t, samples in swept.items() for name, e in sweep_columns(samples)}
        of_whole = {name: e.value for name, e in of_set(whole).items()}
    return {
        "sample": (lambda: of_set(model.sample(n, STATE)), of_whole),
        "sweep": (lambda: of_sweep(model, n), of_states),
        "sample_chains": (lambda: of_chains(model.hamiltonian), {name: of_whole[name] for name in ("energy", "x_up")}),
    }


def everything(hamiltonian: arl.Hamiltonian, state: arl.Ensemble) -> arl.SampleSet:
    """Every configuration once, with equal probability: its weighted averages are exact."""
    x = Enumeration.of(hamiltonian).occupations.long()
    even = torch.full((len(x),), -math.log(len(x)), dtype=torch.float64)
    return arl.SampleSet(hamiltonian.lattice, x, hamiltonian.energy(x).double(), state, hamiltonian.units, log_prob=even)


def of_set(samples: arl.SampleSet) -> Estimates:
    """What a set of samples says."""
    own = {"log_z": samples.log_z(), "free_energy": samples.free_energy(), "entropy": samples.entropy()}
    return own | {name: samples.mean(name) for name in ("energy", "x_up")}


def of_chains(hamiltonian: arl.Hamiltonian) -> Estimates:
    """What Monte Carlo says, with errors by autocorrelation times."""
    samples = sample_chains(hamiltonian, STATE, **CHAINS)
    return {name: chain_mean(samples, name) for name in ("energy", "x_up")}


def of_sweep(model: arl.Model, n: int) -> Estimates:
    """Every variable of a sweep, of two species the second."""
    found = arl.sweep(model, TEMPERATURES, field=FIELD, observables=OBSERVABLES, n=n, min_ess=0).isel(field=0)
    last = found.isel({dim: -1 for dim in found.dims if dim != "temperature"})
    names = [name.removesuffix("_error") for name in map(str, last.data_vars) if name.endswith("_error")]
    return {
        f"{name}, T = {t:g}": arl.Estimate(float(last[name][k]), float(last[f"{name}_error"][k]))
        for k, t in enumerate(TEMPERATURES)
        for name in names
    }


def sweep_columns(samples: arl.SampleSet) -> Iterator[tuple[str, arl.Estimate]]:
    """The same variables of one state, from a set."""
    from arlattice.thermo.sweep_state import averages

    for name, parts in averages(samples, {name: {} for name in OBSERVABLES}).items():
        yield name, list(parts.values())[-1]


# -- counting --------------------------------------------------------------------------------------


def covered(call: str, repeat: Callable[[], Estimates], exact: Exact, repeats: int, progress: bool = True) -> list[dict[str, Any]]:
    """One row a column: how often one error covered the exact value, and how the spread compares with the mean error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", arl.StatisticsWarning)  # of hundreds of repeats some have a heavy tail; all of them count
        found = [repeat() for _ in tqdm(range(repeats), desc=call, disable=not progress, leave=False)]
    return [_row(call, name, [estimates[name] for estimates in found], value) for name, value in exact.items()]


def _row(call: str, name: str, found: list[arl.Estimate], exact: float) -> dict[str, Any]:
    values, errors = (torch.tensor(column, dtype=torch.float64) for column in zip(*((e.value, e.error) for e in found), strict=True))
    hits = int(((values - exact).abs() <= errors).sum())
    return {
        "call": call,
        "column": name,
        "covered": hits / len(found),
        "p_value": float(binomtest(hits, len(found), SHARE).pvalue),
        "spread_over_error": float(values.std() / errors.square().mean().sqrt()),
        "bias_over_error": float((values.mean() - exact) / errors.square().mean().sqrt()),
    }


def judged(columns: list[dict[str, Any]], false_alarm: float = FALSE_ALARM) -> dict[str, Any]:
    """The columns, and those whose coverage is off at this false-alarm rate over all of them."""
    failed = [f"{row['call']}: {row['column']}" for row in columns if row["p_value"] < false_alarm / len(columns)]
    return {"columns": columns, "smallest_p_value": min(row["p_value"] for row in columns), "failed": failed}


if __name__ == "__main__":
    main()
