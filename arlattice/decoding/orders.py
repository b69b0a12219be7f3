"""Orders in which sites are drawn: uniformly random, as the sites are numbered, or coarse to fine on any lattice.

Coarse to fine: from the full set of lattice translations go down a chain of sublattices, each of prime
index in the one before and keeping its points as far apart as possible, until only the supercell's own
vectors are left. The order visits the coarsest sublattice first, then what each finer one adds, at
random within a level and with a random origin. On the square lattice this gives spacing 4, 2 sqrt 2, 2,
sqrt 2, 1; on FCC a body-centred tetragonal quarter (c = 2 a), then the layers of L1_0. The last level, half of the sites,
is drawn with most neighbours known.
"""

from __future__ import annotations

import itertools
import weakref

import numpy as np
import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.lattice import Lattice
from arlattice.random_numbers import Stream

__all__ = ["ORDERS", "draw_orders", "levels", "widest_sublattice"]

ORDERS = ("coarse-to-fine", "random", "raster")
"""Kinds of order by name."""

_SHIFTED: weakref.WeakKeyDictionary[Lattice, dict[torch.device, Tensor]] = weakref.WeakKeyDictionary()
_LEVELS: weakref.WeakKeyDictionary[Lattice, Tensor] = weakref.WeakKeyDictionary()


def levels(lattice: Lattice) -> Tensor:
    """Level of every site, 0 the coarsest, shape (sites,). Sublattices of a cell follow one another."""
    if lattice not in _LEVELS:
        cell_level = _cell_levels(lattice.supercell, lattice.cell, lattice.cell_offsets)
        _LEVELS[lattice] = torch.from_numpy(cell_level * len(lattice.basis) + lattice.sublattice)
    return _LEVELS[lattice]


def draw_orders(lattice: Lattice, n: int, kind: str, stream: Stream) -> Tensor:
    """``n`` orders (n, sites) of the given kind, one a sample of the stream, on its device."""
    if kind == "raster":
        return torch.arange(lattice.n_sites, device=stream.device).repeat(n, 1)
    key = stream.uniform(lattice.n_sites, n).T
    if kind == "coarse-to-fine":
        shift = stream["origin"].integers(lattice.n_cells, 1, n)[0]
        key = key + _shifted_levels(lattice, stream.device)[shift]
    elif kind != "random":
        raise InputError("order", kind, f"one of {', '.join(ORDERS)}, or a tensor of site numbers")
    return key.argsort(1)


def _shifted_levels(lattice: Lattice, device: torch.device) -> Tensor:
    """Levels with every cell as the origin (cells, sites), kept on the device."""
    kept = _SHIFTED.setdefault(lattice, {})
    if device not in kept:
        kept[device] = levels(lattice)[lattice.translations].to(device)
    return kept[device]


def _cell_levels(supercell: np.ndarray, cell: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Walk from the finest lattice to the coarsest; a site's level counts from the coarsest."""
    basis = np.eye(3, dtype=int)
    last_step = np.zeros(len(offsets), dtype=int)  # how many sublattices still hold the site
    alive = np.ones(len(offsets), dtype=bool)
    index = round(abs(float(np.linalg.det(supercell))))
    while index > 1:
        prime = _smallest_prime_factor(index)
        basis = widest_sublattice(basis, supercell, cell, prime)
        coordinates = offsets @ np.linalg.inv(basis)
        alive &= np.abs(coordinates - np.rint(coordinates)).max(1) < 1e-6
        last_step[alive] += 1
        index //= prime
    return last_step.max() - last_step


def widest_sublattice(basis: np.ndarray, supercell: np.ndarray, cell: np.ndarray, prime: int) -> np.ndarray:
    """The sublattice of prime index that still holds the supercell and has the fewest, longest shortest vectors.

    Sublattices of prime index p are {n : c.n = 0 mod p} for c in (Z/p)^3 up to scale.
    """
    inside = np.rint(supercell @ np.linalg.inv(basis)).astype(int)
    best: tuple[tuple[float, ...], np.ndarray] | None = None
    for c in itertools.product(range(prime), repeat=3):
        leading = next((v for v in c if v), 0)
        if leading != 1 or ((inside @ np.array(c)) % prime).any():
            continue
        candidate = _kernel(np.array(c), prime) @ basis
        score = _spread(candidate @ cell)
        if best is None or score > best[0]:
            best = score, candidate
    if best is None:  # cannot happen: p divides the index, so a sublattice of index p exists
        raise ArithmeticError(f"no sublattice of index {prime}")
    return best[1]


def _kernel(c: np.ndarray, prime: int) -> np.ndarray:
    """Basis (rows) of {n in Z^3 : c.n = 0 mod p}; the first nonzero entry of c is 1."""
    pivot = int(np.flatnonzero(c)[0])
    rows = np.eye(3, dtype=int)
    rows[:, pivot] -= c
    rows[pivot] = np.eye(3, dtype=int)[pivot] * prime
    return rows


def _spread(vectors: np.ndarray) -> tuple[float, ...]:
    """Larger is better: length of the shortest vectors, minus their number, then the next shells."""
    from ase.geometry import minkowski_reduce

    reduced, _ = minkowski_reduce(vectors)
    steps = np.array(list(itertools.product(range(-2, 3), repeat=3)))
    lengths = np.sort(np.linalg.norm(steps @ reduced, axis=1).round(6))[1:]
    shells, counts = np.unique(lengths, return_counts=True)
    return tuple(float(v) for shell, count in zip(shells[:3], counts[:3], strict=True) for v in (shell, -count))


def _smallest_prime_factor(n: int) -> int:
    return next((p for p in range(2, int(n**0.5) + 1) if n % p == 0), n)
