"""pymatgen structures out and in: oxidation states, isotopes, vacancies, disordered sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.errors import InputError, MissingExtraError
from arlattice.species import VACANCY, Species, is_vacancy, parse_species, species_of

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure

    from arlattice.lattice import Lattice

__all__ = ["bare_atoms", "names_of", "species_of_sites", "to_atoms", "to_structure", "to_structures"]

_WHOLE = 1e-6  # of an occupancy


def to_structures(lattice: Lattice, occupations: Any, *, vacancies: str = "drop") -> Any:
    """A structure of occupations (sites,), or a list of them for a batch (n, sites); arguments as `arlattice.io.ase.to_ase`."""
    from arlattice.io.ase import to_ase

    rows = lattice.check_occupations(occupations, allow_unknown=True)
    frames = to_ase(lattice, rows, vacancies=vacancies)
    structures = [to_structure(lattice, atoms, row) for atoms, row in zip(frames, rows.cpu().numpy(), strict=True)]
    return structures[0] if torch.as_tensor(occupations).ndim == 1 else structures


def to_structure(lattice: Lattice, atoms: Atoms, row: np.ndarray) -> Structure:
    """The pymatgen structure of `Atoms` that `arlattice.io.ase.to_ase` made of occupations (sites,).

    Charged species leave as `Species` with their oxidation state, isotopes as pymatgen's ``D`` and ``T``; everything else as
    pymatgen's own converter has it.

    Raises:
        MissingExtraError: pymatgen is not installed.
    """
    try:
        from pymatgen.core import Element, Structure
        from pymatgen.core import Species as Charged
        from pymatgen.io.ase import AseAtomsAdaptor
    except ImportError:
        raise MissingExtraError("pymatgen", "pymatgen") from None
    structure: Structure = AseAtomsAdaptor.get_structure(atoms)
    species = species_of(lattice.species)
    if species is None or all(s.charge is None and s.mass is None for s in species):
        return structure
    held: list[Any] = [site.specie for site in structure]
    for i, s in enumerate(row[atoms.arrays["site_index"]]):
        if s >= 0 and species[s].number:
            symbol = {2: "D", 3: "T"}[round(species[s].usual_mass)] if species[s].mass is not None else species[s].element
            held[i] = Element(symbol) if species[s].charge is None else Charged(symbol, species[s].charge)
    properties = {"site_properties": structure.site_properties, "properties": structure.properties}
    return Structure(structure.lattice, held, structure.frac_coords, **properties)


def to_atoms(structure: Structure | Molecule) -> Atoms:
    """ASE `Atoms` of an ordered structure: elements, oxidation states as charges, D and T with their masses, magnetic moments.

    Raises:
        InputError: no pymatgen structure, sites of several species, or species that are no atoms.
    """
    atoms = bare_atoms(structure)
    if not structure.is_ordered:
        cure = "has sites with several species; give an ordered structure, or make a lattice of it with Lattice.from_pymatgen"
        raise InputError("structure", structure.composition.formula, cure)
    species = [_parsed(_name(site.specie)) for site in structure]
    atoms.numbers = [s.number for s in species]
    properties = structure.site_properties
    if any(s.charge is not None for s in species):
        atoms.set_initial_charges([s.charge or 0.0 for s in species])
    elif "charge" in properties:
        atoms.set_initial_charges(properties["charge"])
    if any(s.mass is not None for s in species):
        atoms.set_masses([s.usual_mass for s in species])
    elif "masses" in properties:
        atoms.set_masses(properties["masses"])
    if "magmom" in properties:
        atoms.set_initial_magnetic_moments(properties["magmom"])
    return atoms


def bare_atoms(structure: Structure | Molecule) -> Atoms:
    """ASE `Atoms` with the sites, cell and periodic directions of a structure, and no species.

    Raises:
        InputError: no pymatgen structure or molecule.
    """
    from ase import Atoms

    if not hasattr(structure, "cart_coords"):
        raise InputError("structure", type(structure).__name__, "give a pymatgen Structure")
    lattice = getattr(structure, "lattice", None)
    cell, pbc = (None, False) if lattice is None else (lattice.matrix, lattice.pbc)
    return Atoms(numbers=[1] * len(structure), positions=structure.cart_coords, cell=cell, pbc=pbc)


def names_of(species: Sequence[Any] | Sequence[Sequence[Any]]) -> Any:
    """Lists of species as lists of names, where some are pymatgen's `Element`, `Species` or `DummySpecies`."""
    if isinstance(species, str):
        return species
    return [[_name(s) for s in given] if isinstance(given, list | tuple) else _name(given) for given in species]


def species_of_sites(structure: Structure | Molecule) -> list[list[str]]:
    """The species that every site of a disordered structure lists, and the vacancy where occupancies add up to less than 1.

    Raises:
        InputError: an ordered structure, which leaves nothing to choose.
    """
    if getattr(structure, "is_ordered", True):
        raise InputError("species", None, "give the species of the sites, e.g. ['Cu', 'Au']; only a disordered structure lists them itself")
    return [_listed(site.species) for site in structure]


def _listed(composition: Any) -> list[str]:
    names = [_name(s) for s in composition]
    empty = composition.num_atoms < 1 - _WHOLE and not any(map(is_vacancy, names))
    return [*names, VACANCY] if empty else names


def _name(species: Any) -> str:
    """Name of a species as `arlattice.species` reads it."""
    if isinstance(species, str):
        return species
    symbol, charge = getattr(species, "symbol", str(species)), getattr(species, "oxi_state", None)
    element = getattr(species, "element", None) or species  # of a Species, and of an Element itself
    if getattr(species, "spin", None) is not None:
        raise InputError("species", str(species), "spins of atoms are not kept; give species without spin")
    if not hasattr(element, "name"):  # a DummySpecies
        return VACANCY if is_vacancy(symbol) else str(symbol)
    size = "" if charge in (None, 1, -1) else f"{abs(charge):g}"
    return str(element.name) + ("" if charge is None else size + ("-" if charge < 0 else "+"))


def _parsed(name: str) -> Species:
    species = parse_species(name)
    if species is None:
        raise InputError("species", name, "is neither an element nor a vacancy (X)")
    return species
