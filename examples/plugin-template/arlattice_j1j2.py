"""The J1-J2 Ising model: nearest and next-nearest neighbours on the periodic square lattice."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

import arlattice as arl
from arlattice.hooks import Register

Length = Annotated[int, Field(ge=3)]
SPIN = np.array([-1.0, 1.0])  # of the species "down", "up"


class J1J2Options(arl.Options):
    """Reduced units: energies in units of |J1| or whatever the couplings are in."""

    supercell: tuple[Length, Length] = Field((6, 6), description="sites along the two directions")
    J1: float = Field(1.0, description="coupling of nearest neighbours; > 0 is ferromagnetic")
    J2: float = Field(-0.5, description="coupling of next-nearest neighbours, across the diagonals")


@arl.hookimpl
def arlattice_register_hamiltonians(register: Register) -> None:
    """Announce the Hamiltonian under the name ``j1j2``."""
    register("j1j2", build, options=J1J2Options, summary="J1-J2 Ising model on the square torus")


def build(options: J1J2Options) -> arl.Hamiltonian:
    """E = -J1 sum_<ij> s_i s_j - J2 sum_<<ij>> s_i s_j, by the bonds of one cell."""
    steps = {(1, 0, 0): options.J1, (0, 1, 0): options.J1, (1, 1, 0): options.J2, (1, -1, 0): options.J2}
    bonds = [([((0, 0, 0), 0), (step, 0)], -coupling * np.outer(SPIN, SPIN)) for step, coupling in steps.items()]
    return arl.ClusterHamiltonian.from_cell(arl.square(options.supercell), bonds, units="reduced")
