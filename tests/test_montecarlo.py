"""Monte Carlo moves keep the Boltzmann distribution: transition matrices read off the code, all configurations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.montecarlo import metropolis, sample_chains, sample_replicas
from arlattice.montecarlo.heat_bath import HeatBath, heat_bath_sweep, visit
from arlattice.montecarlo.metropolis import metropolis_step, metropolis_sweep
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.montecarlo.swap import swap_sweep
from arlattice.random_numbers import Stream
from arlattice.testing import Case, ConformanceError, check_move, random_hamiltonian, small_cases, transition_matrix
from arlattice.testing.moves import Move
from arlattice.thermo.exact import Enumeration, enumerate_configurations

CASES = {case.name: case for case in small_cases()}
BINARY = Case("2x2", random_hamiltonian(arl.square(2), 5), arl.SemiGrandCanonical(0.8, {"up": 0.3}))
VACANCIES = CASES["two sublattices, vacancies"]
TWO_CELLS = Case("rock salt, 2 cells", random_hamiltonian(VACANCIES.hamiltonian.lattice.with_supercell((2, 1, 1)), 6), VACANCIES.state)
SGC = [BINARY, TWO_CELLS, CASES["skewed ternary"]]
CANONICAL = [
    Case("2x2, two up", BINARY.hamiltonian, arl.Canonical(0.8, {"up": 2})),
    Case("ternary", CASES["skewed ternary"].hamiltonian, arl.Canonical(1.5, {"Cu": 2, "Au": 2, "Ag": 1})),
    CASES["two sublattices, tight composition"],
]


def configurations(case: Case) -> tuple[Tensor, Tensor]:
    """All that the state allows, and their log f."""
    h = case.hamiltonian
    x = torch.cat(list(enumerate_configurations(h.lattice)))
    log_f = case.state.log_f(h.lattice, h.units, h.energy(x), x)
    return x[log_f > -torch.inf], log_f[log_f > -torch.inf]


def conditions(case: Case, n: int) -> Conditions:
    return Conditions.from_states([case.state], case.hamiltonian).expand(n)


def heat_bath_of(case: Case, site: int, hamiltonian: arl.Hamiltonian | None = None) -> Move:
    h, allowed = hamiltonian or case.hamiltonian, case.hamiltonian.lattice.allowed

    def move(x: Tensor, noise: Tensor) -> Tensor:
        c = conditions(case, len(x))
        return visit(h, x, torch.tensor([site]), c.beta, c.mu, allowed, noise)

    return move


def metropolis_of(case: Case, site: int, hamiltonian: arl.Hamiltonian | None = None, beta_factor: float = 1.0) -> Move:
    h, allowed = hamiltonian or case.hamiltonian, case.hamiltonian.lattice.allowed

    def move(x: Tensor, noise: Tensor) -> Tensor:
        c = conditions(case, len(x))
        return metropolis_step(h, x, torch.full((len(x),), site), beta_factor * c.beta, c.mu, allowed, noise)

    return move


def swap_of(case: Case, first: int, second: int, beta_factor: float = 1.0) -> Move:
    def move(x: Tensor, noise: Tensor) -> Tensor:
        pairs = torch.tensor([first, second])[None, :, None].expand(1, 2, len(x))
        inputs = {"occupations": x, "beta": beta_factor * conditions(case, len(x)).beta, "pairs": pairs, "noise": noise[None]}
        return swap_sweep(case.hamiltonian, inputs | {"allowed": case.hamiltonian.lattice.allowed})[0]

    return move


# -- heat bath -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SGC, ids=str)
def test_heat_bath_of_every_site_is_reversible_and_keeps_the_distribution(case: Case) -> None:
    x, log_f = configurations(case)
    for site in range(case.hamiltonian.lattice.n_sites):
        check_move(heat_bath_of(case, site), x, log_f)


def test_heat_bath_draws_the_conditional_whatever_the_site_held() -> None:
    x, log_f = configurations(BINARY)
    matrix = transition_matrix(heat_bath_of(BINARY, 2), x)
    same_rest = (x[:, None, [0, 1, 3]] == x[None, :, [0, 1, 3]]).all(-1)
    expected = torch.where(same_rest, log_f, -torch.inf).softmax(-1)
    assert float((matrix - expected).abs().max()) < 1e-13


def test_heat_bath_never_draws_a_species_that_does_not_fit_at_the_ends_of_the_noise() -> None:
    case = TWO_CELLS
    x = torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))
    for site in range(case.hamiltonian.lattice.n_sites):
        for noise in (0.0, 1 - 2.0**-53):
            after = heat_bath_of(case, site)(x, torch.full((len(x),), noise, dtype=torch.float64))
            assert torch.equal(case.hamiltonian.lattice.check_occupations(after), after)


class Opposite(arl.FunctionHamiltonian):
    """Energies of the wrong sign."""

    def __init__(self, right: arl.Hamiltonian) -> None:
        super().__init__(right.lattice, lambda x: -right.energy(x), units=right.units)


def test_a_sign_error_in_the_heat_bath_is_seen() -> None:
    x, log_f = configurations(BINARY)
    with pytest.raises(ConformanceError, match="does not keep the distribution"):
        check_move(heat_bath_of(BINARY, 0, Opposite(BINARY.hamiltonian)), x, log_f)


@pytest.mark.parametrize("case", [BINARY, TWO_CELLS], ids=str)
def test_a_sweep_visits_every_site_once_in_the_order_of_the_scan(case: Case) -> None:
    """It is the product of its visits, noise for noise, so it keeps what they keep."""
    generator, h = torch.Generator().manual_seed(0), case.hamiltonian
    x = configurations(case)[0].repeat(3, 1)
    c, n = conditions(case, len(x)), h.lattice.n_sites
    noise = torch.rand(n, len(x), generator=generator, dtype=torch.float64)
    scan = torch.rand(n, generator=generator).argsort()
    inputs = {"occupations": x, "beta": c.beta, "mu": c.mu, "scan": scan, "noise": noise, "allowed": h.lattice.allowed}
    (swept,) = heat_bath_sweep(h, inputs)
    for step, site in enumerate(scan.tolist()):
        x = heat_bath_of(case, site)(x, noise[step])
    assert torch.equal(swept, x)


@pytest.mark.parametrize("case", [BINARY, TWO_CELLS], ids=str)
def test_sweeps_converge_to_the_boltzmann_distribution_from_anywhere(case: Case) -> None:
    """The product of all single-site matrices has one stationary distribution, reached from every start."""
    x, log_f = configurations(case)
    sweep = torch.eye(len(x), dtype=torch.float64)
    for site in range(case.hamiltonian.lattice.n_sites):
        sweep = sweep @ transition_matrix(heat_bath_of(case, site), x)
    assert float((log_f.softmax(0) @ sweep - log_f.softmax(0)).abs().max()) < 1e-12
    assert float((torch.linalg.matrix_power(sweep, 2**16) - log_f.softmax(0)).abs().max()) < 1e-9


# -- Metropolis ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SGC, ids=str)
def test_metropolis_at_every_site_is_reversible_and_keeps_the_distribution(case: Case) -> None:
    x, log_f = configurations(case)
    for site in range(case.hamiltonian.lattice.n_sites):
        check_move(metropolis_of(case, site), x, log_f)


@pytest.mark.parametrize("case", SGC, ids=str)
def test_metropolis_accepts_with_the_ratio_of_the_weights(case: Case) -> None:
    """Off the diagonal: 1 / (other species of the site) min(1, f(new) / f(old)), where only that site differs."""
    x, log_f = configurations(case)
    matrix = transition_matrix(metropolis_of(case, 0), x)
    others = int(case.hamiltonian.lattice.allowed[0].sum()) - 1
    differ = (x[:, None] != x[None]).sum(-1)
    reachable = (differ == 1) & (x[:, None, 0] != x[None, :, 0])
    expected = torch.where(reachable, (log_f[None] - log_f[:, None]).exp().clamp(max=1) / max(others, 1), 0.0)
    assert float((matrix - expected)[differ > 0].abs().max()) < 1e-12


def test_a_wrong_acceptance_of_metropolis_is_seen() -> None:
    x, log_f = configurations(BINARY)
    for factor in (-1.0, 0.5):
        with pytest.raises(ConformanceError, match="does not keep the distribution"):
            check_move(metropolis_of(BINARY, 0, beta_factor=factor), x, log_f)


def test_offers_that_are_not_symmetric_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the offers of one of two other species are turned into offers of the other."""
    case = CASES["skewed ternary"]
    x, log_f = configurations(case)
    right = metropolis.offer

    def skewed(allowed: Tensor, old: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        species, rest = right(allowed, old, noise)
        turned = (species == 2) & (old != 0) & (rest < 0.5)
        return torch.where(turned, 0, species), rest

    monkeypatch.setattr(metropolis, "offer", skewed)
    with pytest.raises(ConformanceError, match="does not keep the distribution"):
        check_move(metropolis_of(case, 0), x, log_f)


@pytest.mark.parametrize("temperature", [0.5, 1e12])
def test_metropolis_at_random_sites_reaches_everything(temperature: float) -> None:
    """Even where every offer is taken."""
    case = Case("2x2", BINARY.hamiltonian, arl.SemiGrandCanonical(temperature))
    x, log_f = configurations(case)
    step = sum(transition_matrix(metropolis_of(case, site), x) for site in range(4)) / 4
    assert isinstance(step, Tensor)
    sweep = torch.linalg.matrix_power(step, 4)
    lazy = (sweep + torch.linalg.matrix_power(step, 5)) / 2  # at infinite temperature the number of flips alone is even or odd
    assert float((torch.linalg.matrix_power(lazy, 2**16) - log_f.softmax(0)).abs().max()) < 1e-9


@pytest.mark.parametrize("case", [BINARY, TWO_CELLS], ids=str)
def test_a_metropolis_sweep_is_the_product_of_its_steps(case: Case) -> None:
    """Every chain at its own sites."""
    generator, h = torch.Generator().manual_seed(0), case.hamiltonian
    x = configurations(case)[0].repeat(3, 1)
    c, n = conditions(case, len(x)), h.lattice.n_sites
    scan = torch.randint(n, (n, len(x)), generator=generator)
    noise = torch.rand(n, len(x), generator=generator, dtype=torch.float64)
    inputs = {"occupations": x, "beta": c.beta, "mu": c.mu, "scan": scan, "noise": noise, "allowed": h.lattice.allowed}
    (swept,) = metropolis_sweep(h, inputs)
    for k in range(n):
        here = [metropolis_of(case, site)(x, noise[k]) for site in range(n)]
        x = torch.stack(here)[scan[k], torch.arange(len(x))]
    assert torch.equal(swept, x)


# -- swaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CANONICAL, ids=str)
def test_a_swap_of_every_pair_is_reversible_and_keeps_the_canonical_distribution(case: Case) -> None:
    x, log_f = configurations(case)
    for first in range(case.hamiltonian.lattice.n_sites):
        for second in range(first + 1):
            check_move(swap_of(case, first, second), x, log_f)


@pytest.mark.parametrize("case", CANONICAL, ids=str)
def test_swaps_reach_every_configuration_of_the_composition(case: Case) -> None:
    x, log_f = configurations(case)
    n = case.hamiltonian.lattice.n_sites
    mean = sum(transition_matrix(swap_of(case, a, b), x) for a in range(n) for b in range(n)) / n**2
    assert float((torch.linalg.matrix_power(mean, 2**20) - log_f.softmax(0)).abs().max()) < 1e-9


def test_a_wrong_acceptance_of_swaps_is_seen() -> None:
    x, log_f = configurations(CANONICAL[0])
    for factor in (-1.0, 0.5):
        with pytest.raises(ConformanceError, match="does not keep the distribution"):
            check_move(swap_of(CANONICAL[0], 0, 1, factor), x, log_f)


# -- replica exchange ------------------------------------------------------------------------------


def exchange_of(h: arl.Hamiltonian, states: list[arl.Ensemble], monkeypatch: pytest.MonkeyPatch) -> Move:
    """One exchange of two replicas, side by side (batch, 2 sites), with the noise given."""

    def move(pairs: Tensor, noise: Tensor) -> Tensor:
        n = len(pairs)
        c = Conditions.from_states(states, h)[torch.arange(2).repeat_interleave(n)]
        replicas = ReplicaExchange(h, c, (2, n), 0, torch.cat(pairs.chunk(2, 1)))
        with monkeypatch.context() as patch:
            patch.setattr(Stream, "uniform", lambda stream, steps, samples: noise[None])
            replicas.exchange()
        return torch.cat(replicas.occupations.chunk(2), 1)

    return move


def product(h: arl.Hamiltonian, states: list[arl.Ensemble]) -> tuple[Tensor, Tensor]:
    """All pairs of configurations with their joint log f."""
    parts = [configurations(Case("", h, state)) for state in states]
    a, b = torch.cartesian_prod(*[torch.arange(len(x)) for x, _ in parts]).T
    return torch.cat([parts[0][0][a], parts[1][0][b]], 1), parts[0][1][a] + parts[1][1][b]


TRIANGLE = random_hamiltonian(arl.chain(3), 3, scale=0.8)
DIMER = random_hamiltonian(VACANCIES.hamiltonian.lattice.with_supercell(1), 4, scale=0.8)


@pytest.mark.parametrize(
    ("hamiltonian", "states"),
    [
        (TRIANGLE, [arl.SemiGrandCanonical(0.5), arl.SemiGrandCanonical(2.0)]),
        (TRIANGLE, [arl.SemiGrandCanonical(1.0, {"up": -0.8}), arl.SemiGrandCanonical(1.0, {"up": 0.5})]),
        (TRIANGLE, [arl.SemiGrandCanonical(0.5, {"up": -0.8, "down": 0.4}), arl.SemiGrandCanonical(1.5, {"up": 0.5})]),
        (DIMER, [arl.SemiGrandCanonical(0.5, {"Cl": 0.8}), arl.SemiGrandCanonical(1.5, {"Na": 0.5, "X": -0.3})]),
        (TRIANGLE, [arl.Canonical(0.5, {"up": 1}), arl.Canonical(2.0, {"up": 1})]),
    ],
    ids=["temperatures", "chemical potentials", "both", "two sublattices", "fixed composition"],
)
def test_an_exchange_is_reversible_and_keeps_the_product(
    hamiltonian: arl.Hamiltonian, states: list[arl.Ensemble], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, log_f = product(hamiltonian, states)
    check_move(exchange_of(hamiltonian, states, monkeypatch), pairs, log_f)


def test_an_exchange_with_the_wrong_sign_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[arl.Ensemble] = [arl.SemiGrandCanonical(0.5), arl.SemiGrandCanonical(2.0)]
    pairs, log_f = product(TRIANGLE, states)
    monkeypatch.setattr(Conditions, "log_f", lambda self, energy, x: self.beta * energy)
    with pytest.raises(ConformanceError, match="does not keep the distribution"):
        check_move(exchange_of(TRIANGLE, states, monkeypatch), pairs, log_f)


def test_replicas_of_different_compositions_never_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[arl.Ensemble] = [arl.Canonical(1.0, {"up": 1}), arl.Canonical(1.0, {"up": 2})]
    pairs, _ = product(TRIANGLE, states)
    matrix = transition_matrix(exchange_of(TRIANGLE, states, monkeypatch), pairs)
    assert float((matrix - torch.eye(9)).abs().max()) < 1e-14


def replicas(hamiltonian: arl.Hamiltonian, states: list[arl.Ensemble], shape: tuple[int, ...], seed: int = 0) -> ReplicaExchange:
    """A grid of the states, each ``shape[-1]`` times."""
    c = Conditions.from_states(states, hamiltonian)[torch.arange(len(states)).repeat_interleave(shape[-1])]
    return ReplicaExchange(hamiltonian, c, shape, seed)


def test_exchanges_pair_neighbours_along_each_axis_in_turn() -> None:
    """Grid of 3 x 4 states: even pairs of axis 0, even pairs of axis 1, then odd pairs of each. Copies never meet.

    In equal states all exchanges are accepted, so configurations tell who met.
    """
    hamiltonian = arl.hamiltonian("ising", supercell=(2, 3))
    chains = replicas(hamiltonian, [arl.SemiGrandCanonical(1.0)] * 12, (3, 4, 2))
    chains.occupations = torch.arange(24)[:, None] // 2 ** torch.arange(6) % 2
    met: list[set[tuple[int, int]]] = []
    for _ in range(5):
        before = (chains.occupations * 2 ** torch.arange(6)).sum(1).tolist()
        chains.exchange()
        after = (chains.occupations * 2 ** torch.arange(6)).sum(1).tolist()
        met.append({(a, before.index(b)) for a, b in enumerate(after) if a < before.index(b)})
    number = torch.arange(24).view(3, 4, 2)

    def pairs(first: Tensor, second: Tensor) -> set[tuple[int, int]]:
        return set(zip(first.flatten().tolist(), second.flatten().tolist(), strict=True))

    even_rows, odd_rows = pairs(number[0], number[1]), pairs(number[1], number[2])
    even_columns, odd_columns = pairs(number[:, [0, 2]], number[:, [1, 3]]), pairs(number[:, 1], number[:, 2])
    assert met == [even_rows, even_columns, odd_rows, odd_columns, even_rows]


# -- long runs -------------------------------------------------------------------------------------


def deviations(chains: ReplicaExchange, states: list[arl.Ensemble], copies: int) -> list[float]:
    """(mean over the copies - exact mean) / exact standard error, of energy and first site, for every state."""
    h, exact, found = chains.hamiltonian, Enumeration.of(chains.hamiltonian), []
    first = (exact.occupations[:, 0] == 0).double()
    for k, state in enumerate(states):
        x = chains.occupations[k * copies : (k + 1) * copies]
        for values, observed in ((exact.energy, h.energy(x)), (first, (x[:, 0] == 0).double())):
            mean = exact.mean(state, values)
            sigma = (exact.mean(state, (values - mean) ** 2) / copies) ** 0.5
            found.append((float(observed.mean()) - mean) / sigma)
    return found


STATES: list[arl.Ensemble] = [arl.SemiGrandCanonical(t, {"up": 0.1}) for t in (1.5, 2.5, 5.0)]


def ising_chains(seed: int = 0, hamiltonian: arl.Hamiltonian | None = None) -> ReplicaExchange:
    h = hamiltonian or arl.hamiltonian("ising", supercell=(3, 3))
    return replicas(h, STATES, (3, 3000), seed)


def test_long_runs_give_the_enumerated_averages() -> None:
    """3,000 independent copies after 60 sweeps; 6 averages within 4 sigma: fails for nothing in 4e-4 of the seeds."""
    chains = ising_chains()
    chains.run(60)
    assert max(map(abs, deviations(chains, STATES, 3000))) < 4


def test_a_sign_error_fails_the_same_test() -> None:
    chains = ising_chains()
    chains.move = HeatBath(arl.hamiltonian("ising", supercell=(3, 3), J=-1.0))
    chains.run(20)
    assert max(map(abs, deviations(chains, STATES, 3000))) > 40


def test_long_runs_at_fixed_composition_give_the_enumerated_averages() -> None:
    """2,000 independent copies after 40 sweeps; 4 averages within 4 sigma: fails for nothing in 2.5e-4 of the seeds."""
    case = CASES["two sublattices, fixed composition"]
    states: list[arl.Ensemble] = [arl.Canonical(t, {"Cl": 2, "Na": 2, "O": 1, "X": 3}) for t in (0.7, 2.0)]
    chains = replicas(case.hamiltonian, states, (2, 2000))
    chains.run(40)
    assert max(map(abs, deviations(chains, states, 2000))) < 4
    counts = torch.nn.functional.one_hot(chains.occupations, 4).sum(1)
    assert torch.equal(counts, torch.tensor(case.state.counts(case.hamiltonian.lattice)).expand_as(counts))


def test_exchanges_bring_in_the_phase_that_a_cold_chain_cannot_reach() -> None:
    """Two wells of equal energy, a barrier of 17 kT between them; every chain starts in one of them.

    400 copies; half of them end in the other well, 200 +- 10, 5 sigma: fails for nothing in 1e-6 of the seeds.
    """
    h = arl.hamiltonian("ising", supercell=(3, 3))
    states: list[arl.Ensemble] = [arl.SemiGrandCanonical(t) for t in (0.7, 1.5, 2.5, 4.0, 8.0)]

    def cold_up(sweeps: int, exchange: bool) -> int:
        chains = replicas(h, states, (5, 400))
        chains.occupations = torch.ones_like(chains.occupations)
        for _ in range(sweeps):
            chains.sweep()
            if exchange:
                chains.exchange()
        return int((chains.occupations[:400].double().mean(1) > 0.5).sum())

    assert cold_up(40, exchange=False) == 400
    assert abs(cold_up(150, exchange=True) - 200) < 50


# -- bookkeeping -----------------------------------------------------------------------------------


def test_one_seed_gives_one_run_and_a_restored_run_goes_on_with_the_same_bits() -> None:
    one, same, other = ising_chains(1), ising_chains(1), ising_chains(2)
    for chains in (one, same, other):
        chains.run(3)
    assert torch.equal(one.occupations, same.occupations) and not torch.equal(one.occupations, other.occupations)
    kept, counters = one.to_tensors(), one.stream.counters()
    one.run(3)
    other.restore(kept)
    other.stream = Stream(1, other.stream.name)
    other.stream.restore(counters)
    other.run(3)
    assert torch.equal(one.occupations, other.occupations) and torch.equal(one.exchange_rate, other.exchange_rate)


def test_the_exchange_rate_survives_a_restart() -> None:
    """With two states every other exchange finds no pair and leaves the rate as it was."""
    chains = replicas(TRIANGLE, [STATES[0], STATES[2]], (2, 50))
    chains.run(1)
    other = replicas(TRIANGLE, [STATES[0], STATES[2]], (2, 50), seed=1)
    other.restore(chains.to_tensors())
    assert float(chains.exchange_rate) > 0
    assert torch.equal(chains.exchange_rate, other.exchange_rate)


def test_monte_carlo_draws_from_its_seed_alone() -> None:
    before = torch.get_rng_state()
    ising_chains().run(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_single_states_and_copies_do_not_exchange() -> None:
    chains = replicas(TRIANGLE, [STATES[0]], (1, 20))
    before = chains.occupations.clone()
    chains.exchange()
    assert torch.equal(chains.occupations, before)


def test_a_grid_that_does_not_hold_the_chains_is_told() -> None:
    with pytest.raises(arl.InputError, match="must multiply to the 6 chains"):
        replicas(TRIANGLE, STATES, (4, 2))


@pytest.mark.parametrize("make", [lambda h: h, lambda h: arl.FunctionHamiltonian(h.lattice, h.energy, units=h.units)])
def test_black_boxes_sweep_as_cluster_hamiltonians_do(make: Callable[[arl.Hamiltonian], arl.Hamiltonian]) -> None:
    reference = replicas(TRIANGLE, STATES, (3, 20))
    chains = replicas(make(TRIANGLE), STATES, (3, 20))
    for each in (reference, chains):
        each.run(5)
    assert torch.equal(reference.occupations, chains.occupations)


# -- recorded chains -------------------------------------------------------------------------------

ISING = arl.hamiltonian("ising", supercell=(3, 3))
WARM = arl.SemiGrandCanonical(3.0, {"up": 0.1})


@pytest.mark.parametrize("move", ["heat-bath", "metropolis", "swendsen-wang", "wolff"])
def test_recorded_chains_give_the_enumerated_averages(move: str) -> None:
    """3,000 chains, two draws; energy and composition within 4 sigma of the enumeration: fails for nothing in 5e-4 of the seeds."""
    exact = Enumeration.of(ISING)
    samples = sample_chains(ISING, WARM, move=move, chains=3000, sweeps=40, burn_in=30, thin=20)
    assert len(samples) == 6000
    for values, found in ((exact.energy, samples.energy), (exact.occupations.double().mean(1), samples.composition[:, 1])):
        mean = exact.mean(WARM, values)
        sigma = (exact.mean(WARM, (values - mean) ** 2) / 3000) ** 0.5
        assert abs(float(found[3000:].mean()) - mean) < 4 * sigma


def test_chains_at_fixed_composition_swap() -> None:
    """2,000 chains; energy within 4 sigma of the enumeration: fails for nothing in 6e-5 of the seeds."""
    state, exact = arl.Canonical(2.0, {"up": 4}), Enumeration.of(ISING)
    samples = sample_chains(ISING, state, chains=2000, sweeps=1, thin=1, burn_in=30)
    mean = exact.mean(state, exact.energy)
    sigma = (exact.mean(state, (exact.energy - mean) ** 2) / 2000) ** 0.5
    assert samples.metadata["sampler"] == "monte-carlo/swap"
    assert bool((samples.occupations.sum(1) == 4).all())
    assert abs(float(samples.energy.mean()) - mean) < 4 * sigma


def test_replicas_give_the_averages_of_every_state() -> None:
    """2 temperatures x 3 fields, 2,000 copies; 12 averages within 4 sigma: fails for nothing in 8e-4 of the seeds."""
    states = [arl.SemiGrandCanonical(t, {"up": mu}) for t in (2.0, 4.0) for mu in (-0.2, 0.0, 0.3)]
    exact = Enumeration.of(ISING)
    sets = sample_replicas(ISING, states, grid=(2, 3), move="metropolis", chains=2000, sweeps=2, thin=2, burn_in=30)
    assert [samples.state for samples in sets] == states
    assert 0 < float(sets[0].metadata["exchange_rate"]) < 1
    for state, samples in zip(states, sets, strict=True):
        for values, found in ((exact.energy, samples.energy), (exact.occupations.double().mean(1), samples.composition[:, 1])):
            mean = exact.mean(state, values)
            sigma = (exact.mean(state, (values - mean) ** 2) / 2000) ** 0.5
            assert abs(float(found.mean()) - mean) < 4 * sigma


@pytest.mark.parametrize("move", ["heat-bath", "metropolis", "swap", "swendsen-wang", "wolff"])
def test_one_seed_gives_one_set_of_samples(move: str) -> None:
    state = arl.Canonical(2.0, {"up": 4}) if move == "swap" else WARM
    before = torch.get_rng_state()
    one, same, other = (sample_chains(ISING, state, move=move, chains=4, sweeps=6, thin=2, burn_in=1, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.occupations, same.occupations) and not torch.equal(one.occupations, other.occupations)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.log_prob is None and one.metadata["chains"] == 4 and one.metadata["draws"] == 3
    assert torch.equal(one.energy, ISING.energy(one.occupations))


def test_samples_of_one_draw_lie_together() -> None:
    """Draw k of all chains comes before draw k + 1: the first of three draws is the run that stops there."""
    long = sample_chains(ISING, WARM, chains=5, sweeps=6, thin=2, burn_in=3, seed=0)
    short = sample_chains(ISING, WARM, chains=5, sweeps=2, thin=2, burn_in=3, seed=0)
    assert torch.equal(long.occupations[:5], short.occupations)


def test_unfit_runs_are_refused() -> None:
    for wrong in ({"chains": 0}, {"thin": 0}, {"sweeps": 5, "thin": 10}, {"burn_in": -1}, {"chains": 2.0}):
        with pytest.raises(arl.InputError, match="give a whole number"):
            sample_chains(ISING, WARM, **wrong)  # type: ignore[arg-type]
    with pytest.raises(arl.InputError, match="for a SemiGrandCanonical state give one of heat-bath, metropolis, swendsen-wang, wolff"):
        sample_chains(ISING, WARM, move="swap")
    with pytest.raises(arl.InputError, match="all states must be of one kind"):
        sample_replicas(ISING, [WARM, arl.Canonical(1.0, {"up": 4})])
    with pytest.raises(arl.InputError, match="give at least one"):
        sample_replicas(ISING, [])
    with pytest.raises(arl.InputError, match="must multiply to the"):
        sample_replicas(ISING, [WARM, WARM], grid=(3,))
