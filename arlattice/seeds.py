"""Seeds of random generators."""

from __future__ import annotations

from typing import Any

from arlattice.arguments import whole_number
from arlattice.errors import InputError

__all__ = ["check_seed"]


def check_seed(seed: Any, argument: str = "seed") -> int:
    """The seed of a random generator: a whole number from 0 to 2^63 - 1.

    Raises:
        InputError: anything else, a bool or a float among it.
    """
    try:
        return whole_number(argument, seed, 0)
    except InputError:
        raise InputError(argument, seed, "give a whole number from 0 to 2^63 - 1") from None
