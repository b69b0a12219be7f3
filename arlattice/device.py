"""The device that tensors live on."""

from __future__ import annotations

import torch

from arlattice.errors import InputError

__all__ = ["check_device"]


def check_device(device: str | torch.device) -> torch.device:
    """A device that exists here: the CPU or a CUDA GPU.

    Raises:
        InputError: not a device, CUDA without a GPU, or a kind of device that nothing here is tested on.
    """
    try:
        found = torch.device(device) if isinstance(device, str | torch.device) else None
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError):
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        given = str(device) if isinstance(device, torch.device) else device
        raise InputError("device", given, "is not a device of this machine; give 'cpu', or 'cuda' where a GPU is visible")
    return found
