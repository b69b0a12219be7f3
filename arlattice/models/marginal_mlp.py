"""The marginalization model with a perceptron: the any-order perceptron with a second head, see `marginal`."""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.any_order_mlp import AnyOrderMLP, MLPOptions
from arlattice.models.marginal import MarginalModel
from arlattice.plan import Plan

__all__ = ["MarginalMLP"]


class MarginalMLP(AnyOrderMLP, MarginalModel):
    """See the module's docstring."""

    def __init__(self, hamiltonian: Hamiltonian, options: MLPOptions, ensemble: type[Ensemble] = SemiGrandCanonical) -> None:
        super().__init__(hamiltonian, options, ensemble)
        self.add_heads(options.width)

    def prefix_log_probs(
        self, occupations: Tensor, order: Tensor, conditions: Conditions, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `MarginalModel.prefix_log_probs`; one pass of the network for every prefix."""
        if lengths is None:
            lengths = torch.arange(self.n + 1, device=order.device).expand(len(order), -1)
        step = self.steps.along(occupations, Plan(order), conditions)
        known = order.argsort(1)[:, None] < lengths[..., None]
        features = self.features(torch.where(known, occupations[:, None], -1), conditions)
        at = lengths.clamp(max=self.n - 1)
        site = order.gather(1, at)
        logits = step.base.gather(1, at[..., None].expand(-1, -1, self.q)) + self._at(features, site)
        conditional = logits.log_softmax(-1).gather(2, occupations.gather(1, site)[..., None])[..., 0]
        free, whole = self.free_energies(features, conditions)
        free = free if whole is None else torch.where(lengths == self.n, whole, free)
        return self._start(occupations, order, step).gather(1, lengths) + free, torch.where(lengths < self.n, conditional, 0.0)

    def compile_network(self) -> None:
        """Compile both heads together, and the network alone for drawing."""
        super().compile_network()
        self.prefix_log_probs = torch.compile(self.prefix_log_probs, dynamic=False)  # type: ignore[method-assign]
