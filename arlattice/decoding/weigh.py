"""Log-probabilities of given configurations under a plan, read through the symmetry of the Hamiltonian where the model does so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.constraint import Constraint
from arlattice.plan import Plan

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["limited", "log_probs", "logits", "next_logits"]


def log_probs(model: Model, occupations: Tensor, plan: Plan, conditions: Conditions, targets: Tensor | None = None) -> Tensor:
    """log p of the species of every site, (batch, sites) indexed by place in the order, with gradients.

    Args:
        model: of the lattice.
        occupations: (batch, sites).
        plan: how they are drawn.
        conditions: one row a configuration.
        targets: see `Model.forward`.
    """
    along = logits(model, occupations, plan, conditions)
    if targets is not None:
        weight = targets.gather(-2, plan.order[..., None].expand(targets.shape)).to(along.dtype)
        return torch.where(weight > 0, weight * along.log_softmax(-1), 0.0).sum(-1)  # what has no weight may be impossible: 0 * -inf
    taken = F.one_hot(occupations.gather(1, plan.order), along.shape[-1]).bool()
    return torch.where(taken, along.log_softmax(-1), 0.0).sum(-1)  # where and sum: gather's gradient varies in its last bits


def logits(model: Model, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
    """Logits of every species at every place of a plan, (batch, sites, species) or the first ``steps``; arguments as in `log_probs`."""
    constraint = model.steps.constraint(conditions.ensemble)
    if model.gauge is None:
        found = model.plan_logits(occupations, plan, conditions, steps)
    else:
        first = plan.first[:, None]
        reading = model.gauge.read(occupations, occupations.gather(1, first)[:, 0], conditions, constraint)
        found = model.plan_logits(reading.occupations, plan, reading.conditions, steps)
        found = reading.logits(found, plan.order[:, : found.shape[1]] == first)
    if plan.one_by_one or constraint.free:
        return found
    return torch.cat([_limited_block(constraint, occupations, plan, k, found, conditions.targets) for k in range(len(plan.spans))], 1)


def _limited_block(constraint: Constraint, occupations: Tensor, plan: Plan, number: int, found: Tensor, targets: Tensor) -> Tensor:
    """The logits of a block whose sites are placed one after another under what the ensemble forbids."""
    start, end = plan.spans[number]
    before = torch.where(plan.known_before(number), occupations, -1)
    partial, columns = before, []
    for place in range(start, end):
        site = plan.order[:, place : place + 1]
        columns.append(limited(constraint, found[:, place : place + 1], site, before, partial, targets))
        partial = partial.scatter(1, site, occupations.gather(1, site))
    return torch.cat(columns, 1)


def limited(constraint: Constraint, logits: Tensor, site: Tensor, before: Tensor, partial: Tensor, targets: Tensor) -> Tensor:
    """Logits (batch, 1, species) of a site of a block, once the sites before it in the block are placed.

    Args:
        constraint: what the ensemble forbids.
        logits: of the site as the block began.
        site: (batch, 1).
        before: what was known as the block began, (batch, sites), -1 where unknown.
        partial: what is known now.
        targets: what the states fix.
    """
    share_before = constraint.at(before, site, targets)[1]
    possible, share = constraint.at(partial, site, targets)
    return (logits + (share - share_before).to(logits.dtype)).masked_fill(~possible, -torch.inf)


def next_logits(model: Model, partial: Tensor, site: Tensor, conditions: Conditions) -> Tensor:
    """Logits of one more site.

    Args:
        model: of the lattice.
        partial: (batch, sites), -1 where unknown; every row may have its own known sites.
        site: (batch,), a site of each row that is not known.
        conditions: one row a configuration.

    Returns:
        (batch, species): log p(x_site = s | known sites) up to a constant, -inf where s cannot be placed.
    """
    if model.gauge is None:
        return model.block_logits(partial, site[:, None], conditions)[:, 0]
    known = partial >= 0
    first = partial.gather(1, known.to(torch.int8).argmax(1, keepdim=True))[:, 0]
    reading = model.gauge.read(partial, first, conditions, model.steps.constraint(conditions.ensemble))
    found = model.block_logits(reading.occupations, site[:, None], reading.conditions)
    return reading.logits(found, ~known.any(1)[:, None])[:, 0]
