"""Cluster expansions fitted with icet, as torch Hamiltonians; the published CuAu expansion ready-made."""

from __future__ import annotations

from typing import Any

import arlattice as arl
from arlattice_icet.compile import SelfInteractionWarning
from arlattice_icet.options import CuAuOptions, IcetOptions

__all__ = ["CuAuOptions", "IcetOptions", "SelfInteractionWarning"]


@arl.hookimpl
def arlattice_register_hamiltonians(register: Any) -> None:
    """Register ``icet`` and ``cuau``."""
    register(
        "icet",
        "arlattice_icet.expansion:build",
        options=IcetOptions,
        summary="any icet cluster expansion (object or .ce file), any supercell",
    )
    register(
        "cuau", "arlattice_icet.cuau:build", options=CuAuOptions, summary="CuAu on FCC, published 11-term cluster expansion (needs icet)"
    )
