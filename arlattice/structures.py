"""Configurations of a lattice as structures of ASE and pymatgen, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from arlattice.lattice import Lattice

__all__ = ["Structures"]


class Structures:
    """What `Lattice`, which inherits it, makes of structures."""

    def to_ase(self, occupations: Any, *, vacancies: str = "drop") -> Any:
        """ASE `Atoms` of one configuration (sites,), or a list of them for a batch (n, sites).

        See `arlattice.io.ase.to_ase`.
        """
        from arlattice.io.ase import to_ase

        return to_ase(cast("Lattice", self), occupations, vacancies=vacancies)

    def to_pymatgen(self, occupations: Any, *, vacancies: str = "drop") -> Any:
        """As `to_ase`, as pymatgen `Structure`: charged species with their oxidation state, D and T as such."""
        from arlattice.io.pymatgen import to_structures

        return to_structures(cast("Lattice", self), occupations, vacancies=vacancies)

    def occupations_from_ase(self, atoms: Atoms, *, tolerance: float = 0.2) -> torch.Tensor:
        """Occupations (sites,) of a structure, in any order, origin and orientation; see `arlattice.io.ase.occupations_from_ase`."""
        from arlattice.io.ase import occupations_from_ase

        return occupations_from_ase(cast("Lattice", self), atoms, tolerance=tolerance)

    def occupations_from_pymatgen(self, structure: Structure, *, tolerance: float = 0.2) -> torch.Tensor:
        """As `occupations_from_ase`, of a pymatgen `Structure` (oxidation states and isotopes are read)."""
        from arlattice.io.pymatgen import to_atoms

        return self.occupations_from_ase(to_atoms(structure), tolerance=tolerance)
