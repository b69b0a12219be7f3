"""What a model is trained on: checked once, at the door, into `States`, which all of a run then asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from arlattice.cluster_family import ClusterFamily
from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.trained_range import TrainedRange
from arlattice.random_numbers import Stream
from arlattice.training.state_range import StateRange

__all__ = ["StateList", "StateRange", "StateSpec", "States", "check_states", "replica_grid", "trained_range"]

StateSpec = StateRange | Ensemble | Sequence[Ensemble]
"""What to train on, as a user gives it: a box, one state, or a list of states of one kind."""


class States(Protocol):
    """What to train on, as a run knows it: a `StateRange` or a `StateList`."""

    def cells(self, points: tuple[int, int]) -> tuple[int, ...]:
        """Cells along every axis of the replica grid, see `StateRange.cells`."""

    def chains(self, points: tuple[int, int], copies: int, stream: Stream, group: int = 1) -> list[Ensemble]:
        """A state for every chain, cell by cell, see `StateRange.chains`."""

    def corners(self) -> list[Ensemble]:
        """States to evaluate a model in."""

    def trained_range(self, hamiltonian: Hamiltonian) -> TrainedRange:
        """The smallest box that holds them."""

    def description(self) -> Any:
        """Plain data that tells them from others."""


@dataclass(frozen=True)
class StateList:
    """States given one by one: each is a cell, and stays where it is."""

    states: tuple[Ensemble, ...]

    def cells(self, points: tuple[int, int]) -> tuple[int, ...]:
        """One axis of all states, whatever the points."""
        return (len(self.states),)

    def chains(self, points: tuple[int, int], copies: int, stream: Stream, group: int = 1) -> list[Ensemble]:
        """Every state ``copies`` times."""
        return [state for state in self.states for _ in range(copies)]

    def corners(self) -> list[Ensemble]:
        """All of them."""
        return list(self.states)

    def trained_range(self, hamiltonian: Hamiltonian) -> TrainedRange:
        """The smallest box that holds them."""
        return TrainedRange.of_states(self.states, hamiltonian.lattice, hamiltonian.units)

    def description(self) -> list[dict[str, Any]]:
        """Plain data, a row a state."""
        return [state.to_dict() for state in self.states]


def check_states(states: Any) -> States:
    """What to train on, from a range, one state or a list of states.

    Raises:
        InputError: anything else, plain data among it.
    """
    if isinstance(states, StateRange | StateList):
        return states
    if isinstance(states, Ensemble):
        return StateList((states,))
    if not isinstance(states, Sequence) or isinstance(states, str) or not all(isinstance(s, Ensemble) for s in states):
        cure = "give SemiGrandCanonical or Canonical states, or an arl.StateRange(temperature=...)"
        raise InputError("states", states, cure)
    if not states:
        raise InputError("states", list(states), "give at least one state")
    return StateList(tuple(states))


def replica_grid(
    states: StateSpec | States,
    hamiltonian: Hamiltonian,
    points: tuple[int, int],
    copies: int,
    seed: int | Stream | None = None,
    group: int = 1,
) -> tuple[Conditions, tuple[int, ...]]:
    """States of all chains on a Hamiltonian, and their grid (temperatures, chemical potentials..., copies).

    Args:
        states: what to train on.
        hamiltonian: for species, units and the number of sites.
        points: cells along the temperature axis and along every chemical-potential axis.
        copies: chains per cell.
        seed: of the places in the cells (`StateRange.chains`); None takes a fresh one; or the stream of a larger run.
        group: neighbouring chains that share a place; divides ``copies``.
    """
    checked = check_states(states)
    chains = checked.chains(points, copies, Stream.of(seed, "states", "cpu"), group)
    conditions = Conditions.from_states(chains, hamiltonian)
    if isinstance(hamiltonian, ClusterFamily):  # the groups of a cell take turns over the members
        if copies < len(hamiltonian) * group:
            cure = f"give at least {len(hamiltonian) * group}: {group} chains of a group for each of {len(hamiltonian)} members"
            raise InputError("training.replica_copies", copies, cure)
        turns = torch.arange(copies) // group % len(hamiltonian)
        conditions = replace(conditions, member=turns.repeat(len(conditions) // copies))
    return conditions, (*checked.cells(points), copies)


def trained_range(states: StateSpec | States, *hamiltonians: Hamiltonian) -> TrainedRange:
    """The box of the states on one or more Hamiltonians, as the record of the trained model keeps it.

    The same number of atoms is another fraction on another supercell: the box holds all of them. Units are those of the first.
    """
    first, *rest = (check_states(states).trained_range(h) for h in hamiltonians)
    ends = {s: list(zip(*(r.compositions[s] for r in (first, *rest)), strict=True)) for s in first.compositions}
    return replace(first, compositions={s: (min(lows), max(highs)) for s, (lows, highs) in ends.items()})
