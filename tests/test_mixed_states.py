"""Composition fixed on one sublattice and another at mu: refused with a cure, and the cure is right; likewise neutral cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms

import arlattice as arl
from arlattice.errors import InputError
from arlattice.montecarlo import sample_chains
from arlattice.thermo.exact import Enumeration

CLATHRATE = arl.Lattice.from_ase(
    Atoms("Si4Ba", scaled_positions=[[0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3], [0.4, 0.4, 0], [0.5, 0.5, 0.5]], cell=[5, 6, 7], pbc=True),
    [["Mg", "Si"]] * 4 + [["Sr", "Ba"]],
    1,
)
TABLE = np.array([[0.0, 0, 0, 0], [0, 0.02, 0, 0.04], [0, 0, 0, 0], [0, 0.04, 0, 0]])  # Mg, Si, Sr, Ba
PAIRS = [((i, j), TABLE) for i in range(5) for j in range(i)]
ENUMERATION = Enumeration.of(arl.ClusterHamiltonian.from_terms(CLATHRATE, PAIRS, units="eV"))
MU, BETA = 0.1, 1 / (8.617333262e-5 * 500)


@pytest.mark.parametrize(
    ("composition", "words"),
    [
        ({"Si": 1, "Mg": 3}, "add up to the 5 sites; Sr, Ba are not given and cannot be free: for some at fixed mu add up"),
        ({"Si": 1}, "Mg, Sr, Ba are not given"),
        ({"Si": 0.25, "Mg": 0.75, "Ba": 1.0}, "a fraction of all 5 sites"),
        ({"Si": 2, "Mg": 3, "Ba": 0}, "the sublattices cannot hold these numbers"),
    ],
)
def test_a_composition_that_leaves_species_open_is_refused_with_the_cure(composition: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        ENUMERATION.log_f(arl.Canonical(500, composition))
    assert "\n" not in str(error.value)


def test_chemical_potentials_beside_a_composition_are_refused_with_the_cure() -> None:
    with pytest.raises(InputError, match="a Canonical state fixes every species; for some at fixed mu add up"):
        arl.Canonical(500, {"Si": 1, "Mg": 3}, {"Ba": MU})  # type: ignore[arg-type]


def test_the_cure_is_right() -> None:
    """One Si on four sites, Sr or Ba on the fifth at mu: 8 configurations, and the sum over two canonical states."""
    x, energy = ENUMERATION.occupations, ENUMERATION.energy
    chosen = (x == 1).sum(1) == 1
    assert int(chosen.sum()) == 8
    direct = float((-BETA * (energy - MU * (x == 3).double().sum(1)))[chosen].logsumexp(0))
    parts = [BETA * MU * n + ENUMERATION.log_z(arl.Canonical(500, {"Si": 1, "Mg": 3, "Ba": n, "Sr": 1 - n})) for n in (0, 1)]
    assert np.logaddexp.reduce(parts) == pytest.approx(direct, abs=1e-10)


def test_neutral_cells_are_a_sum_over_canonical_states_and_a_black_box_may_refuse_the_others() -> None:
    """Li+/vacancy and Fe3+/Mn4+ on four sites each: neutral where n(Li) = n(Fe), 70 configurations of 256."""
    atoms = Atoms("LiMn", scaled_positions=[[0, 0, 0.5], [0, 0, 0]], cell=[2.85, 2.85, 4.8, 90, 90, 120], pbc=True)
    lattice = arl.Lattice.from_ase(atoms, [["Li", "X"], ["Fe", "Mn"]], (2, 2, 1))
    charge = torch.tensor([{"Li": 1, "X": 0, "Fe": 3, "Mn": 4}[species] for species in lattice.species])
    rng = np.random.Generator(np.random.PCG64(0))
    pairs = [((i, j), (lambda m: m + m.T)(rng.normal(0, 0.02, (4, 4)))) for i in range(8) for j in range(i)]
    tables = arl.ClusterHamiltonian.from_terms(lattice, pairs, units="eV")
    whole = Enumeration.of(tables)
    neutral = charge[whole.occupations.long()].sum(1) == 16
    assert int(neutral.sum()) == 70
    truth = float((-whole.energy / (8.617333262e-5 * 700))[neutral].logsumexp(0))
    states = [arl.Canonical(700, {"Li": k, "X": 4 - k, "Fe": k, "Mn": 4 - k}) for k in range(5)]
    assert np.logaddexp.reduce([whole.log_z(state) for state in states]) == pytest.approx(truth, abs=1e-10)

    def energy(x: torch.Tensor) -> torch.Tensor:
        if bool((charge[x].sum(1) != 16).any()):
            raise ValueError("not neutral")
        return tables.energy(x)

    black_box = arl.FunctionHamiltonian(lattice, energy)
    for state in states:
        found = sample_chains(black_box, state, chains=4, sweeps=5, burn_in=2, thin=1)
        assert all(math.isfinite(e) for e in found.energy.tolist())
