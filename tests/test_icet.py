"""Compiled cluster expansions have icet's energies; their files are read without running code."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import tarfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers

import arlattice as arl

icet = pytest.importorskip("icet")
calculators = pytest.importorskip("mchammer.calculators")

SPGLIB = "ignore:Set OLD_ERROR_HANDLING:DeprecationWarning"  # icet's way of calling spglib
pytestmark = [pytest.mark.filterwarnings("ignore::arlattice_icet.compile.SelfInteractionWarning"), pytest.mark.filterwarnings(SPGLIB)]

FCC = bulk("Cu", "fcc", a=3.8)
ROCK_SALT = bulk("NaCl", "rocksalt", a=5.6)
SKEWED = [[2, 1, 0], [0, 2, 1], [1, 0, 3]]
KB = 8.617333262e-5


@pytest.fixture(autouse=True)
def _quiet_icet() -> None:
    logging.getLogger("icet").setLevel(logging.ERROR)


def perovskite() -> Atoms:
    positions = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms("SrTiO3", scaled_positions=positions, cell=np.eye(3) * 3.9, pbc=True)


SPACES: dict[str, Callable[[], Any]] = {
    "ternary": lambda: icet.ClusterSpace(FCC, [5.5, 4.2, 4.2], ["Pd", "Au", "Cu"]),
    "quaternary": lambda: icet.ClusterSpace(FCC, [3, 3, 3], ["Pd", "Au", "Cu", "Ag"]),
    "rock salt with vacancies": lambda: icet.ClusterSpace(ROCK_SALT, [6.0, 4.2, 4.0], [["Na", "X"], ["Cl", "Br", "F"]]),
    "inactive sublattice": lambda: icet.ClusterSpace(ROCK_SALT, [6.0, 4.2], [["Na", "X", "K"], ["Cl"]]),
    "hcp, two equivalent sites": lambda: icet.ClusterSpace(bulk("Ti", "hcp", a=2.9, c=4.6), [6.0, 4.5, 3.1], ["Ti", "W", "X"]),
    "perovskite": lambda: icet.ClusterSpace(perovskite(), [4.5, 4.0], [["Sr", "Ca"], ["Ti", "Zr", "Hf"], *[["O", "X"]] * 3]),
    "given as a cubic cell": lambda: icet.ClusterSpace(bulk("Cu", "fcc", a=3.8, cubic=True), [4.0, 4.0], ["Cu", "Au"]),
}


@cache
def random_expansion(name: str) -> Any:
    """Parameters from N(0, 1), fixed seed."""
    space = SPACES[name]()
    return icet.ClusterExpansion(space, np.random.default_rng(7).normal(size=len(space)))


def random_occupations(lattice: arl.Lattice, n: int) -> torch.Tensor:
    return torch.multinomial(lattice.allowed.double(), n, replacement=True, generator=torch.Generator().manual_seed(3)).T.contiguous()


def icet_energies(expansion: Any, lattice: arl.Lattice, occupations: torch.Tensor) -> torch.Tensor:
    """Total energies by mchammer's calculator."""
    numbers = np.array([atomic_numbers[s] for s in lattice.species])[occupations.numpy()]
    structure = Atoms(numbers[0], positions=lattice.positions, cell=lattice.supercell_vectors, pbc=True)
    calculator = calculators.ClusterExpansionCalculator(structure, expansion)
    return torch.tensor([calculator.calculate_total(occupations=row) for row in numbers], dtype=torch.float64)


def largest_difference(hamiltonian: arl.Hamiltonian, expansion: Any) -> float:
    occupations = random_occupations(hamiltonian.lattice, 1000)
    return float((hamiltonian.energy(occupations) - icet_energies(expansion, hamiltonian.lattice, occupations)).abs().max())


# -- energies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("supercell", [(2, 2, 4), (3, 3, 3), (4, 4, 8), SKEWED])
def test_cuau_has_icets_energy_on_1000_random_configurations(supercell: Any) -> None:
    from arlattice_icet.cuau import expansion

    assert largest_difference(arl.hamiltonian("cuau", supercell=supercell, formation_energies=False), expansion()) <= 1e-9


@pytest.mark.parametrize("supercell", [(3, 3, 3), SKEWED])
@pytest.mark.parametrize("name", SPACES)
def test_any_expansion_has_icets_energy_on_1000_random_configurations(name: str, supercell: Any) -> None:
    hamiltonian = arl.hamiltonian("icet", expansion=random_expansion(name), supercell=supercell)
    assert largest_difference(hamiltonian, random_expansion(name)) <= 1e-9


def test_energy_per_site_is_what_predict_gives() -> None:
    hamiltonian = arl.hamiltonian("icet", expansion=random_expansion("rock salt with vacancies"), supercell=2)
    for row in random_occupations(hamiltonian.lattice, 10):
        structure = hamiltonian.lattice.to_ase(row, vacancies="X")
        predicted = random_expansion("rock salt with vacancies").predict(structure) * hamiltonian.lattice.n_sites
        assert float(hamiltonian.energy(row[None])) == pytest.approx(predicted, abs=1e-9)


def test_merged_and_pruned_cluster_spaces_compile() -> None:
    space = icet.ClusterSpace(FCC, [5.5, 4.2], ["Pd", "Au", "Cu"])
    space.merge_orbits({1: [2, 3]})
    space.prune_orbit_list([3])
    expansion = icet.ClusterExpansion(space, np.random.default_rng(0).normal(size=len(space)))
    assert largest_difference(arl.hamiltonian("icet", expansion=expansion, supercell=3), expansion) <= 1e-9


def test_a_lattice_vector_leaves_the_energy_as_it_is() -> None:
    hamiltonian = arl.hamiltonian("icet", expansion=random_expansion("rock salt with vacancies"), supercell=SKEWED)
    occupations = random_occupations(hamiltonian.lattice, 5)
    for row in hamiltonian.lattice.translations:
        assert torch.allclose(hamiltonian.energy(occupations[:, row]), hamiltonian.energy(occupations), rtol=0, atol=1e-9)


def test_completed_energies_of_cuau_add_up_to_the_total_in_every_order_tried() -> None:
    """100 random configurations of 4x4x4, each in its own random order; fixed seeds."""
    hamiltonian = arl.hamiltonian("cuau", supercell=4)
    occupations = random_occupations(hamiltonian.lattice, 100)
    orders = torch.rand(occupations.shape, generator=torch.Generator().manual_seed(0)).argsort(1)
    total = hamiltonian.completed_energies(occupations, orders).gather(2, occupations[:, :, None]).sum((1, 2))
    assert float((total + hamiltonian.constant - hamiltonian.energy(occupations)).abs().max()) <= 1e-10


def test_species_keep_the_order_of_the_cluster_space_not_icets() -> None:
    assert arl.hamiltonian("icet", expansion=random_expansion("ternary"), supercell=2).species == ("Pd", "Au", "Cu")
    assert arl.hamiltonian("cuau", supercell=2).species == ("Cu", "Au")


# -- CuAu --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbols", "per_site"),
    [(["Au", "Cu", "Cu", "Cu"], -0.0341671942), (["Cu", "Cu", "Au", "Au"], -0.0361824881), (["Cu", "Au", "Au", "Au"], -0.0187543510)],
)
def test_the_ground_states_of_cuau_lie_on_the_published_hull(symbols: list[str], per_site: float) -> None:
    """L1_2 and L1_0 on the four-site cubic cell, and on a repeat of it large enough not to meet itself."""
    cubic = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    unit = bulk("Cu", "fcc", a=3.8, cubic=True)
    unit.symbols = symbols
    for repeat in (1, 3):
        hamiltonian = arl.hamiltonian("cuau", supercell=(repeat * cubic).tolist(), formation_energies=True)
        occupations = hamiltonian.lattice.occupations_from_ase(unit.repeat(repeat))
        assert float(hamiltonian.energy(occupations[None])) / hamiltonian.lattice.n_sites == pytest.approx(per_site, abs=1e-9)


def test_formation_energies_vanish_for_the_elements_and_differ_by_5_3277_mev_an_atom() -> None:
    own, formation = (arl.hamiltonian("cuau", supercell=2, formation_energies=given) for given in (False, True))
    elements = torch.stack([torch.zeros(8, dtype=torch.long), torch.ones(8, dtype=torch.long)])
    assert formation.energy(elements).abs().max() < 1e-12
    e_cu, e_au = (own.energy(elements) / 8).tolist()
    assert e_au - e_cu == pytest.approx(-5.3277e-3, abs=5e-8)


def test_a_metadns_field_on_formation_energies_is_a_chemical_potential_on_the_expansions_own() -> None:
    from arlattice_icet.cuau import PURE_ENERGIES

    own, formation = (arl.hamiltonian("cuau", supercell=2, formation_energies=given) for given in (False, True))
    states = torch.cartesian_prod(*[torch.arange(2)] * 8)
    mu = arl.ChemicalPotentials.from_metadns("Au", 0.03, PURE_ENERGIES["Au"] - PURE_ENERGIES["Cu"])
    ours = arl.SemiGrandCanonical(680, mu).log_f(own.lattice, own.units, own.energy(states), states)
    metadns = -(formation.energy(states) - 0.03 * (2 * states - 1).double().sum(1)) / (KB * 680)
    assert float((ours - metadns).std()) < 1e-12


def test_cuau_2x2x4_has_the_log_z_of_all_65536_states() -> None:
    hamiltonian = arl.hamiltonian("cuau", supercell=(2, 2, 4), formation_energies=True)
    energies = hamiltonian.energy(torch.cartesian_prod(*[torch.arange(2)] * 16))
    exact = {200: 35.480, 300: 24.363, 500: 15.6017, 680: 12.5425, 800: 11.622, 1000: 10.990, 1200: 10.7872}
    for temperature, log_z in exact.items():
        assert float(torch.logsumexp(-energies / (KB * temperature), 0)) == pytest.approx(log_z, abs=6e-4)


def test_a_cell_that_meets_itself_is_told_once_when_built_and_5x5x5_is_silent() -> None:
    from arlattice_icet import SelfInteractionWarning

    with pytest.warns(SelfInteractionWarning, match="5x5x5") as told:
        hamiltonian = arl.hamiltonian("cuau", supercell=4)
    assert sum(w.category is SelfInteractionWarning for w in told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", SelfInteractionWarning)
        hamiltonian.energy(random_occupations(hamiltonian.lattice, 3))
        arl.hamiltonian("cuau", supercell=5)


@pytest.mark.parametrize("name", SPACES)
def test_a_cell_meets_itself_where_icet_says_so(name: str) -> None:
    """Cubes of 1 to 6 cells and 12 random supercells of up to 60; fixed seed."""
    from arlattice_icet.compile import _self_interacting

    space, rng = random_expansion(name).get_cluster_space_copy(), np.random.default_rng(0)
    matrices = [m for m in rng.integers(-5, 6, (300, 3, 3)) if 1 <= round(np.linalg.det(m)) <= 60][:12]
    for supercell in (1, 2, 3, 4, 5, 6, (1, 1, 6), (2, 2, 4), *matrices):
        lattice = arl.Lattice.from_ase(space.primitive_structure, [list(site) for site in space.chemical_symbols], supercell)
        symbols = [lattice.allowed_species[b][0] for b in lattice.sublattice]
        structure = Atoms(symbols, positions=lattice.positions, cell=lattice.supercell_vectors, pbc=True)
        assert _self_interacting(space, lattice) == space.is_supercell_self_interacting(structure)


# -- options -----------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "ternary.ce"
    random_expansion("ternary").write(str(path))
    return path


def test_a_file_gives_the_energies_of_the_object(written: Path) -> None:
    from_file = arl.hamiltonian("icet", expansion=written, supercell=SKEWED)
    from_object = arl.hamiltonian("icet", expansion=random_expansion("ternary"), supercell=SKEWED)
    trusted = arl.hamiltonian("icet", expansion=str(written), supercell=SKEWED, trust=True)
    assert from_file.fingerprint == from_object.fingerprint == trusted.fingerprint


def test_the_recorded_options_are_plain_and_build_the_same_hamiltonian(written: Path) -> None:
    import json

    for hamiltonian in (
        arl.hamiltonian("icet", expansion=written, supercell=2, trust=True),
        arl.hamiltonian("cuau", supercell=(2, 2, 4), formation_energies=True),
    ):
        options = json.loads(json.dumps(hamiltonian.options))
        assert "trust" not in options
        assert arl.hamiltonian(hamiltonian.name, **options).fingerprint == hamiltonian.fingerprint


def test_an_object_is_recorded_by_the_hash_of_its_parameters() -> None:
    expansion = random_expansion("ternary")
    options = arl.hamiltonian("icet", expansion=expansion, supercell=2).options
    assert options["expansion"] == "<object>"
    assert options["sha256"] == hashlib.sha256(np.asarray(expansion.parameters).tobytes()).hexdigest()


def test_another_file_than_the_one_recorded_is_refused(written: Path) -> None:
    options = arl.hamiltonian("icet", expansion=written, supercell=2).options
    random_expansion("quaternary").write(str(written))
    with pytest.raises(arl.InputError, match="sha256"):
        arl.hamiltonian("icet", **options)


@pytest.mark.parametrize(
    ("name", "options", "argument"),
    [
        ("cuau", {}, "supercell"),
        ("cuau", {"supercell": 0}, "supercell"),
        ("cuau", {"supercell": [[1, 0], [0, 1]]}, "supercell"),
        ("cuau", {"supercell": 2.5}, "supercell"),
        ("cuau", {"supercell": 2, "formation_energy": True}, "formation_energy"),
        ("icet", {"supercell": 2}, "expansion"),
        ("icet", {"expansion": 3, "supercell": 2}, "expansion"),
        ("icet", {"expansion": "missing.ce", "supercell": 2}, "expansion"),
    ],
)
def test_bad_options_are_refused_naming_the_option(name: str, options: dict[str, Any], argument: str) -> None:
    with pytest.raises(arl.InputError) as refused:
        arl.hamiltonian(name, **options)
    assert refused.value.argument.split(".")[0] == argument


@pytest.mark.parametrize(("name", "options"), [("cuau", {"supercell": 2}), ("icet", {"expansion": "any.ce", "supercell": 2})])
def test_without_icet_the_error_names_the_extra(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda package, *rest: None if package == "icet" else find_spec(package, *rest))
    with pytest.raises(arl.MissingExtraError, match=r"arlattice\[icet\]"):
        arl.hamiltonian(name, **options)


# -- hostile files -----------------------------------------------------------------------------------


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def untar(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]


def replaced(path: Path, items: bytes | None = None, space_items: bytes | None = None, atoms: bytes | None = None) -> None:
    """Put other bytes in place of a member of a good file."""
    outer = untar(path.read_bytes())
    inner = untar(outer["cluster_space"])
    inner["items"], inner["atoms"] = space_items or inner["items"], atoms or inner["atoms"]
    path.write_bytes(tar_of({"cluster_space": tar_of(inner), "items": items or outer["items"]}))


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def refused(path: Path) -> str:
    with pytest.raises(arl.InputError) as error:
        arl.hamiltonian("icet", expansion=path, supercell=2)
    assert error.value.argument == "expansion"
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("member", ["items", "space_items"])
def test_a_file_that_would_run_a_command_is_refused_and_runs_nothing(written: Path, member: str, protocol: int) -> None:
    canary = written.parent / "canary"
    attacks = {
        f"{os.system.__module__}.system": Calls(os.system, f"touch {canary}"),
        "builtins.eval": Calls(eval, f"open({str(canary)!r}, 'w')"),
    }
    for name, attack in attacks.items():
        payload = pickle.dumps({"parameters": [1.0], "metadata": {"deep": [attack]}}, protocol)
        replaced(written, **{member: payload})
        assert f"{name.split('.')[1]}, which a cluster expansion does not need" in refused(written)
        assert not canary.exists()


def test_trust_runs_what_the_safe_reader_refuses(written: Path) -> None:
    canary = written.parent / "canary"
    replaced(written, items=pickle.dumps({"parameters": Calls(os.system, f"touch {canary}")}))
    refused(written)
    assert not canary.exists()
    with pytest.raises(arl.InputError):
        arl.hamiltonian("icet", expansion=written, supercell=2, trust=True)
    assert canary.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_what_metadata_name_is_left_out_and_never_run(written: Path, protocol: int) -> None:
    canary, expected = written.parent / "canary", arl.hamiltonian("icet", expansion=written, supercell=2).fingerprint
    parameters = [float(p) for p in random_expansion("ternary").parameters]
    attacks = [Calls(os.system, f"touch {canary}"), Calls(eval, f"open({str(canary)!r}, 'w')"), os.system, {3: Calls(exec, "1/0")}]
    for attack in attacks:
        replaced(written, items=pickle.dumps({"metadata": {"deep": [attack]}, "parameters": parameters}, protocol))
        assert arl.hamiltonian("icet", expansion=written, supercell=2).fingerprint == expected
    assert not canary.exists()


@pytest.mark.parametrize("place", ["parameters", "one parameter", "another item", "shared with metadata", "in place of all", "as a key"])
def test_a_name_anywhere_else_is_refused(written: Path, place: str) -> None:
    canary = written.parent / "canary"
    attack, parameters = Calls(os.system, f"touch {canary}"), [float(p) for p in random_expansion("ternary").parameters]
    items = {
        "parameters": {"parameters": attack},
        "one parameter": {"parameters": [*parameters[:-1], attack]},
        "another item": {"parameters": parameters, "more": [attack]},
        "shared with metadata": {"metadata": {"a": attack}, "parameters": [*parameters[:-1], attack]},
        "in place of all": attack,
        "as a key": {"parameters": {attack: parameters}},
    }
    replaced(written, items=pickle.dumps(items[place]))
    assert "system, which a cluster expansion does not need" in refused(written)
    assert not canary.exists()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR"
DTYPE_O = b"cnumpy\ndtype\n(VO8\nI0\nI1\ntR(I3\nV|\nNNNI-1\nI-1\nI0\ntb"
HAND_WRITTEN = {
    "object array made of raw bytes (pointers)": b"(dVparameters\n" + ARRAY + b"(I1\n(I1\nt" + DTYPE_O + b"I00\nVAAAAAAAA\ntbs.",
    "global found through the extension registry": b"\x80\x02\x82\x01.",
    "attribute set on an allowed name": b"cnumpy\ndtype\n(dVx\nVy\nsb.",
    "persistent id": b"Pname\n.",
    "huge memo index": b"(dr\xff\xff\xff\x7f.",
    "huge length": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "stack underflow": b"R.",
    "nested references in the parameters": b"\x80\x04}\x8c\x0aparameters" + b"K\x01" + b"2\x86" * 60 + b"s.",
    "nested references as a key": b"\x80\x04}\x8c\x0aparameters}" + b"K\x01" + b"2\x86" * 60 + b"K\x01ss.",
    "nested references in a set": b"\x80\x04}\x8c\x0aparameters\x8f(" + b"K\x01" + b"2\x86" * 60 + b"\x90s.",
    "nested references for a number type": b"(dVparameters\ncnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n("
    + b"I1\n"
    + b"2\x86" * 60
    + b"tRVAAAAAAAA\ntRs.",
    "nested references for a shape": b"(dVparameters\n" + ARRAY + b"(I1\nI1\n" + b"2\x86" * 60 + b"cnumpy\ndtype\n(Vf8\ntRI00\nVA\ntbs.",
    "a list within itself": b"\x80\x04}\x8c\x0aparameters]2as.",
    "a dictionary within itself": b"\x80\x04}2\x8c\x0aparameters2}\x94h\x00ss.",
    "not a pickle": b"hello",
    "not a dictionary": pickle.dumps([1, 2]),
    "no parameters": pickle.dumps({"metadata": {}}),
    "wrong number of parameters": pickle.dumps({"parameters": np.ones(3)}),
    "parameters that are not numbers": pickle.dumps({"parameters": np.array(["a", "b"])}),
    "parameters that are not finite": pickle.dumps({"parameters": np.full(45, np.nan)}),
}


@pytest.mark.parametrize("case", HAND_WRITTEN)
def test_a_hand_written_pickle_is_refused(written: Path, case: str) -> None:
    replaced(written, items=HAND_WRITTEN[case])
    refused(written)


@pytest.mark.parametrize(
    "change",
    [
        {"cutoffs": [1e9]},
        {"cutoffs": [float("nan")]},
        {"cutoffs": []},
        {"cutoffs": "5"},
        {"chemical_symbols": ["Cu"]},
        {"chemical_symbols": ["Cu", "Nonsense"]},
        {"chemical_symbols": [["Cu", "Au"], ["Cu", "Au"]]},
        {"pruning_history": [("explode", [1])]},
        {"pruning_history": [("prune", [99])]},
        {"symprec": -1.0},
    ],
)
def test_a_cluster_space_with_a_bad_entry_is_refused(written: Path, change: dict[str, Any]) -> None:
    items = pickle.loads(untar(untar(written.read_bytes())["cluster_space"])["items"])
    replaced(written, space_items=pickle.dumps(items | change))
    refused(written)


@pytest.mark.parametrize(
    "atoms",
    [b"{}", b"[" * 100_000, b"\xff", b'{"1": {"numbers": {"__ndarray__": [[10000000000], "float64", 0]}}}', b'{"1": {"numbers": [29]}}'],
)
def test_a_cluster_space_with_a_bad_structure_is_refused(written: Path, atoms: bytes) -> None:
    replaced(written, atoms=atoms)
    refused(written)


def test_a_damaged_archive_is_refused(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    for cut in (0, 100, 513, len(data) // 3, len(untar(data)["cluster_space"]) + 700):
        written.write_bytes(data[:cut])
        refused(written)
    written.write_bytes(tar_of({"items": untar(data)["items"]}))
    refused(written)
    refused(tmp_path)


def test_a_pickle_of_too_many_steps_is_refused(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte makes a list of 56, so the number of steps bounds the memory."""
    monkeypatch.setattr("arlattice_icet.pickles._MOST_STEPS", 1000)
    replaced(written, items=b"\x80\x04(" + b"]" * 2000 + b"1}.")
    assert "more than 1000 steps" in refused(written)


def test_nested_references_in_metadata_do_no_harm(written: Path) -> None:
    expected = arl.hamiltonian("icet", expansion=written, supercell=2).fingerprint
    bomb: Any = (1,)
    for _ in range(60):
        bomb = (bomb, bomb)
    parameters = [float(p) for p in random_expansion("ternary").parameters]
    replaced(written, items=pickle.dumps({"parameters": parameters, "metadata": {"bomb": bomb}}))
    assert arl.hamiltonian("icet", expansion=written, supercell=2).fingerprint == expected


def test_a_link_in_the_archive_is_not_followed(written: Path) -> None:
    secret = written.parent / "secret"
    secret.write_bytes(untar(written.read_bytes())["items"])
    space = untar(written.read_bytes())["cluster_space"]
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
        link = tarfile.TarInfo("items")
        link.type, link.linkname = kind, str(secret)
        header = link.tobuf()
        written.write_bytes(tar_of({"cluster_space": space}).rstrip(b"\0").ljust(len(space) + 512, b"\0") + header + bytes(1024))
        refused(written)


def test_a_file_too_large_to_be_an_expansion_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.ce"
    with path.open("wb") as file:
        file.truncate(2**30)
    assert "larger than" in refused(path)


def test_a_file_with_a_few_wrong_bytes_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    """200 copies with 1-3 random bytes changed in the parameters' pickle; fixed seed."""
    from arlattice_icet.reader import read_expansion

    rng, path = np.random.default_rng(0), tmp_path / "noisy.ce"
    icet.ClusterExpansion(icet.ClusterSpace(FCC, [3.0], ["Cu", "Au"]), np.ones(3), metadata={"note": "x"}).write(str(path))
    good, refusals = untar(path.read_bytes()), 0
    for _ in range(200):
        items = bytearray(good["items"])
        for position in rng.integers(0, len(items), rng.integers(1, 4)):
            items[position] = rng.integers(256)
        path.write_bytes(tar_of({**good, "items": bytes(items)}))
        try:
            read_expansion(path)
        except arl.InputError:
            refusals += 1
    assert 50 < refusals < 200


def test_a_file_by_icets_own_recipe_is_read_without_trust(tmp_path: Path) -> None:
    """A fit with trainstation, its summary as metadata: objects of its own, hundreds of numpy numbers."""
    trainstation = pytest.importorskip("trainstation")
    space, rng = icet.ClusterSpace(FCC, [4.0, 3.0], ["Ag", "Pd"]), np.random.default_rng(0)
    fit = (rng.normal(size=(60, len(space))), rng.normal(size=60))
    estimator = trainstation.CrossValidationEstimator(fit, fit_method="least-squares", n_splits=5)
    estimator.validate()
    estimator.train()
    expansion = icet.ClusterExpansion(space, estimator.parameters, metadata=estimator.summary)
    path = tmp_path / "recipe.ce"
    expansion.write(str(path))
    assert b"trainstation" in path.read_bytes()
    read, direct = (arl.hamiltonian("icet", expansion=given, supercell=3) for given in (path, expansion))
    assert read.fingerprint == direct.fingerprint


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_told_as_python_would_build_it(protocol: int) -> None:
    from arlattice_icet.pickles import told

    shared = [1, 2.5, "text", b"bytes" if protocol > 2 else "no bytes"]
    value = {
        "a": shared,
        2: (shared, shared, None, True, False),
        "big": 2**200,
        "minus": -(2**40),
        "empty": [(), {}, []],
        "text": "x" * 300,
    }
    assert told(pickle.dumps(value, protocol)) == (value, [])


def test_reading_leaves_no_file_behind_and_good_files_of_every_kind_are_read(tmp_path: Path) -> None:
    """Numpy numbers and arrays in the lists, pruned and merged spaces, every pickle protocol that numpy writes."""
    space = icet.ClusterSpace(FCC, [np.float64(5.5), 4.2, 4.2], ["Pd", "Au", "Cu"])
    space.merge_orbits({1: [2, 3]})
    expansion = icet.ClusterExpansion(space, np.random.default_rng(0).normal(size=len(space)), metadata={"n": np.int64(3), "a": np.eye(2)})
    expansion.prune(indices=[3, 4, 5])
    path = tmp_path / "good.ce"
    expansion.write(str(path))
    expected = arl.hamiltonian("icet", expansion=expansion, supercell=3).fingerprint
    items = pickle.loads(untar(path.read_bytes())["items"])
    for protocol in (3, 4, 5):
        replaced(path, items=pickle.dumps(items, protocol))
        assert arl.hamiltonian("icet", expansion=path, supercell=3).fingerprint == expected
    assert list(tmp_path.iterdir()) == [path]
