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


def that_fits(step: Callable[[], Result], halve: Callable[[], None]) -> Result:
    """What a step gives; where memory runs out ``halve`` makes it smaller, and it is taken again."""
    while True:
        try:
            return step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        halve()  # outside: the exception held what did not fit


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out; PyTorch's allocator on a CPU says it by a plain `RuntimeError`."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
    )


def half_of_the_batch(systems: Sequence[TrainingSystem]) -> list[TrainingSystem]:
    """The same systems with half of the replayed configurations and of the states drawn in.

    Raises:
        InputError: there is nothing left to halve.

    Warns:
        TrainingWarning: how large the batch is now.
    """
    options, group = systems[0].options, systems[0].group
    batch, states = max(group, options.batch_size // 2 // group * group), max(1, options.reverse_states // 2)
    if (batch, states) == (options.batch_size, options.reverse_states):
        raise InputError("training.batch_size", batch, "memory runs out with the smallest batch; take a smaller network or supercell")
    text = f"memory ran out with batch_size = {options.batch_size}: the run goes on with {batch}"
    warnings.warn(f"{text}, and the noise of its steps grows; give this batch_size to be spared the try", TrainingWarning, stacklevel=4)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    fewer = {"batch_size": batch, "reverse_states": states}
    return [replace(system, options=system.options.model_copy(update=fewer)) for system in systems]
