"""Models by the registered names of their families."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from arlattice.arguments import of_type
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.hooks.registry import Entry
from arlattice.models.base import Model
from arlattice.models.family_arguments import family_arguments

__all__ = ["build_model", "model"]


def model(name: str, hamiltonian: Hamiltonian, /, **options: Any) -> Model:
    """A new, untrained model of the family that a plugin registered under ``name``; `arlattice.load` loads trained ones.

    Args:
        name: e.g. ``"any-order-transformer"``; ``arlattice models`` lists them.
        hamiltonian: what it is a model of.
        options: of the family, which refuse unknown names.

    Raises:
        InputError: unknown name, unknown option, a value out of range, or not a Hamiltonian.
    """
    of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian, e.g. arl.hamiltonian('ising', supercell=(4, 4))")
    return build_model(name, hamiltonian, options, by_hand=True)


def build_model(
    name: str,
    hamiltonian: Hamiltonian,
    options: Mapping[str, Any] | Options | None = None,
    where: str = "",
    *,
    by_hand: bool = False,
    ensemble: type[Ensemble] = SemiGrandCanonical,
) -> Model:
    """A new, untrained model of a registered family, from the plugins in use (`arlattice.hooks.using`).

    Args:
        name: as registered.
        hamiltonian: what the model is for.
        options, where, by_hand: as in `arlattice.build.build_hamiltonian`.
        ensemble: kind of states that it reads; the family's factory gets it where its features are its own
            (`arlattice.models.family_arguments`).

    Raises:
        InputError: unknown name or option, a family that does not take the ensemble, or a plugin that returns what is not a model.
    """
    entry = default_manager().models[name]
    checked = entry.parse_options(options, where, by_hand=by_hand)
    arguments = family_arguments(hamiltonian, checked, ensemble)
    _check_takes(entry, arguments, ensemble)
    with torch.random.fork_rng(devices=[]):  # torch.nn draws from the global generator; leave it as it was
        model = entry.call(*arguments)
    if not isinstance(model, Model):
        raise entry.error(f"returned a {type(model).__name__}, not a Model")
    if model.feature_names != ensemble.feature_names(hamiltonian.lattice):
        raise entry.error(_not_taken(ensemble))
    model.name = name
    return model


def _check_takes(entry: Entry, arguments: tuple[Any, ...], ensemble: type[Ensemble]) -> None:
    """Whether the factory takes an ensemble, where there is one to give."""
    if len(arguments) < 3:
        return
    try:
        inspect.signature(entry.load_factory()).bind(*arguments)
    except TypeError:
        raise entry.error(_not_taken(ensemble)) from None


def _not_taken(ensemble: type[Ensemble]) -> str:
    return f"does not read the features of {ensemble.name!r} states; its factory must take factory(hamiltonian, options, ensemble)"
