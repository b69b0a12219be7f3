"""Models of blocks with weights at random, and all configurations of their lattices."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.testing import Case, randomise
from arlattice.thermo.exact import enumerate_configurations

TINY = {"width": 8, "layers": 1, "parts": 1}


@cache
def model_of(case: Case, **options: Any) -> Model:
    """Tiny, in float64."""
    return randomise(build_model("multiscale", case.hamiltonian, TINY | options), seed=3).double()


@cache
def every(case: Case) -> Tensor:
    """All configurations, (configurations, sites)."""
    return torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))
