"""Log-probabilities of given configurations under a plan, read through the symmetry of the Hamiltonian where the model does so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.constraint import Constraint
from arlattice.plan import Plan, Visits

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["limited", "log_probs", "logits", "next_logits", "visited_log_probs"]


def log_probs(model: Model, occupations: Tensor, plan: Plan, conditions: Conditions, targets: Tensor | None = None) -> Tensor:
    """log p of the species of every site, (batch, sites) indexed by place in the order, with gradients.

    Args:
        model: of the lattice.
        occupations: (batch, sites).
        plan: how they are drawn.
        conditions: one row a configuration.
        targets: see `Model.forward`.

    Returns:
        Of given sites 0 (`Plan.given`).
    """
    out = None if plan.given is None else plan.given.gather(1, plan.order)
    return _taken(logits(model, occupations, plan, conditions), occupations, plan.order, targets, out)


def _taken(logits: Tensor, occupations: Tensor, sites: Tensor, targets: Tensor | None, out: Tensor | None) -> Tensor:
    """log p of the species of some sites (batch, k), from their logits; with targets, of all their species by their weights.

    Sites that are left out (batch, k) count 0, as given ones. What is left of a composition may hold no species for them: such logits
    have no gradient.
    """
    if out is not None:
        return _taken(logits.masked_fill(out[..., None], 0.0), occupations, sites, targets, None).masked_fill(out, 0.0)
    if targets is not None:
        weight = targets.gather(-2, sites[..., None].expand(*targets.shape[:-2], sites.shape[1], targets.shape[-1])).to(logits.dtype)
        return torch.where(weight > 0, weight * logits.log_softmax(-1), 0.0).sum(-1)  # what has no weight may be impossible: 0 * -inf
    taken = F.one_hot(occupations.gather(1, sites), logits.shape[-1]).bool()
    return torch.where(taken, logits.log_softmax(-1), 0.0).sum(-1)  # where and sum: gather's gradient varies in its last bits


def visited_log_probs(
    model: Model, occupations: Tensor, plan: Plan, conditions: Conditions, visits: Visits, targets: Tensor | None = None
) -> Tensor:
    """An estimate of log q of some blocks from some of the configurations, (batch, blocks), with gradients; its sum has no bias.

    A block that is visited for m of B configurations counts B / m times for them and 0 for the others.

    Args:
        model: of the lattice.
        occupations: (batch, sites).
        plan: how they are drawn.
        conditions: one row a configuration.
        visits: the blocks, and the configurations for which each of them is computed.
        targets: see `Model.forward`.

    Returns:
        (batch, blocks), or (..., batch, blocks) with targets.
    """
    constraint = model.steps.constraint(conditions.ensemble)
    first, seen, states, reading = plan.first[:, None], occupations, conditions, None
    if model.gauge is not None:
        reading = model.gauge.read(occupations, occupations.gather(1, first)[:, 0], conditions, constraint)
        seen, states = reading.occupations, reading.conditions
    n, m = len(occupations), visits.rows.shape[1]
    found = torch.zeros(
        *(() if targets is None else targets.shape[:-3]), n, len(visits), dtype=model.steps.dtype, device=occupations.device
    )
    for blocks, some in map(visits.of, model.passes_of(plan, m)):
        if not blocks:
            continue
        rows = some.flatten()
        places, count = (of_blocks.repeat_interleave(m, 0) for of_blocks in plan.places(blocks))
        number = torch.arange(blocks.start - visits.first, blocks.stop - visits.first, device=rows.device).repeat_interleave(m)
        along = model.logits_of_blocks(seen, plan, states, blocks, some)
        sites = plan.order[rows].gather(1, places)
        if reading is not None:
            along = reading[rows].logits(along, sites == first[rows])
        if not (plan.one_by_one or constraint.free):
            known = torch.cat([plan.known_before(block)[rows] for block, rows in zip(blocks, some, strict=True)])
            before = torch.where(known, occupations[rows], -1)
            along = _limited_block(constraint, occupations[rows], sites, before, along, conditions.targets[rows])
        out = ~count if plan.given is None else ~count | plan.given[rows].gather(1, sites)
        each = _taken(along, occupations[rows], sites, None if targets is None else targets[..., rows, :, :], out)
        found[..., rows, number] = each.sum(-1).to(found.dtype) * (n / m)
    return found


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
    parts = []
    for block, (start, end) in enumerate(plan.spans):
        before = torch.where(plan.known_before(block), occupations, -1)
        parts.append(_limited_block(constraint, occupations, plan.block(block), before, found[:, start:end], conditions.targets))
    return torch.cat(parts, 1)


def _limited_block(constraint: Constraint, occupations: Tensor, sites: Tensor, before: Tensor, found: Tensor, targets: Tensor) -> Tensor:
    """The logits of a block of sites (batch, k) that are placed one after another under what the ensemble forbids."""
    partial, columns = before, []
    for k in range(sites.shape[1]):
        site = sites[:, k : k + 1]
        columns.append(limited(constraint, found[:, k : k + 1], site, before, partial, targets))
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
