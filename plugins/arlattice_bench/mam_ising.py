"""The Ising benchmark of the paper on marginalization models: 10x10, K = 0.2, h = 0.2 in units of kT, one state.

Its energy x^T J x counts each bond twice; the exact log Z at these values is that of the MAM paper's code. Here J = 1, so
T = 5 and the field is 1.

Source: S. Liu, P. Ramadge, R. P. Adams, Generative marginalization models, ICML 2024.
"""

from __future__ import annotations

from arlattice.ensemble import ChemicalPotentials, SemiGrandCanonical
from arlattice_bench.published import MAM_ISING
from arlattice_bench.recipes import ALL, FULL, SMALL
from arlattice_bench.references import transfer_matrix
from arlattice_bench.system import Condition, System
from arlattice_bench.table import Table

__all__ = ["STATE", "table"]

STATE = SemiGrandCanonical(5.0, ChemicalPotentials.from_field(1.0))
"""K = J / T = 0.2, h / T = 0.2."""

_CHAINS = {"replica_copies": 4096, "equilibration_sweeps": 200}
FULL_TRAINING = FULL.with_systems(
    {
        "10x10": {
            "": {**_CHAINS, "steps": 2000},
            "marginal-mlp": {"steps": 20000},
            "marginal-transformer": {"steps": 4000},
            "any-order-transformer": {"steps": 3000},
        }
    }
)
SMALL_TRAINING = SMALL.with_systems({"4x4": {"": {"replica_copies": 256}}})


def table(small: bool = False) -> Table:
    """The table; the small one is 4x4."""
    length, scale = (4, SMALL_TRAINING) if small else (10, FULL_TRAINING)
    options = {"supercell": [length, length]}
    condition = Condition("K = 0.2, h = 0.2", (STATE,))
    system = System(f"{length}x{length}", "ising", options, STATE, (condition,), transfer_matrix(length, length))
    jobs = scale.jobs(ALL, [system])
    name, published = ("mam-ising-small", ()) if small else ("mam-ising", MAM_ISING)
    return Table(name, "Ising model, K = 0.2, h = 0.2", (system,), jobs, (system,), scale, published)
