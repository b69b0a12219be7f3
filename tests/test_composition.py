"""At fixed composition a species may be placed exactly when the rest can still be completed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.composition import FixedComposition
from arlattice.conditions import Conditions
from arlattice.constraint import Constraint
from arlattice.montecarlo.start import random_occupations
from arlattice.random_numbers import Stream
from arlattice.testing import Case, FrequencyTest, small_cases
from arlattice.thermo.exact import enumerate_configurations


def case(name: str, allowed: list[tuple[str, ...]], cells: int, composition: dict[str, int]) -> Case:
    """A chain of cells with one sublattice for each entry of ``allowed``; energies zero."""
    species = tuple(dict.fromkeys(s for names in allowed for s in names))
    basis = np.arange(len(allowed))[:, None] * [1 / len(allowed), 0, 0]
    lattice = arl.Lattice(np.diag([3.0 * len(allowed), 3, 3]), basis, tuple(allowed), np.diag([cells, 1, 1]), species)
    free = arl.FunctionHamiltonian(lattice, lambda x: torch.zeros(len(x), dtype=torch.float64), units="reduced")
    return Case(name, free, arl.Canonical(1.0, composition))


CASES = [
    *(c for c in small_cases() if "composition" in c.name),
    case("overlapping in a ring", [("A", "B"), ("B", "C"), ("C", "A")], 2, {"A": 2, "B": 3, "C": 1}),
    case("one sublattice holds one species", [("A",), ("A", "B", "C")], 3, {"A": 4, "B": 1, "C": 1}),
    case("separate sublattices", [("A", "B"), ("C", "D")], 3, {"A": 1, "B": 2, "C": 3, "D": 0}),
    case("a species of zero atoms", [("A", "B", "C")], 5, {"A": 0, "B": 2, "C": 3}),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def counts_of(case: Case) -> tuple[int, ...]:
    return tuple(case.state.counts(case.hamiltonian.lattice) or ())


def completable(lattice: arl.Lattice, sites: tuple[int, ...], remaining: tuple[int, ...]) -> bool:
    """By brute force: can the sites hold the remaining atoms?"""

    @lru_cache(None)
    def search(first: int, left: tuple[int, ...]) -> bool:
        if first == len(sites):
            return not any(left)
        choices = (s for s in range(lattice.n_species) if left[s] and bool(lattice.allowed[sites[first], s]))
        return any(search(first + 1, (*left[:s], left[s] - 1, *left[s + 1 :])) for s in choices)

    return search(0, remaining)


@each_case
def test_feasible_is_what_brute_force_can_complete(case: Case) -> None:
    """At every state that can be reached along five random orders."""
    lattice, mask = case.hamiltonian.lattice, FixedComposition(case.hamiltonian.lattice)
    for order in torch.rand(5, lattice.n_sites, generator=torch.Generator().manual_seed(0)).argsort(1):
        targets = torch.tensor([counts_of(case)])
        reachable = {counts_of(case): torch.full((1, lattice.n_sites), -1)}  # and a partial configuration that leaves so many
        for step, site in enumerate(order.tolist()):
            later, following = tuple(order[step + 1 :].tolist()), {}
            for remaining, partial in reachable.items():
                after = {s: (*remaining[:s], remaining[s] - 1, *remaining[s + 1 :]) for s in range(lattice.n_species)}
                exact = [bool(lattice.allowed[site, s]) and remaining[s] > 0 and completable(lattice, later, after[s]) for s in after]
                column = torch.tensor([[site]])
                assert mask.at(partial, column, targets)[0][0, 0].tolist() == exact
                assert Constraint.at(mask, partial, column, targets)[0][0, 0].tolist() == exact
                following |= {after[s]: partial.scatter(1, column, s) for s in after if exact[s]}
            reachable = following
        assert set(reachable) == {(0,) * lattice.n_species}


@each_case
def test_all_steps_of_an_order_follow_the_rule_of_one(case: Case) -> None:
    """The faster way along an order, and the one that a stranger's constraint gets."""
    lattice, mask = case.hamiltonian.lattice, FixedComposition(case.hamiltonian.lattice)
    conditions = Conditions.from_states([case.state] * 8, case.hamiltonian)
    x = random_occupations(lattice, conditions, Stream(0))
    order = torch.rand(8, lattice.n_sites, generator=torch.Generator().manual_seed(0)).argsort(1)
    possible, share = mask.along(x, order, conditions.targets)
    stepwise = Constraint.along(mask, x, order, conditions.targets)
    assert torch.equal(possible, stepwise[0])
    torch.testing.assert_close(share, stepwise[1])


@each_case
def test_random_starts_have_the_composition_on_allowed_sites(case: Case) -> None:
    lattice = case.hamiltonian.lattice
    conditions = Conditions.from_states([case.state] * 200, case.hamiltonian)
    x = random_occupations(lattice, conditions, Stream(0))
    assert torch.equal(lattice.check_occupations(x), x)
    counts = torch.nn.functional.one_hot(x, lattice.n_species).sum(1)
    assert torch.equal(counts, torch.tensor(counts_of(case)).expand_as(counts))


def start_counts(case: Case, n: int, possible: Tensor) -> Tensor:
    """How often random starts are each of the possible configurations."""
    conditions = Conditions.from_states([case.state] * n, case.hamiltonian)
    x = random_occupations(case.hamiltonian.lattice, conditions, Stream(0))
    number = {tuple(row): i for i, row in enumerate(possible.tolist())}
    return torch.bincount(torch.tensor([number[tuple(row)] for row in x.tolist()]), minlength=len(possible))


def test_random_starts_on_one_sublattice_are_uniform() -> None:
    """Chi-square over 10 configurations, n = 2,000: fails for nothing once in 1e6, finds a relative error of 0.19 99 times in 100."""
    case = CASES[-1]
    x = torch.cat(list(enumerate_configurations(case.hamiltonian.lattice)))
    possible = x[case.state.log_f(case.hamiltonian.lattice, "reduced", torch.zeros(len(x)), x) == 0]
    assert len(possible) == 10
    FrequencyTest(torch.full((10,), 0.1)).check(start_counts(case, 2000, possible))


def test_random_starts_without_a_composition_are_uniform_over_allowed_species() -> None:
    """Chi-square over 9 configurations, n = 4,000: fails for nothing once in 1e6, finds a relative error of 0.13 99 times in 100."""
    lattice = CASES[-3].hamiltonian.lattice.with_supercell((2, 1, 1))
    free = arl.FunctionHamiltonian(lattice, lambda x: torch.zeros(len(x), dtype=torch.float64), units="reduced")
    possible = torch.cat(list(enumerate_configurations(lattice)))
    counts = start_counts(Case("free", free, arl.SemiGrandCanonical(1.0)), 4000, possible)
    FrequencyTest(torch.full((len(possible),), 1 / len(possible))).check(counts)


def test_sites_placed_at_once_are_those_placed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = (c for c in small_cases() if c.name == "two sublattices, vacancies")
    conditions = Conditions.from_states([arl.SemiGrandCanonical(2.0)] * 50, case.hamiltonian)
    at_once = random_occupations(case.hamiltonian.lattice, conditions, Stream(3))
    monkeypatch.setattr(arl.SemiGrandCanonical, "unconstrained", classmethod(lambda cls: False))
    assert torch.equal(at_once, random_occupations(case.hamiltonian.lattice, conditions, Stream(3)))
