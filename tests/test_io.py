"""Samples out and back in: ASE, pymatgen, xarray and files, the same bits, whole or not at all."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arlattice.ensemble import BOLTZMANN, Canonical, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import fixed_configurations
from arlattice.io.ase_db import AseDb
from arlattice.io.extxyz import Extxyz
from arlattice.io.netcdf import NetCDF
from arlattice.io.structure_folders import Cif
from arlattice.lattice import Lattice, square
from arlattice.samples import SampleSet

FACTS: dict[str, str | int | float | bool] = {
    "hamiltonian": "cuau",
    "hamiltonian_fingerprint": "1234e567",
    "model": "transformer",
    "seed": 2**63,
    "order_kind": "random",
    "exact": True,
}
FILES = (".extxyz", ".nc", ".db")

ALLOY = Lattice.from_ase(bulk("Cu", "fcc", 3.8), ["Cu", "Au"], (2, 2, 3))
ROCKSALT = Lattice.from_ase(bulk("NaCl", "rocksalt", 5.6), [["Na", "K", "X"], ["Cl", "X"]], [[2, 1, 0], [0, 2, 1], [1, 0, 2]])
SPINS = square((4, 3))
SYSTEMS: dict[str, tuple[Lattice, Ensemble, str]] = {
    "alloy": (ALLOY, SemiGrandCanonical(680.0, {"Au": 0.1 / 3}), "eV"),
    "alloy at fixed composition": (ALLOY, Canonical(300, {"Au": 0.25}), "eV"),
    "vacancies on two sublattices": (ROCKSALT, SemiGrandCanonical(500.0, {"K": 1 / 3, "X": -0.1}), "eV"),
    "spins": (SPINS, SemiGrandCanonical(2.269, {"up": 0.1, "down": -0.1}), "reduced"),
}


def random_set(system: str = "alloy", n: int = 20, *, exact: bool = True, known: bool = False) -> SampleSet:
    lattice, state, units = SYSTEMS[system]
    generator = torch.Generator().manual_seed(7)
    occupations = fixed_configurations(lattice, n)
    given = torch.full((lattice.n_sites,), -1)
    if known:
        given[::3] = occupations[0, ::3]
        occupations[:, ::3] = occupations[0, ::3]
    return SampleSet(
        lattice,
        occupations,
        torch.randn(n, generator=generator, dtype=torch.float64),
        state,
        units,
        log_prob=-50 * torch.rand(n, generator=generator, dtype=torch.float64) if exact else None,
        order=torch.stack([torch.randperm(lattice.n_sites, generator=generator) for _ in range(n)]) if exact else None,
        known=given if known else None,
        metadata=FACTS,
    )


def same_bits(first: SampleSet, second: SampleSet) -> bool:
    def equal(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
        return (a is None and b is None) or (a is not None and b is not None and a.dtype == b.dtype and torch.equal(a, b))

    arrays = all(equal(getattr(first, name), getattr(second, name)) for name in ("occupations", "energy", "log_prob", "order", "known"))
    facts = [[s.lattice.to_dict(), s.state, s.units, {k: (type(v), v) for k, v in s.metadata.items()}] for s in (first, second)]
    return arrays and facts[0] == facts[1]


# -- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize(
    ("system", "vacancies"), [*((name, "drop") for name in SYSTEMS), ("vacancies on two sublattices", "X")], ids=lambda v: v.split()[0]
)
def test_1000_samples_come_back_with_the_same_bits(tmp_path: Path, system: str, vacancies: str, suffix: str) -> None:
    samples = random_set(system, 1000)
    samples.write(tmp_path / f"out{suffix}", vacancies=vacancies)
    assert same_bits(SampleSet.read(tmp_path / f"out{suffix}"), samples)


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize(("exact", "known"), [(False, False), (True, True), (False, True)])
def test_monte_carlo_and_inpainted_samples_come_back(tmp_path: Path, suffix: str, exact: bool, known: bool) -> None:
    samples = random_set("spins", 9, exact=exact, known=known)
    samples.write(tmp_path / f"out{suffix}")
    assert same_bits(SampleSet.read(tmp_path / f"out{suffix}"), samples)


@pytest.mark.parametrize("suffix", FILES)
def test_one_sample_of_one_site_comes_back(tmp_path: Path, suffix: str) -> None:
    lattice = Lattice.from_ase(bulk("Cu"), ["Cu", "Au"])
    samples = SampleSet(
        lattice, torch.ones(1, 1).long(), torch.ones(1), SemiGrandCanonical(1.0), "eV", log_prob=-torch.ones(1), order=torch.zeros(1, 1)
    )
    samples.write(tmp_path / f"out{suffix}")
    assert same_bits(SampleSet.read(tmp_path / f"out{suffix}"), samples)


LINES = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=20)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=LINES, number=st.floats(allow_nan=False, allow_infinity=False), key=st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,12}\Z"))
@pytest.mark.parametrize("suffix", FILES)
def test_any_line_of_text_and_any_float_comes_back(tmp_path: Path, suffix: str, text: str, number: float, key: str) -> None:
    facts: dict[str, str | int | float | bool] = {key: text, "number": number, key + "_2": key}
    samples = SampleSet(ALLOY, torch.zeros(1, 12).long(), torch.zeros(1), SemiGrandCanonical(1.0), "eV", metadata=facts)
    samples.write(tmp_path / f"out{suffix}")
    assert same_bits(SampleSet.read(tmp_path / f"out{suffix}"), samples)


def test_writing_again_replaces_the_file(tmp_path: Path) -> None:
    for suffix in FILES:
        for n in (5, 3):
            random_set(n=n).write(tmp_path / f"out{suffix}")
        assert len(SampleSet.read(tmp_path / f"out{suffix}")) == 3
    assert len(list(tmp_path.iterdir())) == 3


# -- what other codes see ------------------------------------------------------------------------


def test_ase_frames_carry_all_that_reweighting_needs() -> None:
    samples = random_set("alloy", known=True)
    beta = 1 / (BOLTZMANN["eV"] * 680)
    for i, atoms in enumerate(samples.to_ase()):
        info = atoms.info
        gold = atoms.symbols.count("Au")
        phi = atoms.get_potential_energy() - gold * info["mu_Au"] - (12 - gold) * info["mu_Cu"]
        assert info["temperature"] == 680 and info["x_Au"] == gold / 12 and info["sample"] == i
        assert info["energy_minus_mu_n"] == pytest.approx(phi)
        assert info["log_f"] == pytest.approx(-beta * phi, rel=1e-9)
        assert info["log_weight"] == pytest.approx(-beta * phi - info["log_prob"], rel=1e-9)
        assert np.array_equal(info["supercell_matrix"], np.diag([2, 2, 3]))
        assert info.items() >= FACTS.items()
        assert samples.order is not None and np.array_equal(info["order"], samples.order[i])
        assert np.array_equal(info["order"][atoms.arrays["order_rank"]], atoms.arrays["site_index"])
        assert np.array_equal(np.flatnonzero(atoms.arrays["known"]), range(0, 12, 3))
        assert np.array_equal(ALLOY.occupations_from_ase(atoms), samples.occupations[i])


def test_frames_carry_no_entry_that_does_not_apply() -> None:
    info = random_set("alloy at fixed composition", exact=False).to_ase()[0].info
    assert info["ensemble"] == "canonical" and "boltzmann_constant" in info
    assert not {"log_prob", "order", "mu_Au", "mu_Cu"} & set(info)


def test_metadata_cannot_take_the_place_of_a_fact(tmp_path: Path) -> None:
    names = (
        "temperature",
        "log_prob",
        "pbc",
        "energy",
        "Lattice",
        "arlattice",
        "stress",
        "forces",
        "numbers",
        "species",
        "virial",
        "magmoms",
    )
    plain = random_set(n=2)
    samples = SampleSet(
        ALLOY, plain.occupations, plain.energy, plain.state, "eV", log_prob=plain.log_prob, metadata={name: "false" for name in names}
    )
    assert samples.to_ase()[0].info["temperature"] == 680
    for suffix in FILES:
        samples.write(tmp_path / f"out{suffix}")
        assert same_bits(SampleSet.read(tmp_path / f"out{suffix}"), samples)


@pytest.mark.parametrize("suffix", [".extxyz", ".db"])
def test_ase_opens_the_files(tmp_path: Path, suffix: str) -> None:
    samples = random_set("vacancies on two sublattices", 10)
    samples.write(tmp_path / f"out{suffix}")
    frames = ase.io.read(tmp_path / f"out{suffix}", index=":")
    for i, (read, ours) in enumerate(zip(frames, samples.to_ase(), strict=True)):
        assert np.array_equal(read.numbers, ours.numbers) and np.allclose(read.positions, ours.positions, atol=1e-7)
        assert read.get_potential_energy() == float(samples.energy[i])
        if suffix == ".extxyz":
            assert read.info["log_weight"] == float(samples.log_weight[i])
            assert read.info["model"] == "transformer" and np.array_equal(read.info["supercell_matrix"], ROCKSALT.supercell)
            assert np.array_equal(read.arrays["order_rank"], ours.arrays["order_rank"])


def test_the_database_can_be_searched(tmp_path: Path) -> None:
    from ase.db import connect

    samples = random_set("alloy", 30)
    samples.write(tmp_path / "out.db")
    found = list(connect(tmp_path / "out.db").select("x_Au>0.5,model=transformer"))
    assert len(found) == int((samples.composition[:, 1] > 0.5).sum()) > 0
    assert found[0].log_prob < 0 and found[0].data["arrays"]["site_index"].tolist() == list(range(12))


def test_spins_leave_as_magnetic_moments(tmp_path: Path) -> None:
    samples = random_set("spins", 10)
    samples.write(tmp_path / "out.extxyz")
    for read, row in zip(ase.io.read(tmp_path / "out.extxyz", index=":"), samples.occupations, strict=True):
        assert set(read.symbols) == {"Fe"}
        assert np.array_equal(read.get_initial_magnetic_moments(), 2 * row.numpy() - 1)
    structure = samples.to_pymatgen()[0]
    assert np.array_equal(structure.site_properties["magmom"], 2 * samples.occupations[0].numpy() - 1)


@pytest.mark.parametrize("vacancies", ["drop", "X"])
def test_pymatgen_structures_carry_species_facts_and_arrays(vacancies: str) -> None:
    from pymatgen.io.ase import AseAtomsAdaptor

    samples = random_set("vacancies on two sublattices", 20)
    structures = samples.to_pymatgen(vacancies=vacancies)
    for i, structure in enumerate(structures):
        row = samples.occupations[i]
        here = row if vacancies == "X" else row[row != ROCKSALT.species.index("X")]
        assert [s.specie.symbol for s in structure] == [ROCKSALT.species[k] for k in here]
        assert structure.properties["energy"] == float(samples.energy[i])
        assert structure.properties["log_weight"] == float(samples.log_weight[i])
        assert len(structure.site_properties["order_rank"]) == len(here)
        back = AseAtomsAdaptor.get_atoms(structure)
        assert torch.equal(ROCKSALT.occupations_from_ase(back), row)


def test_xarray_dataset_is_labelled_and_has_units(tmp_path: Path) -> None:
    import xarray

    samples = random_set("alloy", 15)
    samples.write(tmp_path / "out.nc")
    with xarray.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as dataset:
        assert dict(dataset.sizes) | {"sample": 15, "site": 12, "species": 2, "axis": 3} == dict(dataset.sizes)
        assert dataset.drop_attrs(deep=False).identical(samples.to_xarray().drop_attrs(deep=False))
        assert {key: value for key, value in dataset.attrs.items() if key != "sha256"} == samples.to_xarray().attrs
        assert dataset.energy.units == "eV" and dataset.position.units == "angstrom" and dataset.temperature.units == "K"
        assert dataset.composition.sel(species="Au").values.tolist() == samples.composition[:, 1].tolist()
        assert Lattice.from_dict(json.loads(dataset.lattice)).fingerprint == ALLOY.fingerprint
        assert all("long_name" in dataset[v].attrs or "units" in dataset[v].attrs for v in dataset.data_vars)


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")  # 0.33333 rounded to 1/3
@pytest.mark.parametrize("format", ["cif", "poscar"])
@pytest.mark.parametrize("system", ["alloy", "vacancies on two sublattices"])
def test_cif_and_poscar_folders_open_in_ase_and_pymatgen(tmp_path: Path, format: str, system: str) -> None:
    from pymatgen.core import Structure

    samples = random_set(system, 12)
    samples.write(tmp_path / "out", format=format)
    with (tmp_path / "out" / "index.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(list((tmp_path / "out").iterdir())) == 13
    for i, row in enumerate(rows):
        assert float(row["energy"]) == float(samples.energy[i]) and float(row["log_weight"]) == float(samples.log_weight[i])
        file = tmp_path / "out" / row["file"]
        for atoms in (ase.io.read(file), Structure.from_file(file, **({"primitive": False} if format == "cif" else {})).to_ase_atoms()):
            assert same_structure(atoms, samples.to_ase()[i])


def same_structure(first: ase.Atoms, second: ase.Atoms) -> bool:
    """The same species at the same places of the same cell, in any order and orientation."""

    def fingerprint(atoms: ase.Atoms) -> list[tuple[object, ...]]:
        fractional = np.round(atoms.get_scaled_positions() + 1e-4, 3) % 1
        return sorted(zip(atoms.numbers.tolist(), *fractional.T.tolist(), strict=True))

    return bool(np.allclose(first.cell.cellpar(), second.cell.cellpar(), atol=1e-3)) and fingerprint(first) == fingerprint(second)


# -- structures in -------------------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("vacancies", ["drop", "X"])
def test_occupations_come_back_from_atoms_in_any_order_and_slightly_moved(system: str, vacancies: str) -> None:
    lattice = SYSTEMS[system][0]
    generator = np.random.Generator(np.random.PCG64(0))
    for row in fixed_configurations(lattice, 20):
        atoms = lattice.to_ase(row, vacancies=vacancies)
        atoms = atoms[generator.permutation(len(atoms))]
        atoms.positions += generator.uniform(-0.1, 0.1, atoms.positions.shape)
        atoms.positions += generator.integers(-2, 3, atoms.positions.shape) @ lattice.supercell_vectors
        assert torch.equal(lattice.occupations_from_ase(atoms), row)


def test_unknown_sites_leave_as_x_and_come_back_as_unknown() -> None:
    row = torch.tensor([0, 1, -1] * 4)
    assert torch.equal(ALLOY.occupations_from_ase(ALLOY.to_ase(row)), row)


def test_structures_that_do_not_fit_are_refused() -> None:
    atoms = ALLOY.to_ase(torch.zeros(12).long())
    moved, foreign, double, other = atoms.copy(), atoms.copy(), atoms.copy(), ALLOY.with_supercell((2, 2, 2)).to_ase(torch.zeros(8).long())
    moved.positions[3] += 0.5
    foreign.symbols[3] = "Ag"
    double.positions[3] = double.positions[4]
    for wrong, message in [
        (moved, "off the"),
        (foreign, "Ag"),
        (double, "same site"),
        (atoms[:-1], "has no atom"),
        (other, "structure cell"),
    ]:
        with pytest.raises(InputError, match=message):
            ALLOY.occupations_from_ase(wrong)


# -- refused, and nothing half-written -----------------------------------------------------------


def test_bad_paths_and_formats_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    empty = SampleSet(Lattice.from_ase(bulk("Cu"), ["Cu", "X"], 2), torch.ones(1, 8).long(), torch.zeros(1), SemiGrandCanonical(1.0), "eV")
    cases = [
        (random_set(), "out.xyz", {}, "ends in .extxyz, .nc, .db"),
        (random_set(), "out", {}, "format='cif' or 'poscar'"),
        (random_set(), "out.nc", {"format": "hdf"}, "one of extxyz"),
        (random_set(), "out.nc", {"format": "extxyz"}, "ends in .extxyz"),
        (random_set(), "missing/out.nc", {}, "does not exist"),
        (random_set(), "missing/out", {"format": "cif"}, "does not exist"),
        (random_set(), "there", {"format": "cif"}, "is there already"),
        (random_set(), "out.extxyz", {"vacancies": "keep"}, "one of 'drop', 'X'"),
        (random_set("spins"), "out", {"format": "cif"}, "magnetic moments"),
        (random_set("spins"), "out", {"format": "poscar"}, "magnetic moments"),
        (empty, "out.extxyz", {}, "no atoms at all"),
        (empty, "out.db", {}, "no atoms at all"),
        (empty, "out", {"format": "poscar"}, "no atoms at all"),
    ]
    for samples, name, options, message in cases:
        with pytest.raises(InputError, match=re.escape(message)) as raised:
            samples.write(tmp_path / name, **options)
        assert "\n" not in str(raised.value)
        assert [p.name for p in tmp_path.iterdir()] == ["there"]
    (tmp_path / "there.nc").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        random_set().write(tmp_path / "there.nc")
    for suffix in (".extxyz", ".db"):
        empty.write(tmp_path / f"empty{suffix}", vacancies="X")
        assert same_bits(SampleSet.read(tmp_path / f"empty{suffix}"), empty)


@pytest.mark.parametrize("name", ["out.extxyz", "out.nc", "out.db", "cif"])
def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    format = name if name == "cif" else None
    if format is None:
        (tmp_path / name).write_text("old")
    kind: Any = {"out.extxyz": Extxyz, "out.nc": NetCDF, "out.db": AseDb, "cif": Cif}[name]
    whole = kind.write

    def stop_half_way(self: Any, samples: SampleSet, path: Path, vacancies: str) -> None:
        whole(self, samples, path, vacancies)
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "write", stop_half_way)
    with pytest.raises(InputError, match="plugin 'builtin' cannot write samples: KeyboardInterrupt"):
        random_set(n=3).write(tmp_path / name, format=format)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == ([] if format else [(name, "old")])


@pytest.mark.parametrize("suffix", FILES)
def test_truncated_and_random_files_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out{suffix}"
    random_set(n=4).write(file)
    whole = file.read_bytes()
    noise = np.random.Generator(np.random.PCG64(0)).bytes(4096)
    for content in [b"", b"\n", noise, whole[:100] + noise, *(whole[: len(whole) * k // 17] for k in range(1, 17))]:
        file.write_bytes(content)
        with pytest.raises(InputError, match="damaged") as raised:
            SampleSet.read(file)
        assert "\n" not in str(raised.value)


def test_an_extxyz_file_that_lost_frames_or_changed_a_digit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "out.extxyz"
    random_set(n=4).write(file)
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)
    changed = {
        "frames lost": "".join(lines[: 14 * 3]),
        "frames exchanged": "".join(lines[14:28] + lines[:14] + lines[28:]),
        "a frame doubled": "".join(lines[:14] + lines[:14] + lines[28:]),
        "energy": re.sub(r" energy=\S+", " energy=0.5", whole, count=1),
        "log_prob": re.sub(r"log_prob=\S+", "log_prob=-1.0", whole, count=1),
        "temperature": whole.replace('temperature\\": 680.0', 'temperature\\": 681.0'),
        "species": re.sub("^Cu ", "Au ", whole, count=1, flags=re.MULTILINE),
        "other species": re.sub("^Cu ", "Ag ", whole, count=1, flags=re.MULTILINE),
        "position": whole.replace("1.90000000", "2.30000000", 1),
        "energy not a number": re.sub(r" energy=\S+", " energy=nan", whole, count=1),
        "frames of two sets": whole.replace("transformer", "other", 2),
        "format": whole.replace("arlattice-samples-1", "arlattice-samples-9"),
        "huge": whole.replace("[[2, 0, 0], [0, 2, 0]", "[[2000000, 0, 0], [0, 2000000, 0]"),
        "long and thin": whole.replace("[[2, 0, 0], [0, 2, 0]", "[[2, 999999999999, 0], [0, 2, 0]"),
        "atoms without end": "999999999999\nProperties=species:S:1:pos:R:3\nCu 0 0 0\n",
        "fewer than no atoms": "-5\n\n",
        "no header": re.sub(r'arlattice="_JSON.*?}}" ', "", whole),
    }
    for name, text in changed.items():
        assert text != whole, name
        file.write_text(text)
        with pytest.raises(InputError, match="damaged") as raised:
            SampleSet.read(file)
        assert "\n" not in str(raised.value)


def test_a_netcdf_file_with_wrong_contents_is_refused(tmp_path: Path) -> None:
    import h5py  # type: ignore[import-untyped]

    def damage(file: h5py.File, name: str) -> None:
        if name == "missing":
            del file["log_f"]
        elif name == "energy":
            file["energy"][0] += 1e-6
        elif name == "occupations":
            file["occupations"][0, 0] = 7
        elif name == "lattice":
            file.attrs["lattice"] = "{"
        elif name == "far too large":
            file.create_dataset("large", shape=(10**12,), dtype="f8", chunks=(10**6,))
        elif name == "pickle":
            file.attrs["lattice"] = "cos\nsystem\n(S'true'\ntR."

    for name in ("missing", "energy", "occupations", "lattice", "far too large", "pickle"):
        random_set(n=4).write(tmp_path / "out.nc")
        with h5py.File(tmp_path / "out.nc", "r+") as file:
            damage(file, name)
        with pytest.raises(InputError, match="damaged"):
            SampleSet.read(tmp_path / "out.nc")


def test_reading_what_is_not_there_or_not_ours_is_refused(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "foreign.extxyz", bulk("Cu"))
    ase.io.write(tmp_path / "foreign.db", bulk("Cu"))
    for name, message in [
        ("none.nc", "no such file"),
        ("out.pkl", "end in .extxyz, .nc, .db"),
        ("foreign.extxyz", "not samples of arlattice"),
        ("foreign.db", "not samples of arlattice"),
    ]:
        with pytest.raises(InputError, match=message):
            SampleSet.read(tmp_path / name)
