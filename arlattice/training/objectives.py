"""What is minimised. Each objective is a function (model, batch) -> loss in nats, registered by name.

    forward       E_p[-log q]              p from Monte Carlo: covers every mode
    log-variance  Var_p[log q - log f]     less noise the better the model; blind to what only q draws
    balanced      both of these, weighted by their noise
    reverse       E_q[log q - log f]       q from the model: needs no data, may lose modes
    hybrid        forward + weight * reverse

Every order is one distribution q, so the order of each configuration is drawn anew each time.

What is differentiated comes from ``model(occupations, plan, conditions)`` alone, the call of a `torch.nn.Module`: hooks on it, as
those of `torch.nn.parallel.DistributedDataParallel`, see every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.decoding.orders import draw_orders
from arlattice.models.base import Model
from arlattice.plan import Plan, Visits
from arlattice.random_numbers import Stream
from arlattice.training.chains import ModelChains
from arlattice.training.soft_targets import soft_targets

__all__ = ["Batch", "Loss", "Objective", "Part", "balanced", "forward", "hybrid", "log_variance", "needs", "reverse", "uses"]

Part = Literal["replay", "groups", "states", "chains"]
"""What an objective may need: replayed Monte Carlo, that in groups of one state each, states to draw from the model in, or the
model's persistent chains."""


@dataclass
class Batch:
    """What one training step may use.

    Attributes:
        occupations: equilibrium configurations from the replay (batch, sites), or None.
        conditions: their states.
        group_conditions: states of the reverse term, each repeated ``group_size`` times.
        group_size: configurations drawn from the model per state.
        coarse_share: fraction of coarse-to-fine orders, the rest random.
        reverse_weight: weight of the reverse term in the hybrid.
        stream: random numbers of the run, on the model's device; a branch for each purpose.
        chains: the model's persistent configurations, or None.
        consistency_weight: weight of the self-consistency of marginals.
        replay_group: neighbours in the replay that share their state.
        soft_targets: see `arlattice.training.soft_targets`.
        block_share: share of the blocks of a plan that is computed for each configuration; 0: only those that learn from ``coarse``.
        coarse: more equilibrium configurations and their states, from which the coarse blocks learn (`Model.coarse_blocks`); None: they
            learn from ``occupations``, as all blocks.
        given_share: share of the configurations whose rest is learned given some of their sites.
    """

    occupations: Tensor | None
    conditions: Conditions | None
    group_conditions: Conditions | None
    group_size: int
    coarse_share: float
    reverse_weight: float
    stream: Stream
    chains: ModelChains | None = None
    consistency_weight: float = 1.0
    replay_group: int = 1
    soft_targets: bool = False
    block_share: float = 1.0
    given_share: float = 0.0
    coarse: tuple[Tensor, Conditions] | None = None

    def visits(self, model: Model, plan: Plan) -> Visits | None:
        """For each block of a plan some configurations, drawn anew; None: all, of a share of 1 or a family without blocks.

        Blocks that learn from ``coarse`` are left out.
        """
        n, m = len(plan), max(1, round(len(plan) * self.block_share))
        first = 0 if self.coarse is None else model.coarse_blocks(plan)
        if not model.draws_blocks or (m == n and first == 0):
            return None
        return Visits(self.stream["visits"].permutations(n, len(plan.spans) - first)[:, :m], first)

    def plan(self, model: Model, n: int) -> Plan:
        """How ``n`` configurations are drawn: in orders, the first ``coarse_share`` of them coarse to fine; or as the model alone draws."""
        if "random" not in model.orders:
            return model.resolve_plan(n, None, self.stream["order"])
        coarse = round(n * self.coarse_share)
        kinds = [(coarse, "coarse-to-fine"), (n - coarse, "random")]
        return Plan(torch.cat([draw_orders(model.lattice, k, kind, self.stream[kind]) for k, kind in kinds if k]))

    def orders(self, model: Model, n: int) -> Tensor:
        """The sites as they are drawn, (n, sites)."""
        return self.plan(model, n).order

    def given(self, plan: Plan) -> Plan:
        """The plan with random sites given, of every configuration another share of them."""
        share = self.stream["given share"].uniform(1, len(plan)).T
        return replace(plan, given=share > self.stream["given"].uniform(plan.order.shape[1], len(plan)).T)


@dataclass
class Loss:
    """A loss to differentiate and the figures to log.

    Attributes:
        value: scalar.
        figures: scalars by name.
        variances: of log q - log f in every replayed group (groups,), if the objective has groups.
    """

    value: Tensor
    figures: dict[str, Tensor]
    variances: Tensor | None = None


_LEAST_VARIANCE = 0.1  # of the balanced objective

Objective = Callable[[Model, Batch], Loss]


def uses(*parts: Part) -> Callable[[Objective], Objective]:
    """Decorator: say what an objective needs, so that nothing else is prepared."""

    def mark(objective: Objective) -> Objective:
        objective.__dict__["uses"] = frozenset(parts)
        return objective

    return mark


def needs(objective: Objective, part: Part) -> bool:
    """Whether an objective needs a part; one that does not say gets a replay and states."""
    return part in getattr(objective, "uses", ("replay", "states"))


@uses("replay")
def forward(model: Model, batch: Batch) -> Loss:
    """Forward KL on replayed configurations, up to the entropy of p: mean of -log q(x | order)."""
    if batch.occupations is None or batch.conditions is None:
        raise ValueError("the forward objective needs a replay")
    loss = _coarse_loss(model, batch)
    if batch.block_share > 0:
        plan = batch.plan(model, len(batch.occupations))
        soft = soft_targets(model, batch.occupations, batch.conditions) if batch.soft_targets else None
        with model.autocast():
            loss = loss - _log_prob(model, batch.occupations, plan, batch.conditions, soft, batch.visits(model, plan)).mean()
    return Loss(loss + _given_loss(model, batch), {"forward": loss.detach()})


def _coarse_loss(model: Model, batch: Batch) -> Tensor:
    """Forward KL of the coarse blocks on more configurations; 0 if there are none."""
    if batch.coarse is None:
        return torch.zeros((), device=model.device)
    x, conditions = batch.coarse
    plan = batch.plan(model, len(x))
    count = model.coarse_blocks(plan)
    if count == 0:
        return torch.zeros((), device=model.device)
    soft = soft_targets(model, x, conditions) if batch.soft_targets else None
    visits = Visits(torch.arange(len(x), device=x.device).expand(count, -1))
    with model.autocast():
        return -_log_prob(model, x, plan, conditions, soft, visits).mean()


def _given_loss(model: Model, batch: Batch) -> Tensor | float:
    """Forward KL of the rest of some configurations given random sites of theirs; nothing for families without blocks."""
    n = 0 if batch.occupations is None or not model.draws_blocks else round(len(batch.occupations) * batch.given_share)
    if n == 0 or batch.conditions is None or batch.occupations is None:
        return 0.0
    x, conditions, plan = batch.occupations[:n], batch.conditions[:n], batch.given(batch.plan(model, n))
    visits = Visits(batch.stream["given visits"].permutations(n, len(plan.spans))[:, : max(1, round(n * batch.block_share))])
    with model.autocast():
        return -_log_prob(model, x, plan, conditions, None, visits).mean() * (n / len(batch.occupations))


@uses("replay", "groups")
def log_variance(model: Model, batch: Batch) -> Loss:
    """Log-variance divergence on replayed configurations: the same optimum as the forward KL, with less noise near it.

    grad = E_p[min(1, max(-1, D)) grad log q],  D = A - mean of the other A in the group,  A = log q - log f.

    Without the limits this is half the gradient of Var_p[A]. To first order in A its mean is that of the forward KL, but its
    noise vanishes with the spread of A, where grad log q keeps its own. It compares replayed configurations with one another only:
    weight of the model on configurations that the replay never holds shifts all A alike and has no gradient. So it needs
    a model that starts near its target (completed-cluster energies, small lattices); watch the gap, not the spread.

    Source: L. Richter et al., NeurIPS 2020 (VarGrad); N. Nuesken and L. Richter, Partial Differ. Equ. Appl. 2, 48 (2021).
    The limits are ours.
    """
    log_prob, _, advantage = _replayed(model, batch, "log-variance")
    weight = advantage.less_others.clamp(-1, 1)
    return _told(_weighted(weight, log_prob), _coarse_loss(model, batch), log_prob, advantage)


@uses("replay", "groups")
def balanced(model: Model, batch: Batch) -> Loss:
    """Forward KL where log q - log f varies much, log-variance divergence where it varies little, each state by itself.

    grad = E_p[(D - V) / (1 + V) grad log q],  D as in `log_variance`,  V the variance of A in the group, at least 0.1; with soft
    targets V grad log q is that of the soft log q.

    Coarse blocks that learn from more configurations (``Batch.coarse``) have the forward KL alone.

    Two estimates of one gradient, -grad log q and D grad log q, averaged with the inverse of their noise: that of the second
    is about V times that of the first. The least V keeps a share of the forward KL, which alone sees weight of the model on
    configurations that the replay never holds. Ours.
    """
    log_prob, soft, advantage = _replayed(model, batch, "balanced", soft=batch.soft_targets)
    variance, difference = advantage.variances[:, None].clamp(min=_LEAST_VARIANCE), advantage.less_others
    if soft is None:
        loss = _weighted((difference - variance) / (1 + variance), log_prob)
    else:
        loss = _weighted(difference / (1 + variance), log_prob) - _weighted((variance / (1 + variance)).expand_as(difference), soft)
    return _told(loss + _given_loss(model, batch), _coarse_loss(model, batch), log_prob, advantage)


@dataclass(frozen=True)
class _Advantage:
    """log q - log f, in groups of one state each (groups, size), and the same less the mean of the others in the group."""

    grouped: Tensor
    less_others: Tensor

    @property
    def variances(self) -> Tensor:
        """Of every group (groups,)."""
        return self.grouped.var(1)

    @classmethod
    def of(cls, values: Tensor, size: int) -> _Advantage:
        grouped = values.view(-1, size)
        return cls(grouped, (grouped - grouped.mean(1, keepdim=True)) * (size / (size - 1)))


def _replayed(model: Model, batch: Batch, name: str, soft: bool = False) -> tuple[Tensor, Tensor | None, _Advantage]:
    """log q of the replayed configurations, the same with soft targets if asked for, and how log q differs from log f."""
    x, conditions = batch.occupations, batch.conditions
    if x is None or conditions is None:
        raise ValueError(f"the {name} objective needs a replay")
    if batch.replay_group < 2 or len(x) % batch.replay_group:
        raise ValueError(f"the {name} objective needs whole groups: mark it with @uses('replay', 'groups')")
    plan = batch.plan(model, len(x))
    visits, targets = batch.visits(model, plan), soft_targets(model, x, conditions) if soft else None
    with model.autocast():
        if targets is None:
            log_prob, smooth = _log_prob(model, x, plan, conditions, None, visits), None
        else:
            hard = F.one_hot(x, targets.shape[-1]).to(targets)
            log_prob, smooth = _log_prob(model, x, plan, conditions, torch.stack([hard, targets]), visits)
    with torch.no_grad():
        log_f = conditions.log_f(model.hamiltonian_of(conditions).energy(x), x).double()
        whole = log_prob if visits is None else _whole(model, x, plan, conditions, visits, log_prob)
        return log_prob, smooth, _Advantage.of(whole.double() - log_f, batch.replay_group)


def _whole(model: Model, x: Tensor, plan: Plan, conditions: Conditions, visits: Visits, seen: Tensor) -> Tensor:
    """log q (batch,) from its estimate by some visits, and all that these leave out."""
    total = seen * (visits.rows.shape[1] / len(x))
    with model.autocast():
        for others in visits.left_out(len(x)):
            total = total + _log_prob(model, x, plan, conditions, None, others) * (others.rows.shape[1] / len(x))
    return total


def _log_prob(
    model: Model, x: Tensor, plan: Plan, conditions: Conditions, targets: Tensor | None = None, visits: Visits | None = None
) -> Tensor:
    """log q of whole configurations (..., batch); what wraps a model need not know of targets and visits that nobody asks for."""
    asked = {name: value for name, value in (("targets", targets), ("visits", visits)) if value is not None}
    found: Tensor = model(x, plan, conditions, **asked)
    return found.float().sum(-1)


def _weighted(weight: Tensor, log_prob: Tensor) -> Tensor:
    return (weight.flatten().float() * log_prob).mean()


def _told(loss: Tensor, coarse: Tensor, log_prob: Tensor, advantage: _Advantage) -> Loss:
    figures = {"forward": coarse.detach() - log_prob.detach().mean(), "spread": advantage.grouped.std(1).mean()}
    return Loss(loss + coarse, figures, advantage.variances)


@uses("states")
def reverse(model: Model, batch: Batch) -> Loss:
    """Reverse KL by REINFORCE with exact log q and a leave-one-out baseline per state: energies only.

    This is how the paper trains its autoregressive models; the graph holds all sites of a configuration.

    grad E_q[log q - log f] = E_q[(A - mean of the other A in the group) grad log q],  A = log q - log f.

    Source: R. J. Williams, Mach. Learn. 8, 229 (1992); W. Kool et al., ICLR 2019 workshop (leave-one-out baseline).
    """
    conditions, size = batch.group_conditions, batch.group_size
    if conditions is None:
        raise ValueError("the reverse objective needs states")
    n = len(conditions)
    rows = batch.stream["shuffle"].permutation(n)  # mix kinds of order within groups of states
    plan = batch.plan(model, n)[rows]
    noise = batch.stream["draw"].uniform(model.lattice.n_sites, n)
    with torch.no_grad():
        x, log_q = model.draw(noise, plan, conditions)
        advantage = _Advantage.of(log_q - conditions.log_f(model.hamiltonian_of(conditions).energy(x), x).double(), size)
    with model.autocast():
        log_prob = _log_prob(model, x, plan, conditions)
    weight = advantage.less_others.flatten().float()
    return Loss((weight * log_prob).mean(), {"reverse_spread": advantage.grouped.std(1).mean()})


@uses("replay", "states")
def hybrid(model: Model, batch: Batch) -> Loss:
    """Forward KL plus ``reverse_weight`` times reverse KL."""
    first, second = forward(model, batch), reverse(model, batch)
    return Loss(first.value + batch.reverse_weight * second.value, first.figures | second.figures)
