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
import importlib.util
from typing import TYPE_CHECKING, Any

from arlattice.moved_modules import install as _install_moved_modules
from arlattice.version import __version__

if TYPE_CHECKING:
    from arlattice.build import hamiltonian
    from arlattice.cluster_family import ClusterFamily
    from arlattice.cluster_hamiltonian import ClusterHamiltonian
    from arlattice.ensemble import Canonical, ChemicalPotentials, Ensemble, SemiGrandCanonical
    from arlattice.errors import InputError, MissingExtraError
    from arlattice.estimate import Estimate
    from arlattice.hamiltonians import CalculatorHamiltonian, FunctionHamiltonian, Hamiltonian
    from arlattice.hooks.by_hand import ByHand
    from arlattice.hooks.hookspecs import hookimpl
    from arlattice.hooks.manager import load_plugin, plugins
    from arlattice.hooks.options import Options
    from arlattice.io.digest import UncheckedWarning
    from arlattice.lattice import UNKNOWN, Lattice
    from arlattice.models.base import Model
    from arlattice.models.build import model
    from arlattice.models.checkpoint import load
    from arlattice.reliability import (
        HeavyTailWarning,
        LostModeWarning,
        LowEssWarning,
        MissingPhaseWarning,
        OutOfRangeWarning,
        StatisticsWarning,
    )
    from arlattice.samples import SampleSet
    from arlattice.simple_lattices import chain, cubic, square
    from arlattice.summary import Summary
    from arlattice.thermo.sample_folder import sample_to_folder
    from arlattice.thermo.sweep import sweep
    from arlattice.training.state_range import StateRange
    from arlattice.training.train import train

__all__ = [
    "UNKNOWN",
    "ByHand",
    "CalculatorHamiltonian",
    "Canonical",
    "ChemicalPotentials",
    "ClusterFamily",
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
    "Summary",
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
    "sample_to_folder",
    "square",
    "sweep",
    "train",
]

_MODULES = {
    "UNKNOWN": "arlattice.lattice",
    "ByHand": "arlattice.hooks.by_hand",
    "CalculatorHamiltonian": "arlattice.hamiltonians",
    "Canonical": "arlattice.ensemble",
    "ChemicalPotentials": "arlattice.ensemble",
    "ClusterFamily": "arlattice.cluster_family",
    "ClusterHamiltonian": "arlattice.cluster_hamiltonian",
    "Ensemble": "arlattice.ensemble",
    "Estimate": "arlattice.estimate",
    "FunctionHamiltonian": "arlattice.hamiltonians",
    "Hamiltonian": "arlattice.hamiltonians",
    "HeavyTailWarning": "arlattice.reliability",
    "InputError": "arlattice.errors",
    "Lattice": "arlattice.lattice",
    "LostModeWarning": "arlattice.reliability",
    "LowEssWarning": "arlattice.reliability",
    "MissingExtraError": "arlattice.errors",
    "MissingPhaseWarning": "arlattice.reliability",
    "Model": "arlattice.models.base",
    "Options": "arlattice.hooks.options",
    "OutOfRangeWarning": "arlattice.reliability",
    "SampleSet": "arlattice.samples",
    "SemiGrandCanonical": "arlattice.ensemble",
    "StateRange": "arlattice.training.state_range",
    "StatisticsWarning": "arlattice.reliability",
    "Summary": "arlattice.summary",
    "UncheckedWarning": "arlattice.io.digest",
    "chain": "arlattice.simple_lattices",
    "cubic": "arlattice.simple_lattices",
    "hamiltonian": "arlattice.build",
    "hookimpl": "arlattice.hooks.hookspecs",
    "load": "arlattice.models.checkpoint",
    "load_plugin": "arlattice.hooks.manager",
    "model": "arlattice.models.build",
    "plugins": "arlattice.hooks.manager",
    "sample_to_folder": "arlattice.thermo.sample_folder",
    "square": "arlattice.simple_lattices",
    "sweep": "arlattice.thermo.sweep",
    "train": "arlattice.training.train",
}
"""Public name -> the module that it is imported from when it is first used."""


_install_moved_modules()


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of this package, when it is first used: what needs no tensors does not wait for torch."""
    if name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"arlattice.{name}") is not None:
        value = importlib.import_module(f"arlattice.{name}")
    else:
        raise AttributeError(f"module 'arlattice' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
