"""icet's own Monte Carlo, our heat baths and the enumeration agree on the same states."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk

import arlattice as arl
from arlattice.montecarlo import sample_chains
from arlattice.thermo.autocorrelation import chain_mean
from arlattice.thermo.exact import Enumeration

icet = pytest.importorskip("icet")
mchammer = pytest.importorskip("arlattice_icet.mchammer")

pytestmark = [
    pytest.mark.filterwarnings("ignore::arlattice_icet.compile.SelfInteractionWarning"),
    pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning"),  # icet's way of calling spglib
]
STATES = [arl.SemiGrandCanonical(t, {"Au": mu}) for t in (700.0, 900.0, 1200.0) for mu in (-0.03, 0.05)]


@cache
def cuau(formation_energies: bool = True) -> Enumeration:
    """16 sites, 65,536 configurations."""
    return Enumeration.of(arl.hamiltonian("cuau", supercell=(2, 2, 4), formation_energies=formation_energies))


def exact(enumeration: Enumeration, state: arl.Ensemble) -> dict[str, float]:
    gold = (enumeration.occupations == 1).double().mean(1)
    return {"energy": enumeration.mean(state, enumeration.energy), "x_Au": enumeration.mean(state, gold)}


def deviations(samples: arl.SampleSet, truth: dict[str, float]) -> dict[str, float]:
    """In standard errors that allow for the autocorrelation."""
    means = {name: chain_mean(samples, name) for name in truth}
    return {name: (mean.value - truth[name]) / mean.error for name, mean in means.items()}


# -- agreement -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=str)
def test_mchammer_heat_baths_and_enumeration_agree(state: arl.Ensemble) -> None:
    """Energy and composition of six states, three ways, within 4 sigma: 36 comparisons fail for nothing in 2.3e-3 of the seeds."""
    hamiltonian, truth = cuau().hamiltonian, exact(cuau(), state)
    theirs = mchammer.run(hamiltonian, state, chains=4, sweeps=600, burn_in=100, thin=4)
    ours = sample_chains(hamiltonian, state, chains=200, sweeps=100, burn_in=60, thin=4)
    assert max(map(abs, deviations(theirs, truth).values())) < 4
    assert max(map(abs, deviations(ours, truth).values())) < 4
    for name in truth:
        one, other = chain_mean(theirs, name), chain_mean(ours, name)
        assert abs(one.value - other.value) < 4 * (one.error**2 + other.error**2) ** 0.5


def test_chemical_potentials_of_the_wrong_sign_fail_the_same_test() -> None:
    samples = mchammer.run(cuau().hamiltonian, arl.SemiGrandCanonical(900.0, {"Au": -0.05}), chains=4, sweeps=500, thin=4)
    assert min(map(abs, deviations(samples, exact(cuau(), STATES[3])).values())) > 8


def test_formation_energies_forgotten_in_mu_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """mchammer runs the expansion's own energies, which is another Delta mu, and the energies of its samples tell."""
    monkeypatch.setattr("arlattice_icet.cuau.PURE_ENERGIES", {"Cu": 0.0, "Au": 0.0})
    with pytest.raises(arl.InputError, match="not the one behind this Hamiltonian"):
        mchammer.run(cuau().hamiltonian, STATES[0], sweeps=10)


@pytest.mark.parametrize("formation_energies", [False, True])
def test_canonical_runs_agree_too(formation_energies: bool) -> None:
    """Energy at two temperatures and both references, within 4 sigma: 4 comparisons fail for nothing in 2.5e-4 of the seeds."""
    enumeration = cuau(formation_energies)
    for temperature in (700.0, 1200.0):
        state = arl.Canonical(temperature, {"Au": 6})
        samples = mchammer.run(enumeration.hamiltonian, state, chains=4, sweeps=400, burn_in=100, thin=4)
        assert bool((samples.occupations.sum(1) == 6).all())
        assert abs(deviations(samples, {"energy": enumeration.mean(state, enumeration.energy)})["energy"]) < 4


# -- other expansions ------------------------------------------------------------------------------


def expansion(symbols: list[Any], primitive: Any, seed: int = 7) -> Any:
    """Parameters from N(0, 0.02 eV), fixed seed."""
    space = icet.ClusterSpace(primitive, [4.5], symbols)
    return icet.ClusterExpansion(space, 0.02 * np.random.default_rng(seed).normal(size=len(space)))


def rock_salt() -> tuple[arl.Hamiltonian, Any]:
    given = expansion([["Na", "X"], ["Cl", "Br"]], bulk("NaCl", "rocksalt", a=5.6))
    return arl.hamiltonian("icet", expansion=given, supercell=(2, 2, 1)), given


def test_vacancies_on_one_of_two_sublattices_agree() -> None:
    """Energy, vacancies and bromine within 4 sigma of the enumeration: 3 comparisons fail for nothing in 2e-4 of the seeds."""
    hamiltonian, given = rock_salt()
    state = arl.SemiGrandCanonical(600.0, {"X": 0.05, "Br": -0.03})
    samples = mchammer.run(hamiltonian, state, expansion=given, chains=4, sweeps=1000, thin=4)
    enumeration = Enumeration.of(hamiltonian)
    truth = {"energy": enumeration.mean(state, enumeration.energy)}
    for symbol in ("X", "Br"):
        share = (enumeration.occupations == hamiltonian.lattice.species_index(symbol)).double().mean(1)
        truth[f"x_{symbol}"] = enumeration.mean(state, share)
    assert max(map(abs, deviations(samples, truth).values())) < 4


def test_an_expansion_in_a_file_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "ternary.ce"
    expansion(["Pd", "Au", "Cu"], bulk("Cu", "fcc", a=3.8)).write(str(path))
    hamiltonian = arl.hamiltonian("icet", expansion=str(path), supercell=2)
    samples = mchammer.run(hamiltonian, arl.SemiGrandCanonical(800.0, {"Au": 0.02}), sweeps=20)
    assert torch.equal(samples.energy, hamiltonian.energy(samples.occupations))
    expansion(["Pd", "Au", "Cu"], bulk("Cu", "fcc", a=3.8), seed=8).write(str(path))
    with pytest.raises(arl.InputError, match="the file has changed"):
        mchammer.run(hamiltonian, arl.SemiGrandCanonical(800.0), sweeps=20)


def test_an_expansion_with_other_energies_is_refused() -> None:
    hamiltonian, _ = rock_salt()
    other = expansion([["Na", "X"], ["Cl", "Br"]], bulk("NaCl", "rocksalt", a=5.6), seed=8)
    with pytest.raises(arl.InputError, match="not the one behind this Hamiltonian"):
        mchammer.run(hamiltonian, arl.SemiGrandCanonical(600.0), expansion=other, sweeps=10)


def test_what_mchammer_cannot_run_is_refused() -> None:
    hamiltonian, given = rock_salt()
    for case in (hamiltonian, arl.hamiltonian("ising", supercell=(3, 3))):
        with pytest.raises(arl.InputError, match="give the icet expansion behind"):
            mchammer.run(case, arl.SemiGrandCanonical(600.0))
    with pytest.raises(arl.InputError, match="mchammer does not run this state"):
        mchammer.run(cuau().hamiltonian, arl.Canonical(600.0, {"Au": 0}))
    with pytest.raises(arl.InputError, match="give a whole number >= 10"):
        mchammer.run(hamiltonian, arl.SemiGrandCanonical(600.0), expansion=given, sweeps=5)


# -- bookkeeping -----------------------------------------------------------------------------------


def test_one_seed_gives_one_run_and_pythons_random_numbers_stay_as_they_were() -> None:
    state, hamiltonian = STATES[0], cuau().hamiltonian
    random.seed(5)
    before = random.getstate()
    one = mchammer.run(hamiltonian, state, chains=2, sweeps=12, thin=4, burn_in=5, seed=1)
    assert random.getstate() == before
    random.random()
    same, other = (mchammer.run(hamiltonian, state, chains=2, sweeps=12, thin=4, burn_in=5, seed=seed) for seed in (1, 2))
    assert torch.equal(one.occupations, same.occupations) and not torch.equal(one.occupations, other.occupations)
    assert len(one) == 6 and one.log_prob is None
    assert [one.metadata[key] for key in ("sampler", "chains", "draws", "seed")] == ["mchammer", 2, 3, 1]


def test_the_random_numbers_stay_as_they_were_after_a_mistake_too() -> None:
    before = random.getstate()
    with pytest.raises(arl.InputError):
        mchammer.run(cuau().hamiltonian, arl.Canonical(600.0, {"Au": 0}))
    assert random.getstate() == before


def test_trust_is_given_by_the_caller_and_read_from_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ternary.ce"
    expansion(["Pd", "Au", "Cu"], bulk("Cu", "fcc", a=3.8)).write(str(path))
    hamiltonian = arl.hamiltonian("icet", expansion=str(path), supercell=2, trust=True)
    hamiltonian.options["trust"] = True
    asked: list[bool] = []
    read = mchammer.read_expansion

    def read_and_note(path: str, *, trust: bool = False) -> Any:
        asked.append(trust)
        return read(path, trust=trust)

    monkeypatch.setattr(mchammer, "read_expansion", read_and_note)
    state = arl.SemiGrandCanonical(800.0, {"Au": 0.02})
    first, second = (mchammer.run(hamiltonian, state, sweeps=20, seed=1, **given) for given in ({}, {"trust": True}))
    assert asked == [False, True]
    assert torch.equal(first.occupations, second.occupations)
