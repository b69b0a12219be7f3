"""What species mean: elements, isotopes, charges and vacancies leave as what they are and come back; nothing turns into another element."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import arlattice as arl
from arlattice.hamiltonians import fixed_configurations
from arlattice.species import is_vacancy, parse_species, species_of, vacancy_index

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.LowEssWarning")  # a few samples are enough here

ROCK_SALT = bulk("NaCl", "rocksalt", a=4.2)
FCC = bulk("Cu", a=4.0)
VACANCIES = ("X", "Va", "VA", "Vac", "vac", "Vacancy", "vacancy", "VACANCY", "□")
SPECIES: dict[str, list[list[str]]] = {
    "isotopes": [["Pd"], ["H", "D", "T", "X"]],
    "only deuterium": [["Pd"], ["D", "X"]],
    "charges": [["Li+", "Mn3+", "Mn4+", "X"], ["O2-"]],
    "charges, sign first": [["Fe+2", "Fe+3", "Va"], ["O-2", "F-"]],
    "with and without charge": [["Fe", "Fe2+", "Cu"], ["O2-", "O"]],
    "one charge a sublattice": [["Mn3+", "Li+"], ["Mn4+", "O2-"]],
    "charged isotopes": [["H+", "D+", "Vac"], ["Cl-"]],
    "halves": [["Fe2.5+", "Fe2+"], ["O²⁻"]],
}


def lattice_of(species: Any, primitive: Atoms = ROCK_SALT, supercell: Any = 2) -> arl.Lattice:
    return arl.Lattice.from_ase(primitive, species, supercell)


def sample_set(lattice: arl.Lattice, n: int = 12) -> arl.SampleSet:
    energies = torch.arange(n).double()
    return arl.SampleSet(lattice, fixed_configurations(lattice, n), energies, arl.SemiGrandCanonical(300), "eV", log_prob=-torch.ones(n))


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "element", "charge", "mass"),
    [
        ("Cu", "Cu", None, None),
        ("D", "H", None, 2.014),
        ("T", "H", None, 3.016),
        ("Li+", "Li", 1, None),
        ("Mn3+", "Mn", 3, None),
        ("Mn+3", "Mn", 3, None),
        ("Mn³⁺", "Mn", 3, None),
        ("O2-", "O", -2, None),
        ("O-2", "O", -2, None),
        ("F-", "F", -1, None),
        ("Fe2.5+", "Fe", 2.5, None),
        ("Na0+", "Na", 0, None),
        ("D+", "H", 1, 2.014),
        ("V", "V", None, None),
        *((name, "X", None, None) for name in VACANCIES),
    ],
)
def test_a_name_says_element_charge_and_mass(name: str, element: str, charge: float | None, mass: float | None) -> None:
    species = parse_species(name)
    assert species is not None
    assert (species.name, species.element, species.charge) == (name, element, charge)
    assert species.mass == (None if mass is None else pytest.approx(mass, abs=1e-3))
    assert is_vacancy(name) == (element == "X")


@pytest.mark.parametrize("name", ["up", "0", "Q", "A", "", "Mn3", "3Mn+", "Mn3+-", "mn", "Cu_1", "Xx", "++", "7Li"])
def test_other_names_mean_no_atom(name: str) -> None:
    assert parse_species(name) is None


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["Pd", "H", "Q"], "Q"),
        (["Cu", "up"], "up"),
        (["Mn_up", "Mn_down"], "Mn_up"),
        (["Fe1", "Fe2"], "Fe1"),
        (["6Li", "7Li"], "6Li"),
        (["cu", "au"], "cu"),
        (["CU", "AU"], "CU"),
        (["Fe2+,spin=5", "Fe3+"], "Fe2+,spin=5"),
    ],
)
def test_a_name_that_is_meant_as_an_atom_and_is_none_is_refused_by_its_name(names: list[str], wrong: str) -> None:
    with pytest.raises(arl.InputError, match=re.escape(f"species = '{wrong}'")) as refused:
        lattice_of([names, names]).to_ase(torch.zeros(16, dtype=torch.long))
    assert "\n" not in str(refused.value)


def test_two_names_of_the_vacancy_are_refused() -> None:
    with pytest.raises(arl.InputError, match="names of the vacancy"):
        lattice_of(["Na", "X", "Va"], FCC).to_ase(torch.zeros(8, dtype=torch.long))
    assert vacancy_index(["Cu", "Au"]) is None and vacancy_index(["Cu", "Vac"]) == 1


def test_spins_are_spins_only_where_no_species_is_an_element() -> None:
    assert species_of(["down", "up"]) is species_of(["0", "1", "2"]) is species_of(["down", "up", "X"]) is None
    lattice = arl.square(3, ("down", "up", "X"))
    row = torch.tensor([0, 1, 2] * 3)
    atoms = lattice.to_ase(row)
    assert set(atoms.symbols) == {"Fe"} and len(atoms) == 6
    for vacancies in ("drop", "X"):
        assert torch.equal(lattice.occupations_from_ase(lattice.to_ase(row, vacancies=vacancies)), row)


# -- structures ------------------------------------------------------------------------------------


def test_deuterium_is_hydrogen_with_its_mass() -> None:
    lattice = lattice_of([["Pd"], ["H", "D", "X"]])
    row = torch.tensor([0 if b == 0 else 1 + i % 3 for i, b in enumerate(lattice.sublattice)])
    atoms = lattice.to_ase(row)
    names = [lattice.species[s] for s in row[atoms.arrays["site_index"]]]
    assert list(atoms.symbols) == ["Pd" if n == "Pd" else "H" for n in names]
    expected = {"Pd": 106.42, "H": 1.008, "D": 2.014}
    assert np.allclose(atoms.get_masses(), [expected[n] for n in names], atol=1e-3)
    assert not atoms.has("initial_magmoms") and not atoms.has("initial_charges")


def test_charges_are_an_array_and_in_info() -> None:
    lattice = lattice_of(SPECIES["charges"])
    row = torch.tensor([i // 2 % 4 if b == 0 else 4 for i, b in enumerate(lattice.sublattice)])
    atoms = lattice.to_ase(row)
    charge = {"Li+": 1.0, "Mn3+": 3.0, "Mn4+": 4.0, "O2-": -2.0}
    names = [lattice.species[s] for s in row[atoms.arrays["site_index"]]]
    assert list(atoms.symbols) == [re.sub(r"[\d+-]", "", n) for n in names]
    assert atoms.get_initial_charges().tolist() == [charge[n] for n in names]
    assert {name: atoms.info[f"charge_{name}"] for name in charge} == charge
    assert atoms.info["charge"] == sum(charge[n] for n in names)
    assert not atoms.has("initial_magmoms")


@pytest.mark.parametrize("vacancies", ["drop", "X"])
@pytest.mark.parametrize("kind", SPECIES)
def test_every_species_comes_back_from_atoms_in_any_order(kind: str, vacancies: str) -> None:
    lattice, rng = lattice_of(SPECIES[kind]), np.random.default_rng(0)
    for row in fixed_configurations(lattice, 10):
        atoms = lattice.to_ase(row, vacancies=vacancies)
        assert set(atoms.symbols) <= {s.element for s in species_of(lattice.species) or []}
        assert torch.equal(lattice.occupations_from_ase(atoms[rng.permutation(len(atoms))]), row)


@pytest.mark.parametrize("name", VACANCIES)
def test_every_name_of_the_vacancy_is_left_out_or_kept_as_x(name: str) -> None:
    lattice = lattice_of([["Na", name], ["Cl"]])
    row = torch.tensor([1, 2] + [0, 2] * 7)
    assert len(lattice.to_ase(row)) == 15
    assert lattice.to_ase(row, vacancies="X").get_chemical_symbols() == ["X", "Cl"] + ["Na", "Cl"] * 7
    for vacancies in ("drop", "X"):
        assert torch.equal(lattice.occupations_from_ase(lattice.to_ase(row, vacancies=vacancies)), row)


def test_a_structure_without_charges_is_read_where_elements_tell_and_refused_with_the_cure_where_not() -> None:
    plain = Atoms(bulk("LiF", "rocksalt", a=4.2)).repeat(2)
    assert lattice_of([["Li+", "X"], ["F-"]]).occupations_from_ase(plain).tolist() == [0, 2] * 8
    with pytest.raises(arl.InputError, match=r"could be Li\+ or Li; give the initial charges"):
        lattice_of([["Li+", "Li"], ["F-"]]).occupations_from_ase(plain)
    charged = plain.copy()
    charged.set_initial_charges([1.0, -1.0] * 8)
    assert lattice_of([["Li", "X"], ["F"]]).occupations_from_ase(charged).tolist() == [0, 2] * 8
    with pytest.raises(arl.InputError, match=r"'Li with charge \+1': the species of this lattice are"):
        lattice_of([["Li3+", "Li2+"], ["F-"]]).occupations_from_ase(charged)


def test_what_is_no_structure_is_refused() -> None:
    with pytest.raises(arl.InputError, match="give ASE Atoms; occupations_from_pymatgen reads"):
        lattice_of([["Li"], ["F"]]).occupations_from_ase("POSCAR")  # type: ignore[arg-type]


def test_hydrogen_without_a_mass_is_hydrogen_and_no_other_isotope() -> None:
    plain = bulk("PdH", "rocksalt", a=4.2)
    assert lattice_of([["Pd"], ["H", "D"]], supercell=1).occupations_from_ase(plain).tolist() == [0, 1]
    assert lattice_of([["Pd"], ["D"]], supercell=1).occupations_from_ase(plain).tolist() == [0, 1]
    with pytest.raises(arl.InputError, match="the species of this lattice are Pd, D, T"):
        lattice_of([["Pd"], ["D", "T"]], supercell=1).occupations_from_ase(plain)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["extxyz", "nc", "db"])
@pytest.mark.parametrize("kind", SPECIES)
def test_every_species_comes_back_from_files(tmp_path: Path, kind: str, suffix: str) -> None:
    samples = sample_set(lattice_of(SPECIES[kind]))
    samples.write(tmp_path / f"out.{suffix}")
    again = arl.SampleSet.read(tmp_path / f"out.{suffix}")
    assert torch.equal(again.occupations, samples.occupations) and again.lattice.fingerprint == samples.lattice.fingerprint
    if suffix != "nc":
        read = ase.io.read(tmp_path / f"out.{suffix}", index=":")
        for atoms, row in zip(read, samples.occupations, strict=True):
            assert torch.equal(samples.lattice.occupations_from_ase(atoms), row)


@pytest.mark.filterwarnings("ignore:crystal system")
@pytest.mark.parametrize("format", ["cif", "poscar"])
@pytest.mark.parametrize("kind", SPECIES)
def test_cif_and_poscar_bring_species_back_or_refuse_them(tmp_path: Path, kind: str, format: str) -> None:
    samples = sample_set(lattice_of(SPECIES[kind]))
    if kind not in ("only deuterium", "one charge a sublattice"):
        with pytest.raises(arl.InputError, match=rf"format = .{format}.: .* look the same; write extxyz or netcdf"):
            samples.write(tmp_path / "out", format=format)
        assert not list(tmp_path.iterdir())
        return
    samples.write(tmp_path / "out", format=format)
    files = sorted(p for p in (tmp_path / "out").iterdir() if p.suffix != ".csv")
    for file, row in zip(files, samples.occupations, strict=True):
        assert torch.equal(samples.lattice.occupations_from_ase(ase.io.read(file)), row)


OLD_SPECIES = [["Pd"], ["H", "D", "X"]]


def test_files_of_release_0_1_that_held_species_as_moments_are_read(tmp_path: Path) -> None:
    """Where one species was no chemical symbol, all left as Fe with their index as moment, vacancies too."""
    samples = sample_set(lattice_of(OLD_SPECIES))
    file = tmp_path / "old.extxyz"
    frames = []
    samples.write(file)
    for atoms, row in zip(ase.io.read(file, index=":"), samples.occupations.numpy(), strict=True):
        old = Atoms(
            numbers=[26] * 16, positions=samples.lattice.positions, cell=atoms.cell, pbc=True, info=atoms.info, calculator=atoms.calc
        )
        old.set_initial_magnetic_moments(row.astype(float))
        old.info = {k: v for k, v in atoms.info.items() if k not in ("arlattice", "sha256")}
        old.info |= {"arlattice": "_JSON " + json.dumps(atoms.info["arlattice"])}
        old.info["arlattice"] = old.info["arlattice"].replace("\\", "\\\\")
        frames.append(old)
    ase.io.write(file, frames, format="extxyz")
    with pytest.warns(arl.UncheckedWarning):
        assert torch.equal(arl.SampleSet.read(file).occupations, samples.occupations)


# -- pymatgen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("vacancies", ["drop", "X"])
@pytest.mark.parametrize("kind", SPECIES)
def test_every_species_comes_back_from_pymatgen(kind: str, vacancies: str) -> None:
    pytest.importorskip("pymatgen")
    samples = sample_set(lattice_of(SPECIES[kind]))
    lattice = samples.lattice
    alone = lattice.to_pymatgen(samples.occupations, vacancies=vacancies)
    assert alone[1] == lattice.to_pymatgen(samples.occupations[1], vacancies=vacancies)
    for structure, row in zip([*samples.to_pymatgen(vacancies=vacancies), *alone], samples.occupations.repeat(2, 1), strict=True):
        assert torch.equal(samples.lattice.occupations_from_pymatgen(structure), row)
        assert torch.equal(samples.lattice.occupations_from_ase(structure.to_ase_atoms()), row)


def test_pymatgen_structures_have_oxidation_states_and_deuterium() -> None:
    core = pytest.importorskip("pymatgen.core")
    charged = sample_set(lattice_of(SPECIES["charges"])).to_pymatgen()[0]
    assert {str(s) for s in charged.composition} <= {"Li+", "Mn3+", "Mn4+", "O2-"}
    assert charged.properties["charge"] == pytest.approx(charged.charge)
    heavy = sample_set(lattice_of([["Pd"], ["D"]])).to_pymatgen()[0]
    assert {site.specie for site in heavy} == {core.Element("Pd"), core.Element("D")}


def test_a_disordered_pymatgen_structure_says_its_species_itself() -> None:
    core = pytest.importorskip("pymatgen.core")
    sites = [{"Li+": 0.5, "Mn3+": 0.25}, {"O2-": 1}, {"Na": 0.5, core.DummySpecies("X"): 0.5}]
    structure = core.Structure(core.Lattice.cubic(4.0), sites, [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]])
    lattice = arl.Lattice.from_pymatgen(structure, supercell=2)
    assert lattice.allowed_species == (("Li+", "Mn3+", "X"), ("O2-",), ("Na", "X"))
    with pytest.raises(arl.InputError, match="has sites with several species"):
        lattice.occupations_from_pymatgen(structure)
    ordered = core.Structure(core.Lattice.cubic(4.0), ["Cu"], [[0, 0, 0]])
    with pytest.raises(arl.InputError, match="only a disordered structure lists them itself"):
        arl.Lattice.from_pymatgen(ordered)


def test_pymatgens_own_species_may_be_given() -> None:
    core = pytest.importorskip("pymatgen.core")
    structure = core.Structure(core.Lattice.cubic(3.0), ["Cu"], [[0, 0, 0]])
    species = [core.Element("Cu"), core.Element("D"), core.Species("Mn", 3), core.Species("O", -2), core.DummySpecies("X"), "Au"]
    assert arl.Lattice.from_pymatgen(structure, species).species == ("Cu", "D", "Mn3+", "O2-", "X", "Au")
    with pytest.raises(arl.InputError, match="spin"):
        arl.Lattice.from_pymatgen(structure, [core.Species("Fe", 2, spin=5), "Cu"])
    with pytest.raises(arl.InputError, match="as a pymatgen Structure"):
        arl.Lattice.from_pymatgen("POSCAR", ["Cu"])  # type: ignore[arg-type]


# -- energy per atom -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X", "Va"])
def test_energy_per_atom_stands_beside_per_site_where_there_are_vacancies_only(tmp_path: Path, name: str) -> None:
    samples = sample_set(lattice_of([["Na", "K", name], ["Cl"]]))
    atoms = torch.tensor([len(a) for a in samples.to_ase()])
    assert (atoms < 16).any() and torch.equal(samples.n_atoms, atoms)
    assert torch.equal(samples.energy_per_atom, samples.energy / atoms)
    assert samples.mean("energy_per_atom").value == pytest.approx(float(samples.weights @ (samples.energy / atoms)))
    assert [a.info["energy_per_atom"] for a in samples.to_ase()] == samples.energy_per_atom.tolist()
    assert samples.to_xarray().energy_per_atom.values.tolist() == samples.energy_per_atom.tolist()
    full = sample_set(lattice_of([["Na", "K"], ["Cl"]]))
    assert torch.equal(full.energy_per_atom, full.energy_per_site)
    assert "energy_per_atom" not in full.to_ase()[0].info and "energy_per_atom" not in full.to_xarray()


def test_energy_per_atom_of_no_atoms_is_refused() -> None:
    lattice = lattice_of(["Cu", "X"], FCC, 1)
    samples = arl.SampleSet(lattice, torch.tensor([[0], [1]]), torch.zeros(2), arl.SemiGrandCanonical(300), "eV")
    assert samples.energy_per_atom.isnan().tolist() == [False, True]
    with pytest.raises(arl.InputError, match="no atoms at all"):
        samples.mean("energy_per_atom")


def test_the_printed_table_has_energy_per_atom_where_there_are_vacancies(capsys: pytest.CaptureFixture[str]) -> None:
    from arlattice.cli.sample import report

    for species, told in ([["Na", "X"], ["Cl"]], True), ([["Na", "K"], ["Cl"]], False):
        report(sample_set(lattice_of(species)), [], True)
        facts = json.loads(capsys.readouterr().out)
        assert ("energy_per_atom" in facts) == told and "energy_per_site" in facts
