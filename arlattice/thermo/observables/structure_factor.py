"""Structure factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from arlattice.errors import InputError
from arlattice.hooks.options import Options
from arlattice.lattice import Lattice
from arlattice.symmetry import Symmetry
from arlattice.thermo.observables.values import Values

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["StructureFactorOptions", "commensurate_wavevectors", "structure_factor"]


class StructureFactorOptions(Options):
    """Options of `structure_factor`."""

    wavevectors: tuple[tuple[float, float, float], ...] | None = Field(
        None, min_length=1, description="in units of the reciprocal vectors of the primitive cell; by default all that fit"
    )
    scattering: dict[str, float] | None = Field(None, description="scattering length of each species; for two species -1 and +1")


def structure_factor(samples: SampleSet, options: StructureFactorOptions) -> Values:
    """abs(sum_j b_j exp(2 pi i k.r_j))^2 / sites for each wavevector, b the scattering length of the species on site j.

    Results are named by their wavevector, ``"0.5 0.5 0"``. Wavevectors that differ by a reciprocal lattice vector count
    as one where the primitive cell has one site. Positions are idealised (`arlattice.symmetry`): coordinates that were
    rounded in a file leave no intensity where symmetry allows none.

    Raises:
        InputError: a wavevector that does not fit the supercell, or no scattering lengths for three or more species.
    """
    lattice = samples.lattice
    wavevectors = commensurate_wavevectors(lattice) if options.wavevectors is None else _checked(lattice, options.wavevectors)
    amplitude = _scattering(lattice, options)[samples.occupations]  # (n, sites)
    phase = (
        2 * np.pi * (lattice.cell_offsets + Symmetry.of(lattice).lattice.basis[lattice.sublattice]) @ wavevectors.T
    )  # (sites, wavevectors)
    real, imaginary = (amplitude @ torch.from_numpy(wave(phase)) for wave in (np.cos, np.sin))
    names = tuple(" ".join(f"{round(k, 6) + 0.0:g}" for k in row) for row in wavevectors.tolist())
    return Values((real.square() + imaginary.square()) / lattice.n_sites, names, dimension="wavevector")


def commensurate_wavevectors(lattice: Lattice) -> np.ndarray:
    """The wavevectors that fit the supercell, one for each of its cells, in units of the reciprocal vectors, (cells, 3)."""
    from ase.build.supercells import lattice_points_in_supercell

    return np.asarray(lattice_points_in_supercell(lattice.supercell.T))


def _checked(lattice: Lattice, wavevectors: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    array = np.array(wavevectors)
    turns = array @ lattice.supercell.T
    fits = np.isclose(turns, np.rint(turns), atol=1e-6).all(1)
    if not fits.all():
        cure = f"does not fit the supercell {lattice.supercell.tolist()}: its product with each row must be a whole number"
        raise InputError("wavevectors", wavevectors[int(np.argmin(fits))], cure)
    return array


def _scattering(lattice: Lattice, options: StructureFactorOptions) -> Tensor:
    given = options.scattering
    if given is None and lattice.n_species == 2:
        return torch.tensor([-1.0, 1.0], dtype=torch.float64)
    if given is None or set(given) != set(lattice.species):
        raise InputError("scattering", given, f"give a scattering length for each of {', '.join(lattice.species)}")
    return torch.tensor([given[species] for species in lattice.species], dtype=torch.float64)
