"""log Z of the systems of the tables: exact where there is a formula or an enumeration, else two Monte Carlo estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.hamiltonians import Hamiltonian
from arlattice.io.records import read_json

__all__ = ["LogZ", "Reference", "ReferenceMaker", "enumeration", "kaufman", "monte_carlo", "transfer_matrix"]


@dataclass(frozen=True)
class Reference:
    """log Z of one state.

    Attributes:
        log_z: with its standard error, 0 where it is exact.
        source: how it was found.
    """

    log_z: Estimate
    source: str


LogZ = Callable[[Ensemble], Reference | None]
"""log Z of a state; None where it is not known yet."""

ReferenceMaker = Callable[[Callable[[], Hamiltonian], Path], LogZ]
"""From a function that builds the Hamiltonian, and the folder of results, to `LogZ`."""


def kaufman(length: int) -> ReferenceMaker:
    """Kaufman's formula for the ``length`` x ``length`` Ising torus, J = 1, no field."""
    from arlattice.thermo.exact import ising_torus_log_z

    def log_z(state: Ensemble) -> Reference:
        return Reference(Estimate(ising_torus_log_z(length, state.beta("reduced")), 0.0), "Kaufman's formula")

    return lambda hamiltonian, results: log_z


def transfer_matrix(width: int, length: int) -> ReferenceMaker:
    """Transfer matrix of the Ising torus, J = 1, with the field h = (mu_up - mu_down) / 2."""

    def log_z(state: Ensemble) -> Reference:
        from arlattice.thermo.transfer_matrix import ising_transfer_matrix_log_z

        if not isinstance(state, SemiGrandCanonical):
            raise InputError("state", state, "the transfer matrix takes semi-grand-canonical states")
        beta, mu = state.beta("reduced"), state.chemical_potentials
        up, down = mu.get("up", 0.0), mu.get("down", 0.0)
        value = ising_transfer_matrix_log_z(width, length, beta, field=(up - down) / 2, coupling=1.0)
        return Reference(Estimate(value + beta * width * length * (up + down) / 2, 0.0), "transfer matrix")

    return lambda hamiltonian, results: log_z


def enumeration(hamiltonian: Callable[[], Hamiltonian], results: Path) -> LogZ:
    """The sum over all configurations."""
    from arlattice.thermo.exact import Enumeration

    table = Enumeration.of(hamiltonian())
    return lambda state: Reference(Estimate(table.log_z(state), 0.0), "enumeration")


def monte_carlo(name: str) -> ReferenceMaker:
    """Population annealing and MBAR from ``results/NAME``: their mean as the file has it (by inverse variance)."""

    def maker(hamiltonian: Callable[[], Hamiltonian], results: Path) -> LogZ:
        path = results / name
        rows = _rows(path) if path.is_file() else []
        return lambda state: next((_both(row) for row in rows if _is(row, state)), None)

    return maker


_FIGURES = ("temperature", "delta_mu", *(f"log_z{by}{error}" for by in ("", "_annealing", "_mbar") for error in ("", "_error")))


def _rows(path: Path) -> list[dict[str, float]]:
    rows: Any = read_json(path, "--output").get("states")
    numbers = isinstance(rows, list) and all(isinstance(r, dict) and all(isinstance(r.get(k), int | float) for k in _FIGURES) for r in rows)
    if not numbers:
        raise InputError("--output", str(path), "damaged: it holds no references; remove it")
    return rows


def _is(row: dict[str, float], state: Ensemble) -> bool:
    if not isinstance(state, SemiGrandCanonical):
        return False
    delta_mu = state.chemical_potentials.get("Au", 0.0) - state.chemical_potentials.get("Cu", 0.0)
    return math.isclose(row["temperature"], state.temperature) and abs(row["delta_mu"] - delta_mu) < 1e-9


def _both(row: dict[str, float]) -> Reference:
    each = {name: Estimate(row[f"log_z_{name}"], row[f"log_z_{name}_error"]) for name in ("annealing", "mbar")}
    source = f"mean of population annealing {each['annealing']} and MBAR {each['mbar']}"
    return Reference(Estimate(row["log_z"], row["log_z_error"]), source)
