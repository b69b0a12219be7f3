"""How well weights of one supercell serve others, untrained: EUBO - ELBO in nats a site, and ESS.

ELBO comes from the model's own samples, EUBO from Monte Carlo chains of the other supercell: log Z lies between them.
Scales coarser than those that were trained are served by the coarsest trained ones (docs: blocks).

    python benchmarks/other_sizes.py --samples 48
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch

import arlattice as arl
from arlattice.io.files import write_text
from arlattice.montecarlo.chains import sample_chains
from arlattice.reliability import quiet

RESULTS = Path(__file__).parent / "results" / "other-sizes.json"
CASES: list[tuple[str, list[Any], list[arl.SemiGrandCanonical], dict[str, Any]]] = [
    ("ising-32x32", [[16, 16], [64, 64]], [arl.SemiGrandCanonical(2.269185, {})], {"move": "swendsen-wang", "burn_in": 200, "thin": 5}),
    (
        "cuau-8x8x8",
        [[4, 4, 8], [8, 8, 8], [16, 16, 16]],
        [arl.SemiGrandCanonical(t, {"Au": 0.0}) for t in (800.0, 1200.0)],
        {"burn_in": 2000, "thin": 50},
    ),
]
"""Model, supercells, states, and how Monte Carlo is run there."""


def main() -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=48, help="of the model and of the chains, each")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name, supercells, states, chains in CASES:
        model = arl.load(name)
        for supercell in supercells:
            hamiltonian = arl.hamiltonian(model.hamiltonian.name, **dict(model.hamiltonian.options) | {"supercell": supercell})
            rows += [_row(name, model.on(hamiltonian), state, arguments.samples, chains) for state in states]
            print(rows[-len(states) :], flush=True)
    found = {"command": f"python benchmarks/other_sizes.py --samples {arguments.samples}", "torch": torch.__version__, "rows": rows}
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")


def _row(name: str, model: arl.Model, state: arl.SemiGrandCanonical, n: int, chains: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    samples = model.sample(n, state, seed=1)
    seconds = time.perf_counter() - started
    replay = sample_chains(model.hamiltonian, state, chains=n, sweeps=10 * chains["thin"], seed=2, **chains)
    last = replay.occupations[-n:]
    with quiet():
        mu = state.mu_vector(model.lattice)
        log_f = -state.beta(model.hamiltonian.units) * (replay.energy[-n:] - torch.tensor(mu)[last].sum(1))
        above = log_f - model.log_prob(last, state, seed=3)
        elbo, sites = samples.elbo(), model.lattice.n_sites
        error = (elbo.error**2 + float(above.var()) / n) ** 0.5
        return {
            "model": name,
            "sites": sites,
            "supercell": model.lattice.supercell.diagonal().tolist(),
            "temperature": state.temperature,
            "eubo_minus_elbo_per_site": (float(above.mean()) - elbo.value) / sites,
            "error_per_site": error / sites,
            "ess": samples.ess,
            "samples_per_second": n / seconds,
        }


if __name__ == "__main__":
    main()
