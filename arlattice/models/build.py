"""Untrained models by the name under which a plugin registered their family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.models.base import Model

__all__ = ["build_model"]


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
        model = entry.call(hamiltonian, checked)
    if not isinstance(model, Model):
        raise entry.error(f"returned a {type(model).__name__}, not a Model")
    model.name = name
    return model
