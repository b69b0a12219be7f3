"""Compiled loops: the energies and the chains of plain torch, for every Hamiltonian; transition matrices by enumeration; threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.hamiltonians import fixed_configurations
from arlattice.kernels import choose, threads
from arlattice.kernels.count_table import count_table
from arlattice.kernels.cpu import CpuKernels
from arlattice.kernels.gathers import GatherKernels
from arlattice.kernels.loops.inputs import Purpose
from arlattice.kernels.loops.philox import keys_of
from arlattice.kernels.loops.philox import uniform as loop_uniform
from arlattice.kernels.numbers import Numbers
from arlattice.kernels.tables import Tables
from arlattice.montecarlo import compiled, sample_chains
from arlattice.montecarlo.heat_bath import HeatBath
from arlattice.montecarlo.metropolis import Metropolis
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.montecarlo.start import random_occupations
from arlattice.montecarlo.swap import Swap
from arlattice.montecarlo.swendsen_wang import SwendsenWang
from arlattice.montecarlo.wolff import Wolff
from arlattice.random_numbers import Stream, purpose_word, uniform
from arlattice.testing import Case, ConformanceError, check_move, small_cases
from arlattice.testing.moves import Move, transition_matrix
from arlattice.thermo.exact import enumerate_configurations

CASES = {case.name: case for case in small_cases()}


def many_bodies() -> arl.ClusterHamiltonian:
    """Clusters of one to six sites, five species, forbidden ones with energies that are far off."""
    generator = np.random.default_rng(3)
    lattice = arl.square((3, 2), ("A", "B", "C"))
    terms = [(tuple(range(k)), generator.normal(size=(3,) * k)) for k in range(1, 7)]
    return arl.ClusterHamiltonian.from_terms(lattice, [*terms, *[((i, (i + 1) % 6), generator.normal(size=(3, 3))) for i in range(6)]], 0.7)


def rings() -> arl.ClusterHamiltonian:
    """Written out: translations are found; some carry a cluster onto itself."""
    terms = [((i, (i + 2) % 4), np.array([[0.3, -0.1], [-0.1, 0.5]])) for i in range(4)]
    return arl.ClusterHamiltonian.from_terms(arl.chain(4), terms)


def garbage() -> arl.ClusterHamiltonian:
    """Energies of species that a site may not hold are a million times the others."""
    lattice = CASES["two sublattices, vacancies"].hamiltonian.lattice
    generator, allowed = np.random.default_rng(4), lattice.allowed.numpy()
    terms = []
    for sites in [(0, 1), (1, 2), (2, 3, 4), (5, 6, 7), (0, 3, 5, 6)]:
        table = generator.normal(size=(lattice.n_species,) * len(sites))
        for species in product(range(lattice.n_species), repeat=len(sites)):
            if not all(allowed[i, s] for i, s in zip(sites, species, strict=True)):
                table[species] = 1e6 * generator.normal()
        terms.append((sites, table))
    return arl.ClusterHamiltonian.from_terms(lattice, terms)


HAMILTONIANS: dict[str, Callable[[], arl.ClusterHamiltonian]] = {
    **{name: lambda case=case: case.hamiltonian for name, case in CASES.items()},  # type: ignore[misc]
    "ising 4x4": lambda: arl.hamiltonian("ising", supercell=(4, 4), h=0.3),
    "ising 2x2, double bonds": lambda: arl.hamiltonian("ising", supercell=(2, 2)),
    "potts, skewed": lambda: arl.hamiltonian("potts", supercell=((4, 1), (0, 5)), q=3),
    "ising, cubic": lambda: arl.hamiltonian("ising", supercell=(3, 3, 2)),
    "one to six bodies": many_bodies,
    "pairs across a ring": rings,
    "energies of forbidden species": garbage,
    "no clusters": lambda: arl.ClusterHamiltonian.from_terms(arl.square(2), [], 1.5),
}
HAMILTONIANS = {name: make for name, make in HAMILTONIANS.items() if isinstance(make(), arl.ClusterHamiltonian)}


@pytest.fixture(params=HAMILTONIANS)
def hamiltonian(request: pytest.FixtureRequest) -> arl.ClusterHamiltonian:
    return HAMILTONIANS[request.param]()


def gathers(hamiltonian: arl.ClusterHamiltonian, dtype: torch.dtype = torch.float64) -> GatherKernels:
    return GatherKernels(hamiltonian.tables, torch.device("cpu"), dtype)


def written_out(hamiltonian: arl.ClusterHamiltonian, x: Tensor) -> Tensor:
    """The energy by its definition, from the clusters of the file."""
    tensors, description = hamiltonian.to_tensors()
    energy = torch.full((len(x),), description["constant"], dtype=torch.float64)
    for k in {key.split(".")[1] for key in tensors}:
        sites, table, energies = (tensors[f"clusters.{k}.{part}"] for part in ("sites", "table", "energies"))
        for cluster, number in zip(sites.tolist(), table.tolist(), strict=True):
            energy += energies[number][tuple(x[:, i] for i in cluster)]
    return energy


def scale(hamiltonian: arl.ClusterHamiltonian) -> float:
    """Of the energies of allowed species."""
    return float(written_out(hamiltonian, fixed_configurations(hamiltonian.lattice, 16)).abs().max()) or 1.0


def close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    return found.shape == expected.shape and (found.numel() == 0 or float((found - expected).abs().max()) <= tolerance)


# -- energies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 70])
@pytest.mark.parametrize("backend", [CpuKernels, GatherKernels], ids=["compiled", "gathers"])
def test_energies_are_those_of_the_definition(hamiltonian: arl.ClusterHamiltonian, backend: type, batch: int) -> None:
    x, lattice = fixed_configurations(hamiltonian.lattice, batch), hamiltonian.lattice
    kernels = CpuKernels(hamiltonian.tables, torch.float64) if backend is CpuKernels else gathers(hamiltonian)
    tolerance = 1e-12 * scale(hamiltonian)
    energy = written_out(hamiltonian, x)
    assert close(kernels.energy(x), energy, tolerance)
    flips = kernels.flip_differences(x)
    for site in range(lattice.n_sites):
        by_site = kernels.site_energies(x, torch.tensor([site]))
        held = by_site.gather(1, x[:, site : site + 1])
        for species in lattice.allowed[site].nonzero()[:, 0].tolist():
            flipped = written_out(hamiltonian, torch.where(torch.arange(lattice.n_sites) == site, species, x))
            assert close(flips[:, site, species], flipped - energy, 4 * tolerance)
            assert close((by_site - held)[:, species], flipped - energy, 4 * tolerance)


def test_compiled_swaps_and_completed_energies_are_those_of_gathers(hamiltonian: arl.ClusterHamiltonian) -> None:
    lattice, compiled_, plain = hamiltonian.lattice, hamiltonian.kernels, gathers(hamiltonian)
    assert isinstance(compiled_, CpuKernels)
    x, generator = fixed_configurations(lattice, 40), torch.Generator().manual_seed(1)
    first, second = torch.randint(lattice.n_sites, (2, 40), generator=generator)
    fits = lattice.allowed[first, x.gather(1, second[:, None])[:, 0]] & lattice.allowed[second, x.gather(1, first[:, None])[:, 0]]
    second = torch.where(fits, second, first)
    tolerance = 4e-12 * scale(hamiltonian)
    assert close(compiled_.swap_differences(x, first, second), plain.swap_differences(x, first, second), tolerance)
    order = torch.rand(40, lattice.n_sites, generator=generator).argsort(1)
    rank = order.argsort(1)
    largest = float(plain.completed_energies(x, rank).abs().max()) or 1.0  # of forbidden species too: full tables are read
    assert close(compiled_.completed_energies(x, rank), plain.completed_energies(x, rank), 1e-12 * largest)
    half = lattice.n_sites // 2
    placed, block = torch.where(rank < half, x, -1), order[:, half:]
    assert close(compiled_.completed_site_energies(placed, block), plain.completed_site_energies(placed, block), 1e-12 * largest)
    one = hamiltonian.completed_site_energies(placed, order[:, half])
    assert torch.equal(hamiltonian.completed_site_energies(placed, block)[:, 0], one)


def test_tables_that_are_faster_looked_up_are_not_counted() -> None:
    generator = np.random.default_rng(0)
    lattice = arl.chain(8, tuple("ABCDE"))
    dense = arl.ClusterHamiltonian.from_terms(lattice, [((0, 1, 2, 3), generator.normal(size=(5,) * 4))])
    assert count_table(dense.tables.sites, dense.tables.allowed) is None
    x = fixed_configurations(lattice, 30)
    assert close(dense.energy(x), written_out(dense, x), 1e-12 * scale(dense))
    assert close(dense.flip_differences(x), gathers(dense).flip_differences(x), 1e-12 * scale(dense))


def test_more_products_of_one_weight_than_a_byte_counts() -> None:
    """All pairs of 300 sites, of one coupling: 299 products stand in one group."""
    lattice, spin = arl.chain(300), np.array([-1.0, 1.0])
    pairs = [((i, j), -np.outer(spin, spin) / 300) for i in range(300) for j in range(i)]
    every = arl.ClusterHamiltonian.from_terms(lattice, pairs)
    counts = count_table(every.tables.sites, every.tables.allowed)
    assert counts is not None and counts.sizes.max() == 299
    x = torch.ones(20, 300, dtype=torch.long)
    x[1:] = fixed_configurations(lattice, 19)
    total = (2.0 * x - 1).double().sum(1)
    assert close(every.energy(x), -(total**2 - 300) / 600, 1e-10)
    assert close(every.flip_differences(x), gathers(every).flip_differences(x), 1e-12)


def test_a_crystal_is_kept_as_one_cell_and_its_memory_grows_with_sites() -> None:
    small, large = (arl.hamiltonian("ising", supercell=(n, n)) for n in (8, 32))
    for name in ("row", "slots", "rows", "starts"):
        assert getattr(small.tables.sites, name).shape == getattr(large.tables.sites, name).shape
    assert large.tables.sites.neighbours.shape == (1024, 4)
    explicit = arl.ClusterHamiltonian.from_tensors(*large.to_tensors())  # terms of all sites: translations are found
    assert explicit.tables.sites.row.shape == large.tables.sites.row.shape


def test_one_site_that_differs_is_no_crystal() -> None:
    spin = np.array([-1.0, 1.0])
    bonds = [((i, (i + 1) % 8), -np.outer(spin, spin)) for i in range(8)]
    for extra, kinds in (([], 1), ([((3,), 0.1 * spin)], 8)):
        tables = arl.ClusterHamiltonian.from_terms(arl.chain(8), [*bonds, *extra]).tables
        assert tables.sites.kind.max() + 1 == kinds


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_clusters_inside_others_are_taken_into_them() -> None:
    """CuAu has 177 clusters at a site; a flip reads 98 of them."""
    pytest.importorskip("icet")
    with pytest.warns(UserWarning, match="clusters meet their own periodic images"):
        cuau = arl.hamiltonian("cuau", supercell=4)
    assert (len(cuau.tables.listed.row), len(cuau.tables.sites.row)) == (177, 98)


# -- without numba ---------------------------------------------------------------------------------


def test_without_numba_gathers_give_the_same_numbers(hamiltonian: arl.ClusterHamiltonian, monkeypatch: pytest.MonkeyPatch) -> None:
    x = fixed_configurations(hamiltonian.lattice, 9)
    energy = hamiltonian.energy(x)
    monkeypatch.setattr(choose.importlib.util, "find_spec", lambda name: None)
    plain = arl.ClusterHamiltonian.from_tensors(*hamiltonian.to_tensors())
    assert isinstance(plain.kernels, GatherKernels) and compiled.compiled(plain) is None
    assert close(plain.energy(x), energy, 1e-12 * scale(hamiltonian))


# -- chains ----------------------------------------------------------------------------------------

RULES = {"heat-bath": HeatBath, "metropolis": Metropolis, "swap": Swap}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("chains", [2, 40])
def test_compiled_chains_are_those_of_torch(hamiltonian: arl.ClusterHamiltonian, rule: str, chains: int) -> None:
    """Configuration for configuration, in float64; the stream is left where torch leaves it."""
    temperature = {"eV": 12000.0, "reduced": 1.5}[hamiltonian.units]
    conditions = Conditions.from_states([arl.SemiGrandCanonical(temperature * (1 + i % 3)) for i in range(chains)], hamiltonian)
    found = []
    for plain in (False, True):
        stream, move = Stream(7, "chains"), RULES[rule](hamiltonian)
        assert move.kernels is not None
        move.kernels = None if plain else move.kernels
        x = random_occupations(hamiltonian.lattice, conditions, stream["start"])
        for sweeps in (4, 1, 3):
            x = move.repeat(x, conditions, stream, sweeps)
        found.append((x, stream.counters()))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


BONDED: dict[str, Callable[[], arl.ClusterHamiltonian]] = {
    "ising": lambda: arl.hamiltonian("ising", supercell=(4, 4), h=0.3),
    "ising 2x2, double bonds": lambda: arl.hamiltonian("ising", supercell=(2, 2)),
    "potts": lambda: arl.hamiltonian("potts", supercell=(4, 3), q=4),
    "no bonds": lambda: arl.ClusterHamiltonian.from_terms(arl.square(2), [((0,), np.array([0.0, 0.3]))], units="reduced"),
}


@pytest.mark.parametrize("move", [SwendsenWang, Wolff])
@pytest.mark.parametrize("name", BONDED)
def test_compiled_cluster_moves_are_those_of_torch(name: str, move: type[SwendsenWang] | type[Wolff]) -> None:
    h = BONDED[name]()
    state = arl.SemiGrandCanonical(2.0, {h.species[-1]: 0.1})
    conditions = Conditions.from_states([state] * 30, h)
    found = []
    for plain in (False, True):
        stream, moving = Stream(7, "chains"), move(h)
        assert moving.kernels is not None
        moving.kernels = None if plain else moving.kernels
        x = random_occupations(h.lattice, conditions, stream["start"])
        for sweeps in (4, 1, 3):
            x = moving.repeat(x, conditions, stream, sweeps)
        found.append((x, stream.counters()))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_many_sweeps_in_one_go_are_single_sweeps() -> None:
    h = arl.hamiltonian("ising", supercell=(4, 4))
    conditions = Conditions.from_states([arl.SemiGrandCanonical(2.5)] * 20, h)
    once, often = (ReplicaExchange(h, conditions, (20,), 5) for _ in range(2))
    once.run(6)
    for _ in range(6):
        often.run(1)
    assert torch.equal(once.occupations, often.occupations)


@pytest.mark.parametrize("move", [HeatBath, Metropolis, Swap, SwendsenWang, Wolff])
def test_long_runs_are_done_in_pieces(move: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    h = arl.hamiltonian("ising", supercell=(4, 4))
    conditions, x = Conditions.from_states([arl.SemiGrandCanonical(2.5)] * 3, h), fixed_configurations(h.lattice, 3)
    whole = move(h).repeat(x, conditions, Stream(5), 7)
    monkeypatch.setattr(compiled, "_TRIALS", 100)
    assert list(compiled.pieces(7, x)) == [2, 2, 2, 1] and list(compiled.pieces(0, x)) == []
    assert torch.equal(move(h).repeat(x, conditions, Stream(5), 7), whole)


@pytest.mark.parametrize("chains", [3, 300, 700])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_threads_do_not_change_a_chain(chains: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    h = arl.hamiltonian("potts", supercell=(5, 4), q=3).to(dtype=dtype)
    conditions = Conditions.from_states([arl.SemiGrandCanonical(0.9)] * chains, h)
    monkeypatch.setattr(threads, "_WORTH_A_THREAD", 1)
    found = []
    for n in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n: n)
        for rule in RULES.values():
            run = ReplicaExchange(h, conditions, (chains,), 5, sweep=rule(h))
            run.run(5)
            found.append(run.occupations)
        found.append(h.energy(run.occupations))
    assert all(torch.equal(a, b) for i in (4, 8) for a, b in zip(found[:4], found[i : i + 4], strict=True))


def test_the_random_numbers_of_the_loops_are_those_of_the_library() -> None:
    keys, pair = keys_of(np.uint64(2**62 + 12345)), np.full(5, np.uint64(2**64 - 1))  # nothing is made yet
    for first in (0, 7, 2**33 + 1):
        purpose = Purpose(np.uint32(purpose_word("a purpose")), np.int64(first))
        expected = uniform(2**62 + 12345, purpose_word("a purpose"), (first, 9), (5, 1))[:, 0]
        found = [loop_uniform(keys, purpose, 5, first + i, pair) for i in range(9)]
        assert found == expected.tolist()


# -- transition matrices ---------------------------------------------------------------------------


def visit_of(case: Case, rule: str, places: tuple[int, ...], dtype: torch.dtype, lanes: bool, tables: Tables | None = None) -> Move:
    """One visit of the compiled loops, its site or pair and its noise given."""
    hamiltonian, state = case.hamiltonian, case.state
    kernels = CpuKernels(tables or hamiltonian.tables, dtype)

    def move(x: Tensor, noise: Tensor) -> Tensor:
        if lanes:  # so many that they lie side by side
            x, noise = x.repeat(8, 1), noise.repeat(8)
        c = Conditions.from_states([state], hamiltonian).expand(len(x))
        where = torch.tensor(places)
        shaped = where[None] if rule == "heat-bath" else where.view(1, -1, 1).expand(1, len(places), len(x))
        shaped = shaped[:, 0] if rule == "metropolis" else shaped
        new = kernels.sweep(rule, x, c.beta, c.mu, Numbers(0, ((0, 0), (0, 0)), noise[None], shaped.contiguous()), 1)
        return new[: len(new) // 8] if lanes else new

    return move


def all_of(case: Case) -> tuple[Tensor, Tensor]:
    h, state = case.hamiltonian, case.state
    x = torch.cat(list(enumerate_configurations(h.lattice)))
    log_f = state.log_f(h.lattice, h.units, written_out(h, x), x)
    return x[log_f > -torch.inf], log_f[log_f > -torch.inf]


VISITS = [(rule, (site,), lanes) for rule, lanes in (("heat-bath", False), ("heat-bath", True), ("metropolis", False)) for site in range(3)]


@pytest.mark.parametrize("visit", VISITS, ids=str)
def test_a_compiled_visit_is_reversible_to_1e_12(visit: tuple[str, tuple[int, ...], bool]) -> None:
    rule, places, lanes = visit
    case = CASES["skewed ternary"]
    x, log_f = all_of(case)
    check_move(visit_of(case, rule, places, torch.float64, lanes), x, log_f)


@pytest.mark.parametrize("pair", [(0, 1), (3, 2), (1, 4)])
def test_a_compiled_swap_is_reversible_to_1e_12(pair: tuple[int, int]) -> None:
    case = CASES["two sublattices, tight composition"]
    x, log_f = all_of(case)
    check_move(visit_of(case, "swap", pair, torch.float64, False), x, log_f)


@pytest.mark.parametrize("visit", VISITS, ids=str)
def test_single_precision_shifts_probabilities_by_less_than_1e_6(visit: tuple[str, tuple[int, ...], bool]) -> None:
    """The bias of float32, by enumeration: every outcome's probability against that of float64."""
    rule, places, lanes = visit
    case = CASES["skewed ternary"]
    x, log_f = all_of(case)
    exact = transition_matrix(visit_of(case, rule, places, torch.float64, False), x)
    single = transition_matrix(visit_of(case, rule, places, torch.float32, lanes), x)
    assert float((single - exact).abs().max()) < 1e-6
    assert float(((log_f.softmax(0) @ single) - log_f.softmax(0)).abs().sum()) < 1e-6


@pytest.mark.parametrize("lanes", [False, True])
def test_a_wrong_table_breaks_detailed_balance(lanes: bool) -> None:
    case = CASES["skewed ternary"]
    x, log_f = all_of(case)
    sites = case.hamiltonian.tables.sites
    rows = sites.rows.copy()
    rows[0, sites.row[sites.starts[1, 0]], 1] += 1e-9
    tables = replace(case.hamiltonian.tables, sites=sites._replace(rows=rows))
    wrong = visit_of(case, "heat-bath", (1,), torch.float64, lanes, tables)
    with pytest.raises(ConformanceError):
        check_move(wrong, x, log_f)


# -- long runs in single precision -----------------------------------------------------------------


@pytest.mark.parametrize("rule", ["heat-bath", "metropolis"])
@pytest.mark.parametrize("chains", [4, 4096])
def test_single_precision_samples_the_enumerated_distribution(rule: str, chains: int) -> None:
    """Chi-square over the 512 configurations of Ising 3x3 by |magnetisation| and energy; 4,096 configurations, 20 sweeps apart or fresh.

    Fails for nothing in 1e-4 of the seeds; sees a level whose probability is off by 5 standard errors, 8 % of its own where it holds a
    tenth of the configurations.
    """
    from scipy.stats import chi2

    h, state = arl.hamiltonian("ising", supercell=(3, 3), h=0.2), arl.SemiGrandCanonical(3.5)
    every = torch.cat(list(enumerate_configurations(h.lattice)))
    p = state.log_f(h.lattice, h.units, h.energy(every), every).softmax(0)

    def level(x: Tensor) -> Tensor:
        return x.sum(1) // 2

    draws = 4096 // chains
    samples = sample_chains(
        h.to(dtype=torch.float32), state, chains=chains, sweeps=20 * draws, burn_in=30, thin=20, move=rule, seed=chains
    ).occupations
    expected = torch.zeros(5, dtype=torch.float64).index_add_(0, level(every), p) * len(samples)
    found = torch.bincount(level(samples), minlength=5)
    assert float(((found - expected) ** 2 / expected).sum()) < chi2.isf(1e-4, 4)


# -- families --------------------------------------------------------------------------------------


@pytest.fixture(params=["crystals", "no crystals"])
def family(request: pytest.FixtureRequest) -> list[arl.ClusterHamiltonian]:
    if request.param == "crystals":
        return [arl.hamiltonian("ising", supercell=(3, 3), J=j, h=h) for j, h in ((1.0, 0.0), (-0.5, 0.3), (0.2, 0.0))]
    ternary = CASES["skewed ternary"].hamiltonian
    terms = [((0, 3), np.arange(9.0).reshape(3, 3) / 9), ((2,), np.arange(3.0))]
    other = arl.ClusterHamiltonian.from_terms(ternary.lattice, terms, 0.4, units=ternary.units)
    return [ternary, other]


def test_a_family_has_the_energies_of_its_members(family: list[arl.ClusterHamiltonian]) -> None:
    for n in (3, 60):
        member = torch.arange(n) % len(family)
        together = arl.ClusterFamily(family, member)
        x = fixed_configurations(family[0].lattice, n)
        each = torch.stack([h.energy(x) for h in family])[member, torch.arange(n)]
        assert close(together.energy(x), each, 1e-12 * float(each.abs().max()))
        flips = torch.stack([h.flip_differences(x) for h in family])[member, torch.arange(n)]
        allowed = family[0].lattice.allowed.expand(flips.shape)
        assert close(together.flip_differences(x)[allowed], flips[allowed], 1e-12 * float(flips.abs().max()))
        plain = GatherKernels(together.tables, torch.device("cpu"), torch.float64, member)
        assert close(plain.energy(x), each, 1e-12 * float(each.abs().max()))


@pytest.mark.parametrize("rule", RULES)
def test_chains_of_a_family_are_those_of_its_members(family: list[arl.ClusterHamiltonian], rule: str) -> None:
    """A chain depends on its number: all chains are run with each member alone, and the right ones are compared."""
    chains = 24
    member = torch.arange(chains) * len(family) // chains
    temperature = {"eV": 12000.0, "reduced": 2.0}[family[0].units]

    def run(h: arl.Hamiltonian) -> Tensor:
        conditions = Conditions.from_states([arl.SemiGrandCanonical(temperature)] * chains, h)
        replicas = ReplicaExchange(h, conditions, (chains,), 11, sweep=RULES[rule](h))
        replicas.run(8)
        return replicas.occupations

    together = run(arl.ClusterFamily(family, member))
    alone = torch.stack([run(h) for h in family])[member, torch.arange(chains)]
    assert torch.equal(together, alone)


def test_members_do_not_exchange_configurations() -> None:
    up, down = (arl.hamiltonian("ising", supercell=(3, 3), h=h) for h in (5.0, -5.0))
    two = arl.ClusterFamily([up, down], [0, 0, 1, 1])
    conditions = Conditions.from_states([arl.SemiGrandCanonical(t) for t in (1.0, 2.0, 1.0, 2.0)], two)
    replicas = ReplicaExchange(two, conditions, (2, 2, 1), 3)
    replicas.run(20)
    assert replicas.occupations.double().mean(1).round().tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("members", "member", "told"),
    [
        ([], [0], "members"),
        (["ising", "larger"], [0], "members"),
        (["ising"], [], "member"),
        (["ising"], [1], "member"),
        (["ising"], [0.5], "member"),
        (["ising"], "all", "member"),
    ],
)
def test_what_makes_no_family_is_refused(members: list[str], member: object, told: str) -> None:
    known = {"ising": arl.hamiltonian("ising", supercell=(3, 3)), "larger": arl.hamiltonian("ising", supercell=(4, 4))}
    with pytest.raises(arl.InputError, match=f"^{told} = "):
        arl.ClusterFamily([known[name] for name in members], member)


def test_kernels_do_not_travel_with_a_copy_for_another_process() -> None:
    h = arl.hamiltonian("ising", supercell=(3, 3))
    x = fixed_configurations(h.lattice, 4)
    energy = h.energy(x)
    state = h.__getstate__()
    assert state["_made"] == {} and set(state) == set(vars(h))
    fresh = object.__new__(type(h))
    fresh.__dict__.update(state)
    assert torch.equal(fresh.energy(x), energy)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["sites", "table"])
def test_tables_that_would_be_read_beyond_their_ends_are_refused(part: str) -> None:
    tensors, description = arl.hamiltonian("ising", supercell=(3, 3)).to_tensors()
    tensors[f"clusters.2.{part}"] = tensors[f"clusters.2.{part}"].clone()
    tensors[f"clusters.2.{part}"][-1] = 99
    with pytest.raises(arl.InputError, match="2-body"):
        arl.ClusterHamiltonian.from_tensors(tensors, description)


def test_a_subclass_with_energies_of_its_own_is_not_swept_by_the_tables() -> None:
    class Shifted(arl.ClusterHamiltonian):
        def site_energies(self, occupations: Tensor, site: Tensor | int) -> Tensor:
            return super().site_energies(occupations, site) + torch.tensor([0.0, 1e9])

    h = Shifted.from_terms(arl.square(3), [((0,), np.array([0.0, 0.1]))])
    assert compiled.compiled(h) is None
    x = HeatBath(h)(torch.ones(4, 9, dtype=torch.long), Conditions.from_states([arl.SemiGrandCanonical(300.0)] * 4, h), Stream(0))
    assert int(x.sum()) == 0
