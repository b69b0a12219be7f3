"""Any-order autoregression with a multilayer perceptron: species and mask in, all conditionals out.

The network reads one token a site, its species or "unknown", and gives the conditional of every site at once; a
step of an order uses the one of the site it draws. So one configuration costs as many passes as it has sites,
and a gradient through its log-probability keeps all of them: the memory that limits this family. Since every step has a
pass of its own, it may as well see the lattice from the site it draws (``centred``): the same weights then serve every
site, and translations change nothing.

Sources: B. Uria, I. Murray, H. Larochelle, ICML 2014; X. Du et al., "Scaling autoregressive models for lattice
thermodynamics" (any-order ARM); the residual perceptron follows S. Liu et al., "Generative marginalization models",
ICML 2024. Ours: the state at every layer, logits that start from completed-cluster energies, and ``centred``.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.plan import Plan

__all__ = ["AnyOrderMLP", "AnyOrderMLPOptions", "MLPOptions"]


class MLPOptions(Options):
    """Size of a perceptron."""

    width: Annotated[int, Field(ge=1, le=16384, description="features of a hidden layer")] = 512
    layers: Annotated[int, Field(ge=1, le=64, description="hidden layers, each added to the one before")] = 3
    energies: Annotated[bool, Field(description="start logits from completed-cluster energies; false learns them (the paper)")] = True


class AnyOrderMLPOptions(MLPOptions):
    """Size and view of the any-order perceptron."""

    centred: Annotated[bool, Field(description="see the lattice from the site that is drawn; false: from its first site")] = False


class AnyOrderMLP(Model):
    """See the module's docstring."""

    seen_from: Tensor

    def __init__(self, hamiltonian: Hamiltonian, options: MLPOptions, ensemble: type[Ensemble] = SemiGrandCanonical) -> None:
        super().__init__(hamiltonian, options, ensemble)
        self.n, self.q, width = hamiltonian.lattice.n_sites, hamiltonian.lattice.n_species, options.width
        self.passes = self.n
        self.centred = isinstance(options, AnyOrderMLPOptions) and options.centred
        self.outputs = len(hamiltonian.lattice.basis) if self.centred else self.n
        self.enter = nn.Linear(self.n * (self.q + 1), width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(options.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(options.layers + 1))
        self.state = nn.ModuleList(nn.Linear(len(self.feature_names), width) for _ in range(options.layers))
        self.conditionals = nn.Linear(width, self.outputs * self.q)
        nn.init.zeros_(self.conditionals.weight)
        nn.init.zeros_(self.conditionals.bias)
        cell = torch.arange(self.n) // len(hamiltonian.lattice.basis)
        self.register_buffer("seen_from", hamiltonian.lattice.translations[cell], persistent=False)

    @property
    def energies(self) -> bool:
        return bool(self.options.energies)  # type: ignore[attr-defined]

    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        """See `Model.block_logits`; one pass, unless the network sees the lattice from the site that it draws."""
        seen, at = self._seen(partial[:, None].expand(-1, sites.shape[1] if self.centred else 1, -1), sites)
        return self.steps.of_block(partial, sites, conditions).base + self._at(self.features(seen, conditions), at)

    def plan_logits(self, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
        """See `Model.plan_logits`; of an order, all passes as one batch."""
        if not plan.one_by_one:
            return super().plan_logits(occupations, plan, conditions, steps)
        some = plan.order[:, :steps]
        partial, site = self._seen(prefixes(occupations, plan.order, some.shape[1]), some)
        return self.steps.along(occupations, plan, conditions).base[:, :steps] + self._at(self.features(partial, conditions), site)

    def features(self, partial: Tensor, conditions: Conditions) -> Tensor:
        """Last hidden layer for partial configurations (batch, k, sites), -1 unknown, k of each state: (batch, k, width)."""
        dtype = self.state_mean.dtype
        tokens = F.one_hot(torch.where(partial >= 0, partial, self.q), self.q + 1).flatten(-2).to(dtype)
        state = self.standardised(conditions)[:, None]
        z = self.enter(tokens)
        for norm, hidden, shift in zip(self.norms, self.hidden, self.state, strict=False):
            z = z + F.gelu(hidden(norm(z)) + shift(state))
        last: Tensor = self.norms[-1](z)
        return last

    def compile_network(self) -> None:
        """Compile the network with torch.compile."""
        self.features = torch.compile(self.features, dynamic=False)  # type: ignore[method-assign]

    def _seen(self, partial: Tensor, site: Tensor) -> tuple[Tensor, Tensor]:
        """Partial configurations (batch, k, sites) and sites (batch, k) as the network reads them."""
        if not self.centred:
            return partial, site
        return partial.gather(-1, self.seen_from[site]), site % self.outputs

    def _at(self, features: Tensor, site: Tensor) -> Tensor:
        """Network part of the logits of sites (batch, k): (batch, k, species)."""
        logits = self.conditionals(features).unflatten(-1, (self.outputs, self.q)).to(self.state_mean.dtype)
        return (logits * F.one_hot(site, self.outputs)[..., None]).sum(-2)  # not gather: its gradient varies in its last bits


def prefixes(occupations: Tensor, order: Tensor, steps: int) -> Tensor:
    """What is known before each of the first ``steps`` steps: (batch, sites), (batch, sites) -> (batch, steps, sites), -1 unknown."""
    rank = order.argsort(1)
    known = rank[:, None] < torch.arange(steps, device=order.device)[:, None]
    return torch.where(known, occupations[:, None], -1)
