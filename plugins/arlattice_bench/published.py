"""What others published for these tables: quotations, not measurements of ours.

All figures are <log p - log f> as printed: minus a lower bound of log Z.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MAM_ISING", "TABLE_1", "TABLE_2", "Published"]


class Published(NamedTuple):
    """One figure.

    Attributes:
        method: as its source calls it.
        system: column of our table.
        value: <log p - log f> in nats; None where the source has no number.
        row: our row that does the same; empty where none does.
        source: where it is printed.
        note: what the source says in place of a number.
    """

    method: str
    system: str
    value: float | None
    row: str
    source: str
    note: str = ""


_PAPER = "Du, Liu, Gomez-Bombarelli, Scaling autoregressive models for lattice thermodynamics"
_1, _2 = f"{_PAPER}, table 1", f"{_PAPER}, table 2"
_MAM = "Liu, Ramadge, Adams, Generative marginalization models (ICML 2024), 10x10 Ising"

TABLE_1 = (
    Published("FO-ARM", "5x5", -26.26, "fixed-order-mlp", _1),
    Published("FO-ARM", "10x10", -104.69, "fixed-order-mlp", _1),
    Published("FO-ARM", "20x20", None, "fixed-order-mlp", _1, "did not fit the GPU"),
    Published("AO-ARM-MLP", "5x5", -26.27, "any-order-mlp", _1),
    Published("AO-ARM-MLP", "10x10", -104.77, "any-order-mlp", _1),
    Published("AO-ARM-MLP", "20x20", None, "any-order-mlp", _1, "did not fit the GPU"),
    Published("AO-ARM-MLP, painted", "20x20", -415.13, "any-order-mlp-painted", _1),
    Published("MAM-MLP", "5x5", -26.22, "marginal-mlp", _1),
    Published("MAM-MLP", "10x10", -98.90, "marginal-mlp", _1),
    Published("MAM-MLP", "20x20", None, "marginal-mlp", _1, "mode collapse"),
    Published("MAM-MLP, painted", "20x20", -401.31, "marginal-mlp-painted", _1),
    Published("MAM-transformer", "5x5", -26.25, "marginal-transformer", _1),
    Published("MAM-transformer", "10x10", -104.66, "marginal-transformer", _1),
    Published("MAM-transformer", "20x20", -414.34, "marginal-transformer", _1),
    Published("MAM-transformer, painted", "20x20", -415.13, "marginal-transformer-painted", _1),
)

TABLE_2 = (
    Published("FO-ARM", "2x2x4", -32.92, "fixed-order-mlp", _2),
    Published("FO-ARM", "4x4x8", None, "fixed-order-mlp", _2),
    Published("AO-ARM-MLP", "2x2x4", -32.92, "any-order-mlp", _2),
    Published("AO-ARM-MLP, painted", "4x4x8", -215.29, "any-order-mlp-painted", _2),
    Published("MAM-MLP", "2x2x4", -31.87, "marginal-mlp", _2),
    Published("MAM-MLP, painted", "4x4x8", -223.16, "marginal-mlp-painted", _2),
    Published("MAM-transformer", "2x2x4", -32.84, "marginal-transformer", _2),
    Published("MAM-transformer, painted", "4x4x8", -217.06, "marginal-transformer-painted", _2),
)

MAM_ISING = (
    Published("ARM, fixed order", "10x10", -78.63, "fixed-order-mlp", _MAM),
    Published("GFlowNet, any order", "10x10", -78.17, "", _MAM),
    Published("MAM, any order", "10x10", -77.77, "marginal-mlp", _MAM),
)
