"""The marginalization model on the causal transformer: one pass checks every prefix of an order, see `marginal`.

Output t has read the first t sites of the order and is about to draw the next one, from where that site is. It knows what
either species would add to log p there; which of the sites before it stood beside which it can hardly tell.
The marginal is therefore a sum along the order,

    log p(x_S) = sum over the sites of S, in order, of (what each added - log of the number of species allowed there) + A(x_S),

what a site adds being minus beta times the energy of the clusters that it completes, less mu, or where the network knows
nothing of energies a third head. A, at output t, is the rest; one more output, behind the last site, is that of the whole.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.decoding.gauge import Reading
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.marginal import MarginalModel
from arlattice.plan import Plan

__all__ = ["MarginalTransformer", "MarginalTransformerOptions"]


class MarginalTransformerOptions(AnyOrderTransformerOptions):
    """Size of the network."""

    energies: Annotated[bool, Field(description="start both heads from completed-cluster energies; false learns them (the paper)")] = True


class MarginalTransformer(AnyOrderTransformer, MarginalModel):
    """See the module's docstring."""

    all_at_once = True
    one_pass = (*AnyOrderTransformer.one_pass, "prefix_log_probs")

    def __init__(
        self, hamiltonian: Hamiltonian, options: MarginalTransformerOptions, ensemble: type[Ensemble] = SemiGrandCanonical
    ) -> None:
        super().__init__(hamiltonian, options, ensemble)
        self.add_heads(options.width)
        self.added = None if options.energies else nn.Linear(options.width, self.q)
        if self.added is not None:
            nn.init.zeros_(self.added.weight)
            nn.init.zeros_(self.added.bias)

    @property
    def state_layers(self) -> tuple[nn.Linear, ...]:
        """See `StateReader.state_layers`: of both heads."""
        whole = [layer for layer in self.whole.children() if isinstance(layer, nn.Linear)]
        return *super().state_layers, whole[0]

    @property
    def energies(self) -> bool:
        return bool(self.options.energies)  # type: ignore[attr-defined]

    def prefix_log_probs(
        self, occupations: Tensor, order: Tensor, conditions: Conditions, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `MarginalModel.prefix_log_probs`; one pass for all prefixes."""
        n = order.shape[1]
        reading = self._read(occupations, order, conditions)
        z, base = self.hidden(reading.occupations, order, reading.conditions, n + 1)
        drawn_first = torch.arange(n, device=order.device) == 0
        log_p = reading.logits(base + self.head(z[:, :n]).to(base.dtype), drawn_first).log_softmax(-1)
        taken = F.one_hot(occupations.gather(1, order), self.q).bool()
        conditional = F.pad(torch.where(taken, log_p, 0.0).sum(-1), (0, 1))
        free, whole = self.free_energies(z, reading.conditions)
        free = free if whole is None else torch.cat([free[:, :n], whole], 1)
        marginal = self._start(occupations, order, self.steps.along(occupations, Plan(order), conditions)) + free
        if self.added is not None:
            marginal = marginal + self._learned_start(self.added, z[:, :n], reading.occupations.gather(1, order))
        return (marginal, conditional) if lengths is None else (marginal.gather(1, lengths), conditional.gather(1, lengths))

    def _read(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> Reading:
        """What the network reads: through the gauge, if there is one."""
        first = occupations.gather(1, order[:, :1])[:, 0]
        if self.gauge is None:
            never = torch.zeros_like(first, dtype=torch.bool)
            return Reading(occupations, conditions, never, never)
        return self.gauge.read(occupations, first, conditions, self.steps.constraint(conditions.ensemble))

    def _learned_start(self, head: nn.Linear, z: Tensor, species: Tensor) -> Tensor:
        """Sum of what every site of an order added, (batch, sites + 1), from features before it and its species (batch, sites)."""
        with torch.autocast(z.device.type, enabled=False):
            added = head(z.to(self.state_mean.dtype))
        return F.pad(torch.where(F.one_hot(species, self.q).bool(), added, 0.0).sum(-1).cumsum(1), (1, 0))
