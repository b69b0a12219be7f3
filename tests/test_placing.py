"""A structure finds its sites in any orientation, origin, choice of vectors and slight strain, or is told the cure."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from scipy.spatial.transform import Rotation

import arlattice as arl
from arlattice.hamiltonians import fixed_configurations
from arlattice.io.ase import supercell_and_occupations
from arlattice.thermo.observables.shells import neighbour_shells

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.LowEssWarning")  # a few samples are enough here

FCC, ROCK_SALT, HCP = bulk("Cu", a=3.8), bulk("NaCl", "rocksalt", a=5.6), bulk("Ti", "hcp", a=2.9, c=4.6)
TETRAGONAL = Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.8, 3.8, 3.9], pbc=True)
TRICLINIC = Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.3, 0.45, 0.6]], cell=[[3.1, 0, 0], [0.9, 3.6, 0], [0.4, 0.7, 4.3]], pbc=True)
SKEWED = [[2, 1, 0], [0, 2, 1], [1, 0, 3]]
LATTICES: dict[str, arl.Lattice] = {
    "fcc 2x2x4": arl.Lattice.from_ase(FCC, ["Cu", "Au"], (2, 2, 4)),
    "fcc skewed": arl.Lattice.from_ase(FCC, ["Cu", "Au"], SKEWED),
    "rock salt": arl.Lattice.from_ase(ROCK_SALT, [["Na", "K"], ["Cl", "Br"]], (2, 3, 2)),
    "hcp": arl.Lattice.from_ase(HCP, ["Ti", "Al"], (3, 2, 2)),
    "tetragonal, c/a near 1": arl.Lattice.from_ase(TETRAGONAL, ["Cu", "Au"], 2),
    "triclinic": arl.Lattice.from_ase(TRICLINIC, ["Cu", "Au"], (2, 2, 1)),
    "left-handed": arl.Lattice.from_ase(Atoms("Cu", cell=np.array(FCC.cell)[[1, 0, 2]], pbc=True), ["Cu", "Au"], (2, 3, 3)),
    "slab": arl.Lattice.from_ase(fcc111("Cu", (1, 1, 3), a=3.6), ["Cu", "Au"], (3, 2, 1)),
    "square": arl.square((3, 4)),
}
WITH_VACANCIES = arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl"]], 2)


@pytest.fixture(params=LATTICES)
def lattice(request: pytest.FixtureRequest) -> arl.Lattice:
    return LATTICES[request.param]


def environment(lattice: arl.Lattice, row: torch.Tensor) -> list[Any]:
    """Counts of the pairs of species, by sublattice class, in the three nearest shells: the same for every isometry."""
    kinds = {names: k for k, names in enumerate(sorted(set(lattice.allowed_species)))}
    kind = torch.tensor([kinds[lattice.allowed_species[b]] for b in lattice.sublattice]) * lattice.n_species + row
    size = len(kinds) * lattice.n_species
    return [(kind[s.centre] * size + kind[s.neighbour]).bincount(minlength=size**2).tolist() for s in neighbour_shells(lattice, 3)]


def turned(atoms: Atoms, rng: np.random.Generator, strain: float = 1.0) -> Atoms:
    """Rotated, strained, shuffled, with another origin; a slab stays in its plane's frame and moves freely."""
    atoms = atoms.copy()[rng.permutation(len(atoms))]
    matrix = Rotation.random(random_state=int(rng.integers(1000))).as_matrix() * strain
    atoms.set_cell(np.array(atoms.cell) @ matrix)
    atoms.positions = atoms.positions @ matrix + rng.uniform(-5, 5, 3)
    return atoms


def other_vectors(atoms: Atoms, rng: np.random.Generator, pbc: tuple[bool, bool, bool]) -> Atoms:
    """The same crystal with other vectors of its repeats: random sums, swaps and signs."""
    atoms, cell = atoms.copy(), np.array(atoms.cell)
    axes = np.flatnonzero(pbc)
    for _ in range(4):
        a, b = rng.permutation(axes)[:2]
        cell[a] += rng.integers(-1, 2) * cell[b]
        cell[[a, b]] = cell[[b, a]]
    cell[axes[0]] *= -1
    atoms.set_cell(cell)
    return atoms


# -- maps ------------------------------------------------------------------------------------------


def test_other_vectors_in_the_same_space_change_no_site(lattice: arl.Lattice) -> None:
    """8 configurations a lattice, each with its own vectors; fixed seed."""
    rng = np.random.default_rng(1)
    for row in fixed_configurations(lattice, 8):
        atoms = other_vectors(lattice.to_ase(row), rng, lattice.pbc)
        atoms.rattle(0.03, rng=rng)
        assert torch.equal(lattice.occupations_from_ase(atoms), row)


@pytest.mark.parametrize("strain", [0.95, 1.0, 1.015, 1.05])
def test_a_turned_shifted_strained_structure_maps_by_an_isometry(lattice: arl.Lattice, strain: float) -> None:
    """4 configurations a lattice and strain, each turned and shifted its own way; fixed seed."""
    rng = np.random.default_rng(2)
    for row in fixed_configurations(lattice, 4):
        mapped = lattice.occupations_from_ase(turned(other_vectors(lattice.to_ase(row), rng, lattice.pbc), rng, strain))
        assert environment(lattice, mapped) == environment(lattice, row)


def test_another_configuration_fails_the_same_comparison(lattice: arl.Lattice) -> None:
    """One atom changed is seen by the environments."""
    row = fixed_configurations(lattice, 1)[0]
    changed = row.clone()
    changed[0] = next(s for s in lattice.allowed[0].nonzero().flatten().tolist() if s != row[0])
    assert environment(lattice, changed) != environment(lattice, row)


@pytest.mark.parametrize("strain", [0.95, 1.005, 1.05])
def test_strain_alone_changes_no_site(lattice: arl.Lattice, strain: float) -> None:
    for row in fixed_configurations(lattice, 4):
        atoms = lattice.to_ase(row)
        atoms.set_cell(np.array(atoms.cell) * strain, scale_atoms=True)
        assert torch.equal(lattice.occupations_from_ase(atoms), row)


def test_a_relaxed_cell_changes_no_site() -> None:
    """Every component of the strain up to 2 %, and atoms moved by 0.03 angstrom; 10 relaxations, fixed seed."""
    rng, lattice = np.random.default_rng(3), LATTICES["fcc 2x2x4"]
    for row in fixed_configurations(lattice, 10):
        atoms = lattice.to_ase(row)
        atoms.set_cell(np.array(atoms.cell) @ (np.eye(3) + rng.uniform(-0.02, 0.02, (3, 3))), scale_atoms=True)
        atoms.rattle(0.03, rng=rng)
        assert torch.equal(lattice.occupations_from_ase(atoms), row)


def test_swapped_axes_of_a_tetragonal_crystal_are_seen_though_they_differ_by_little() -> None:
    """c/a is 1.026: x, y, z -> z, x, y fits as it is only with every vector 2 % off."""
    lattice = LATTICES["tetragonal, c/a near 1"]
    layered = torch.from_numpy((lattice.positions[:, 2] % 7.8 < 1).astype(int))
    atoms = lattice.to_ase(layered)
    atoms.set_cell(np.array(atoms.cell)[:, [2, 0, 1]])
    atoms.positions = atoms.positions[:, [2, 0, 1]]
    assert environment(lattice, lattice.occupations_from_ase(atoms)) == environment(lattice, layered)


@pytest.mark.filterwarnings("ignore:crystal system", "ignore:Issues encountered while parsing CIF")
@pytest.mark.parametrize("name", [name for name in LATTICES if name != "square"])
def test_our_own_cif_and_poscar_come_back_to_the_same_sites(tmp_path: Path, name: str) -> None:
    """By ASE's reader and by pymatgen's; CIF keeps lengths and angles only, and here four digits of the coordinates."""
    core = pytest.importorskip("pymatgen.core")
    lattice = LATTICES[name]
    for k, row in enumerate(fixed_configurations(lattice, 3)):
        atoms = lattice.to_ase(row)
        atoms.set_scaled_positions(atoms.get_scaled_positions(wrap=False).round(4))
        for suffix in ("cif", "vasp"):
            file = tmp_path / f"{k}.{suffix}"
            ase.io.write(file, atoms)
            assert torch.equal(lattice.occupations_from_ase(ase.io.read(file)), row)
            primitive = {"primitive": False} if suffix == "cif" else {}
            assert torch.equal(lattice.occupations_from_pymatgen(core.Structure.from_file(file, **primitive)), row)


def test_a_conventional_cell_of_the_same_supercell_maps() -> None:
    conventional = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(2)
    matrix = np.rint(np.array(conventional.cell) @ np.linalg.inv(np.array(ROCK_SALT.cell))).astype(int)
    conventional.numbers[[0, 10, 20]] = 19
    lattice = arl.Lattice.from_ase(ROCK_SALT, [["Na", "K"], ["Cl"]], matrix)
    row = lattice.occupations_from_ase(conventional)
    assert int((row == lattice.species_index("K")).sum()) == 3
    with pytest.raises(arl.InputError, match=r"another supercell, that of lattice.with_supercell\(\[\[-2, 2, 2\]"):
        lattice.with_supercell(4).occupations_from_ase(conventional)


def test_vacancies_and_unknown_sites_map_too() -> None:
    rng = np.random.default_rng(4)
    for row in fixed_configurations(WITH_VACANCIES, 6):
        atoms = turned(WITH_VACANCIES.to_ase(row), rng, 1.02)
        assert environment(WITH_VACANCIES, WITH_VACANCIES.occupations_from_ase(atoms)) == environment(WITH_VACANCIES, row)


@pytest.mark.parametrize("other", [(4, 2, 2), (2, 4, 2), [[2, 0, 0], [0, 2, 0], [2, -2, 4]]], ids=str)
def test_the_same_supercell_along_another_axis_of_the_crystal_maps(other: Any) -> None:
    """FCC 4x2x2 is 2x2x4 turned; so are the species on its sites."""
    lattice = LATTICES["fcc 2x2x4"]
    there = lattice.with_supercell(other)
    for row in fixed_configurations(there, 4):
        mapped = lattice.occupations_from_ase(there.to_ase(row))
        assert environment(lattice, mapped) == environment(there, row)


def test_a_particle_may_be_anywhere_but_not_turned() -> None:
    from ase.cluster import Octahedron

    particle = Octahedron("Au", 3, 1, latticeconstant=4.08)
    lattice = arl.Lattice.from_ase(particle, ["Au", "Cu"])
    row = torch.arange(13) % 2
    atoms = lattice.to_ase(row)[::-1]
    atoms.translate([3.3, -2.2, 0.7])
    assert environment(lattice, lattice.occupations_from_ase(atoms)) == environment(lattice, row)
    atoms.rotate(20, "x")
    with pytest.raises(arl.InputError, match="off the nearest site"):
        lattice.occupations_from_ase(atoms)


# -- other supercells ------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [(3, 2, 2), SKEWED, [[-2, 2, 2], [2, -2, 2], [2, 2, -2]], [[3, 1, 0], [0, 3, 1], [1, 0, 3]]], ids=str)
@pytest.mark.parametrize("how", ["as it is", "turned", "strained"])
def test_the_supercell_of_a_structure_is_found(matrix: Any, how: str) -> None:
    small = arl.Lattice.from_ase(ROCK_SALT, [["Na", "K"], ["Cl"]], 2)
    large, rng = small.with_supercell(matrix), np.random.default_rng(5)
    row = fixed_configurations(large, 1)[0]
    atoms = large.to_ase(row)
    atoms = atoms if how == "as it is" else turned(atoms, rng, 1.04 if how == "strained" and np.shape(matrix) == (3,) else 1.0)
    found, mapped = supercell_and_occupations(small, atoms)
    assert found.n_sites == large.n_sites
    assert environment(found, mapped) == environment(large, row)


def low_symmetry_lattices(n: int) -> list[arl.Lattice]:
    """FCC and hexagonal repeats with two or three sites anywhere, in supercells of up to 9 cells; fixed seed."""
    rng, found = np.random.default_rng(8), list[arl.Lattice]()
    while len(found) < n:
        cell = [FCC, HCP][len(found) % 2].cell * 1.5
        atoms = Atoms("Cu" * int(rng.integers(2, 4)), cell=cell, pbc=True)
        atoms.set_scaled_positions(rng.random((len(atoms), 3)))
        matrix = rng.integers(-2, 3, (3, 3))
        if 1 < np.linalg.det(matrix) < 9.5 and (atoms.get_all_distances(mic=True) + 9 * np.eye(len(atoms))).min() > 1.6:
            found.append(arl.Lattice.from_ase(atoms, ["Cu", "Au", "Ag"], matrix))
    return found


def test_sites_tell_the_orientation_where_the_repeats_have_more_symmetry() -> None:
    """16 lattices, each turned. An orientation that fits within the tolerance only must not win over the one that fits."""
    rng = np.random.default_rng(9)
    for lattice in low_symmetry_lattices(16):
        row = fixed_configurations(lattice, 3)[2]
        atoms = turned(lattice.to_ase(row), rng)
        assert environment(lattice, lattice.occupations_from_ase(atoms)) == environment(lattice, row)
        found, mapped = supercell_and_occupations(lattice.with_supercell(1), atoms)
        assert environment(found, mapped) == environment(lattice, row)


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda c: c * 1.2, "scale or turn the structure, or repeat its cell"),
        (lambda c: c * 0.8, "scale or turn"),
        (lambda c: c @ np.diag([1.3, 1, 1 / 1.3]), "scale or turn"),
        (lambda c: c[[0, 1, 1]], "lacks cell vectors"),
        (lambda c: c * 0, "lacks cell vectors"),
    ],
)
def test_another_cell_is_refused_with_the_cure(spoil: Callable[[np.ndarray], np.ndarray], told: str) -> None:
    lattice = LATTICES["fcc 2x2x4"]
    atoms = lattice.to_ase(torch.arange(16) % 2)
    atoms.set_cell(spoil(np.array(atoms.cell)), scale_atoms=False)
    with pytest.raises(arl.InputError, match=told) as refused:
        lattice.occupations_from_ase(atoms)
    assert "\n" not in str(refused.value)


def test_few_atoms_of_a_turned_structure_that_fit_in_many_ways_are_refused() -> None:
    """Every second site, of sites that make layers in a cube: nothing tells along which axis the layers lie."""
    cube = Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0]], cell=[4, 4, 4], pbc=True)
    lattice = arl.Lattice.from_ase(cube, ["Cu", "X"], 2)
    row = torch.tensor([0, 1] * 8)
    atoms = lattice.to_ase(row)
    assert torch.equal(lattice.occupations_from_ase(atoms), row)
    atoms.set_cell(np.array(atoms.cell)[:, [2, 0, 1]])
    atoms.positions = atoms.positions[:, [2, 0, 1]] + 0.7
    with pytest.raises(arl.InputError, match="ways that no symmetry connects"):
        lattice.occupations_from_ase(atoms)


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["turned", "shifted", "strained", "vectors swapped", "cif"])
def test_the_command_line_reads_what_python_reads(run_cli: Callable[..., Any], tmp_path: Path, how: str) -> None:
    lattice, rng = arl.load("cuau-2x2x4").lattice, np.random.default_rng(6)
    atoms = lattice.to_ase(fixed_configurations(lattice, 1)[0])
    if how == "turned":
        atoms = turned(atoms, rng)
    elif how == "shifted":
        atoms.translate([0.4, 1.1, 0.2])
    elif how == "strained":
        atoms.set_cell(np.array(atoms.cell) * 1.05, scale_atoms=True)
    elif how == "vectors swapped":
        atoms.set_cell(np.array(atoms.cell)[[1, 0, 2]])
    file = tmp_path / ("known.cif" if how == "cif" else "known.extxyz")
    ase.io.write(file, atoms)
    ran = run_cli("inpaint", "cuau-2x2x4", file, "--mask", "0,1", "-n", 2, "--temperature", 680, "--quiet", "-o", tmp_path / "out.nc")
    assert ran.code == 0, ran.err
    known = arl.SampleSet.read(tmp_path / "out.nc").known
    python = lattice.occupations_from_ase(ase.io.read(file))
    assert known is not None and torch.equal(known[2:], python[2:]) and known[:2].tolist() == [-1, -1]


def test_all_ways_to_turn_a_cube_are_found() -> None:
    """48 of them, each with one atom of its own: every map of the cube onto itself brings the configuration back."""
    lattice = arl.cubic(3, ("Cu", "Au", "Ag"))
    row = torch.zeros(27, dtype=torch.long)
    row[[1, 5]], row[11] = 1, 2
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((-1, 1), repeat=3)):
        matrix = np.eye(3)[list(order)] * signs
        atoms = lattice.to_ase(row)
        atoms.set_cell(np.array(atoms.cell) @ matrix)
        atoms.positions = atoms.positions @ matrix
        assert environment(lattice, lattice.occupations_from_ase(atoms)) == environment(lattice, row)


def test_a_turned_structure_that_fits_nowhere_is_told_what_is_off_where_it_fits_best() -> None:
    lattice = LATTICES["rock salt"]
    atoms = turned(lattice.to_ase(fixed_configurations(lattice, 1)[0]), np.random.default_rng(7))
    atoms.positions[5] += [0.6, 0, 0]
    with pytest.raises(arl.InputError, match=r"atom 5 \(.*\)': is 0\.(5|6)\d* angstrom off the nearest site"):
        lattice.occupations_from_ase(atoms)
