"""Which run it is: the plain data that ``config.json`` shows and a checkpoint must share to continue it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arlattice.hamiltonians import Hamiltonian
from arlattice.models.base import Model
from arlattice.training.config import TrainingOptions
from arlattice.training.states import States

__all__ = ["described", "identity"]


def described(hamiltonian: Hamiltonian) -> dict[str, Any]:
    """Name, options and fingerprint."""
    return {"name": hamiltonian.name, "options": dict(hamiltonian.options), "fingerprint": hamiltonian.fingerprint}


def identity(hamiltonians: Sequence[Hamiltonian], states: States, model: Model, training: TrainingOptions, seed: int) -> dict[str, Any]:
    """What must be equal for a checkpoint to continue a run.

    Args:
        hamiltonians: all that share the weights; those after the first are called ``supercells``.
        states: to train on.
        model: for its family and options.
        training: the options of the run.
        seed: of its random numbers, where the options leave it open.
    """
    first, *rest = map(described, hamiltonians)
    return {
        "hamiltonian": first,
        "supercells": rest,
        "states": states.description(),
        "model": {"name": model.name, **model.options.model_dump(mode="json")},
        "training": training.model_dump(mode="json") | {"seed": seed},
    }
