"""Record a function of tensors as one CUDA graph and replay it: launch overhead is paid once.

On the CPU the function just runs. A loop is recorded as its start and its distinct steps, not step after step. Graphs are kept by the
shapes and types of their inputs. What the function reads besides its inputs (weights, tables) must stay at the same addresses, as
in-place optimiser steps do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

__all__ = ["Graphs"]

Outputs = tuple[Tensor, ...]


class Graphs:
    """Recorded graphs of one function, or of one loop, by input signature."""

    def __init__(self) -> None:
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Any]] = {}
        self._steps: dict[Hashable, torch.cuda.CUDAGraph] = {}

    @property
    def steps(self) -> int:
        """How many steps of loops are recorded."""
        return len(self._steps)

    def clear(self) -> None:
        """Forget all recordings."""
        self._recorded.clear()
        self._steps.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Graphs:
        """Nothing recorded: recordings are of the weights they were made with."""
        return Graphs()

    def __call__(self, function: Callable[[dict[str, Tensor]], Any], inputs: dict[str, Tensor]) -> Any:
        """``function(inputs)``; on CUDA through a recorded graph. Outputs are copies."""
        if not all(t.is_cuda for t in inputs.values()):
            return function(inputs)
        key = _signature(inputs)
        if key not in self._recorded:
            self._recorded[key] = _record(function, inputs)
        return tuple(t.clone() for t in self._replay(key, inputs))

    def loop(
        self,
        begin: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        step: Callable[..., None],
        inputs: dict[str, Tensor],
        schedule: Sequence[tuple[int, ...]],
        key: Hashable | None,
    ) -> dict[str, Tensor]:
        """``state = begin(inputs)``, then ``step(state, *numbers)`` for every entry of the schedule.

        Args:
            begin: makes new tensors.
            step: changes them in place; nothing else of it is kept.
            inputs: what `begin` reads.
            schedule: the numbers of every step; each distinct entry is recorded once.
            key: with the shapes of the inputs, what the recordings depend on; None records nothing.

        Returns:
            The state after the last step. Recorded, it is overwritten by the next call.
        """
        if key is None:
            state = begin(inputs)
            for numbers in schedule:
                step(state, *numbers)
            return state
        key = key, _signature(inputs)
        if key not in self._recorded:
            self._recorded[key] = _record(begin, inputs, partial(_each, step, dict.fromkeys(schedule)))
        state = self._recorded[key][2]
        for numbers in dict.fromkeys(schedule):
            if (key, numbers) not in self._steps:
                self._steps[key, numbers] = _record_step(step, state, numbers)
        self._replay(key, inputs)
        for numbers in schedule:
            self._steps[key, numbers].replay()
        return dict(state)

    def _replay(self, key: Hashable, inputs: dict[str, Tensor]) -> Any:
        graph, static, outputs = self._recorded[key]
        for name, tensor in inputs.items():
            static[name].copy_(tensor)
        graph.replay()
        return outputs


def _each(step: Callable[..., None], schedule: Iterable[tuple[int, ...]], state: dict[str, Tensor]) -> None:
    for numbers in schedule:
        step(state, *numbers)


def _signature(inputs: dict[str, Tensor]) -> Hashable:
    return tuple((name, t.shape, t.dtype) for name, t in inputs.items())


def _record(
    function: Callable[[dict[str, Tensor]], Any], inputs: dict[str, Tensor], after: Callable[[Any], Any] | None = None
) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Any]:
    """Run a function once, with what comes after it, so that all that is compiled or allocated once is there; then record it."""
    static = {name: t.contiguous().clone() for name, t in inputs.items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        made = function(static)
        if after is not None:
            after(made)
        del made
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(static)
    return graph, static, outputs


def _record_step(step: Callable[..., None], state: dict[str, Tensor], numbers: tuple[int, ...]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(state, *numbers)
    return graph
