"""The network of one scale: residual convolutions over its cells, steered by the state and by what is asked for.

It reads what is known of every cell, and of every unknown site the completed-cluster energies: the fields that its unknown neighbours
feel, over which the logits of a site are a mean.

Shapes: B batch, M cells, C sites a cell, q species, d width, k sites asked for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arlattice.models.residual_block import ResidualBlock
from arlattice.models.torus_convolution import Rim, TorusConvolution, linear

__all__ = ["ScaleNetwork"]


class ScaleNetwork(nn.Module):
    """See the module's docstring.

    Args:
        sites: of a cell.
        species: number of them.
        labels: classes that a cell may have.
        dimensions: periodic directions.
        width: features of a cell.
        layers: residual blocks.
    """

    def __init__(self, sites: int, species: int, labels: int, dimensions: int, width: int, layers: int) -> None:
        super().__init__()
        self.sites, self.q, self.labels = sites, species, labels
        self.channels = -(-sites * (3 * species + 1) // 8) * 8  # of a multiple of 8 convolutions are fast
        self.stem = TorusConvolution((self.channels, width), dimensions)
        self.finer = nn.Linear(sites * species, width, bias=False)
        self.code = nn.Linear(labels + sites, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, dimensions) for _ in range(layers))
        self.head = nn.Linear(width, sites * species)
        for parameter in (self.finer.weight, *self.head.parameters()):
            nn.init.zeros_(parameter)

    def forward(
        self,
        species: Tensor,
        asked: Tensor,
        fields: Tensor,
        code: Tensor,
        state: Tensor,
        finer: Tensor | None,
        rim: Rim,
        alike: bool = False,
    ) -> Tensor:
        """Logits (B, k, q) of the sites that are asked for.

        Args:
            species: of the cells, -1 where unknown, (B, M C).
            asked: entries of ``species``, M C for none, (B, k).
            fields: of all sites, (B, M C, 2 q), centred logits and shares (`arlattice.decoding.steps.Step`); read within 8, where
                the species is unknown.
            code: what is asked for, (B, labels + C).
            state: (B, d).
            finer: shares of known species around the cells among finer ones, (B, M, C q), None for nothing known.
            rim: of the cells.
            alike: whether the same is asked of all configurations, and no gradient is wanted: the last features are computed there
                alone then.
        """
        cells = asked[0] // self.sites if alike else None
        kind, dtype = fields.device.type, self.head.weight.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        with torch.autocast(kind, enabled=False):  # it would keep norms in single precision: twice the memory traffic
            steering = F.silu(state.to(dtype) + linear(self.code, code.to(dtype)))
            z = self.stem(self._cells(species, asked, fields.clamp(-8, 8).to(dtype)), rim)
            if finer is not None:
                z = z + linear(self.finer, finer.to(dtype))
            for block in self.blocks[:-1]:
                z = block(z, steering, rim)
            z = self.blocks[-1](z, steering, rim, cells)
            logits = linear(self.head, F.gelu(z)).to(self.head.weight.dtype).view(len(z), -1, self.q)
        if cells is not None:
            asked = torch.arange(len(cells), device=z.device) * self.sites + asked % self.sites
        return F.pad(logits, (0, 0, 0, 1)).gather(1, asked[..., None].expand(-1, -1, self.q))

    def _cells(self, species: Tensor, asked: Tensor, fields: Tensor) -> Tensor:
        """What is known of the cells and asked of them, (B, M, channels)."""
        B, entries = species.shape
        here = fields.new_zeros(B, entries + 1).scatter(1, asked, 1.0)[:, :-1, None]
        known = (species[..., None] == torch.arange(self.q, device=species.device)).to(here.dtype)
        unknown = torch.where(species[..., None] >= 0, 0.0, fields)
        cells = torch.cat([known, unknown, here], -1).view(B, entries // self.sites, -1)
        return F.pad(cells, (0, self.channels - cells.shape[-1]))
