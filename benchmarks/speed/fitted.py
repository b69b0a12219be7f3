"""Coefficients of another library's expansion of the same clusters, from our energies; and its order of the sites."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["coefficients", "largest_difference", "same_site"]


def coefficients(features: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Least squares; the features span our energies if the clusters are the same."""
    found, *_ = np.linalg.lstsq(features, energies, rcond=1e-10)
    return np.asarray(found)


def largest_difference(energies: list[float], given: Any) -> float:
    """How far energies of the first configurations are from ours, eV."""
    return float(np.abs(np.array(energies) - given["energies"][: len(energies)]).max())


def same_site(given: Any, positions: np.ndarray) -> np.ndarray:
    """For each of our sites the place of the one that lies there in ``positions``: one site a primitive cell, a diagonal supercell."""
    lengths = np.diag(given["supercell"])

    def number(where: np.ndarray) -> np.ndarray:
        cells = np.rint(where @ np.linalg.inv(given["cell"])).astype(int) % lengths
        return np.ravel_multi_index(tuple(cells.T), tuple(lengths))

    theirs = np.empty(len(positions), dtype=int)
    theirs[number(positions)] = np.arange(len(positions))
    return theirs[number(given["positions"])]
