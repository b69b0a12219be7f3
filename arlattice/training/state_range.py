"""`StateRange`: a box of thermodynamic states to train a model on."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from arlattice.build import ensemble_class
from arlattice.ensemble import Canonical, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options, input_error
from arlattice.models.trained_range import TrainedRange
from arlattice.random_numbers import Stream

__all__ = ["Range", "StateRange"]

Range = float | tuple[float, float]
"""One value, or lowest and highest."""


class StateRange(Options):
    """A box of states: temperatures times chemical potentials, or temperatures times compositions.

    Args:
        temperature: one, or (lowest, highest); K, or J/k in reduced units.
        chemical_potentials: species -> mu or (lowest, highest), energy units per atom; a species that is not named has mu = 0.
        compositions: fixed compositions as in `Canonical`, instead of chemical potentials.
        ensemble: registered kind of states, with chemical potentials; empty is `SemiGrandCanonical`, or `Canonical` with compositions.
        settings: what else that kind of states takes, e.g. ``{"charges": {"Na": 1, "Cl": -1}}``; see `Ensemble.parse`.

    Raises:
        InputError: a temperature <= 0, a highest value before the lowest, chemical potentials or an ensemble beside compositions, or
            settings without an ensemble.
    """

    temperature: Annotated[Range, Field(description="temperature, or [lowest, highest]; K, or J/k in reduced units")]
    chemical_potentials: Annotated[dict[str, Range], Field(description="species -> mu or [lowest, highest], energy units per atom")] = {}
    compositions: Annotated[tuple[dict[str, int | float], ...], Field(description="fixed compositions instead of chemical potentials")] = ()
    ensemble: Annotated[str, Field(description="registered kind of states; by default the grand or, with compositions, canonical")] = ""
    settings: Annotated[dict[str, Any], Field(description="what else that kind of states takes")] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise input_error(error, type(self)) from None

    @model_validator(mode="after")
    def _sensible(self) -> StateRange:
        if min(_ends(self.temperature)) <= 0:
            raise InputError("temperature", self.temperature, "must be > 0")
        for name, given in (("temperature", self.temperature), *self.chemical_potentials.items()):
            if _ends(given)[0] > _ends(given)[1]:
                raise InputError(name, given, "give the lowest value first")
        if self.chemical_potentials and self.compositions:
            raise InputError("compositions", self.compositions, "give chemical potentials or compositions, not both")
        if self.ensemble and self.compositions:
            raise InputError("ensemble", self.ensemble, "compositions are of the canonical ensemble; give one of them")
        if self.settings and not self.ensemble:
            raise InputError("settings", self.settings, "belong to an ensemble; give its name as ensemble")
        return self

    def cells(self, points: tuple[int, int]) -> tuple[int, ...]:
        """Cells along every axis (temperature, chemical potentials..., compositions); an axis of one value has one.

        Args:
            points: wanted along the temperature axis and along every chemical-potential axis.
        """
        axes = [(self.temperature, points[0]), *((given, points[1]) for given in self.chemical_potentials.values())]
        lengths = [n if _ends(given)[0] < _ends(given)[1] else 1 for given, n in axes]
        return (*lengths, len(self.compositions)) if self.compositions else tuple(lengths)

    def corners(self) -> list[Ensemble]:
        """States at the ends and the middle of the ranges, for evaluation."""
        temperatures = sorted({_ends(self.temperature)[0], sum(_ends(self.temperature)) / 2, _ends(self.temperature)[1]})
        if self.compositions:
            return [Canonical(t, c) for t in temperatures for c in self.compositions]
        potentials: list[dict[str, float]] = [{s: _ends(r)[k] for s, r in self.chemical_potentials.items()} for k in (0, 1)]
        potentials.append({s: sum(_ends(r)) / 2 for s, r in self.chemical_potentials.items()})
        distinct = list({tuple(p.items()): p for p in potentials}.values())
        return [self._state(t, p) for t in temperatures for p in distinct]

    def chains(self, points: tuple[int, int], copies: int, stream: Stream, group: int = 1) -> list[Ensemble]:
        """A state for every chain of the replica grid, cell by cell.

        The box is divided into equal cells, temperatures evenly in log T. A ladder is the chains of one group through all
        temperatures: they sit at one place in their cells, so that they have the same chemical potentials and temperatures at equal
        steps, and exchange well. The places of the ladders (a Sobol sequence, shifted as a whole by a random vector) cover a cell densely.

        Source: R. Cranley and T. N. L. Patterson, SIAM J. Numer. Anal. 13, 904 (1976).

        Args:
            points: as in `cells`.
            copies: chains in a cell.
            stream: of the shift, on the CPU.
            group: neighbouring chains that share a place; divides ``copies``.
        """
        cells, where = self._places(self.cells(points), copies, stream, group)
        low, high = torch.tensor(_ends(self.temperature), dtype=torch.float64).log().tolist()
        ranges = [(low, high), *map(_ends, self.chemical_potentials.values())]
        values = torch.stack([a + where[:, k] * (b - a) for k, (a, b) in enumerate(ranges)], 1)
        values[:, 0] = values[:, 0].exp()
        if self.compositions:
            return [Canonical(t, self.compositions[k]) for (t,), k in zip(values.tolist(), cells[:, -1].tolist(), strict=True)]
        return [self._state(t, dict(zip(self.chemical_potentials, mu, strict=True))) for t, *mu in values.tolist()]

    def _state(self, temperature: float, potentials: dict[str, float]) -> Ensemble:
        kind = ensemble_class(self.ensemble) if self.ensemble else SemiGrandCanonical
        return kind.parse(temperature, ({"mu": potentials} if potentials else {}) | self.settings)

    def _places(self, lengths: tuple[int, ...], copies: int, stream: Stream, group: int) -> tuple[Tensor, Tensor]:
        """Cell of every chain and its place in the box, from 0 to 1 along every axis, both (chains, axes)."""
        cells = torch.cartesian_prod(*[torch.arange(n) for n in lengths]).view(-1, len(lengths)).repeat_interleave(copies, 0)
        ladders = torch.quasirandom.SobolEngine(len(lengths)).draw(len(cells) // lengths[0] // group, dtype=torch.float64)
        places = (ladders + stream.uniform(len(lengths), 1).T) % 1.0
        return cells, (cells + places.repeat_interleave(group, 0).repeat(lengths[0], 1)) / torch.tensor(lengths)

    def trained_range(self, hamiltonian: Hamiltonian) -> TrainedRange:
        """The box, as the record of the trained model keeps it."""
        if self.compositions or self.ensemble:
            return TrainedRange.of_states(self.corners(), hamiltonian.lattice, hamiltonian.units)
        potentials = {species: _ends(ends) for species, ends in self.chemical_potentials.items()}
        return TrainedRange(hamiltonian.units, _ends(self.temperature), potentials)

    def description(self) -> dict[str, Any]:
        """Plain data that tells this box from others."""
        later = {name for name in ("ensemble", "settings") if not getattr(self, name)}  # runs of the last release do not say them
        return self.model_dump(mode="json", exclude=later)


def _ends(value: Range) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)
