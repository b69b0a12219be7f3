"""`StatePriority`: draws the states of a training step, more often those the model does not know yet.

A share of the groups is drawn evenly; the rest in proportion to the running mean of V / (1 + V) in a cell of states, V the variance
of log q - log f in a replayed group (half of it is the KL divergence, to leading order). Within a state all configurations
stay equally likely, so the optimum of every state is what it was; states near a transition get more steps.

Source: T. Schaul et al., Prioritized experience replay, ICLR 2016; here states have priorities, not configurations.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from arlattice.random_numbers import Stream

__all__ = ["StatePriority"]

_RATE = 0.02  # of the running means


class StatePriority:
    """Cells of states, and how badly each is known.

    Args:
        cells: number of cells; their groups follow one another.
        groups: number of groups, a multiple of ``cells``.
        share: of the draws by priority, from 0 to 1; the rest is even.
        seed: of all random numbers; None takes a fresh one; or the stream of a larger run, on the device of the states.

    Attributes:
        weights: running mean of V / (1 + V) in every cell (cells,); 1 where nothing was seen.
    """

    def __init__(self, cells: int, groups: int, share: float, seed: int | Stream | None = None) -> None:
        self.share, self.stream, self._per_cell = share, Stream.of(seed, "priority", "cpu"), groups // cells
        self.weights = torch.ones(cells, dtype=torch.float64, device=self.stream.device)

    @property
    def probabilities(self) -> Tensor:
        """Of drawing a group from each cell (cells,)."""
        return (1 - self.share) / len(self.weights) + self.share * self.weights / self.weights.sum()

    def draw(self, n: int) -> Tensor:
        """Groups to train on (n,); `update` is about these."""
        waits = -self.stream["cell"].uniform(len(self.weights), n).T.log() / self.probabilities
        self._drawn = waits.argmin(1)  # the first of exponential waits: the same bits on a GPU, unlike torch.multinomial
        return self._drawn * self._per_cell + self.stream["group"].integers(self._per_cell, 1, n)[0]

    def update(self, variances: Tensor) -> None:
        """Take in the variance of log q - log f in every group drawn last (n,), nats squared."""
        member = F.one_hot(self._drawn, len(self.weights)).double()  # a product, not an index_add: the same bits on a GPU
        count = member.sum(0)
        known_badly = (1 - 1 / (1 + variances.double())).nan_to_num(nan=1.0)  # V / (1 + V), and 1 where log q is not finite
        mean = known_badly @ member / count.clamp(min=1)
        self.weights = torch.where(count > 0, self.weights.lerp(mean, _RATE), self.weights)

    def to_tensors(self) -> dict[str, Tensor]:
        """State to continue from with the same bits (the counters of the stream are the caller's)."""
        return {"weights": self.weights}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `to_tensors`."""
        self.weights = tensors["weights"].to(self.stream.device)
