"""States of a run: its chains fill the range evenly, and a range that makes no sense is told."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ising_runs import BRIEF, RANGE, TINY, ising

import arlattice as arl
from arlattice.training.config import TrainingOptions
from arlattice.training.states import StateRange, replica_grid
from arlattice.training.trainer import Trainer


def test_chains_lie_each_in_its_own_cell_of_the_box() -> None:
    conditions, shape = replica_grid(RANGE, ising(3, 3), (4, 3), 5, seed=1)
    assert shape == (4, 3, 5) and len(conditions) == 60
    log_t = -conditions.beta.log().view(shape)
    cell = (log_t - math.log(1.5)) / (math.log(3.5) - math.log(1.5)) * 4
    assert torch.equal(cell.floor().long(), torch.arange(4)[:, None, None].expand(shape))
    difference = (conditions.mu[:, 1] - conditions.mu[:, 0]).view(shape)
    assert torch.equal(((difference + 0.3) / 0.6 * 3).floor().long(), torch.arange(3)[:, None].expand(shape))
    assert len(torch.unique(conditions.beta)) == 60


def test_chains_of_a_ladder_have_the_same_chemical_potentials_and_temperatures_at_equal_steps() -> None:
    conditions, shape = replica_grid(RANGE, ising(3, 3), (4, 3), 5, seed=1)
    steps = conditions.beta.log().view(shape).diff(dim=0)
    torch.testing.assert_close(steps, torch.full_like(steps, math.log(1.5 / 3.5) / 4))
    mu = conditions.mu.view(*shape, -1)
    torch.testing.assert_close(mu, mu[:1].expand(mu.shape))
    assert len(torch.unique(mu[0, ..., 0].round(decimals=9))) == 15


def test_groups_of_chains_share_a_place_in_their_cell() -> None:
    conditions, shape = replica_grid(RANGE, ising(3, 3), (4, 3), 6, seed=1, group=3)
    beta = conditions.beta.view(24, 3)
    assert shape == (4, 3, 6) and torch.equal(beta, beta[:, :1].expand(-1, 3)) and len(torch.unique(beta)) == 24


def test_a_batch_of_the_log_variance_holds_whole_groups_and_other_sizes_are_refused() -> None:
    training = BRIEF | {"objective": "log-variance", "replay_group": 2, "replica_copies": 4}
    trainer = Trainer([ising(3, 3)], RANGE, "any-order-transformer", TINY, TrainingOptions.parse(training), "cpu")
    made = trainer.systems[0].batch(trainer.stream)
    assert made.replay_group == 2 and made.conditions is not None
    assert torch.equal(made.conditions.beta[::2], made.conditions.beta[1::2])
    assert len(torch.unique(made.conditions.beta)) > 1
    for name, size in (("batch_size", 7), ("replica_copies", 3)):
        with pytest.raises(arl.InputError, match=f"{name} = {size}: give a multiple of replay_group = 2"):
            Trainer([ising(3, 3)], RANGE, "any-order-transformer", TINY, TrainingOptions.parse(training | {name: size}), "cpu")


def test_a_box_without_width_is_one_state() -> None:
    conditions, shape = replica_grid(StateRange(temperature=2.0), ising(3, 3), (4, 3), 5, seed=1)
    assert shape == (1, 5) and torch.allclose(conditions.beta, torch.tensor(0.5, dtype=torch.float64))


def test_states_given_one_by_one_are_kept() -> None:
    states = [arl.SemiGrandCanonical(1.0), arl.SemiGrandCanonical(2.0, {"up": 0.5})]
    conditions, shape = replica_grid(states, ising(3, 3), (4, 3), 2, seed=1)
    assert shape == (2, 2) and conditions.beta.tolist() == [1.0, 1.0, 0.5, 0.5]
    with pytest.raises(arl.InputError, match="at least one state"):
        replica_grid([], ising(3, 3), (4, 3), 2, seed=1)


def test_compositions_make_an_axis() -> None:
    box = StateRange(temperature=(1.0, 2.0), compositions=({"up": 3}, {"up": 4}, {"up": 5}))
    conditions, shape = replica_grid(box, ising(3, 3), (2, 7), 2, seed=1)
    assert shape == (2, 3, 2) and conditions.ensemble is arl.Canonical
    assert conditions.targets[:, 1].view(shape)[0, :, 0].tolist() == [3, 4, 5]
    assert {s.temperature for s in box.corners()} == {1.0, 1.5, 2.0} and len(box.corners()) == 9


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": (2.0, 1.0)},
        {"temperature": 1.0, "chemical_potentials": {"up": (0.2, 0.1)}},
        {"temperature": 1.0, "chemical_potentials": {"up": 0.2}, "compositions": ({"up": 1},)},
    ],
)
def test_a_box_that_makes_no_sense_is_told(values: dict[str, Any]) -> None:
    for make in (StateRange.parse, lambda given: StateRange(**given)):
        with pytest.raises(arl.InputError):
            make(values)


def test_a_box_of_a_wrong_name_or_type_is_told_in_one_line() -> None:
    with pytest.raises(arl.InputError, match=r"^temprature = 2.0: unknown option; did you mean 'temperature'\?$"):
        StateRange(temprature=2.0)
    with pytest.raises(arl.InputError, match=r"^temperature = None: is required$"):
        StateRange()
    with pytest.raises(arl.InputError, match=r"^temperature = True: "):
        StateRange(temperature=True)
