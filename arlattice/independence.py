"""Which random numbers are behind a sample, and sets that share them.

Sets drawn with equal seeds are not independent, whatever their states and models. So every set keeps the random numbers behind
each of its samples, `SampleSet.stream`, through selections, resampling, joining and files, and whatever pools sets asks here first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.random_numbers import purpose_word

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["check_independent", "joined_streams", "stream_of"]

UNKNOWN_STREAM = -1
"""In place of seed, purpose and number of a sample whose random numbers are not known."""


def stream_of(seed: int, purpose: str, numbers: Tensor) -> Tensor:
    """`SampleSet.stream` of samples with these numbers (n,): seed, purpose, number, (n, 3)."""
    return torch.stack([torch.full_like(numbers, seed), torch.full_like(numbers, purpose_word(purpose)), numbers], 1)


def joined_streams(sets: Sequence[SampleSet]) -> Tensor | None:
    """Those of all sets, one after the other; None if no set knows its own."""
    if all(s.stream is None for s in sets):
        return None
    return torch.cat([torch.full((len(s), 3), UNKNOWN_STREAM) if s.stream is None else s.stream for s in sets])


def check_independent(sets: Sequence[SampleSet], argument: str = "sets") -> None:
    """Refuse sets that were drawn with the same random numbers; samples that do not know theirs cannot be checked.

    Args:
        sets: to be pooled.
        argument: to name in the error.

    Raises:
        InputError: two of the sets share a row of `SampleSet.stream`.
    """
    seen: dict[tuple[int, int], list[Tensor]] = {}
    for stream in (s.stream for s in sets if s.stream is not None):
        for seed, purpose in {(row[0], row[1]) for row in stream[:, :2].unique_consecutive(dim=0).tolist()}:
            numbers = stream[(stream[:, 0] == seed) & (stream[:, 1] == purpose), 2]
            others = seen.setdefault((seed, purpose), [])
            if seed != UNKNOWN_STREAM and any(bool(torch.isin(numbers, other).any()) for other in others):
                cure = "two of the sets share its random numbers, so they are not independent; draw one anew, with another seed or none"
                raise InputError(argument, f"seed {seed}", cure)
            others.append(numbers)
