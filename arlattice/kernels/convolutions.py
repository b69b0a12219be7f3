"""Convolutions over the cells of a torus, and the norm before them, as Triton kernels.

A convolution with the cells n_t(m), t = 1 ... taps, around every cell m is

    out[b, m] = bias + sum_t W_t x[b, n_t(m)]

Its kernel reads the neighbours where they are, so no rim is copied, and does what follows (an activation, a residual) before it writes.
Every number is summed in one order, whatever else is in the batch: the same configuration has the same bits in every batch.

torch brings Triton along where it has CUDA; `available` says whether it is there. Arithmetic is that of tensor cores: bfloat16, or
float32 rounded to 19 bits, summed in float32.

Shapes: B batch, M cells, K of them (all, as a rule), I and O channels. Weights are those of a linear layer, (O, taps x I), the taps
outside.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["available", "convolution", "fits", "input_gradient", "norm", "norm_gradient", "weight_gradient"]

_ROWS = 64  # of cells that one program does
_WARPS, _STAGES = 4, 3  # of such a program, and the loads that it has under way
_CHUNK = 64  # of rows that are summed at once in the gradient of weights
_CHUNK_WARPS, _CHUNK_STAGES = 4, 2
_PROGRAMS = 264  # that share the rows there, at most
_CELLS = 32  # of a configuration that are read at once in the gradient of a norm
_WIDEST = 128  # channels, so that a tile fits into registers
_SUMS = 64 * 64  # of a tap that are held in registers, where three taps are done together
_EPSILON = 1e-5  # of `torch.nn.LayerNorm`


@cache
def available(device: int) -> bool:
    """Whether Triton is there, and compiles and runs a kernel on a card with such tensor cores (of 2020 and later)."""
    if importlib.util.find_spec("triton") is None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        norm(torch.zeros(1, 1, 16, device=f"cuda:{device}"), torch.zeros(1, 32, device=f"cuda:{device}"))
    except Exception:  # no compiler, another driver or Triton than we know: torch alone does instead
        return False
    return True


def fits(x: Tensor, width: int) -> bool:
    """Whether these kernels do for a tensor (..., I) and so many channels out: on a GPU, in a precision of tensor cores, not too wide."""
    if not x.is_cuda or x.dtype not in (torch.bfloat16, torch.float32) or width % 16 or max(width, x.shape[-1]) > _WIDEST:
        return False
    return available(x.device.index)


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor, neighbours: Tensor, *, added: Tensor | None = None, activated: bool = False, keep: bool = True
) -> tuple[Tensor, Tensor | None]:
    """A convolution, and what it was before an activation.

    Args:
        x: (B, M, I), contiguous.
        weight, bias: (O, taps x I) and (O,).
        neighbours: int32, (taps, M); or (taps, K) of some cells, which alone are computed then, without a gradient.
        added: (B, K, O) to add.
        activated: whether to apply GELU last.
        keep: whether to return what it was before, which its gradient needs.

    Returns:
        (B, K, O), and the same before the activation or None.
    """
    out = x.new_empty(len(x), neighbours.shape[1], len(weight))
    before = torch.empty_like(out) if activated and keep else None
    after = "add" if added is not None else "gelu" if activated else "none"
    _run(x, weight, bias, neighbours, added, out, before, after, mirrored=False)
    return out, before


def input_gradient(gradient: Tensor, weight: Tensor, neighbours: Tensor, *, before: Tensor | None = None) -> Tensor:
    """Gradient of a loss by the input of a convolution.

    Args:
        gradient: by its output, (B, M, O), contiguous.
        weight, neighbours: as in `convolution`.
        before: (B, M, I) whose GELU the input was; the gradient is by this then.

    Returns:
        (B, M, I).
    """
    out = gradient.new_empty(*gradient.shape[:2], weight.shape[1] // len(neighbours))
    _run(gradient, weight, None, neighbours, before, out, None, "none" if before is None else "gelu'", mirrored=True)
    return out


def weight_gradient(x: Tensor, gradient: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by weight (O, taps x I) and bias (O,), in float32; arguments as in `convolution` and `input_gradient`."""
    (B, M, inner), outer, taps = x.shape, gradient.shape[-1], len(neighbours)
    blocks = _power(inner), _power(outer)
    group = 3 if taps % 3 == 0 and blocks[0] * blocks[1] <= _SUMS else 1
    chunks = max(1, -(-B * M // _CHUNK))
    splits = min(chunks, max(1, _PROGRAMS * group // taps))
    parts = torch.empty(splits, outer * (taps * inner + 1), dtype=torch.float32, device=x.device)  # of the weights, then of the biases
    sizes = dict(TAPS=taps, GROUP=group, IN_BLOCK=blocks[0], OUT_BLOCK=blocks[1], CHUNK=_CHUNK)
    stages = _stages(_CHUNK * (blocks[1] + group * blocks[0]) * x.element_size(), _CHUNK_STAGES, x.device)
    grid = taps // group, splits
    tensors, numbers = (x, gradient, neighbours, parts), (B * M, M, -(-chunks // splits), inner, outer)
    _launch("weight_gradient_kernel", grid, *tensors, *numbers, **sizes, num_warps=_CHUNK_WARPS, num_stages=stages)
    weight, bias = parts.sum(0).split([outer * taps * inner, outer])
    return weight.view(outer, -1), bias


def norm(x: Tensor, modulation: Tensor) -> Tensor:
    """Layer norm of every cell (B, M, I), times one plus the first half of a modulation (B, 2 I), plus its second half."""
    out = torch.empty_like(x)
    B, M, width = x.shape
    grid = (-(-B * M // _ROWS),)
    _launch("norm_kernel", grid, x, modulation, out, B * M, M, width, _EPSILON, BLOCK=_power(width), TILE=_ROWS, num_warps=8)
    return out


def norm_gradient(x: Tensor, modulation: Tensor, gradient: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by the input of a `norm`, added to ``past`` (B, M, I), which came round it, and by its modulation (B, 2 I)."""
    out, steering = torch.empty_like(x), torch.empty_like(modulation)
    B, M, width = x.shape
    sizes = dict(BLOCK=_power(width), TILE=min(_CELLS, _power(M)))
    tensors = x, modulation, gradient, past, out, steering
    _launch("norm_gradient_kernel", (B,), *tensors, M, width, _EPSILON, **sizes, num_warps=2)
    return out, steering


def _run(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    neighbours: Tensor,
    extra: Tensor | None,
    out: Tensor,
    before: Tensor | None,
    after: str,
    mirrored: bool,
) -> None:
    (B, M, inner), outer, (taps, asked) = x.shape, out.shape[-1], neighbours.shape
    kinds: dict[str, Any] = dict(MIRRORED=mirrored, AFTER=("none", "add", "gelu", "gelu'").index(after), KEEP=before is not None)
    precision = "tf32" if x.dtype == torch.float32 else "ieee"
    sizes: dict[str, Any] = dict(TAPS=taps, IN_BLOCK=_power(inner), OUT_BLOCK=_power(outer), TILE=_ROWS, PRECISION=precision)
    read = x, weight, weight if bias is None else bias, neighbours, out if extra is None else extra
    written = out, out if before is None else before
    grid = (-(-B * asked // _ROWS),)
    stages = _stages((_ROWS + sizes["OUT_BLOCK"]) * sizes["IN_BLOCK"] * x.element_size(), _STAGES, x.device)
    _launch(
        "convolution_kernel",
        grid,
        *read,
        *written,
        B * asked,
        asked,
        M,
        inner,
        outer,
        **kinds,
        BIAS=bias is not None,
        **sizes,
        num_warps=_WARPS,
        num_stages=stages,
    )


def _launch(name: str, grid: tuple[int, ...], x: Tensor, /, *arguments: Any, **named: Any) -> None:
    """Run a kernel where its first tensor is."""
    from arlattice.kernels import triton_convolutions

    if 0 not in grid:
        with torch.cuda.device_of(x):
            getattr(triton_convolutions, name)[grid](x, *arguments, **named)


def _stages(size: int, most: int, device: torch.device) -> int:
    """How many loads of so many bytes fit into the memory that the threads of a program share."""
    properties: Any = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return most if properties is None else max(1, min(most, properties.shared_memory_per_block_optin // size))


def _power(n: int) -> int:
    """The power of 2 that is not below n, at least 16, the least of a product on tensor cores."""
    return max(16, 1 << (n - 1).bit_length())
