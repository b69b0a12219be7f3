"""Block models where others use them: constraints of plugins, neural Metropolis, the check of models; what they refuse."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from block_models import TINY, every, model_of
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.lattice import Lattice
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.multiscale import Multiscale
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.testing import Case, ConformanceError, FrequencyTest, check_model, randomise, small_cases
from arlattice.thermo.mbar import mbar
from arlattice.thermo.neural_metropolis import neural_metropolis

SGC = arl.SemiGrandCanonical
FOUR = Case("Ising 4x4", arl.hamiltonian("ising", supercell=(4, 4)), SGC(2.3))
SYMMETRIC = Case("Ising 2x4, symmetric", arl.hamiltonian("ising", supercell=(2, 4)), SGC(2.0))
VACANCIES = next(case for case in small_cases() if case.name == "two sublattices, vacancies")


def plan_of(model: Model, kind: str) -> Plan:
    return model.resolve_plan(1, kind, Stream(0))


def rows_of(case: Case, x: Tensor) -> Tensor:
    place = case.hamiltonian.lattice.n_species ** torch.arange(x.shape[1])
    numbers, rows = (every(case) * place).sum(1).sort()
    return rows[torch.searchsorted(numbers, (x * place).sum(1))]


def test_charge_neutral_states_are_normalised_and_drawn() -> None:
    """Two sublattices with a vacancy: a constraint that a plugin brings. 100 samples."""
    sys.path.insert(0, str(Path(__file__).parent / "plugins"))
    try:
        from charge_neutral import ChargeNeutral
    finally:
        sys.path.pop(0)
    case = VACANCIES
    model, x = model_of(case), every(case)
    state = ChargeNeutral(1.5, {"Na": 1, "Cl": -1, "O": -2}, {"Cl": 0.2})
    log_q = model.log_prob(x, state, plan=plan_of(model, "blocks"))
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    assert torch.equal(log_q > -torch.inf, state.allows(case.hamiltonian.lattice, x))
    samples = model.sample(100, state, plan="blocks", seed=0)
    assert bool(state.allows(case.hamiltonian.lattice, samples.occupations).all())
    torch.testing.assert_close(samples.log_prob, model.log_prob(samples.occupations, state, plan=samples.plan), rtol=0, atol=1e-9)


def test_plans_that_are_not_its_own_are_refused_in_one_line() -> None:
    case = FOUR
    model, x, n = model_of(case), every(case)[:4], 16
    own = plan_of(model, "blocks").order[0]
    swapped = own[torch.tensor([*range(14), 15, 14])]
    sizes = plan_of(model, "blocks").sizes
    assert sizes is not None
    for plan in (Plan(torch.arange(n)[None], sizes), Plan(own[None], (8, 8)), Plan(swapped.flip(0)[None], sizes)):
        with pytest.raises(arl.InputError, match=r"^(plan|order) = '\d+ blocks': multiscale draws in blocks of its own; [^\n]*$"):
            model.log_prob(x, case.state, plan=plan)
    with pytest.raises(arl.InputError, match=r"^order = 'random': multiscale draws in blocks: blocks, finer-blocks$"):
        model.sample(2, case.state, order="random")
    with pytest.raises(arl.InputError, match="block Gibbs needs any order"):
        conditions = Conditions.from_states([case.state] * 4, case.hamiltonian)
        model.redraw(x, own[:2].expand(4, -1), torch.zeros(2, 4, dtype=torch.float64), conditions)


def test_neural_metropolis_proposes_in_blocks() -> None:
    """1,000 chains of nine proposals and sweeps: chi-square of where they end against p, false alarm 1e-6."""
    case = SYMMETRIC
    model, x = model_of(case), every(case)
    found = neural_metropolis(model, case.state, 1, chains=1000, burn_in=8, sweeps=1, plan="blocks", seed=4)
    log_f = case.state.log_f(case.hamiltonian.lattice, case.hamiltonian.units, case.hamiltonian.energy(x), x)
    FrequencyTest(log_f.double().softmax(0), false_alarm=1e-6).check(torch.bincount(rows_of(case, found.occupations), minlength=len(x)))


def test_cells_on_request_and_others_refused() -> None:
    case = FOUR
    cells = ((2, 0, 0), (0, 2, 0), (0, 0, 1))
    model: Any = model_of(case, cells=cells)
    assert model.options.cells == cells and len(model.layouts["blocks"].scales.cell) == 4
    with pytest.raises(arl.InputError, match=re.escape("the supercell [[4, 0, 0], [0, 4, 0], [0, 0, 1]] must be a multiple of it")):
        build_model("multiscale", case.hamiltonian, TINY | {"cells": ((3, 0, 0), (0, 1, 0), (0, 0, 1))})


def test_the_check_of_models_takes_it_and_rejects_one_whose_completions_are_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """`arlattice.testing.check_model`, n = 300, false alarms 1e-6."""
    case = SYMMETRIC
    check_model(model_of(case), [case.state, SGC(2.0, {"up": 0.2})], n=300)
    monkeypatch.setattr(Multiscale, "given_in", lambda self, plan, known: plan)
    with pytest.raises(ConformanceError, match=r"inpainting|completions"):
        check_model(model_of(case), [case.state], n=300)


@pytest.mark.parametrize("cells", ["foo", [[1, 0], [0, 1]], [[1.5, 0, 0], [0, 1, 0], [0, 0, 1]]])
def test_cells_of_another_form_are_refused_by_their_name(cells: Any) -> None:
    with pytest.raises(arl.InputError, match=r"^cells = .*: give 'auto', or three rows of three whole numbers"):
        arl.model("multiscale", FOUR.hamiltonian, cells=cells)


@pytest.mark.parametrize("length", [0, 10**9], ids=["flat", "huge"])
def test_cells_that_are_no_part_of_the_supercell_are_refused(length: int) -> None:
    with pytest.raises(arl.InputError, match=r"^cells = .* must be a multiple of it$"):
        arl.model("multiscale", FOUR.hamiltonian, cells=[[length, 0, 0], [0, 2, 0], [0, 0, 1]])


def test_a_lattice_with_one_species_a_site_is_refused() -> None:
    lattice = Lattice(3.0 * np.eye(3), np.zeros((1, 3)), (("A",),), np.eye(3, dtype=int), ("A",)).with_supercell(2)
    hamiltonian = arl.ClusterHamiltonian.from_cell(lattice, [([((0, 0, 0), 0)], np.array([1.0]))], units="reduced")
    with pytest.raises(arl.InputError, match=r"^hamiltonian = .*nothing to draw"):
        arl.model("multiscale", hamiltonian)


@pytest.mark.parametrize("size", [(2, 2), (8, 8)], ids=["smaller", "larger"])
def test_a_model_on_another_supercell_is_saved_with_the_weights_it_has(size: tuple[int, int], tmp_path: Path) -> None:
    """Fewer or more scales than were trained: the file holds the networks that were trained, and goes on to further supercells."""
    trained = randomise(build_model("multiscale", FOUR.hamiltonian, TINY), seed=3)
    elsewhere = trained.on(FOUR.hamiltonian.on(size))
    elsewhere.save(tmp_path)
    random = torch.get_rng_state()
    loaded = arl.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), random)
    samples = elsewhere.sample(8, FOUR.state, seed=1)
    assert loaded.fingerprint == trained.fingerprint
    assert torch.equal(loaded.sample(8, FOUR.state, seed=1).log_prob, samples.log_prob)
    again = loaded.on(FOUR.hamiltonian)
    assert torch.equal(again.sample(8, FOUR.state, seed=1).log_prob, trained.sample(8, FOUR.state, seed=1).log_prob)


def test_a_model_in_bfloat16_weighs_what_it_draws_and_says_so(tmp_path: Path) -> None:
    """The same weights in another arithmetic are another distribution; each knows its own log-probabilities."""
    model_of(FOUR).save(tmp_path)
    exact, rough = (arl.load(tmp_path, precision=precision) for precision in ("float32", "bfloat16"))
    drawn, again = (model.sample(64, FOUR.state, seed=2) for model in (rough, rough))
    assert drawn.metadata["precision"] == "bfloat16" and torch.equal(drawn.log_prob, again.log_prob)
    torch.testing.assert_close(rough.log_prob(drawn.occupations, FOUR.state, plan=drawn.plan), drawn.log_prob, rtol=0, atol=1e-5)
    apart = (exact.log_prob(drawn.occupations, FOUR.state, plan=drawn.plan) - drawn.log_prob).abs()
    assert 1e-3 < apart.max() < 0.2
    assert exact.sample(2, FOUR.state).metadata["precision"] == "float32" and exact.fingerprint != rough.fingerprint
    with pytest.raises(arl.InputError, match="the samples are of model"):
        mbar([drawn, rough.sample(64, SGC(2.5), seed=3)], [FOUR.state], model=exact)
    with pytest.raises(arl.InputError, match=r"precision = 'float16'.*float32, bfloat16"):
        arl.load(tmp_path, precision="float16")
