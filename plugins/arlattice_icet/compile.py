"""An icet cluster expansion on one supercell -> a torch `ClusterHamiltonian` with the same energies.

icet 4.0 gives the energy per site as dot(cluster vector, parameters). The element of the cluster vector
that belongs to an orbit and a multicomponent vector m is

    1/M  sum over clusters c of the orbit, site permutations P   prod_j  phi_{m[P(j)]}(species on site j of c)

with M = clusters * permutations, and phi icet's orthogonal point functions of the sublattice. All
multicomponent vectors and permutations of an orbit fold into one table over its species, which each of
its clusters then carries. mchammer's `ClusterExpansionCalculator` calls energy per site times the number of sites,
vacancies and inactive sites among them, the total; so do we.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

import arlattice as arl

if TYPE_CHECKING:
    from icet import ClusterExpansion, ClusterSpace
    from icet.core.orbit import Orbit

Place = tuple[Sequence[int], int]
"""Offset of a cell, and index of a primitive site."""

__all__ = ["SelfInteractionWarning", "compile_expansion", "require_icet"]

_LARGEST_CELL_TRIED = 12


class SelfInteractionWarning(UserWarning):
    """The supercell is so small that clusters meet their own periodic images."""


def require_icet() -> None:
    """Raise `MissingExtraError` if icet is not installed."""
    if importlib.util.find_spec("icet") is None:
        raise arl.MissingExtraError("icet", "icet")


def compile_expansion(
    expansion: ClusterExpansion,
    supercell: Any,
    *,
    name: str,
    options: Mapping[str, Any],
    reference_energies: Mapping[str, float] | None = None,
) -> arl.ClusterHamiltonian:
    """The expansion's total energies on a supercell of its primitive structure.

    Args:
        expansion: any icet `ClusterExpansion`.
        supercell: as in `Lattice.from_ase`, in units of ``expansion.primitive_structure``.
        name: name of the Hamiltonian.
        options: plain options to record on it.
        reference_energies: energy per atom of each species, eV, to subtract.

    Returns:
        energies in eV for the whole supercell. Species are in the order of the cluster space's
        ``chemical_symbols``.

    Warns:
        SelfInteractionWarning: the supercell self-interacts in icet's sense. Energies still equal icet's.
    """
    space = expansion.get_cluster_space_copy()
    lattice = arl.Lattice.from_ase(space.primitive_structure, [list(site) for site in space.chemical_symbols], supercell)
    if _self_interacting(space, lattice):
        _warn_self_interacting(space, lattice)
    terms = list(_terms(space, lattice, np.asarray(expansion.parameters, dtype=float)))
    if reference_energies:
        site_table = -np.array([reference_energies.get(s, 0.0) for s in lattice.species])
        terms += [([((0, 0, 0), b)], site_table) for b in range(len(lattice.basis))]
    constant = lattice.n_sites * float(expansion.parameters[0])
    return arl.ClusterHamiltonian.from_cell(lattice, terms, constant, units="eV", name=name, options=options)


def _terms(space: ClusterSpace, lattice: arl.Lattice, parameters: np.ndarray) -> Iterator[tuple[list[Place], np.ndarray]]:
    """Terms of one primitive cell. icet repeats its orbits by all translations, clusters that meet their images too."""
    point_functions = [_point_functions(space, lattice, b) for b in range(len(lattice.basis))]
    first = 1  # parameter 0 is the constant
    for orbit in _orbits(space):
        elements = orbit.cluster_vector_elements
        weights = parameters[first : first + len(elements)] * len(lattice.basis)
        first += len(elements)
        if weights.any():
            clusters = _clusters(orbit)
            table = _orbit_table(elements, weights, [point_functions[b] for _, b in clusters[0]])
            yield from ((places, table) for places in clusters)


def _orbits(space: ClusterSpace) -> list[Orbit]:
    return [space.orbit_list.get_orbit(k) for k in range(len(space.orbit_list))]


def _clusters(orbit: Orbit) -> list[list[Place]]:
    """Clusters of an orbit, one of those that primitive translations carry into each other."""
    return [[(site.unitcell_offset.tolist(), site.index) for site in cluster.lattice_sites] for cluster in orbit.clusters]


def _point_functions(space: ClusterSpace, lattice: arl.Lattice, sublattice: int) -> np.ndarray:
    """phi_f(s) for one primitive site, shape (functions, species of the lattice); 0 for species not allowed there."""
    from ase.data import atomic_numbers

    allowed = lattice.allowed_species[sublattice]
    values = np.zeros((len(allowed) - 1, lattice.n_species))
    for symbol in allowed:
        index = space.species_maps[sublattice][atomic_numbers[symbol]]
        for f in range(len(allowed) - 1):
            values[f, lattice.species.index(symbol)] = space.evaluate_cluster_function(len(allowed), f, index)
    return values


def _orbit_table(elements: Sequence[Mapping[str, Any]], weights: np.ndarray, functions: Sequence[np.ndarray]) -> np.ndarray:
    """Energy of one cluster for every species on its k sites, shape (species,) * k."""
    table = np.zeros((functions[0].shape[1],) * len(functions))
    for element, weight in zip(elements, weights, strict=True):
        vector = element["multicomponent_vector"]
        for permutation in element["site_permutations"]:
            factors = [phi[vector[j]] for phi, j in zip(functions, permutation, strict=True)]
            table += weight / element["multiplicity"] * reduce(np.multiply.outer, factors)
    return table


def _self_interacting(space: ClusterSpace, lattice: arl.Lattice) -> bool:
    """Whether clusters meet their own images or each other on the same sites: what icet's `is_supercell_self_interacting` says."""
    clusters = [places for orbit in _orbits(space) for places in _clusters(orbit)]
    nothing = {k: np.zeros((lattice.n_species,) * k) for k in set(map(len, clusters))}
    distinct = arl.ClusterHamiltonian.from_cell(lattice, [(places, nothing[len(places)]) for places in clusters]).n_clusters
    return distinct != {k: n * lattice.n_cells for k, n in Counter(map(len, clusters)).items()}


def _warn_self_interacting(space: ClusterSpace, lattice: arl.Lattice) -> None:
    sizes = range(2, _LARGEST_CELL_TRIED + 1)
    enough = next((n for n in sizes if not _self_interacting(space, lattice.with_supercell(n))), None)
    cure = (
        f"the smallest n x n x n cell that does not is {enough}x{enough}x{enough}"
        if enough
        else "shorter cutoffs or a larger cell would avoid it"
    )
    warnings.warn(
        f"supercell = {lattice.supercell.tolist()}: clusters meet their own periodic images, as in icet on this cell; {cure}",
        SelfInteractionWarning,
        stacklevel=2,
    )
