"""Points of a torus in an order in which each is as far as possible from all before it."""

from __future__ import annotations

import itertools

import numpy as np

__all__ = ["farthest_first"]


def farthest_first(positions: np.ndarray, periods: np.ndarray, decimals: int = 6) -> np.ndarray:
    """Numbers of the points, the first one first; of equally far ones that of the lowest number.

    Args:
        positions: Cartesian, (points, 3).
        periods: Cartesian vectors of the torus, rows, (3, 3).
        decimals: distances that agree so far count as equal.

    Source: T. F. Gonzalez, Theor. Comput. Sci. 38, 293 (1985).
    """
    from ase.geometry import minkowski_reduce

    short = minkowski_reduce(periods)[0]
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ short
    fractional = positions @ np.linalg.inv(short)

    def distances(point: int) -> np.ndarray:
        between = fractional - fractional[point]
        folded = (between - np.rint(between)) @ short
        return np.linalg.norm(folded[:, None] + images, axis=-1).min(1).round(decimals)

    order, nearest = [0], distances(0)
    nearest[0] = -1
    for _ in range(len(positions) - 1):
        point = int(nearest.argmax())
        order.append(point)
        nearest = np.minimum(nearest, distances(point))
        nearest[order] = -1
    return np.array(order)
