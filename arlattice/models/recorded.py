"""Log-probabilities of a model as CUDA graphs, the forward pass one and the backward pass another: launch overhead is paid once."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from arlattice.conditions import Conditions
from arlattice.cuda_graph import Graphs
from arlattice.plan import Plan, Visits

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["RecordedPasses"]

_WARM_UP = 3  # passes before one is recorded, as `torch.cuda.make_graphed_callables` asks


class RecordedPasses:
    """Recordings of `Model.log_probs` by the kind of plan and the shapes of its inputs.

    Args:
        model: whose weights stay at their addresses, as in-place optimiser steps do.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._passes: dict[Hashable, tuple[_Pass, dict[str, Tensor]]] = {}
        self._with_gradient: dict[Hashable, list[_Recording]] = {}
        self._without: dict[Hashable, Graphs] = {}

    def __call__(self, occupations: Tensor, plan: Plan, conditions: Conditions, targets: Tensor | None, visits: Visits | None) -> Tensor:
        """See `Model.log_probs`."""
        given = {"occupations": occupations, "order": plan.order, "given": plan.given, **conditions.to_tensors()}
        rows, first = (None, 0) if visits is None else (visits.rows, visits.first)
        inputs = {name: t for name, t in (given | {"weights": targets, "visits": rows}).items() if t is not None}
        key = plan.sizes, first, conditions.ensemble, self._model.precision, tuple((name, t.shape, t.dtype) for name, t in inputs.items())
        if key not in self._passes:
            one = _Pass(self._model, plan.sizes, first, conditions, tuple(inputs))
            self._passes[key] = one, dict(one.named_parameters())
        one, weights = self._passes[key]
        if not torch.is_grad_enabled():
            graphs = self._without.setdefault(key, Graphs())
            found: Tensor = graphs(lambda named: (one(*named.values()),), inputs)[0]
            return found
        recordings, steps = self._with_gradient.setdefault(key, []), sum(p._version for p in weights.values())
        free = next((recording for recording in recordings if recording.awaited != steps), None)
        if free is None:
            free = _Recording(self._record(one, inputs, weights))
            recordings.append(free)
        return free(steps, *inputs.values(), *weights.values())

    @staticmethod
    def _record(one: _Pass, inputs: dict[str, Tensor], weights: dict[str, Tensor]) -> Any:
        sample = (*(t.clone() for t in inputs.values()), *(p.detach().requires_grad_() for p in weights.values()))
        with warnings.catch_warnings(), torch.autocast("cuda", enabled=False, cache_enabled=False):  # the pass has its own autocast
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream", UserWarning)  # gradients are returned, not added up
            as_function = partial(_with_weights, one, len(inputs), tuple(weights))
            return torch.cuda.make_graphed_callables(as_function, sample, num_warmup_iters=_WARM_UP, allow_unused_input=True)


class _Recording:
    """One recording. It holds what its last pass computed until the gradient of that comes, and may not be used before.

    Attributes:
        awaited: steps of the optimiser at the pass whose gradient is still to come; None: it came. After more steps none will come.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self.awaited: int | None = None

    def __call__(self, steps: int, *tensors: Tensor) -> Tensor:
        result: Tensor = self._function(*tensors)
        self.awaited = steps
        result.register_hook(self._came)
        return result

    def _came(self, gradient: Tensor) -> None:
        self.awaited = None


def _with_weights(one: _Pass, inputs: int, names: tuple[str, ...], *tensors: Tensor) -> Tensor:
    """A pass with its weights as arguments.

    Recorded with leaves of their own at the addresses of the weights, it knows nothing of other passes whose gradients are still to come:
    autograd would have the recording wait for the streams of those.
    """
    result: Tensor = functional_call(one, dict(zip(names, tensors[inputs:], strict=True)), tensors[:inputs])
    return result


class _Pass(nn.Module):
    """`Model.log_probs` as a function of tensors alone."""

    def __init__(self, model: Model, sizes: tuple[int, ...] | None, first: int, conditions: Conditions, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self._sizes, self._first, self._conditions, self._names = model, sizes, first, conditions, names

    def forward(self, *tensors: Tensor) -> Tensor:
        """The inputs in the order of their names."""
        named = dict(zip(self._names, tensors, strict=True))
        plan = Plan(named["order"], self._sizes, named.get("given"))
        conditions = self._conditions.with_tensors(named)
        visits = Visits(named["visits"], self._first) if "visits" in named else None
        with self.model.autocast(cache=False):  # a recorded graph must cast the weights anew, not read a cache that is gone
            return self.model.log_probs(named["occupations"], plan, conditions, named.get("weights"), visits)
