"""`ResidualBlock`: two convolutions after a norm whose scale and shift come from what steers it.

On a GPU it is one step of the gradient tape, by the kernels of `arlattice.kernels.convolutions`; elsewhere a few of torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from arlattice.kernels import convolutions as kernels
from arlattice.models.torus_convolution import Rim, TorusConvolution, linear

__all__ = ["ResidualBlock"]


class ResidualBlock(nn.Module):
    """See the module's docstring.

    Args:
        width: features of a cell, d.
        dimensions: periodic directions.
    """

    def __init__(self, width: int, dimensions: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.first, self.second = (TorusConvolution((width, width), dimensions) for _ in range(2))
        for layer in (self.modulation, self.second.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, steering: Tensor, rim: Rim, cells: Tensor | None = None) -> Tensor:
        """The cells (B, M, d) after one block, steered by (B, d); of some ``cells`` (k,) alone where no gradient is wanted."""
        modulation = linear(self.modulation, steering)
        if kernels.fits(z, z.shape[-1]):
            first, second = self.first.linear, self.second.linear
            weights = first.weight, first.bias, second.weight, second.bias
            neighbours, keep = rim.around(self.first.dimensions), torch.is_grad_enabled()
            if cells is not None:
                return _forward(z, modulation, weights, neighbours, cells, keep=False)[0]
            result: Tensor = _Fused.apply(z, modulation, *weights, neighbours, keep)
            return result
        scale, shift = modulation[:, None].chunk(2, -1)
        inner = self.first(torch.addcmul(shift, self.norm(z), 1 + scale), rim)
        return (z if cells is None else z.index_select(1, cells)) + self.second(F.gelu(inner), rim, cells)


def _forward(
    z: Tensor, modulation: Tensor, layers: tuple[Tensor, ...], neighbours: Tensor, cells: Tensor | None, keep: bool
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """The cells after the block, all or some of them, and what a gradient needs; arguments as in `_Fused`."""
    z, modulation = z.contiguous(), modulation.contiguous()
    first, first_bias, second, second_bias = layers
    weights = first.to(z.dtype), second.to(z.dtype)
    normed = kernels.norm(z, modulation)
    active, before = kernels.convolution(normed, weights[0], first_bias, neighbours, activated=True, keep=keep)
    asked, added = (neighbours, z) if cells is None else (neighbours[:, cells].contiguous(), z.index_select(1, cells))
    out, _ = kernels.convolution(active, weights[1], second_bias, asked, added=added)
    return out, (z, modulation, normed, before, active, *weights, neighbours)


class _Fused(torch.autograd.Function):
    """The block with its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        modulation: Tensor,
        first: Tensor,
        first_bias: Tensor,
        second: Tensor,
        second_bias: Tensor,
        neighbours: Tensor,
        keep: bool,
    ) -> Tensor:
        """Cells (B, M, d), their modulation (B, 2 d), weights and biases of both convolutions; whether to keep what a gradient needs."""
        out, kept = _forward(z, modulation, (first, first_bias, second, second_bias), neighbours, None, keep)
        ctx.save_for_backward(*kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """See `forward`."""
        z, modulation, normed, before, active, first, second, neighbours = ctx.saved_tensors
        outer = gradients[0].contiguous()
        by_second = kernels.weight_gradient(active, outer, neighbours)
        inner = kernels.input_gradient(outer, second, neighbours, before=before)
        by_first = kernels.weight_gradient(normed, inner, neighbours)
        by_z, by_modulation = kernels.norm_gradient(z, modulation, kernels.input_gradient(inner, first, neighbours), outer)
        return by_z, by_modulation, *by_first, *by_second, None, None
