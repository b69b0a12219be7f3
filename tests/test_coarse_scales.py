"""The coarse scales of block models learn from a batch of their own, or alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from block_models import BRIEF, TINY, model_on
from lattices import FCC, lattice
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.hooks.manager import default_manager
from arlattice.plan import Plan, Visits
from arlattice.random_numbers import Stream
from arlattice.testing import random_hamiltonian
from arlattice.training.config import TrainingOptions
from arlattice.training.objectives import Batch
from arlattice.training.trainer import Trainer

SGC = arl.SemiGrandCanonical
STATE = SGC(2.3)


def ising(*size: int) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=size)


def test_coarse_blocks_learn_from_more_configurations() -> None:
    """8x8 has a finest scale of 64 cells: coarse are the first site and the scales of 4 cells, not 16. The sum is log q of all blocks."""
    model = model_on(ising(8, 8)).double()
    plan = model.resolve_plan(5, "blocks", Stream(0))
    count = model.coarse_blocks(plan)
    assert plan.spans[count][0] == 4 and model.coarse_blocks(Plan(plan.order)) == 0
    x, states = torch.randint(2, (5, 64), generator=torch.Generator().manual_seed(0)), Conditions.from_states([STATE], model.hamiltonian)
    conditions, rows = states.expand(5), torch.arange(5)
    coarse = weigh.visited_log_probs(model, x, plan, conditions, Visits(rows.expand(count, -1)))
    fine = weigh.visited_log_probs(model, x, plan, conditions, Visits(rows.expand(len(plan.spans) - count, -1), count))
    together = torch.cat([coarse, fine], 1)
    everything = weigh.visited_log_probs(model, x, plan, conditions, Visits(rows.expand(len(plan.spans), -1)))
    torch.testing.assert_close(together, everything, rtol=0, atol=1e-12)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("objective", ["forward", "log-variance", "balanced"])
def test_coarse_blocks_have_the_forward_kl_of_their_own_configurations(objective: str, soft: bool) -> None:
    """The networks of the scales are apart, so the gradient of each shows what it learned from."""
    model = model_on(ising(8, 8))
    x = torch.randint(2, (12, 64), generator=torch.Generator().manual_seed(0))
    conditions, own = (
        Conditions.from_states([SGC(2.3, {"up": 0.1})], model.hamiltonian).expand(12),
        model.resolve_plan(1, "blocks", Stream(1)),
    )

    def gradients(objective: str, n: int, coarse: bool, share: float = 1.0) -> dict[str, Tensor]:
        batch = Batch(x[:n], conditions[:n], None, 0, 0.5, 0.0, Stream(0), replay_group=4, soft_targets=soft, block_share=share)
        batch.coarse = (x, conditions) if coarse else None
        batch.plan = lambda model, n: Plan(own.order.expand(n, -1), own.sizes)  # type: ignore[method-assign]
        model.zero_grad(set_to_none=False)
        default_manager().objectives[objective].load_factory()(model, batch).value.backward()
        return {
            name: torch.cat([torch.zeros(1), *(p.grad.flatten() for p in net.parameters() if p.grad is not None)])
            for name, net in model.networks.items()
        }

    mixed, few, many = gradients(objective, 4, True), gradients(objective, 4, False), gradients("forward", 12, False)
    alone = gradients("forward", 4, True, 0.0)
    for name in ("first", "level2"):
        torch.testing.assert_close(mixed[name], many[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone[name], many[name], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(few[name], many[name], rtol=0.1, atol=1e-3)
    for name in ("level1", "level0"):
        torch.testing.assert_close(mixed[name], few[name], rtol=1e-5, atol=1e-6)
        assert float(few[name].abs().max()) > 1e-3 and not bool(alone[name].any())


@pytest.mark.parametrize(
    "changes",
    [{"objective": "balanced"}, {"coarse_batch_size": 0}, {"supercell": (2, 2)}, {"given_share": 0.5}, {"model": "any-order-mlp"}],
    ids=str,
)
def test_no_blocks_at_all_are_refused(changes: dict[str, Any]) -> None:
    """block_share = 0 where nothing else would learn."""
    given = BRIEF | {"objective": "forward", "block_share": 0.0, "coarse_batch_size": 8} | changes
    size, family = given.pop("supercell", (8, 8)), given.pop("model", "multiscale")
    options = {"width": 8} if family != "multiscale" else TINY
    with pytest.raises(arl.InputError, match=r"training.block_share = 0.0: needs"):
        Trainer([ising(*size)], STATE, family, options, TrainingOptions.parse(given), "cpu")


def test_sites_of_one_species_are_no_coarse_scale() -> None:
    """They are drawn first in a block of their own, which learns nothing; on 1x1x8 there are coarse scales behind it."""
    counts = {}
    for size in (2, 8):
        where = lattice(FCC, (1, 1, size), [[0, 0, 0], [0.5] * 3], [("A", "B"), ("O",)])
        model = model_on(random_hamiltonian(where, 1), cells=((1, 0, 0), (0, 1, 0), (0, 0, 1)))
        plan = model.resolve_plan(1, None, Stream(0))
        counts[size] = model.coarse_blocks(plan), plan.spans[0][1]
    assert counts[2][0] == 0 and counts[2][1] == 2 and counts[8][0] > 1


def test_the_coarse_scales_alone_learn_if_asked_for() -> None:
    """The weights of the finer ones stay as they are, to the last bit."""
    options = TrainingOptions.parse(BRIEF | {"objective": "forward", "block_share": 0.0, "coarse_batch_size": 6})
    run = Trainer([ising(8, 8)], SGC(2.3, {"up": 0.1}), "multiscale", TINY, options, "cpu")
    before = {name: [p.clone() for p in net.parameters()] for name, net in run.model.networks.items()}
    run.fit(None, False, None, False)
    same = {name: all(map(torch.equal, before[name], net.parameters())) for name, net in run.model.networks.items()}
    assert same == {"first": False, "level2": False, "level1": True, "level0": True}
