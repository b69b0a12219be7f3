"""`Tables`: what compiled loops read of a Hamiltonian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arlattice.kernels.cluster_sets import absorbed
from arlattice.kernels.count_table import CountTable, count_table
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
        terms: tables of the terms whose sums the members are, see `sums`; None: the members are not sums.
        factors: of the terms in every member, (members, terms).
    """

    listed: SiteTable
    sites: SiteTable
    anchored: SiteTable
    constant: np.ndarray
    allowed: np.ndarray
    terms: Tables | None = None
    factors: np.ndarray | None = None

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

    def sums(self, factors: np.ndarray) -> Tables:
        """Tables of members that are sums of these, with factors (members, these); what is equal in all of these stays shared."""
        listed, sites, anchored = (t._replace(rows=_mixed(factors, t.rows)) for t in (self.listed, self.sites, self.anchored))
        return Tables(listed, sites, anchored, factors @ self.constant, self.allowed, self, factors)

    def counts(self, *, energies: bool = False) -> CountTable | None:
        """`arlattice.kernels.count_table.count_table` of `sites`, or of `anchored` for energies."""
        source = self if self.terms is None else self.terms
        table = count_table(source.anchored if energies else source.sites, source.allowed, energies=energies)
        if table is None or self.factors is None:
            return table
        return table._replace(weights=_mixed(self.factors, table.weights))


def _mixed(factors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums over the first axis of values (terms, ...) for every member."""
    return np.ascontiguousarray(np.tensordot(factors, values, 1))
