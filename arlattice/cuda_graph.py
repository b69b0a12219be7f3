"""Record a function of tensors as one CUDA graph and replay it: launch overhead is paid once.

On the CPU the function just runs. Graphs are kept by the shapes and types of their inputs. What the function
reads besides its inputs (weights, tables) must stay at the same addresses, as in-place optimiser steps do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Graphs"]

Outputs = tuple[Tensor, ...]


class Graphs:
    """Recorded graphs of one function, by input signature."""

    def __init__(self) -> None:
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Any]] = {}

    def clear(self) -> None:
        """Forget all recordings."""
        self._recorded.clear()

    def __call__(self, function: Callable[[dict[str, Tensor]], Any], inputs: dict[str, Tensor]) -> Any:
        """``function(inputs)``; on CUDA through a recorded graph. Outputs are copies."""
        if not all(t.is_cuda for t in inputs.values()):
            return function(inputs)
        key = tuple((name, t.shape, t.dtype) for name, t in inputs.items())
        if key not in self._recorded:
            self._recorded[key] = _record(function, inputs)
        graph, static, outputs = self._recorded[key]
        for name, tensor in inputs.items():
            static[name].copy_(tensor)
        graph.replay()
        return tuple(t.clone() for t in outputs)


def _record(function: Callable[[dict[str, Tensor]], Any], inputs: dict[str, Tensor]) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Any]:
    static = {name: t.contiguous().clone() for name, t in inputs.items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        function(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(static)
    return graph, static, outputs
