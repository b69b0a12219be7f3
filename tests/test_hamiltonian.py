"""Fast paths of a `ClusterHamiltonian` are what they replace: differences and parts of its total energy."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

import arlattice as arl

ROCK_SALT = bulk("NaCl", "rocksalt", a=5.6)
FCC = bulk("Cu", "fcc", a=3.8)


def random_hamiltonian(lattice: arl.Lattice, n_clusters: int, orders: tuple[int, ...], seed: int = 0) -> arl.ClusterHamiltonian:
    """Random tables on random sites, sites repeated within a cluster and clusters repeated too."""
    rng = np.random.default_rng(seed)
    terms = []
    for k in orders:
        for _ in range(n_clusters):
            sites = rng.integers(0, lattice.n_sites, k).tolist()
            terms += [(sites, rng.normal(size=(lattice.n_species,) * k)), (sites[::-1], rng.normal(size=(lattice.n_species,) * k))]
    return arl.ClusterHamiltonian.from_terms(lattice, terms, constant=0.7)


HAMILTONIANS = {
    "binary, 4 sites": random_hamiltonian(arl.square(2), 6, (1, 2, 3, 4)),
    "ternary, 4 sites": random_hamiltonian(arl.Lattice.from_ase(FCC, ["Pd", "Au", "Cu"], (2, 2, 1)), 6, (1, 2, 3)),
    "two sublattices with vacancies, 4 sites": random_hamiltonian(
        arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl", "Br", "F"]], (2, 1, 1)), 6, (1, 2, 3)
    ),
    "five-body only, 12 sites": random_hamiltonian(arl.square((3, 4)), 30, (5,)),
    "ternary skewed, 13 sites": random_hamiltonian(
        arl.Lattice.from_ase(FCC, ["Pd", "Au", "Cu"], [[2, 1, 0], [0, 2, 1], [1, 0, 3]]), 40, (2, 4)
    ),
    "rock salt, 24 sites": random_hamiltonian(arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl", "Br", "F"]], (2, 2, 3)), 60, (1, 2, 3)),
}
SMALL = [name for name in HAMILTONIANS if ", 4 sites" in name]


def all_states(lattice: arl.Lattice) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.nonzero(row)[:, 0] for row in lattice.allowed])


def random_states(lattice: arl.Lattice, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(lattice.allowed.double(), n, replacement=True, generator=generator).T.contiguous()


def random_orders(lattice: arl.Lattice, n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, lattice.n_sites, generator=torch.Generator().manual_seed(seed)).argsort(1)


def black_box(hamiltonian: arl.Hamiltonian) -> arl.FunctionHamiltonian:
    """The same energies with none of the fast paths."""
    return arl.FunctionHamiltonian(hamiltonian.lattice, hamiltonian.energy, units=hamiltonian.units)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-10) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= tolerance


@pytest.fixture(params=HAMILTONIANS)
def hamiltonian(request: pytest.FixtureRequest) -> arl.ClusterHamiltonian:
    return HAMILTONIANS[request.param]


def test_energy_is_the_sum_of_the_terms() -> None:
    lattice, rng = arl.square((2, 3)), np.random.default_rng(0)
    terms = [(tuple(rng.integers(0, 6, k).tolist()), rng.normal(size=(2,) * k)) for k in (1, 2, 3, 3, 4, 2, 1) for _ in range(5)]
    energies = arl.ClusterHamiltonian.from_terms(lattice, terms, constant=-2.0).energy(all_states(lattice))
    expected = [-2.0 + sum(table[tuple(x[list(sites)])] for sites, table in terms) for x in all_states(lattice).numpy()]
    assert close(energies, torch.tensor(expected, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_completed_energies_add_up_to_the_total_for_every_state_and_every_order(name: str) -> None:
    hamiltonian = HAMILTONIANS[name]
    states = all_states(hamiltonian.lattice)
    for order in itertools.permutations(range(4)):
        parts = hamiltonian.completed_energies(states, torch.tensor(order).expand_as(states))
        total = parts.gather(2, states[:, :, None]).sum((1, 2)) + hamiltonian.constant
        assert close(total, hamiltonian.energy(states))


def test_completed_energies_add_up_to_the_total_in_random_orders(hamiltonian: arl.ClusterHamiltonian) -> None:
    """50 random configurations, each in its own order; fixed seeds."""
    states, orders = random_states(hamiltonian.lattice, 50), random_orders(hamiltonian.lattice, 50)
    total = hamiltonian.completed_energies(states, orders).gather(2, states[:, :, None]).sum((1, 2)) + hamiltonian.constant
    assert close(total, hamiltonian.energy(states))


def test_placing_site_by_site_meets_the_completed_energies_of_that_order(hamiltonian: arl.ClusterHamiltonian) -> None:
    states, orders = random_states(hamiltonian.lattice, 20), random_orders(hamiltonian.lattice, 20)
    whole = hamiltonian.completed_energies(states, orders)
    placed, rows = torch.full_like(states, -1), torch.arange(20)
    for site in orders.T:
        assert close(hamiltonian.completed_site_energies(placed, site), whole[rows, site], 1e-12)
        placed[rows, site] = states[rows, site]


def test_completed_energies_do_not_look_at_later_sites(hamiltonian: arl.ClusterHamiltonian) -> None:
    states, others = random_states(hamiltonian.lattice, 20), random_states(hamiltonian.lattice, 20, seed=1)
    order = random_orders(hamiltonian.lattice, 1).expand_as(states)
    half = hamiltonian.lattice.n_sites // 2
    late = order[0, half:]
    changed = states.clone()
    changed[:, late] = others[:, late]
    seen = order[0, : half + 1]
    assert close(hamiltonian.completed_energies(states, order)[:, seen], hamiltonian.completed_energies(changed, order)[:, seen], 0.0)


def test_flips_site_energies_and_swaps_are_differences_of_total_energies(hamiltonian: arl.ClusterHamiltonian) -> None:
    states, plain = random_states(hamiltonian.lattice, 10), black_box(hamiltonian)
    allowed = hamiltonian.lattice.allowed
    assert close(hamiltonian.flip_differences(states)[:, allowed], plain.flip_differences(states)[:, allowed])
    for site in (0, hamiltonian.lattice.n_sites - 1):
        fast, slow = hamiltonian.site_energies(states, site), plain.site_energies(states, site)
        assert close((fast - fast[:, :1])[:, allowed[site]], (slow - slow[:, :1])[:, allowed[site]]) or not allowed[site, 0]
        assert close(
            fast.diff(dim=1)[:, (allowed[site, 1:] & allowed[site, :-1])], slow.diff(dim=1)[:, (allowed[site, 1:] & allowed[site, :-1])]
        )


def test_swap_differences_of_all_pairs_on_one_sublattice(hamiltonian: arl.ClusterHamiltonian) -> None:
    states, plain = random_states(hamiltonian.lattice, 5), black_box(hamiltonian)
    sublattice = hamiltonian.lattice.sublattice
    for a, b in itertools.combinations_with_replacement(range(hamiltonian.lattice.n_sites), 2):
        if sublattice[a] == sublattice[b]:
            first, second = torch.full((5,), a), torch.full((5,), b)
            assert close(hamiltonian.swap_differences(states, first, second), plain.swap_differences(states, first, second))


def test_sites_given_one_a_configuration_are_read_row_by_row(hamiltonian: arl.ClusterHamiltonian) -> None:
    states = random_states(hamiltonian.lattice, 9)
    site = torch.arange(9) % hamiltonian.lattice.n_sites
    expected = torch.stack([hamiltonian.site_energies(states[i : i + 1], int(s))[0] for i, s in enumerate(site)])
    assert close(hamiltonian.site_energies(states, site), expected, 1e-12)


def test_float32_is_close_and_says_so(hamiltonian: arl.ClusterHamiltonian) -> None:
    states = random_states(hamiltonian.lattice, 50)
    single = hamiltonian.to(dtype=torch.float32)
    assert single.dtype == torch.float32 and single.energy(states).dtype == torch.float32
    assert hamiltonian.dtype == torch.float64
    scale = float(hamiltonian.energy(states).abs().max())
    assert close(single.energy(states).double(), hamiltonian.energy(states), 1e-5 * max(scale, 1.0))
    assert single.fingerprint == single.to(dtype=torch.float32).fingerprint


def test_energies_do_not_depend_on_how_the_batch_is_cut(hamiltonian: arl.ClusterHamiltonian) -> None:
    states, orders = random_states(hamiltonian.lattice, 30), random_orders(hamiltonian.lattice, 30)

    def computed(rows: slice) -> list[torch.Tensor]:
        x = states[rows]
        return [hamiltonian.energy(x), hamiltonian.flip_differences(x), hamiltonian.completed_energies(x, orders[rows])]

    whole, cut = computed(slice(None)), [computed(slice(i, i + 1)) for i in range(30)]
    for k, found in enumerate(whole):
        assert close(found, torch.cat([one[k] for one in cut]), 1e-12)


def test_an_empty_batch_gives_empty_energies(hamiltonian: arl.ClusterHamiltonian) -> None:
    none = torch.zeros(0, hamiltonian.lattice.n_sites, dtype=torch.long)
    assert hamiltonian.energy(none).shape == (0,)
    assert hamiltonian.flip_differences(none).shape == (0, *hamiltonian.lattice.allowed.shape)


def test_a_hamiltonian_without_clusters_is_its_constant() -> None:
    hamiltonian = arl.ClusterHamiltonian.from_terms(arl.square(2), [], constant=1.5)
    states = all_states(hamiltonian.lattice)
    assert (hamiltonian.energy(states) == 1.5).all()
    assert (hamiltonian.flip_differences(states) == 0).all()


def test_clusters_on_the_same_sites_merge() -> None:
    pair = np.array([[1.0, 2.0], [3.0, 5.0]])
    merged = arl.ClusterHamiltonian.from_terms(arl.square(2), [((0, 1), pair), ((1, 0), pair), ((2, 2), pair)])
    assert merged.n_clusters == {1: 1, 2: 1}
    assert merged.energy(torch.tensor([[0, 1, 1, 0]])).tolist() == [2.0 + 3.0 + 5.0]


@pytest.mark.parametrize("stronger", [4e-6, 4e-7, 4e-9, 4e-11])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e6])
def test_tables_that_differ_a_little_are_not_shared(stronger: float, scale: float) -> None:
    """Nine pairs of 0.0066... on 3x3, each second one stronger, all sites up: the sum of the nine, to 1e-14 of it, in any unit.

    Sharing equal tables to 1e-5, 1e-7, 1e-9 or 1e-11 of the largest would lose what is added; in any unit of energy.
    """
    lattice, aligned = arl.square(3), np.array([[0.0, 0.0], [0.0, 1.0]])
    strength = [scale * (0.02 / 3 + stronger * (i % 2)) for i in range(9)]
    pairs = [((i, int(lattice.site_index(lattice.cell_offsets[i] + [1, 0, 0], 0))), aligned * strength[i]) for i in range(9)]
    hamiltonian = arl.ClusterHamiltonian.from_terms(lattice, pairs)
    up = torch.ones(1, 9, dtype=torch.long)
    assert float(hamiltonian.energy(up)) == pytest.approx(sum(strength), rel=1e-14, abs=0)
    assert float(hamiltonian.site_energies(up, 1)[0, 1]) == pytest.approx(strength[1] + strength[_left(lattice, 1)], rel=1e-13, abs=0)
    assert len(hamiltonian.to_tensors()[0]["clusters.2.energies"]) == 2  # and those that are equal are


def _left(lattice: arl.Lattice, site: int) -> int:
    return int(lattice.site_index(lattice.cell_offsets[site] - [1, 0, 0], 0))


def test_nine_pairs_of_which_the_odd_ones_are_stronger() -> None:
    """Pairs of 0.02 and, every second one, 0.020004 on 3x3; both sites of three odd ones are up: 0.060012, not 0.060000."""
    pairs = [((i, (i + 3) % 9), np.diag([0.0, 0.02 + 4e-6 * (i % 2)])) for i in range(9)]
    up = torch.zeros(1, 9, dtype=torch.long)
    up[0, [1, 4, 3, 6, 5, 8]] = 1
    assert float(arl.ClusterHamiltonian.from_terms(arl.square(3), pairs).energy(up)) == pytest.approx(0.060012, abs=1e-15)


@pytest.mark.parametrize(
    ("sites", "table", "argument"),
    [
        ((0, 1), np.zeros(2), "table"),
        ((0,), np.zeros(3), "table"),
        ((0,), np.array([0.0, np.nan]), "table"),
        ((4,), np.zeros(2), "sites"),
        ((-1,), np.zeros(2), "sites"),
    ],
)
def test_bad_terms_are_refused(sites: tuple[int, ...], table: np.ndarray, argument: str) -> None:
    with pytest.raises(arl.InputError) as refused:
        arl.ClusterHamiltonian.from_terms(arl.square(2), [(sites, table)])
    assert refused.value.argument == argument


def test_units_are_ev_or_reduced() -> None:
    with pytest.raises(arl.InputError, match="units = 'Ry'"):
        arl.ClusterHamiltonian.from_terms(arl.square(2), [], units="Ry")


# -- files and identity ------------------------------------------------------------------------------


def test_save_and_load_keep_the_bits(hamiltonian: arl.ClusterHamiltonian, tmp_path: Path) -> None:
    hamiltonian.save(tmp_path / "h.safetensors")
    again = arl.ClusterHamiltonian.load(tmp_path / "h.safetensors")
    states = random_states(hamiltonian.lattice, 30)
    assert torch.equal(again.energy(states), hamiltonian.energy(states))
    assert (again.fingerprint, again.units, again.options, again.name) == (
        hamiltonian.fingerprint,
        hamiltonian.units,
        hamiltonian.options,
        hamiltonian.name,
    )


def test_a_missing_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    from arlattice.io.records import write_tensors

    whole, cut, other = tmp_path / "whole", tmp_path / "cut", tmp_path / "other"
    HAMILTONIANS["rock salt, 24 sites"].save(whole)
    cut.write_bytes(whole.read_bytes()[:-100])
    write_tensors(other, {"a": torch.zeros(1)}, {"format": "something else"})
    for path in (tmp_path / "missing", cut, other):
        with pytest.raises(arl.InputError):
            arl.ClusterHamiltonian.load(path)


def test_the_fingerprint_hears_energies_units_and_lattice_but_not_the_name() -> None:
    lattice, pair = arl.square(3), np.array([[1.0, 0.0], [0.0, 1.0]])
    build = arl.ClusterHamiltonian.from_terms
    one = build(lattice, [((0, 1), pair)], units="reduced", name="one")
    assert build(lattice, [((0, 1), pair)], units="reduced", name="two").fingerprint == one.fingerprint
    assert black_box(one).fingerprint == one.fingerprint
    others = [
        build(lattice, [((0, 1), 1.001 * pair)], units="reduced"),
        build(lattice, [((0, 1), pair)], constant=0.1, units="reduced"),
        build(lattice, [((0, 1), pair)], units="eV"),
        build(arl.square((3, 3), ("up", "down")), [((0, 1), pair)], units="reduced"),
    ]
    assert len({h.fingerprint for h in [one, *others]}) == 5


# -- black boxes -------------------------------------------------------------------------------------


def test_a_function_is_a_hamiltonian_without_completed_energies() -> None:
    lattice = arl.square(2)
    hamiltonian = arl.FunctionHamiltonian(lattice, lambda x: x.double().sum(1) ** 2)
    states = all_states(lattice)
    ups = states.sum(1).double()
    assert torch.equal(hamiltonian.energy(states), ups**2)
    flips = hamiltonian.flip_differences(states)
    to_up = torch.where(states == 1, torch.zeros(()), (2 * ups + 1)[:, None])
    assert close(flips[:, :, 1], to_up.double())
    assert (hamiltonian.completed_energies(states, random_orders(lattice, 16)) == 0).all()
    assert (hamiltonian.completed_site_energies(states, torch.zeros(16, dtype=torch.long)) == 0).all()
    assert hamiltonian.to("cpu", torch.float32) is hamiltonian


def test_a_black_box_is_never_asked_about_a_species_its_site_may_not_hold() -> None:
    lattice = HAMILTONIANS["rock salt, 24 sites"].lattice

    def checked(occupations: torch.Tensor) -> torch.Tensor:
        return lattice.check_occupations(occupations).double().sum(1)

    arl.FunctionHamiltonian(lattice, checked).flip_differences(random_states(lattice, 3))


def test_a_function_of_the_wrong_shape_is_refused() -> None:
    hamiltonian = arl.FunctionHamiltonian(arl.square(2), lambda x: x.double())
    with pytest.raises(arl.InputError, match="one energy per configuration"):
        hamiltonian.energy(torch.zeros(3, 4, dtype=torch.long))


def test_an_ase_calculator_is_a_hamiltonian() -> None:
    lattice = arl.Lattice.from_ase(FCC, ["Cu", "Au"], (2, 2, 1))
    hamiltonian = arl.CalculatorHamiltonian(lattice, EMT())
    states = all_states(lattice)[[0, 1, 5, 15]]
    reference = []
    for row in states:
        atoms = Atoms(np.array([29, 79])[row], positions=lattice.positions, cell=lattice.supercell_vectors, pbc=True)
        atoms.calc = EMT()
        reference.append(atoms.get_potential_energy())
    assert hamiltonian.units == "eV"
    assert close(hamiltonian.energy(states), torch.tensor(reference, dtype=torch.float64))
    flip = hamiltonian.flip_differences(states[:1])[0]
    assert flip[:, 0].tolist() == [0.0] * 4
    assert float(flip[3, 1]) == pytest.approx(reference[1] - reference[0], abs=1e-10)
