"""`FittedClusters`: a black box with the clusters of an expansion that was fitted to it.

Models start their logits from the energies of clusters that a site completes. A black box has no clusters. An expansion fitted to some of
its configurations has, and need not be good: what is drawn is weighed with the energies of the black box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from arlattice.cluster_family import ClusterFamily
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.hamiltonians import Hamiltonian

__all__ = ["FittedClusters"]


class FittedClusters(Hamiltonian):
    """Energies of a black box, completed-cluster energies of an expansion.

    Args:
        black_box: whose energies count.
        expansion: of its sites and species, in its units; it may be called otherwise.
    """

    def __init__(self, black_box: Hamiltonian, expansion: ClusterHamiltonian) -> None:
        super().__init__(black_box.lattice, units=black_box.units, name=black_box.name, options=black_box.options)
        self.black_box, self.expansion = black_box, expansion.unchecked()

    @classmethod
    def fit(cls, black_box: Hamiltonian, terms: Sequence[ClusterHamiltonian], occupations: Tensor) -> FittedClusters:
        """By least squares of energies, with a constant beside the terms; of several solutions the one of smallest couplings.

        Args:
            black_box: to fit.
            terms: expansions, one for each coupling, on sites in the order of the black box's.
            occupations: what to fit to, (n, sites).
        """
        energies = black_box.energy(occupations).double().cpu()
        columns = torch.stack([term.energy(occupations) for term in terms] + [torch.ones(len(occupations), dtype=torch.float64)], 1)
        couplings = torch.linalg.lstsq(columns, energies[:, None], driver="gelsd").solution[:-1, 0]
        return cls(black_box, ClusterFamily.sums(terms, couplings[None].numpy(), [0]).one(0))

    @property
    def device(self) -> torch.device:
        return self.expansion.device

    @property
    def dtype(self) -> torch.dtype:
        return self.expansion.dtype

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> FittedClusters:
        return FittedClusters(self.black_box.to(device, dtype), self.expansion.to(device, dtype))

    def energy(self, occupations: Tensor) -> Tensor:
        return self.black_box.energy(occupations)

    def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
        return self.expansion.completed_energies(occupations, order)

    def completed_site_energies(self, occupations: Tensor, site: Tensor) -> Tensor:
        return self.expansion.completed_site_energies(occupations, site)
