"""The thermodynamic states a model is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator

from arlattice.conditions import Conditions
from arlattice.ensemble import Canonical, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.trained_range import TrainedRange
from arlattice.random_numbers import Stream

__all__ = ["Range", "StateRange", "StateSpec", "replica_grid", "trained_range"]

Range = float | tuple[float, float]
"""One value, or lowest and highest."""


class StateRange(Options):
    """A box of states: temperatures times chemical potentials, or temperatures times compositions."""

    temperature: Annotated[Range, Field(description="temperature, or [lowest, highest]; K, or J/k in reduced units")]
    chemical_potentials: Annotated[dict[str, Range], Field(description="species -> mu or [lowest, highest], energy units per atom")] = {}
    compositions: Annotated[tuple[dict[str, int | float], ...], Field(description="fixed compositions instead of chemical potentials")] = ()

    @model_validator(mode="after")
    def _sensible(self) -> StateRange:
        if min(_ends(self.temperature)) <= 0:
            raise InputError("temperature", self.temperature, "must be > 0")
        for name, given in (("temperature", self.temperature), *self.chemical_potentials.items()):
            if _ends(given)[0] > _ends(given)[1]:
                raise InputError(name, given, "give the lowest value first")
        if self.chemical_potentials and self.compositions:
            raise InputError("compositions", self.compositions, "give chemical potentials or compositions, not both")
        return self

    def cells(self, temperatures: int, potentials: int) -> int:
        """Cells of the replica grid with so many along each axis; an axis of one value has one cell."""
        axes = [(self.temperature, temperatures), *((r, potentials) for r in self.chemical_potentials.values())]
        return math.prod(n for r, n in axes if _ends(r)[0] < _ends(r)[1]) * max(1, len(self.compositions))

    def corners(self) -> list[Ensemble]:
        """States at the ends and the middle of the ranges, for evaluation."""
        temperatures = sorted({_ends(self.temperature)[0], sum(_ends(self.temperature)) / 2, _ends(self.temperature)[1]})
        if self.compositions:
            return [Canonical(t, c) for t in temperatures for c in self.compositions]
        potentials: list[dict[str, float]] = [{s: _ends(r)[k] for s, r in self.chemical_potentials.items()} for k in (0, 1)]
        potentials.append({s: sum(_ends(r)) / 2 for s, r in self.chemical_potentials.items()})
        distinct = list({tuple(p.items()): p for p in potentials}.values())
        return [SemiGrandCanonical(t, p) for t in temperatures for p in distinct]


def check_states(states: Any) -> StateRange | list[Ensemble]:
    """What to train on: a range as it is, states as a list.

    Raises:
        InputError: anything else, plain data among it.
    """
    if isinstance(states, StateRange):
        return states
    if isinstance(states, Ensemble):
        return [states]
    if not isinstance(states, Sequence) or isinstance(states, str) or not all(isinstance(s, Ensemble) for s in states):
        cure = "give SemiGrandCanonical or Canonical states, or a StateRange(temperature=...) of arlattice.training.states"
        raise InputError("states", states, cure)
    if not states:
        raise InputError("states", list(states), "give at least one state")
    return list(states)


StateSpec = StateRange | Ensemble | Sequence[Ensemble]
"""What to train on: a box, one state, or a list of states of one kind."""


def trained_range(states: StateSpec, hamiltonian: Hamiltonian) -> TrainedRange:
    """The box of the states, as the record of the trained model keeps it."""
    if not isinstance(states, StateRange):
        listed = [states] if isinstance(states, Ensemble) else list(states)
        return TrainedRange.of_states(listed, hamiltonian.lattice, hamiltonian.units)
    if states.compositions:
        return TrainedRange.of_states(states.corners(), hamiltonian.lattice, hamiltonian.units)
    potentials = {species: _ends(ends) for species, ends in states.chemical_potentials.items()}
    return TrainedRange(hamiltonian.units, _ends(states.temperature), potentials)


def replica_grid(
    states: StateSpec, hamiltonian: Hamiltonian, points: tuple[int, int], copies: int, seed: int | Stream | None = None, group: int = 1
) -> tuple[Conditions, tuple[int, ...]]:
    """States of all chains, and their grid (temperatures, chemical potentials..., copies).

    A range is divided into equal cells, temperatures evenly in log T; every group of chains sits at a random place in
    its cell (a Sobol sequence over the groups, shifted as a whole by a random vector), so that the chains cover the box densely.

    Source: R. Cranley and T. N. L. Patterson, SIAM J. Numer. Anal. 13, 904 (1976).

    Args:
        states: what to train on.
        hamiltonian: for species and units.
        points: cells along the temperature axis and along every chemical-potential axis.
        copies: chains per cell.
        seed: of the shift; None takes a fresh one; or the stream of a larger run.
        group: neighbouring chains that share a place; divides ``copies``.
    """
    states = check_states(states)
    if not isinstance(states, StateRange):
        conditions = Conditions.from_states(states, hamiltonian)
        rows = torch.arange(len(states)).repeat_interleave(copies)
        return conditions[rows], (len(states), copies)
    return _box(states, hamiltonian, points, copies, Stream.of(seed, "states", "cpu"), group)


def _box(
    states: StateRange, hamiltonian: Hamiltonian, points: tuple[int, int], copies: int, stream: Stream, group: int
) -> tuple[Conditions, tuple[int, ...]]:
    low, high = torch.tensor(_ends(states.temperature), dtype=torch.float64).log()
    ranges = [(float(low), float(high)), *map(_ends, states.chemical_potentials.values())]
    lengths = [points[0] if low < high else 1] + [points[1] if a < b else 1 for a, b in ranges[1:]]
    if states.compositions:
        lengths.append(len(states.compositions))
    cells = torch.cartesian_prod(*[torch.arange(n) for n in lengths]).view(-1, len(lengths)).repeat_interleave(copies, 0)
    places = torch.quasirandom.SobolEngine(len(lengths)).draw(len(cells) // group, dtype=torch.float64)
    jitter = (places + stream.uniform(len(lengths), 1).T) % 1.0
    where = (cells + jitter.repeat_interleave(group, 0)) / torch.tensor(lengths)
    values = [a + where[:, k] * (b - a) for k, (a, b) in enumerate(ranges)]
    ensembles: list[Ensemble] = []
    for row, numbers in enumerate(torch.stack(values, 1).tolist()):
        temperature = float(torch.tensor(numbers[0], dtype=torch.float64).exp())
        if states.compositions:
            ensembles.append(Canonical(temperature, states.compositions[int(cells[row, -1])]))
        else:
            ensembles.append(SemiGrandCanonical(temperature, dict(zip(states.chemical_potentials, numbers[1:], strict=True))))
    return Conditions.from_states(ensembles, hamiltonian), (*lengths, copies)


def _ends(value: Range) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)
