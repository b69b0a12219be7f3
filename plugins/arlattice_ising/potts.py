"""The q-state Potts model, E = -J sum_<ij> delta(s_i, s_j).

Source: F. Y. Wu, Rev. Mod. Phys. 54, 235 (1982). Energies are in reduced units (k_B = 1).
"""

from __future__ import annotations

import numpy as np

import arlattice as arl
from arlattice_ising.options import PottsOptions
from arlattice_ising.torus import bonds, torus

__all__ = ["PottsOptions", "build"]


def build(options: PottsOptions) -> arl.ClusterHamiltonian:
    """The Potts model on a periodic chain, square or cubic lattice; species ``"0"``, ``"1"``, ..."""
    lattice = torus(options.supercell, [str(state) for state in range(options.q)])
    equal = -options.J * np.eye(options.q)
    terms = [(bond, equal) for bond in bonds(len(options.supercell))]
    return arl.ClusterHamiltonian.from_cell(lattice, terms, units="reduced", name="potts", options=options.model_dump(mode="json"))
