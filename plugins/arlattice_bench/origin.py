"""What computed a figure: the device, and versions."""

from __future__ import annotations

import platform
from typing import Any

import torch

from arlattice.version import __version__

__all__ = ["device_name", "versions"]


def device_name(device: torch.device) -> str:
    """The model of a GPU, or the kind of CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"


def versions() -> dict[str, Any]:
    """Of what computed."""
    return {"arlattice": __version__, "torch": torch.__version__, "python": platform.python_version()}
