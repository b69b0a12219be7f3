"""`Lattice`: a periodic supercell, its sites, the species each may hold, and its translations.

A lattice knows nothing of energies. Occupations are integer tensors of shape ``(..., sites)`` that
hold indices into `Lattice.species`, in the order the user gave; ``-1`` marks an unknown site.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.arguments import one_of
from arlattice.cell import check_cell, check_distinct, check_pbc, check_repeats, completed
from arlattice.checked_lattice import check_range, check_sites, check_species, species_indices, species_per_site, vectors
from arlattice.errors import InputError
from arlattice.memory import check_memory
from arlattice.species import vacancy_index
from arlattice.structures import Structures
from arlattice.supercell import MOST_SITES, SupercellLike, cell_numbers, check_size, hermite_form, lattice_points, supercell_matrix

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure

__all__ = ["MOST_SITES", "UNKNOWN", "Lattice", "supercell_matrix"]

UNKNOWN = -1
"""The occupation of a site whose species is not known."""


@dataclass(frozen=True, eq=False)
class Lattice(Structures):
    """A periodic supercell of a primitive cell.

    Args:
        cell: primitive cell vectors as rows, angstrom, shape (3, 3).
        basis: fractional positions of the primitive sites, shape (sublattices, 3).
        allowed_species: for each primitive site, the species it may hold.
        supercell: integer 3x3 matrix, rows are the supercell vectors in units of ``cell``
            (the convention of `ase.build.make_supercell`).
        species: all species, in the order that defines the species index.
        pbc: which primitive directions are periodic. The others are not repeated: their sites all belong to ``basis``.

    Sites are numbered as `ase.build.make_supercell` numbers them: cell by cell, basis within a cell.
    Use `from_ase`, `from_pymatgen` or `square` rather than this constructor.
    """

    cell: np.ndarray
    basis: np.ndarray
    allowed_species: tuple[tuple[str, ...], ...]
    supercell: np.ndarray
    species: tuple[str, ...]
    pbc: tuple[bool, bool, bool] = (True, True, True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell", vectors("cell", self.cell))
        object.__setattr__(self, "basis", vectors("basis", self.basis))
        if self.cell.shape != (3, 3):
            raise InputError("cell", self.cell.tolist(), "give three vectors, in angstrom")
        object.__setattr__(self, "supercell", supercell_matrix(self.supercell))
        check_species(self.species, self.allowed_species, len(self.basis))
        check_pbc(self.pbc)
        check_size(self.supercell, len(self.basis))
        check_cell(self.cell)
        check_repeats(self.supercell, self.pbc)
        check_distinct(self.cell, self.basis, self.pbc)

    # -- construction ----------------------------------------------------------------------------

    @classmethod
    def from_ase(
        cls,
        primitive: Atoms,
        species: Sequence[str] | Sequence[Sequence[str]],
        supercell: SupercellLike = 1,
    ) -> Lattice:
        """A supercell of an ASE primitive cell.

        Args:
            primitive: the primitive cell; its own chemical symbols are not used. Directions that are not periodic
                (``primitive.pbc``) are not repeated, and may have no cell vector: a particle is all of its sites.
            species: the species of every site, ``["Cu", "Au"]``, or of each primitive site,
                ``[["Na", "X"], ["Cl"]]`` (``"X"`` is a vacancy); `arlattice.species` says what names mean.
            supercell: a number, three numbers, or an integer 3x3 matrix (rows).

        Raises:
            InputError: no or repeated species, a supercell matrix that is singular, a periodic direction without a cell vector, two
                sites in one place, or a supercell of more than 2^18 sites.
        """
        if not hasattr(primitive, "get_scaled_positions"):
            raise InputError("primitive", primitive, "give the primitive cell as ASE Atoms")
        per_site = species_per_site(species, len(primitive))
        cell = completed(np.array(primitive.cell, dtype=float), primitive.pbc, primitive.positions)
        check_cell(cell)
        return cls(
            cell=cell,
            basis=np.linalg.solve(cell.T, primitive.positions.T).T,
            allowed_species=per_site,
            supercell=supercell_matrix(supercell),
            species=tuple(dict.fromkeys(s for site in per_site for s in site)),
            pbc=tuple(bool(p) for p in primitive.pbc),  # type: ignore[arg-type]
        )

    @classmethod
    def from_pymatgen(
        cls,
        primitive: Structure | Molecule,
        species: Sequence[Any] | Sequence[Sequence[Any]] | None = None,
        supercell: SupercellLike = 1,
    ) -> Lattice:
        """A supercell of a pymatgen primitive `Structure`, or the sites of a `Molecule`; as `from_ase`.

        Args:
            primitive: the primitive cell; its lattice says which directions are periodic.
            species: as in `from_ase`; pymatgen's own species serve too. None: those that each site of a disordered
                structure lists, and a vacancy where its occupancies do not add up to 1.
            supercell: as in `from_ase`.
        """
        from arlattice.io.pymatgen import bare_atoms, names_of, species_of_sites

        if not hasattr(primitive, "cart_coords"):
            raise InputError("primitive", primitive, "give the primitive cell as a pymatgen Structure")
        listed = species_of_sites(primitive) if species is None else names_of(species)
        return cls.from_ase(bare_atoms(primitive), listed, supercell)

    def with_supercell(self, supercell: SupercellLike) -> Lattice:
        """The same primitive cell and species in another supercell."""
        return Lattice(self.cell, self.basis, self.allowed_species, supercell_matrix(supercell), self.species, self.pbc)

    # -- sites -----------------------------------------------------------------------------------

    @cached_property
    def _points(self) -> np.ndarray:
        return lattice_points(self.supercell)

    @property
    def n_cells(self) -> int:
        """Number of primitive cells."""
        return len(self._points)

    @property
    def n_sites(self) -> int:
        """Number of sites in the supercell."""
        return self.n_cells * len(self.basis)

    @property
    def n_species(self) -> int:
        """Number of species over all sublattices."""
        return len(self.species)

    @cached_property
    def vacancy(self) -> int | None:
        """Index of the vacancy among the species, None where the lattice has none."""
        return vacancy_index(self.species)

    @cached_property
    def cell_offsets(self) -> np.ndarray:
        """Primitive translation of every site, integers, shape (sites, 3)."""
        return np.repeat(self._points, len(self.basis), axis=0)

    @cached_property
    def sublattice(self) -> np.ndarray:
        """Index of the primitive site that every site repeats, shape (sites,)."""
        return np.tile(np.arange(len(self.basis)), self.n_cells)

    @cached_property
    def supercell_vectors(self) -> np.ndarray:
        """Supercell vectors as rows, angstrom, shape (3, 3)."""
        return self.supercell @ self.cell

    @cached_property
    def positions(self) -> np.ndarray:
        """Cartesian positions, angstrom, shape (sites, 3)."""
        return (self.cell_offsets + self.basis[self.sublattice]) @ self.cell

    @cached_property
    def fractional_positions(self) -> np.ndarray:
        """Positions in units of the supercell vectors, in [0, 1), shape (sites, 3)."""
        fractional = self.positions @ np.linalg.inv(self.supercell_vectors)
        return (fractional + 1e-9) % 1.0 - 1e-9

    @cached_property
    def allowed(self) -> torch.Tensor:
        """Which species every site may hold, bool, shape (sites, species)."""
        rows = [[s in site for s in self.species] for site in self.allowed_species]
        return torch.tensor(rows, dtype=torch.bool)[torch.from_numpy(self.sublattice)]

    # -- translations ----------------------------------------------------------------------------

    @cached_property
    def _hermite(self) -> np.ndarray:
        return hermite_form(self.supercell)

    @cached_property
    def _cell_of(self) -> np.ndarray:
        """The cell that each of `cell_numbers` stands for."""
        return np.argsort(cell_numbers(self._points, self._hermite))

    def _cells(self, offsets: np.ndarray) -> np.ndarray:
        return self._cell_of[cell_numbers(offsets, self._hermite)]

    def site_index(self, offsets: np.ndarray, sublattice: np.ndarray | int) -> np.ndarray:
        """Site numbers of primitive cells at integer ``offsets`` (..., 3), folded into the supercell.

        Raises:
            InputError: a sublattice that is not there.
        """
        whole, basis = np.asarray(offsets), np.asarray(sublattice)
        if basis.size and not 0 <= basis.min() <= basis.max() < len(self.basis):
            raise InputError("sublattice", basis.tolist(), f"sublattices run from 0 to {len(self.basis) - 1}")
        cells = self._cells(whole if whole.dtype.kind == "i" else np.rint(whole).astype(int))
        return cells * len(self.basis) + np.broadcast_to(basis, cells.shape)

    @cached_property
    def translations(self) -> torch.Tensor:
        """Row t maps every site to its image under lattice vector t, shape (cells, sites).

        Raises:
            InputError: a supercell whose table would not fit into memory.
        """
        check_memory("supercell", self.supercell.tolist(), 64 * self.n_cells * self.n_sites, "take a smaller supercell")
        cells = self._cells(self._points[:, None, :] + self._points[None, :, :])
        sites = cells[:, :, None] * len(self.basis) + np.arange(len(self.basis))
        return torch.from_numpy(sites.reshape(self.n_cells, self.n_sites))

    # -- validation and identity -----------------------------------------------------------------

    def check_occupations(self, occupations: Any, *, allow_unknown: bool = False, argument: str = "occupations") -> torch.Tensor:
        """Occupations as an int64 tensor (batch, sites).

        Raises:
            InputError: wrong number of sites, an index out of range, or a species that its site may not hold.
        """
        tensor = species_indices(occupations, argument, self.species)
        tensor = tensor[None] if tensor.ndim == 1 else tensor
        if tensor.ndim != 2 or tensor.shape[1] != self.n_sites:
            raise InputError(argument, tuple(tensor.shape), f"the last axis must have the {self.n_sites} sites of this supercell")
        check_range(tensor, self.species, UNKNOWN if allow_unknown else 0, argument)
        if not self._holds_all:
            check_sites(tensor, self, argument)
        return tensor

    @cached_property
    def _holds_all(self) -> bool:
        """Whether every site may hold every species."""
        return bool(self.allowed.all())

    def species_index(self, symbol: str, argument: str = "species") -> int:
        """Index of a species; `InputError` if the lattice does not have it."""
        return self.species.index(one_of(argument, symbol, self.species, "the species of this lattice are "))

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` turns back into the same lattice."""
        return {
            "cell": self.cell.tolist(),
            "basis": self.basis.tolist(),
            "allowed_species": [list(s) for s in self.allowed_species],
            "supercell": self.supercell.tolist(),
            "species": list(self.species),
            "pbc": list(self.pbc),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Lattice:
        """The lattice that `to_dict` described."""
        try:
            facts = [data[name] for name in ("cell", "basis", "allowed_species", "supercell", "species", "pbc")]
            cell, basis, allowed, supercell, species, pbc = facts
            return cls(cell, basis, tuple(tuple(s) for s in allowed), supercell, tuple(species), tuple(pbc))
        except (KeyError, TypeError, IndexError):
            raise InputError("lattice", data, "give what to_dict gave") from None

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of everything that defines the lattice (geometry to 1e-6)."""
        data = self.to_dict()
        data["cell"], data["basis"] = ((np.round(a, 6) + 0.0).tolist() for a in (self.cell, self.basis))
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Lattice({self.n_sites} sites, species {'/'.join(self.species)}, supercell {self.supercell.tolist()})"


def __getattr__(name: str) -> Any:
    """`square`, `cubic` and `chain` were here; the names go with the next release."""
    if name not in ("square", "cubic", "chain"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from arlattice import simple_lattices

    warnings.warn(f"arlattice.lattice.{name} is now arlattice.{name}", DeprecationWarning, stacklevel=2)
    return getattr(simple_lattices, name)
