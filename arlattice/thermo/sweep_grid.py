"""The grid of a sweep: temperatures and axes of chemical potential."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from arlattice.ensemble import SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.lattice import Lattice

__all__ = ["MOST_STATES", "Axis", "Grid", "Numbers"]

MOST_STATES = 10**6
"""States that a sweep may have; each leaves a file."""

Numbers = float | Sequence[float] | np.ndarray
"""One number or several."""


@dataclass(frozen=True)
class Axis:
    """One dimension of chemical potential.

    Args:
        name: of the dimension.
        values: along it, in the energy units of the Hamiltonian.
        weights: chemical potential of each species per unit of the value.
        long_name: what it is, in words.
    """

    name: str
    values: tuple[float, ...]
    weights: Mapping[str, float]
    long_name: str


@dataclass(frozen=True)
class Grid:
    """Every temperature with every point of the axes, the last axis fastest."""

    temperatures: tuple[float, ...]
    axes: tuple[Axis, ...]

    @classmethod
    def of(
        cls,
        lattice: Lattice,
        temperatures: Numbers,
        delta_mu: Numbers | None = None,
        field: Numbers | None = None,
        chemical_potentials: Mapping[str, Numbers] | None = None,
    ) -> Grid:
        """The grid that the arguments of `arlattice.sweep` describe.

        Raises:
            InputError: nothing to vary over, a value that is not finite or is there twice, two ways to give chemical
                potentials, or species that the lattice does not have.
        """
        given = {"delta_mu": delta_mu, "field": field, "chemical_potentials": chemical_potentials}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise InputError(named[1], given[named[1]], f"give {' or '.join(named)}, not both")
        axes = _species_axes(lattice, {} if chemical_potentials is None else chemical_potentials)
        if delta_mu is not None:
            axes = [_delta_mu_axis(lattice, delta_mu)]
        if field is not None:
            axes = [_field_axis(lattice, field)]
        grid = cls(_numbers("temperatures", temperatures), tuple(axes))
        if math.prod(grid.shape) > MOST_STATES:
            raise InputError(
                "temperatures", f"{math.prod(grid.shape)} states", f"give at most {MOST_STATES} temperatures times chemical potentials"
            )
        return grid

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return ("temperature", *(axis.name for axis in self.axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return (len(self.temperatures), *(len(axis.values) for axis in self.axes))

    def states(self) -> list[SemiGrandCanonical]:
        """The state of every point, the last dimension fastest."""
        return [self._state(point) for point in product(self.temperatures, *(axis.values for axis in self.axes))]

    def _state(self, point: tuple[float, ...]) -> SemiGrandCanonical:
        mu: dict[str, float] = {}
        for axis, value in zip(self.axes, point[1:], strict=True):
            mu |= {species: weight * value for species, weight in axis.weights.items()}
        return SemiGrandCanonical(point[0], mu)


def _species_axes(lattice: Lattice, chemical_potentials: Mapping[str, Numbers]) -> list[Axis]:
    if not isinstance(chemical_potentials, Mapping):
        raise InputError("chemical_potentials", chemical_potentials, "give values by species, e.g. {'Au': [0.0, 0.1]}")
    for species in chemical_potentials:
        lattice.species_index(species, "chemical_potentials")
    return [
        Axis(f"mu_{s}", _numbers(f"chemical_potentials[{s}]", v), {s: 1.0}, f"chemical potential of {s}")
        for s, v in chemical_potentials.items()
    ]


def _delta_mu_axis(lattice: Lattice, values: Numbers) -> Axis:
    first, second = _two_species("delta_mu", lattice)
    return Axis("delta_mu", _numbers("delta_mu", values), {second: 1.0}, f"mu({second}) - mu({first}), with mu({first}) = 0")


def _field_axis(lattice: Lattice, values: Numbers) -> Axis:
    first, second = _two_species("field", lattice)
    return Axis("field", _numbers("field", values), {second: 1.0, first: -1.0}, f"mu({second}) = -mu({first}): h in -h sum(s)")


def _two_species(argument: str, lattice: Lattice) -> tuple[str, str]:
    if lattice.n_species != 2:
        cure = "needs two species; give chemical_potentials by species (--mu SPECIES=VALUES) instead"
        raise InputError(argument, list(lattice.species), cure)
    return lattice.species[0], lattice.species[1]


def _numbers(argument: str, values: Numbers) -> tuple[float, ...]:
    try:
        given = np.atleast_1d(np.asarray(values))
        if given.dtype.kind not in "iuf":  # bools and text too would become numbers
            raise TypeError
        array = given.astype(float)
    except (TypeError, ValueError):
        raise InputError(argument, values, "give a number or a list of numbers") from None
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise InputError(argument, values, "give one finite number, or a list of them")
    if len(np.unique(array)) != len(array):
        raise InputError(argument, values, "give every value once")
    return tuple(array.tolist())
