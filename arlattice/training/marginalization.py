"""Objectives of marginalization models: two heads that must agree, see `arlattice.models.marginal`.

With d_t = log p(x_S) + log p(x_i | x_S) - log p(x_{S+i}) for S the first t sites of a random order and i the next one,

    mam               E_x[r log p(x)] + alpha (sites E_t[d_t^2] + (log p(nothing))^2)
    self-consistency  E_p[-log q(x)] + alpha E_p[mean over t of d_t^2]

`mam` needs energies only: x are persistent block-Gibbs samples of the model, t is one random number a configuration, and
log p(x) is the marginal head's; r = (log p(x) - log f(x), standardised over the samples of a state) makes the first term
REINFORCE. Where one pass gives every prefix (a causal transformer) the mean over t is taken in full: the same objective
with less noise. `self-consistency` takes x from replayed Monte Carlo; its conditionals are trained by forward KL.

Source: S. Liu, P. Ramadge, R. Adams, "Generative marginalization models", ICML 2024, section 4.3 and the public code's
objective "KL" (alpha = 4 there). `self-consistency` is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.errors import InputError
from arlattice.models.base import Model
from arlattice.models.marginal import MarginalModel
from arlattice.random_numbers import Stream
from arlattice.training.objectives import Batch, Loss, uses

__all__ = ["mam", "self_consistency"]


@uses("chains")
def mam(model: Model, batch: Batch) -> Loss:
    """Reverse KL through the marginal head, with self-consistency at one random step of each configuration, or at all at once."""
    chains, head = batch.chains, _marginal(model, "mam")
    if chains is None:
        raise ValueError("the mam objective needs chains")
    x, conditions, n = chains.occupations, chains.conditions, model.lattice.n_sites
    with model.autocast():
        difference, start, log_p = _heads(head, x, batch.orders(model, len(x)), conditions, batch.stream)
    with torch.no_grad():
        score = (log_p - conditions.log_f(model.hamiltonian_of(conditions).energy(x), x)).view(-1, chains.size)
        reward = (score - score.mean(1, keepdim=True)) / (score.std(1, keepdim=True) + 1e-6)
    consistency = n * difference.square().mean() + start.square().mean()
    loss = (reward.flatten() * log_p).mean() + batch.consistency_weight * consistency
    return Loss(loss, {"consistency": difference.square().mean().detach(), "reverse_spread": score.std(1).mean()})


def _heads(head: MarginalModel, x: Tensor, order: Tensor, conditions: Conditions, stream: Stream) -> tuple[Tensor, Tensor, Tensor]:
    """d at one random step of each row, or at all where that costs no more (batch, k); log p of nothing, and of x (batch,)."""
    n = x.shape[1]
    if head.all_at_once:
        marginal, conditional = (t.float() for t in head(x, order, conditions, marginal=True))
        return marginal[:, :-1] + conditional[:, :-1] - marginal[:, 1:], marginal[:, 0], marginal[:, -1]
    length = stream["length"].integers(n, 1, len(x)).T
    ends = torch.tensor([0, n], device=x.device).expand(len(x), -1)
    lengths = torch.cat([length, length + 1, ends], 1)
    marginal, conditional = (t.float() for t in head(x, order, conditions, lengths, marginal=True))
    return marginal[:, :1] + conditional[:, :1] - marginal[:, 1:2], marginal[:, 2], marginal[:, 3]


@uses("replay")
def self_consistency(model: Model, batch: Batch) -> Loss:
    """Forward KL, and the marginal head held to the conditionals at every prefix."""
    if batch.occupations is None or batch.conditions is None:
        raise ValueError("the self-consistency objective needs a replay")
    head, orders = _marginal(model, "self-consistency"), batch.orders(model, len(batch.occupations))
    with model.autocast():
        marginal, conditional = head(batch.occupations, orders, batch.conditions, marginal=True)
    marginal, conditional = marginal.float(), conditional.float()
    forward = -conditional.sum(1).mean()
    difference = marginal[:, :-1] + conditional[:, :-1].detach() - marginal[:, 1:]
    consistency = difference.square().mean() + marginal[:, 0].square().mean()
    return Loss(forward + batch.consistency_weight * consistency, {"forward": forward.detach(), "consistency": consistency.detach()})


def _marginal(model: Model, objective: str) -> MarginalModel:
    if not isinstance(model, MarginalModel):
        raise InputError("objective", objective, f"{model.name} has no marginal head; take marginal-mlp or marginal-transformer")
    return model
