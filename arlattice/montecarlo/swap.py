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
from arlattice.montecarlo.compiled import compiled, sweep
from arlattice.montecarlo.moves import for_ensembles
from arlattice.random_numbers import Stream

__all__ = ["Swap", "swap_sweep"]


@for_ensembles("canonical")
class Swap:
    """The move ``swap``: as many pairs as there are sites.

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
        noise, pair = stream["sweep"], stream["pair"]
        if (kernels := compiled(self.hamiltonian)) is not None:
            return sweep(kernels, "swap", x, state, (noise, sites), (pair, 2 * sites), sweeps)
        inputs = {"beta": state.beta, "allowed": self.allowed}
        for _ in range(sweeps):
            pairs = pair.integers(sites, 2 * sites, chains).view(sites, 2, chains)
            drawn = {"noise": noise.uniform(sites, chains), "pairs": pairs}
            (x,) = swap_sweep(self.hamiltonian, inputs | drawn | {"occupations": x})
        return x


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
