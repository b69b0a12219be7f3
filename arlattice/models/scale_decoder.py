"""`ScaleDecoder`: draws the blocks of a plan, each with the network of its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.models.scale_tables import Layout

if TYPE_CHECKING:
    from arlattice.models.multiscale import Multiscale

__all__ = ["ScaleDecoder"]


class ScaleDecoder:
    """Draws the blocks of a plan; the scale of a block is what its step must know."""

    reads_given, recordable = False, True

    def __init__(self, model: Multiscale, layout: Layout, given: bool) -> None:
        self._model, self._layout, self._given = model, layout, given
        self.key = layout.scales.parts, given
        layout.tables(model.device)  # before a step is recorded

    def stage(self, block: int, span: tuple[int, int], sites: int, recorded: bool) -> int:
        """See `Decoder.stage`."""
        return self._layout.scale_of_block[block]

    def begin(self, order: Tensor, conditions: Conditions) -> dict[str, Tensor]:
        """See `Decoder.begin`."""
        return {"order": order}

    def logits(
        self, memory: dict[str, Tensor], partial: Tensor, place: Tensor, sites: Tensor, conditions: Conditions, stage: int
    ) -> Tensor:
        """See `Decoder.logits`."""
        placed, places = partial.gather(1, memory["order"]).to(torch.int8), place.expand(len(partial), -1)
        return self._model.placed_logits(self._layout, stage, partial, placed, memory["order"], places, conditions, self._given, True)
