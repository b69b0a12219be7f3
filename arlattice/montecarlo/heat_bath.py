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
from arlattice.montecarlo.compiled import compiled, sweep
from arlattice.montecarlo.moves import UNCONSTRAINED, for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["HeatBath", "heat_bath_sweep", "visit"]


@for_ensembles(UNCONSTRAINED)
class HeatBath:
    """The move ``heat-bath``: every site once.

    Args:
        hamiltonian: on the device and in the precision of the chains.
    """

    def __init__(self, hamiltonian: Hamiltonian) -> None:
        self.hamiltonian, self.allowed = hamiltonian.unchecked(), hamiltonian.lattice.allowed.to(hamiltonian.device)

    def __call__(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `arlattice.montecarlo.moves.Sweep`."""
        return self.repeat(x, state, stream, 1)

    def repeat(self, x: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """So many sweeps in one go."""
        chains, sites = x.shape
        noise, scan = stream["sweep"], stream["scan"]
        if (kernels := compiled(self.hamiltonian)) is not None:
            return sweep(kernels, "heat-bath", x, state, (noise, sites), (scan, sites), sweeps)
        inputs = {"beta": state.beta, "mu": state.mu, "allowed": self.allowed}
        for _ in range(sweeps):
            drawn = {"noise": noise.uniform(sites, chains), "scan": scan.permutation(sites)}
            (x,) = heat_bath_sweep(self.hamiltonian, inputs | drawn | {"occupations": x})
        return x


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
