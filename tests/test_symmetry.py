"""One crystal in many cells, and coordinates rounded as files round them: the same shells, the same short-range order."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell

import arlattice as arl
from arlattice.errors import InputError
from arlattice.lattice import Lattice
from arlattice.samples import SampleSet
from arlattice.simple_lattices import square
from arlattice.symmetry import Symmetry
from arlattice.thermo.observables import UndefinedWarning
from arlattice.thermo.observables.shells import neighbour_shells

A = 3.57
HEXAGONAL_FCC = Atoms(
    "Ni3",
    scaled_positions=[[0, 0, 0], [1 / 3, 2 / 3, 1 / 3], [2 / 3, 1 / 3, 2 / 3]],
    cell=[A / 2**0.5] * 2 + [A * 3**0.5, 90, 90, 120],
    pbc=True,
)
PEROVSKITE = Atoms(
    "SrTiO3", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], cell=[3.905] * 3, pbc=True
)
SITES = {"Sr": ["Sr", "Ba"], "Ti": ["Ti"], "O": ["O", "X"], "Na": ["Na", "K"], "Cl": ["Cl", "Br"]}

# crystal -> cells that describe it, each as atoms; neighbours a site of the first two shells
CRYSTALS: dict[str, tuple[list[Atoms], list[float]]] = {
    "FCC": ([bulk("Ni", "fcc", A), bulk("Ni", "fcc", A, cubic=True), HEXAGONAL_FCC, bulk("Ni", "fcc", A, cubic=True) * (2, 1, 1)], [12, 6]),
    "BCC": ([bulk("Ni", "bcc", 2.87), bulk("Ni", "bcc", 2.87, cubic=True), bulk("Ni", "bcc", 2.87, cubic=True) * (1, 1, 3)], [8, 6]),
    "HCP": (
        [bulk("Ni", "hcp", 2.95, 4.68), bulk("Ni", "hcp", 2.95, 4.68, orthorhombic=True), bulk("Ni", "hcp", 2.95, 4.68) * (3, 1, 1)],
        [6, 6],
    ),
    "HCP, nearly ideal": ([bulk("Ni", "hcp", 3.2094, 5.2105), bulk("Ni", "hcp", 3.2094, 5.2105) * (2, 2, 1)], [6, 6]),
    "diamond": ([bulk("Ni", "diamond", 5.43), bulk("Ni", "diamond", 5.43, cubic=True)], [4, 12]),
    "rock salt": ([bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "rocksalt", 5.64, cubic=True)], [6, 12]),
    "perovskite": ([PEROVSKITE, PEROVSKITE * (2, 1, 1), make_supercell(PEROVSKITE, [[1, 1, 0], [-1, 1, 0], [0, 0, 2]])], [2.4, 9.6]),
}
CELLS = [pytest.param(name, k, id=f"{name} {k}") for name, (cells, _) in CRYSTALS.items() for k in range(len(cells))]


def lattice_of(atoms: Atoms, supercell: Any = 1) -> Lattice:
    return Lattice.from_ase(atoms, [SITES.get(symbol, ["Ni", "Al"]) for symbol in atoms.get_chemical_symbols()], supercell)


def rounded(atoms: Atoms, digits: int) -> Atoms:
    """As a file rounds it: fractional coordinates, lengths and angles."""
    cell = [*np.round(atoms.cell.cellpar()[:3], max(digits, 3)), *np.round(atoms.cell.cellpar()[3:], max(digits, 2))]
    return Atoms(atoms.symbols, scaled_positions=np.round(atoms.get_scaled_positions(), digits), cell=cell, pbc=True)


def set_of(lattice: Lattice, occupations: torch.Tensor) -> SampleSet:
    return SampleSet(
        lattice, torch.atleast_2d(occupations), torch.zeros(len(torch.atleast_2d(occupations))), arl.SemiGrandCanonical(300.0), "eV"
    )


def alphas(lattice: Lattice, occupations: torch.Tensor, **options: Any) -> dict[str, float]:
    return {key: found.value for key, found in set_of(lattice, occupations).means("short_range_order", **options).items()}


# -- shells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [12, 5, 4, 3])
@pytest.mark.parametrize(("crystal", "cell"), CELLS)
def test_every_cell_of_a_crystal_has_its_neighbours_however_its_coordinates_were_rounded(crystal: str, cell: int, digits: int) -> None:
    cells, neighbours = CRYSTALS[crystal]
    lattice = lattice_of(rounded(cells[cell], digits))
    shells = neighbour_shells(lattice, 2)
    assert [len(shell.centre) / lattice.n_sites for shell in shells] == pytest.approx(neighbours)
    exact = neighbour_shells(lattice_of(cells[0]), 2)
    assert [shell.distance for shell in shells] == pytest.approx([shell.distance for shell in exact], rel=2e-3)


@pytest.mark.parametrize("noise", [1e-5, 1e-4, 3e-4, 1e-3])
def test_a_cube_with_its_corners_off_has_twelve_neighbours(noise: float) -> None:
    atoms = bulk("Ni", "fcc", A, cubic=True)
    atoms.positions += noise * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    shells = neighbour_shells(lattice_of(atoms, 2), 2)
    assert [(shell.distance, len(shell.centre) / 32) for shell in shells] == [(pytest.approx(A / 2**0.5), 12), (pytest.approx(A), 6)]


def test_shells_that_symmetry_does_not_make_equal_stay_apart() -> None:
    """Body-centred tetragonal, c/a = 1.01: 8 neighbours, then 4 and 2."""
    atoms = Atoms("Ni2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.0, 3.0, 3.03], pbc=True)
    assert [len(shell.centre) / 2 for shell in neighbour_shells(lattice_of(atoms), 3)] == [8, 4, 2]


# -- orbits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [12, 4, 3])
@pytest.mark.parametrize(("crystal", "cell"), CELLS)
def test_sublattices_are_equivalent_if_and_only_if_they_hold_the_same(crystal: str, cell: int, digits: int) -> None:
    """In these crystals symmetry joins all sites of one kind: in HCP by inversion, in perovskite by the threefold axis."""
    lattice = lattice_of(rounded(CRYSTALS[crystal][0][cell], digits))
    found = Symmetry.of(lattice)
    expected = [[set(a) == set(b) for b in lattice.allowed_species] for a in lattice.allowed_species]
    assert ((found.orbits[:, None] == found.orbits) == expected).all()
    assert found.sites == Symmetry.of(lattice_of(CRYSTALS[crystal][0][0])).sites


def test_the_idealised_lattice_lies_where_the_given_one_does() -> None:
    lattice = lattice_of(rounded(HEXAGONAL_FCC, 3))
    ideal = Symmetry.of(lattice).lattice
    assert np.abs(ideal.positions - lattice.positions).max() < 5e-3
    np.testing.assert_allclose(Symmetry.of(ideal).lattice.positions, ideal.positions, atol=1e-12)
    distances = np.linalg.norm(Symmetry.of(lattice).primitive, axis=1)
    np.testing.assert_allclose(distances, distances[0], rtol=1e-12)


def test_sites_of_one_kind_in_different_places_are_different_and_so_are_the_layers_of_a_slab() -> None:
    """Two sites a third of the cell apart along one axis are joined by inversion; a third one beside them is not."""
    pair = Atoms("Ni3", scaled_positions=[[0, 0, 0], [0.3, 0, 0], [0.15, 0.4, 0.3]], cell=[4.0, 5.0, 6.0], pbc=True)
    assert Symmetry.of(lattice_of(pair)).orbits.tolist() == [0, 0, 2]
    layers = [[0, 0, z] for z in (0.0, 0.25, 0.5, 0.75)]
    slab = Atoms("Ni4", scaled_positions=layers, cell=[2.5, 2.5, 8.0], pbc=[True, True, False])
    assert Symmetry.of(lattice_of(slab)).orbits.tolist() == [0, 1, 1, 0]
    whole = Atoms("Ni4", scaled_positions=layers, cell=[2.5, 2.5, 8.0], pbc=True)
    assert Symmetry.of(lattice_of(whole)).orbits.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("pbc", list(product([True, False], repeat=3)))
def test_turning_and_skewing_a_cell_changes_no_orbit(pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    atoms = bulk("Ni", "hcp", 2.95, 4.68) * (2, 1, 1)
    atoms.pbc = pbc
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn, scale_atoms=True)
    assert Symmetry.of(lattice_of(turned)).orbits.tolist() == Symmetry.of(lattice_of(atoms)).orbits.tolist()
    if all(pbc):
        skewed = atoms.copy()
        skewed.set_cell([[1, 0, 0], [2, 1, 0], [-1, 3, 1]] @ atoms.cell.array, scale_atoms=False)
        assert Symmetry.of(lattice_of(skewed)).orbits.tolist() == [0, 0, 0, 0]


# -- short-range order -------------------------------------------------------------------------------

NI3AL = {"Ni-Al 1": -1 / 3, "Al-Al 1": 1, "Ni-Ni 1": 1 / 9, "Ni-Al 2": 1, "Al-Al 2": -3, "Ni-Ni 2": -1 / 3}
PAIRS = [["Ni", "Al"], ["Al", "Al"], ["Ni", "Ni"]]


@pytest.mark.parametrize(
    ("atoms", "supercell"),
    [
        (bulk("Ni", "fcc", A, cubic=True), 1),
        (bulk("Ni", "fcc", A), 2),
        (bulk("Ni", "fcc", A, cubic=True), (2, 1, 3)),
        (bulk("Ni", "fcc", A) * 2, 1),
        (bulk("Ni", "fcc", A, cubic=True) * (2, 1, 1), (1, 2, 1)),
    ],
    ids=["cube", "primitive", "cubes", "eight sites", "two cubes"],
)
def test_l1_2_has_the_parameters_of_the_textbook_in_every_cell(atoms: Atoms, supercell: Any) -> None:
    """Al at the corners of the cube: P(Ni, Al) = 1/4 in the first shell, so alpha = 1 - (1/4) / (3/16) = -1/3."""
    lattice = lattice_of(atoms, supercell)
    corners = (np.rint(lattice.positions / A * 2).astype(int) % 2 == 0).all(1)
    assert alphas(lattice, torch.from_numpy(corners).long(), shells=2, pairs=PAIRS) == pytest.approx(NI3AL, abs=1e-12)


@pytest.mark.parametrize("cubic", [False, True])
def test_b2_is_minus_one_and_one_and_one_peak(cubic: bool) -> None:
    """S(k) at (1, 0, 0) of the cube is the number of sites for B2, and nothing for a pure element."""
    atoms = bulk("Ni", "bcc", 2.87, cubic=cubic)
    lattice = lattice_of(atoms, 4)
    corner = torch.from_numpy(np.rint(lattice.positions / 2.87 * 2).astype(int)[:, 0] % 2)
    assert alphas(lattice, corner, shells=2) == pytest.approx({"Ni-Al 1": -1, "Ni-Al 2": 1}, abs=1e-12)
    k = tuple(np.round(atoms.cell.array @ [1 / 2.87, 0, 0], 9).tolist())
    for occupations, peak in ((corner, lattice.n_sites), (torch.zeros_like(corner), 0)):
        (found,) = set_of(lattice, occupations).means("structure_factor", wavevectors=[k]).values()
        assert found.value == pytest.approx(peak, abs=1e-9)


@pytest.mark.parametrize("digits", [12, 4, 3])
def test_d0_19_has_minus_a_third_in_both_shells_however_its_coordinates_were_rounded(digits: int) -> None:
    """Ti3Al: of the 12 neighbours of Al none is Al, 6 in the layer and 6 out of it."""
    lattice = lattice_of(rounded(bulk("Ni", "hcp", 2.95, 4.68), digits), (2, 2, 1))
    best = None
    for other in np.flatnonzero(lattice.sublattice == 1):  # Al on one site of four in either layer, as far apart as can be
        x = torch.zeros(lattice.n_sites, dtype=torch.long)
        x[[0, other]] = 1
        found = alphas(lattice, x, shells=2, pairs=PAIRS[:2])
        if best is None or found["Al-Al 1"] > best["Al-Al 1"]:
            best = found
    assert best == pytest.approx({"Ni-Al 1": -1 / 3, "Ni-Al 2": -1 / 3, "Al-Al 1": 1, "Al-Al 2": 1}, abs=1e-12)


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_one_configuration_has_one_set_of_parameters_in_every_cell(crystal: str) -> None:
    """Random occupations of one supercell, read in the primitive cell, in conventional ones, and in the supercell itself."""
    small = lattice_of(CRYSTALS[crystal][0][0])
    box = Symmetry.of(small).lattice.cell * np.array([[3], [2], [4]])
    everything = lattice_of(CRYSTALS[crystal][0][0], (3, 2, 4))
    generator = torch.Generator().manual_seed(0)
    rows = torch.multinomial(everything.allowed.double(), 5, replacement=True, generator=generator).T
    one = Lattice(
        box,
        everything.fractional_positions,
        tuple(everything.allowed_species[b] for b in everything.sublattice),
        np.eye(3),
        everything.species,
    )
    other = lattice_of(CRYSTALS[crystal][0][0] * (3, 1, 2), (1, 2, 2))
    expected = set_of(everything, rows).means("short_range_order", shells=4)
    for lattice in (one, other):
        read = torch.stack([lattice.occupations_from_ase(atoms) for atoms in everything.to_ase(rows, vacancies="X")])
        found = set_of(lattice, read).means("short_range_order", shells=4)
        assert {key: value.value for key, value in found.items()} == pytest.approx(
            {key: value.value for key, value in expected.items()}, abs=1e-12
        )
        assert [value.error for value in found.values()] == pytest.approx([value.error for value in expected.values()], abs=1e-9)


def test_a_missing_equivalence_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sublattice on its own, as in a search that finds no symmetry, gives 0 where -1/3 is right."""
    lattice = lattice_of(bulk("Ni", "fcc", A, cubic=True))
    found = Symmetry.of(lattice)
    monkeypatch.setattr(Symmetry, "of", lambda *_: Symmetry(found.lattice, np.arange(4), found.primitive, 1))
    assert alphas(lattice, torch.tensor([1, 0, 0, 0]), shells=1)["Ni-Al 1"] == pytest.approx(0)


def test_a_parameter_that_is_not_defined_is_said() -> None:
    lattice = square(4, ("A", "B"))
    with pytest.warns(UndefinedWarning, match="A-B 1, A-B 2: nan, since no sample holds one of the species there"):
        found = alphas(lattice, torch.zeros(16, dtype=torch.long), shells=2)
    assert all(np.isnan(value) for value in found.values())
    some = torch.zeros(2, 16, dtype=torch.long)
    some[1, 3] = 1  # one atom in one sample is enough
    assert np.isfinite(list(alphas(lattice, some, shells=2).values())).all()


def test_pairs_that_can_never_be_are_refused() -> None:
    with pytest.raises(InputError, match="no such neighbours"):
        alphas(lattice_of(bulk("NaCl", "rocksalt", 5.64), 2), torch.tensor([0, 2] * 8), shells=1, pairs=[["Na", "K"]])


def test_two_sites_at_one_place_are_refused() -> None:
    with pytest.raises(InputError, match="in one place"):
        neighbour_shells(lattice_of(Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 0]], cell=[3, 3, 3], pbc=True)), 1)


@pytest.mark.parametrize("atoms", CRYSTALS["FCC"][0][:2], ids=["primitive", "cube"])
def test_order_on_fcc_is_that_of_the_crystal_not_of_the_cell(atoms: Atoms) -> None:
    lattice = lattice_of(atoms, 4)
    half = torch.from_numpy(np.rint(lattice.positions / A * 2).astype(int))
    plane, corner = (half[:, 2] % 2 == 0).long(), (half % 2 == 0).all(1).long()
    assert set_of(lattice, plane).means("l1_0")["z+"].value == pytest.approx(1)
    assert set_of(lattice, corner).means("l1_2")["A3B +++"].value == pytest.approx(1)
    with pytest.raises(InputError, match="need an FCC lattice"):
        set_of(lattice_of(bulk("NaCl", "rocksalt", A, cubic=True)), torch.tensor([0, 2] * 4)).means("l1_0")
