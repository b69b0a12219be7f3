"""The Ising model with a field, E = -J sum_<ij> s_i s_j - h sum_i s_i, s = -1 (down) or +1 (up).

Source: E. Ising, Z. Phys. 31, 253 (1925). Energies are in reduced units (k_B = 1).
"""

from __future__ import annotations

import numpy as np

import arlattice as arl
from arlattice_ising.options import IsingOptions
from arlattice_ising.torus import bonds, torus

__all__ = ["IsingOptions", "build"]


def build(options: IsingOptions) -> arl.ClusterHamiltonian:
    """The Ising model on a periodic chain, square or cubic lattice; species ``down``, ``up``."""
    spin = np.array([-1.0, 1.0])
    lattice = torus(options.supercell, ("down", "up"))
    pairs = [(bond, -options.J * np.outer(spin, spin)) for bond in bonds(len(options.supercell))]
    fields = [([((0, 0, 0), 0)], -options.h * spin)] if options.h else []
    return arl.ClusterHamiltonian.from_cell(
        lattice, [*pairs, *fields], units="reduced", name="ising", options=options.model_dump(mode="json")
    )
