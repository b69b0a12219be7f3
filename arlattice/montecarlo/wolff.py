"""Wolff: the cluster of a random site turns to another species.

The cluster is that of Swendsen-Wang (`arlattice.montecarlo.bonds`). The new species is uniform over the others and is taken with
probability

    min(1, exp(-beta sum_(i in cluster) (v_i(new) - mu_new - v_i(old) + mu_old)))

which is 1 without fields. One step turns one cluster: a few sites at high temperature, most of them at low. Ferromagnetic
pairs only. Compiled loops grow the cluster alone; elsewhere all clusters of the batch are labelled at once.
Source: U. Wolff, Phys. Rev. Lett. 62, 361 (1989).
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.montecarlo.bonds import Bonds, ClusterMove
from arlattice.montecarlo.metropolis import offer
from arlattice.montecarlo.moves import UNCONSTRAINED, for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["Wolff", "acceptance", "wolff_step"]


@for_ensembles(UNCONSTRAINED)
class Wolff(ClusterMove):
    """The move ``wolff``: one cluster."""

    def sweep(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `CompiledMove.sweep`."""
        (chains, sites), own = x.shape, stream["sweep"]
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "noise": own.uniform(1, chains)[0]}
        inputs |= {"site": own["site"].integers(sites, 1, chains)[0]}
        return wolff_step(self.bonds, inputs | {"bond_noise": own["bond"].uniform(len(self.bonds.pairs), chains).T})

    def loops(self, x: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """See `CompiledMove.loops`."""
        own = stream["sweep"]
        numbers = own.take(sweeps), own["site"].take(sweeps), own["bond"].take(sweeps * len(self.bonds.pairs))
        new: Tensor = self.kernels.wolff(x, state.beta, state.mu, own.seed, numbers, sweeps)
        return new


def wolff_step(bonds: Bonds, inputs: dict[str, Tensor]) -> Tensor:
    """Turn one cluster of every chain.

    Args:
        bonds: on the device of the inputs.
        inputs: ``occupations`` (chains, sites), ``beta`` (chains,), ``mu`` (chains, species), ``site`` (chains,) where the
            clusters start, ``bond_noise`` (chains, bonds) and ``noise`` (chains,) uniform in [0, 1).

    Returns:
        New occupations (chains, sites).
    """
    x, site = inputs["occupations"], inputs["site"][:, None]
    labels = bonds.clusters(inputs["bond_noise"] < bonds.activation(x, inputs["beta"]))
    cluster = labels == labels.gather(1, site)
    old, mu = x.gather(1, site)[:, 0], inputs["mu"]
    new, rest = offer(torch.ones_like(mu, dtype=torch.bool), old, inputs["noise"])
    accept = rest < acceptance(bonds.site_logits(inputs["beta"], mu), cluster, old, new)
    return torch.where(cluster & accept[:, None], new[:, None], x)


def acceptance(site_logits: Tensor, cluster: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Probability of turning ``cluster`` (chains, sites) from species ``old`` to ``new`` (chains,), if offered, (chains,)."""

    def total(species: Tensor) -> Tensor:
        of_species = site_logits.gather(2, species[:, None, None].expand(-1, site_logits.shape[1], 1))[..., 0]
        return torch.where(cluster, of_species, 0.0).sum(1)

    return torch.exp(total(new) - total(old)).clamp(max=1)
