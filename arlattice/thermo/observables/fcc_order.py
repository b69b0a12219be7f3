"""L1_0 and L1_2 order on the FCC lattice, from the three <001> concentration waves.

With s = +1 where a site holds species B and -1 where it does not, the wave along a cubic axis e is
psi_e = mean over the sites of s cos(2 pi e.r / a), which is -1 or +1 on every other plane. Ideally

    L1_0 (AB)    one wave is +1 or -1, the others 0: axis and sign are the 6 variants
    L1_2 (A3B)   all three are +1/2 or -1/2, their product positive: 4 variants
    L1_2 (AB3)   the same with a negative product: 4 variants
"""

from __future__ import annotations

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
from arlattice.thermo.observables.values import Values

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["FCCOrderOptions", "cubic_axes", "fcc_phase", "fcc_phase_x", "l1_0", "l1_2"]

_L1_0_VARIANTS = ("x+", "x-", "y+", "y-", "z+", "z-")
_L1_2_VARIANTS = ("A3B +++", "AB3 ++-", "AB3 +-+", "A3B +--", "AB3 -++", "A3B -+-", "A3B --+", "AB3 ---")
_PHASES = {  # sizes of the three waves, largest first, and x_B
    "L1_0": (1.0, 0.0, 0.0, 0.5),
    "A3B": (0.5, 0.5, 0.5, 0.25),
    "AB3": (0.5, 0.5, 0.5, 0.75),
    "disordered": (0.0, 0.0, 0.0, 0.5),
}


class FCCOrderOptions(Options):
    """Options of `l1_0`, `l1_2` and `fcc_phase`."""

    species: str | None = Field(None, description="the species B that orders against all others; by default the last")


def l1_0(samples: SampleSet, options: FCCOrderOptions) -> Values:
    """L1_0 order: the largest of the three waves less the second, 1 when perfect, 0 for perfect L1_2.

    Results: ``total``, and ``x+`` to ``z-``, the share of it in samples of each variant. It is positive in disordered
    samples too, of order 1 / sqrt(sites).

    Raises:
        InputError: not an FCC lattice, or a supercell in which the waves do not fit.
    """
    waves = _waves(samples, options)
    size, axis = waves.abs().sort(1, descending=True)
    order = size[:, 0] - size[:, 1]
    negative = waves.gather(1, axis[:, :1])[:, 0] < 0
    return _by_variant(order, 2 * axis[:, 0] + negative.long(), _L1_0_VARIANTS)


def l1_2(samples: SampleSet, options: FCCOrderOptions) -> Values:
    """L1_2 order: twice the smallest of the three waves, 1 when perfect, 0 for perfect L1_0.

    Results: ``total``, and the share of it in samples of each variant, named by phase and the signs of the waves.

    Raises:
        InputError: as in `l1_0`.
    """
    waves = _waves(samples, options)
    variant = ((waves < 0).long() * torch.tensor([4, 2, 1])).sum(1)
    return _by_variant(2 * waves.abs().amin(1), variant, _L1_2_VARIANTS)


def fcc_phase(samples: SampleSet, options: FCCOrderOptions) -> Values:
    """Share of the samples that are nearest to L1_0, A3B, AB3 or disorder, by the three waves and x_B.

    Raises:
        InputError: as in `l1_0`.
    """
    return Values(_nearest(samples, options), tuple(_PHASES), dimension="phase")


def fcc_phase_x(samples: SampleSet, options: FCCOrderOptions) -> Values:
    """Composition x_B within each of the phases of `fcc_phase`: <x_B in the phase> / <share of the phase>.

    NaN, without a warning, for a phase that no sample is in: its share is 0.

    Raises:
        InputError: as in `l1_0`.
    """
    phase = _nearest(samples, options)

    def ratio(means: Tensor) -> Tensor:
        return means[: len(_PHASES)] / means[len(_PHASES) :]

    columns = torch.cat([phase * _fraction(samples, options), phase], 1)
    return Values(columns, tuple(_PHASES), dimension="phase", of_means=ratio, undefined=None)


def _nearest(samples: SampleSet, options: FCCOrderOptions) -> Tensor:
    """1 for the nearest ideal phase of each sample, (n, phases)."""
    size = _waves(samples, options).abs().sort(1, descending=True).values
    ideal = torch.tensor(list(_PHASES.values()), dtype=torch.float64)
    nearest = torch.cdist(torch.cat([size, _fraction(samples, options)], 1), ideal).argmin(1)
    return one_hot(nearest, len(_PHASES)).double()


def _fraction(samples: SampleSet, options: FCCOrderOptions) -> Tensor:
    """x_B of each sample, (n, 1)."""
    return (samples.occupations == _species(samples.lattice, options)).double().mean(1, keepdim=True)


def _by_variant(order: Tensor, variant: Tensor, names: tuple[str, ...]) -> Values:
    split = one_hot(variant, len(names)) * order[:, None]
    dimension = "l1_0_variant" if names is _L1_0_VARIANTS else "l1_2_variant"
    return Values(torch.cat([order[:, None], split], 1), ("total", *names), dimension=dimension)


def _species(lattice: Lattice, options: FCCOrderOptions) -> int:
    return lattice.n_species - 1 if options.species is None else lattice.species_index(options.species)


def _waves(samples: SampleSet, options: FCCOrderOptions) -> Tensor:
    """Amplitudes of the three waves, (n, 3)."""
    lattice = Symmetry.of(samples.lattice).lattice  # idealised
    axes = cubic_axes(lattice)
    planes = axes.T / (axes[0] @ axes[0])
    turns = lattice.supercell_vectors @ planes
    if not np.allclose(turns, np.rint(turns), atol=1e-4):
        cure = "the <001> waves do not fit this supercell, so neither do L1_0 and L1_2; take even repeats, e.g. (4, 4, 4)"
        raise InputError("supercell", lattice.supercell.tolist(), cure)
    wave = np.cos(2 * np.pi * (lattice.positions - lattice.positions[0]) @ planes)  # (sites, 3)
    spins = 2 * (samples.occupations == _species(lattice, options)).double() - 1
    return spins @ torch.from_numpy(wave) / lattice.n_sites


def cubic_axes(lattice: Lattice) -> np.ndarray:
    """The three cubic axes of an FCC lattice as rows, (3, 3), as long as the cubic cell; however it is oriented.

    Raises:
        InputError: not FCC with one site in the smallest cell; the cell in which it is written may be larger.
    """
    found = Symmetry.of(lattice)
    points = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3) @ found.primitive
    length = np.linalg.norm(points, axis=1)
    nearest = length[length > 1e-9].min()
    second = points[np.isclose(length, nearest * np.sqrt(2), rtol=1e-3)]
    # the only lattice with 12 nearest neighbours is FCC
    if found.sites != 1 or not all(lattice.pbc) or (np.isclose(length, nearest, rtol=1e-3).sum(), len(second)) != (12, 6):
        raise InputError("lattice", repr(lattice), "L1_0 and L1_2 order need an FCC lattice whose sites all hold the same species")
    rows = sorted((tuple(np.round(v, 6) + 0.0) for v in second), reverse=True)
    return np.array(rows[:3])
