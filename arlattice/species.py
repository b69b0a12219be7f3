"""What the name of a species says: an element, an isotope, a charge, a vacancy, or the state of a spin.

- ``Cu``: an element
- ``D``, ``T``: hydrogen of mass 2.014 and 3.016
- ``Mn3+``, ``Mn+3``, ``Mn³⁺``, ``O2-``, ``Li+``, ``Fe2.5+``: an element with a charge, in units of e
- ``X``, ``Va``, ``VA``, ``Vac``, ``vac``, ``Vacancy``, ``vacancy``, ``□``: a vacancy
- ``up``, ``0``, ``left``: the state of a spin, where no species of the lattice is an element

A lattice may have species of any name. Only structures need to know what the names mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from arlattice.errors import InputError

__all__ = ["VACANCY", "Species", "is_vacancy", "parse_species", "species_of", "vacancy_index"]

VACANCY = "X"
"""The name of the vacancy that ASE has too (atomic number 0)."""

_VACANCIES = {"X", "X0+", "Va", "VA", "□", "vacA0+"}  # ASE, pymatgen, CALPHAD (V is vanadium), smol
_VACANCY_WORDS = {"vac", "vacancy"}
_ISOTOPES = {"D": 2.01410177812, "T": 3.01604928199}  # u, AME2020
_PLAIN_SIGNS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻\N{MINUS SIGN}", "0123456789+--")
_ATOM = re.compile(r"([A-Z][a-z]?)(?:(\d+(?:\.\d+)?)?([+-])|([+-])(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Species:
    """One species as an atom.

    Args:
        name: as the lattice has it.
        element: chemical symbol, ``"X"`` for a vacancy.
        charge: in units of e; None where the name has none.
        mass: of the isotope, u; None for the natural element.
    """

    name: str
    element: str
    charge: float | None = None
    mass: float | None = None

    @property
    def number(self) -> int:
        """Atomic number; 0 for a vacancy."""
        from ase.data import atomic_numbers

        return int(atomic_numbers[self.element])

    @property
    def usual_mass(self) -> float:
        """Mass of the isotope, or of the natural element, u."""
        from ase.data import atomic_masses

        return float(atomic_masses[self.number]) if self.mass is None else self.mass


def is_vacancy(name: str) -> bool:
    """Whether a species of this name is an empty site."""
    return name in _VACANCIES or name.lower() in _VACANCY_WORDS


def vacancy_index(names: Sequence[str]) -> int | None:
    """Index of the vacancy among the species of a lattice; None where there is none.

    Raises:
        InputError: two names of the vacancy.
    """
    found = [k for k, name in enumerate(names) if is_vacancy(name)]
    if len(found) > 1:
        raise InputError("species", [names[k] for k in found], "are all names of the vacancy; give one of them")
    return found[0] if found else None


def parse_species(name: str) -> Species | None:
    """The atom or vacancy that a name means, None for every other name."""
    from ase.data import atomic_numbers

    if is_vacancy(name):
        return Species(name, VACANCY)
    match = _ATOM.fullmatch(name.translate(_PLAIN_SIGNS))
    if match is None:
        return None
    symbol, size_first, sign_last, sign_first, size_last = match.groups()
    element, mass = ("H", _ISOTOPES[symbol]) if symbol in _ISOTOPES else (symbol, None)
    if element not in atomic_numbers:
        return None
    sign, size = sign_last or sign_first, size_first or size_last or "1"
    return Species(name, element, None if sign is None else float(sign + size), mass)


def species_of(names: Sequence[str]) -> list[Species] | None:
    """All species of a lattice as atoms and vacancies, or None where they are states of spins (a vacancy may be among these).

    Raises:
        InputError: names that mean no atom beside names that do, or that look like atoms; two names of the vacancy.
    """
    vacancy_index(names)
    parsed = [parse_species(name) for name in names]
    atoms = [species for species in parsed if species is not None]
    elements = [species for species in atoms if species.element != VACANCY]
    foreign = [name for name, species in zip(names, parsed, strict=True) if species is None]
    if not foreign:
        return atoms
    suspect = [name for name in foreign if _looks_like_an_atom(name)]
    if elements or suspect:
        wrong = (suspect or foreign)[0]
        raise InputError(
            "species", wrong, "is no element, charged element (Mn3+), D, T or vacancy (X), so structures cannot hold it; rename"
        )
    return None


def _looks_like_an_atom(name: str) -> bool:
    """``Mn_up``, ``Fe1``, ``7Li``, ``cu``: whoever writes this means an element."""
    from ase.data import atomic_numbers

    start = re.match(r"\d*([A-Z][a-z]?)(?![A-Za-z])", name)
    return (start is not None and start[1] in atomic_numbers) or (len(name) == 2 and name.capitalize() in atomic_numbers)
