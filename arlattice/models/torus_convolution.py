"""Convolutions over the cells of any supercell: cells in a box, a rim copied from across the periodic boundary, an ordinary convolution.

The box is that of the Hermite form (`arlattice.decoding.torus.Torus`), so that skewed supercells need nothing else: the rim is one gather.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arlattice.decoding.torus import Torus

__all__ = ["Rim", "TorusConvolution", "collected", "linear"]

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class Rim:
    """Copies cells across the periodic boundary.

    Attributes:
        table: numbers of the cells in the box with its rim, flat.
        inverse: places of every cell there, (copies, cells); a place behind the last where it has fewer copies than another.
        shape: of the box with its rim.
        width: of the rim, the dilation of the convolutions.
        collect: sums the gradients of the copies of each cell.
    """

    table: Tensor
    inverse: Tensor
    shape: tuple[int, ...]
    width: int
    collect: Callable[[Tensor, Tensor], Tensor]

    @classmethod
    def of(cls, torus: Torus, axes: tuple[int, ...], width: int) -> Rim:
        """The rim of a torus along its periodic directions ``axes``."""
        table = torus.padded(axes, width)
        flat = table.ravel()
        places = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=len(torus))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        copy = np.arange(len(flat)) - starts[flat[places]]
        inverse = np.full((counts.max(), len(torus)), len(flat))
        inverse[copy, flat[places]] = places
        return cls(torch.from_numpy(flat.copy()), torch.from_numpy(inverse), tuple(table.shape[axis] for axis in axes), width, collected)

    def to(self, device: torch.device) -> Rim:
        """The same elsewhere."""
        return replace(self, table=self.table.to(device), inverse=self.inverse.to(device))

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, cells, channels) -> (batch, channels, *box with rim), channels last in memory."""
        padded: Tensor = _Copies.apply(x, self.table, self.inverse, self.collect)
        return padded.unflatten(1, self.shape).movedim(-1, 1)


class _Copies(torch.autograd.Function):
    """x[:, table] with a gradient that sums the copies of each cell in a fixed order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, inverse: Tensor, collect: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """(batch, cells, channels) -> (batch, entries of the table, channels)."""
        ctx.save_for_backward(inverse)
        ctx.collect = collect
        return x.index_select(1, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """See `forward`."""
        return ctx.collect(gradients[0], ctx.saved_tensors[0]), None, None, None


def collected(gradient: Tensor, inverse: Tensor) -> Tensor:
    """Sum of the copies of each cell: (batch, entries, channels), (copies, cells) -> (batch, cells, channels), in a fixed order."""
    total = None
    for copies in inverse:
        there = (copies < gradient.shape[1])[:, None]
        part = torch.where(there, gradient.index_select(1, copies.clamp(max=gradient.shape[1] - 1)), 0.0)
        total = part if total is None else total + part
    return gradient[:, :0] if total is None else total


class TorusConvolution(nn.Module):
    """A convolution with three cells along every periodic direction; its weights are those of a linear layer.

    Args:
        channels: in and out.
        dimensions: number of periodic directions; 0 for cells that do not see one another.
    """

    def __init__(self, channels: tuple[int, int], dimensions: int) -> None:
        super().__init__()
        self.channels, self.dimensions = channels, dimensions
        self.linear = nn.Linear(channels[0] * 3**dimensions, channels[1])

    def forward(self, x: Tensor, rim: Rim) -> Tensor:
        """(batch, cells, channels in) -> (batch, cells, channels out), in the precision of ``x``."""
        if self.dimensions == 0:
            return linear(self.linear, x)
        weight, bias = self.linear.weight.to(x.dtype), self.linear.bias.to(x.dtype)
        kernel = weight.unflatten(1, (*(3,) * self.dimensions, self.channels[0])).movedim(-1, 1)
        out = _CONVOLUTIONS[self.dimensions](rim(x), kernel, bias, dilation=rim.width)
        return out.movedim(1, -1).flatten(1, -2)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in the precision of ``x``."""
    return F.linear(x, layer.weight.to(x.dtype), None if layer.bias is None else layer.bias.to(x.dtype))
