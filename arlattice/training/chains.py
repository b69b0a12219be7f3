"""`ModelChains`: configurations that a model keeps drawing anew, a few sites at a time (block Gibbs).

Each advance hides some sites of every configuration, a random block each, and draws them from the model's own conditionals.
From time to time all are drawn from nothing, in new states. Source: S. Liu, P. Ramadge, R. Adams, "Generative
marginalization models", ICML 2024, section 4.3 (persistent block-wise Gibbs).
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.decoding.orders import draw_orders
from arlattice.models.base import Model
from arlattice.random_numbers import Stream

__all__ = ["ModelChains"]


class ModelChains:
    """Persistent configurations of a model, several of each state.

    Args:
        states: where to draw the states from, (states,).
        groups: number of states held at once.
        size: configurations of each.
        block: sites drawn anew by an advance.
        refresh: advances between draws from nothing.
        seed: of all random numbers; None takes a fresh one; or the stream of a larger run, on the device of the states.

    Attributes:
        occupations: (groups * size, sites); configurations of one state follow one another.
        rows: state of every group (groups,).
    """

    def __init__(self, states: Conditions, groups: int, size: int, block: int, refresh: int, seed: int | Stream | None = None) -> None:
        self.states, self.size, self.block, self.refresh = states, size, block, refresh
        self.stream = Stream.of(seed, "model chains", states.beta.device)
        self.rows = torch.zeros(groups, dtype=torch.long, device=self.stream.device)
        self.occupations = torch.zeros(groups * size, 0, dtype=torch.long, device=self.stream.device)
        self._turn = 0

    @property
    def conditions(self) -> Conditions:
        """State of every configuration."""
        return self.states[self.rows.repeat_interleave(self.size)]

    @torch.no_grad()
    def advance(self, model: Model) -> None:
        """Draw a block of every configuration anew, or all of it."""
        if self._turn % self.refresh == 0:
            self._renew(model)
        else:
            self._redraw(model)
        self._turn += 1

    def _renew(self, model: Model) -> None:
        self.rows = self.stream["state"].integers(len(self.states), 1, len(self.rows))[0]
        n = len(self.occupations)
        order = model.resolve_plan(n, "random" if "random" in model.orders else None, self.stream["order"])
        self.occupations, _ = model.draw(self.stream["draw"].uniform(model.lattice.n_sites, n), order, self.conditions)

    def _redraw(self, model: Model) -> None:
        n, sites = self.occupations.shape
        block = draw_orders(model.lattice, n, "random", self.stream["block"])[:, : min(self.block, sites)]
        self.occupations = model.redraw(self.occupations, block, self.stream["redraw"].uniform(block.shape[1], n), self.conditions)

    def to_tensors(self) -> dict[str, Tensor]:
        """State to continue from with the same bits (the counters of the stream are the caller's)."""
        return {"occupations": self.occupations.to(torch.int16), "rows": self.rows, "turn": torch.tensor(self._turn)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `to_tensors`."""
        device = self.stream.device
        self.occupations, self.rows = (tensors[key].to(device, torch.long) for key in ("occupations", "rows"))
        self._turn = int(tensors["turn"])
