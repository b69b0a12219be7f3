"""log Z of the shipped CuAu 4x4x4 model where few Au atoms carry the weight, against enumeration.

python benchmarks/dilute_limit.py
"""

from __future__ import annotations

import itertools
import json
import math
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import arlattice as arl

MODEL = "cuau-4x4x4"
TEMPERATURE = 680.0
DELTA_MU = (-0.4, -0.36, -0.32, -0.28, -0.24)
MOST_ATOMS = 4
SAMPLES = 2000


def main() -> None:
    """Write benchmarks/results/dilute-cuau-4x4x4.json."""
    model = arl.load(MODEL)
    energies = [energies_with(model.hamiltonian, n) for n in range(1, MOST_ATOMS + 1)]
    rows = []
    for mu in DELTA_MU:
        state = arl.SemiGrandCanonical(TEMPERATURE, {"Au": mu})
        exact, left_out = dilute_log_z(model.hamiltonian, state, energies)
        samples = model.sample(SAMPLES, state, seed=1, batch_size=200, progress=True)
        rows.append(_row(mu, exact, left_out, samples))
    result = {"command": "python benchmarks/dilute_limit.py", "device": f"CPU, {platform.machine()}", "torch": torch.__version__}
    path = Path(__file__).parent / "results" / f"dilute-{MODEL}.json"
    path.write_text(json.dumps({**result, "samples": SAMPLES, "most_atoms": MOST_ATOMS, "states": rows}, indent=1) + "\n", encoding="utf-8")


def dilute_log_z(hamiltonian: arl.Hamiltonian, state: arl.Ensemble, energies: list[Tensor]) -> tuple[float, float]:
    """log of the partition sum over at most ``len(energies)`` Au atoms, and about what share of it is left out.

    Each set of n atoms that holds site 0 stands for sites / n sets, by translation. The terms fall off faster than
    geometrically, so the first one left out is below the last one squared over the one before.
    """
    beta, mu, sites = state.beta("eV"), state.mu_vector(hamiltonian.lattice)[1], hamiltonian.lattice.n_sites
    terms = [1.0] + [sites / n * float(torch.exp(-beta * (e - mu * n)).sum()) for n, e in enumerate(energies, 1)]
    return math.log(sum(terms)), terms[-1] ** 2 / terms[-2] / sum(terms)


def energies_with(hamiltonian: arl.Hamiltonian, n: int) -> Tensor:
    """Energies of all configurations of ``n`` Au atoms that have one at site 0, on a lattice of one sublattice."""
    sites = hamiltonian.lattice.n_sites
    others = list(itertools.combinations(range(1, sites), n - 1))
    parts = []
    for rows in torch.tensor(others, dtype=torch.long).view(len(others), n - 1).split(20_000):
        x = torch.zeros(len(rows), sites, dtype=torch.long)
        x[:, 0] = 1
        parts.append(hamiltonian.energy(x.scatter_(1, rows, 1)).double())
    return torch.cat(parts)


def _row(mu: float, exact: float, left_out: float, samples: arl.SampleSet) -> dict[str, Any]:
    log_z = samples.log_z()
    figures = {"exact_log_z": exact, "left_out": left_out, "log_z": log_z.value, "log_z_error": log_z.error, "ess": samples.ess}
    return {"temperature": TEMPERATURE, "delta_mu": mu, **figures}


if __name__ == "__main__":
    main()
