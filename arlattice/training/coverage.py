"""Whether a trained model covers the configurations of the chains that it was trained on.

Weights w = f / q of what the model draws say nothing of what it never draws: its ESS may be good while it misses all that counts.
The chains know better. With d = log w at a configuration of a chain less log w at one that the model draws in the same
state, and s^2 the variance of the model's own log w, a model that is wrong by a bell curve has d = s^2 in the mean. A
median of d far above that is a lost mode: the chains are where the model does not go.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.models.base import Model
from arlattice.random_numbers import Stream

__all__ = ["UncoveredWarning", "warn_uncovered"]

_ROWS = 64
_BEYOND = 3.0  # times s^2
_SLACK = 10.0  # nats


class UncoveredWarning(UserWarning):
    """A trained model gives hardly any probability to the configurations it was trained on."""


@torch.no_grad()
def warn_uncovered(model: Model, occupations: Tensor, conditions: Conditions, stream: Stream) -> None:
    """Warn if the model does not go where the chains are.

    Args:
        model: trained.
        occupations: of the chains, (chains, sites); 64 of them, evenly spread, are looked at.
        conditions: the states of the chains.
        stream: of the model's own draws.
    """
    rows = torch.linspace(0, len(occupations) - 1, min(_ROWS, len(occupations))).long().to(occupations.device)
    x, state = occupations[rows], conditions[rows]
    order = model.resolve_plan(len(rows), None, stream["order"])

    def log_weight(x: Tensor, log_prob: Tensor) -> Tensor:
        return state.log_f(model.hamiltonian_of(state).energy(x), x).double() - log_prob.double()

    def draw() -> Tensor:
        return log_weight(*model.draw(stream["draw"].uniform(x.shape[1], len(rows)), order, state))

    own, again = draw(), draw()
    beyond = float((log_weight(x, model(x, order, state).sum(1)) - own).median())
    spread = float((own - again).var()) / 2
    if beyond > _BEYOND * spread + _SLACK:
        text = (
            f"the model gives the configurations of its Monte Carlo chains e^-{beyond:.0f} of their share, and its own draws do not show it"
        )
        cure = "log Z and averages will be wrong with a good ESS; train longer, or rid the energy of large penalties (docs: monte-carlo)"
        warnings.warn(f"{text}: {cure}", UncoveredWarning, stacklevel=4)
