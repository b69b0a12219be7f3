"""Table 1 of the paper: the Ising model on 5x5, 10x10 and 20x20 tori, J = 1, no field.

The paper does not state its temperatures. Ours: one model a size, trained on T from 1 to 4, measured at the critical
temperature, at T = 2.0, and over T = 1, 1.25, ..., 4.
"""

from __future__ import annotations

import math

from arlattice.ensemble import SemiGrandCanonical
from arlattice.training.states import StateRange
from arlattice_bench.job import Job
from arlattice_bench.published import TABLE_1
from arlattice_bench.recipes import ALL, ARMS, FULL, MARGINALS, SEVERAL_SIZES, SMALL, TRANSFORMERS, Scale, painted
from arlattice_bench.references import kaufman
from arlattice_bench.system import Condition, System
from arlattice_bench.table import Table

__all__ = ["CRITICAL", "ising", "table"]

CRITICAL = 2 / math.log(1 + math.sqrt(2))
CONDITIONS = (
    Condition("T_c", (SemiGrandCanonical(CRITICAL),)),
    Condition("T = 2.0", (SemiGrandCanonical(2.0),)),
    Condition("mean over T 1-4", tuple(SemiGrandCanonical(1 + k / 4) for k in range(13))),
)
_CHAINS = {"replica_temperatures": 24, "replica_copies": 256}
FULL_TRAINING = FULL.with_systems(
    {
        "5x5": {"": {**_CHAINS, "steps": 2000}, "marginal-mlp": {"steps": 8000}, "marginal-transformer": {"steps": 4000}},
        "10x10": {
            "": {**_CHAINS, "steps": 6000},
            "any-order-mlp": {"steps": 4500, "reverse_samples": 128},
            "marginal-mlp": {"steps": 20000},
            "marginal-transformer": {"steps": 7000},
            "any-order-transformer": {"steps": 9000, "batch_size": 2048, "ema_decay": 0.999, "equilibration_sweeps": 2000},
        },
        "20x20": {
            "": _CHAINS,
            "marginal-mlp": {"steps": 16000},
            "marginal-transformer": {"steps": 7000, "reverse_samples": 32},
            "marginal-transformer-energies": {"batch_size": 256},
            "any-order-transformer": {
                "objective": "balanced",
                "priority": 0.5,
                "steps": 13000,
                "batch_size": 512,
                "ema_decay": 0.999,
                "equilibration_sweeps": 2000,
            },
            "any-order-transformer-sizes": {"steps": 8000},
        },
    }
)
_LARGE = {"": {"steps": 30}, "log-variance": {"steps": 60}, "balanced": {"steps": 60}}
SMALL_TRAINING = SMALL.with_systems({"8x8": _LARGE})


def table(small: bool = False) -> Table:
    """The table; the small one has 3x3, 4x4 and 8x8."""
    if small:
        return _table("paper-table-1-small", (3, 4, 8), (3, 4), SMALL_TRAINING)
    return _table("paper-table-1", (5, 10, 20), (6, 8, 10), FULL_TRAINING)


def ising(length: int) -> System:
    """The torus of one size."""
    options = {"supercell": [length, length]}
    return System(f"{length}x{length}", "ising", options, StateRange(temperature=(1.0, 4.0)), CONDITIONS, kaufman(length))


def _table(name: str, lengths: tuple[int, int, int], several: tuple[int, ...], scale: Scale) -> Table:
    first, middle, large = (ising(length) for length in lengths)
    sources = scale.jobs(ALL, [middle])
    jobs = (*scale.jobs(ALL, [first]), *sources, *_large(scale, large, several), *painted(sources, large))
    return Table(name, "Ising model", (first, middle, large), jobs, (first, middle), scale, () if name.endswith("small") else TABLE_1)


def _large(scale: Scale, system: System, several: tuple[int, ...]) -> tuple[Job, ...]:
    """What is trained for the large torus. A gradient of the any-order perceptron keeps a pass for every site: its memory is measured."""
    fixed_order, any_order = ARMS
    sizes = scale.job(SEVERAL_SIZES, system, supercells=tuple({"supercell": [length, length]} for length in several))
    trained = scale.jobs([fixed_order, *MARGINALS, *TRANSFORMERS], [system])
    return (scale.job(any_order, system, kind="memory"), *trained, sizes)
