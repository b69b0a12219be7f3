"""No move, and nothing beside the moves, asks for the energy of a configuration that cannot be.

A black box may raise for a species where it may not be (a calculator without parameters for it), or for a composition that its
author never meant (a function of charge-neutral cells).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.conditions import Conditions
from arlattice.hooks.manager import default_manager
from arlattice.models.build import build_model
from arlattice.montecarlo import sample_chains, sample_replicas
from arlattice.montecarlo.population_annealing import population_annealing
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.montecarlo.swap import swap_sweep
from arlattice.samples import SampleSet
from arlattice.testing.cases import randomise, small_cases
from arlattice.thermo.neural_metropolis import neural_metropolis

CASES = {case.name: case for case in small_cases()}
FREE = CASES["two sublattices, vacancies"]
FIXED = [CASES[name] for name in ("two sublattices, fixed composition", "two sublattices, tight composition", "ternary, fixed composition")]
SCHEDULE: dict[str, Any] = {"chains": 4, "sweeps": 6, "burn_in": 2, "thin": 2}


class ForbiddenError(Exception):
    """Not an InputError: a stranger raises what they like."""


def refuse(lattice: arl.Lattice, x: Tensor, counts: list[int] | None) -> None:
    if not bool(lattice.allowed[torch.arange(x.shape[1]), x].all()):
        raise ForbiddenError("species")
    if counts is not None and bool((torch.nn.functional.one_hot(x, lattice.n_species).sum(1) != torch.tensor(counts)).any()):
        raise ForbiddenError("composition")


def strict(case: Any, fixed: bool = False) -> arl.FunctionHamiltonian:
    """The energies of a case, raising for anything that may not be; ``fixed``: for other compositions too."""
    h = case.hamiltonian
    counts = case.state.counts(h.lattice) if fixed else None

    def energy(x: Tensor) -> Tensor:
        refuse(h.lattice, x, counts)
        return torch.as_tensor(h.energy(x))

    return arl.FunctionHamiltonian(h.lattice, energy, units=h.units)


def test_the_function_of_these_tests_does_refuse() -> None:
    h = strict(FREE)
    forbidden = (~h.lattice.allowed[0]).long().argmax()
    x = h.lattice.allowed.long().argmax(1)
    h.energy(x[None])
    x[0] = forbidden
    with pytest.raises(ForbiddenError):
        h.unchecked().energy(x[None])


@pytest.mark.parametrize("move", ["heat-bath", "metropolis"])
def test_flips_ask_only_for_what_may_be_and_give_the_chain_of_the_tables(move: str) -> None:
    ours, tables = (sample_chains(h, FREE.state, move=move, seed=1, **SCHEDULE) for h in (strict(FREE), FREE.hamiltonian))
    assert torch.equal(ours.occupations, tables.occupations)


@pytest.mark.parametrize("case", FIXED, ids=str)
@pytest.mark.parametrize("fixed", [False, True], ids=["species", "composition"])
def test_swaps_ask_only_for_what_may_be_and_give_the_chain_of_the_tables(case: Any, fixed: bool) -> None:
    ours, tables = (sample_chains(h, case.state, seed=1, **SCHEDULE) for h in (strict(case, fixed), case.hamiltonian))
    assert torch.equal(ours.occupations, tables.occupations)


class StrictClusters(ClusterHamiltonian):
    """Tables that refuse to add up what may not be."""

    def energy(self, occupations: Tensor) -> Tensor:
        refuse(self.lattice, occupations, None)
        return super().energy(occupations)


@pytest.mark.parametrize("move", ["swendsen-wang", "wolff"])
def test_cluster_moves_stay_among_what_may_be(move: str) -> None:
    lattice = CASES["two sublattices, tight composition"].hamiltonian.lattice  # Na on both sublattices, X and Cl on one each
    equal = -torch.eye(lattice.n_species).numpy()
    h = StrictClusters.from_terms(lattice, [((i, j), equal) for i in range(lattice.n_sites) for j in range(i)], units="reduced")
    sample_chains(h, arl.SemiGrandCanonical(4.0, {"X": 0.5, "Cl": 0.5}), move=move, chains=8, sweeps=40, burn_in=0, thin=1)
    moves = {entry.name for entry in default_manager().moves}
    assert moves == {"heat-bath", "metropolis", "swap", "swendsen-wang", "wolff"}  # each of them is in this file


def test_replica_exchange_asks_only_for_what_may_be() -> None:
    states = [arl.SemiGrandCanonical(t, {"Cl": mu}) for t in (1.0, 2.0) for mu in (0.0, 0.3)]
    sample_replicas(strict(FREE), states, grid=(2, 2), **SCHEDULE)
    sample_replicas(strict(FIXED[0], True), [arl.Canonical(t, dict(FIXED[0].state.composition)) for t in (1.0, 2.0)], **SCHEDULE)


def test_population_annealing_asks_only_for_what_may_be() -> None:
    ladder = [arl.SemiGrandCanonical(t, {"Cl": 0.2}) for t in (8.0, 4.0)]
    rungs = list(population_annealing(strict(FREE), ladder, seed=0, population=10, blocks=2))
    assert len(rungs) == 2


@pytest.mark.parametrize("case", [FREE, *FIXED], ids=str)
def test_models_and_neural_metropolis_ask_only_for_what_may_be(case: Any) -> None:
    """An untrained transformer, with local sweeps: heat baths, or swaps at fixed composition."""
    h = strict(case, fixed=case is not FREE)
    model = randomise(build_model("any-order-transformer", h, {"width": 16, "heads": 2, "layers": 1}))
    assert len(neural_metropolis(model, case.state, 4, chains=3, burn_in=2, sweeps=1)) == 12
    assert model.sample(5, case.state).energy.isfinite().all()


def test_a_spin_model_that_refuses_compositions_builds_a_model_without_guessing_at_its_symmetry() -> None:
    case = CASES["square 3x4, fixed composition"]
    model = build_model("any-order-transformer", strict(case, True), {"width": 16, "heads": 2, "layers": 1})
    assert model.sample(3, case.state).energy.isfinite().all()


@pytest.mark.parametrize("case", [FREE, *FIXED], ids=str)
def test_the_defaults_of_a_hamiltonian_ask_only_for_what_may_be(case: Any) -> None:
    h, lattice = strict(case), case.hamiltonian.lattice
    x = ReplicaExchange(h, Conditions.from_states([case.state] * 6, h), (6,), 0).occupations
    for site in range(lattice.n_sites):
        h.site_energies(x, site)
    h.flip_differences(x)
    assert (h.completed_energies(x, torch.arange(lattice.n_sites).expand_as(x)) == 0).all()
    rows = torch.arange(6)
    for first in range(lattice.n_sites):
        for second in range(lattice.n_sites):
            a, b = torch.full((6,), first), torch.full((6,), second)
            fits = lattice.allowed[a, x[rows, b]] & lattice.allowed[b, x[rows, a]]
            found, known = (each.unchecked().swap_differences(x, a, b) for each in (h, case.hamiltonian))
            torch.testing.assert_close(found[fits], known[fits], atol=1e-9, rtol=0)


def test_fingerprints_ask_only_for_species_that_may_be_and_take_refusals() -> None:
    """A function that knows all compositions has the fingerprint of its tables; refusals are part of a fingerprint."""
    for case in (FREE, FIXED[0]):
        assert strict(case).fingerprint == case.hamiltonian.fingerprint
        assert strict(case, fixed=case is FIXED[0]).fingerprint == strict(case, fixed=case is FIXED[0]).fingerprint
    assert strict(FIXED[0], True).fingerprint != strict(FIXED[0]).fingerprint
    lattice = FREE.hamiltonian.lattice

    def never(x: Tensor) -> Tensor:
        raise ForbiddenError("none of these")

    named = [arl.FunctionHamiltonian(lattice, never, name=name).fingerprint for name in ("a", "b")]
    assert named[0] != named[1]


def asks_for_every_swap(hamiltonian: arl.Hamiltonian, inputs: dict[str, Tensor]) -> tuple[Tensor]:
    """A known-wrong sweep: it computes first and looks afterwards whether the species fit."""
    x = inputs["occupations"]
    for a, b in inputs["pairs"]:
        swapped = x.scatter(1, a[:, None], x.gather(1, b[:, None])).scatter(1, b[:, None], x.gather(1, a[:, None]))
        hamiltonian.energy(swapped)
    return (x,)


@pytest.mark.parametrize(("sweep", "raises"), [(swap_sweep, False), (asks_for_every_swap, True)])
def test_a_sweep_that_asks_for_every_swap_is_caught(
    sweep: Callable[..., tuple[Tensor]], raises: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arlattice.montecarlo.swap.swap_sweep", sweep)
    case = FIXED[0]
    if raises:
        with pytest.raises(ForbiddenError):
            sample_chains(strict(case), case.state, **SCHEDULE)
    else:
        assert isinstance(sample_chains(strict(case), case.state, **SCHEDULE), SampleSet)
