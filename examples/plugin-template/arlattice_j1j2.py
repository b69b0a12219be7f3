"""The J1-J2 Ising model: nearest and next-nearest neighbours on the periodic square lattice."""

from __future__ import annotations

from collections.abc import Iterator
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
    """E = -J1 sum_<ij> s_i s_j - J2 sum_<<ij>> s_i s_j."""
    lattice = arl.square(options.supercell)
    return arl.ClusterHamiltonian.from_terms(lattice, _bonds(lattice, options), units="reduced")


def _bonds(lattice: arl.Lattice, options: J1J2Options) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Every bond once, with its energies by the two species."""
    steps = {(1, 0): options.J1, (0, 1): options.J1, (1, 1): options.J2, (1, -1): options.J2}
    for (a, b), coupling in steps.items():
        neighbours = lattice.site_index(lattice.cell_offsets + np.array([a, b, 0]), 0)
        for site, neighbour in enumerate(neighbours):
            yield (site, int(neighbour)), -coupling * np.outer(SPIN, SPIN)
