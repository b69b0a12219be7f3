"""Spin models on chains, square and cubic lattices: the Ising model with a field, and the Potts model."""

from __future__ import annotations

from typing import Any

import arlattice as arl
from arlattice_ising.options import IsingOptions, PottsOptions

__all__ = ["IsingOptions", "PottsOptions"]


@arl.hookimpl
def arlattice_register_hamiltonians(register: Any) -> None:
    """Register ``ising`` and ``potts``."""
    register(
        "ising", "arlattice_ising.ising:build", options=IsingOptions, summary="Ising model on a chain, square or cubic torus, with field"
    )
    register("potts", "arlattice_ising.potts:build", options=PottsOptions, summary="q-state Potts model on a chain, square or cubic torus")
