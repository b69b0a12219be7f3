"""Convolutions over the cells of any supercell: cells in a box, a rim copied from across the periodic boundary, an ordinary convolution.

The box is that of the Hermite form (`arlattice.decoding.torus.Torus`), so that skewed supercells need nothing else: the rim is one gather.
On a GPU neighbours are read where they are (`arlattice.kernels.convolutions`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from arlattice.decoding.torus import Torus
from arlattice.kernels import convolutions as kernels

__all__ = ["Rim", "TorusConvolution", "linear"]

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class Rim:
    """Copies cells across the periodic boundary.

    Attributes:
        table: numbers of the cells in the box with its rim, flat.
        inverse: places of every cell there, (copies, cells); a place behind the last where it has fewer copies than another.
        shape: of the box with its rim.
        neighbours: that a convolution reads around every cell, itself too, int32, (3^d, cells).
        width: of the rim, the dilation of the convolutions.
    """

    table: Tensor
    inverse: Tensor
    shape: tuple[int, ...]
    neighbours: Tensor
    width: int

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
        steps = np.zeros((3 ** len(axes), 1, 3), dtype=int)
        steps[:, 0, list(axes)] = width * np.array(list(itertools.product((-1, 0, 1), repeat=len(axes))))
        around = torus.number(torus.points + steps).astype(np.int32)
        shape = tuple(table.shape[axis] for axis in axes)
        return cls(torch.from_numpy(flat.copy()), torch.from_numpy(inverse), shape, torch.from_numpy(around), width)

    def to(self, device: torch.device) -> Rim:
        """The same elsewhere."""
        table, inverse, neighbours = (t.to(device) for t in (self.table, self.inverse, self.neighbours))
        return Rim(table, inverse, self.shape, neighbours, self.width)

    def around(self, dimensions: int) -> Tensor:
        """The neighbours that a convolution of so many dimensions reads; of 0 each cell alone."""
        return self.neighbours if dimensions else self.neighbours[len(self.neighbours) // 2, None]

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, cells, channels) -> (batch, channels, *box with rim), channels last in memory."""
        padded: Tensor = _Copies.apply(x, self.table, self.inverse)
        return padded.unflatten(1, self.shape).movedim(-1, 1)


class _Copies(torch.autograd.Function):
    """x[:, table] with a gradient that sums the copies of each cell in a fixed order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, inverse: Tensor) -> Tensor:
        """(batch, cells, channels) -> (batch, entries of the table, channels)."""
        ctx.save_for_backward(inverse)
        return x.index_select(1, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """See `forward`."""
        gradient, total = gradients[0], gradients[0][:, :0]
        for k, copies in enumerate(ctx.saved_tensors[0]):
            there = (copies < gradient.shape[1])[:, None]
            part = torch.where(there, gradient.index_select(1, copies.clamp(max=gradient.shape[1] - 1)), 0.0)
            total = total + part if k else part
        return total, None, None


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

    def forward(self, x: Tensor, rim: Rim, cells: Tensor | None = None) -> Tensor:
        """(batch, cells, channels in) -> (batch, cells, channels out), in the precision of ``x``; or of ``cells`` (k,) alone."""
        if cells is not None:
            around = x.index_select(1, rim.around(self.dimensions)[:, cells].T.flatten())
            return linear(self.linear, around.view(len(x), len(cells), -1))
        if kernels.fits(x, self.channels[1]):
            result: Tensor = _Fused.apply(x, self.linear.weight, self.linear.bias, rim.around(self.dimensions))
            return result
        if self.dimensions == 0:
            return linear(self.linear, x)
        weight, bias = self.linear.weight.to(x.dtype), self.linear.bias.to(x.dtype)
        kernel = weight.unflatten(1, (*(3,) * self.dimensions, self.channels[0])).movedim(-1, 1)
        out = _CONVOLUTIONS[self.dimensions](rim(x), kernel, bias, dilation=rim.width)
        return out.movedim(1, -1).flatten(1, -2)


class _Fused(torch.autograd.Function):
    """A convolution by one kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, neighbours: Tensor) -> Tensor:
        """(batch, cells, channels in) -> (batch, cells, channels out)."""
        x, weight = x.contiguous(), weight.to(x.dtype)
        ctx.save_for_backward(x, weight, neighbours)
        return kernels.convolution(x, weight, bias, neighbours)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """See `forward`."""
        x, weight, neighbours = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_x = kernels.input_gradient(gradient, weight, neighbours) if ctx.needs_input_grad[0] else None
        return by_x, *kernels.weight_gradient(x, gradient, neighbours), None


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in the precision of ``x``."""
    return F.linear(x, layer.weight.to(x.dtype), None if layer.bias is None else layer.bias.to(x.dtype))
