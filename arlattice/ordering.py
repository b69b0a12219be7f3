"""Translations that the ordered phases of a Hamiltonian share, from energies alone.

A periodic pattern of two species, with a wavevector of halves or thirds of the reciprocal vectors, is an ordered phase if it lies below
the line between its pure ends. The translations that leave all the lowest of these patterns as they are make the cells of a plan
of blocks: such a cell can hold every one of these phases, and tells them apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from arlattice.hamiltonians import Hamiltonian, energies_or_nan
from arlattice.lattice import Lattice
from arlattice.supercell import hermite_form

__all__ = ["ordering_translations"]

_LOW = 2 / 3  # of the lowest ordering energy: patterns that count
_ROUNDING = 1e-6  # stripes on a cubic lattice have 2 / 3 exactly: no matter of rounding
_LARGEST = 32  # sites of a cell that may hold several species
_MOST_PHASES = 81  # that the sites of a cell are tried with


def ordering_translations(hamiltonian: Hamiltonian) -> np.ndarray:
    """Integer 3x3 matrix (rows, units of the primitive cell) of the translations that the lowest patterns share.

    Those of the supercell are among them. All translations, if no pattern lies below its pure ends, or if the cell would have more than
    32 sites that may hold several species.

    Args:
        hamiltonian: on the supercell; a black box serves too. Compositions that it refuses are left out.
    """
    lattice = hamiltonian.lattice
    energies = {wave: _ordering_energy(hamiltonian, wave) for wave in _waves(lattice)}
    lowest = min(energies.values(), default=0.0)
    scale = max((abs(v) for v in energies.values()), default=0.0)
    if lowest > -1e-6 * scale or lowest == 0.0:
        return np.eye(3, dtype=int)
    star = [np.array(wave) for wave, energy in energies.items() if energy < (_LOW + _ROUNDING) * lowest]
    shared = _shared(star)
    found = hermite_form(np.concatenate([shared, lattice.supercell]))[:3]
    sites = round(float(np.linalg.det(found))) * sum(len(species) > 1 for species in lattice.allowed_species)
    return found if sites <= _LARGEST else np.eye(3, dtype=int)


def _waves(lattice: Lattice) -> Iterator[tuple[int, ...]]:
    """Wavevectors in sixths of the reciprocal vectors, halves or thirds, that the supercell has, one of each +-k."""
    axes = [range(6) if periodic else (0,) for periodic in lattice.pbc]
    for wave in itertools.product(*axes):
        halves, thirds = all(w % 3 == 0 for w in wave), all(w % 2 == 0 for w in wave)
        opposite = tuple(-w % 6 for w in wave)
        if any(wave) and (halves or thirds) and wave <= opposite and not (lattice.supercell @ np.array(wave) % 6).any():
            yield wave


def _ordering_energy(hamiltonian: Hamiltonian, wave: tuple[int, ...]) -> float:
    """The lowest energy a site of the patterns of a wavevector above the line between their pure ends; 0 if none is known.

    The sites of a cell follow the wave with phases of their own.
    """
    lattice = hamiltonian.lattice
    phase = (lattice.cell_offsets @ np.array(wave)) % 6
    found = [0.0]
    reference = hamiltonian.to("cpu", torch.float64)
    for pair in itertools.combinations(range(lattice.n_species), 2):
        both = lattice.allowed[:, list(pair)].all(1).numpy()
        if not both.any():
            continue
        first = lattice.allowed.int().argmax(1).numpy()
        rows = [np.where(both, pair[k], first) for k in (0, 1)]
        for shift in _shifts(np.unique(phase), np.unique(lattice.sublattice[both]), len(lattice.basis)):
            own = (phase + shift[lattice.sublattice]) % 6
            rows += [np.where(both, np.where(own == value, pair[k], pair[1 - k]), first) for value in np.unique(phase) for k in (0, 1)]
        x = torch.from_numpy(np.stack(rows))
        share = (x[:, torch.from_numpy(both)] == pair[1]).double().mean(1)
        energy = energies_or_nan(reference, x)
        excess = energy - (energy[0] + share * (energy[1] - energy[0]))
        found += excess[2:][excess[2:].isfinite()].tolist()
    return min(found) / lattice.n_sites


def _shifts(phases: np.ndarray, sublattices: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """Phases of the ``n`` sites of a cell, of those that may hold both species against the first of them; few sites, or none differ."""
    others = sublattices[1:] if len(phases) ** (len(sublattices) - 1) <= _MOST_PHASES else sublattices[:0]
    for chosen in itertools.product(phases, repeat=len(others)):
        shift = np.zeros(n, dtype=int)
        shift[others] = chosen
        yield shift


def _shared(star: list[np.ndarray]) -> np.ndarray:
    """Translations n, rows, with k.n whole for all wavevectors k of a star, given in sixths."""
    points = np.indices((6, 6, 6)).reshape(3, -1).T
    kept = points[~((points @ np.stack(star, 1)) % 6).any(1)]
    return hermite_form(np.concatenate([kept, 6 * np.eye(3, dtype=int)]))[:3]
