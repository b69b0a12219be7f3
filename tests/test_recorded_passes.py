"""Bookkeeping of passes that are recorded as CUDA graphs, with plain functions in place of recordings; `test_cuda_graph` has the graphs."""

from __future__ import annotations

import pytest
import torch

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.models.build import build_model
from arlattice.models.recorded import RecordedPasses
from arlattice.random_numbers import Stream
from arlattice.testing import randomise

STATE = arl.SemiGrandCanonical(2.3)


def test_a_recorded_pass_is_not_used_again_before_its_gradient_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second recording for a second pass of a loss, none for the next step."""
    made = []
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda function, *given, **named: made.append(function) or function)
    model = randomise(build_model("multiscale", arl.hamiltonian("ising", supercell=(4, 4)), {"width": 8, "layers": 1}), seed=3)
    recorded, plan = RecordedPasses(model), model.resolve_plan(3, None, Stream(0))
    x, conditions = torch.zeros(3, 16, dtype=torch.long), Conditions.from_states([STATE], model.hamiltonian).expand(3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0)
    for _ in range(3):
        first, second = (recorded(x, plan, conditions, None, None) for _ in range(2))
        (first.sum() + second.sum()).backward()
    assert len(made) == 2
    recorded(x, plan, conditions, None, None)  # its gradient never comes: what took it is gone
    optimiser.step()
    for _ in range(2):
        recorded(x, plan, conditions, None, None)
    assert len(made) == 2
