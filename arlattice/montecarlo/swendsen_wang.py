"""Swendsen-Wang: all clusters of active bonds are coloured anew, each by a heat bath over its species.

Activation and colours: `arlattice.montecarlo.bonds`. Fields and chemical potentials are exact, but a cluster in a field seldom
turns against it, so the gain is at zero field. Ferromagnetic pairs only. Not done: frustrated couplings, where clusters
percolate too early, and invaded clusters. Source: R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58, 86 (1987).
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.montecarlo.bonds import Bonds, ClusterMove
from arlattice.montecarlo.moves import UNCONSTRAINED, for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["SwendsenWang", "cluster_logits", "swendsen_wang_step"]


@for_ensembles(UNCONSTRAINED)
class SwendsenWang(ClusterMove):
    """The move ``swendsen-wang``: all clusters."""

    def sweep(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `CompiledMove.sweep`."""
        (chains, sites), own = x.shape, stream["sweep"]
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "noise": own.uniform(sites, chains).T}
        return swendsen_wang_step(self.bonds, inputs | {"bond_noise": own["bond"].uniform(len(self.bonds.pairs), chains).T})

    def loops(self, x: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """See `CompiledMove.loops`."""
        own = stream["sweep"]
        numbers = own.take(sweeps * x.shape[1]), own["bond"].take(sweeps * len(self.bonds.pairs))
        new: Tensor = self.kernels.swendsen_wang(x, state.beta, state.mu, own.seed, numbers, sweeps)
        return new


def swendsen_wang_step(bonds: Bonds, inputs: dict[str, Tensor]) -> Tensor:
    """Colour every cluster of every chain anew.

    Args:
        bonds: on the device of the inputs.
        inputs: ``occupations`` (chains, sites), ``beta`` (chains,), ``mu`` (chains, species), ``bond_noise`` (chains, bonds)
            and ``noise`` (chains, sites), uniform in [0, 1): a cluster takes the number of its lowest site.

    Returns:
        New occupations (chains, sites).
    """
    active = inputs["bond_noise"] < bonds.activation(inputs["occupations"], inputs["beta"])
    labels = bonds.clusters(active)
    total = cluster_logits(labels, bonds.site_logits(inputs["beta"], inputs["mu"])).softmax(-1).cumsum(-1)
    species = (total[..., :-1] <= inputs["noise"][..., None] * total[..., -1:]).sum(-1)
    return species.gather(1, labels)


def cluster_logits(labels: Tensor, site_logits: Tensor) -> Tensor:
    """Unnormalised log-probability of every species of a cluster, at its lowest site; zeros elsewhere, (chains, sites, species)."""
    return torch.zeros_like(site_logits).scatter_add(1, labels[..., None].expand_as(site_logits), site_logits)
