"""Chains, square and cubic lattices with periodic boundaries, and their nearest-neighbour bonds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

import arlattice as arl

__all__ = ["Size", "bonds", "torus"]


def _as_tuple(size: Any) -> Any:
    return (size,) if isinstance(size, int) else size


Size = Annotated[
    tuple[Annotated[int, Field(ge=2)], ...],
    BeforeValidator(_as_tuple),
    Field(
        min_length=1, max_length=3, description="sites along each direction, each >= 2: one number (chain), two (square) or three (cubic)"
    ),
]
"""Option type of the lattice size."""


def torus(size: Sequence[int], species: Sequence[str]) -> arl.Lattice:
    """The periodic lattice of one, two or three lengths."""
    try:
        if len(size) == 1:
            return arl.chain(size[0], species)
        if len(size) == 2:
            return arl.square((size[0], size[1]), species)
        return arl.cubic((size[0], size[1], size[2]), species)
    except arl.InputError as error:  # the option that the user typed
        raise arl.InputError("size", list(size), error.cure) from None


def bonds(lattice: arl.Lattice, dimension: int) -> Iterator[tuple[int, int]]:
    """Every site with its neighbour in each positive direction.

    A length of 2 has both bonds between its two sites, as the periodic torus does.
    """
    for step in np.eye(3, dtype=int)[:dimension]:
        yield from enumerate(lattice.site_index(lattice.cell_offsets + step, 0).tolist())
