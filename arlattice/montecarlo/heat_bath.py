"""Heat bath (Glauber, Gibbs sampling): a site takes each species with its conditional Boltzmann probability.

    P(x_i = s | rest) ~ exp(-beta (E(x with x_i = s) - mu_s))

One sweep visits every site once in a random order shared by all chains, each chain with its own state.
Semi-grand-canonical only. Source: R. J. Glauber, J. Math. Phys. 4, 294 (1963).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.cuda_graph import Graphs
from arlattice.hamiltonians import Hamiltonian
from arlattice.montecarlo.moves import UNCONSTRAINED, for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["HeatBath", "fused_heat_bath_sweep", "heat_bath_sweep", "visit"]


@for_ensembles(UNCONSTRAINED)
class HeatBath:
    """The move ``heat-bath``: every site once. On a GPU the sweep is recorded once and replayed.

    Args:
        hamiltonian: on the device and in the precision of the chains.
    """

    def __init__(self, hamiltonian: Hamiltonian) -> None:
        self.hamiltonian, self.allowed = hamiltonian.unchecked(), hamiltonian.lattice.allowed.to(hamiltonian.device)
        self.compiled = False
        self._graphs = Graphs()

    def compile(self) -> None:
        """Compile the step, before the first sweep."""
        self.compiled = True

    def __call__(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `arlattice.montecarlo.moves.Sweep`."""
        chains, sites = x.shape
        noise, scan = stream["sweep"].uniform(sites, chains), stream["scan"].permutation(sites)
        inputs = {"occupations": x, "beta": state.beta, "noise": noise, "allowed": self.allowed, "mu": state.mu, "scan": scan}
        sweep = fused_heat_bath_sweep if self.compiled else heat_bath_sweep
        new: Tensor = self._graphs(partial(sweep, self.hamiltonian), inputs)[0]
        return new


def heat_bath_sweep(hamiltonian: Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    """One sweep.

    Args:
        hamiltonian: its tables on the device of the inputs.
        inputs: ``occupations`` (chains, sites), ``beta`` (chains,), ``mu`` (chains, species), ``scan`` (sites,) the
            order of visits, ``noise`` (sites, chains) uniform in [0, 1), ``allowed`` (sites, species).

    Returns:
        New occupations (chains, sites), in a tuple.
    """
    return _sweep(visit, hamiltonian, inputs)


def fused_heat_bath_sweep(hamiltonian: Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    """`heat_bath_sweep` with its step compiled by torch.compile; worth it on a GPU."""
    return _sweep(_fused_visit(), hamiltonian, inputs)


def visit(hamiltonian: Hamiltonian, x: Tensor, site: Tensor, beta: Tensor, mu: Tensor, allowed: Tensor, noise: Tensor) -> Tensor:
    """Draw one site, ``site`` (1,), of every chain anew. Returns new occupations (chains, sites)."""
    logits = -beta[:, None] * (hamiltonian.site_energies(x, site) - mu)
    total = logits.masked_fill(~allowed[site], -torch.inf).double().softmax(-1).cumsum(-1)
    species = (total[:, :-1] <= noise[:, None] * total[:, -1:]).sum(-1)
    return torch.where(torch.arange(x.shape[1], device=x.device) == site, species[:, None], x)


@lru_cache
def _fused_visit() -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(visit, dynamic=False)
    return compiled


def _sweep(step: Callable[..., Tensor], hamiltonian: Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    x, scan, hamiltonian = inputs["occupations"], inputs["scan"], hamiltonian.unchecked()
    for i in range(len(scan)):
        x = step(hamiltonian, x, scan[i : i + 1], inputs["beta"], inputs["mu"], inputs["allowed"], inputs["noise"][i])
    return (x,)
