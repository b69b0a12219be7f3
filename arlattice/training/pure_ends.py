"""Where the composition of an alloy changes with the chemical potentials, from the energies of its pure supercells.

With E(a), E(b) the energies of the supercell full of one species, and N the sites that may hold both, the pure ends cross at

    mu_b - mu_a = (E(b) - E(a)) / N.

At low temperatures the first b enters pure a at E(a with one b) - E(a), and the last a leaves pure b at E(b) - E(b with one a). Where the
first lies below the second the alloy mixes or orders in between; where it does not, the composition jumps at the crossing. Entropy widens
this by a few kT on either side. Intermediate phases that no single flip leads to may widen it further: this is guidance, no phase diagram.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from arlattice.ensemble import Ensemble
from arlattice.hamiltonians import Hamiltonian, energies_or_nan
from arlattice.training.health import TrainingWarning
from arlattice.training.states import States

__all__ = ["Crossing", "crossings", "warn_outside"]

_WIDTH = 4.0  # kT: an ideal solution has 2 % of the other species there


@dataclass(frozen=True)
class Crossing:
    """Two species, where they replace each other, and what a box of states covers.

    Attributes:
        pair: the species a, b.
        crossing: mu_b - mu_a at which the pure supercells have one grand potential, energy units per atom.
        changes: lowest and highest mu_b - mu_a at which the composition changes, at the highest temperature of the box.
        box: lowest and highest mu_b - mu_a of the states.
        units: of the energies.
    """

    pair: tuple[str, str]
    crossing: float
    changes: tuple[float, float]
    box: tuple[float, float]
    units: str

    @property
    def outside(self) -> bool:
        """Whether the box lies wholly outside of where the composition changes."""
        return self.box[1] < self.changes[0] or self.box[0] > self.changes[1]

    def __str__(self) -> str:
        a, b = self.pair
        zero = round(self.crossing, 9) + 0.0
        unit = "" if self.units == "reduced" else f" {self.units}"
        (low, high), (first, last) = self.changes, self.box
        found = f"pure {a} and pure {b} cross at mu({b}) - mu({a}) = {zero:.3g}{unit}, and the composition changes between about "
        covered = f"{low:.3g} and {high:.3g}; the states have {first:.3g} to {last:.3g}"
        if not self.outside:
            return f"{found}{covered}"
        end = a if self.box[1] < self.changes[0] else b
        return f"{found}{covered}, WHOLLY OUTSIDE: they hold nearly pure {end}; check sign and size of the chemical potentials"


def crossings(hamiltonian: Hamiltonian, states: Sequence[Ensemble]) -> list[Crossing]:
    """One for every pair of species that can fill the supercell, where the states leave the composition free.

    Args:
        hamiltonian: of the supercell.
        states: at the ends of what is trained on.
    """
    lattice = hamiltonian.lattice
    open_sites = lattice.allowed.sum(1) > 1
    if not states[0].constraint(lattice).free or not bool(open_sites.any()):
        return []
    ends = [s for s in range(lattice.n_species) if bool(lattice.allowed[open_sites, s].all())]
    potentials = [s.mu_vector(lattice) for s in states]
    kt = max(1 / s.beta(hamiltonian.units) for s in states)
    found = []
    for a, b in combinations(ends, 2):
        changes = _changes(hamiltonian, open_sites, a, b)
        if changes is not None:
            crossing, first, last = changes
            low, high = (first, last) if first < last else (crossing, crossing)
            differences = [mu[b] - mu[a] for mu in potentials]
            pair, wide = (lattice.species[a], lattice.species[b]), (low - _WIDTH * kt, high + _WIDTH * kt)
            found.append(Crossing(pair, crossing, wide, (min(differences), max(differences)), hamiltonian.units))
    return found


def warn_outside(hamiltonian: Hamiltonian, states: States) -> None:
    """Warn (`TrainingWarning`) where a box lies wholly outside of where the composition changes."""
    for crossing in crossings(hamiltonian, states.corners()):
        if crossing.outside:
            warnings.warn(str(crossing), TrainingWarning, stacklevel=3)


def _changes(hamiltonian: Hamiltonian, open_sites: torch.Tensor, a: int, b: int) -> tuple[float, float, float] | None:
    """Where the pure ends cross, the first b enters and the last a leaves; None where energies are refused."""
    base = hamiltonian.lattice.allowed.long().argmax(1)
    pure = [torch.where(open_sites, s, base) for s in (a, b)]
    sublattice = torch.from_numpy(hamiltonian.lattice.sublattice.copy())
    sites = [i for k in sublattice.unique() for i in (open_sites & (sublattice == k)).nonzero()[:1, 0]]  # others are their translations
    one_b, one_a = (torch.stack([p.index_fill(0, i[None], s) for i in sites]) for p, s in zip(pure, (b, a), strict=True))
    energies = energies_or_nan(hamiltonian.to("cpu", torch.float64), torch.cat([torch.stack(pure), one_b, one_a]))
    if not bool(energies.isfinite().all()):
        return None
    enter, leave = energies[2 : 2 + len(sites)] - energies[0], energies[1] - energies[2 + len(sites) :]
    return float(energies[1] - energies[0]) / int(open_sites.sum()), float(enter.min()), float(leave.max())
