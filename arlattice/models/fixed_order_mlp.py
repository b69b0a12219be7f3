"""Fixed-order autoregression with a masked perceptron (MADE): one pass gives every conditional.

Site i sees sites 0 .. i-1 through hidden units that carry a degree: a unit of degree d sees sites below d and is seen by
sites from d on. Sites are drawn as they are numbered, so only the first sites can be given.

Source: M. Germain et al., "MADE: masked autoencoder for distribution estimation", ICML 2015, eqs. 12-13; for lattices
D. Wu, L. Wang, P. Zhang, Phys. Rev. Lett. 122, 080602 (2019). Ours: the state, and logits from completed-cluster energies.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.any_order_mlp import MLPOptions
from arlattice.models.base import Model
from arlattice.plan import Plan
from arlattice.random_numbers import Stream

__all__ = ["FixedOrderMLP", "FixedOrderMLPOptions"]


class FixedOrderMLPOptions(MLPOptions):
    """Size of a masked perceptron."""

    width: Annotated[int, Field(ge=1, le=16384, description="features of a hidden layer, shared out over the sites")] = 1024


class MaskedLinear(nn.Linear):
    """A linear layer with some weights held at zero."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class FixedOrderMLP(Model):
    """See the module's docstring."""

    orders = ("raster",)

    def __init__(self, hamiltonian: Hamiltonian, options: FixedOrderMLPOptions, ensemble: type[Ensemble] = SemiGrandCanonical) -> None:
        super().__init__(hamiltonian, options, ensemble)
        n, q, width = hamiltonian.lattice.n_sites, hamiltonian.lattice.n_species, options.width
        self.n, self.q = n, q
        site = torch.arange(n).repeat_interleave(q)
        degree = torch.arange(width) * n // width  # 0 .. n-1: sees sites below its degree
        self.enter = MaskedLinear(site < degree[:, None])
        self.hidden = nn.ModuleList(MaskedLinear(degree <= degree[:, None]) for _ in range(options.layers))
        self.state = nn.ModuleList(nn.Linear(len(self.feature_names), width) for _ in range(options.layers))
        self.conditionals = MaskedLinear(degree <= site[:, None])
        self.direct = MaskedLinear(site < site[:, None])
        for layer in (self.conditionals, self.direct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def energies(self) -> bool:
        return bool(self.options.energies)  # type: ignore[attr-defined]

    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        """See `Model.block_logits`; the known sites must be those before each of ``sites``."""
        logits = self._network(partial, conditions).gather(1, sites[..., None].expand(-1, -1, self.q))
        return self.steps.of_block(partial, sites, conditions).base + logits

    def plan_logits(self, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
        """See `Model.plan_logits`; one pass for all steps."""
        base = self.steps.along(occupations, plan, conditions).base
        return (base + self._network(occupations, conditions))[:, :steps]

    def _network(self, partial: Tensor, conditions: Conditions) -> Tensor:
        """Network part of the logits of every site, (batch, sites, species); unknown sites read as zeros."""
        dtype = self.state_mean.dtype
        tokens = F.one_hot(partial + 1, self.q + 1)[..., 1:].flatten(1).to(dtype)
        state = self.standardised(conditions)
        z = self.enter(tokens)
        for hidden, shift in zip(self.hidden, self.state, strict=True):
            z = z + F.gelu(hidden(z) + shift(state))
        logits: Tensor = self.conditionals(z) + self.direct(tokens)
        return logits.unflatten(-1, (self.n, self.q)).to(dtype)

    def compile_network(self) -> None:
        """Compile the network with torch.compile."""
        self._network = torch.compile(self._network, dynamic=False)  # type: ignore[method-assign]

    def resolve_plan(self, n: int, plan: str | Plan | Tensor | None, stream: Stream, known: Tensor | None = None) -> Plan:
        """The order of the sites' numbers, ``n`` times.

        Raises:
            InputError: another order or plan, or known sites that are not the first ones.
        """
        found = super().resolve_plan(n, plan, stream, known)
        if not found.one_by_one or not torch.equal(found.order, torch.arange(self.n, device=found.order.device).expand(n, -1)):
            name, value = ("order", plan) if known is None else ("known", known.tolist())
            cure = f"{self.name} draws sites 0 to {self.n - 1} as they are numbered: only the first sites can be given"
            raise InputError(name, value if isinstance(value, str | list) else "given", cure)
        return found
