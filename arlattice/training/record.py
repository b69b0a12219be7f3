"""How the weights of a model were made, as its record keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from arlattice.hamiltonians import Hamiltonian
from arlattice.training.config import TrainingOptions
from arlattice.training.states import States, trained_range

__all__ = ["run_record"]


def run_record(
    step: int,
    options: TrainingOptions,
    device: torch.device,
    seed: int,
    states: States,
    hamiltonians: Sequence[Hamiltonian],
    seconds: float,
) -> dict[str, Any]:
    """Plain data of a run after a step; ``seconds`` that it took."""
    return {
        "steps": step,
        "planned_steps": options.steps,
        "seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "seed": seed,
        "trained_range": trained_range(states, *hamiltonians).to_dict(),
    }
