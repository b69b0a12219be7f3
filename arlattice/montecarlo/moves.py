"""Monte Carlo moves by name: what a plugin registers as one, and which samples a state.

A move is a factory that makes a `Sweep` of a Hamiltonian, marked with the ensembles whose distribution it keeps::

    @for_ensembles("canonical")
    def swap(hamiltonian: Hamiltonian) -> Sweep: ...

The moves that ship are one a file beside this one. `arlattice.testing.check_move` checks a move by enumeration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from arlattice.arguments import one_of
from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.registry import Entry
from arlattice.random_numbers import Stream

__all__ = ["UNCONSTRAINED", "RegisteredSweep", "Sweep", "choose_move", "for_ensembles", "make_sweep", "repeat"]

Sweep = Callable[[Tensor, Conditions, Stream], Tensor]
"""(occupations (chains, sites), states of the chains, random numbers of the chains) -> new occupations.

Random numbers come from branches of the stream, ``stream["a name of yours"]``; ``start`` and ``exchange`` are taken. A sweep may have a
method ``repeat(occupations, states, stream, sweeps)``, the same as so many calls, if it can do them faster; and a method ``compile()``:
compile what is worth compiling on a GPU.
"""

Factory = TypeVar("Factory", bound=Callable[[Hamiltonian], Sweep])


UNCONSTRAINED = "unconstrained"
"""Stands for all ensembles that forbid nothing (`Ensemble.unconstrained`)."""


def for_ensembles(*names: str) -> Callable[[Factory], Factory]:
    """Mark the factory of a move with the registered names of the ensembles whose distribution it keeps, or `UNCONSTRAINED`."""

    def marked(factory: Factory) -> Factory:
        factory.ensembles = names  # type: ignore[attr-defined]
        return factory

    return marked


def choose_move(name: str | None, ensemble: type[Ensemble]) -> str:
    """The move asked for, if it samples the states of an ensemble; None takes the first registered that does.

    Raises:
        InputError: an unknown move, one for other ensembles, or an ensemble that no move samples.
    """
    registered = default_manager().moves
    if name is None:
        name = next((entry.name for entry in registered if _keeps(entry, ensemble)), None)
    if name is not None and name in registered and _keeps(registered[name], ensemble):
        return name
    fitting = [entry.name for entry in registered if _keeps(entry, ensemble)]
    if not fitting:
        cure = f"no registered move samples {ensemble.name!r} states; register one (docs: plugins), or train with the objective reverse"
        raise InputError("state", ensemble.__name__, cure)
    return one_of("move", name, fitting, f"for a {ensemble.__name__} state give one of ")


def make_sweep(name: str | None, ensemble: type[Ensemble], hamiltonian: Hamiltonian) -> RegisteredSweep:
    """The sweep of a move, which `choose_move` finds, for a Hamiltonian.

    Raises:
        InputError: as `choose_move`, and where the move does not fit the Hamiltonian.
    """
    entry = default_manager().moves[choose_move(name, ensemble)]
    sweep = entry.call(hamiltonian)
    if not callable(sweep):
        raise entry.error(f"returned a {type(sweep).__name__}, not a sweep")
    return RegisteredSweep(entry, sweep)


def repeat(sweep: Sweep, occupations: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
    """So many sweeps, in one go if the sweep can."""
    if hasattr(sweep, "repeat"):
        return sweep.repeat(occupations, state, stream, sweeps)
    for _ in range(sweeps):
        occupations = sweep(occupations, state, stream)
    return occupations


class RegisteredSweep:
    """The sweep of a registered move; what it returns is checked, and named if it is wrong.

    Attributes:
        entry: where it was registered.
        sweep: what the plugin made.
    """

    def __init__(self, entry: Entry, sweep: Sweep) -> None:
        self.entry, self.sweep = entry, sweep

    def __call__(self, occupations: Tensor, state: Conditions, stream: Stream) -> Tensor:
        return self.repeat(occupations, state, stream, 1)

    def repeat(self, occupations: Tensor, state: Conditions, stream: Stream, sweeps: int) -> Tensor:
        """So many sweeps."""
        new: Any = repeat(self.sweep, occupations, state, stream, sweeps)
        if not (isinstance(new, Tensor) and new.shape == occupations.shape and new.dtype == occupations.dtype):
            raise self.entry.error("returned what are not the occupations of its chains, (chains, sites), int64")
        return new

    def compile(self) -> None:
        """Compile what is worth compiling, for GPUs; nothing unless the move says so."""
        if hasattr(self.sweep, "compile"):
            self.sweep.compile()


def _keeps(entry: Entry, ensemble: type[Ensemble]) -> bool:
    marked = _ensembles(entry)
    return ensemble.name in marked or (UNCONSTRAINED in marked and ensemble.unconstrained())


def _ensembles(entry: Entry) -> tuple[str, ...]:
    marked = getattr(entry.load_factory(), "ensembles", None)
    if not isinstance(marked, tuple):
        raise entry.error("does not say which ensembles it samples; mark its factory with @arlattice.montecarlo.for_ensembles(...)")
    return marked
