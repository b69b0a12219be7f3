"""Convolutions, norms and their gradients by Triton kernels are those of torch: on a GPU, else by Triton's interpreter, if installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from arlattice.decoding.torus import Torus
from arlattice.kernels import convolutions as kernels
from arlattice.models.residual_block import ResidualBlock
from arlattice.models.torus_convolution import Rim, TorusConvolution
from arlattice.random_numbers import Stream

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")

TORI = {"5": (np.diag([5, 1, 1]), (0,)), "3x4": (np.diag([3, 4, 1]), (0, 1)), "one": (np.diag([1, 1, 1]), (0, 1))}
TORI |= {"skewed": (np.array([[3, 1, 0], [-1, 2, 0], [0, 0, 1]]), (0, 1)), "7x9": (np.diag([7, 9, 1]), (0, 1))}
TORI |= {"skewed in space": (np.array([[2, 1, 0], [0, 2, 1], [1, 0, 3]]), (0, 1, 2)), "4x4x4": (np.diag([4, 4, 4]), (0, 1, 2))}
PRECISIONS = [torch.float32, torch.bfloat16] if DEVICE == "cuda" else [torch.float32]
NEAR = {torch.float32: 2e-3 if DEVICE == "cuda" else 2e-6, torch.bfloat16: 2e-2}
"""Of the norm of the difference to double precision: tensor cores round float32 to 19 bits, bfloat16 has 8."""


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "fits", lambda x, width: x.dtype != torch.float64)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.special.ndtri(Stream(seed).uniform(1, int(np.prod(shape))).clamp(1e-9, 1 - 1e-9)).view(shape)


def assert_near(found: Tensor, expected: Tensor, precision: torch.dtype) -> None:
    assert found.isfinite().all()
    distance = (found.double().cpu() - expected).norm() / expected.norm().clamp(min=1e-30)
    assert distance < NEAR[precision], float(distance)


def assert_alike(work: Callable[[torch.dtype, str], tuple[Tensor, list[Tensor]]], precision: torch.dtype) -> None:
    """A result and its gradients beside double precision."""
    (found, given), (expected, exact) = work(precision, DEVICE), work(torch.float64, "cpu")
    assert_near(found, expected, precision)
    weigh = normal(9, *expected.shape)
    gradients = torch.autograd.grad(found, given, weigh.to(found))
    for one, other in zip(gradients, torch.autograd.grad(expected, exact, weigh), strict=True):
        assert_near(one, other, precision)


def set_weights(module: torch.nn.Module) -> None:
    with torch.no_grad():
        for k, parameter in enumerate(module.parameters()):
            parameter.copy_(0.3 * normal(k, *parameter.shape) / max(1, parameter.shape[-1]) ** 0.5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("channels", [(16, 16), (40, 32), (8, 48)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("name", TORI)
def test_a_convolution_is_that_of_torch_and_so_are_its_gradients(
    name: str, dilation: int, channels: tuple[int, int], precision: torch.dtype
) -> None:
    periods, axes = TORI[name]
    torus = Torus(periods)

    def work(dtype: torch.dtype, device: str) -> tuple[Tensor, list[Tensor]]:
        layer = TorusConvolution(channels, len(axes))
        set_weights(layer)
        layer = layer.to(device, torch.float64 if dtype == torch.float64 else torch.float32)
        x = normal(5, 11, len(torus), channels[0]).to(device, dtype).requires_grad_()
        return layer(x, Rim.of(torus, axes, dilation).to(torch.device(device))), [x, *layer.parameters()]

    assert_alike(work, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("width", [16, 48, 64] if DEVICE == "cpu" else [16, 48, 64, 128])
@pytest.mark.parametrize("name", TORI)
def test_a_residual_block_is_that_of_torch_and_so_are_its_gradients(name: str, width: int, precision: torch.dtype) -> None:
    periods, axes = TORI[name]
    torus = Torus(periods)

    def work(dtype: torch.dtype, device: str) -> tuple[Tensor, list[Tensor]]:
        block = ResidualBlock(width, len(axes) if name != "one" else 0)
        set_weights(block)
        block = block.to(device, torch.float64 if dtype == torch.float64 else torch.float32)
        z, steering = (
            normal(k, *shape).to(device, dtype).requires_grad_() for k, shape in ((5, (11, len(torus), width)), (6, (11, width)))
        )
        return block(z, steering, Rim.of(torus, axes, 1).to(torch.device(device))), [z, steering, *block.parameters()]

    assert_alike(work, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["3x4", "skewed", "4x4x4", "one"])
def test_a_block_at_some_cells_is_the_whole_one_there(name: str, precision: torch.dtype) -> None:
    periods, axes = TORI[name]
    torus, block = Torus(periods), ResidualBlock(48, len(axes))
    set_weights(block)
    cells = torch.arange(len(torus)).flip(0)[::2]
    z, steering = normal(5, 11, len(torus), 48), normal(6, 11, 48)
    with torch.no_grad():
        exact = block.double()(z, steering, Rim.of(torus, axes, 1))[:, cells]
        block = block.float().to(DEVICE)
        rim = Rim.of(torus, axes, 1).to(torch.device(DEVICE))
        found = block(z.to(DEVICE, precision), steering.to(DEVICE, precision), rim, cells.to(DEVICE))
    assert_near(found, exact, precision)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU: the interpreter leaves products to a library")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_configuration_has_the_same_bits_in_every_batch(precision: torch.dtype) -> None:
    neighbours = Rim.of(Torus(np.diag([7, 9, 1])), (0, 1), 1).neighbours.to(DEVICE)
    z, modulation, weight = (normal(k, *shape).to(DEVICE, precision) for k, shape in enumerate([(50, 63, 32), (50, 64), (32, 288)]))
    bias = normal(3, 32).to(DEVICE)
    for first, last in ((0, 1), (13, 15), (7, 50)):
        some = slice(first, last)
        assert torch.equal(kernels.norm(z, modulation)[some], kernels.norm(z[some], modulation[some]))
        both = (kernels.convolution(x, weight, bias, neighbours, added=x)[0] for x in (z, z[some]))
        assert torch.equal(next(both)[some], next(both))
        both = (kernels.input_gradient(x, weight, neighbours) for x in (z, z[some]))
        assert torch.equal(next(both)[some], next(both))


def test_other_tensors_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert not kernels.fits(torch.zeros(2, 3, 64), 64)  # no GPU
    if DEVICE == "cuda":
        x = torch.zeros(2, 3, 64, device="cuda")
        assert kernels.fits(x, 64) and kernels.fits(x.bfloat16(), 128)
        assert not (kernels.fits(x.double(), 64) or kernels.fits(x, 24) or kernels.fits(x, 256))
        assert not kernels.fits(torch.zeros(2, 3, 200, device="cuda"), 64)
