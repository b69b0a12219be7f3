"""The state to sample: temperature and chemical potentials, or temperature and composition.

Convention (icet's and smol's): the semi-grand-canonical weight of a configuration is

    log f(x) = -(E(x) - sum_i mu_i N_i(x)) / kT

with E the energy of the whole supercell. Only differences of chemical potentials matter; a species
that is not named has mu = 0. `ChemicalPotentials` converts from the conventions of other codes.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from arlattice.arguments import finite_number, of_type, one_of
from arlattice.composition import FixedComposition
from arlattice.constraint import Constraint, Unconstrained
from arlattice.errors import InputError
from arlattice.lattice import Lattice
from arlattice.old_names import warn_of_old_name

if TYPE_CHECKING:
    from arlattice.conditions import Conditions

__all__ = ["BOLTZMANN", "Canonical", "ChemicalPotentials", "Ensemble", "SemiGrandCanonical", "boltzmann_constant"]

BOLTZMANN = {"eV": 8.617333262e-5, "reduced": 1.0}
"""Boltzmann's constant by energy unit: eV/K (CODATA 2018, exact to the digits given), or 1."""


_SUM = "for some at fixed mu add up one Canonical state for each of their numbers n: Z = sum of exp(beta mu n) Z(n)"


def boltzmann_constant(units: str) -> float:
    """k_B in ``units`` per kelvin (``"eV"``), or 1 (``"reduced"``)."""
    return BOLTZMANN[one_of("units", units, BOLTZMANN, "energies are in one of ")]


@dataclass(frozen=True)
class ChemicalPotentials(Mapping[str, float]):
    """Chemical potentials per atom, in the Hamiltonian's energy units. A read-only mapping species -> mu."""

    values_by_species: tuple[tuple[str, float], ...] = ()

    def __init__(self, values: Mapping[str, float] | None = None) -> None:
        if values is not None and not isinstance(values, Mapping):
            raise InputError("chemical_potentials", values, "give a mapping, e.g. {'Au': 0.05}")
        pairs = tuple((str(s), finite_number(f"chemical_potentials[{s}]", v)) for s, v in (values or {}).items())
        object.__setattr__(self, "values_by_species", pairs)

    @classmethod
    def from_difference(cls, species: str, delta_mu: float) -> ChemicalPotentials:
        """Delta mu = mu(species) - mu(every other species): icet's and smol's usual scan variable."""
        return cls({species: delta_mu})

    @classmethod
    def from_clease(cls, species: str, mu: float) -> ChemicalPotentials:
        """CLEASE's mu is conjugate to the +-1 singlet correlation: half of Delta mu."""
        return cls({species: 2 * finite_number("mu", mu)})

    @classmethod
    def from_metadns(cls, species: str, field: float, reference_difference: float = 0.0) -> ChemicalPotentials:
        """The field of the metadns code, E_form - field * sum(2x - 1).

        ``reference_difference`` is e(species) - e(other) when the Hamiltonian gives the expansion's own
        energies rather than formation energies (CuAu: -5.3277 meV).
        """
        return cls({species: 2 * finite_number("field", field) + finite_number("reference_difference", reference_difference)})

    @classmethod
    def from_field(cls, field: float, up: str = "up", down: str = "down") -> ChemicalPotentials:
        """A magnetic field h coupling as -h sum(s), s = +-1."""
        return cls({up: finite_number("field", field), down: -finite_number("field", field)})

    def __getitem__(self, species: str) -> float:
        return dict(self.values_by_species)[species]

    def __iter__(self) -> Any:
        return iter(dict(self.values_by_species))

    def __len__(self) -> int:
        return len(self.values_by_species)

    def vector(self, lattice: Lattice) -> list[float]:
        """Chemical potential of every species of the lattice, 0 where not named.

        Raises:
            InputError: a chemical potential for a species that the lattice does not have.
        """
        of_type("lattice", lattice, Lattice, "give a Lattice")
        for species in self:
            lattice.species_index(species, "chemical_potentials")
        return [self.get(s, 0.0) for s in lattice.species]


class Ensemble(ABC):
    """A thermodynamic state, and the kind of states it belongs to. See `SemiGrandCanonical` and `Canonical`.

    A subclass is a frozen dataclass with a ``temperature``. It is registered by the hook ``arlattice_register_ensembles`` under its
    `name`; models, Monte Carlo, files and the command line ask it for all that follows.

    Attributes:
        name: of the kind of states, as files keep it.
        temperature: in K, or in units of J/k for Hamiltonians in reduced units.
    """

    name: ClassVar[str] = ""
    temperature: float

    # -- what a kind of states may say ---------------------------------------------------------------

    def mu_vector(self, lattice: Lattice) -> list[float]:
        """Chemical potential of every species of the lattice; zeros unless a subclass says otherwise.

        Raises:
            InputError: a species that the lattice does not have.
        """
        return [0.0] * lattice.n_species

    def targets(self, lattice: Lattice) -> list[float]:
        """Numbers that this state fixes besides, one for each that its `constraint` reads; none by default.

        Raises:
            InputError: numbers that no configuration of the lattice has.
        """
        return []

    @classmethod
    def constraint(cls, lattice: Lattice) -> Constraint:
        """What all states of this kind forbid on a lattice; nothing by default."""
        return Unconstrained(lattice)

    @classmethod
    def unconstrained(cls) -> bool:
        """Whether states of this kind forbid nothing, on any lattice."""
        return cls.constraint.__func__ is Ensemble.constraint.__func__  # type: ignore[attr-defined]

    @classmethod
    def fixes_composition(cls) -> bool:
        """Whether states of this kind fix the atoms of every species, so that chemical potentials have no effect."""
        return False

    @classmethod
    def feature_names(cls, lattice: Lattice) -> tuple[str, ...]:
        """What a network reads of a state, in words, one for each column of `features`."""
        return ("beta", "1 / beta", *(f"mu {s}" for s in lattice.species), *(f"beta mu {s}" for s in lattice.species))

    @classmethod
    def features(cls, conditions: Conditions) -> torch.Tensor:
        """What a network reads of each state, (batch, features), float64, not scaled yet."""
        beta, mu = conditions.beta.double()[:, None], conditions.mu.double()
        return torch.cat([beta, 1 / beta, mu, beta * mu], 1)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Ensemble.from_dict` reads: ``ensemble``, the name, and the arguments of the class."""

    def facts(self, lattice: Lattice) -> dict[str, str | float]:
        """What exported structures carry of the state, by name."""
        return {"ensemble": self.name, "temperature": self.temperature}

    def fractions(self, lattice: Lattice) -> dict[str, float]:
        """Fractions of all sites that the state fixes, by species; none by default."""
        return {}

    @classmethod
    def parse(cls, temperature: float, settings: Mapping[str, Any]) -> Ensemble:
        """The state of the command line.

        Args:
            temperature: of ``--temperature``.
            settings: ``mu`` and ``composition``, mappings by species, where they were given, and what ``--state NAME=VALUE`` gave.

        Raises:
            InputError: a setting that this kind of states does not have.
        """
        return cls.of_plain({"temperature": temperature, **settings})

    # -- for everyone ----------------------------------------------------------------------------

    def beta(self, units: str) -> float:
        """1 / kT in the inverse of ``units``.

        Raises:
            InputError: a temperature so low or high that single precision cannot hold 1 / kT.
        """
        kt = boltzmann_constant(units) * self.temperature
        if not 1e-30 < kt < 1e30:
            raise InputError("temperature", self.temperature, f"gives kT = {kt:.3g} {units}; it must be between 1e-30 and 1e30")
        return 1.0 / kt

    def log_f(self, lattice: Lattice, units: str, energy: torch.Tensor, occupations: torch.Tensor) -> torch.Tensor:
        """Unnormalised log f(x) = -(E - sum mu_i N_i) / kT, shape (batch,), float64; -inf where the state forbids the configuration."""
        numbers = torch.nn.functional.one_hot(occupations.long(), lattice.n_species).sum(-2)
        mu = torch.tensor(self.mu_vector(lattice), dtype=torch.float64, device=energy.device)
        value = -self.beta(units) * (energy.double() - numbers.double() @ mu)
        return torch.where(self.allows(lattice, occupations), value, -torch.inf)

    def allows(self, lattice: Lattice, partial: torch.Tensor) -> torch.Tensor:
        """Whether configurations (batch, sites), -1 where unknown, can be completed to one that the state allows, bool (batch,)."""
        targets = torch.tensor(self.targets(lattice), device=partial.device).expand(len(partial), -1)
        return self.constraint(lattice).to(partial.device).completable(partial.long(), targets)

    def counts(self, lattice: Lattice) -> list[int] | None:
        """Deprecated unless the state is `Canonical`: see `targets`."""
        warn_of_old_name("counts", "targets")
        return None

    @classmethod
    def of_plain(cls, fields: Mapping[str, Any]) -> Self:
        """This kind of state from its arguments by name."""
        try:
            return cls(**fields)
        except TypeError:
            known = [name for name in inspect.signature(cls).parameters if name != "self"]
            unknown = next((name for name in fields if name not in known), None)
            name, value = ("state", dict(fields)) if unknown is None else (unknown, fields[unknown])
            raise InputError(name, value, f"{cls.name or cls.__name__} takes {', '.join(known)}") from None

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Ensemble:
        """The state that `to_dict` described, of a registered ensemble."""
        from arlattice.build import ensemble_class
        from arlattice.hooks.manager import default_manager

        fields = dict(of_type("ensemble", data, Mapping, "give what to_dict gave"))
        kind = ensemble_class(fields.pop("ensemble", ""))
        try:
            with default_manager().ensembles[kind.name].contained("cannot make a state", passing=(TypeError,)):
                return kind(**fields)
        except TypeError:
            raise InputError("ensemble", data, "give what to_dict gave") from None


@dataclass(frozen=True)
class SemiGrandCanonical(Ensemble):
    """Fixed temperature and chemical potentials; the composition fluctuates.

    Args:
        temperature: in K (or in units of J/k for Hamiltonians in reduced units), > 0.
        chemical_potentials: species -> mu, energy units per atom; not named means 0.
    """

    name: ClassVar[str] = "semi-grand-canonical"
    temperature: float
    chemical_potentials: ChemicalPotentials

    def __init__(self, temperature: float, chemical_potentials: Mapping[str, float] | None = None) -> None:
        object.__setattr__(self, "temperature", _temperature(temperature))
        given = chemical_potentials
        if given is not None and not isinstance(given, Mapping):
            raise InputError("chemical_potentials", given, "give a mapping, e.g. {'Au': 0.05}")
        object.__setattr__(self, "chemical_potentials", given if isinstance(given, ChemicalPotentials) else ChemicalPotentials(given))

    def mu_vector(self, lattice: Lattice) -> list[float]:
        return self.chemical_potentials.vector(lattice)

    def to_dict(self) -> dict[str, Any]:
        return {"ensemble": self.name, "temperature": self.temperature, "chemical_potentials": dict(self.chemical_potentials)}

    def facts(self, lattice: Lattice) -> dict[str, str | float]:
        """See `Ensemble.facts`; ``mu_<species>`` too."""
        potentials = zip(lattice.species, self.mu_vector(lattice), strict=True)
        return super().facts(lattice) | {f"mu_{species}": mu for species, mu in potentials}

    @classmethod
    def parse(cls, temperature: float, settings: Mapping[str, Any]) -> SemiGrandCanonical:
        """See `Ensemble.parse`."""
        given = dict(settings)
        return cls.of_plain({"temperature": temperature, "chemical_potentials": given.pop("mu", None), **given})


@dataclass(frozen=True)
class Canonical(Ensemble):
    """Fixed temperature and composition.

    Args:
        temperature: as in `SemiGrandCanonical`.
        composition: species -> number of atoms (int), or fraction of all sites (float, must give whole
            numbers of atoms). One species may be left out: it takes the sites that remain.

    All species are fixed. A state that fixes some sublattices and leaves others to chemical potentials is a sum over these
    states: Z = sum over n of exp(beta mu n) Z(n), n the numbers of atoms that are left free.
    """

    name: ClassVar[str] = "canonical"
    temperature: float
    composition: tuple[tuple[str, float], ...]

    def __init__(self, temperature: float, composition: Mapping[str, float], chemical_potentials: None = None) -> None:
        object.__setattr__(self, "temperature", _temperature(temperature))
        if chemical_potentials is not None:  # an argument for this line only: the state that people look for first
            raise InputError("chemical_potentials", chemical_potentials, f"a Canonical state fixes every species; {_SUM}")
        if not isinstance(composition, Mapping) or not composition:
            raise InputError("composition", composition, "give a mapping, e.g. {'Au': 16} or {'Au': 0.25}")
        for species, amount in composition.items():
            if finite_number(f"composition[{species}]", amount) < 0:
                raise InputError(f"composition[{species}]", amount, "must be >= 0")
        object.__setattr__(self, "composition", tuple((str(s), _amount(a)) for s, a in composition.items()))

    @classmethod
    def fixes_composition(cls) -> bool:
        """See `Ensemble.fixes_composition`."""
        return True

    @classmethod
    def constraint(cls, lattice: Lattice) -> Constraint:
        """See `Ensemble.constraint`."""
        return FixedComposition(lattice)

    def targets(self, lattice: Lattice) -> list[float]:
        """The numbers of atoms; see `counts`."""
        return list(self.counts(lattice))

    def fractions(self, lattice: Lattice) -> dict[str, float]:
        """See `Ensemble.fractions`."""
        return {s: n / lattice.n_sites for s, n in zip(lattice.species, self.counts(lattice), strict=True)}

    def counts(self, lattice: Lattice) -> list[int]:
        """Atoms of every species.

        Raises:
            InputError: unknown species, fractions that do not give whole atoms, or a total or a
                sublattice that does not fit the supercell.
        """
        numbers = {s: _atoms(s, a, lattice) for s, a in self.composition}
        missing = [s for s in lattice.species if s not in numbers]
        remaining = lattice.n_sites - sum(numbers.values())
        if len(missing) == 1 and remaining >= 0:
            numbers[missing[0]] = remaining
        if sum(numbers.values()) != lattice.n_sites:
            cure = f"the numbers of atoms must add up to the {lattice.n_sites} sites"
            left = f"; {', '.join(missing)} are not given and cannot be free: {_SUM}" if len(missing) > 1 else ""
            raise InputError("composition", dict(self.composition), cure + left)
        counts = [numbers.get(s, 0) for s in lattice.species]
        _check_fits(lattice, counts, dict(self.composition))
        return counts

    def to_dict(self) -> dict[str, Any]:
        return {"ensemble": self.name, "temperature": self.temperature, "composition": dict(self.composition)}


def _temperature(value: Any) -> float:
    number = finite_number("temperature", value)
    if number <= 0:
        raise InputError("temperature", value, "must be > 0")
    return number


def _amount(value: Any) -> float:
    return int(value) if isinstance(value, Integral) else float(value)


def _atoms(species: str, amount: float, lattice: Lattice) -> int:
    lattice.species_index(species, "composition")
    if isinstance(amount, int):
        return amount
    atoms = amount * lattice.n_sites
    if amount > 1 or abs(atoms - round(atoms)) > 1e-6:
        raise InputError(
            f"composition[{species}]", amount, f"give a whole number of atoms, or a fraction of all {lattice.n_sites} sites that makes one"
        )
    return round(atoms)


def _check_fits(lattice: Lattice, counts: list[int], given: Mapping[str, float]) -> None:
    """Hall's condition: the sites that only hold species of a subset are no more than those atoms."""
    rows, sites = torch.unique(lattice.allowed, dim=0, return_counts=True)
    for subset in range(1, 2**lattice.n_species):
        inside = torch.tensor([bool(subset >> s & 1) for s in range(lattice.n_species)])
        captive = int(sites[(rows & ~inside).sum(1) == 0].sum())
        if captive > sum(c for c, i in zip(counts, inside.tolist(), strict=True) if i):
            raise InputError("composition", dict(given), "does not fit: the sublattices cannot hold these numbers of atoms")
