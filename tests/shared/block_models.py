"""Models of blocks with weights at random, all configurations of their lattices, and a brief training of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

import arlattice as arl
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.testing import Case, randomise
from arlattice.thermo.exact import enumerate_configurations

TINY = {"width": 8, "layers": 1, "parts": 1}
BRIEF: dict[str, Any] = {
    "seed": 0,
    "objective": "balanced",
    "steps": 3,
    "batch_size": 8,
    "replay_group": 4,
    "replica_copies": 8,
    "replica_temperatures": 1,
    "equilibration_sweeps": 2,
    "evaluate_every": 100,
    "evaluate_samples": 4,
}


def model_on(hamiltonian: arl.Hamiltonian, **options: Any) -> Any:
    """Tiny, in float32."""
    return randomise(build_model("multiscale", hamiltonian, TINY | options), seed=3)


@cache
def model_of(case: Case, **options: Any) -> Model:
    """Tiny, in float64."""
    return randomise(build_model("multiscale", case.hamiltonian, TINY | options), seed=3).double()


@cache
def every(case: Case) -> Tensor:
    """All configurations, (configurations, sites)."""
    return torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))
