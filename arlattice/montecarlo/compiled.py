"""Sweeps of a move as compiled loops, where the Hamiltonian has them.

A move says which random numbers it takes; the loops make the same ones. So a chain is the same with them as without, but for
differences that round an energy the other way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.kernels.numbers import Numbers
from arlattice.random_numbers import Stream
from arlattice.tabled_hamiltonian import TabledHamiltonian

__all__ = ["Compiled", "compiled", "pieces", "sweep"]

_TRIALS = 2 * 10**8  # of a piece: two seconds of 100 million trials a second


class Compiled(Protocol):
    """Kernels that sweep."""

    def sweep(self, rule: str, x: Tensor, beta: Tensor, mu: Tensor, numbers: Numbers, sweeps: int) -> Tensor:
        """New occupations (chains, sites) after ``sweeps`` sweeps of ``heat-bath``, ``metropolis`` or ``swap``."""


def compiled(hamiltonian: Hamiltonian) -> Compiled | None:
    """The kernels of a Hamiltonian that sweep, or None."""
    kernels = hamiltonian.compiled if isinstance(hamiltonian, TabledHamiltonian) else None
    return kernels if hasattr(kernels, "sweep") else None  # type: ignore[return-value]


def pieces(sweeps: int, x: Tensor) -> Iterator[int]:
    """Sweeps of chains (chains, sites) in pieces of a few seconds: a piece cannot be interrupted, and holds up the screen of some GPUs."""
    most = max(1, _TRIALS // max(1, x.numel()))
    while sweeps > 0:
        yield min(most, sweeps)
        sweeps -= most


def sweep(
    kernels: Compiled, rule: str, x: Tensor, state: Conditions, noise: tuple[Stream, int], places: tuple[Stream, int], sweeps: int
) -> Tensor:
    """Sweeps with random numbers of two streams, so many of each a sweep."""
    for n in pieces(sweeps, x):
        order = places[0].permutations(x.shape[1], n) if rule == "heat-bath" and x.is_cuda else None
        place = places[0].take(n * places[1] if order is None else 0)
        numbers = Numbers(noise[0].seed, (noise[0].take(n * noise[1]), place), places=order)
        x = kernels.sweep(rule, x, state.beta, state.mu, numbers, n)
    return x
