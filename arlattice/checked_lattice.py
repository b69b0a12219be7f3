"""What a `Lattice` refuses: vectors, species and occupations that cannot be, told in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.arguments import items_of
from arlattice.errors import InputError

if TYPE_CHECKING:
    from arlattice.lattice import Lattice

__all__ = ["check_range", "check_sites", "check_species", "species_indices", "species_per_site", "vectors"]

MOST_SPECIES = 127  # all elements and a vacancy are 119


def vectors(name: str, given: Any) -> np.ndarray:
    """Rows of three finite numbers, (n, 3)."""
    cure = "give rows of three finite numbers, in angstrom" if name == "cell" else "give rows of three finite numbers, one a site"
    try:
        array = np.array(given, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise InputError(name, given, cure) from None
    if array.ndim != 2 or array.shape[1] != 3 or not len(array) or not np.isfinite(array).all():
        raise InputError(name, array.tolist(), cure)
    return array


def species_indices(occupations: Any, argument: str, species: Sequence[str]) -> torch.Tensor:
    """Integer species indices, int64, of any shape."""
    if hasattr(occupations, "get_chemical_symbols"):
        raise InputError(argument, occupations, "is a structure; lattice.occupations_from_ase(structure) gives its occupations")
    try:
        tensor = torch.as_tensor(occupations)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InputError(argument, occupations, f"give integer species indices into {list(species)}") from None
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype == torch.bool:
        raise InputError(argument, str(tensor.dtype), f"give integer species indices into {list(species)}")
    return tensor.long()


def species_per_site(species: Any, n_basis: int) -> tuple[tuple[str, ...], ...]:
    """The species of every primitive site, from one list for all or one list for each."""
    cure = "give a list of symbols, e.g. ['Cu', 'Au']"
    species = items_of("species", species, (str, list, tuple), cure)
    if all(isinstance(s, str) for s in species):
        return (tuple(species),) * n_basis
    if any(isinstance(site, str) for site in species):
        raise InputError("species", species, f"{cure}, or one list for each primitive site")
    per_site = tuple(tuple(site) for site in species)
    if not all(isinstance(s, str) and s for site in per_site for s in site):
        raise InputError("species", species, cure)
    if len(per_site) != n_basis:
        raise InputError("species", species, f"give one list for each of the {n_basis} primitive sites")
    return per_site


def check_species(species: tuple[str, ...], allowed: tuple[tuple[str, ...], ...], n_basis: int) -> None:
    """Whether species, and those of every primitive site, are lists of names, each once."""
    cure = "give symbols, a tuple of them for each primitive site"
    items_of("species", species, str, cure)
    for site in items_of("allowed_species", allowed, (tuple, list), cure):
        items_of("allowed_species", site, str, cure)
    if not species or len(set(species)) != len(species):
        raise InputError("species", species, "give at least one species, each once")
    if len(species) > MOST_SPECIES:
        raise InputError("species", f"{len(species)} names", f"give at most {MOST_SPECIES}: configurations are kept in one byte a site")
    if len(allowed) != n_basis:
        raise InputError("allowed_species", allowed, f"give one tuple for each of the {n_basis} primitive sites")
    for site in allowed:
        if not site or len(set(site)) != len(site) or not set(site) <= set(species):
            raise InputError("allowed_species", site, f"give species out of {species}, each once")


def check_range(tensor: torch.Tensor, species: Sequence[str], low: int, argument: str) -> None:
    """Whether all indices run from ``low`` to the last species; -1 is an unknown site."""
    if not tensor.numel():
        return
    least, most = torch.stack(tensor.aminmax()).tolist()
    if least < low or most >= len(species):
        bad = least if least < low else most
        cure = f"species indices run from {low} to {len(species) - 1} ({', '.join(species)})"
        raise InputError(argument, bad, f"{cure}; here no site may be unknown" if bad == -1 else cure)


def check_sites(tensor: torch.Tensor, lattice: Lattice, argument: str) -> None:
    """Whether every site holds a species that it may hold, or is unknown."""
    site = torch.arange(lattice.n_sites, device=tensor.device).expand_as(tensor)
    fits = lattice.allowed.to(tensor.device)[site, tensor.clamp(min=0)] | (tensor < 0)
    if not bool(fits.all()):
        _, i = (~fits).nonzero()[0].tolist()
        held = lattice.species[int(tensor[~fits][0])]
        raise InputError(argument, held, f"site {i} may hold only {list(lattice.allowed_species[lattice.sublattice[i]])}")
