"""Phases and order at the states of a reference, from the configurations that were kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from arlattice.lattice import Lattice
from references.sublattices import PHASES, order_parameter, phase_of, waves

__all__ = ["BINS", "described"]

BINS = np.linspace(0.0, 1.0, 33)
"""Edges of the histograms of the order parameter and of x, both in [0, 1]; the last bin holds 1."""


def described(lattice: Lattice, kept: np.ndarray) -> dict[str, Any]:
    """Shares of the phases with errors over the copies, and histograms as shares of the configurations.

    Args:
        lattice: of the configurations.
        kept: of one state, (snapshots, copies, sites), 0 and 1.
    """
    rows = kept.reshape(-1, lattice.n_sites)
    member = np.eye(len(PHASES))[phase_of(lattice, rows)].reshape(*kept.shape[:2], -1).mean(0)  # (copies, phases)
    error = member.std(0, ddof=1) / math.sqrt(len(member))
    order = order_parameter(waves(lattice, rows))
    return {
        "phases": {name: [float(member[:, k].mean()), float(error[k])] for k, name in enumerate(PHASES)},
        "order_histogram": _shares(order),
        "x_histogram": _shares(rows.mean(1)),
    }


def _shares(values: np.ndarray) -> list[float]:
    return [round(float(share), 6) for share in np.histogram(values, BINS)[0] / len(values)]
