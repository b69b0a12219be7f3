"""The line in Delta mu at one temperature: log Z relative to field 0, by chains that are renewed through hotter states."""

from __future__ import annotations

from typing import Any

import numpy as np

import arlattice as arl
from arlattice.ensemble import BOLTZMANN
from arlattice.random_numbers import Stream
from references.exchange import Schedule, replica_exchange

__all__ = ["MU", "TEMPERATURE", "run"]

TEMPERATURE, _HOTTEST, _ROWS = 680.0, 2500.0, 12
MU = np.linspace(-0.4, 0.4, 81)


def run(hamiltonian: arl.Hamiltonian, copies: int, schedule: Schedule, stream: Stream) -> dict[str, Any]:
    """Exchanges along Delta mu and along beta, up to hot states; what is kept is the line alone."""
    beta = 1 / (BOLTZMANN["eV"] * np.geomspace(_HOTTEST, TEMPERATURE, _ROWS))
    b, m = np.meshgrid(beta, MU, indexing="ij")
    found = replica_exchange(hamiltonian, b, m, copies, schedule, stream, along=(0, 1))
    return {"line_mu": MU, "line_energy": found.energy[-1], "line_atoms": found.atoms[-1]}
