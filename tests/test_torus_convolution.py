"""Convolutions on any torus are sums over neighbours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from arlattice.decoding.torus import Torus
from arlattice.models.torus_convolution import Rim, TorusConvolution
from arlattice.random_numbers import Stream

B2 = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])

TORI = {"5": np.diag([5, 1, 1]), "3x4": np.diag([3, 4, 1]), "skewed": np.array([[3, 1, 0], [-1, 2, 0], [0, 0, 1]])}
TORI |= {"2x2x2": np.diag([2, 2, 2]), "skewed in space": np.array([[2, 1, 0], [0, 2, 1], [1, 0, 3]]), "FCC": 2 * B2}


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("name", TORI)
def test_a_divided_torus_has_the_multiples_of_a_factor(name: str, factor: int) -> None:
    torus = Torus(TORI[name])
    divided = torus.divided(factor)
    assert len({int(torus.number(factor * point)) for point in divided.points}) == len(divided)
    assert {int(n) for n in torus.number(factor * divided.points)} == {int(n) for n in torus.number(factor * torus.points)}


def axes_of(name: str) -> tuple[int, ...]:
    return {"5": (0,), "3x4": (0, 1), "skewed": (0, 1)}.get(name, (0, 1, 2))


def written_out(layer: TorusConvolution, torus: Torus, axes: tuple[int, ...], x: Tensor, dilation: int) -> Tensor:
    """The sum over the neighbours of every point, one by one."""
    weight = layer.linear.weight.view(layer.channels[1], *(3,) * len(axes), layer.channels[0])
    out = layer.linear.bias.expand(len(x), len(torus), -1).clone()
    for step in itertools.product((-1, 0, 1), repeat=len(axes)):
        there = torus.points.copy()
        there[:, list(axes)] += dilation * np.array(step)
        kernel = weight[(slice(None), *(s + 1 for s in step))]
        out = out + x[:, torch.from_numpy(torus.number(there))] @ kernel.T
    return out


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("name", TORI)
def test_a_convolution_is_the_sum_over_neighbours_and_so_is_its_gradient(name: str, dilation: int) -> None:
    """In double precision; also where a rim is wider than the torus."""
    torus, axes = Torus(TORI[name]), axes_of(name)
    layer = TorusConvolution((3, 4), len(axes)).double()
    with torch.no_grad():
        for k, parameter in enumerate(layer.parameters()):
            parameter.copy_(Stream(k).uniform(1, parameter.numel()).view(parameter.shape))
    x = Stream(5).uniform(2, len(torus) * 3).view(2, len(torus), 3).double().requires_grad_()
    weigh = Stream(6).uniform(2, len(torus) * 4).view(2, len(torus), 4).double()
    given = [x, *layer.parameters()]
    found = layer(x, Rim.of(torus, axes, dilation))
    expected = written_out(layer, torus, axes, x, dilation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    for one, other in zip(*(torch.autograd.grad((y * weigh).sum(), given) for y in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["skewed", "FCC"])
def test_the_gradient_of_a_rim_is_its_finite_difference(name: str) -> None:
    torus = Torus(TORI[name])
    rim = Rim.of(torus, axes_of(name), 2)
    x = Stream(0).uniform(1, 2 * len(torus)).view(1, len(torus), 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: rim(y), (x,))
