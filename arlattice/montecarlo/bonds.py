"""Ferromagnetic bonds of a Hamiltonian, and the clusters they make: what Swendsen-Wang and Wolff have in common.

With E(x) = sum_i v_i(x_i) - sum_(ij) J_ij delta(x_i, x_j) + constant and J_ij >= 0, a bond between equal neighbours is
active with probability

    p_ij = 1 - exp(-beta J_ij)

and given the active bonds, the sites of a cluster take species s together with probability ~ exp(-beta sum_i (v_i(s) - mu_s)),
independently of the other clusters. Fields, chemical potentials and sublattices enter only there.
Source: R. G. Edwards and A. D. Sokal, Phys. Rev. D 38, 2009 (1988). The Ising coupling of this form is 2 J.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.kernels.choose import numba_is_there
from arlattice.montecarlo.compiled import CompiledMove

if TYPE_CHECKING:
    from arlattice.kernels.bonds import BondKernels

__all__ = ["Bonds", "ClusterMove"]

_TOLERANCE = 1e-10  # relative: of equal entries of a pair table


@dataclass(frozen=True)
class Bonds:
    """Pairs of sites that favour equal species.

    Attributes:
        pairs: sites, (bonds, 2).
        coupling: energy gained by equal species, >= 0, (bonds,), float64.
        fields: energy of each species on its own, (sites, species), float64; infinite where it may not be.
    """

    pairs: Tensor
    coupling: Tensor
    fields: Tensor

    @classmethod
    def of(cls, hamiltonian: Hamiltonian) -> Bonds:
        """Read from the tables of a Hamiltonian, on its device.

        Raises:
            InputError: not a `ClusterHamiltonian` of pairs and sites, or a pair that is not ferromagnetic: its table must be a
                constant, less the coupling on the diagonal.
        """
        if not isinstance(hamiltonian, ClusterHamiltonian) or max(hamiltonian.n_clusters, default=0) > 2:
            raise InputError("hamiltonian", hamiltonian.name, "cluster moves need a ClusterHamiltonian of pairs and single sites")
        tensors, _ = hamiltonian.to_tensors()
        fields = torch.zeros(hamiltonian.lattice.n_sites, hamiltonian.lattice.n_species, dtype=torch.float64)
        if 1 in hamiltonian.n_clusters:
            fields[tensors["clusters.1.sites"][:, 0]] = tensors["clusters.1.energies"][tensors["clusters.1.table"]]
        fields = fields.masked_fill(~hamiltonian.lattice.allowed, torch.inf)
        pairs, coupling = torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.float64)
        if 2 in hamiltonian.n_clusters:
            strengths = _couplings(tensors["clusters.2.energies"], hamiltonian.name)
            pairs, coupling = tensors["clusters.2.sites"], strengths[tensors["clusters.2.table"]]
        return cls(pairs.to(hamiltonian.device), coupling.to(hamiltonian.device), fields.to(hamiltonian.device))

    def kernels(self) -> BondKernels | None:
        """Compiled loops over these bonds, or None where there are none."""
        if self.pairs.device.type != "cpu" or not numba_is_there():
            return None
        from arlattice.kernels.bonds import BondKernels

        return BondKernels(self.pairs, self.coupling, self.fields)

    def activation(self, occupations: Tensor, beta: Tensor) -> Tensor:
        """Probability that each bond is active, (chains, bonds)."""
        equal = occupations[:, self.pairs[:, 0]] == occupations[:, self.pairs[:, 1]]
        return torch.where(equal, -torch.expm1(-beta[:, None] * self.coupling), 0.0)

    def clusters(self, active: Tensor) -> Tensor:
        """Label of the cluster of every site, (chains, sites): its lowest site.

        Args:
            active: active bonds, (chains, bonds).
        """
        a, b = (column.expand(len(active), -1) for column in self.pairs.T)
        labels = torch.arange(len(self.fields), device=active.device).repeat(len(active), 1)
        while True:
            lowest = torch.where(active, torch.minimum(labels.gather(1, a), labels.gather(1, b)), len(self.fields))
            new = labels.scatter_reduce(1, a, lowest, "amin").scatter_reduce(1, b, lowest, "amin")
            new = new.gather(1, new)  # a label is a site of the same cluster: follow it
            if torch.equal(new, labels):
                return labels
            labels = new

    def site_logits(self, beta: Tensor, mu: Tensor) -> Tensor:
        """-beta (v_i(s) - mu_s), (chains, sites, species)."""
        return -beta[:, None, None] * (self.fields - mu[:, None, :])


class ClusterMove(CompiledMove):
    """A move of clusters of active bonds.

    Args:
        hamiltonian: of ferromagnetic pairs, on the device of the chains.

    Raises:
        InputError: as `Bonds.of`.
    """

    def __init__(self, hamiltonian: Hamiltonian) -> None:
        self.bonds = Bonds.of(hamiltonian)
        self.kernels = self.bonds.kernels()


def _couplings(tables: Tensor, name: str) -> Tensor:
    """The coupling of every distinct pair table, (tables,)."""
    same = torch.eye(tables.shape[1], dtype=torch.bool)
    diagonal, rest = tables[:, same], tables[:, ~same]
    scale = _TOLERANCE * tables.abs().amax((1, 2))
    spread = torch.maximum(diagonal.amax(1) - diagonal.amin(1), rest.amax(1) - rest.amin(1))
    coupling = rest.mean(1) - diagonal.mean(1)
    if bool((spread > scale).any() | (coupling < -scale).any()):
        raise InputError(
            "hamiltonian", name, "cluster moves need ferromagnetic pairs: one energy for equal species, a higher one for others"
        )
    return coupling.clamp(min=0)
