"""arlattice: learn to generate equilibrium configurations of a lattice, with exact log-probabilities.

    >>> import arlattice as arl
    >>> H = arl.hamiltonian("ising", supercell=(4, 4), J=1.0)
    >>> state = arl.SemiGrandCanonical(temperature=2.5)
    >>> H.lattice.n_sites
    16

The nouns are `Lattice`, `Hamiltonian`, `Ensemble`, `Model` and `SampleSet`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from arlattice.build import hamiltonian
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.ensemble import Canonical, ChemicalPotentials, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError, MissingExtraError
from arlattice.hamiltonians import CalculatorHamiltonian, FunctionHamiltonian, Hamiltonian
from arlattice.hooks.by_hand import ByHand
from arlattice.hooks.hookspecs import hookimpl
from arlattice.hooks.manager import load_plugin, plugins
from arlattice.hooks.options import Options
from arlattice.lattice import UNKNOWN, Lattice, chain, cubic, square
from arlattice.moved_modules import install as _install_moved_modules
from arlattice.reliability import (
    HeavyTailWarning,
    LostModeWarning,
    LowEssWarning,
    MissingPhaseWarning,
    OutOfRangeWarning,
    StatisticsWarning,
)
from arlattice.version import __version__

if TYPE_CHECKING:
    from arlattice.estimate import Estimate
    from arlattice.io.digest import UncheckedWarning
    from arlattice.models.base import Model
    from arlattice.models.build import model
    from arlattice.models.checkpoint import load
    from arlattice.samples import SampleSet
    from arlattice.thermo.sweep import sweep
    from arlattice.training.state_range import StateRange
    from arlattice.training.train import train


_LAZY = {
    "Estimate": "arlattice.estimate",
    "Model": "arlattice.models.base",
    "SampleSet": "arlattice.samples",
    "StateRange": "arlattice.training.state_range",
    "UncheckedWarning": "arlattice.io.digest",
    "load": "arlattice.models.checkpoint",
    "model": "arlattice.models.build",
    "sweep": "arlattice.thermo.sweep",
    "train": "arlattice.training.train",
}

__all__ = [
    "UNKNOWN",
    "ByHand",
    "CalculatorHamiltonian",
    "Canonical",
    "ChemicalPotentials",
    "ClusterHamiltonian",
    "Ensemble",
    "Estimate",
    "FunctionHamiltonian",
    "Hamiltonian",
    "HeavyTailWarning",
    "InputError",
    "Lattice",
    "LostModeWarning",
    "LowEssWarning",
    "MissingExtraError",
    "MissingPhaseWarning",
    "Model",
    "Options",
    "OutOfRangeWarning",
    "SampleSet",
    "SemiGrandCanonical",
    "StateRange",
    "StatisticsWarning",
    "UncheckedWarning",
    "__version__",
    "chain",
    "cubic",
    "hamiltonian",
    "hookimpl",
    "load",
    "load_plugin",
    "model",
    "plugins",
    "square",
    "sweep",
    "train",
]


_install_moved_modules()


def __getattr__(name: str) -> Any:
    """Import what only some programs need when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'arlattice' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
