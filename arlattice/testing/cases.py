"""Small lattices with random energies and weights, on which everything can be enumerated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.ensemble import Canonical, Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import Lattice
from arlattice.models.base import Model
from arlattice.random_numbers import Stream
from arlattice.simple_lattices import square

__all__ = ["Case", "random_hamiltonian", "randomise", "small_cases"]


@dataclass(frozen=True)
class Case:
    """A Hamiltonian and a state small enough to enumerate (at most 4,096 configurations)."""

    name: str
    hamiltonian: Hamiltonian
    state: Ensemble

    def __str__(self) -> str:
        return self.name


def small_cases() -> list[Case]:
    """Lattices that differ in what goes wrong: species, sublattices, vacancies, skewed cells, fixed compositions."""
    fcc = _primitive(1, [("Cu", "Au")]), [[1, 1, 0], [-1, 2, 1], [0, 1, 3]]
    ternary = _primitive(1, [("Cu", "Au", "Ag")]), [[2, 1, 0], [0, 2, 1], [1, 0, 1]]
    rock_salt = _primitive(2, [("Na", "X"), ("Cl", "O", "X")]), (2, 2, 1)
    partial = _primitive(2, [("Na", "X"), ("Cl", "Na")]), (2, 1, 2)
    lattices = {
        "square 3x3": (square(3), SemiGrandCanonical(1.5, {"up": 0.2})),
        "skewed FCC": (fcc[0].with_supercell(fcc[1]), SemiGrandCanonical(1.2, {"Au": -0.3})),
        "skewed ternary": (ternary[0].with_supercell(ternary[1]), SemiGrandCanonical(1.5, {"Au": 0.2})),
        "two sublattices, vacancies": (rock_salt[0].with_supercell(rock_salt[1]), SemiGrandCanonical(1.5, {"Cl": 0.2})),
        "square 3x4, fixed composition": (square((3, 4)), Canonical(1.0, {"up": 4})),
        "ternary, fixed composition": (ternary[0].with_supercell(2), Canonical(1.5, {"Cu": 3, "Au": 3, "Ag": 2})),
        "two sublattices, fixed composition": (
            rock_salt[0].with_supercell(rock_salt[1]),
            Canonical(1.5, {"Cl": 2, "Na": 2, "O": 1, "X": 3}),
        ),
        "two sublattices, tight composition": (partial[0].with_supercell(partial[1]), Canonical(1.5, {"Na": 6, "Cl": 1, "X": 1})),
    }
    return [Case(name, random_hamiltonian(lattice, seed), state) for seed, (name, (lattice, state)) in enumerate(lattices.items())]


def random_hamiltonian(lattice: Lattice, seed: int = 0, scale: float = 0.3) -> ClusterHamiltonian:
    """Random tables on every site and pair and on eight triples: no symmetry, so that no mistake hides behind one.

    Args:
        lattice: a small lattice; the number of pairs grows as its square.
        seed: of numpy's PCG64.
        scale: standard deviation of the energies, reduced units.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    q, n = lattice.n_species, lattice.n_sites
    sites: list[tuple[int, ...]] = [(i,) for i in range(n)] + list(combinations(range(n), 2))
    if n > 2:
        sites += [tuple(rng.choice(n, 3, replace=False).tolist()) for _ in range(8)]
    terms = [(s, rng.normal(scale=scale, size=(q,) * len(s))) for s in sites]
    return ClusterHamiltonian.from_terms(lattice, terms, 0.7, units="reduced", name="random")


def randomise(model: Model, seed: int = 0, scale: float = 0.2) -> Model:
    """Draw all weights from ``seed`` and let the state act: a fresh model often starts at zeros, which hide mistakes.

    Adds noise of standard deviation ``scale``. Changes the model in place and returns it.
    """
    model.initialise(seed)
    stream = Stream(seed, "randomise")
    with torch.no_grad():
        for parameter in model.parameters():
            noise = (2 * stream.uniform(1, parameter.numel()) - 1).view(parameter.shape)
            parameter.add_(3**0.5 * scale * noise.to(parameter))
        model.state_inverse_scale.fill_(0.3)
    return model


def _primitive(sites: int, allowed: list[tuple[str, ...]]) -> Lattice:
    """FCC with one site, or rock salt with two."""
    species = tuple(dict.fromkeys(s for names in allowed for s in names))
    cell = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
    return Lattice(cell, np.array([[0.0] * 3, [0.5] * 3])[:sites], tuple(allowed), np.eye(3, dtype=int), species)
