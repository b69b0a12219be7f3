"""Batched Monte Carlo in torch: one chain a row, every chain in its own state. One move a file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arlattice.montecarlo.chains import sample_chains, sample_replicas
    from arlattice.montecarlo.diagnostics import ChainDiagnostics, diagnose
    from arlattice.montecarlo.moves import for_ensembles

_LAZY = {
    "ChainDiagnostics": "arlattice.montecarlo.diagnostics",
    "diagnose": "arlattice.montecarlo.diagnostics",
    "for_ensembles": "arlattice.montecarlo.moves",
    "sample_chains": "arlattice.montecarlo.chains",
    "sample_replicas": "arlattice.montecarlo.chains",
}

__all__ = ["ChainDiagnostics", "diagnose", "for_ensembles", "sample_chains", "sample_replicas"]


def __getattr__(name: str) -> Any:
    """Import what the training does not need when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'arlattice.montecarlo' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
