"""`Torus`: the integer points of space, folded by the periods of a supercell, as a box that convolutions read."""

from __future__ import annotations

import itertools
from functools import cached_property

import numpy as np

from arlattice.supercell import cell_numbers, hermite_form

__all__ = ["Torus"]


class Torus:
    """The group Z^3 / K of points modulo periods K.

    Points are numbered through a box with the lengths of the Hermite form of K, row by row.

    Args:
        periods: integer 3x3 matrix, rows, of any sign; the lattice K that they span.

    Attributes:
        shape: lengths of the box.
        points: coordinates of the points in the box, (points, 3).
    """

    def __init__(self, periods: np.ndarray) -> None:
        self.hermite = hermite_form(np.asarray(periods))
        self.shape: tuple[int, ...] = tuple(self.hermite.diagonal().tolist())
        self.points = np.indices(self.shape).reshape(3, -1).T

    def __len__(self) -> int:
        return len(self.points)

    def number(self, points: np.ndarray) -> np.ndarray:
        """Numbers of integer points (..., 3), folded."""
        return cell_numbers(points, self.hermite)

    def divided(self, factor: int) -> Torus:
        """Its points of the form ``factor`` n, as a torus of the n: the periods of n are those with ``factor`` n in K."""
        rows: list[np.ndarray] = []
        for axis in (2, 1, 0):
            behind = [self.shape[k] for k in range(axis + 1, 3)]  # those of this torus are periods of the other too
            tails = np.indices(behind).reshape(len(behind), -1).T if behind else np.zeros((1, 0), dtype=int)
            for length in range(1, self.shape[axis] + 1):
                tried = np.concatenate([np.zeros((len(tails), axis), dtype=int), np.full((len(tails), 1), length), tails], 1)
                found = np.flatnonzero(self.number(factor * tried) == 0)
                if len(found):
                    rows.append(tried[found[0]])
                    break
        return Torus(np.stack(rows[::-1]))

    @cached_property
    def reach(self) -> np.ndarray:
        """Steps between images of one point within two periods, (27 - 1, 3)."""
        steps = np.array([step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)])
        return steps @ self.hermite

    def padded(self, axes: tuple[int, ...], width: int) -> np.ndarray:
        """Numbers of the points in the box with a rim of ``width`` along some axes, shape of that box.

        Args:
            axes: whose directions get the rim.
            width: in points.
        """
        ranges = [np.arange(-width, n + width) if axis in axes else np.arange(n) for axis, n in enumerate(self.shape)]
        return self.number(np.stack(np.meshgrid(*ranges, indexing="ij"), -1))
