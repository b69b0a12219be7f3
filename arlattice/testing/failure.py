"""`ConformanceError`: what a check raises, and the two comparisons that raise it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ConformanceError", "require", "require_close"]


class ConformanceError(AssertionError):
    """A Hamiltonian, model or move that breaks its contract; the message says where."""


def require(holds: bool, message: str) -> None:
    """Raise `ConformanceError` unless ``holds``."""
    if not holds:
        raise ConformanceError(message)


def require_close(found: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Raise `ConformanceError` unless the tensors agree to ``tolerance`` (equal infinities agree, NaN never does)."""
    require(found.shape == expected.shape, f"{what}: shape {tuple(found.shape)}, expected {tuple(expected.shape)}")
    found, expected = found.double().cpu(), expected.double().cpu()
    error = torch.where(found == expected, 0.0, (found - expected).abs())
    worst = float(error.nan_to_num(nan=torch.inf).max()) if error.numel() else 0.0
    require(worst <= tolerance, f"{what}: off by {worst:.3g} (tolerance {tolerance:.1g})")
