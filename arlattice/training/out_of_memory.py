"""Where memory runs out in a training step: half of the batch, and a warning that says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from arlattice.errors import InputError
from arlattice.training.health import TrainingWarning
from arlattice.training.system import TrainingSystem

__all__ = ["half_of_the_batch", "is_out_of_memory", "that_fits"]

Result = TypeVar("Result")

_WORDS = ("out of memory", "allocate memory")


def that_fits(step: Callable[[], Result], halve: Callable[[], None], anywhere: Callable[[bool], bool] = bool) -> Result:
    """What a step gives; where memory runs out ``halve`` makes it smaller, and it is taken again.

    Args:
        step, halve: as said.
        anywhere: whether memory ran out here or at another process that takes the same step, of whether it did so here.
    """
    while True:
        found: list[Result] = []
        try:
            found.append(step())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if not anywhere(not found):  # outside: the exception held what did not fit
            return found[0]
        halve()


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out; PyTorch's allocator on a CPU says it by a plain `RuntimeError`."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
    )


def half_of_the_batch(systems: Sequence[TrainingSystem]) -> list[TrainingSystem]:
    """The same systems with half of the replayed configurations, those of coarse scales too, and of the states drawn in.

    Raises:
        InputError: there is nothing left to halve.

    Warns:
        TrainingWarning: how large the batch is now.
    """
    options, group = systems[0].options, systems[0].group
    half = {
        "batch_size": max(group, options.batch_size // 2 // group * group),
        "coarse_batch_size": min(options.coarse_batch_size, max(1, options.coarse_batch_size // 2)),
        "reverse_states": max(1, options.reverse_states // 2) if systems[0].draws else options.reverse_states,
    }
    fewer = {name: value for name, value in half.items() if value != getattr(options, name)}
    if not fewer:
        cure = "memory runs out with the smallest batch; take a smaller network or supercell"
        raise InputError("training.batch_size", options.batch_size, cure)
    before, now = (", ".join(f"{name} = {each[name]}" for name in fewer) for each in (options.model_dump(), fewer))
    text = f"memory ran out with {before}: the run goes on with {now}"
    warnings.warn(f"{text}, and the noise of its steps grows; give this to be spared the try", TrainingWarning, stacklevel=4)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return [replace(system, options=system.options.model_copy(update=fewer)) for system in systems]
