"""The pieces of work that are timed, by name: nothing of any library is imported here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

__all__ = ["PEERS", "THREADS", "Case", "Piece", "cpu_cases", "gpu_cases"]

PEERS = ("icet", "smol", "casm")
"""Other libraries: mchammer and icet, smol, libcasm-clexmonte."""

BOTH = ("float32", "float64")
THREADS = "arlattice, two threads"


@dataclass(frozen=True)
class Piece:
    """One thing that one library does again and again.

    Args:
        library: ``"arlattice"`` or one of `PEERS`.
        quantity: an ensemble whose trials are counted, a method of `arlattice.Hamiltonian`, or ``"build"``.
        system: see `speed.systems`.
        count: chains, or configurations a call.
        how: the move, or ``"checked"`` and ``"unchecked"``.
        dtype: arithmetic.
        through: the function that a user calls, where there are several.
    """

    library: str
    quantity: str
    system: str
    count: int = 1
    how: str = ""
    dtype: str = "float64"
    through: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """Pieces that are timed in turns: all of the first round, then all of the second.

    Args:
        quantity: what is counted.
        system: what of.
        pieces: who does it.
        compared: the library whose rows get the ratios to the others.
    """

    quantity: str
    system: str
    pieces: tuple[Piece, ...] = field(repr=False)
    compared: str = "arlattice"

    @property
    def name(self) -> str:
        """Quantity and system."""
        return f"{self.quantity}, {self.system}"


def cpu_cases() -> list[Case]:
    """Everything that one core does, beside its peers; then two threads."""
    return [
        trials("cuau-64", ("heat-bath", "metropolis"), through=("ReplicaExchange", "sample_chains")),
        trials("cuau-64", ("swap",), quantity="canonical"),
        trials("cuau-4096", ("heat-bath",)),
        trials("ternary-64", ("heat-bath",)),
        trials("ising-64x64", ("heat-bath",), peers=()),
        _energies(),
        *(_differences(name) for name in ("flip_differences", "swap_differences", "completed_energies")),
        *_threads(),
        *(Case("build", system, (Piece("arlattice", "build", system),)) for system in ("cuau-4096", "ising-60x60")),
    ]


def gpu_cases() -> list[Case]:
    """What one GPU does; nobody beside it."""
    many = 100_000
    return [
        trials("cuau-64", ("heat-bath", "metropolis"), counts=(many,), peers=()),
        trials("cuau-64", ("swap",), quantity="canonical", counts=(many,), peers=()),
        trials("cuau-512", ("heat-bath",), counts=(many,), peers=()),
        trials("ternary-64", ("heat-bath",), counts=(many,), peers=()),
        trials("ising-64x64", ("heat-bath",), counts=(4096, 16384), peers=()),
        Case("energy", "cuau-64", _batches("energy", (many, 10 * many), "unchecked")),
        Case("flip_differences", "cuau-64", _batches("flip_differences", (many,), "unchecked")),
    ]


def trials(
    system: str,
    moves: Iterable[str],
    quantity: str = "semi-grand-canonical",
    counts: Iterable[int] = (1, 256),
    peers: Iterable[str] = PEERS,
    through: Iterable[str] = ("ReplicaExchange",),
) -> Case:
    """Trials of Monte Carlo: ours by move, number of chains and arithmetic; of the peers one chain each."""
    ours = [
        Piece("arlattice", quantity, system, count, move, dtype, way)
        for way in through
        for move in moves
        for count in counts
        for dtype in (BOTH if way == "ReplicaExchange" else BOTH[1:])  # what records samples is float64
    ]
    how = "swap" if quantity == "canonical" else "metropolis"
    return Case(quantity, system, (*ours, *(Piece(peer, quantity, system, how=how) for peer in peers)))


def _energies() -> Case:
    ours = (*_batches("energy", (1, 1000), "checked"), *_batches("energy", (1, 1000), "unchecked"))
    return Case("energy", "cuau-64", (*ours, *(Piece(peer, "energy", "cuau-64") for peer in PEERS)))


def _differences(quantity: str) -> Case:
    return Case(quantity, "cuau-64", _batches(quantity, (1, 1000), "unchecked"))


def _batches(quantity: str, counts: Iterable[int], how: str) -> tuple[Piece, ...]:
    return tuple(Piece("arlattice", quantity, "cuau-64", count, how, dtype) for count in counts for dtype in BOTH)


def _threads() -> list[Case]:
    chains = [Piece("arlattice", "semi-grand-canonical", "cuau-64", n, "heat-bath", "float32", "ReplicaExchange") for n in (256, 2048)]
    batches = [Piece("arlattice", "energy", "cuau-64", n, "unchecked", "float32") for n in (1000, 20000)]
    return [Case(f"{p.quantity}, threads", p.system, (p, replace(p, library=THREADS)), compared=THREADS) for p in chains + batches]
