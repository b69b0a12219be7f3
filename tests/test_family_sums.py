"""Members that are sums of expansions have the energies and the chains of these sums, written by hand; bad sums are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding.gauge import SpinGauge
from arlattice.hamiltonians import fixed_configurations
from arlattice.kernels.gathers import GatherKernels
from arlattice.montecarlo.heat_bath import HeatBath
from arlattice.montecarlo.start import random_occupations
from arlattice.random_numbers import Stream
from arlattice.simple_lattices import fcc
from arlattice.testing import small_cases

FACTORS = np.array([[1.0, -0.4, 0.0], [0.3, 0.7, -1.2], [0.0, 0.0, 2.0], [-0.5, 0.1, 0.9]])
Terms = list[arl.ClusterHamiltonian]


def crystal() -> Terms:
    """Terms of one cell with other clusters each: a field, nearest pairs, and a triplet beside one of these pairs."""
    lattice, spin = fcc((2, 2, 2), ("A", "B")), np.array([-1.0, 1.0])
    pair = np.multiply.outer(spin, spin)
    places = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -1, 0), (1, 0, -1), (0, 1, -1))
    near: list[Any] = [([((0, 0, 0), 0), (to, 0)], pair) for to in places]
    triplet: list[Any] = [([((0, 0, 0), 0), ((1, 0, 0), 0), ((0, 1, 0), 0)], np.multiply.outer(pair, spin)), (near[0][0], 0.3 * pair)]
    field: list[Any] = [([((0, 0, 0), 0)], np.array([0.0, 1.0]))]
    return [arl.ClusterHamiltonian.from_cell(lattice, t, 0.1 * k, units="reduced") for k, t in enumerate((field, near, triplet))]


def sublattices() -> Terms:
    """Two sublattices of different species, no translations; two terms have clusters of their own alone."""
    first: Any = next(case for case in small_cases() if case.name == "two sublattices, vacancies").hamiltonian
    q, random = first.lattice.n_species, np.random.default_rng(5)
    pair, others = [((0, 3), random.normal(size=(q, q)))], [((1, 2, 4), random.normal(size=(q, q, q))), ((2,), random.normal(size=q))]
    return [first, *(arl.ClusterHamiltonian.from_terms(first.lattice, terms, 0.2, units=first.units) for terms in (pair, others))]


@pytest.fixture(params=[crystal, sublattices])
def terms(request: pytest.FixtureRequest) -> Terms:
    return request.param()  # type: ignore[no-any-return]


def by_hand(terms: Terms, factors: np.ndarray) -> arl.ClusterHamiltonian:
    """All clusters of the supercell, each with the factor of its term."""
    written: list[Any] = []
    for term, factor in zip(terms, factors, strict=True):
        tensors, _ = term.to_tensors()
        for k in {key.split(".")[1] for key in tensors}:
            sites, table, energies = (tensors[f"clusters.{k}.{part}"] for part in ("sites", "table", "energies"))
            written += [(s, factor * energies[t].numpy()) for s, t in zip(sites.tolist(), table.tolist(), strict=True)]
    constant = sum(float(f) * term.constant for f, term in zip(factors, terms, strict=True))
    return arl.ClusterHamiltonian.from_terms(terms[0].lattice, written, constant, units=terms[0].units)


def answers(h: Any, x: Tensor, lattice: arl.Lattice, *, kernels: bool = False) -> dict[str, Tensor]:
    """What a Hamiltonian, or kernels, says of configurations; of a site less the first species it may hold, 0 where it may not."""
    n, sites = x.shape
    stream, allowed, first = Stream(1, "asked"), lattice.allowed, lattice.allowed.int().argmax(1)
    site, other = stream["sites"].integers(sites, 2, n)
    rows = torch.arange(n)
    fits = allowed[site, x[rows, other]] & allowed[other, x[rows, site]]
    order = stream["order"].uniform(sites, n).T.argsort(1)
    partial = torch.where(stream["known"].uniform(sites, n).T < 0.5, x, -1).scatter(1, site[:, None], -1)
    asked = order.argsort(1) if kernels else order
    placed = h.completed_site_energies(partial, site[:, None])[:, 0]
    of_site = h.site_energies(x, site)
    return {
        "energy": h.energy(x),
        "site_energies": torch.where(allowed[site], of_site - of_site.gather(1, first[site][:, None]), 0.0),
        "flip_differences": torch.where(allowed, h.flip_differences(x), 0.0),
        "swap_differences": h.swap_differences(x, site, torch.where(fits, other, site)),
        "completed_energies": torch.where(allowed, h.completed_energies(x, asked), 0.0),
        "completed_site_energies": torch.where(allowed[site], placed, 0.0),
    }


def same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, values in expected.items():
        assert found[name].shape == values.shape
        assert float((found[name].double() - values.double()).abs().max()) <= tolerance * max(1.0, float(values.abs().max())), name


def of_rows(alone: list[dict[str, Tensor]], member: Tensor) -> dict[str, Tensor]:
    """What the right member says of every row."""
    return {name: torch.stack([each[name] for each in alone])[member, torch.arange(len(member))] for name in alone[0]}


@pytest.mark.parametrize("n", [4, 72])  # looked up one by one; counted side by side
def test_sums_have_the_energies_of_the_sums_by_hand(terms: Terms, n: int) -> None:
    """Compiled in both precisions, and by gathers; a member by itself, and the terms as members."""
    member = torch.arange(n) * len(FACTORS) // n
    family, lattice = arl.ClusterFamily.sums(terms, FACTORS, member), terms[0].lattice
    x = fixed_configurations(lattice, n)
    alone = [answers(by_hand(terms, factors), x, lattice) for factors in FACTORS]
    expected = of_rows(alone, member)
    same(answers(family, x, lattice), expected, 1e-12)
    same(answers(family.to(dtype=torch.float32), x, lattice), expected, 1e-5)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        gathers = GatherKernels(family.tables, torch.device("cpu"), dtype, member)
        same(answers(gathers, x, lattice, kernels=True), expected, tolerance)
    for number, each in enumerate(alone):
        same(answers(family.one(number), x, lattice), each, 1e-12)
    each_alone = arl.ClusterFamily(terms, member % 3)
    same(answers(each_alone, x, lattice), of_rows([answers(term, x, lattice) for term in terms], member % 3), 1e-12)


@pytest.mark.parametrize("kind", ["numba", "gathers"])
def test_for_members_every_row_is_of_the_member_that_is_named(terms: Terms, kind: str) -> None:
    """In any order, more rows than the family has, a multiple of them too; the family itself stays as it is."""
    family, lattice = arl.ClusterFamily.sums(terms, FACTORS, [2]), terms[0].lattice
    x, rows = fixed_configurations(lattice, 10), torch.tensor([3, 0, 0, 2, 1, 3, 1, 0, 2, 2])
    expected = of_rows([answers(by_hand(terms, factors), x, lattice) for factors in FACTORS], rows)
    if kind == "numba":
        same(answers(family.for_members(rows), x, lattice), expected, 1e-12)
        same(answers(family.to(dtype=torch.float32).for_members(rows), x, lattice), expected, 1e-5)
        same(answers(family.of(rows), x, lattice), expected, 1e-12)
    else:
        gathers = GatherKernels(family.tables, torch.device("cpu"), torch.float64, torch.zeros(1, dtype=torch.long))
        same(answers(gathers.of(rows), x, lattice, kernels=True), expected, 1e-12)
    same(answers(family, x, lattice), answers(family.one(2), x, lattice), 1e-12)
    assert family.for_members(None) is family
    twice = family.for_members(rows).energy(torch.cat([x, x.flip(1)[:, torch.arange(x.shape[1]).flip(0)]]))
    assert torch.equal(twice[:10], twice[10:])


@pytest.mark.parametrize("chains", [4, 96])
def test_heat_baths_of_sums_are_those_of_the_sums_by_hand(terms: Terms, chains: int) -> None:
    """A chain depends on its number: all chains are run with every member alone."""
    member = torch.arange(chains) * len(FACTORS) // chains
    family = arl.ClusterFamily.sums(terms, FACTORS, member)
    temperature = 2.0 if family.units == "reduced" else 12000.0
    conditions = Conditions.from_states([arl.SemiGrandCanonical(temperature)] * chains, family)
    start = random_occupations(family.lattice, conditions, Stream(1, "start"))

    def run(h: arl.Hamiltonian) -> Tensor:
        return HeatBath(h).repeat(start, conditions, Stream(3, "chains"), 6)

    alone = torch.stack([run(by_hand(terms, factors)) for factors in FACTORS])
    assert torch.equal(run(family), alone[member, torch.arange(chains)])
    assert len({row.numpy().tobytes() for row in alone}) == len(FACTORS)


def test_the_fingerprint_is_of_the_factors_too() -> None:
    terms = crystal()
    one, other = (arl.ClusterFamily.sums(terms, factors, [0]).fingerprint for factors in (FACTORS, 2 * FACTORS))
    assert one != other and one == arl.ClusterFamily.sums(terms, FACTORS.tolist(), [0]).fingerprint
    assert arl.ClusterFamily.sums(terms, np.eye(3), [0]).fingerprint == arl.ClusterFamily(terms, [0]).fingerprint


@pytest.mark.parametrize(
    "factors",
    [[[1.0, 2.0]], [1.0, 2.0, 3.0], [[1.0, np.nan, 0.0]], [[1.0, 2.0, 3.0], [1.0]], "all", None, [[1j, 0, 0]]],
    ids=["columns", "one row", "not finite", "ragged", "word", "none", "complex"],
)
def test_bad_factors_are_refused_in_one_line(factors: Any) -> None:
    with pytest.raises(arl.InputError, match=r"^factors = .*: give finite numbers, one row a member and 3 columns$") as refused:
        arl.ClusterFamily.sums(crystal(), factors, [0])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("member", [[4], [-1], [0.5], []])
def test_members_that_are_none_of_the_sums_are_refused(member: Any) -> None:
    with pytest.raises(arl.InputError, match=r"^member = .*whole numbers from 0 to 3"):
        arl.ClusterFamily.sums(crystal(), FACTORS, member)


def test_a_family_has_the_spin_flip_symmetry_that_all_of_its_members_have() -> None:
    """The first alone does not decide: the second has a field."""
    field, pairs, _ = crystal()
    with_field, without = ([[0.0, 1.0], [h, 0.5]] for h in (0.7, 0.0))
    assert SpinGauge.of(arl.ClusterFamily.sums([field, pairs], with_field, [0])) is None
    assert SpinGauge.of(arl.ClusterFamily.sums([field, pairs], without, [0])) is not None
