"""What a chemical potential means here and elsewhere, and which compositions fit a supercell."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import arlattice as arl

FCC_8 = arl.Lattice.from_ase(bulk("Cu", "fcc", a=3.8), ["Cu", "Au"], 2)
ROCK_SALT_4 = arl.Lattice.from_ase(bulk("NaCl", "rocksalt", a=5.6), [["Na", "X"], ["Cl", "X"]], (2, 1, 1))
KB = 8.617333262e-5


def all_states(lattice: arl.Lattice) -> torch.Tensor:
    columns = [torch.nonzero(row)[:, 0] for row in lattice.allowed]
    return torch.cartesian_prod(*columns)


def log_f(state: arl.Ensemble, lattice: arl.Lattice, energies: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    return state.log_f(lattice, "eV", energies, states)


def is_constant(values: torch.Tensor) -> bool:
    return float(values.max() - values.min()) < 1e-12


def test_log_f_is_minus_energy_less_mu_n_over_kt() -> None:
    states = all_states(FCC_8)
    energies = torch.linspace(-1, 1, len(states), dtype=torch.float64)
    state = arl.SemiGrandCanonical(680, {"Cu": 0.02, "Au": -0.05})
    gold = states.sum(1).double()
    expected = -(energies - 0.02 * (8 - gold) + 0.05 * gold) / (KB * 680)
    assert torch.allclose(log_f(state, FCC_8, energies, states), expected, rtol=1e-14)


def test_only_differences_of_chemical_potentials_matter() -> None:
    states, energies = all_states(FCC_8), torch.zeros(256, dtype=torch.float64)
    one = log_f(arl.SemiGrandCanonical(680, {"Cu": 0.3, "Au": 0.35}), FCC_8, energies, states)
    other = log_f(arl.SemiGrandCanonical(680, arl.ChemicalPotentials.from_difference("Au", 0.05)), FCC_8, energies, states)
    assert is_constant(one - other)


def test_cleases_mu_is_half_the_difference() -> None:
    """CLEASE: E - mu * sum of the +-1 singlets."""
    states, energies = all_states(FCC_8), torch.zeros(256, dtype=torch.float64)
    clease = 0.03 * (2 * states - 1).sum(1).double() / (KB * 500)
    ours = log_f(arl.SemiGrandCanonical(500, arl.ChemicalPotentials.from_clease("Au", 0.03)), FCC_8, energies, states)
    assert is_constant(ours - clease)


def test_metadns_field_acts_on_formation_energies() -> None:
    """Metadns: E_form - field * sum(2x - 1); on the expansion's own energies Delta mu = 2 field + (e_Au - e_Cu)."""
    states = all_states(FCC_8)
    gold = states.sum(1).double()
    formation = torch.sin(torch.arange(256.0, dtype=torch.float64))
    e_cu, e_au, field = 0.0010, -0.0043277, 0.02
    own = formation + e_cu * (8 - gold) + e_au * gold
    metadns = -(formation - field * (2 * gold - 8)) / (KB * 700)
    mu = arl.ChemicalPotentials.from_metadns("Au", field, e_au - e_cu)
    assert is_constant(log_f(arl.SemiGrandCanonical(700, mu), FCC_8, own, states) - metadns)
    assert is_constant(
        log_f(arl.SemiGrandCanonical(700, arl.ChemicalPotentials.from_metadns("Au", field)), FCC_8, formation, states) - metadns
    )


def test_species_that_are_not_named_have_mu_zero_and_a_mapping_reads_back() -> None:
    mu = arl.SemiGrandCanonical(300, {"Au": 0.1}).chemical_potentials
    assert mu.vector(FCC_8) == [0.0, 0.1]
    assert dict(mu) == {"Au": 0.1}
    assert arl.SemiGrandCanonical(300).mu_vector(FCC_8) == [0.0, 0.0]


def test_a_state_is_a_value() -> None:
    assert arl.SemiGrandCanonical(300, {"Au": 0.1}) == arl.SemiGrandCanonical(300.0, arl.ChemicalPotentials({"Au": 0.1}))
    assert len({arl.Canonical(300, {"Au": 4}), arl.Canonical(300, {"Au": 4}), arl.Canonical(300, {"Au": 3})}) == 2


@pytest.mark.parametrize(
    "state", [arl.SemiGrandCanonical(300, {"Au": 0.1}), arl.Canonical(300, {"Au": 4}), arl.Canonical(300, {"Au": 0.5})]
)
def test_to_dict_and_back_is_the_same_state(state: arl.Ensemble) -> None:
    assert arl.Ensemble.from_dict(state.to_dict()) == state


@pytest.mark.parametrize(
    ("composition", "counts"),
    [
        ({"Au": 2}, [6, 2]),
        ({"Au": 0.25}, [6, 2]),
        ({"Cu": 6, "Au": 2}, [6, 2]),
        ({"Au": 1}, [7, 1]),
        ({"Au": 1.0}, [0, 8]),
        ({"Au": np.int64(1)}, [7, 1]),
    ],
)
def test_a_composition_gives_whole_numbers_of_atoms(composition: dict[str, float], counts: list[int]) -> None:
    assert arl.Canonical(300, composition).counts(FCC_8) == counts


def test_log_f_at_fixed_composition_is_minus_infinity_elsewhere() -> None:
    states = all_states(FCC_8)
    values = log_f(arl.Canonical(300, {"Au": 3}), FCC_8, torch.ones(256, dtype=torch.float64), states)
    assert int(values.isfinite().sum()) == 56
    assert (values[states.sum(1) == 3] == -1 / (KB * 300)).all()


@pytest.mark.parametrize(
    "allowed",
    [
        (("Na", "X"), ("Cl", "X")),
        (("A", "B"), ("B", "C"), ("C", "A")),
        (("A", "B", "C"), ("A",), ("B", "C")),
        (("A", "B"), ("A", "B"), ("C",)),
    ],
)
def test_a_composition_is_accepted_exactly_if_some_configuration_has_it(allowed: tuple[tuple[str, ...], ...]) -> None:
    """Hall's condition against enumeration, for every composition of a supercell of two cells."""
    n = len(allowed)
    names = dict(zip(("Na", "Cl", "A", "B", "C"), ("Na", "Cl", "Al", "B", "C"), strict=True))
    cell = Atoms("H" * n, positions=[[i, 0, 0] for i in range(n)], cell=[n, 1, 1], pbc=True)
    lattice = arl.Lattice.from_ase(cell, [[names.get(s, s) for s in site] for site in allowed], (2, 1, 1))
    reachable = {tuple(row.bincount(minlength=lattice.n_species).tolist()) for row in all_states(lattice)}
    for counts in itertools.product(range(2 * n + 1), repeat=lattice.n_species):
        if sum(counts) != 2 * n:
            continue
        state = arl.Canonical(300, dict(zip(lattice.species, counts, strict=True)))
        if counts in reachable:
            assert tuple(state.counts(lattice)) == counts
        else:
            with pytest.raises(arl.InputError, match="does not fit"):
                state.counts(lattice)


def test_the_species_left_out_takes_the_sites_that_remain() -> None:
    counts = arl.Canonical(300, {"Na": 1, "Cl": 2}).counts(ROCK_SALT_4)
    assert Counter(dict(zip(ROCK_SALT_4.species, counts, strict=True))) == Counter({"Na": 1, "X": 1, "Cl": 2})


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), "hot", None, True, [300]])
def test_bad_temperatures_are_refused(temperature: object) -> None:
    with pytest.raises(arl.InputError, match="temperature"):
        arl.SemiGrandCanonical(temperature)  # type: ignore[arg-type]
    with pytest.raises(arl.InputError, match="temperature"):
        arl.Canonical(temperature, {"Au": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("mu", [{"Au": float("nan")}, {"Au": "a"}, 0.3, ["Au"]])
def test_bad_chemical_potentials_are_refused(mu: object) -> None:
    with pytest.raises(arl.InputError, match="chemical_potentials"):
        arl.SemiGrandCanonical(300, mu)  # type: ignore[arg-type]


def test_a_chemical_potential_of_a_species_that_is_not_there_is_refused() -> None:
    with pytest.raises(arl.InputError, match=r"chemical_potentials = 'Ag': the species of this lattice are Cu, Au"):
        arl.SemiGrandCanonical(300, {"Ag": 0.1}).mu_vector(FCC_8)


@pytest.mark.parametrize(
    "composition",
    [{"Au": 0.3}, {"Au": 9}, {"Au": -1}, {"Au": 1.5}, {"Ag": 1}, {"Cu": 1, "Au": 1}, {"Au": float("nan")}, {}, 0.25, {"Au": True}],
)
def test_bad_compositions_are_refused(composition: object) -> None:
    with pytest.raises(arl.InputError, match="composition"):
        arl.Canonical(300, composition).counts(FCC_8)  # type: ignore[arg-type]


def test_an_ensemble_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(arl.InputError, match="ensemble"):
        arl.Ensemble.from_dict({"ensemble": "isobaric", "temperature": 300})
