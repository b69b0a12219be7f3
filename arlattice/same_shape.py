"""Two lattices that are the same but for their size, how they are turned, and the names of their species."""

from __future__ import annotations

import numpy as np
import torch

from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import Lattice

__all__ = ["check_same_shape"]

_TOLERANCE = 1e-4  # of the metric, relative


def check_same_shape(lattice: Lattice, hamiltonian: Hamiltonian) -> None:
    """Refuse a Hamiltonian whose sites are not those of a lattice, in their order.

    Raises:
        InputError: another supercell, other species a site, or primitive vectors with other angles or ratios of lengths.
    """
    other = hamiltonian.lattice
    ours, theirs = ((cell @ cell.T) / abs(np.linalg.det(cell)) ** (2 / 3) for cell in (lattice.cell, other.cell))
    name = hamiltonian.name
    if (
        ours.shape != theirs.shape
        or lattice.pbc != other.pbc
        or not np.allclose(ours, theirs, rtol=0, atol=_TOLERANCE * np.abs(ours).max())
    ):
        cure = "needs primitive vectors with these angles and ratios of lengths (as ase.build.bulk gives them)"
        raise InputError("hamiltonian", name, f"{cure}: {lattice.cell.round(4).tolist()}")
    if not np.array_equal(lattice.supercell, other.supercell):
        cure = f"is on the supercell {other.supercell.tolist()}, the model is for {lattice.supercell.tolist()}"
        raise InputError("hamiltonian", name, cure)
    same_sites = len(lattice.basis) == len(other.basis) and np.allclose(lattice.basis, other.basis, rtol=0, atol=_TOLERANCE)
    if not same_sites or not torch.equal(lattice.allowed, other.allowed):
        cure = f"needs sites with {lattice.n_species} species as the model has them: {lattice!r}"
        raise InputError("hamiltonian", name, cure)
