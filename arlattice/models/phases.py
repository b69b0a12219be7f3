"""Rotary phases from wavevectors commensurate with the supercell.

Rotating queries at the target site, keys and values at the source site, and the output back at the
target, lets attention see only displacements on the torus: periodic by construction and equivariant
under lattice translations, for any integer supercell matrix.
Source: RoFormer (Su et al. 2021, eq. 34) for the rotation; the wavevectors and the rotated values are ours.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from arlattice.lattice import Lattice

__all__ = ["Rotation", "SitePhases", "commensurate_wavevectors", "rotary_phases", "rotate"]


def commensurate_wavevectors(lattice: Lattice) -> np.ndarray:
    """Wavevectors that the sites tell apart, one of each +-k pair, shortest first, without k = 0.

    Returns:
        (k, 3) integers: the phase of site r is 2 pi m . (fractional position in the supercell).
    """
    reach = [_reach(lattice, axis) for axis in range(3)]
    grid = np.array(list(itertools.product(*[range(-r, r + 1) for r in reach])))
    reciprocal = np.linalg.inv(lattice.supercell_vectors).T
    lengths = np.linalg.norm(grid @ reciprocal, axis=1).round(8)
    grid = grid[np.lexsort((*grid.T[::-1], lengths))]
    phases = (grid @ lattice.fractional_positions.T) % 1.0
    waves = np.exp(2j * np.pi * phases).round(5) + 0.0
    keep, seen = [], {np.ones(lattice.n_sites).astype(complex).tobytes()}
    for m, wave in zip(grid, waves, strict=True):
        if wave.tobytes() not in seen:
            keep.append(m)
            seen |= {wave.tobytes(), (wave.conj() + 0.0).tobytes()}
    return np.array(keep, dtype=int).reshape(-1, 3)


def _reach(lattice: Lattice, axis: int) -> int:
    """Largest integer wavevector component worth trying: two shells beyond the primitive zone."""
    if not lattice.pbc[axis] and lattice.supercell[axis, axis] == 1:
        return 0
    length = float(np.linalg.norm(lattice.supercell_vectors[axis]))
    finest = (abs(float(np.linalg.det(lattice.cell))) / len(lattice.basis)) ** (1 / 3) if all(lattice.pbc) else 1.0
    return max(1, round(length / finest * 0.75) + 1)


def rotary_phases(lattice: Lattice, heads: int, pairs: int, positions: str = "supercell") -> Tensor:
    """Phases of every site (sites, heads, pairs), float64.

    Args:
        lattice: the supercell.
        heads, pairs: wavevectors a head, `heads` times.
        positions: ``"supercell"`` spreads the supercell's own wavevectors over heads and pairs (more slots than
            wavevectors repeat them, shortest first; fewer take an even selection). ``"primitive"`` rounds a fixed set
            of the primitive lattice to the supercell's, so that a slot means nearly the same wave on every supercell.
    """
    slots = heads * pairs
    vectors = commensurate_wavevectors(lattice) if positions == "supercell" else _rounded_wavevectors(lattice, slots)
    if len(vectors) == 0:
        return torch.zeros(lattice.n_sites, heads, pairs, dtype=torch.float64)
    if len(vectors) >= slots:
        chosen = vectors[np.linspace(0, len(vectors) - 1, slots).round().astype(int)]
    else:
        chosen = vectors[np.arange(slots) % len(vectors)]
    shuffle = np.random.Generator(np.random.PCG64(0)).permutation(slots)
    phase = 2 * np.pi * lattice.fractional_positions @ chosen[shuffle].T
    return torch.from_numpy(phase).view(lattice.n_sites, heads, pairs)


def _rounded_wavevectors(lattice: Lattice, slots: int) -> np.ndarray:
    """``slots`` wavevectors spread evenly over the primitive zone, each at the supercell's nearest point, (slots, 3) integers.

    The spread is the additive recurrence with the plastic number's powers (M. Roberts 2018), the same for every supercell.
    """
    irrational = 1.2207440846057596 ** -np.arange(1.0, 4.0)
    primitive = ((np.arange(slots)[:, None] + 1) * irrational % 1.0) - 0.5  # fractions of the primitive reciprocal vectors
    primitive *= np.array(lattice.pbc)
    return np.rint(primitive @ lattice.supercell.T).astype(int)


Rotation = tuple[Tensor, Tensor]
"""cos and sin of phases."""


class SitePhases:
    """Rotations of every site, at full precision in every type of number.

    Args:
        phases: (sites, heads, pairs), float64.
    """

    def __init__(self, phases: Tensor) -> None:
        self._tables = torch.stack([phases.cos(), phases.sin()])
        self._kept: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def of(self, sites: Tensor, dtype: torch.dtype) -> Rotation:
        """cos and sin at sites (batch, T): (batch, heads, T, pairs) each."""
        if (sites.device, dtype) not in self._kept:
            self._kept[sites.device, dtype] = self._tables.to(sites.device, dtype)
        cos, sin = self._kept[sites.device, dtype][:, sites].transpose(2, 3)
        return cos, sin

    def keep(self, device: torch.device) -> None:
        """Make the tables of a device before code that uses them is compiled."""
        for dtype in (torch.float32, torch.bfloat16):
            self._kept[device, dtype] = self._tables.to(device, dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x_j, x_{j + D/2}) of the last axis by an angle each; cos, sin (..., D/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
