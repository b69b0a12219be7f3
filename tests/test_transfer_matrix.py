"""The transfer matrix is the enumerated sum, Kaufman's formula without a field, and the MAM paper's system with one."""

from __future__ import annotations

import math

import pytest

import arlattice as arl
from arlattice.thermo.exact import Enumeration, ising_torus_log_z
from arlattice.thermo.transfer_matrix import ising_transfer_matrix_log_z


@pytest.mark.parametrize("size", [(2, 2), (2, 5), (3, 3), (3, 4), (4, 4), (5, 3)], ids=str)
@pytest.mark.parametrize("coupling", [1.0, -0.8, 0.0])
@pytest.mark.parametrize("field", [0.0, 0.3, -1.1])
def test_it_is_the_enumerated_sum(size: tuple[int, int], coupling: float, field: float) -> None:
    """Sides of 2, with both bonds between their two sites, and frustrated odd rings among them."""
    enumeration = Enumeration.of(arl.hamiltonian("ising", supercell=size, J=coupling))
    for beta in (0.05, 0.44, 2.0):
        state = arl.SemiGrandCanonical(1 / beta, arl.ChemicalPotentials.from_field(field))
        assert ising_transfer_matrix_log_z(*size, beta, field, coupling) == pytest.approx(enumeration.log_z(state), rel=1e-13)


@pytest.mark.parametrize("size", [(2, 9), (9, 10), (10, 10), (7, 64)], ids=str)
@pytest.mark.parametrize("beta", [0.2, 0.44068679, 1.0, 20.0])
def test_without_a_field_it_is_kaufmans_formula(size: tuple[int, int], beta: float) -> None:
    assert ising_transfer_matrix_log_z(*size, beta) == pytest.approx(ising_torus_log_z(size[0], beta, size[1]), abs=1e-9, rel=1e-14)


def test_the_sides_may_be_exchanged_and_the_field_reversed() -> None:
    value = ising_transfer_matrix_log_z(4, 15, 0.5, 0.2)
    assert ising_transfer_matrix_log_z(15, 4, 0.5, 0.2) == value
    assert ising_transfer_matrix_log_z(4, 15, 0.5, -0.2) == pytest.approx(value, rel=1e-14)


def test_without_bonds_the_sites_are_independent() -> None:
    expected = 9 * 13 * math.log(2 * math.cosh(0.7 * 0.3))
    assert ising_transfer_matrix_log_z(9, 13, 0.7, 0.3, coupling=0.0) == pytest.approx(expected, rel=1e-14)
    assert ising_transfer_matrix_log_z(9, 13, 0.0, 0.3) == pytest.approx(9 * 13 * math.log(2), rel=1e-14)


def test_the_ising_system_of_the_mam_paper() -> None:
    """10x10, K = 0.2, h = 0.2: the paper's x^T J x counts each bond of sigma = 0.1 twice."""
    assert ising_transfer_matrix_log_z(10, 10, 1.0, field=0.2, coupling=0.2) == pytest.approx(78.6881, abs=5e-5)
    assert ising_transfer_matrix_log_z(10, 10, 0.2, field=1.0) == pytest.approx(78.6881, abs=5e-5)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ((1, 4, 0.4), "width"),
        ((13, 14, 0.4), "width"),
        ((4, 4, -0.1), "beta"),
        ((4, 4, math.nan), "beta"),
        ((4, 4, 0.4, math.inf), "field"),
        ((4, 4, 0.4, 0.0, math.nan), "coupling"),
    ],
)
def test_impossible_tori_are_told(arguments: tuple[float, ...], argument: str) -> None:
    with pytest.raises(arl.InputError, match=f"^{argument} = "):
        ising_transfer_matrix_log_z(*arguments)  # type: ignore[arg-type]
