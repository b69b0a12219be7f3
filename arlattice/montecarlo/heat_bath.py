"""Heat bath (Glauber, Gibbs sampling): a site takes each species with its conditional Boltzmann probability.

    P(x_i = s | rest) ~ exp(-beta (E(x with x_i = s) - mu_s))

One sweep visits every site once in a random order shared by all chains, each chain with its own state.
Semi-grand-canonical only. Source: R. J. Glauber, J. Math. Phys. 4, 294 (1963).
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.montecarlo.compiled import SiteMove
from arlattice.montecarlo.moves import UNCONSTRAINED, for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["HeatBath", "heat_bath_sweep", "site_probabilities", "visit"]


@for_ensembles(UNCONSTRAINED)
class HeatBath(SiteMove):
    """The move ``heat-bath``: every site once."""

    rule = "heat-bath"

    def numbers(self, stream: Stream, sites: int) -> tuple[tuple[Stream, int], tuple[Stream, int]]:
        """See `SiteMove.numbers`."""
        return (stream["sweep"], sites), (stream["scan"], sites)

    def sweep(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `CompiledMove.sweep`."""
        chains, sites = x.shape
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "allowed": self.allowed}
        inputs |= {"noise": stream["sweep"].uniform(sites, chains), "scan": stream["scan"].permutation(sites)}
        return heat_bath_sweep(self.hamiltonian, inputs)[0]


def heat_bath_sweep(hamiltonian: Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    """One sweep.

    Args:
        hamiltonian: its tables on the device of the inputs.
        inputs: ``occupations`` (chains, sites), ``beta`` (chains,), ``mu`` (chains, species), ``scan`` (sites,) the
            order of visits, ``noise`` (sites, chains) uniform in [0, 1), ``allowed`` (sites, species).

    Returns:
        New occupations (chains, sites), in a tuple.
    """
    x, scan, hamiltonian = inputs["occupations"], inputs["scan"], hamiltonian.unchecked()
    for i in range(len(scan)):
        x = visit(hamiltonian, x, scan[i : i + 1], inputs["beta"], inputs["mu"], inputs["allowed"], inputs["noise"][i])
    return (x,)


def visit(hamiltonian: Hamiltonian, x: Tensor, site: Tensor, beta: Tensor, mu: Tensor, allowed: Tensor, noise: Tensor) -> Tensor:
    """Draw one site, ``site`` (1,), of every chain anew. Returns new occupations (chains, sites)."""
    logits = -beta[:, None] * (hamiltonian.site_energies(x, site) - mu)
    total = logits.masked_fill(~allowed[site], -torch.inf).double().softmax(-1).cumsum(-1)
    species = (total[:, :-1] <= noise[:, None] * total[:, -1:]).sum(-1)
    return torch.where(torch.arange(x.shape[1], device=x.device) == site, species[:, None], x)


def site_probabilities(hamiltonian: Hamiltonian, occupations: Tensor, state: Conditions, allowed: Tensor) -> Tensor:
    """P(x_i = s | all other sites) at every site, in states that forbid nothing.

    Args:
        hamiltonian: on the device of all.
        occupations: (batch, sites).
        state: one row a configuration.
        allowed: which species every site may hold, (sites, species).

    Returns:
        (batch, sites, species), float64.
    """
    logits = -state.beta[:, None, None] * (hamiltonian.flip_differences(occupations) - state.mu[:, None])
    return logits.masked_fill(~allowed, -torch.inf).double().softmax(-1)
