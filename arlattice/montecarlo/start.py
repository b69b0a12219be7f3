"""Random configurations to start chains from."""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.lattice import Lattice
from arlattice.random_numbers import Stream

__all__ = ["random_occupations"]


def random_occupations(lattice: Lattice, conditions: Conditions, stream: Stream) -> Tensor:
    """One configuration a state (batch, sites): allowed species at random, what the states fix is met.

    Where nothing is fixed, all sites are placed at once. With one sublattice every configuration of a composition is equally likely;
    with several this is a valid start, not an equilibrium at infinite temperature.
    """
    n, device = len(conditions), stream.device
    order = stream["order"].uniform(lattice.n_sites, n).T.argsort(1)
    noise = stream.uniform(lattice.n_sites, n)
    allowed = lattice.allowed.to(device)
    if conditions.ensemble.unconstrained():
        turn, ends = noise.T.gather(1, order.argsort(1)), allowed.double().cumsum(1)
        return (ends <= turn[..., None] * ends[:, -1:]).sum(-1)
    constraint = conditions.ensemble.constraint(lattice).to(device)
    occupations = torch.full_like(order, -1)
    for i in range(lattice.n_sites):
        site = order[:, i : i + 1]
        possible, share = constraint.at(occupations, site, conditions.targets)
        ends = (allowed[site] * possible * share.exp())[:, 0].cumsum(1)
        species = torch.searchsorted(ends, noise[i, :, None] * ends[:, -1:], right=True)
        occupations.scatter_(1, site, species)
    return occupations
