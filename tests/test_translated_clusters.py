"""Terms of one cell have the energies of the same terms written out in every cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import arlattice as arl
from arlattice import cluster_hamiltonian
from arlattice.clusters import merge_cell
from arlattice.kernels.translations import Translations

FCC = bulk("Cu", "fcc", a=3.8)
ROCK_SALT = bulk("NaCl", "rocksalt", a=5.6)
HCP = bulk("Ti", "hcp", a=2.9, c=4.6)
SKEWED = [[2, 1, 0], [0, 2, 1], [1, 0, 3]]
SALT = [["Na", "X"], ["Cl", "Br", "F"]]


def layers(pbc: tuple[int, int, int]) -> Atoms:
    """Two unlike sites, one above the other."""
    return Atoms("CuAu", positions=[(0, 0, 0), (1.4, 1.4, 1.9)], cell=[2.8, 2.8, 9.0], pbc=pbc)


LATTICES = {
    "fcc, one site": arl.Lattice.from_ase(FCC, ["Cu", "Au"], 1),
    "fcc, two sites": arl.Lattice.from_ase(FCC, ["Cu", "Au"], (2, 1, 1)),
    "fcc 2x2x2": arl.Lattice.from_ase(FCC, ["Cu", "Au"], 2),
    "fcc skewed, ternary": arl.Lattice.from_ase(FCC, ["Pd", "Au", "Cu"], SKEWED),
    "fcc conventional": arl.Lattice.from_ase(FCC, ["Pd", "Au", "Cu"], [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    "fcc 4x4x4": arl.Lattice.from_ase(FCC, ["Cu", "Au"], 4),
    "rock salt, one cell": arl.Lattice.from_ase(ROCK_SALT, SALT, 1),
    "rock salt 2x1x3": arl.Lattice.from_ase(ROCK_SALT, SALT, (2, 1, 3)),
    "rock salt skewed": arl.Lattice.from_ase(ROCK_SALT, SALT, [[-2, 1, -2], [2, -3, 0], [1, 1, 3]]),
    "hcp skewed": arl.Lattice.from_ase(HCP, ["Ti", "W", "X"], [[2, 0, 0], [1, 3, 0], [0, 0, 2]]),
    "chain of 2": arl.chain(2),
    "chain of 5": arl.chain(5),
    "square 2x3": arl.square((2, 3)),
    "cubic": arl.cubic((2, 3, 4), ("a", "b", "c")),
    "slab": arl.Lattice.from_ase(layers((1, 1, 0)), [["Cu", "Pd"], ["Au", "Pd"]], [[2, 1, 0], [-1, 3, 0], [0, 0, 1]]),
    "wire": arl.Lattice.from_ase(layers((0, 1, 0)), ["Cu", "Au"], (1, 4, 1)),
    "particle": arl.Lattice.from_ase(layers((0, 0, 0)), ["Cu", "Au"], 1),
}


def random_terms(lattice: arl.Lattice, seed: int = 0) -> list[tuple[list[tuple[list[int], int]], np.ndarray]]:
    """Places up to two cells off, some more than once, some of them images of each other; one table for two terms each."""
    rng = np.random.default_rng(seed)
    terms = []
    for k in (1, 2, 2, 2, 3, 3, 4):
        offsets = rng.integers(-2, 3, (k, 3)) * lattice.pbc
        sublattices = rng.integers(0, len(lattice.basis), k)
        table, shift = rng.normal(size=(lattice.n_species,) * k), rng.integers(-3, 4, 3) * lattice.pbc
        places = [(offset.tolist(), int(b)) for offset, b in zip(offsets, sublattices, strict=True)]
        moved = [(offset.tolist(), int(b)) for offset, b in zip(offsets + shift, sublattices, strict=True)]
        terms += [(places, table), (moved[::-1], table), (places[1:] + places[:1], rng.normal(size=table.shape))]
    return terms


def written_out(lattice: arl.Lattice, terms: list[tuple[Any, np.ndarray]]) -> list[tuple[list[int], np.ndarray]]:
    """The terms of every cell, with numbers of sites."""
    cells = lattice.cell_offsets[lattice.sublattice == 0]
    return [
        ([int(lattice.site_index(np.array(offset) + cell, b)) for offset, b in places], table) for cell in cells for places, table in terms
    ]


def random_states(lattice: arl.Lattice, n: int) -> torch.Tensor:
    return torch.multinomial(lattice.allowed.double(), n, replacement=True, generator=torch.Generator().manual_seed(3)).T.contiguous()


@pytest.fixture(params=LATTICES)
def lattice(request: pytest.FixtureRequest) -> arl.Lattice:
    return LATTICES[request.param]


@pytest.fixture
def both(lattice: arl.Lattice) -> tuple[arl.ClusterHamiltonian, arl.ClusterHamiltonian]:
    """From one cell, and from all cells."""
    terms = random_terms(lattice)
    whole = arl.ClusterHamiltonian.from_terms(lattice, written_out(lattice, terms), constant=0.7)
    return arl.ClusterHamiltonian.from_cell(lattice, terms, constant=0.7), whole


Pair = tuple[arl.ClusterHamiltonian, arl.ClusterHamiltonian]


def test_energies_are_those_of_the_terms_written_out(both: Pair) -> None:
    """100 random configurations a lattice; fixed seeds."""
    cell, whole = both
    states = random_states(cell.lattice, 100)
    expected = whole.energy(states)
    assert torch.allclose(cell.energy(states), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    assert torch.allclose(cell.flip_differences(states), whole.flip_differences(states), rtol=0, atol=1e-11)
    orders = torch.rand(states.shape, generator=torch.Generator().manual_seed(0)).argsort(1)
    assert torch.allclose(cell.completed_energies(states, orders), whole.completed_energies(states, orders), rtol=0, atol=1e-11)


def test_files_hold_the_clusters_of_the_whole_supercell(both: Pair, tmp_path: Path) -> None:
    cell, whole = both
    assert cell.n_clusters == whole.n_clusters
    ours, expected = cell.to_tensors()[0], whole.to_tensors()[0]
    assert ours.keys() == expected.keys()
    for k in whole.n_clusters:
        assert torch.equal(ours[f"clusters.{k}.sites"], expected[f"clusters.{k}.sites"])
        tables = [part[f"clusters.{k}.energies"][part[f"clusters.{k}.table"]] for part in (ours, expected)]
        assert torch.allclose(*tables, rtol=0, atol=1e-12)
        assert len(ours[f"clusters.{k}.energies"]) <= len(ours[f"clusters.{k}.table"])
    cell.save(tmp_path / "h")
    states = random_states(cell.lattice, 5)
    assert torch.allclose(arl.ClusterHamiltonian.load(tmp_path / "h").energy(states), cell.energy(states), rtol=0, atol=1e-11)


def test_a_lattice_vector_leaves_the_energy_as_it_is(lattice: arl.Lattice) -> None:
    cell, states = arl.ClusterHamiltonian.from_cell(lattice, random_terms(lattice)), random_states(lattice, 3)
    for row in lattice.translations:
        assert torch.allclose(cell.energy(states[:, row]), cell.energy(states), rtol=0, atol=1e-11)


def test_a_cluster_that_a_translation_carries_onto_itself_counts_in_every_cell() -> None:
    pair = np.array([[0.0, 1.0], [3.0, 7.0]])
    across = arl.ClusterHamiltonian.from_cell(arl.chain(4), [([((0, 0, 0), 0), ((2, 0, 0), 0)], pair)])
    assert across.n_clusters == {2: 2}
    assert across.energy(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])).tolist() == [2 * (1.0 + 3.0), 4 * 7.0]


def test_terms_without_places_are_energy_of_every_cell() -> None:
    constant = arl.ClusterHamiltonian.from_cell(arl.chain(4), [([], 0.5), ([], np.array(0.25))], constant=10.0)
    assert constant.energy(torch.zeros(1, 4, dtype=torch.long)).tolist() == [13.0]
    assert constant.n_clusters == {}


def test_what_is_kept_does_not_grow_with_the_supercell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are the clusters of the supercell ever written out for energies."""
    monkeypatch.setattr(cluster_hamiltonian, "expanded", None)
    small, large = (arl.Lattice.from_ase(FCC, ["Cu", "Au"], n) for n in (6, 24))
    terms = random_terms(small)
    kept, again = ({k: len(sites) for k, (sites, _, _) in merge_cell(lattice, terms)[0].items()} for lattice in (small, large))
    assert kept == again
    whole = arl.ClusterHamiltonian.from_cell(large, terms)
    assert whole.n_clusters == {k: n * large.n_cells for k, n in kept.items()}
    one = torch.zeros(1, small.n_sites, dtype=torch.long)
    expected = float(arl.ClusterHamiltonian.from_cell(small, terms).energy(one)) * 4**3
    assert float(whole.energy(torch.zeros(1, large.n_sites, dtype=torch.long))) == pytest.approx(expected, rel=1e-12)


def test_clusters_that_are_images_of_each_other_are_one() -> None:
    lattice = arl.Lattice.from_ase(ROCK_SALT, SALT, 3)
    places = [((0, 0, 0), 0), ((1, 0, -1), 1), ((0, 2, 0), 0)]
    moved = [((x + 3, y - 1, z + 2), b) for (x, y, z), b in places[1:] + places[:1]]
    table = np.random.default_rng(0).normal(size=(5, 5, 5))
    clusters, _ = merge_cell(lattice, [(places, table), (moved, np.moveaxis(table, 0, 2))])
    assert {k: len(parts[0]) for k, parts in clusters.items()} == {3: 1}
    assert np.allclose(np.sort(clusters[3][2].numpy().ravel()), np.sort(2 * table.ravel()), rtol=1e-14)


def test_a_table_that_terms_share_is_read_once() -> None:
    class Table:
        reads = 0

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            Table.reads += 1
            return np.eye(2, dtype=dtype)

    table = Table()
    shared = arl.ClusterHamiltonian.from_terms(arl.chain(50), [((i, (i + 1) % 50), table) for i in range(50)])  # type: ignore[misc]
    assert Table.reads == 1 and shared.n_clusters == {2: 50}
    assert len(shared.to_tensors()[0]["clusters.2.energies"]) == 1


def test_names_of_clusters_count_the_translations_that_carry_them_onto_themselves() -> None:
    """Also in a supercell whose first cell is not that at offset 0, and of clusters with several sites in one cell."""
    skewed = arl.Lattice.from_ase(FCC, ["Cu", "Au"], [[-2, 1, -5], [4, -5, -5], [4, -4, 5]])
    assert skewed.cell_offsets[0].any()
    pairs = [skewed.site_index(np.array([[0, 0, 0], step]), 0) for step in skewed.cell_offsets[1:]]
    times = Translations(skewed, True).canonical(np.sort(pairs, 1))[2]
    halves = [not skewed.site_index(2 * step, 0) - skewed.site_index(np.zeros(3, int), 0) for step in skewed.cell_offsets[1:]]
    assert (times == np.where(halves, 2, 1))[skewed.cell_offsets[1:].any(1)].all() and any(halves)
    salt = LATTICES["rock salt 2x1x3"]
    assert Translations(salt, True).canonical(np.array([[0, 1]]))[2].tolist() == [1]


@pytest.mark.parametrize(
    ("term", "argument"),
    [
        (3, "terms"),
        ((0, np.zeros(2)), "terms"),
        (([((0, 0, 0), 0)], "energies"), "terms"),
        (([0], np.zeros(2)), "places"),
        (([((0, 0), 0)], np.zeros(2)), "places"),
        (([((0, 0, 0), 0, 1)], np.zeros(2)), "places"),
        (([((0, 0.5, 0), 0)], np.zeros(2)), "places"),
        (([((0, True, 0), 0)], np.zeros(2)), "places"),
        (([((0, 2**70, 0), 0)], np.zeros(2)), "places"),
        (([((0, 0, 0), 2)], np.zeros(2)), "places"),
        (([((0, 0, 0), -1)], np.zeros(2)), "places"),
        (([((0, 0, 1), 0)], np.zeros(2)), "places"),
        (([((0, 0, 0), 0)], np.zeros(3)), "table"),
        (([((0, 0, 0), 0), ((1, 0, 0), 1)], np.zeros(2)), "table"),
        (([((0, 0, 0), 0)], np.array([0.0, np.inf])), "table"),
    ],
)
def test_bad_terms_are_refused_in_one_line(term: Any, argument: str) -> None:
    slab = arl.Lattice.from_ase(layers((1, 1, 0)), ["Cu", "Au"], (2, 2, 1))
    with pytest.raises(arl.InputError) as refused:
        arl.ClusterHamiltonian.from_cell(slab, [term])
    assert refused.value.argument == argument
    assert "\n" not in str(refused.value)


def test_what_is_no_list_of_terms_or_no_lattice_is_refused() -> None:
    for call in (
        lambda: arl.ClusterHamiltonian.from_cell(arl.chain(3), 3),  # type: ignore[arg-type]
        lambda: arl.ClusterHamiltonian.from_cell("chain", []),  # type: ignore[arg-type]
        lambda: arl.ClusterHamiltonian.from_cell(arl.chain(3), [], constant=float("nan")),
    ):
        with pytest.raises(arl.InputError):
            call()
