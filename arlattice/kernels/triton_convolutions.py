"""The kernels of `arlattice.kernels.convolutions`. Only Triton runs them.

Rows are cells of all configurations, one after another: row = configuration x M + cell.
"""

# mypy: ignore-errors
# Triton reads these functions as a language of its own, and is not there without CUDA.

from __future__ import annotations

try:
    import triton.language as tl
    from triton import jit
except ModuleNotFoundError:  # nobody calls these functions then

    def jit(function):
        """The function as it is."""
        return function


__all__ = ["convolution_kernel", "norm_gradient_kernel", "norm_kernel", "weight_gradient_kernel"]


@jit
def convolution_kernel(
    x, weight, bias, neighbours, extra, out, before, rows, cells, held, inner, outer,
    TAPS: tl.constexpr, MIRRORED: tl.constexpr, AFTER: tl.constexpr, KEEP: tl.constexpr, BIAS: tl.constexpr,
    IN_BLOCK: tl.constexpr, OUT_BLOCK: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A convolution of a tile of rows; MIRRORED: its transpose, with the same weights (outer of x are the outputs of the layer).

    There are ``cells`` rows a configuration, and ``held`` of them in x.

    AFTER: 0 nothing, 1 adds ``extra``, 2 GELU (KEEP writes what it was to ``before``), 3 times the derivative of GELU at ``extra``.
    """
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    there = row < rows
    cell = row % cells
    start = (row // cells).to(tl.int64) * held
    i, o = tl.arange(0, IN_BLOCK), tl.arange(0, OUT_BLOCK)
    total = tl.zeros((TILE, OUT_BLOCK), tl.float32)
    for tap in range(TAPS):
        other = start + tl.load(neighbours + (TAPS - 1 - tap if MIRRORED else tap) * cells + cell)
        values = tl.load(x + other[:, None] * inner + i[None, :], mask=there[:, None] & (i < inner)[None, :], other=0.0)
        if MIRRORED:  # layer (inner, taps x outer)
            at = i[:, None] * (TAPS * outer) + tap * outer + o[None, :]
            matrix = tl.load(weight + at, mask=(i < inner)[:, None] & (o < outer)[None, :], other=0.0)
        else:  # layer (outer, taps x inner)
            at = o[:, None] * (TAPS * inner) + tap * inner + i[None, :]
            matrix = tl.trans(tl.load(weight + at, mask=(o < outer)[:, None] & (i < inner)[None, :], other=0.0))
        total = tl.dot(values, matrix, total, input_precision=PRECISION)
    if BIAS:
        total += tl.load(bias + o, mask=o < outer, other=0.0).to(tl.float32)[None, :]
    place = row.to(tl.int64)[:, None] * outer + o[None, :]
    inside = there[:, None] & (o < outer)[None, :]
    if AFTER == 1:
        total += tl.load(extra + place, mask=inside, other=0.0).to(tl.float32)
    if AFTER == 2:
        if KEEP:
            tl.store(before + place, total.to(before.dtype.element_ty), mask=inside)
        total = total * 0.5 * (1.0 + tl.erf(total * 0.7071067811865476))
    if AFTER == 3:
        a = tl.load(extra + place, mask=inside, other=0.0).to(tl.float32)
        total *= 0.5 * (1.0 + tl.erf(a * 0.7071067811865476)) + a * tl.exp(-0.5 * a * a) * 0.3989422804014327
    tl.store(out + place, total.to(out.dtype.element_ty), mask=inside)


@jit
def weight_gradient_kernel(
    x, gradient, neighbours, parts, rows, cells, chunks, inner, outer,
    TAPS: tl.constexpr, GROUP: tl.constexpr, IN_BLOCK: tl.constexpr, OUT_BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Sum over ``chunks`` chunks of rows of the products of gradient and input, for GROUP taps, 1 or 3."""
    tap, split = tl.program_id(0) * GROUP, tl.program_id(1)
    i, o = tl.arange(0, IN_BLOCK), tl.arange(0, OUT_BLOCK)
    first = tl.zeros((OUT_BLOCK, IN_BLOCK), tl.float32)
    second, third = first, first
    total = tl.zeros((OUT_BLOCK,), tl.float32)
    for chunk in range(chunks):
        row = (split * chunks + chunk) * CHUNK + tl.arange(0, CHUNK)
        there = row < rows
        cell = row % cells
        start = (row - cell).to(tl.int64)
        by = tl.load(gradient + row.to(tl.int64)[:, None] * outer + o[None, :], mask=there[:, None] & (o < outer)[None, :], other=0.0)
        inside = there[:, None] & (i < inner)[None, :]
        total += tl.sum(by.to(tl.float32), 0)
        by = tl.trans(by)
        other = start + tl.load(neighbours + tap * cells + cell)
        first = tl.dot(by, tl.load(x + other[:, None] * inner + i[None, :], mask=inside, other=0.0), first)
        if GROUP == 3:
            other = start + tl.load(neighbours + (tap + 1) * cells + cell)
            second = tl.dot(by, tl.load(x + other[:, None] * inner + i[None, :], mask=inside, other=0.0), second)
            other = start + tl.load(neighbours + (tap + 2) * cells + cell)
            third = tl.dot(by, tl.load(x + other[:, None] * inner + i[None, :], mask=inside, other=0.0), third)
    weight = parts + split * outer * (TAPS * inner + 1)
    at = o[:, None] * (TAPS * inner) + tap * inner + i[None, :]
    inside = (o < outer)[:, None] & (i < inner)[None, :]
    tl.store(weight + at, first, mask=inside)
    if GROUP == 3:
        tl.store(weight + at + inner, second, mask=inside)
        tl.store(weight + at + 2 * inner, third, mask=inside)
    if tap == 0:
        tl.store(weight + outer * TAPS * inner + o, total, mask=o < outer)


@jit
def norm_kernel(x, modulation, out, rows, cells, width, epsilon, BLOCK: tl.constexpr, TILE: tl.constexpr):
    """Layer norm of a tile of rows, scaled and shifted by the modulation of their configuration."""
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    i = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (i < width)[None, :]
    place = row.to(tl.int64)[:, None] * width + i[None, :]
    values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    away = tl.where((i < width)[None, :], values - (tl.sum(values, 1) / width)[:, None], 0.0)
    scaled = away * tl.rsqrt(tl.sum(away * away, 1) / width + epsilon)[:, None]
    at = (row // cells)[:, None] * (2 * width) + i[None, :]
    scale = tl.load(modulation + at, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(modulation + at + width, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, (scaled * (1.0 + scale) + shift).to(out.dtype.element_ty), mask=inside)


@jit
def norm_gradient_kernel(
    x, modulation, gradient, past, out, steering, cells, width, epsilon, BLOCK: tl.constexpr, TILE: tl.constexpr
):  # fmt: skip
    """Gradients of `norm_kernel` for one configuration, tile after tile of its cells."""
    configuration = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    at = configuration * (2 * width) + i
    scale = tl.load(modulation + at, mask=i < width, other=0.0).to(tl.float32)
    by_scale, by_shift = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for begin in range(0, cells, TILE):
        cell = begin + tl.arange(0, TILE)
        inside = (cell < cells)[:, None] & (i < width)[None, :]
        place = (configuration.to(tl.int64) * cells + cell)[:, None] * width + i[None, :]
        values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        away = tl.where((i < width)[None, :], values - (tl.sum(values, 1) / width)[:, None], 0.0)
        inverse = tl.rsqrt(tl.sum(away * away, 1) / width + epsilon)
        scaled = away * inverse[:, None]
        by = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
        by_scale += tl.sum(by * scaled, 0)
        by_shift += tl.sum(by, 0)
        by = by * (1.0 + scale)[None, :]
        along = (tl.sum(by * scaled, 1) / width)[:, None]
        by = inverse[:, None] * (by - (tl.sum(by, 1) / width)[:, None] - scaled * along)
        by += tl.load(past + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(out + place, by.to(out.dtype.element_ty), mask=inside)
    tl.store(steering + at, by_scale.to(steering.dtype.element_ty), mask=i < width)
    tl.store(steering + at + width, by_shift.to(steering.dtype.element_ty), mask=i < width)
