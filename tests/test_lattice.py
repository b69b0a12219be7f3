"""A lattice numbers its sites as ASE does, its translations are a group, and structures come back as they went."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.build.supercells import lattice_points_in_supercell
from hypothesis import given, settings
from hypothesis import strategies as st

import arlattice as arl
from arlattice.supercell import cell_numbers, hermite_form, lattice_points

FCC = bulk("Cu", "fcc", a=3.8)
ROCK_SALT = bulk("NaCl", "rocksalt", a=5.6)
HCP = bulk("Ti", "hcp", a=2.9, c=4.6)
SKEWED = [[2, 1, 0], [0, 2, 1], [1, 0, 3]]
LATTICES = {
    "fcc 2x2x4": (FCC, ["Cu", "Au"], (2, 2, 4)),
    "fcc skewed": (FCC, ["Cu", "Au"], SKEWED),
    "fcc long skewed": (FCC, ["Cu", "Au"], [[1, 0, 0], [5, 2, 0], [-3, 4, 3]]),
    "rock salt": (ROCK_SALT, [["Na", "X"], ["Cl", "Br"]], (2, 1, 3)),
    "rock salt conventional": (ROCK_SALT, [["Na", "X"], ["Cl", "Br"]], [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    "hcp": (HCP, ["Ti", "W", "X"], [[2, 0, 0], [1, 3, 0], [0, 0, 2]]),
}


@pytest.fixture(params=LATTICES)
def lattice(request: pytest.FixtureRequest) -> arl.Lattice:
    return arl.Lattice.from_ase(*LATTICES[request.param])


def random_occupations(lattice: arl.Lattice, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(lattice.allowed.double(), n, replacement=True, generator=generator).T.contiguous()


supercells = (
    st.lists(st.integers(-3, 4), min_size=9, max_size=9).map(lambda v: np.reshape(v, (3, 3))).filter(lambda m: 1 <= np.linalg.det(m) <= 40)
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(supercells)
def test_cells_are_in_the_order_of_ase_and_numbered_alike_with_their_images(matrix: np.ndarray) -> None:
    points, hermite = lattice_points(matrix), hermite_form(matrix)
    assert np.array_equal(points, np.rint(lattice_points_in_supercell(matrix) @ matrix))
    assert np.array_equal(hermite, np.triu(hermite))
    numbers = cell_numbers(points, hermite)
    assert sorted(numbers) == list(range(len(points)))
    assert (cell_numbers(points + [2, -3, 1] @ matrix, hermite) == numbers).all()


@pytest.mark.parametrize("name", LATTICES)
def test_sites_are_numbered_as_make_supercell_numbers_atoms(name: str) -> None:
    primitive, species, supercell = LATTICES[name]
    lattice = arl.Lattice.from_ase(primitive, species, supercell)
    reference = make_supercell(primitive, lattice.supercell)
    shift = (lattice.positions - reference.positions) @ np.linalg.inv(lattice.supercell_vectors)
    assert np.allclose(lattice.supercell_vectors, np.array(reference.cell))
    assert np.allclose(shift, np.rint(shift), atol=1e-9)
    assert (reference.numbers == primitive.numbers[lattice.sublattice]).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(supercells)
def test_any_supercell_has_as_many_cells_as_its_determinant_and_its_translations_are_a_group(matrix: np.ndarray) -> None:
    lattice = arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl"]], matrix)
    rows = lattice.translations
    assert lattice.n_cells == round(np.linalg.det(matrix))
    assert (rows.sort(1).values == torch.arange(lattice.n_sites)).all()
    known = {tuple(row) for row in rows.tolist()}
    assert len(known) == lattice.n_cells
    assert {tuple(rows[b][rows[a]].tolist()) for a in range(len(rows)) for b in range(len(rows))} == known


def test_a_translation_moves_every_site_by_the_same_vector_and_keeps_its_sublattice(lattice: arl.Lattice) -> None:
    inverse = np.linalg.inv(lattice.supercell_vectors)
    vectors = lattice.cell_offsets[lattice.sublattice == 0] @ lattice.cell  # row t is that of the t-th cell
    for row, vector in zip(lattice.translations.numpy(), vectors, strict=True):
        difference = (lattice.positions[row] - lattice.positions - vector) @ inverse
        assert np.allclose(difference, np.rint(difference), atol=1e-9)
        assert (lattice.sublattice[row] == lattice.sublattice).all()


def test_site_index_inverts_the_offsets_and_is_periodic(lattice: arl.Lattice) -> None:
    sites = np.arange(lattice.n_sites)
    assert (lattice.site_index(lattice.cell_offsets, lattice.sublattice) == sites).all()
    for vector in lattice.supercell:
        assert (lattice.site_index(lattice.cell_offsets - 3 * vector, lattice.sublattice) == sites).all()


@pytest.mark.parametrize("sublattice", [-1, 2])
def test_a_sublattice_that_is_not_there_has_no_sites(sublattice: int) -> None:
    with pytest.raises(arl.InputError, match="run from 0 to 1"):
        arl.Lattice.from_ase(ROCK_SALT, ["Na", "Cl"], 2).site_index(np.zeros((1, 3), int), sublattice)


def test_fractional_positions_lie_in_the_cell(lattice: arl.Lattice) -> None:
    fractional = lattice.fractional_positions
    assert (fractional >= -1e-8).all() and (fractional < 1).all()
    shift = (fractional @ lattice.supercell_vectors - lattice.positions) @ np.linalg.inv(lattice.supercell_vectors)
    assert np.allclose(shift, np.rint(shift), atol=1e-8)


@pytest.mark.parametrize("vacancies", ["drop", "X"])
def test_occupations_come_back_from_shuffled_displaced_wrapped_structures(lattice: arl.Lattice, vacancies: str) -> None:
    """20 random configurations a lattice, atoms moved by up to 0.1 angstrom; fixed seed."""
    rng = np.random.default_rng(1)
    for row in random_occupations(lattice, 20):
        atoms = lattice.to_ase(row, vacancies=vacancies)
        atoms = atoms[rng.permutation(len(atoms))]
        step = rng.normal(size=(len(atoms), 3))
        atoms.positions += 0.1 * rng.random((len(atoms), 1)) * step / np.linalg.norm(step, axis=1, keepdims=True)
        atoms.positions += rng.integers(-2, 3, (len(atoms), 3)) @ lattice.supercell_vectors
        assert torch.equal(lattice.occupations_from_ase(atoms), row)


def test_spins_come_back_from_their_magnetic_moments() -> None:
    lattice = arl.square(4)
    row = random_occupations(lattice, 1)[0]
    atoms = lattice.to_ase(row)
    assert set(atoms.get_initial_magnetic_moments()) == {-1.0, 1.0}
    assert torch.equal(lattice.occupations_from_ase(atoms[::-1]), row)


def test_vacancies_are_left_out_or_kept_as_x() -> None:
    lattice = arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl"]], 2)
    row = torch.tensor([1, 2] + [0, 2] * 7)
    assert len(lattice.to_ase(row)) == 15
    kept = lattice.to_ase(row, vacancies="X")
    assert kept.get_chemical_symbols() == ["X", "Cl"] + ["Na", "Cl"] * 7
    assert kept.arrays["site_index"].tolist() == list(range(16))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.set_cell(a.cell * 1.2), "structure cell"),
        (lambda a: a.positions.__setitem__(3, a.positions[3] + 0.5), "off the nearest site"),
        (lambda a: a.positions.__setitem__(3, a.positions[2]), "same site"),
        (lambda a: a.symbols.__setitem__(0, "Fe"), "species of this lattice"),
        (lambda a: a.__delitem__(5), "has no atom"),
    ],
)
def test_a_structure_that_is_not_on_the_lattice_is_refused(spoil: object, message: str) -> None:
    lattice = arl.Lattice.from_ase(FCC, ["Cu", "Au"], 2)
    atoms = lattice.to_ase(torch.zeros(8, dtype=torch.long))
    spoil(atoms)  # type: ignore[operator]
    with pytest.raises(arl.InputError, match=message):
        lattice.occupations_from_ase(atoms)


def test_allowed_species_follow_the_sublattice() -> None:
    lattice = arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl", "Br"]], 2)
    assert lattice.species == ("Na", "X", "Cl", "Br")
    assert lattice.allowed[0].tolist() == [True, True, False, False]
    assert lattice.allowed[1].tolist() == [False, False, True, True]


def test_species_keep_the_order_the_user_gave() -> None:
    assert arl.Lattice.from_ase(FCC, ["Pd", "Au", "Cu"]).species == ("Pd", "Au", "Cu")


def test_pymatgen_gives_the_lattice_that_ase_gives() -> None:
    pytest.importorskip("pymatgen")
    from pymatgen.core import Structure

    structure = Structure(np.array(HCP.cell), ["Ti", "Ti"], HCP.get_scaled_positions())
    species = [["Ti", "X"], ["Ti"]]
    assert arl.Lattice.from_pymatgen(structure, species, SKEWED).fingerprint == arl.Lattice.from_ase(HCP, species, SKEWED).fingerprint


def test_to_dict_and_back_is_the_same_lattice(lattice: arl.Lattice) -> None:
    again = arl.Lattice.from_dict(lattice.to_dict())
    assert again.fingerprint == lattice.fingerprint
    assert np.array_equal(again.positions, lattice.positions)


def test_the_fingerprint_tells_lattices_apart() -> None:
    variants = [
        arl.Lattice.from_ase(FCC, ["Cu", "Au"], 2),
        arl.Lattice.from_ase(FCC, ["Au", "Cu"], 2),
        arl.Lattice.from_ase(FCC, ["Cu", "Au"], 3),
        arl.Lattice.from_ase(FCC, ["Cu", "Au", "X"], 2),
        arl.Lattice.from_ase(bulk("Cu", "fcc", a=3.9), ["Cu", "Au"], 2),
    ]
    assert len({v.fingerprint for v in variants}) == len(variants)


def test_with_supercell_changes_the_supercell_only() -> None:
    small = arl.Lattice.from_ase(FCC, ["Cu", "Au"], 2)
    assert small.with_supercell(SKEWED).fingerprint == arl.Lattice.from_ase(FCC, ["Cu", "Au"], SKEWED).fingerprint


@pytest.mark.parametrize(
    ("lattice", "pbc", "n"), [(arl.chain(5), (1, 0, 0), 5), (arl.square((3, 4)), (1, 1, 0), 12), (arl.cubic(3), (1, 1, 1), 27)]
)
def test_chain_square_and_cubic_are_periodic_along_their_axes(lattice: arl.Lattice, pbc: tuple[int, ...], n: int) -> None:
    assert lattice.n_sites == n
    assert lattice.pbc == tuple(map(bool, pbc))
    assert lattice.species == ("down", "up")


@pytest.mark.parametrize(
    ("species", "supercell", "argument"),
    [
        (["Cu", "Au"], 0, "supercell"),
        (["Cu", "Au"], -2, "supercell"),
        (["Cu", "Au"], 2.5, "supercell"),
        (["Cu", "Au"], (2, 2), "supercell"),
        (["Cu", "Au"], float("nan"), "supercell"),
        (["Cu", "Au"], [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "supercell"),
        (["Cu", "Au"], [[1, 1, 0], [2, 2, 0], [0, 0, 1]], "supercell"),
        (["Cu", "Au"], "big", "supercell"),
        ("Cu", 2, "species"),
        (["Cu", "Cu"], 2, "allowed_species"),
        ([], 2, "species"),
        ([["Cu"], ["Au"]], 2, "species"),
        ([[]], 2, "species"),
    ],
)
def test_bad_lattices_are_refused_naming_the_argument(species: object, supercell: object, argument: str) -> None:
    with pytest.raises(arl.InputError) as refused:
        arl.Lattice.from_ase(FCC, species, supercell)  # type: ignore[arg-type]
    assert refused.value.argument == argument


def test_a_cell_that_is_not_finite_is_refused() -> None:
    with pytest.raises(arl.InputError, match="cell"):
        arl.Lattice.from_ase(Atoms("Cu", cell=[[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]], pbc=True), ["Cu", "Au"])


@pytest.mark.parametrize(
    ("occupations", "message"),
    [
        (torch.zeros(7, dtype=torch.long), "8 sites"),
        (torch.zeros(2, 2, 8, dtype=torch.long), "8 sites"),
        (torch.zeros(8), "integer species indices"),
        (torch.full((8,), 3), "run from 0 to 2"),
        (torch.full((8,), -1), "run from 0 to 2"),
        (torch.tensor([0, 0] * 4), "may hold only"),
    ],
)
def test_bad_occupations_are_refused(occupations: torch.Tensor, message: str) -> None:
    lattice = arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl"]], (2, 2, 1))
    with pytest.raises(arl.InputError, match=message):
        lattice.check_occupations(occupations)


def test_unknown_sites_pass_only_where_they_are_asked_for() -> None:
    lattice = arl.square(2)
    row = torch.tensor([0, -1, 1, -1])
    assert torch.equal(lattice.check_occupations(row, allow_unknown=True)[0], row)
    with pytest.raises(arl.InputError, match="species indices"):
        lattice.check_occupations(row)


def test_the_fingerprint_does_not_hear_rounding_or_the_sign_of_zero() -> None:
    lattice = arl.square(3)
    data = lattice.to_dict()
    data["basis"], data["cell"] = [[-0.0, 1e-12, -1e-12]], (np.eye(3) - 1e-13).tolist()
    assert arl.Lattice.from_dict(data).fingerprint == lattice.fingerprint


def test_atoms_find_their_sites_in_a_cell_much_longer_than_wide() -> None:
    lattice = arl.Lattice.from_ase(FCC, ["Cu", "Au"], [[2, 0, 0], [31, 2, 0], [0, -17, 2]])
    row = random_occupations(lattice, 1)[0]
    atoms = lattice.to_ase(row)
    atoms.positions += 0.1 * np.random.default_rng(0).choice([-1, 1], atoms.positions.shape)
    assert torch.equal(lattice.occupations_from_ase(atoms), row)


def test_more_species_than_a_byte_holds_are_refused() -> None:
    names = [f"s{k}" for k in range(128)]
    assert arl.Lattice.from_ase(FCC, names[:127], 1).n_species == 127
    with pytest.raises(arl.InputError, match=r"species = '128 names'.*at most 127"):
        arl.Lattice.from_ase(FCC, names, 1)
