"""Swendsen-Wang and Wolff keep the Boltzmann distribution: exact transition matrices over all bond patterns and configurations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.montecarlo import sample_chains, swendsen_wang, wolff
from arlattice.montecarlo.bonds import Bonds
from arlattice.montecarlo.metropolis import offer
from arlattice.testing import Case, small_cases
from arlattice.thermo.exact import Enumeration, enumerate_configurations


def strip() -> arl.Hamiltonian:
    """A strip of five triangles: two couplings, a constant on every pair, and a field on one site."""
    lattice = arl.chain(5)
    terms = [((i, (i + step) % 5), 0.1 - coupling * np.eye(2)) for i in range(5) for step, coupling in ((1, 0.7), (2, 0.4))]
    return arl.ClusterHamiltonian.from_terms(lattice, [*terms, ((4,), np.array([0.3, -0.2]))], units="reduced")


def two_sublattices() -> arl.Hamiltonian:
    """Species that only some sites may hold, equal neighbours favoured."""
    vacancies = next(case.hamiltonian.lattice for case in small_cases() if case.name == "two sublattices, vacancies")
    lattice = vacancies.with_supercell((2, 1, 1))
    pairs = [((i, j), -0.8 * np.eye(lattice.n_species)) for i, j in itertools.combinations(range(lattice.n_sites), 2)]
    return arl.ClusterHamiltonian.from_terms(lattice, pairs, units="reduced")


CASES = [
    Case("Ising 2x2", arl.hamiltonian("ising", supercell=(2, 2)), arl.SemiGrandCanonical(2.269)),
    Case("Ising 2x3", arl.hamiltonian("ising", supercell=(2, 3)), arl.SemiGrandCanonical(3.0)),
    Case("Ising 2x3 in a field", arl.hamiltonian("ising", supercell=(2, 3), h=0.2), arl.SemiGrandCanonical(3.0, {"up": 0.1, "down": 0.3})),
    Case("Potts 2x2", arl.hamiltonian("potts", supercell=(2, 2), q=3), arl.SemiGrandCanonical(1.1)),
    Case("Potts 2x2 in a field", arl.hamiltonian("potts", supercell=(2, 2), q=3), arl.SemiGrandCanonical(1.1, {"0": 0.3, "2": -0.4})),
    Case("triangles", strip(), arl.SemiGrandCanonical(0.9)),
    Case("two sublattices", two_sublattices(), arl.SemiGrandCanonical(1.3, {"Cl": 0.2})),
]
FIELDS = [case for case in CASES if "field" in case.name]


def inputs(case: Case, x: Tensor) -> dict[str, Tensor]:
    c = Conditions.from_states([case.state], case.hamiltonian).expand(len(x))
    return {"occupations": x, "beta": c.beta, "mu": c.mu}


def patterns(bonds: Bonds) -> Tensor:
    """All sets of active bonds, (patterns, bonds)."""
    n = len(bonds.pairs)
    return (torch.arange(2**n)[:, None] >> torch.arange(n)) % 2 == 1


def pattern_weights(bonds: Bonds, x: Tensor, beta: Tensor) -> Tensor:
    """Probability of every pattern from every configuration, (configurations, patterns)."""
    p = bonds.activation(x, beta)[:, None, :]
    return torch.where(patterns(bonds), p, 1 - p).prod(-1)


def swendsen_wang_matrix(case: Case, bonds: Bonds, x: Tensor) -> Tensor:
    """sum over patterns of P(pattern | x) prod over clusters of P(species of the cluster)."""
    at = inputs(case, x)
    labels = bonds.clusters(patterns(bonds))
    logits = bonds.site_logits(at["beta"][:1], at["mu"][:1]).expand(len(labels), -1, -1)
    log_p = swendsen_wang.cluster_logits(labels, logits).log_softmax(-1)
    roots = labels == torch.arange(x.shape[1])
    targets = x.expand(len(labels), -1, -1)  # (patterns, configurations, sites)
    whole = (targets.gather(2, labels[:, None].expand_as(targets)) == targets).all(-1)
    each = log_p[:, None].expand(-1, len(x), -1, -1).gather(3, targets[..., None])[..., 0]
    given_pattern = torch.where(whole, torch.where(roots[:, None], each, 0.0).sum(-1).exp(), 0.0)
    return pattern_weights(bonds, x, at["beta"]) @ given_pattern


def wolff_matrix(case: Case, bonds: Bonds, x: Tensor) -> Tensor:
    """sum over sites, patterns and offers of their probabilities, times that of taking the offer."""
    n, sites, q = len(x), x.shape[1], case.hamiltonian.lattice.n_species
    number = {tuple(row): i for i, row in enumerate(x.tolist())}
    at, weights, labels = inputs(case, x), pattern_weights(bonds, x, inputs(case, x)["beta"]), bonds.clusters(patterns(bonds))
    matrix = torch.zeros(n, n, dtype=torch.float64)
    logits = bonds.site_logits(at["beta"], at["mu"])
    for site, shift, pattern in itertools.product(range(sites), range(1, q), range(len(labels))):
        cluster = (labels[pattern] == labels[pattern, site]).expand_as(x)
        old, p = x[:, site], weights[:, pattern] / (sites * (q - 1))
        new = (old + shift) % q
        take = torch.where(p > 0, wolff.acceptance(logits, cluster, old, new), 0.0)
        turned = torch.where(cluster, new[:, None], x).tolist()
        there = torch.tensor([number.get(tuple(row), -1) for row in turned])
        assert not bool((take[there < 0] > 0).any())
        matrix.index_put_((torch.arange(n), there.clamp(min=0)), p * take, accumulate=True)
        matrix.index_put_((torch.arange(n), torch.arange(n)), p * (1 - take), accumulate=True)
    return matrix


MATRICES = {"swendsen-wang": swendsen_wang_matrix, "wolff": wolff_matrix}


def imbalance(case: Case, move: str) -> tuple[float, Tensor, Tensor]:
    """Largest deviation from detailed balance, the matrix and the distribution."""
    h = case.hamiltonian
    x = torch.cat(list(enumerate_configurations(h.lattice)))
    p = case.state.log_f(h.lattice, h.units, h.energy(x), x).softmax(0)
    matrix = MATRICES[move](case, Bonds.of(h), x)
    assert float((matrix.sum(1) - 1).abs().max()) < 1e-12
    flow = p[:, None] * matrix
    return float((flow - flow.T).abs().max()), matrix, p


# -- exact matrices --------------------------------------------------------------------------------


@pytest.mark.parametrize("move", MATRICES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cluster_moves_are_in_detailed_balance(case: Case, move: str) -> None:
    worst, matrix, p = imbalance(case, move)
    assert worst < 1e-12
    assert float((p @ matrix - p).abs().max()) < 1e-12


@pytest.mark.parametrize("move", MATRICES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cluster_moves_reach_everything(case: Case, move: str) -> None:
    _, matrix, p = imbalance(case, move)
    assert float((torch.linalg.matrix_power(matrix, 2**12) - p).abs().max()) < 1e-9


@pytest.mark.parametrize("move", MATRICES)
@pytest.mark.parametrize("factor", [0.5, 1.1])
def test_a_wrong_bond_probability_is_seen(move: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor of a half: the coupling of Ising taken as J in place of 2 J."""
    right = Bonds.activation
    monkeypatch.setattr(Bonds, "activation", lambda self, x, beta: right(self, x, factor * beta))
    assert imbalance(CASES[1], move)[0] > 1e-4


@pytest.mark.parametrize("move", MATRICES)
@pytest.mark.parametrize("case", FIELDS, ids=str)
def test_a_field_left_out_of_the_colours_is_seen(case: Case, move: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Bonds.site_logits
    monkeypatch.setattr(Bonds, "site_logits", lambda self, beta, mu: 0 * right(self, beta, mu))
    assert imbalance(case, move)[0] > 1e-4


# -- the steps are what the matrices say -----------------------------------------------------------


def components(bonds: Bonds, active: np.ndarray) -> np.ndarray:
    """Clusters by scipy, each named by its lowest site."""
    a, b = bonds.pairs[active].numpy().T
    n = len(bonds.fields)
    _, name = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    return np.array([np.flatnonzero(name == name[i])[0] for i in range(n)])


def random_rows(case: Case, n: int = 300) -> tuple[Bonds, Tensor, dict[str, Tensor]]:
    generator, bonds = torch.Generator().manual_seed(0), Bonds.of(case.hamiltonian)
    every = torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))
    x = every[torch.randint(len(every), (n,), generator=generator)]
    at = inputs(case, x) | {"bond_noise": torch.rand(n, len(bonds.pairs), generator=generator, dtype=torch.float64)}
    return bonds, torch.rand(n, x.shape[1], generator=generator, dtype=torch.float64), at


def test_clusters_are_the_connected_components() -> None:
    bonds = Bonds.of(arl.hamiltonian("ising", supercell=(7, 9)))
    active = torch.rand(50, len(bonds.pairs), generator=torch.Generator().manual_seed(0)) < torch.linspace(0, 1, 50)[:, None]
    labels = bonds.clusters(active)
    assert all(np.array_equal(found, components(bonds, row)) for found, row in zip(labels.numpy(), active.numpy(), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_swendsen_wang_step_colours_each_cluster_by_its_noise(case: Case) -> None:
    """300 random rows against loops over clusters."""
    bonds, noise, at = random_rows(case)
    after = swendsen_wang.swendsen_wang_step(bonds, at | {"noise": noise})
    activation, logits = bonds.activation(at["occupations"], at["beta"]), bonds.site_logits(at["beta"], at["mu"])
    for row in range(len(noise)):
        labels = components(bonds, (at["bond_noise"] < activation)[row].numpy())
        for root in set(labels.tolist()):
            ends = logits[row, labels == root].sum(0).softmax(0).cumsum(0)
            species = int((ends <= noise[row, root]).sum())
            assert bool((after[row, labels == root] == species).all())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wolff_step_turns_the_cluster_of_its_site(case: Case) -> None:
    """300 random rows against loops over clusters."""
    bonds, noise, at = random_rows(case)
    x, site = at["occupations"], (noise[:, 1] * noise.shape[1]).long()
    after = wolff.wolff_step(bonds, at | {"site": site, "noise": noise[:, 0]})
    active = at["bond_noise"] < bonds.activation(x, at["beta"])
    logits, q = bonds.site_logits(at["beta"], at["mu"]), case.hamiltonian.lattice.n_species
    for row in range(len(noise)):
        labels = components(bonds, active[row].numpy())
        old = int(x[row, site[row]])
        offers, scaled = [s for s in range(q) if s != old], float(noise[row, 0]) * (q - 1)
        new, cluster = offers[int(scaled)], torch.from_numpy(labels == labels[site[row]])
        take = scaled % 1 < min(1.0, float((logits[row, cluster, new] - logits[row, cluster, old]).sum().exp()))
        assert torch.equal(after[row], torch.where(cluster & take, new, x[row]))


def test_without_a_field_wolff_always_turns() -> None:
    bonds, noise, at = random_rows(CASES[0])
    after = wolff.wolff_step(bonds, at | {"site": torch.zeros(len(noise), dtype=torch.long), "noise": noise[:, 0]})
    assert bool((after[:, 0] != at["occupations"][:, 0]).all())


def test_offers_are_uniform_over_the_other_species() -> None:
    """On an even grid of the noise: 0, 2 and 3 of {0, 2, 3, 4} are offered to 4 equally often, the rest of the noise is even too."""
    noise = (torch.arange(3000) + 0.5).double() / 3000
    allowed = torch.tensor([True, False, True, True, True]).expand(3000, -1)
    species, rest = offer(allowed, torch.full((3000,), 4), noise)
    assert species.bincount(minlength=5).tolist() == [1000, 0, 1000, 1000, 0]
    assert all(abs(float(rest[species == s].mean()) - 0.5) < 1e-9 for s in (0, 2, 3))
    last, rest = offer(allowed, torch.full((3000,), 4), torch.full((3000,), 1 - 2.0**-53, dtype=torch.float64))
    assert bool((last == 3).all()) and bool((rest < 1).all())


def test_where_there_is_no_choice_nothing_is_taken() -> None:
    species, rest = offer(torch.tensor([[False, True]]), torch.tensor([1]), torch.tensor([0.3], dtype=torch.float64))
    assert species.tolist() == [1] and rest.tolist() == [np.inf]


# -- bonds -----------------------------------------------------------------------------------------


def test_bonds_are_read_from_the_pair_tables() -> None:
    """Ising couples equal spins by 2 J; a length of 2 has both bonds between its sites."""
    bonds = Bonds.of(arl.hamiltonian("ising", supercell=(2, 5), J=0.7, h=0.3))
    assert sorted(bonds.coupling.tolist()) == pytest.approx([1.4] * 10 + [2.8] * 5)
    assert torch.allclose(bonds.fields, torch.tensor([0.3, -0.3], dtype=torch.float64))
    assert Bonds.of(arl.hamiltonian("potts", supercell=(4, 4), q=5, J=0.3)).coupling.tolist() == pytest.approx([0.3] * 32)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bonds_and_fields_add_up_to_the_energy(case: Case) -> None:
    """Up to a constant."""
    h, bonds = case.hamiltonian, Bonds.of(case.hamiltonian)
    x = torch.cat(list(enumerate_configurations(h.lattice)))
    equal = (x[:, bonds.pairs[:, 0]] == x[:, bonds.pairs[:, 1]]).double()
    energy = bonds.fields[torch.arange(x.shape[1]), x].sum(1) - equal @ bonds.coupling
    difference = h.energy(x) - energy
    assert float((difference - difference[0]).abs().max()) < 1e-12


def test_what_cluster_moves_cannot_do_is_refused() -> None:
    state = arl.SemiGrandCanonical(1.0)
    lattice = arl.square(3)
    three = arl.ClusterHamiltonian.from_terms(lattice, [((0, 1, 2), np.ones((2, 2, 2)))], units="reduced")
    uneven = arl.ClusterHamiltonian.from_terms(lattice, [((0, 1), np.array([[-1.0, 0.0], [0.0, -2.0]]))], units="reduced")
    black_box = arl.FunctionHamiltonian(lattice, lambda x: x.double().sum(1), units="reduced")
    for move in MATRICES:
        for h in (arl.hamiltonian("ising", supercell=(3, 3), J=-1.0), arl.hamiltonian("potts", supercell=(3, 3), J=-1.0), uneven):
            with pytest.raises(arl.InputError, match="cluster moves need ferromagnetic pairs"):
                sample_chains(h, state, move=move)
        for h in (three, black_box):
            with pytest.raises(arl.InputError, match="cluster moves need a ClusterHamiltonian of pairs and single sites"):
                sample_chains(h, state, move=move)
        with pytest.raises(arl.InputError, match="for a Canonical state give one of swap"):
            sample_chains(arl.hamiltonian("ising", supercell=(3, 3)), arl.Canonical(1.0, {"up": 4}), move=move)


def test_free_sites_have_no_bonds() -> None:
    """Only fields: every step draws the sites anew. 4,000 chains, 5 sigma: fails for nothing in 6e-7 of the seeds."""
    lattice = arl.square(2)
    h = arl.ClusterHamiltonian.from_terms(lattice, [((i,), np.array([0.0, -0.5])) for i in range(4)], units="reduced")
    samples = sample_chains(h, arl.SemiGrandCanonical(1.0), move="swendsen-wang", chains=4000, sweeps=1, burn_in=1, thin=1)
    p = 1 / (1 + np.exp(-0.5))
    assert abs(float(samples.composition[:, 1].mean()) - p) < 5 * (p * (1 - p) / 16000) ** 0.5


# -- long runs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", MATRICES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_long_runs_give_the_enumerated_averages(case: Case, move: str) -> None:
    """4,000 independent chains after 40 steps; 28 averages in all within 4.5 sigma: fails for nothing in 2e-4 of the seeds."""
    h, exact = case.hamiltonian, Enumeration.of(case.hamiltonian)
    samples = sample_chains(h, case.state, move=move, chains=4000, sweeps=1, burn_in=40, thin=1)
    first = (exact.occupations[:, 0] == samples.occupations[0, 0]).double()
    for values, found in ((exact.energy, samples.energy), (first, (samples.occupations[:, 0] == samples.occupations[0, 0]).double())):
        mean = exact.mean(case.state, values)
        sigma = (exact.mean(case.state, (values - mean) ** 2) / 4000) ** 0.5
        assert abs(float(found.mean()) - mean) < 4.5 * sigma
