"""`Job`: one row of one system, with everything that makes its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from arlattice_bench.system import System

__all__ = ["Job", "Kind"]

Kind = Literal["trained", "painted", "memory"]


@dataclass(frozen=True)
class Job:
    """One row of one system: a model to make and to measure.

    Attributes:
        row: name of the row.
        system: where it is measured.
        family: registered name of the model family.
        options: of the family.
        training: training options.
        kind: ``"trained"``; ``"painted"`` by the model of another job; or ``"memory"``: not trained, the memory of
            one training step is measured.
        supercells: options of the Hamiltonian for each of several sizes to train on instead of the system's own.
        painted_from: the job whose model paints.
        painting: options of `arlattice.models.painted.paint`.
        arguments: of the command line, for a row that is not in the table as it ships.
    """

    row: str
    system: System
    family: str
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "trained"
    supercells: tuple[Mapping[str, Any], ...] = ()
    painted_from: Job | None = None
    painting: Mapping[str, Any] = field(default_factory=dict)
    arguments: str = ""

    @property
    def how(self) -> str:
        """Where the model comes from, in words."""
        if self.painted_from is not None:
            return f"painted from {self.painted_from.system.name}"
        if self.supercells:
            return f"trained on {len(self.supercells)} smaller sizes"
        return "memory of a step" if self.kind == "memory" else "trained"

    def training_with(self, values: Mapping[str, Any]) -> Job:
        """The job with other training options, also where it takes its model from."""
        source = None if self.painted_from is None else self.painted_from.training_with(values)
        return replace(self, training={**self.training, **values}, painted_from=source)
