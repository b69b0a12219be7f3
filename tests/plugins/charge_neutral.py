"""States whose charges add up to zero: an ensemble with a linear constraint, and a Monte Carlo move that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

import arlattice as arl
from arlattice.arguments import finite_number, whole_number
from arlattice.conditions import Conditions
from arlattice.constraint import Constraint
from arlattice.hooks.hookspecs import Register
from arlattice.montecarlo.moves import Sweep, for_ensembles
from arlattice.random_numbers import Stream

HIGHEST = 2
"""The highest charge of a species, in elementary charges."""


class Neutral(Constraint):
    """The charges of all sites add up to zero; the charges of the species (B, species) are the targets."""

    def completable(self, partial: Tensor, targets: Tensor) -> Tensor:
        """The sums that the unknown sites can reach, site by site, and whether the one that is missing is among them."""
        zero = HIGHEST * partial.shape[1]  # where the sum 0 stands
        sums = torch.arange(2 * zero + 1, device=partial.device)
        reached = (sums == zero).expand(len(partial), -1)
        before = (sums - targets[:, :, None]).clamp(0, 2 * zero)  # (B, species, sums): the sum without one atom of the species
        for site in range(partial.shape[1]):
            further = (reached[:, None].expand_as(before).gather(2, before) & self.allowed[site][:, None]).any(1)
            reached = torch.where(partial[:, site : site + 1] < 0, further, reached)
        there = (targets.gather(1, partial.clamp(min=0)) * (partial >= 0)).sum(1)
        return reached.gather(1, zero - there[:, None])[:, 0]


@dataclass(frozen=True)
class ChargeNeutral(arl.Ensemble):
    """Fixed temperature and chemical potentials, among configurations without a net charge.

    Args:
        temperature: as in `arlattice.SemiGrandCanonical`.
        charges: species -> charge, whole numbers of elementary charges; not named means 0.
        chemical_potentials: as in `arlattice.SemiGrandCanonical`.
    """

    name: ClassVar[str] = "charge-neutral"
    temperature: float
    charges: tuple[tuple[str, int], ...]
    chemical_potentials: arl.ChemicalPotentials

    def __init__(self, temperature: float, charges: Mapping[str, int], chemical_potentials: Mapping[str, float] | None = None) -> None:
        if finite_number("temperature", temperature) <= 0:
            raise arl.InputError("temperature", temperature, "must be > 0")
        if not isinstance(charges, Mapping):
            raise arl.InputError("charges", charges, "give a mapping, e.g. {'Na': 1, 'Cl': -1}")
        pairs = tuple((s, whole_number(f"charges[{s}]", c, -HIGHEST, HIGHEST)) for s, c in charges.items())
        object.__setattr__(self, "temperature", float(temperature))
        object.__setattr__(self, "charges", pairs)
        object.__setattr__(self, "chemical_potentials", arl.ChemicalPotentials(chemical_potentials))

    def mu_vector(self, lattice: arl.Lattice) -> list[float]:
        return self.chemical_potentials.vector(lattice)

    def targets(self, lattice: arl.Lattice) -> list[float]:
        """The charge of every species."""
        for species, _ in self.charges:
            lattice.species_index(species, "charges")
        return [dict(self.charges).get(species, 0) for species in lattice.species]

    @classmethod
    def constraint(cls, lattice: arl.Lattice) -> Constraint:
        return Neutral(lattice)

    def to_dict(self) -> dict[str, Any]:
        plain = {"temperature": self.temperature, "charges": dict(self.charges), "chemical_potentials": dict(self.chemical_potentials)}
        return {"ensemble": self.name, **plain}

    def facts(self, lattice: arl.Lattice) -> dict[str, str | float]:
        charges = zip(lattice.species, self.targets(lattice), strict=True)
        return super().facts(lattice) | {f"charge_{species}": charge for species, charge in charges}

    @classmethod
    def parse(cls, temperature: float, settings: Mapping[str, Any]) -> ChargeNeutral:
        given = dict(settings)
        return cls.of_plain({"temperature": temperature, "chemical_potentials": given.pop("mu", None), **given})


@for_ensembles(ChargeNeutral.name)
def neutral_pairs(hamiltonian: arl.Hamiltonian) -> Sweep:
    """Two sites are offered any two species of the same charge together, accepted with Metropolis probability.

    As many pairs a sweep as there are sites. It reaches every configuration where changes of two sites lead to all.
    """
    lattice = hamiltonian.lattice
    q = lattice.n_species
    first, second = torch.cartesian_prod(torch.arange(q), torch.arange(q)).to(hamiltonian.device).T
    allowed = lattice.allowed.to(hamiltonian.device)

    def step(x: Tensor, state: Conditions, sites: Tensor, noise: Tensor) -> Tensor:
        there, charge = x.gather(1, sites), state.targets
        fits = charge[:, first] + charge[:, second] == charge.gather(1, there).sum(1, keepdim=True)
        fits = fits & allowed[sites[:, 0]][:, first] & allowed[sites[:, 1]][:, second]
        ends = fits.double().cumsum(1)  # each offer is equally likely, there and back
        offer = (ends <= noise[0, :, None] * ends[:, -1:]).sum(1)
        new = x.scatter(1, sites, torch.stack([first[offer], second[offer]], 1))
        change = state.log_f(hamiltonian.energy(new), new) - state.log_f(hamiltonian.energy(x), x)
        return torch.where((noise[1] < change.double().exp())[:, None], new, x)

    def sweep(x: Tensor, state: Conditions, stream: Stream) -> Tensor:
        chains, n = x.shape
        a = stream["first"].integers(n, n, chains)
        b = (a + 1 + stream["second"].integers(n - 1, n, chains)) % n  # another site
        noise = stream["offers"].uniform(2 * n, chains).view(n, 2, chains)
        for k in range(n):
            x = step(x, state, torch.stack([a[k], b[k]], 1), noise[k])
        return x

    return sweep


@arl.hookimpl
def arlattice_register_ensembles(register: Register) -> None:
    register(ChargeNeutral.name, ChargeNeutral, summary="fixed temperature and chemical potentials, no net charge")


@arl.hookimpl
def arlattice_register_moves(register: Register) -> None:
    register("neutral-pairs", neutral_pairs, summary="pairs of sites change their species, not their charge")
