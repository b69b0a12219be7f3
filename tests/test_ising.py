"""Ising and Potts energies against the sums that define them and against exact partition functions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import arlattice as arl


def all_states(n_sites: int, q: int = 2) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.arange(q)] * n_sites)


def torus_sum(states: torch.Tensor, size: tuple[int, ...], pair: object) -> torch.Tensor:
    """Sum of pair(x, neighbour) over sites and positive directions."""
    grid = states.reshape(-1, *size)
    total = sum(pair(grid, grid.roll(-1, axis + 1)).double() for axis in range(len(size)))  # type: ignore[operator]
    return total.flatten(1).sum(1)


@pytest.mark.parametrize("size", [(5,), (2,), (3, 3), (4, 2), (3, 4), (2, 2, 3)])
@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-0.7, 0.3)])
def test_ising_energies_of_all_states_are_the_defining_sum(size: tuple[int, ...], coupling: float, field: float) -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=size, J=coupling, h=field)
    states = all_states(int(np.prod(size)))
    spins = (2 * states - 1).double()
    expected = -coupling * torus_sum(spins, size, torch.mul) - field * spins.sum(1)
    assert torch.allclose(hamiltonian.energy(states), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "q"), [((4,), 4), ((3, 2), 3), ((2, 2, 2), 2)])
def test_potts_energies_of_all_states_are_the_defining_sum(size: tuple[int, ...], q: int) -> None:
    hamiltonian = arl.hamiltonian("potts", supercell=size, q=q, J=0.8)
    states = all_states(int(np.prod(size)), q)
    assert torch.allclose(hamiltonian.energy(states), -0.8 * torus_sum(states, size, torch.eq), rtol=0, atol=1e-12)


def test_ising_4x4_has_onsagers_level_counts_and_its_log_z() -> None:
    energies = arl.hamiltonian("ising", supercell=(4, 4)).energy(all_states(16))
    levels, counts = energies.unique(return_counts=True)
    assert dict(zip(levels.tolist(), counts.tolist(), strict=True)) == {
        **{-32: 2, -24: 32, -20: 64, -16: 424, -12: 1728, -8: 6688, -4: 13568, 0: 20524},
        **{4: 13568, 8: 6688, 12: 1728, 16: 424, 20: 64, 24: 32, 32: 2},
    }
    assert float(torch.logsumexp(-0.44 * energies, 0)) == pytest.approx(15.5047, abs=5e-5)


def test_the_chain_has_the_partition_function_of_its_transfer_matrix() -> None:
    beta, coupling, field, n = 0.6, 1.3, 0.4, 9
    energies = arl.hamiltonian("ising", supercell=n, J=coupling, h=field).energy(all_states(n))
    spin = np.array([-1.0, 1.0])
    transfer = np.exp(beta * (coupling * np.outer(spin, spin) + field * (spin[:, None] + spin) / 2))
    assert float(torch.logsumexp(-beta * energies, 0)) == pytest.approx(np.log(np.trace(np.linalg.matrix_power(transfer, n))), abs=1e-12)


def test_potts_with_two_states_is_ising_with_half_the_coupling() -> None:
    states = all_states(9)
    ising = arl.hamiltonian("ising", supercell=(3, 3), J=0.5).energy(states)
    potts = arl.hamiltonian("potts", supercell=(3, 3), q=2, J=1.0).energy(states)
    assert torch.allclose(potts, ising - 0.5 * 18, rtol=0, atol=1e-12)


def test_a_field_in_the_hamiltonian_is_a_chemical_potential_in_the_ensemble() -> None:
    states = all_states(9)
    bare, inside = arl.hamiltonian("ising", supercell=(3, 3)), arl.hamiltonian("ising", supercell=(3, 3), h=0.3)
    with_field = arl.SemiGrandCanonical(2.0, arl.ChemicalPotentials.from_field(0.3))
    outside = with_field.log_f(bare.lattice, bare.units, bare.energy(states), states)
    expected = arl.SemiGrandCanonical(2.0).log_f(inside.lattice, inside.units, inside.energy(states), states)
    assert torch.allclose(outside, expected, rtol=0, atol=1e-12)


def test_the_cubic_ground_states_are_the_two_aligned_ones() -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 4, 5), h=0.1)
    both = torch.stack([torch.zeros(60, dtype=torch.long), torch.ones(60, dtype=torch.long)])
    assert hamiltonian.energy(both).tolist() == pytest.approx([-180 + 6, -180 - 6])


@pytest.mark.parametrize(("name", "options"), [("ising", {"supercell": (3, 4), "J": -1.0, "h": 0.2}), ("potts", {"supercell": 4, "q": 5})])
def test_the_recorded_options_build_the_same_hamiltonian(name: str, options: dict[str, object]) -> None:
    hamiltonian = arl.hamiltonian(name, **options)
    assert hamiltonian.units == "reduced"
    assert arl.hamiltonian(name, **hamiltonian.options).fingerprint == hamiltonian.fingerprint


def test_species_are_down_and_up_or_the_state_numbers() -> None:
    assert arl.hamiltonian("ising", supercell=3).species == ("down", "up")
    assert arl.hamiltonian("potts", supercell=3, q=4).species == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("name", "options", "argument"),
    [
        ("ising", {}, "supercell"),
        ("ising", {"supercell": 1}, "supercell"),
        ("ising", {"supercell": ()}, "supercell"),
        ("ising", {"supercell": (3, 3, 3, 3)}, "supercell"),
        ("ising", {"supercell": (4, 2.5)}, "supercell"),
        ("ising", {"supercell": "wide"}, "supercell"),
        ("ising", {"supercell": 4, "j": 1.0}, "j"),
        ("ising", {"supercell": 4, "J": float("nan")}, "J"),
        ("ising", {"supercell": 4, "h": float("inf")}, "h"),
        ("potts", {"supercell": 4, "q": 1}, "q"),
        ("potts", {"supercell": 4, "q": 65}, "q"),
    ],
)
def test_bad_options_are_refused_naming_the_option(name: str, options: dict[str, object], argument: str) -> None:
    with pytest.raises(arl.InputError) as refused:
        arl.hamiltonian(name, **options)
    assert refused.value.argument.split(".")[0] == argument
    assert "\n" not in str(refused.value)


def test_every_bond_of_a_torus_counts_once_a_site_and_direction() -> None:
    for size in itertools.product((2, 3, 4), repeat=2):
        hamiltonian = arl.hamiltonian("ising", supercell=size)
        assert float(hamiltonian.energy(torch.zeros(1, hamiltonian.lattice.n_sites, dtype=torch.long))) == -2 * size[0] * size[1]


def test_a_stronger_coupling_is_another_hamiltonian() -> None:
    assert arl.hamiltonian("ising", supercell=(4, 4), J=2.0).fingerprint != arl.hamiltonian("ising", supercell=(4, 4), J=1.0).fingerprint
