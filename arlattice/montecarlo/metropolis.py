"""Metropolis: a random site of every chain is offered another of its species.

    P(accept) = min(1, exp(-beta (E(x') - E(x) - mu_new + mu_old)))

The offer is uniform over the species that the site may hold and does not: as likely on the way back. One sweep makes as
many offers as there are sites, each chain at its own random sites: visits in a fixed order would not be ergodic at
infinite temperature, where every offer is taken. Semi-grand-canonical only. Not done: rejection-free (n-fold way) moves.
Source: N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953).
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.montecarlo.compiled import SiteMove
from arlattice.montecarlo.moves import UNCONSTRAINED, for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["Metropolis", "metropolis_step", "metropolis_sweep", "offer"]


@for_ensembles(UNCONSTRAINED)
class Metropolis(SiteMove):
    """The move ``metropolis``: as many offers as there are sites, at random sites."""

    rule = "metropolis"

    def numbers(self, stream: Stream, sites: int) -> tuple[tuple[Stream, int], tuple[Stream, int]]:
        """See `SiteMove.numbers`."""
        return (stream["sweep"], sites), (stream["sweep"]["site"], sites)

    def sweep(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `CompiledMove.sweep`."""
        (chains, sites), own = x.shape, stream["sweep"]
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "allowed": self.allowed}
        inputs |= {"scan": own["site"].integers(sites, sites, chains), "noise": own.uniform(sites, chains)}
        return metropolis_sweep(self.hamiltonian, inputs)[0]


def metropolis_sweep(hamiltonian: Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    """One sweep.

    Args:
        hamiltonian: its tables on the device of the inputs.
        inputs: ``occupations`` (chains, sites), ``beta`` (chains,), ``mu`` (chains, species), ``scan`` (steps, chains)
            sites, ``noise`` (steps, chains) uniform in [0, 1), ``allowed`` (sites, species).

    Returns:
        New occupations (chains, sites), in a tuple.
    """
    x, hamiltonian = inputs["occupations"], hamiltonian.unchecked()
    for site, noise in zip(inputs["scan"], inputs["noise"], strict=True):
        x = metropolis_step(hamiltonian, x, site, inputs["beta"], inputs["mu"], inputs["allowed"], noise)
    return (x,)


def metropolis_step(hamiltonian: Hamiltonian, x: Tensor, site: Tensor, beta: Tensor, mu: Tensor, allowed: Tensor, noise: Tensor) -> Tensor:
    """Offer one site of every chain, ``site`` (chains,), another species. Returns new occupations (chains, sites)."""
    old = x.gather(1, site[:, None])
    new, rest = offer(allowed[site], old[:, 0], noise)
    cost = beta[:, None] * (hamiltonian.site_energies(x, site) - mu)
    accept = rest < torch.exp(cost.gather(1, old) - cost.gather(1, new[:, None])).double()[:, 0]
    return torch.where(accept[:, None], x.scatter(1, site[:, None], new[:, None]), x)


def offer(allowed: Tensor, old: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Another species, uniformly, and what is left of the noise.

    Args:
        allowed: what each chain may choose from, (chains, species).
        old: what it holds, (chains,).
        noise: uniform in [0, 1), (chains,), float64.

    Returns:
        Species (chains,), and uniform numbers in [0, 1) independent of them, (chains,): infinite where there is no choice.
    """
    others = allowed.scatter(1, old[:, None], False)
    n = others.sum(1)
    scaled = noise * n
    pick = torch.minimum(scaled.long(), n - 1)
    species = (others.cumsum(1) <= pick[:, None]).sum(1)
    return torch.where(n > 0, species, old), torch.where(n > 0, scaled - pick, torch.inf)
