"""Swaps at fixed composition: two sites exchange their species with Metropolis probability.

    P(accept) = min(1, exp(-beta (E(x') - E(x))))

One sweep proposes as many random pairs as there are sites. A swap that would put a species on a site that
may not hold it is refused, and its energy is not asked for. Source: K. Kawasaki, Phys. Rev. 145, 224 (1966), here between any two sites.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.montecarlo.compiled import SiteMove
from arlattice.montecarlo.moves import for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["Swap", "swap_sweep"]


@for_ensembles("canonical")
class Swap(SiteMove):
    """The move ``swap``: as many pairs as there are sites."""

    rule = "swap"

    def numbers(self, stream: Stream, sites: int) -> tuple[tuple[Stream, int], tuple[Stream, int]]:
        """See `SiteMove.numbers`."""
        return (stream["sweep"], sites), (stream["pair"], 2 * sites)

    def sweep(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """See `CompiledMove.sweep`."""
        chains, sites = x.shape
        inputs = {"occupations": x, "beta": state.beta, "allowed": self.allowed, "noise": stream["sweep"].uniform(sites, chains)}
        inputs |= {"pairs": stream["pair"].integers(sites, 2 * sites, chains).view(sites, 2, chains)}
        return swap_sweep(self.hamiltonian, inputs)[0]


def swap_sweep(hamiltonian: Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    """One sweep.

    Args:
        hamiltonian: its tables on the device of the inputs.
        inputs: ``occupations`` (chains, sites), ``beta`` (chains,), ``pairs`` (steps, 2, chains) sites, ``noise``
            (steps, chains) uniform in [0, 1), ``allowed`` (sites, species).

    Returns:
        New occupations (chains, sites), in a tuple.
    """
    x, beta, allowed, hamiltonian = inputs["occupations"], inputs["beta"], inputs["allowed"], hamiltonian.unchecked()
    for (a, b), noise in zip(inputs["pairs"], inputs["noise"], strict=True):
        first, second = x.gather(1, a[:, None]), x.gather(1, b[:, None])
        fits = (allowed[a[:, None], second] & allowed[b[:, None], first])[:, 0] & (a != b)
        difference = hamiltonian.swap_differences(x, a, torch.where(fits, b, a))  # a site with itself, where refused
        accept = fits & (noise < torch.exp(-beta * difference).double())
        swapped = x.scatter(1, a[:, None], second).scatter(1, b[:, None], first)
        x = torch.where(accept[:, None], swapped, x)
    return (x,)
