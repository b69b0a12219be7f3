"""Occupations to ASE structures and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.arguments import finite_number
from arlattice.errors import InputError
from arlattice.lattice import UNKNOWN, Lattice

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["SPIN_CARRIER", "VACANCY", "occupations_from_ase", "to_ase"]

VACANCY = "X"
"""Species symbol of an empty site (ASE's atomic number 0)."""

SPIN_CARRIER = "Fe"
"""Element that carries the magnetic moments of spin species."""


def to_ase(lattice: Lattice, occupations: Any, *, vacancies: str = "drop") -> Any:
    """Structures of occupations.

    Args:
        lattice: the supercell.
        occupations: (sites,) or (n, sites) species indices; -1 (unknown) leaves as ``X``.
        vacancies: ``"drop"`` leaves vacancies out, ``"X"`` keeps them as ASE's species X.

    Returns:
        `Atoms`, or a list for a batch, with arrays ``site_index`` and ``sublattice``. Species that are
        not chemical symbols (Ising's ``down``/``up``, Potts states) leave as `SPIN_CARRIER` with initial
        magnetic moments: -1 / +1 for two species, else the species index.
    """
    if not isinstance(vacancies, str) or vacancies not in ("drop", VACANCY):
        raise InputError("vacancies", vacancies, "one of 'drop', 'X'")
    rows = lattice.check_occupations(occupations, allow_unknown=True).cpu().numpy()
    single = torch.as_tensor(occupations).ndim == 1
    frames = [_frame(lattice, row, vacancies) for row in rows]
    return frames[0] if single else frames


def _frame(lattice: Lattice, row: np.ndarray, vacancies: str) -> Atoms:
    from ase import Atoms

    numbers, moments = _numbers(lattice)
    atoms = Atoms(
        numbers=np.where(row == UNKNOWN, 0, numbers[row]),
        positions=lattice.positions,
        cell=lattice.supercell_vectors,
        pbc=lattice.pbc,
    )
    if moments is not None:
        atoms.set_initial_magnetic_moments(np.where(row == UNKNOWN, 0.0, moments[row]))
    atoms.set_array("site_index", np.arange(lattice.n_sites))
    atoms.set_array("sublattice", lattice.sublattice.copy())
    return atoms[(atoms.numbers != 0) | (row == UNKNOWN)] if vacancies == "drop" else atoms


def _numbers(lattice: Lattice) -> tuple[np.ndarray, np.ndarray | None]:
    """Atomic number of each species, and magnetic moments if the species are spins."""
    from ase.data import atomic_numbers

    if all(s in atomic_numbers for s in lattice.species):
        return np.array([atomic_numbers[s] for s in lattice.species]), None
    moments = np.array([-1.0, 1.0]) if lattice.n_species == 2 else np.arange(lattice.n_species, dtype=float)
    return np.full(lattice.n_species, atomic_numbers[SPIN_CARRIER]), moments


def occupations_from_ase(lattice: Lattice, atoms: Atoms, *, tolerance: float = 0.2, missing: str = "vacancy") -> torch.Tensor:
    """Occupations (sites,) of a structure on the lattice, in any atom order.

    Args:
        lattice: the supercell.
        atoms: a structure in this supercell. Sites without an atom are vacancies where the site may hold
            ``X``; atoms ``X`` on a site that may not are unknown (-1).
        tolerance: how far an atom may sit from its site, angstrom.
        missing: what a site without an atom is: ``"vacancy"`` or ``"unknown"``.

    Raises:
        InputError: another cell, an atom off the sites, two atoms on one site, or an unknown species.
    """
    if not hasattr(atoms, "get_scaled_positions"):
        raise InputError("structure", atoms, "give ASE Atoms")
    tolerance = finite_number("tolerance", tolerance, 0)
    _check_cell(lattice, atoms, tolerance)
    sites = _nearest_sites(lattice, atoms, tolerance)
    numbers, moments = _numbers(lattice)
    occupations = np.full(lattice.n_sites, UNKNOWN)
    has_vacancy = VACANCY in lattice.species
    if has_vacancy and missing == "vacancy":
        index = lattice.species.index(VACANCY)
        occupations[lattice.allowed[:, index].numpy()] = index
    given = atoms.get_initial_magnetic_moments() if moments is not None else atoms.numbers
    known = moments if moments is not None else numbers
    match = np.isclose(known, given[:, None])
    site_may_be_empty = lattice.allowed[sites, lattice.species.index(VACANCY)].numpy() if has_vacancy else np.zeros(len(sites), dtype=bool)
    unknown = (atoms.numbers == 0) & ~site_may_be_empty
    foreign = np.flatnonzero(~match.any(1) & ~unknown)
    if len(foreign):
        held = f"magnetic moment {given[foreign[0]]}" if moments is not None else atoms.symbols[foreign[0]]
        raise InputError("structure", str(held), f"the species of this lattice are {', '.join(lattice.species)}")
    occupations[sites] = np.where(unknown, UNKNOWN, match.argmax(1))
    absent = np.setdiff1d(np.arange(lattice.n_sites), sites)
    lone = [i for i in absent if occupations[i] == UNKNOWN]
    if lone and missing == "vacancy":
        raise InputError(
            "structure", f"{len(atoms)} atoms", f"site {lone[0]} at {np.round(lattice.positions[lone[0]], 3).tolist()} has no atom"
        )
    return lattice.check_occupations(torch.from_numpy(occupations), allow_unknown=True)[0]


def _check_cell(lattice: Lattice, atoms: Atoms, tolerance: float) -> None:
    ours, theirs = lattice.supercell_vectors, np.array(atoms.cell)
    if not np.allclose(ours, theirs, atol=tolerance):
        raise InputError(
            "structure cell", np.round(theirs, 4).tolist(), f"the supercell vectors of this lattice are {np.round(ours, 4).tolist()}"
        )


def _nearest_sites(lattice: Lattice, atoms: Atoms, tolerance: float) -> np.ndarray:
    """The site of every atom. Found through the primitive cell, so that a long, skewed supercell does no harm."""
    primitive = atoms.positions @ np.linalg.inv(lattice.cell)
    from_basis = primitive[:, None, :] - lattice.basis  # (atoms, sublattices, 3)
    offsets = np.rint(np.nan_to_num(from_basis))
    distances = np.linalg.norm((from_basis - offsets) @ lattice.cell, axis=2)
    sublattice, distance = distances.argmin(1), distances.min(1)
    if not (distance <= tolerance).all():
        worst = int(np.flatnonzero(~(distance <= tolerance))[0])
        raise InputError(
            "structure",
            f"atom {worst} ({atoms.symbols[worst]})",
            f"is {distance[worst]:.3f} angstrom off the nearest site (tolerance {tolerance})",
        )
    sites = lattice.site_index(offsets[np.arange(len(atoms)), sublattice].astype(int), sublattice)
    if len(set(sites.tolist())) != len(sites):
        raise InputError("structure", f"{len(atoms)} atoms", "two atoms lie on the same site")
    return sites
