"""Exact references agree with each other and with the published table."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase.build import bulk

import arlattice as arl
from arlattice.testing import small_cases
from arlattice.thermo import exact
from arlattice.thermo.exact import Enumeration, enumerate_configurations, ising_torus_log_z

BETA_C = math.log(1 + math.sqrt(2)) / 2  # the table rounds it to 0.4406868
TABLE = {  # log Z, J = 1, no field: Kaufman's formula, checked elsewhere against a transfer matrix to 1e-10
    0.28: {
        4: 12.5307,
        5: 19.4770,
        8: 49.7401,
        10: 77.7107,
        16: 198.9354,
        20: 310.8366,
        24: 447.6046,
        32: 795.7416,
        64: 3182.9663,
        128: 12731.8654,
    },
    0.44: {
        4: 15.5047,
        5: 23.8599,
        8: 60.0763,
        10: 93.5091,
        16: 238.3872,
        20: 372.1220,
        24: 535.5761,
        32: 951.6421,
        64: 3804.6776,
        128: 15216.8522,
    },
    BETA_C: {
        4: 15.5219,
        5: 23.8863,
        8: 60.1418,
        10: 93.6103,
        16: 238.6423,
        20: 372.5183,
        24: 536.1446,
        32: 952.6481,
        64: 3808.6723,
        128: 15232.7693,
    },
    0.6: {
        4: 20.0565,
        5: 30.9470,
        8: 78.1416,
        10: 121.7064,
        16: 310.4870,
        20: 484.7461,
        24: 697.7294,
        32: 1239.8687,
        64: 4957.3954,
        128: 19827.5022,
    },
}


@pytest.mark.parametrize("beta", TABLE)
def test_kaufmans_formula_gives_the_published_table(beta: float) -> None:
    for length, log_z in TABLE[beta].items():
        assert ising_torus_log_z(length, beta) == pytest.approx(log_z, abs=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 3), (3, 4), (4, 4), (2, 7), (5, 3)])
@pytest.mark.parametrize("beta", [0.05, 0.3, BETA_C, 0.9])
def test_kaufmans_formula_is_the_enumerated_sum(size: tuple[int, int], beta: float) -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=size)
    enumerated = Enumeration.of(hamiltonian).log_z(arl.SemiGrandCanonical(1 / beta))
    assert ising_torus_log_z(size[0], beta, size[1]) == pytest.approx(enumerated, abs=1e-10)


def test_the_two_sides_of_the_torus_may_be_exchanged() -> None:
    for beta in (0.2, 0.44, 0.7):
        assert ising_torus_log_z(9, beta, 14) == pytest.approx(ising_torus_log_z(14, beta, 9), abs=1e-9)


def test_large_and_cold_tori_stay_finite() -> None:
    """Far below T_c, log Z = log 2 + 2 beta N + N exp(-8 beta): the two ground states and their single flips."""
    for beta in (3.0, 20.0):
        assert ising_torus_log_z(64, beta) == pytest.approx(math.log(2) + 64**2 * (2 * beta + math.exp(-8 * beta)), abs=1e-9)


@pytest.mark.parametrize(
    ("length", "beta", "width", "argument"),
    [(1, 0.4, None, "length"), (4, 0.0, None, "beta"), (4, math.nan, None, "beta"), (4, 0.4, 1, "length")],
)
def test_impossible_tori_are_told(length: int, beta: float, width: int | None, argument: str) -> None:
    with pytest.raises(arl.InputError, match=argument):
        ising_torus_log_z(length, beta, width)


def test_every_configuration_comes_once_whatever_the_batches() -> None:
    lattice = small_cases()[3].hamiltonian.lattice
    whole = torch.cat(list(enumerate_configurations(lattice)))
    assert len(whole) == len(torch.unique(whole, dim=0)) == 2**4 * 3**4
    assert torch.equal(lattice.check_occupations(whole), whole)
    batches = list(enumerate_configurations(lattice, batch_size=100))
    assert max(map(len, batches)) == 100
    assert torch.equal(torch.cat(batches), whole)


def test_configurations_are_counted_with_the_last_site_fastest() -> None:
    assert torch.cat(list(enumerate_configurations(arl.chain(2)))).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_enumeration_stops_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(arl.InputError, match="smaller supercell"):
        next(enumerate_configurations(arl.square(5)))
    monkeypatch.setattr(exact, "LIMIT", 512)
    assert sum(map(len, enumerate_configurations(arl.square(3)))) == 512
    with pytest.raises(arl.InputError, match="smaller supercell"):
        next(enumerate_configurations(arl.square((2, 5))))


def test_independent_sites_have_a_closed_form() -> None:
    """log Z = sum_i log sum_s exp(-beta (e_is - mu_s)) over the species that site i may hold."""
    lattice = arl.Lattice.from_ase(bulk("NaCl", "rocksalt", a=5.6), [["Na", "X"], ["Cl", "O", "X"]], (2, 1, 1))
    energies = np.random.default_rng(0).normal(size=(4, 4))
    hamiltonian = arl.ClusterHamiltonian.from_terms(lattice, [((i,), row) for i, row in enumerate(energies)], units="reduced")
    state, mu = arl.SemiGrandCanonical(0.7, {"Na": 0.3, "O": -0.2}), np.array([0.3, 0.0, 0.0, -0.2])
    assert lattice.species == ("Na", "X", "Cl", "O")
    weights = np.where(lattice.allowed.numpy(), np.exp(-(energies - mu) / 0.7), 0)
    enumeration = Enumeration.of(hamiltonian)
    assert enumeration.log_z(state) == pytest.approx(float(np.log(weights.sum(1)).sum()), abs=1e-12)
    vacancies = (enumeration.occupations == 1).sum(1)
    expected = (weights[:, 1] / weights.sum(1)).sum()
    assert enumeration.mean(state, vacancies) == pytest.approx(float(expected), abs=1e-12)


def test_fixed_compositions_add_up_to_the_grand_sum() -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
    enumeration, field, kt = Enumeration.of(hamiltonian), 0.25, 2.0
    parts = [enumeration.log_z(arl.Canonical(kt, {"up": n})) + field * n / kt for n in range(10)]
    assert np.logaddexp.reduce(parts) == pytest.approx(enumeration.log_z(arl.SemiGrandCanonical(kt, {"up": field})), abs=1e-12)


def test_the_field_of_the_mam_paper() -> None:
    """3x3 with K = 0.2, h = 0.2 by the transfer matrix, so that field and coupling have the paper's meaning."""
    spins = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [-1, -1, -1]])
    within = 0.2 * (spins * np.roll(spins, 1, 1)).sum(1) + 0.2 * spins.sum(1)
    transfer = np.exp(0.2 * spins @ spins.T + (within[:, None] + within) / 2)
    expected = math.log(np.trace(np.linalg.matrix_power(transfer, 3)))
    state = arl.SemiGrandCanonical(5.0, arl.ChemicalPotentials.from_field(1.0))
    assert Enumeration.of(arl.hamiltonian("ising", supercell=(3, 3))).log_z(state) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning", "ignore::arlattice_icet.compile.SelfInteractionWarning")
def test_cuau_2x2x4_formation_energies() -> None:
    """All 65,536 states: log Z without a field, and a 6-fold ground state of -36.1825 meV a site."""
    pytest.importorskip("icet")
    enumeration = Enumeration.of(arl.hamiltonian("cuau", supercell=(2, 2, 4), formation_energies=True))
    table = {200: 35.480, 300: 24.363, 500: 15.6017, 680: 12.5425, 800: 11.622, 1000: 10.990, 1200: 10.7872}
    for temperature, log_z in table.items():
        assert enumeration.log_z(arl.SemiGrandCanonical(temperature)) == pytest.approx(log_z, abs=6e-4)
    lowest = enumeration.energy.min()
    assert float(lowest) / 16 == pytest.approx(-36.1825e-3, abs=5e-8)
    assert int((enumeration.energy < lowest + 1e-9).sum()) == 6
