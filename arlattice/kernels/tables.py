"""`Tables`: what compiled loops read of a Hamiltonian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arlattice.kernels.cluster_sets import absorbed
from arlattice.kernels.site_table import Merged, SiteTable, site_table
from arlattice.kernels.translations import Translations

__all__ = ["Tables"]


@dataclass(frozen=True)
class Tables:
    """The same clusters, listed for three questions. All float64; a backend keeps them in its precision.

    Attributes:
        listed: every cluster at every of its sites: what a site completes.
        sites: energies of a site relative to those of its first species, by fewer clusters: flips, swaps and sweeps.
        anchored: each cluster once: the energy is `constant` and the sum over the sites, each at its own species.
        constant: energy of the whole supercell that no cluster carries, (members,).
        allowed: which species each site may hold, (sites, species) bool.
    """

    listed: SiteTable
    sites: SiteTable
    anchored: SiteTable
    constant: np.ndarray
    allowed: np.ndarray

    @classmethod
    def of(cls, merged: Merged, translations: Translations, constant: np.ndarray) -> Tables:
        """List clusters (`arlattice.kernels.cluster_sets.one_cell`)."""
        fewer = absorbed(merged, translations)
        return cls(
            site_table(merged, translations),
            site_table(fewer, translations, relative=True),
            site_table(fewer, translations, first_only=True),
            constant,
            translations.lattice.allowed.numpy(),
        )
