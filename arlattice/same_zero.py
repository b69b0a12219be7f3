"""One expansion on two supercells: whether chemical potentials mean the same on both."""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian

__all__ = ["check_same_zero"]

_TOLERANCE = 1e-5  # per cell, absolute and relative; compiled expansions agree to about 1e-9


def check_same_zero(trained: Hamiltonian, other: Hamiltonian) -> None:
    """Refuse an expansion of the same name on which a model's chemical potentials would mean something else.

    Energies of one species against another have a zero: formation energies and the expansion's own differ by a shift of every
    chemical potential. Compared are configurations that are the same in every cell, whose energy per cell does not depend on the
    supercell. Hamiltonians of different names and black boxes are not looked at.

    Raises:
        InputError: energies of the species against each other that differ.
    """
    if trained.name != other.name or not (isinstance(trained, ClusterHamiltonian) and isinstance(other, ClusterHamiltonian)):
        return
    ours, theirs = _per_cell(trained), _per_cell(other)
    shift = (theirs - theirs[0]) - (ours - ours[0])
    if float(shift.abs().max()) <= _TOLERANCE * max(1.0, float(ours.abs().max())):
        return
    differ = [key for key in trained.options if key in other.options and trained.options[key] != other.options[key]]
    given, wanted = ({key: h.options[key] for key in differ} for h in (other, trained))
    worst = int(shift.abs().argmax())
    species = f"{other.species[worst]} against {other.species[0]} by {float(shift[worst]):.4g} {other.units} a cell"
    cure = f"shifts {species}, so mu would mean something else than for the model; but for the supercell, give its options: {wanted}"
    raise InputError("hamiltonian", {"name": other.name, **given}, cure)


def _per_cell(hamiltonian: Hamiltonian) -> Tensor:
    """Energies per cell, (species,), where every site that may holds that species and the rest their first."""
    lattice = hamiltonian.lattice
    species = torch.arange(lattice.n_species)[:, None]
    occupations = torch.where(lattice.allowed.T, species, lattice.allowed.long().argmax(1))
    return hamiltonian.to("cpu", torch.float64).energy(occupations).double() * len(lattice.basis) / lattice.n_sites
