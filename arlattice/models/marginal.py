"""Marginalization models: besides the conditionals, a head gives log p of any partial configuration in one pass.

The two heads are trained to agree, one step at a time: for a configuration x, a set S of known sites and a next site i,

    log p(x_S) + log p(x_i | x_S) = log p(x_{S+i})          (self-consistency)

Source: S. Liu, P. Ramadge, R. Adams, "Generative marginalization models", ICML 2024, eqs. 3-5. Ours: **energy-informed marginals**,

    log p(x_S) = -beta (E(x_S) - sum mu_i N_i(x_S)) + A(x_S),

E over the clusters wholly inside S: the value of the full lattice is then right by construction, A = -log Z(state), a
function of the state alone (of the composition too where that is fixed).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.decoding.steps import Step
from arlattice.models.base import Model
from arlattice.plan import Plan

__all__ = ["MarginalModel"]


class MarginalModel(Model):
    """A `Model` with a marginal head. A family implements `prefix_log_probs`.

    Attributes:
        all_at_once: all prefixes of an order cost no more than a few.
    """

    all_at_once = False

    @abstractmethod
    def prefix_log_probs(
        self, occupations: Tensor, order: Tensor, conditions: Conditions, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both heads on prefixes of an order, with gradients.

        Args:
            occupations: (batch, sites); only the sites of a prefix are read for it.
            order: (batch, sites).
            conditions: one row a configuration.
            lengths: (batch, k) numbers of known sites, 0 to sites; None means all, k = sites + 1.

        Returns:
            log p(x_S) by the marginal head, (batch, k), and log p(x_i | x_S) of the next site by the conditional head,
            (batch, k), 0 where nothing is left.
        """

    def add_heads(self, width: int) -> None:
        """The marginal head on features (..., width), and A of the whole lattice as a function of the state."""
        self.marginal, self.whole = (_scalar_head(n, width) for n in (width, len(self.state_mean)))

    def free_energies(self, features: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        """A(x_S) from features (batch, k, width): (batch, k), and of the whole lattice (batch, 1) where the state alone gives it.

        In full precision: these are tens to hundreds of nats, and their differences count. Where the states forbid
        configurations (all but those of a composition), A depends on that too, and the marginal head says it.
        """
        dtype = self.state_mean.dtype
        with torch.autocast(features.device.type, enabled=False):
            free: Tensor = self.marginal(features.to(dtype))[..., 0]
            whole = self.whole(self.standardised(conditions)) if self.energies and self.steps.constraint(conditions.ensemble).free else None
        return free, whole

    def forward(  # type: ignore[override]
        self,
        occupations: Tensor,
        plan: Plan | Tensor,
        conditions: Conditions,
        lengths: Tensor | None = None,
        marginal: bool = False,
        targets: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """See `Model.forward`; with ``marginal`` both heads, see `prefix_log_probs`."""
        if not marginal:
            return super().forward(occupations, plan, conditions, targets)
        return self.prefix_log_probs(occupations, Plan.of(plan).order, conditions, lengths)

    def log_prob_of_known(self, partial: Tensor, plan: Plan, conditions: Conditions) -> Tensor:
        """See `Model.log_prob_of_known`; by the marginal head."""
        count = (partial >= 0).sum(1, keepdim=True)
        return self.prefix_log_probs(partial.clamp(min=0), plan.order, conditions, count)[0][:, 0]

    def self_consistency(self, occupations: Tensor, order: Tensor, conditions: Conditions, lengths: Tensor | None = None) -> Tensor:
        """log p(x_S) + log p(x_i | x_S) - log p(x_{S+i}), what should be zero.

        Args:
            occupations, order, conditions: as in `prefix_log_probs`.
            lengths: (batch, k) sizes of S, 0 to sites - 1; None means all.

        Returns:
            (batch, k) nats.
        """
        if lengths is None:
            marginal, conditional = self.prefix_log_probs(occupations, order, conditions)
            return marginal[:, :-1] + conditional[:, :-1] - marginal[:, 1:]
        k = lengths.shape[1]
        marginal, conditional = self.prefix_log_probs(occupations, order, conditions, torch.cat([lengths, lengths + 1], 1))
        return marginal[:, :k] + conditional[:, :k] - marginal[:, k:]

    def _start(self, occupations: Tensor, order: Tensor, step: Step) -> Tensor:
        """Where the marginals of all prefixes start, (batch, sites + 1): the energy part, and -log of the number of choices."""
        species = occupations.gather(1, order)[..., None]
        choices = self.steps.allowed[order].sum(-1).to(step.boltzmann.dtype).log()
        placed = step.boltzmann.gather(2, species)[..., 0] - choices
        return F.pad(placed.cumsum(1), (1, 0))


def _scalar_head(features: int, width: int) -> nn.Sequential:
    """One hidden layer and one output that starts at zero."""
    last = nn.Linear(width, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(features, width), nn.GELU(), last)
