"""What is known when a site is drawn, before any network: Boltzmann logits and a few features.

With e(s) the energy of the clusters that the site completes as species s (the earlier sites being what they are),

    base(s) = -beta (e(s) - mu_s)    (+ log of the share of atoms of s that are left, at fixed composition)

so that a model that adds a network to it learns only the free energy of what is still unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.constraint import Constraint, Rule
from arlattice.ensemble import Ensemble
from arlattice.hamiltonians import Hamiltonian
from arlattice.plan import Plan

__all__ = ["Step", "Steps", "choose", "n_features"]


@dataclass
class Step:
    """Some steps of a batch: leading axes (batch, steps)."""

    base: Tensor  # (..., species), -inf where a species cannot be placed
    boltzmann: Tensor  # (..., species) -beta (e - mu), finite everywhere
    fields: Tensor  # (..., 2 species) base less its mean, divided by 4, and the shares of the species by it
    left: Tensor  # (..., species) log of the share of atoms that are left
    site: Tensor  # (...)
    index: Tensor  # (...) number of sites that are known


def n_features(n_species: int, n_sublattices: int) -> int:
    """Length of `Steps.features`."""
    return 3 * n_species + 1 + n_sublattices


class Steps:
    """Reads steps off configurations, on one device and in one precision.

    Args:
        hamiltonian: on the device.
        device, dtype: where and in which precision.
        energies: False leaves the energies out: every allowed species starts equal.
    """

    def __init__(self, hamiltonian: Hamiltonian, device: torch.device, dtype: torch.dtype, *, energies: bool = True) -> None:
        lattice = hamiltonian.lattice
        self.hamiltonian, self.device, self.dtype, self.energies = hamiltonian, device, dtype, energies
        self.n_sites, self.q, self.n_sublattices = lattice.n_sites, lattice.n_species, len(lattice.basis)
        self.allowed = lattice.allowed.to(device)
        self.sublattice = torch.from_numpy(lattice.sublattice.copy()).to(device)
        self._constraints: dict[type[Ensemble], Constraint] = {}

    def constraint(self, ensemble: type[Ensemble]) -> Constraint:
        """What an ensemble forbids on this lattice, on the device."""
        if ensemble not in self._constraints:
            self._constraints[ensemble] = ensemble.constraint(self.hamiltonian.lattice).to(self.device)
        return self._constraints[ensemble]

    def along(self, occupations: Tensor, plan: Plan | Tensor, conditions: Conditions) -> Step:
        """All steps of a plan or an order: (batch, sites) -> (batch, sites, ...), indexed by place in the order."""
        plan = Plan.of(plan)
        if not plan.one_by_one:
            return self._block_by_block(occupations, plan, conditions)
        order = plan.order
        energies = None
        if self.energies:
            energies = self.hamiltonian.for_members(conditions.member).completed_energies(occupations, order)
            energies = energies.gather(1, order[..., None].expand(-1, -1, self.q))
        index = torch.arange(order.shape[1], device=order.device).expand_as(order)
        rule = self.constraint(conditions.ensemble).along(occupations, order, conditions.targets)
        return self._step(energies, order, index, conditions, rule)

    def _block_by_block(self, occupations: Tensor, plan: Plan, conditions: Conditions) -> Step:
        blocks = [
            self.of_block(torch.where(plan.known_before(k), occupations, -1), plan.block(k), conditions) for k in range(len(plan.spans))
        ]
        return Step(*(torch.cat([getattr(block, field.name) for block in blocks], 1) for field in fields(Step)))

    def of_block(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Step:
        """The steps that draw ``sites`` (batch, k) when ``partial`` (batch, sites), -1 = unknown, is there; (batch, k, ...)."""
        energies = None
        if self.energies:
            energies = self.hamiltonian.for_members(conditions.member).completed_site_energies(partial, sites)
        rule = self.constraint(conditions.ensemble).at(partial, sites, conditions.targets)
        return self._step(energies, sites, (partial >= 0).sum(1, keepdim=True).expand_as(sites), conditions, rule)

    def features(self, step: Step) -> Tensor:
        """All that a network may read of some steps, (..., n_features)."""
        progress, sublattice = step.index.to(self.dtype) / self.n_sites, F.one_hot(self.sublattice[step.site], self.n_sublattices)
        return torch.cat([step.fields, step.left, progress[..., None], sublattice.to(self.dtype)], -1)

    def _step(self, energies: Tensor | None, site: Tensor, index: Tensor, conditions: Conditions, rule: Rule) -> Step:
        """``site`` drawn as step number ``index``, both (batch, k)."""
        allowed, left = rule[0], rule[1].to(self.dtype)
        boltzmann = torch.zeros(*site.shape, self.q, dtype=self.dtype, device=site.device)
        if energies is not None:
            beta, mu = conditions.beta.to(self.dtype)[:, None, None], conditions.mu.to(self.dtype)[:, None]
            boltzmann = -beta * (energies.to(self.dtype) - mu)
        base = boltzmann + left
        return Step(base.masked_fill(~allowed, -torch.inf), boltzmann, _fields(base, allowed), left, site, index)


def _fields(base: Tensor, allowed: Tensor) -> Tensor:
    """Finite even where no species can be placed: a NaN would reach the steps before through attention."""
    share = torch.where(allowed, base.masked_fill(~allowed, -torch.inf).softmax(-1), 0.0)
    centred = (base - (base * allowed).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True).clamp(min=1)) * allowed
    return torch.cat([centred / 4, share], -1)


def choose(logits: Tensor, uniform: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Species of some steps (batch, k) by the inverse CDF, and their float64 log-probabilities, 0 where given.

    Args:
        logits: (batch, k, species).
        uniform: (batch, k) in [0, 1).
        given: (batch, k) species, -1 where to draw.
    """
    logits = logits.double()
    *below, total = accumulate(logits.softmax(-1).unbind(-1))  # species are few: a scan along them is slow on a GPU
    threshold, drawn = uniform * total, torch.zeros_like(given)
    for each in below:
        drawn = drawn + (each <= threshold)
    species = torch.where(given >= 0, given, drawn)
    chosen = logits.log_softmax(-1).gather(-1, species[..., None])[..., 0]
    return species, torch.where(given >= 0, 0.0, chosen)
