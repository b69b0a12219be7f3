"""Names of the last release that `Model` still answers to, with a warning, and families that were written for them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.old_names import warn_of_old_name
from arlattice.plan import Plan
from arlattice.random_numbers import Stream

if TYPE_CHECKING:
    from arlattice.hamiltonians import Hamiltonian
    from arlattice.models.base import Model

__all__ = ["FormerNames"]


class FormerNames:
    """What `Model` was called by, for one release."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let a family that implements ``step_logits`` work: it had no ``block_logits``."""
        super().__init_subclass__(**keywords)
        own = cls.__dict__
        if "step_logits" in own and getattr(cls.block_logits, "__isabstractmethod__", False):  # type: ignore[attr-defined]
            text = f"{cls.__name__}.step_logits: implement block_logits(partial, sites, conditions)"
            warnings.warn(text, DeprecationWarning, stacklevel=3)
            cls.block_logits, cls.plan_logits = _block_logits, _plan_logits  # type: ignore[attr-defined]

    def step_logits(self: Any, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int | None = None) -> Tensor:
        """Deprecated: see `arlattice.decoding.weigh.logits`."""
        _warn("step_logits", "arlattice.decoding.weigh.logits(model, ...)")
        return weigh.logits(self, occupations, Plan(order), conditions, steps)

    def step_log_probs(self: Any, occupations: Tensor, order: Tensor, conditions: Conditions) -> Tensor:
        """Deprecated: call the model."""
        _warn("step_log_probs", "model(occupations, plan, conditions)")
        found: Tensor = self(occupations, order, conditions)
        return found

    def next_logits(self: Any, partial: Tensor, site: Tensor, conditions: Conditions) -> Tensor:
        """Deprecated: see `arlattice.decoding.weigh.next_logits`."""
        _warn("next_logits", "arlattice.decoding.weigh.next_logits(model, ...)")
        return weigh.next_logits(self, partial, site, conditions)

    def resolve_orders(self: Any, n: int, order: str | Tensor | None, stream: Stream, known: Tensor | None = None) -> Tensor:
        """Deprecated: see `Model.resolve_plan`."""
        _warn("resolve_orders", "resolve_plan(...).order")
        found: Tensor = self.resolve_plan(n, order, stream, known).order
        return found

    @property
    def tables(self: Any) -> Hamiltonian:
        """Deprecated: see `Model.device_hamiltonian`."""
        _warn("tables", "device_hamiltonian")
        found: Hamiltonian = self.device_hamiltonian
        return found

    def fuse(self: Any) -> None:
        """Deprecated: see `Model.compile_network`."""
        _warn("fuse", "compile_network()")
        self.compile_network()


def _warn(name: str, new: str) -> None:
    warn_of_old_name(f"Model.{name}", new)


def _plan_logits(self: Model, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
    """By the family's ``step_logits``, one site a block."""
    if plan.one_by_one:
        return self.step_logits(occupations, plan.order, conditions, steps)
    blocks = [(torch.where(plan.known_before(k), occupations, -1), plan.block(k)) for k in range(len(plan.spans))]
    return torch.cat([_block_logits(self, partial, sites, conditions) for partial, sites in blocks], 1)[:, :steps]


def _block_logits(self: Model, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
    """By the family's ``step_logits``, the known sites first."""
    columns = []
    for site in sites.T:
        known = partial.scatter(1, site[:, None], -1) >= 0
        order = torch.where(known, 0, 2).scatter(1, site[:, None], 1).argsort(dim=1, stable=True)
        logits = self.step_logits(partial.clamp(min=0), order, conditions)
        columns.append(logits[torch.arange(len(partial), device=partial.device), known.sum(1)])
    return torch.stack(columns, 1)
