"""The moves that `sample_chains` knows, by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from arlattice.arguments import one_of
from arlattice.conditions import Conditions
from arlattice.ensemble import Canonical, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.montecarlo.bonds import Bonds
from arlattice.montecarlo.metropolis import metropolis_sweep
from arlattice.montecarlo.swendsen_wang import swendsen_wang_step
from arlattice.montecarlo.wolff import wolff_step
from arlattice.random_numbers import Stream

__all__ = ["MOVES", "Sweep", "choose_move"]

Sweep = Callable[[Tensor, Conditions, Stream], Tensor]
"""(occupations (chains, sites), states of the chains, random numbers of the chains) -> new occupations."""


def metropolis(hamiltonian: Hamiltonian) -> Sweep:
    """As many offers as there are sites, at random sites."""
    allowed = hamiltonian.lattice.allowed

    def sweep(x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "allowed": allowed.to(x.device)}
        scan, noise = stream["site"].integers(x.shape[1], *x.T.shape), stream.uniform(*x.T.shape)
        return metropolis_sweep(hamiltonian, inputs | {"scan": scan, "noise": noise})[0]

    return sweep


def swendsen_wang(hamiltonian: Hamiltonian) -> Sweep:
    """All clusters."""
    bonds = Bonds.of(hamiltonian)

    def sweep(x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "noise": stream.uniform(*x.T.shape).T}
        return swendsen_wang_step(bonds, inputs | {"bond_noise": stream["bond"].uniform(len(bonds.pairs), len(x)).T})

    return sweep


def wolff(hamiltonian: Hamiltonian) -> Sweep:
    """One cluster."""
    bonds = Bonds.of(hamiltonian)

    def sweep(x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        inputs = {"occupations": x, "beta": state.beta, "mu": state.mu, "noise": stream.uniform(1, len(x))[0]}
        site = stream["site"].integers(x.shape[1], 1, len(x))[0]
        return wolff_step(bonds, inputs | {"site": site, "bond_noise": stream["bond"].uniform(len(bonds.pairs), len(x)).T})

    return sweep


MOVES: dict[str, tuple[Callable[[Hamiltonian], Sweep] | None, type[Ensemble]]] = {
    "heat-bath": (None, SemiGrandCanonical),
    "metropolis": (metropolis, SemiGrandCanonical),
    "swap": (None, Canonical),
    "swendsen-wang": (swendsen_wang, SemiGrandCanonical),
    "wolff": (wolff, SemiGrandCanonical),
}
"""Name -> what makes its sweep (None: the own sweep of `ReplicaExchange`), and the ensemble it samples."""


def choose_move(name: str | None, state: Ensemble) -> str:
    """The move asked for, if it samples the state; None takes the first that does.

    Raises:
        InputError: an unknown move, or one for the other ensemble.
    """
    if not isinstance(state, Ensemble):
        raise InputError("state", state, "give a SemiGrandCanonical or Canonical")
    fitting = [move for move, (_, ensemble) in MOVES.items() if isinstance(state, ensemble)]
    chosen = fitting[0] if name is None else name
    return one_of("move", chosen, fitting, f"for a {type(state).__name__} state give one of ")
