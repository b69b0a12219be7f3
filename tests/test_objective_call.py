"""Objectives call the model through `torch.nn.Module.__call__`, where hooks on gradients are."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

import arlattice as arl
from arlattice.hooks.manager import default_manager
from arlattice.training.config import TrainingOptions
from arlattice.training.trainer import Trainer

MARGINAL = ("mam", "self-consistency")
BRIEF: dict[str, Any] = {
    "steps": 3,
    "batch_size": 8,
    "replay_group": 4,
    "reverse_states": 2,
    "reverse_samples": 4,
    "equilibration_sweeps": 1,
    "replica_copies": 8,
    "evaluate_every": 100,
    "evaluate_samples": 4,
    "seed": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "any-order-transformer": {"width": 16, "heads": 2},
    "marginal-transformer": {"width": 16, "heads": 2},
    "marginal-mlp": {"width": 16},
}
OBJECTIVES = [entry.name for entry in default_manager().objectives]
CASES = [(name, family) for name in OBJECTIVES for family in FAMILIES if ("marginal" in family) == (name in MARGINAL)]


def trainer(objective: str, family: str) -> Trainer:
    options = TrainingOptions.parse(BRIEF | {"objective": objective})
    return Trainer([arl.hamiltonian("ising", supercell=(3, 3))], arl.SemiGrandCanonical(2.5), family, FAMILIES[family], options, "cpu")


@pytest.mark.parametrize(("objective", "family"), CASES)
def test_every_step_calls_the_model(objective: str, family: str) -> None:
    """Once; the hybrid once for each of its terms."""
    run, calls = trainer(objective, family), list[int]()
    run.model.register_forward_pre_hook(lambda model, given: calls.append(run.step))
    run.fit(None, False, None, False)
    assert calls == [step for step in range(3) for _ in range(2 if objective == "hybrid" else 1)]


@pytest.mark.parametrize(("objective", "family"), CASES)
def test_all_that_is_differentiated_comes_from_this_call(objective: str, family: str) -> None:
    """A hook that cuts the gradient of what the call returns leaves none."""
    run = trainer(objective, family)
    assert run.objective(run.model, run.systems[0].batch(run.stream)).value.requires_grad

    def cut(model: Any, given: Any, found: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return found.detach() if isinstance(found, Tensor) else tuple(t.detach() for t in found)

    run.model.register_forward_hook(cut)
    assert not run.objective(run.model, run.systems[0].batch(run.stream)).value.requires_grad


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name not in MARGINAL])
def test_a_wrapper_that_knows_configurations_plans_and_states_alone_will_do(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither targets nor visits are asked for."""
    run, calls = trainer(objective, "any-order-transformer"), list[int]()
    right = run.model.forward

    def three(occupations: Any, plan: Any, conditions: Any) -> Tensor:
        calls.append(len(occupations))
        return right(occupations, plan, conditions)

    monkeypatch.setattr(run.model, "forward", three)
    assert run.objective(run.model, run.systems[0].batch(run.stream)).value.requires_grad and calls
