"""Random configurations to start chains from."""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.composition import CompositionMask
from arlattice.conditions import Conditions
from arlattice.lattice import Lattice
from arlattice.random_numbers import Stream

__all__ = ["random_occupations"]


def random_occupations(lattice: Lattice, conditions: Conditions, stream: Stream) -> Tensor:
    """One configuration a state (batch, sites): allowed species at random, fixed compositions met.

    With one sublattice every configuration of a composition is equally likely; with several this is a
    valid start, not an equilibrium at infinite temperature.
    """
    n, device = len(conditions), stream.device
    order = stream["order"].uniform(lattice.n_sites, n).T.argsort(1)
    noise = stream.uniform(lattice.n_sites, n)
    mask = CompositionMask(lattice).to(device)
    allowed = lattice.allowed.to(device)
    captives = mask.captives_after(order)
    remaining = conditions.counts
    occupations = torch.zeros_like(order)
    for i in range(lattice.n_sites):
        weight = allowed[order[:, i]].double()
        if remaining is not None:
            weight = weight * mask.feasible(remaining, captives[:, i]) * remaining
        ends = weight.cumsum(1)
        species = torch.searchsorted(ends, noise[i, :, None] * ends[:, -1:], right=True)
        occupations.scatter_(1, order[:, i : i + 1], species)
        if remaining is not None:
            remaining = remaining - torch.nn.functional.one_hot(species[:, 0], lattice.n_species)
    return occupations
