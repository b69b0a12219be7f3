"""Figures of a model in a few of the states that it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch

from arlattice.ensemble import Ensemble
from arlattice.models.base import Model
from arlattice.random_numbers import Stream
from arlattice.reliability import quiet
from arlattice.training.health import above_random
from arlattice.training.states import States

__all__ = ["evaluate", "evaluated_states"]

_STATES = 9


def evaluated_states(states: States) -> list[Ensemble]:
    """About nine of the states, evenly spread: corners, middles of edges and the centre of a box."""
    corners = states.corners()
    return corners[:: max(1, len(corners) // _STATES)]


@torch.no_grad()
def evaluate(models: Sequence[Model], states: Sequence[Ensemble], n: int, stream: Stream, order: str | None = "random") -> dict[str, float]:
    """Figures over a few states.

    Args:
        models: the averaged weights, on every Hamiltonian to look at.
        states: to draw in, all with every model.
        n: configurations of each.
        stream: of the seeds, one a model and state.
        order: to draw in; None is the family's default, which one without random orders takes always.

    Returns:
        Mean and worst ``gap`` (log mean f/q - mean log f/q, nats) and ``ess``, and in the worst state how far the lower bound of
        log Z lies above that of random species (`arlattice.training.health.above_random`).
    """
    order = order if "random" in models[0].orders else None
    seeds = stream.integers(2**53, 1, len(models) * len(states))[0].tolist()
    pairs = zip(product(models, states), seeds, strict=True)
    sets = [(model, model.sample(n, state, order=order, seed=seed, batch_size=n)) for (model, state), seed in pairs]
    with quiet():  # few samples are enough to watch a run
        gaps = [float(s.log_z().value - s.elbo().value) for _, s in sets]
    ess = [float(s.ess) for _, s in sets]
    figures = {"gap": sum(gaps) / len(gaps), "worst_gap": max(gaps), "ess": sum(ess) / len(ess), "worst_ess": min(ess)}
    return figures | {"above_random": min(above_random(s, model.hamiltonian) for model, s in sets)}
