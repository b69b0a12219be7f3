"""The published CuAu cluster expansion on FCC: 11 terms up to four-body clusters.

Sources: J. Damewood, D. Schwalbe-Koda, R. Gomez-Bombarelli, npj Computational Materials 8, 61 (2022);
the coefficients as distributed with the code of MetaDNS (github.com/xiaochendu/metadns, MIT licence,
commit ae46941). Basis Cu = -1, Au = +1; eV per site, multiplicities included. Supercells count primitive FCC cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import arlattice as arl
from arlattice_icet.compile import compile_expansion, require_icet
from arlattice_icet.options import CuAuOptions

if TYPE_CHECKING:
    from icet import ClusterExpansion

__all__ = ["COEFFICIENTS", "LATTICE_CONSTANT", "PURE_ENERGIES", "build", "expansion"]

LATTICE_CONSTANT = 3.8
"""Angstrom, of the conventional cubic cell."""

COEFFICIENTS = {
    "c0": 0.006100279787831659,
    "c1_0": -0.0031900811734577247,
    "c2_d0000_0_00": 0.017232296461428938,
    "c2_d0001_0_00": -0.016839573363374966,
    "c2_d0002_0_00": -0.005192441582986464,
    "c2_d0003_0_00": -0.00042240992321274096,
    "c3_d0000_0_000": -0.00770642159861723,
    "c3_d0001_0_000": 0.008232628244981447,
    "c4_d0000_0_0000": -0.0003380467088204115,
    "c4_d0002_0_0000": 0.015097011177476766,
    "c4_d0001_0_0000": -0.015681090820390833,
}
"""Effective cluster interactions, eV per site, by CLEASE's names and in icet's order: icet lists the last two the other way round."""

PURE_ENERGIES = {
    "Cu": sum(value * (-1) ** int(name[1]) for name, value in COEFFICIENTS.items()),
    "Au": sum(COEFFICIENTS.values()),
}
"""Energy of pure Cu and pure Au, eV per site: every correlation is (-1)^order, or 1."""


def expansion() -> ClusterExpansion:
    """The expansion as an icet `ClusterExpansion`."""
    require_icet()
    from ase.build import bulk
    from icet import ClusterExpansion, ClusterSpace

    space = ClusterSpace(bulk("Cu", "fcc", a=LATTICE_CONSTANT), [5.5, 4.2, 4.2], ["Cu", "Au"])
    return ClusterExpansion(space, list(COEFFICIENTS.values()))


def build(options: CuAuOptions) -> arl.ClusterHamiltonian:
    """CuAu on a supercell of the primitive FCC cell; species ``Cu``, ``Au``; energies in eV.

    With ``formation_energies`` the energy of N_Cu atoms in pure Cu and N_Au atoms in pure Au is subtracted;
    chemical potentials then differ: Delta mu of the expansion = Delta mu of formation + (e_Au - e_Cu), -5.3277 meV.
    """
    return compile_expansion(
        expansion(),
        options.supercell,
        name="cuau",
        options=options.model_dump(mode="json"),
        reference_energies=PURE_ENERGIES if options.formation_energies else None,
    )
