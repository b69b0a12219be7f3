"""Occupations to ASE structures and back.

Species leave as `arlattice.species` reads their names: elements as such, ``D`` as hydrogen with its mass (array ``masses``),
charged species as their element with ASE's initial charges and the facts ``charge_<species>`` and ``charge`` (the total) in ``info``.
Spins leave as `SPIN_CARRIER` with initial magnetic moments. `occupations_from_ase` reads all of that back.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.arguments import finite_number
from arlattice.errors import InputError
from arlattice.io.placing import Placement, cell_refused, check_sites, ours_again, placements
from arlattice.io.supercells import supercells_around
from arlattice.lattice import UNKNOWN, Lattice
from arlattice.species import VACANCY, Species, species_of

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["SPIN_CARRIER", "alike", "occupations_from_ase", "occupations_in_place", "supercell_and_occupations", "to_ase"]

SPIN_CARRIER = "Fe"
"""Element that carries the magnetic moments of spin species."""

_SAME_CHARGE = 0.5  # e
_SAME_MASS = 0.25  # u
_AS_GOOD_A_FIT = 0.05  # angstrom
_RIGHT = 0.01  # angstrom: no other placement needs to be looked at


def to_ase(lattice: Lattice, occupations: Any, *, vacancies: str = "drop") -> Any:
    """Structures of occupations.

    Args:
        lattice: the supercell.
        occupations: (sites,) or (n, sites) species indices; -1 (unknown) leaves as ``X``.
        vacancies: ``"drop"`` leaves vacancies out, ``"X"`` keeps them as ASE's species X.

    Returns:
        `Atoms`, or a list for a batch, with arrays ``site_index`` and ``sublattice``. Where no species is an element
        (Ising's ``down``/``up``, Potts states) all leave as `SPIN_CARRIER` with initial magnetic moments: -1 / +1 for two
        species, else the species index.

    Raises:
        InputError: species that are neither elements nor spins.
    """
    if not isinstance(vacancies, str) or vacancies not in ("drop", VACANCY):
        raise InputError("vacancies", vacancies, "one of 'drop', 'X'")
    rows = lattice.check_occupations(occupations, allow_unknown=True).cpu().numpy()
    single = torch.as_tensor(occupations).ndim == 1
    frames = [_frame(lattice, row, vacancies) for row in rows]
    return frames[0] if single else frames


def _frame(lattice: Lattice, row: np.ndarray, vacancies: str) -> Atoms:
    from ase import Atoms

    species = species_of(lattice.species)
    numbers = _numbers(lattice, species)
    atoms = Atoms(
        numbers=np.where(row == UNKNOWN, 0, numbers[row]),
        positions=lattice.positions,
        cell=lattice.supercell_vectors,
        pbc=lattice.pbc,
    )
    if species is None:
        atoms.set_initial_magnetic_moments(np.where(row == UNKNOWN, 0.0, _moments(lattice)[row]))
    else:
        _add_charges_and_masses(atoms, species, row)
    atoms.set_array("site_index", np.arange(lattice.n_sites))
    atoms.set_array("sublattice", lattice.sublattice.copy())
    return atoms[(atoms.numbers != 0) | (row == UNKNOWN)] if vacancies == "drop" else atoms


def _numbers(lattice: Lattice, species: list[Species] | None) -> np.ndarray:
    """Atomic number of each species, (species,)."""
    from ase.data import atomic_numbers

    if species is not None:
        return np.array([s.number for s in species])
    return np.array([0 if k == lattice.vacancy else atomic_numbers[SPIN_CARRIER] for k in range(lattice.n_species)])


def _moments(lattice: Lattice) -> np.ndarray:
    """Magnetic moment of each species, (species,), where they are spins."""
    return np.array([-1.0, 1.0]) if lattice.n_species == 2 else np.arange(lattice.n_species, dtype=float)


def alike(lattice: Lattice) -> list[tuple[str, str]]:
    """Pairs of species that one site may hold and only charge or mass tells apart, which CIF and POSCAR do not keep."""
    element = {s.name: s.element for s in species_of(lattice.species) or []}
    pairs = [pair for site in lattice.allowed_species for pair in itertools.combinations(site, 2)]
    return [(a, b) for a, b in pairs if element and element[a] == element[b]]


def _add_charges_and_masses(atoms: Atoms, species: list[Species], row: np.ndarray) -> None:
    known = row != UNKNOWN
    if any(s.charge is not None for s in species):
        charges = np.where(known, np.array([s.charge or 0.0 for s in species])[row], 0.0)
        atoms.set_initial_charges(charges)
        atoms.info.update({f"charge_{s.name}": s.charge for s in species if s.charge is not None})
        atoms.info["charge"] = float(charges.sum())
    if any(s.mass is not None for s in species):
        atoms.set_masses(np.where(known, np.array([s.usual_mass for s in species])[row], 1.0))


def occupations_from_ase(lattice: Lattice, atoms: Atoms, *, tolerance: float = 0.2, missing: str = "vacancy") -> torch.Tensor:
    """Occupations (sites,) of a structure on the lattice, in any atom order, origin and orientation.

    The structure may have other vectors for the same supercell, be turned (CIF keeps no directions), shifted, or
    strained by up to 10 %: its cell is brought to that of the lattice. Positions that fit as they are stay as they are, or on
    the vectors of the lattice one by one. Else the best fit is taken. By the symmetry of the lattice there can be several, and any
    of them is as good: they differ by a map of the lattice onto itself.

    Args:
        lattice: the supercell.
        atoms: a structure in this supercell. Sites without an atom are vacancies where the site may hold
            one; atoms ``X`` on a site that may not are unknown (-1). Charges (initial charges, or an array
            ``oxi_states``) are needed only where one element has several charges on a site, masses where it has several isotopes.
        tolerance: how far an atom may sit from its site, angstrom.
        missing: what a site without an atom is: ``"vacancy"`` or ``"unknown"``.

    Raises:
        InputError: another cell, an atom off the sites, two atoms on one site, an unknown species, or so few atoms that they
            fit the lattice in ways that are not the same by symmetry.
    """
    tolerance = finite_number("tolerance", tolerance, 0)
    return _found(lattice, atoms, tolerance, missing)[1]


def _found(lattice: Lattice, atoms: Atoms, tolerance: float, missing: str) -> tuple[float, torch.Tensor]:
    """Misfit, in angstrom, and occupations (sites,) of a structure; a placement as given counts as no misfit at all."""
    if not hasattr(atoms, "get_initial_charges"):
        raise InputError("structure", type(atoms).__name__, "give ASE Atoms; occupations_from_pymatgen reads a pymatgen Structure")
    species, complete = species_of(lattice.species), len(atoms) == lattice.n_sites
    found: list[tuple[float, Placement, torch.Tensor]] = []
    refused: list[tuple[float, InputError]] = []
    for placement in placements(lattice, atoms, tolerance):
        sites, distance = placement.nearest_sites(lattice)
        misfit = float(np.sqrt((distance**2).sum() / max(len(distance), 1)))
        try:
            check_sites(atoms, sites, distance, tolerance)
            row = _read(lattice, atoms, species, sites, missing)
        except InputError as error:
            refused.append((misfit, error))
            continue
        if placement.as_given:
            return 0.0, row
        found.append((misfit, placement, row))
        if complete and misfit < _RIGHT:
            break
    if not found:
        raise min(refused, key=lambda each: round(each[0], 1))[1] if refused else cell_refused(lattice, atoms)
    return _best(lattice, found, complete, tolerance)


def _best(
    lattice: Lattice, found: list[tuple[float, Placement, torch.Tensor]], complete: bool, tolerance: float
) -> tuple[float, torch.Tensor]:
    """Misfit and occupations of the placement that fits best, the first of equals; atoms on all sites prove that it is an isometry."""
    misfit, best, row = min(found, key=lambda each: round(each[0], 3))
    for other_misfit, other, _ in [] if complete else found:
        if other_misfit < misfit + _AS_GOOD_A_FIT and not ours_again(lattice, best, other, tolerance):
            cure = "fit the lattice in ways that no symmetry connects; give the cell vectors and origin of the lattice"
            raise InputError("structure", f"{int((row >= 0).sum())} known sites", cure)
    return misfit, row


def supercell_and_occupations(
    lattice: Lattice, atoms: Atoms, *, tolerance: float = 0.2, missing: str = "vacancy"
) -> tuple[Lattice, torch.Tensor]:
    """The lattice in the supercell of a structure, which may be another than its own, and the occupations there.

    Args:
        lattice: gives the primitive cell, and the supercell to prefer.
        atoms, tolerance, missing: as in `occupations_from_ase`.

    Raises:
        InputError: as `occupations_from_ase`.
    """
    first_error: InputError | None = None
    found: list[tuple[float, Lattice, torch.Tensor]] = []
    for candidate in supercells_around(lattice, atoms):
        try:
            misfit, row = _found(candidate, atoms, tolerance, missing)
        except InputError as error:
            first_error = first_error or error
            continue
        found.append((misfit, candidate, row))
        if misfit < _RIGHT:
            break
    if not found:
        raise first_error or cell_refused(lattice, atoms)
    _, best, row = min(found, key=lambda each: round(each[0], 3))
    return best, row


def occupations_in_place(lattice: Lattice, atoms: Atoms, *, tolerance: float = 0.2) -> torch.Tensor:
    """As `occupations_from_ase`, of a structure from a file of samples: its site numbers matter, so only the placement as given counts.

    Such a file has magnetic moments only where they stand for the species. Files of release 0.1 kept all species so where
    one of them was no chemical symbol.

    Raises:
        InputError: as `occupations_from_ase`.
    """
    placement = next(placements(lattice, atoms, tolerance), None)
    if placement is None or not placement.as_given:
        raise cell_refused(lattice, atoms)
    species = None if atoms.has("initial_magmoms") else species_of(lattice.species)
    sites, distance = placement.nearest_sites(lattice)
    check_sites(atoms, sites, distance, tolerance)
    return _read(lattice, atoms, species, sites, "vacancy")


def _read(lattice: Lattice, atoms: Atoms, species: list[Species] | None, sites: np.ndarray, missing: str) -> torch.Tensor:
    """Occupations (sites,) of atoms on ``sites``; ``species`` None: by magnetic moment."""
    occupations = np.full(lattice.n_sites, UNKNOWN)
    empty = np.zeros(lattice.n_sites, dtype=bool) if lattice.vacancy is None else lattice.allowed[:, lattice.vacancy].numpy()
    if missing == "vacancy":
        occupations[empty] = -1 if lattice.vacancy is None else lattice.vacancy
    unknown = (atoms.numbers == 0) & ~empty[sites]
    occupations[sites] = np.where(unknown, UNKNOWN, _species_on(lattice, atoms, species, sites, ~unknown))
    lone = np.setdiff1d(np.flatnonzero(occupations == UNKNOWN), sites)
    if len(lone) and missing == "vacancy":
        place = np.round(lattice.positions[lone[0]], 3).tolist()
        raise InputError("structure", f"{len(atoms)} atoms", f"site {lone[0]} at {place} has no atom")
    return lattice.check_occupations(torch.from_numpy(occupations), allow_unknown=True)[0]


def _species_on(lattice: Lattice, atoms: Atoms, species: list[Species] | None, sites: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Species index of every atom; refused where an atom that is ``needed`` is none of them, or could be several."""
    fits = _fits_by_moment(lattice, atoms) if species is None else _fits_by_element(lattice, atoms, sites, species)
    for i in np.flatnonzero(needed & (fits.sum(1) != 1)):
        could_be = [lattice.species[k] for k in np.flatnonzero(fits[i])]
        if could_be:
            cure = f"could be {' or '.join(could_be)}; give the initial charges of the atoms, or masses of isotopes"
        else:
            cure = f"the species of this lattice are {', '.join(lattice.species)}"
        raise InputError("structure", _description(atoms, int(i), species is None), cure)
    return fits.argmax(1)


def _description(atoms: Atoms, i: int, spins: bool) -> str:
    charge = _charges(atoms)[i]
    if spins:
        return f"magnetic moment {atoms.get_initial_magnetic_moments()[i]}"
    return str(atoms.symbols[i]) + (f" with charge {charge:+g}" if charge else "")


def _fits_by_moment(lattice: Lattice, atoms: Atoms) -> np.ndarray:
    """Which species every atom is by its magnetic moment, bool (atoms, species)."""
    fits: np.ndarray = np.isclose(_moments(lattice), atoms.get_initial_magnetic_moments()[:, None])
    if lattice.vacancy is not None:
        fits[atoms.numbers == 0] = np.arange(lattice.n_species) == lattice.vacancy
    return fits


def _fits_by_element(lattice: Lattice, atoms: Atoms, sites: np.ndarray, species: list[Species]) -> np.ndarray:
    """Which species every atom may be, bool (atoms, species): by element, then what its site allows, then charge and mass."""
    fits = atoms.numbers[:, None] == _numbers(lattice, species)
    on_site = fits & lattice.allowed[sites].numpy()
    fits = np.where(on_site.any(1, keepdims=True), on_site, fits)
    if _has_charges(atoms):
        fits &= _nearest_charge(fits, _charges(atoms), species)
    if all(s.mass is None for s in species):
        return fits
    masses = np.array([s.usual_mass for s in species])
    several = np.array([np.ptp(masses[row]) > _SAME_MASS if row.any() else False for row in fits])
    near = np.abs(atoms.get_masses()[:, None] - masses) < _SAME_MASS
    return np.where(several[:, None], fits & near, fits)


def _nearest_charge(fits: np.ndarray, charges: np.ndarray, species: list[Species]) -> np.ndarray:
    """Of the species that fit, those nearest in charge; one without a charge in its name takes any, if no other is nearer."""
    bare = np.minimum(np.abs(charges), 0.99 * _SAME_CHARGE)
    off = np.stack([bare if s.charge is None else np.abs(charges - s.charge) for s in species], 1)
    off = np.where(fits & (off < _SAME_CHARGE), off, np.inf)
    return np.isfinite(off) & (off <= off.min(1, keepdims=True) + 1e-9)


def _has_charges(atoms: Atoms) -> bool:
    return bool(atoms.has("initial_charges") or atoms.has("oxi_states"))


def _charges(atoms: Atoms) -> np.ndarray:
    """Charge of every atom, e; pymatgen's own converter leaves oxidation states in an array, None where there is none."""
    if atoms.has("initial_charges") or not atoms.has("oxi_states"):
        return np.asarray(atoms.get_initial_charges(), dtype=float)
    return np.array([float(charge or 0.0) for charge in atoms.arrays["oxi_states"]])
