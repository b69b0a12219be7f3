"""Tables of energies that are equal but for rounding, kept once."""

from __future__ import annotations

import numpy as np

__all__ = ["shared_tables"]

_DIGITS = 14  # of table entries over the largest: all but the last bits, which sums in another order change


def shared_tables(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct tables of (tables, ...), and which of them each is, (tables,)."""
    flat = tables.reshape(len(tables), -1)
    digits = np.round(flat / (np.abs(flat).max(initial=0.0) or 1.0), _DIGITS) + 0.0
    _, first, inverse = np.unique(digits, axis=0, return_index=True, return_inverse=True)
    return tables[first], inverse.reshape(-1)
