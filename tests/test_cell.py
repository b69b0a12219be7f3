"""Slabs, wires and particles hold their sites, or are refused with the cure; nothing flattens, nothing becomes periodic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.cluster import Octahedron

import arlattice as arl
from arlattice.hamiltonians import fixed_configurations
from arlattice.thermo.observables.shells import neighbour_shells

PARTICLE = Octahedron("Au", 3, 1, latticeconstant=4.08)  # 13 atoms, a cuboctahedron
BOXED = PARTICLE.copy()
BOXED.center(vacuum=8)
TIGHT = PARTICLE.copy()
TIGHT.center(vacuum=0)
LAYERS = fcc111("Cu", (1, 1, 3), a=3.6)  # its third vector is zero
WIRE = Atoms("Au2", positions=[[0, 0, 0], [1.2, 0.8, 1.3]], cell=[0, 0, 2.7], pbc=(False, False, True))
SHAPES = {
    "particle": (PARTICLE, 1, 13),
    "particle in a box": (BOXED, 1, 13),
    "particle that fills its box": (TIGHT, 1, 13),
    "slab": (LAYERS, (2, 3, 1), 18),
    "wire": (WIRE, (1, 1, 4), 8),
    "flat particle": (Atoms("Au4", positions=[[0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 0]]), 1, 4),
    "one atom": (Atoms("Au"), 1, 1),
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[Atoms, arl.Lattice]:
    primitive, supercell, n = SHAPES[request.param]
    lattice = arl.Lattice.from_ase(primitive, ["Au", "Cu", "X"], supercell)
    assert lattice.n_sites == n
    return primitive, lattice


def test_every_site_keeps_its_place(shape: tuple[Atoms, arl.Lattice]) -> None:
    primitive, lattice = shape
    assert np.allclose(lattice.positions[: len(primitive)], primitive.positions)
    assert lattice.pbc == tuple(primitive.pbc)
    distances = np.linalg.norm(lattice.positions[:, None] - lattice.positions, axis=2) + 9 * np.eye(lattice.n_sites)
    assert distances.min() > 1.5


@pytest.mark.parametrize("which", ["particle", "particle in a box", "particle that fills its box"])
def test_the_particle_of_13_atoms_has_36_bonds(which: str) -> None:
    """24 in the surface and 12 from the centre, a 4.08 / sqrt(2)."""
    shell = neighbour_shells(arl.Lattice.from_ase(SHAPES[which][0], ["Au", "Cu"]), 1)[0]
    assert len(shell.centre) / 2 == 36 and shell.distance == pytest.approx(4.08 / 2**0.5)


def test_a_slab_without_a_third_vector_has_the_neighbours_of_its_layers() -> None:
    """FCC (111), three layers: 9 neighbours in the outer two, 12 in the middle."""
    shell = neighbour_shells(arl.Lattice.from_ase(LAYERS, ["Cu", "Au"], (3, 3, 1)), 1)[0]
    assert sorted(shell.centre.bincount().tolist()) == [9] * 18 + [12] * 9


@pytest.mark.parametrize("vacancies", ["drop", "X"])
def test_structures_come_back_shuffled_moved_and_without_the_cell(shape: tuple[Atoms, arl.Lattice], vacancies: str) -> None:
    primitive, lattice = shape
    rng = np.random.default_rng(0)
    for row in fixed_configurations(lattice, 8):
        atoms = lattice.to_ase(row, vacancies=vacancies)
        assert (atoms.pbc == primitive.pbc).all()
        atoms = atoms[rng.permutation(len(atoms))]
        atoms.positions += rng.uniform(-0.1, 0.1, atoms.positions.shape)
        assert torch.equal(lattice.occupations_from_ase(atoms), row)
        atoms.set_cell(np.array(atoms.cell) * np.array(primitive.pbc)[:, None])
        assert torch.equal(lattice.occupations_from_ase(atoms), row)


@pytest.mark.parametrize("suffix", ["extxyz", "nc", "db"])
def test_files_keep_the_sites_and_the_periodic_directions(tmp_path: Path, shape: tuple[Atoms, arl.Lattice], suffix: str) -> None:
    lattice = shape[1]
    occupations = torch.zeros(5, lattice.n_sites).long()
    occupations[torch.arange(5), torch.arange(5) % lattice.n_sites] = 1
    samples = arl.SampleSet(lattice, occupations, torch.zeros(5), arl.SemiGrandCanonical(300), "eV")
    samples.write(tmp_path / f"out.{suffix}")
    again = arl.SampleSet.read(tmp_path / f"out.{suffix}")
    assert again.lattice.fingerprint == lattice.fingerprint and torch.equal(again.occupations, occupations)
    assert [tuple(s.lattice.pbc) for s in samples.to_pymatgen()] == [lattice.pbc] * 5


@pytest.mark.parametrize("format", ["cif", "vasp"])
@pytest.mark.filterwarnings("ignore:crystal system")
def test_a_file_that_makes_all_directions_periodic_is_read_back(tmp_path: Path, shape: tuple[Atoms, arl.Lattice], format: str) -> None:
    """Atoms may come back on the other side of the vacuum."""
    primitive, lattice = shape
    row = torch.arange(lattice.n_sites) % 2
    file = tmp_path / f"out.{format}"
    ase.io.write(file, lattice.to_ase(row))
    atoms = ase.io.read(file)
    if primitive is TIGHT:  # no vacuum: atoms on opposite faces fall together where these are called the same
        return
    assert torch.equal(lattice.occupations_from_ase(atoms), row)
    atoms.wrap()
    assert torch.equal(lattice.occupations_from_ase(atoms), row)


# -- pymatgen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, True), (False, False, True), (True, True, True)])
def test_pymatgens_periodic_directions_are_kept(pbc: tuple[bool, bool, bool]) -> None:
    core = pytest.importorskip("pymatgen.core")
    structure = core.Structure(core.Lattice(np.diag([2.8, 2.8, 2.6]), pbc=pbc), ["Fe"], [[0, 0, 0.5]])
    supercell = [2 if p else 1 for p in pbc]
    lattice = arl.Lattice.from_pymatgen(structure, ["Fe", "Cr"], supercell)
    atoms = Atoms("Fe", scaled_positions=[[0, 0, 0.5]], cell=[2.8, 2.8, 2.6], pbc=pbc)
    assert lattice.pbc == pbc
    assert lattice.fingerprint == arl.Lattice.from_ase(atoms, ["Fe", "Cr"], supercell).fingerprint
    if pbc == (True, True, False):
        shell = neighbour_shells(lattice, 1)[0]
        assert (shell.distance, len(shell.centre) / lattice.n_sites) == (pytest.approx(2.8), 4)


def test_a_molecule_of_pymatgen_is_a_particle() -> None:
    core = pytest.importorskip("pymatgen.core")
    molecule = core.Molecule(["Au"] * 13, PARTICLE.positions)
    lattice = arl.Lattice.from_pymatgen(molecule, ["Au", "Cu"])
    assert lattice.pbc == (False,) * 3 and np.allclose(lattice.positions, PARTICLE.positions)
    assert lattice.occupations_from_pymatgen(molecule).tolist() == [0] * 13


# -- refused ---------------------------------------------------------------------------------------

FLAT = np.diag([2.0, 2.0, 0.0])
CUBE = {
    "cell": np.eye(3) * 2,
    "basis": np.zeros((1, 3)),
    "allowed_species": (("Cu", "Au"),),
    "supercell": np.eye(3),
    "species": ("Cu", "Au"),
}


def from_dict(**changes: Any) -> arl.Lattice:
    return arl.Lattice.from_dict(arl.Lattice(**CUBE).to_dict() | changes)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: arl.Lattice.from_ase(Atoms("Cu", pbc=True), ["Cu"]), "direction 0 is periodic and has no vector"),
        (lambda: arl.Lattice.from_ase(Atoms("Cu", cell=[2, 2, 0], pbc=True), ["Cu"]), "direction 2 is periodic and has no vector"),
        (lambda: arl.Lattice.from_ase(Atoms("Cu", cell=[[2, 0, 0], [2, 0, 0], [0, 0, 2]], pbc=True), ["Cu"]), "must span a volume"),
        (lambda: arl.Lattice(**CUBE | {"cell": FLAT}), "must span a volume"),
        (lambda: arl.Lattice(**CUBE | {"cell": FLAT}, pbc=(True, True, False)), "must span a volume"),
        (lambda: from_dict(cell=FLAT.tolist()), "must span a volume"),
        (lambda: from_dict(pbc=[True, True, False], supercell=[[1, 0, 0], [0, 1, 0], [0, 0, 2]]), "direction 2 is not periodic"),
        (lambda: arl.Lattice.from_ase(PARTICLE, ["Cu"], 2), "direction 0 is not periodic"),
        (lambda: arl.Lattice.from_ase(LAYERS, ["Cu"], 2), "direction 2 is not periodic"),
        (lambda: arl.Lattice.from_ase(LAYERS, ["Cu"], [[2, 0, 1], [0, 2, 0], [0, 0, 1]]), "direction 2 is not periodic"),
        (lambda: arl.square(3).with_supercell(3), "direction 2 is not periodic"),
        (
            lambda: arl.Lattice.from_ase(Atoms("Cu2", cell=[2, 2, 2], pbc=True), ["Cu"]),
            "sites 0 and 1 of the primitive cell are in one place",
        ),
        (lambda: arl.Lattice.from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 2]], cell=[2, 2, 2], pbc=True), ["Cu"]), "in one place"),
        (lambda: arl.Lattice.from_ase(Atoms("Cu2", [[0, 0, 0.0001], [0, 4, 1.9999]], cell=[2, 2, 2], pbc=True), ["Cu"]), "in one place"),
    ],
)
def test_cells_that_mean_nothing_are_refused_in_one_line(make: Callable[[], arl.Lattice], told: str) -> None:
    with pytest.raises(arl.InputError, match=told) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_a_structure_without_a_cell_on_a_crystal_is_refused_with_the_cure_in_python_and_on_the_command_line(
    run_cli: Callable[..., Any], tmp_path: Path
) -> None:
    lattice = arl.Lattice.from_ase(bulk("Cu", a=3.8), ["Cu", "Au"], (2, 2, 4))
    atoms = lattice.to_ase(torch.arange(16) % 2)
    atoms.set_cell(np.zeros((3, 3)))
    atoms.pbc = False
    with pytest.raises(arl.InputError, match="lacks cell vectors in periodic directions; set_cell to the supercell vectors"):
        lattice.occupations_from_ase(atoms)
    ase.io.write(tmp_path / "bare.extxyz", atoms)
    ran = run_cli("inpaint", "cuau-2x2x4", tmp_path / "bare.extxyz", "--mask", "0", "--temperature", 680, "--quiet")
    assert ran.code == 2 and "lacks cell vectors" in ran.err and ran.err.strip().count("\n") == 0
