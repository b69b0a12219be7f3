"""What is known when a site is drawn, before any network: Boltzmann logits and a few features.

With e(s) the energy of the clusters that the site completes as species s (the earlier sites being what they are),

    base(s) = -beta (e(s) - mu_s)    (+ log of the share of atoms of s that are left, at fixed composition)

so that a model that adds a network to it learns only the free energy of what is still unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.composition import CompositionMask
from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian

__all__ = ["Step", "Steps", "choose", "n_features"]


@dataclass
class Step:
    """One step, or all of an order: leading axes (batch,) or (batch, steps)."""

    base: Tensor  # (..., species), -inf where a species cannot be placed
    boltzmann: Tensor  # (..., species) -beta (e - mu), finite everywhere
    features: Tensor  # (..., n_features)


def n_features(n_species: int, n_sublattices: int) -> int:
    """Length of `Step.features`."""
    return 3 * n_species + 1 + n_sublattices


class Steps:
    """Reads steps off configurations, on one device and in one precision.

    Args:
        tables: the Hamiltonian there.
        device, dtype: where and in which precision.
        energies: False leaves the energies out: every allowed species starts equal.
    """

    def __init__(self, tables: Hamiltonian, device: torch.device, dtype: torch.dtype, *, energies: bool = True) -> None:
        lattice = tables.lattice
        self.tables, self.dtype, self.energies = tables, dtype, energies
        self.n_sites, self.q, self.n_sublattices = lattice.n_sites, lattice.n_species, len(lattice.basis)
        self.allowed = lattice.allowed.to(device)
        self.sublattice = torch.from_numpy(lattice.sublattice.copy()).to(device)
        self.composition = CompositionMask(lattice).to(device)

    def along(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> Step:
        """All steps of an order. (batch, sites), (batch, sites)."""
        remaining = captives = None
        if conditions.counts is not None:
            placed = F.one_hot(occupations.gather(1, order), self.q)
            remaining = conditions.counts[:, None] - placed.cumsum(1) + placed
            captives = self.composition.captives_after(order)
        energies = None
        if self.energies:
            energies = self.tables.completed_energies(occupations, order)
            energies = energies.gather(1, order[..., None].expand(-1, -1, self.q))
        index = torch.arange(order.shape[1], device=order.device).expand_as(order)
        return self._step(energies, order, index, conditions, remaining, captives)

    def after(self, partial: Tensor, site: Tensor, conditions: Conditions) -> Step:
        """The step that draws ``site`` (batch,) when ``partial`` (batch, sites), -1 = unknown, is there."""
        known = partial >= 0
        remaining = captives = None
        if conditions.counts is not None:
            placed = F.one_hot(partial.clamp(min=0), self.q) * known[..., None]
            remaining = conditions.counts - placed.sum(1)
            later = ~known.scatter(1, site[:, None], True)
            captives = (self.composition.captive & later[..., None]).sum(1)
        energies = self.tables.completed_site_energies(partial, site) if self.energies else None
        return self._step(energies, site, known.sum(1), conditions, remaining, captives)

    def _step(
        self,
        energies: Tensor | None,
        site: Tensor,
        index: Tensor,
        conditions: Conditions,
        remaining: Tensor | None,
        captives: Tensor | None,
    ) -> Step:
        """``site`` drawn as step number ``index``; same leading axes everywhere."""
        allowed = self.allowed[site]
        boltzmann = torch.zeros(*site.shape, self.q, dtype=self.dtype, device=site.device)
        if energies is not None:
            shape = (-1,) + (1,) * (site.ndim - 1)
            beta, mu = conditions.beta.to(self.dtype).view(*shape, 1), conditions.mu.to(self.dtype).view(*shape, self.q)
            boltzmann = -beta * (energies.to(self.dtype) - mu)
        base, left = boltzmann, torch.zeros_like(boltzmann)
        if remaining is not None and captives is not None:
            allowed = allowed & self.composition.feasible(remaining, captives)
            left = (remaining.clamp(min=1).to(self.dtype) / (self.n_sites - index)[..., None]).log()
            base = base + left
        return Step(base.masked_fill(~allowed, -torch.inf), boltzmann, self._features(base, left, allowed, site, index))

    def _features(self, base: Tensor, left: Tensor, allowed: Tensor, site: Tensor, index: Tensor) -> Tensor:
        """Finite even where no species can be placed: a NaN would reach the steps before through attention."""
        share = torch.where(allowed, base.masked_fill(~allowed, -torch.inf).softmax(-1), 0.0)
        centred = (base - (base * allowed).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True).clamp(min=1)) * allowed
        progress = (index.to(self.dtype) / self.n_sites)[..., None]
        sublattice = F.one_hot(self.sublattice[site], self.n_sublattices).to(self.dtype)
        return torch.cat([centred / 4, share, left, progress, sublattice], -1)


def choose(logits: Tensor, uniform: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Species of one step (batch,) by the inverse CDF, and its float64 log-probability, 0 where it was given.

    Args:
        logits: (batch, species).
        uniform: (batch,) in [0, 1).
        given: (batch,) species, -1 where to draw.
    """
    logits = logits.double()
    total = logits.softmax(-1).cumsum(-1)
    drawn = (total[:, :-1] <= uniform[:, None] * total[:, -1:]).sum(-1)
    species = torch.where(given >= 0, given, drawn)
    chosen = logits.log_softmax(-1).gather(1, species[:, None])[:, 0]
    return species, torch.where(given >= 0, 0.0, chosen)
