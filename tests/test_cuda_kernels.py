"""Kernels of a GPU: the random numbers of the library, the energies and chains of the CPU, transition matrices by enumeration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.hamiltonians import fixed_configurations
from arlattice.kernels import choose, cuda, nvrtc
from arlattice.kernels.cpu import CpuKernels
from arlattice.kernels.cuda import CudaKernels
from arlattice.kernels.gathers import GatherKernels
from arlattice.kernels.numbers import Numbers
from arlattice.montecarlo.heat_bath import HeatBath
from arlattice.montecarlo.metropolis import Metropolis
from arlattice.montecarlo.start import random_occupations
from arlattice.montecarlo.swap import Swap
from arlattice.random_numbers import Stream, purpose_word, uniform
from arlattice.testing import Case, check_move, small_cases
from arlattice.testing.moves import Move, transition_matrix
from arlattice.thermo.exact import enumerate_configurations

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

DEVICE = torch.device("cuda")
CASES = {case.name: case for case in small_cases()}
RULES: dict[str, Any] = {"heat-bath": HeatBath, "metropolis": Metropolis, "swap": Swap}


def many_bodies() -> arl.ClusterHamiltonian:
    """Clusters of one to six sites: more others than a packed cluster holds."""
    generator = np.random.default_rng(3)
    terms = [(tuple(range(k)), generator.normal(size=(3,) * k)) for k in range(1, 7)]
    return arl.ClusterHamiltonian.from_terms(arl.square((3, 2), ("A", "B", "C")), terms, 0.7)


def all_pairs() -> arl.ClusterHamiltonian:
    """More products of one weight than a byte counts."""
    spin = np.array([-1.0, 1.0])
    pairs = [((i, j), -np.outer(spin, spin) / 300) for i in range(300) for j in range(i)]
    return arl.ClusterHamiltonian.from_terms(arl.chain(300), pairs)


HAMILTONIANS: dict[str, Callable[[], Any]] = {
    **{name: lambda case=case: case.hamiltonian for name, case in CASES.items()},  # type: ignore[misc]
    "ising 4x4": lambda: arl.hamiltonian("ising", supercell=(4, 4), h=0.3),
    "ising 2x2, double bonds": lambda: arl.hamiltonian("ising", supercell=(2, 2)),
    "potts, skewed": lambda: arl.hamiltonian("potts", supercell=((4, 1), (0, 5)), q=3),
    "ising, cubic": lambda: arl.hamiltonian("ising", supercell=(3, 3, 2)),
    "one to six bodies": many_bodies,
    "all pairs": all_pairs,
    "no clusters": lambda: arl.ClusterHamiltonian.from_terms(arl.square(2), [], 1.5),
}
HAMILTONIANS = {name: make for name, make in HAMILTONIANS.items() if isinstance(make(), arl.ClusterHamiltonian)}
ROADS = {
    "counted": {},
    "counted, state in global memory": {"_STATE_IN_SHARED": 0},
    "looked up": {"_MOST_PRODUCTS": -1},
    "looked up, state in global memory": {"_MOST_PRODUCTS": -1, "_SHARED": 0},
}


@pytest.fixture(params=HAMILTONIANS)
def hamiltonian(request: pytest.FixtureRequest) -> arl.ClusterHamiltonian:
    found = HAMILTONIANS[request.param]()
    assert isinstance(found, arl.ClusterHamiltonian)
    return found


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One way through the kernels."""
    for name, value in ROADS[request.param].items():
        monkeypatch.setattr(cuda, name, value)
    return str(request.param)


def kernels_of(hamiltonian: arl.ClusterHamiltonian, dtype: torch.dtype = torch.float64) -> CudaKernels:
    return CudaKernels(hamiltonian.tables, DEVICE, dtype)


def close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    found, expected = found.cpu().double(), expected.cpu()
    return found.shape == expected.shape and (found.numel() == 0 or float((found - expected).abs().max()) <= tolerance)


def scale(values: Tensor) -> float:
    return float(values.abs().max()) or 1.0


def test_the_kernels_are_in_use() -> None:
    h = arl.hamiltonian("ising", supercell=(4, 4)).to("cuda")
    assert nvrtc.available() and isinstance(h.kernels, CudaKernels)


def test_gathers_do_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "_compile_kernel", None)
    nvrtc.compiled.cache_clear()
    nvrtc.available.cache_clear()
    try:
        tables = arl.hamiltonian("ising", supercell=(4, 4)).tables
        assert not nvrtc.available()
        assert isinstance(choose.choose_kernels(tables, DEVICE, torch.float64), GatherKernels)
    finally:
        nvrtc.available.cache_clear()


# -- random numbers --------------------------------------------------------------------------------

_MAKE = """
extern "C" __global__ void make(double* out, int n, int samples, u32 k0, u32 k1, u32 purpose, u32 low, u32 high) {
    int i = threadIdx.x + blockIdx.x * blockDim.x;
    if (i >= n * samples) return;
    u64 step = ((u64)high << 32 | low) + i / samples;
    Words w = philox((u32)(step >> 1), (u32)(step >> 33), i % samples, purpose, k0, k1);
    out[i] = step & 1 ? number(w.c, w.d) : number(w.a, w.b);
}
"""


def test_the_random_numbers_are_those_of_the_library() -> None:
    seed, word = 2**62 + 12345, purpose_word("a purpose")
    common = Path(cuda.__file__).with_name("common.cu").read_text(encoding="utf-8")
    make: Any = torch.cuda._compile_kernel("#define REAL double\n#define Q 2\n" + common + _MAKE, "make")
    for first in (0, 7, 2**33 + 1):
        out = torch.empty(9, 5, dtype=torch.float64, device=DEVICE)
        random = [w for number in (seed, first) for w in (number & 0xFFFFFFFF, number >> 32)]
        make(grid=(1, 1, 1), block=(64, 1, 1), args=[out, 9, 5, *random[:2], word, *random[2:]])
        assert torch.equal(out.cpu(), uniform(seed, word, (first, 9), (0, 5)))


@pytest.mark.parametrize("rule", RULES)
def test_numbers_given_are_those_made(rule: str, road: str) -> None:
    h, sweeps, chains = HAMILTONIANS["potts, skewed"](), 3, 200
    conditions = Conditions.from_states([arl.SemiGrandCanonical(1.5)], h).expand(chains)
    x = random_occupations(h.lattice, conditions, Stream(5, "start")).to(DEVICE)
    noise, places, visits = Stream(9, "noise"), Stream(9, "places"), sweeps * h.lattice.n_sites
    steps = visits * (2 if rule == "swap" else 1)
    where = places.permutations(h.lattice.n_sites, sweeps) if rule == "heat-bath" else places.integers(h.lattice.n_sites, steps, chains)
    where = where.view(visits, 2, chains) if rule == "swap" else where
    words = ((noise._purpose, 0), (places._purpose, 0))
    given = Numbers(9, words, noise.uniform(visits, chains).to(DEVICE), where.to(DEVICE))
    made = Numbers(9, words, None, where.to(DEVICE) if rule == "heat-bath" else None)
    beta, mu = conditions.beta.to(DEVICE), conditions.mu.to(DEVICE)
    found = [kernels_of(h).sweep(rule, x, beta, mu, numbers, sweeps) for numbers in (given, made)]
    assert torch.equal(*found)
    assert rule == "swap" or not torch.equal(found[0], x)


# -- energies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 300])
def test_energies_are_those_of_the_cpu(hamiltonian: arl.ClusterHamiltonian, road: str, batch: int) -> None:
    lattice, kernels, cpu = hamiltonian.lattice, kernels_of(hamiltonian), CpuKernels(hamiltonian.tables, torch.float64)
    x = fixed_configurations(lattice, batch)
    energy, flips = cpu.energy(x), cpu.flip_differences(x)
    one_species = cpu.energy(lattice.allowed.long().argmax(1)[None])  # energies are counted from it
    tolerance = 1e-12 * max(scale(energy), scale(flips), scale(one_species))
    assert close(kernels.energy(x.to(DEVICE)), energy, tolerance)
    found = kernels.flip_differences(x.to(DEVICE)).cpu()
    assert close(torch.where(lattice.allowed, found, 0.0), torch.where(lattice.allowed, flips, 0.0), tolerance)


def test_energies_of_sites_and_pairs_are_those_of_the_cpu(hamiltonian: arl.ClusterHamiltonian) -> None:
    lattice, kernels, cpu = hamiltonian.lattice, kernels_of(hamiltonian), CpuKernels(hamiltonian.tables, torch.float64)
    x, generator = fixed_configurations(lattice, 40), torch.Generator().manual_seed(1)
    on_device = x.to(DEVICE)
    tolerance = 4e-12 * max(scale(cpu.energy(x)), scale(cpu.flip_differences(x)))
    site = torch.randint(lattice.n_sites, (40,), generator=generator)
    allowed = lattice.allowed[site]
    one, two = (
        e - e.gather(1, x.gather(1, site[:, None]))
        for e in (kernels.site_energies(on_device, site.to(DEVICE)).cpu(), cpu.site_energies(x, site))
    )
    assert close(one[allowed], two[allowed], tolerance)
    first, second = torch.randint(lattice.n_sites, (2, 40), generator=generator)
    fits = lattice.allowed[first, x.gather(1, second[:, None])[:, 0]] & lattice.allowed[second, x.gather(1, first[:, None])[:, 0]]
    second = torch.where(fits, second, first)
    swaps = kernels.swap_differences(on_device, first.to(DEVICE), second.to(DEVICE))
    assert close(swaps, cpu.swap_differences(x, first, second), tolerance)
    rank = torch.rand(40, lattice.n_sites, generator=generator).argsort(1).argsort(1)
    completed = cpu.completed_energies(x, rank)
    assert close(kernels.completed_energies(on_device, rank.to(DEVICE)), completed, 1e-12 * scale(completed))
    half = lattice.n_sites // 2
    placed, block = torch.where(rank < half, x, -1), rank.argsort(1)[:, half:]
    expected = cpu.completed_site_energies(placed, block)
    assert close(kernels.completed_site_energies(placed.to(DEVICE), block.to(DEVICE)), expected, 1e-12 * scale(completed))


def test_single_precision_is_close(hamiltonian: arl.ClusterHamiltonian, road: str) -> None:
    """Rounding of sums of a few hundred terms."""
    x = fixed_configurations(hamiltonian.lattice, 60)
    energy = hamiltonian.energy(x)
    largest = max(scale(energy), float(np.abs(hamiltonian.tables.listed.rows).max(initial=0.0)))
    assert close(kernels_of(hamiltonian, torch.float32).energy(x.to(DEVICE)), energy, 3e-5 * largest)


# -- chains ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_chains_are_those_of_the_cpu(hamiltonian: arl.ClusterHamiltonian, rule: str, road: str) -> None:
    """Configuration for configuration, in float64, over 12 sweeps of 150 chains; the stream is left at the same steps."""
    temperature = {"eV": 12000.0, "reduced": 1.5}[hamiltonian.units]
    conditions = Conditions.from_states([arl.SemiGrandCanonical(temperature * (1 + i % 3)) for i in range(150)], hamiltonian)
    found = []
    for device in ("cpu", "cuda"):
        stream, move = Stream(7, "chains", device), RULES[rule](hamiltonian.to(device))
        x, state = random_occupations(hamiltonian.lattice, conditions, Stream(7, "start")).to(device), conditions.to(device)
        for sweeps in (5, 1, 6):
            x = move.repeat(x, state, stream, sweeps)
        found.append((x.cpu(), stream.counters()))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_families_have_the_chains_and_energies_of_their_members(road: str) -> None:
    members = [arl.hamiltonian("ising", supercell=(3, 3), J=j, h=h) for j, h in ((1.0, 0.0), (-0.5, 0.3), (0.2, 0.0))]
    member = torch.arange(100) % 3
    family = arl.ClusterFamily(members, member)
    conditions = Conditions.from_states([arl.SemiGrandCanonical(2.0)], members[0]).expand(100)
    x = random_occupations(family.lattice, conditions, Stream(1, "start"))
    on_device = family.to("cuda")
    assert close(on_device.energy(x.to(DEVICE)), family.energy(x), 1e-12 * scale(family.energy(x)))
    assert close(on_device.flip_differences(x.to(DEVICE)), family.flip_differences(x), 1e-11)
    for rule in RULES.values():
        found = [rule(h).repeat(x.to(d), conditions.to(d), Stream(3, "c", d), 9).cpu() for h, d in ((family, "cpu"), (on_device, "cuda"))]
        assert torch.equal(*found)


def test_a_recorded_graph_holds_the_kernels(road: str) -> None:
    h = arl.hamiltonian("potts", supercell=(5, 4), q=3)
    kernels, generator = kernels_of(h), torch.Generator().manual_seed(2)
    conditions = Conditions.from_states([arl.SemiGrandCanonical(1.2)], h).expand(200).to("cuda")
    order = torch.stack([torch.randperm(20, generator=generator) for _ in range(2)]).to(DEVICE)
    numbers = Numbers(5, ((1, 0), (2, 0)), None, order)

    def work(x: Tensor) -> tuple[Tensor, Tensor]:
        new = kernels.sweep("heat-bath", x, conditions.beta, conditions.mu, numbers, 2)
        return new, kernels.energy(new)

    first, second = (torch.randint(3, (200, 20), generator=generator).to(DEVICE) for _ in range(2))
    x = first.clone()
    work(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work(x)
    x.copy_(second)
    graph.replay()
    assert all(torch.equal(a, b) for a, b in zip(outputs, work(second), strict=True))


# -- transition matrices ---------------------------------------------------------------------------


def visit_of(case: Case, rule: str, places: tuple[int, ...], dtype: torch.dtype) -> Move:
    """One visit, its site or pair and its noise given."""
    hamiltonian, state = case.hamiltonian, case.state
    assert isinstance(hamiltonian, arl.ClusterHamiltonian)
    kernels = kernels_of(hamiltonian, dtype)

    def move(x: Tensor, noise: Tensor) -> Tensor:
        c = Conditions.from_states([state], hamiltonian).expand(len(x)).to("cuda")
        where = torch.tensor(places, device=DEVICE)
        shaped = where[None] if rule == "heat-bath" else where.view(1, -1, 1).expand(1, len(places), len(x))
        shaped = shaped[:, 0] if rule == "metropolis" else shaped
        numbers = Numbers(0, ((0, 0), (0, 0)), noise[None].to(DEVICE), shaped.contiguous())
        return kernels.sweep(rule, x.to(DEVICE), c.beta, c.mu, numbers, 1).cpu()

    return move


def all_of(case: Case) -> tuple[Tensor, Tensor]:
    h, state = case.hamiltonian, case.state
    x = torch.cat(list(enumerate_configurations(h.lattice)))
    log_f = state.log_f(h.lattice, h.units, h.energy(x), x)
    return x[log_f > -torch.inf], log_f[log_f > -torch.inf]


VISITS = [(rule, (site,)) for rule in ("heat-bath", "metropolis") for site in range(3)]


@pytest.mark.parametrize("visit", VISITS, ids=str)
def test_a_visit_is_reversible_to_1e_12(visit: tuple[str, tuple[int, ...]], road: str) -> None:
    x, log_f = all_of(CASES["skewed ternary"])
    check_move(visit_of(CASES["skewed ternary"], *visit, torch.float64), x, log_f)


@pytest.mark.parametrize("pair", [(0, 1), (3, 2), (1, 4)])
def test_a_swap_is_reversible_to_1e_12(pair: tuple[int, int]) -> None:
    case = CASES["two sublattices, tight composition"]
    x, log_f = all_of(case)
    check_move(visit_of(case, "swap", pair, torch.float64), x, log_f)


@pytest.mark.parametrize("visit", VISITS, ids=str)
def test_single_precision_shifts_probabilities_by_less_than_1e_6(visit: tuple[str, tuple[int, ...]], road: str) -> None:
    """Every outcome's probability against that of float64, by enumeration."""
    case = CASES["skewed ternary"]
    x, log_f = all_of(case)
    exact, single = (transition_matrix(visit_of(case, *visit, dtype), x) for dtype in (torch.float64, torch.float32))
    assert float((single - exact).abs().max()) < 1e-6
    assert float(((log_f.softmax(0) @ single) - log_f.softmax(0)).abs().sum()) < 1e-6
