"""Untrained models by the name under which a plugin registered their family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from arlattice.arguments import of_type
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.models.base import Model

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
) -> Model:
    """A new, untrained model of a registered family; arguments as in `arlattice.build.build_hamiltonian`."""
    entry = default_manager().models[name]
    checked = entry.parse_options(options, where, by_hand=by_hand)
    with torch.random.fork_rng(devices=[]):  # torch.nn draws from the global generator; leave it as it was
        built = entry.call(hamiltonian, checked)
    if not isinstance(built, Model):
        raise entry.error(f"returned a {type(built).__name__}, not a Model")
    built.name = name
    return built
