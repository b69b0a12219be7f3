"""The states that a model was trained for, as its record keeps them, and whether a state lies among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arlattice.conditions import species_components
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.lattice import Lattice

__all__ = ["KEY", "TrainedRange"]

KEY = "trained_range"
"""Of a model's record."""

_ROUNDING = 1e-6  # of the ends, relative: 450.0000001 K is 450 K

Interval = tuple[float, float]


@dataclass(frozen=True)
class TrainedRange:
    """A box of temperatures and chemical potentials, or of temperatures and compositions.

    Attributes:
        units: of the energies, ``"eV"`` or ``"reduced"``.
        temperature: lowest and highest, K (J/k in reduced units).
        chemical_potentials: species -> lowest and highest; a species that is not named was held at 0.
        compositions: species -> lowest and highest fraction of all sites, where compositions were fixed; else empty.
        ensemble: kind of the states where they forbid something else; empty otherwise, and in older files.
    """

    units: str
    temperature: Interval
    chemical_potentials: Mapping[str, Interval] = field(default_factory=dict)
    compositions: Mapping[str, Interval] = field(default_factory=dict)
    ensemble: str = ""

    @classmethod
    def of_states(cls, states: Sequence[Ensemble], lattice: Lattice, units: str) -> TrainedRange:
        """The smallest box that holds the states, all of one kind."""
        temperature = _hull([s.temperature for s in states])
        fixed = [s.fractions(lattice) for s in states]
        if any(fixed):
            return cls(units, temperature, compositions={s: _hull([f[s] for f in fixed]) for s in lattice.species})
        rows = [_from_first(s.mu_vector(lattice), lattice) for s in states]  # only differences matter: one way to write each
        hulls = {s: _hull(column) for s, column in zip(lattice.species, zip(*rows, strict=True), strict=True)}
        kind = "" if states[0].unconstrained() else states[0].name
        return cls(units, temperature, {s: ends for s, ends in hulls.items() if ends != (0.0, 0.0)}, ensemble=kind)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainedRange | None:
        """What a model's record says; None if it does not, as in files of older versions.

        Raises:
            InputError: an entry written by hand that is no range.
        """
        given = record.get(KEY)
        if not isinstance(given, Mapping):
            return None
        try:
            names = ("chemical_potentials", "compositions")
            potentials, compositions = ({s: _hull(ends) for s, ends in given.get(name, {}).items()} for name in names)
            temperature, kind = _hull(given["temperature"]), str(given.get("ensemble", ""))
            return cls(str(given["units"]), temperature, potentials, compositions, kind)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            cure = f"damaged ({type(error).__name__}); remove the entry from the record in model.json, or train the model again"
            raise InputError(KEY, given, cure) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the record."""
        boxes = {"chemical_potentials": self.chemical_potentials, "compositions": self.compositions}
        named = {name: {s: list(ends) for s, ends in box.items()} for name, box in boxes.items() if box}
        kind = {"ensemble": self.ensemble} if self.ensemble else {}
        return {"units": self.units, "temperature": list(self.temperature), **named, **kind}

    def __str__(self) -> str:
        unit, kelvin = ("eV", "K") if self.units == "eV" else ("J", "J/k")
        parts = [f"temperature {_words(self.temperature)} {kelvin}"]
        if self.compositions:
            return "; ".join(parts + [f"fraction of {s} {_words(ends)}" for s, ends in self.compositions.items()])
        parts += [f"mu of {s} {_words(ends)} {unit}" for s, ends in self.chemical_potentials.items()]
        return "; ".join(parts if self.chemical_potentials else [*parts, "all mu 0"])

    def outside(self, state: Ensemble, lattice: Lattice) -> str | None:
        """In words, what of a state lies outside; None if nothing does.

        At fixed composition a model of chemical potentials is asked at mu = 0, and only that and the temperature are looked at.
        """
        reason = self._reason(state, lattice)
        return None if reason is None else f"{reason} the trained range ({self})"

    def _reason(self, state: Ensemble, lattice: Lattice) -> str | None:
        if not _inside(state.temperature, self.temperature):
            return f"temperature {state.temperature:g} is outside"
        if self.ensemble and state.name != self.ensemble:
            return f"a state that is not {self.ensemble} is not in"
        if self.compositions:
            fractions = state.fractions(lattice)
            if not fractions:
                return "a state of given chemical potentials is not in"
            far = [s for s, share in fractions.items() if not _inside(share, self.compositions[s])]
            return f"composition of {', '.join(far)} is outside" if far else None
        if self._holds_mu(state.mu_vector(lattice), lattice):
            return None
        given = "mu 0, at which a fixed composition is drawn," if state.fractions(lattice) else _given(state, lattice)
        return f"{given} is outside"

    def _holds_mu(self, mu: Sequence[float], lattice: Lattice) -> bool:
        """Whether a common shift of the potentials of exchangeable species brings all of them inside."""
        ends = [self.chemical_potentials.get(s, (0.0, 0.0)) for s in lattice.species]
        for group in species_components(lattice).tolist():
            members = [(low - m, high - m) for (low, high), m, inside in zip(ends, mu, group, strict=True) if inside]
            lowest, highest = max(low for low, _ in members), min(high for _, high in members)
            if lowest - highest > _ROUNDING * max(1.0, *(abs(value) for pair in ends for value in pair)):
                return False
        return True


def _from_first(mu: Sequence[float], lattice: Lattice) -> list[float]:
    """Chemical potentials less that of the first species of each group of exchangeable ones."""
    found = list(mu)
    for group in species_components(lattice).tolist():
        members = [i for i, inside in enumerate(group) if inside]
        for i in members:
            found[i] = mu[i] - mu[members[0]]
    return found


def _hull(values: Sequence[float]) -> Interval:
    return float(min(values)), float(max(values))


def _inside(value: float, ends: Interval) -> bool:
    room = _ROUNDING * max(map(abs, ends))
    return math.isfinite(value) and ends[0] - room <= value <= ends[1] + room


def _words(ends: Interval) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g}"


def _given(state: Ensemble, lattice: Lattice) -> str:
    named = {s: value for s, value in zip(lattice.species, state.mu_vector(lattice), strict=True) if value}
    return "mu " + (", ".join(f"{s} = {value:g}" for s, value in named.items()) or "0")
