"""What the factory of a family is called with.

A network reads a state by its features. Kinds of states with the features of `SemiGrandCanonical` need no more than
``factory(hamiltonian, options)``; one with features of its own is named besides: ``factory(hamiltonian, options, ensemble)``.
"""

from __future__ import annotations

from typing import Any

from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.lattice import Lattice

__all__ = ["family_arguments", "has_own_features"]


def has_own_features(ensemble: type[Ensemble], lattice: Lattice) -> bool:
    """Whether networks read other numbers of these states than temperature and chemical potentials."""
    return ensemble.feature_names(lattice) != SemiGrandCanonical.feature_names(lattice)


def family_arguments(hamiltonian: Hamiltonian, options: Options, ensemble: type[Ensemble]) -> tuple[Any, ...]:
    """The arguments of a factory, by position."""
    more = (ensemble,) if has_own_features(ensemble, hamiltonian.lattice) else ()
    return (hamiltonian, options, *more)
