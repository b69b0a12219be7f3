"""Table 2 of the paper: the CuAu cluster expansion on 2x2x4 and 4x4x8 primitive cells, formation energies.

The paper does not state its conditions. Ours: one model a supercell, trained on T from 450 to 1250 K and Delta mu = mu_Au - mu_Cu
from -0.25 to 0.25 eV, measured at 500, 680 and 1200 K without a field, and over a grid of T and Delta mu.
"""

from __future__ import annotations

import itertools

from arlattice.ensemble import SemiGrandCanonical
from arlattice.training.states import StateRange
from arlattice_bench.published import TABLE_2
from arlattice_bench.recipes import ALL, FULL, MARGINALS, SEVERAL_SIZES, SMALL, TRANSFORMERS, Scale, painted
from arlattice_bench.references import ReferenceMaker, enumeration, monte_carlo
from arlattice_bench.system import Condition, System
from arlattice_bench.table import Table

__all__ = ["REFERENCE", "table"]

REFERENCE = "reference-cuau-4x4x8.json"
"""Monte Carlo log Z of the large supercell, in the folder of results."""

_GRID = itertools.product((500, 680, 860, 1040, 1200), (-0.2, -0.1, 0.0, 0.1, 0.2))
CONDITIONS = (
    *(Condition(f"{t} K", (SemiGrandCanonical(t, {"Au": 0.0}),)) for t in (500, 680, 1200)),
    Condition("mean over T, Delta mu", tuple(SemiGrandCanonical(t, {"Au": mu}) for t, mu in _GRID)),
)
FULL_TRAINING = FULL.with_systems(
    {
        "2x2x4": {
            "": {"steps": 2000},
            "marginal-mlp": {"steps": 8000},
            "marginal-transformer": {"steps": 4000},
            "any-order-transformer": {"steps": 5000, "batch_size": 2048},
        },
        "4x4x8": {
            "marginal-transformer": {"steps": 7000},
            "marginal-transformer-energies": {"batch_size": 512},
            "any-order-transformer": {
                "objective": "balanced",
                "priority": 0.5,
                "steps": 12000,
                "batch_size": 1024,
                "ema_decay": 0.999,
                "equilibration_sweeps": 2000,
            },
            "any-order-transformer-sizes": {"steps": 5000},
        },
    }
)
_LARGE = {"": {"steps": 60}, "log-variance": {"steps": 100}, "balanced": {"steps": 100}}
SMALL_TRAINING = SMALL.with_systems({"2x2x4": _LARGE})


def table(small: bool = False) -> Table:
    """The table; the small one has 2x2x2 and 2x2x4."""
    if small:
        systems = cuau((2, 2, 2), enumeration), cuau((2, 2, 4), enumeration)
        return _table("paper-table-2-small", *systems, ((2, 2, 1), (2, 2, 2)), SMALL_TRAINING)
    systems = cuau((2, 2, 4), enumeration), cuau((4, 4, 8), monte_carlo(REFERENCE))
    return _table("paper-table-2", *systems, ((2, 2, 4), (2, 4, 4), (4, 4, 4)), FULL_TRAINING)


def cuau(supercell: tuple[int, int, int], reference: ReferenceMaker) -> System:
    """The expansion on one supercell."""
    states = StateRange(temperature=(450.0, 1250.0), chemical_potentials={"Au": (-0.25, 0.25)})
    options = {"supercell": list(supercell), "formation_energies": True}
    return System("x".join(map(str, supercell)), "cuau", options, states, CONDITIONS, reference)


def _table(name: str, first: System, large: System, several: tuple[tuple[int, ...], ...], scale: Scale) -> Table:
    sources = scale.jobs(ALL, [first])
    sizes = scale.job(SEVERAL_SIZES, large, supercells=tuple({"supercell": list(cells)} for cells in several))
    jobs = (*sources, *scale.jobs([*MARGINALS[1:], *TRANSFORMERS], [large]), sizes, *painted(sources, large))
    published = () if name.endswith("small") else TABLE_2
    return Table(name, "CuAu cluster expansion", (first, large), jobs, (first,), scale, published)
