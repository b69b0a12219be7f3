"""Sweeps of a move as compiled loops, where the Hamiltonian has them.

A move says which random numbers it takes; the loops make the same ones. So a chain is the same with them as without, but for
differences that round an energy the other way.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.kernels.numbers import Numbers
from arlattice.random_numbers import Stream

__all__ = ["Compiled", "compiled"]


class Compiled(Protocol):
    """Kernels that sweep."""

    def sweep(self, rule: str, x: Tensor, beta: Tensor, mu: Tensor, numbers: Numbers, sweeps: int) -> Tensor:
        """New occupations (chains, sites) after ``sweeps`` sweeps of ``heat-bath``, ``metropolis`` or ``swap``."""


def compiled(hamiltonian: Hamiltonian) -> Compiled | None:
    """The kernels of a Hamiltonian that sweep, or None."""
    kernels = hamiltonian.compiled if isinstance(hamiltonian, ClusterHamiltonian) else None
    return kernels if hasattr(kernels, "sweep") else None  # type: ignore[return-value]


def sweep(
    kernels: Compiled,
    rule: str,
    x: Tensor,
    state: Conditions,
    noise: tuple[Stream, int],
    places: tuple[Stream, int],
    sweeps: int,
    order: Tensor | None = None,
) -> Tensor:
    """Sweeps with random numbers of two streams, so many of each a sweep; an order that is given was taken from the second already."""
    place = places[0].take(0 if order is not None else sweeps * places[1])
    numbers = Numbers(noise[0].seed, (noise[0].take(sweeps * noise[1]), place), places=order)
    return kernels.sweep(rule, x, state.beta, state.mu, numbers, sweeps)
