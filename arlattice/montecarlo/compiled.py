"""`CompiledMove`: a move with two ways to do its sweeps, compiled loops and torch, which give the same chain.

A move says which random numbers it takes; the loops make the same ones. In float64 a chain differs only where an energy is rounded to the
other side of a random number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.kernels.numbers import Numbers
from arlattice.random_numbers import Stream
from arlattice.tabled_hamiltonian import TabledHamiltonian

__all__ = ["Compiled", "CompiledMove", "SiteMove", "compiled", "pieces"]

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


class CompiledMove(ABC):
    """A move; see `arlattice.montecarlo.moves.Sweep`.

    Attributes:
        kernels: what `loops` calls; None where there is nothing compiled, and `sweep` does instead.
    """

    kernels: Any

    def __call__(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        return self.repeat(x, state, stream, 1)

    def repeat(self, x: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """So many sweeps in one go."""
        if self.kernels is None:
            for _ in range(sweeps):
                x = self.sweep(x, state, stream)
        else:
            for n in pieces(sweeps, x):
                x = self.loops(x, state, stream, n)
        return x

    @abstractmethod
    def sweep(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        """One sweep by torch: new occupations (chains, sites)."""

    @abstractmethod
    def loops(self, x: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """So many sweeps by compiled loops, with the random numbers that `sweep` would take."""


class SiteMove(CompiledMove):
    """A move of single sites, or of pairs of them.

    Args:
        hamiltonian: on the device and in the precision of the chains.

    Attributes:
        rule: its name among the kernels.
    """

    rule: ClassVar[str]

    def __init__(self, hamiltonian: Hamiltonian) -> None:
        self.hamiltonian, self.allowed = hamiltonian.unchecked(), hamiltonian.lattice.allowed.to(hamiltonian.device)
        self.kernels = compiled(self.hamiltonian)

    @abstractmethod
    def numbers(self, stream: Stream, sites: int) -> tuple[tuple[Stream, int], tuple[Stream, int]]:
        """The streams of the noise and of the places to visit, and how many steps of each a sweep takes."""

    def loops(self, x: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """See `CompiledMove.loops`."""
        (noise, n), (places, m) = self.numbers(stream, x.shape[1])
        order = places.permutations(x.shape[1], sweeps) if self.rule == "heat-bath" and x.is_cuda else None
        place = places.take(sweeps * m if order is None else 0)
        numbers = Numbers(noise.seed, (noise.take(sweeps * n), place), places=order)
        new: Tensor = self.kernels.sweep(self.rule, x, state.beta, state.mu, numbers, sweeps)
        return new
