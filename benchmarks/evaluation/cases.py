"""Which models are evaluated, where, and beside what: a new model is one entry of `CASES`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import arlattice as arl
from evaluation.known import Alloy, Enumerated, IsingTorus, Known, grid

__all__ = ["CASES", "RESULTS", "Case"]

RESULTS = Path(__file__).parent.parent / "results"
CRITICAL = 2 / math.log(1 + math.sqrt(2))
"""Temperature of the square Ising model, J = 1."""


@dataclass(frozen=True)
class Case:
    """How a model is evaluated.

    Attributes:
        known: from the model's Hamiltonian and a file of chains (None: there is none), what it is compared with.
        headline: temperatures that the summary names, at field zero.
        phases: whether the ordered phases of FCC are counted.
    """

    known: Callable[[arl.Hamiltonian, Path | None], Known]
    headline: tuple[float, ...]
    phases: bool = False


def _enumerated(hamiltonian: arl.Hamiltonian, chains: Path | None) -> Known:
    return Enumerated(hamiltonian, grid(np.linspace(450, 1250, 10), [{"Au": round(float(mu), 6)} for mu in np.linspace(-0.4, 0.4, 11)]))


def _torus(temperatures: tuple[float, ...], fields: tuple[float, ...], hamiltonian: arl.Hamiltonian, chains: Path | None) -> Known:
    return IsingTorus(hamiltonian, grid(temperatures, [arl.ChemicalPotentials.from_field(h) for h in fields]))


def _alloy(name: str, hamiltonian: arl.Hamiltonian, chains: Path | None) -> Known:
    return Alloy(hamiltonian, RESULTS / f"reference-{name}.json", chains)


def _near_critical() -> Case:
    temperatures = (2.0, 2.1, 2.2, CRITICAL, 2.35, 2.45, 2.6)
    return Case(partial(_torus, temperatures, (0.0, 0.01, 0.02)), (2.0, CRITICAL, 2.6))


def _closer_to_critical() -> Case:
    """On 64x64 a field of .001 decides already which way the spins point."""
    return Case(partial(_torus, (2.1, 2.2, CRITICAL, 2.3, 2.4, 2.5), (0.0, 0.001, 0.005)), (2.1, CRITICAL, 2.5))


def _cuau(name: str, headline: tuple[float, ...]) -> Case:
    return Case(partial(_alloy, name), headline, phases=True)


CASES: dict[str, Case] = {
    "cuau-2x2x4": Case(_enumerated, (450.0, 1250.0)),
    "cuau-4x4x4": _cuau("cuau-4x4x4", (500.0, 680.0, 1200.0)),
    "cuau-4x4x8": _cuau("cuau-4x4x8", (500.0, 680.0, 1200.0)),
    "cuau-8x8x8": _cuau("cuau-8x8x8", (500.0, 680.0, 800.0, 1200.0)),
    "ising-10x10": Case(partial(_torus, (1.5, CRITICAL, 3.0, 5.0), (0.0, 0.1, 1.0)), (CRITICAL,)),
    "ising-16x16": _near_critical(),
    "ising-32x32": _near_critical(),
    "ising-64x64": _closer_to_critical(),
}
