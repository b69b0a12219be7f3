"""Warren-Cowley short-range order."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from arlattice.errors import InputError
from arlattice.hooks.options import Options
from arlattice.lattice import Lattice
from arlattice.symmetry import Symmetry
from arlattice.thermo.observables.shells import Shell, neighbour_shells
from arlattice.thermo.observables.values import Values

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["ShortRangeOrderOptions", "short_range_order"]


class ShortRangeOrderOptions(Options):
    """Options of `short_range_order`."""

    shells: int = Field(3, ge=1, description="how many neighbour shells, nearest first")
    pairs: tuple[tuple[str, str], ...] | None = Field(None, description="pairs of species, e.g. [['Cu', 'Au']]; by default all unlike ones")


def short_range_order(samples: SampleSet, options: ShortRangeOrderOptions) -> Values:
    """alpha = 1 - P(A, B) / (x_A x_B) for each pair of species and shell of neighbours.

    P(A, B) is the fraction of neighbours of which the first is A and the second B. Averages are over the ensemble before
    the division, so that 0 is a random alloy of the same mean composition. Sublattices that the symmetry of the empty lattice
    takes onto each other (`arlattice.symmetry`) have one x together: the result does not depend on the cell in which the
    crystal is written, and order between equivalent sublattices (B2, L1_2) counts. x_A x_B is the average over the neighbours,
    each x that of the sublattice it is on. Results are named ``"Cu-Au 1"``: pair, and shell from 1. Pairs that the sublattices
    exclude are left out. NaN, with a warning, where no sample holds one of the species on sublattices of the pair.

    Source: J. M. Cowley, Phys. Rev. 77, 669 (1950), eq. 2.

    Raises:
        InputError: a pair of species that the lattice does not have, or that are never neighbours.
    """
    lattice = samples.lattice
    shells, orbit = neighbour_shells(lattice, options.shells), _orbit(lattice)
    pairs = _pairs(lattice, options)
    wanted = [(k, a, b) for k in range(len(shells)) for a, b in pairs if _possible(lattice, shells[k], a, b)]
    occupied = _composition_by_orbit(samples, orbit)  # (n, orbits, species)
    if not wanted:
        raise InputError("pairs", options.pairs, f"no such neighbours: the species of this lattice are {', '.join(lattice.species)}")
    together = [_fraction(samples.occupations, shells[k], a, b) for k, a, b in wanted]
    mixing = [_mixing(orbit, shell) for shell in shells]

    def alpha(means: Tensor) -> Tensor:
        x = means[len(wanted) :].view(occupied.shape[1:])
        random = torch.stack([x[:, a] @ mixing[k] @ x[:, b] for k, a, b in wanted])
        return 1 - means[: len(wanted)] / random

    names = tuple(f"{lattice.species[a]}-{lattice.species[b]} {k + 1}" for k, a, b in wanted)
    columns = torch.cat([torch.stack(together, 1), occupied.flatten(1)], 1)
    absent = "no sample holds one of the species there"
    return Values(columns, names, dimension="pair", of_means=alpha, undefined=absent)


def _pairs(lattice: Lattice, options: ShortRangeOrderOptions) -> list[tuple[int, int]]:
    if options.pairs is None:
        return list(combinations(range(lattice.n_species), 2))
    return [(lattice.species_index(a, "pairs"), lattice.species_index(b, "pairs")) for a, b in options.pairs]


def _possible(lattice: Lattice, shell: Shell, a: int, b: int) -> bool:
    return bool((lattice.allowed[shell.centre, a] & lattice.allowed[shell.neighbour, b]).any())


def _fraction(occupations: Tensor, shell: Shell, a: int, b: int) -> Tensor:
    """Fraction of the pairs of a shell that are (a, b), (n,)."""
    return ((occupations == a)[:, shell.centre] & (occupations == b)[:, shell.neighbour]).double().mean(1)


def _orbit(lattice: Lattice) -> Tensor:
    """A number for every site, from 0: that of the orbit of its sublattice, (sites,)."""
    _, number = np.unique(Symmetry.of(lattice).orbits, return_inverse=True)
    return torch.from_numpy(number[lattice.sublattice])


def _composition_by_orbit(samples: SampleSet, orbit: Tensor) -> Tensor:
    """Fraction of the sites of each orbit that each species takes, (n, orbits, species)."""
    held = one_hot(samples.occupations, samples.lattice.n_species).double()
    sites = one_hot(orbit).double()
    return torch.einsum("nis,io->nos", held, sites) / sites.sum(0)[:, None]


def _mixing(orbit: Tensor, shell: Shell) -> Tensor:
    """Fraction of the pairs of a shell that join each orbit with each, (orbits, orbits)."""
    n = int(orbit.max()) + 1
    joint = orbit[shell.centre] * n + orbit[shell.neighbour]
    return torch.bincount(joint, minlength=n * n).double().view(n, n) / len(joint)
