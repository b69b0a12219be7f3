"""The four simple cubic sublattices of FCC, and the ordered phases of an alloy A-B on them.

In units of half the cubic cell the coordinates of a site are whole numbers with an even sum. Their parities tell the
sublattice, and give the three <001> waves, cos(2 pi r_i / a) = +-1. L1_0 has one wave of amplitude 1 (6 variants: axis and
sign), A3B and AB3 of the L1_2 type have three of 1/2 (4 variants: the sublattice of the minority).
"""

from __future__ import annotations

import itertools

import numpy as np

from arlattice.lattice import Lattice

__all__ = ["PHASES", "ideal_occupations", "order_parameter", "phase_of", "waves"]

_SIGNS = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])  # of the three waves on the four sublattices
_L1_0 = {f"L1_0 {'xyz'[k]}{s}": (*(sign * np.eye(3)[k]), 0.5) for k, (s, sign) in itertools.product(range(3), (("+", 1), ("-", -1)))}
_A3B = {f"Cu3Au {k + 1}": (*(signs / 2), 0.25) for k, signs in enumerate(_SIGNS)}
_AB3 = {f"CuAu3 {k + 1}": (*(-signs / 2), 0.75) for k, signs in enumerate(_SIGNS)}
PHASES: dict[str, tuple[float, ...]] = {**_L1_0, **_A3B, **_AB3, "disordered": (0.0, 0.0, 0.0, 0.5)}
"""Amplitudes of the three waves and the share of species 1 of every phase; solid solutions are nearest to the last."""


def waves(lattice: Lattice, occupations: np.ndarray) -> np.ndarray:
    """Amplitudes of the three waves, the mean of cos(2 pi r_i / a) over the spins +1 (species 1) and -1, (n, 3) in [-1, 1].

    Args:
        lattice: primitive FCC cells, with an even number of them along every supercell vector.
        occupations: of species 0 and 1, (n, sites).
    """
    return (2.0 * occupations - 1) @ _on_sites(lattice) / lattice.n_sites


def order_parameter(amplitudes: np.ndarray) -> np.ndarray:
    """Length of the three amplitudes (n, 3): 1 in L1_0, .87 in A3B and AB3, near 0 without order. (n,)."""
    return np.asarray(np.linalg.norm(amplitudes, axis=1))


def phase_of(lattice: Lattice, occupations: np.ndarray) -> np.ndarray:
    """Number among `PHASES` of the ideal phase that is nearest in its waves and its composition, (n,)."""
    found = np.column_stack([waves(lattice, occupations), occupations.mean(1)])
    return np.stack([((found - ideal) ** 2).sum(1) for ideal in PHASES.values()], 1).argmin(1)


def ideal_occupations(lattice: Lattice) -> np.ndarray:
    """All ways to give each sublattice one species: pure, A3B, L1_0 and AB3, (16, sites)."""
    sublattice = (_on_sites(lattice).round().astype(int)[:, None] == _SIGNS).all(2).argmax(1)
    return np.array(list(itertools.product((0, 1), repeat=4)))[:, sublattice]


def _on_sites(lattice: Lattice) -> np.ndarray:
    """The three waves on every site, (sites, 3)."""
    return np.asarray(np.cos(np.pi * lattice.positions / lattice.cell.max()))
