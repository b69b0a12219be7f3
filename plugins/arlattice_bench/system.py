"""Systems of the tables: a Hamiltonian, the states its models are trained on, and those they are measured at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arlattice.build import build_hamiltonian
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.hamiltonians import Hamiltonian
from arlattice.training.compiled import load_compiled
from arlattice.training.states import StateRange
from arlattice_bench.references import ReferenceMaker

__all__ = ["Condition", "System"]


@dataclass(frozen=True)
class Condition:
    """States that one figure is averaged over.

    Attributes:
        label: what tables call it, e.g. ``"T = 2.0"``.
        states: one state, or a grid of them with equal weights.
    """

    label: str
    states: tuple[SemiGrandCanonical, ...]


@dataclass(frozen=True)
class System:
    """A Hamiltonian with the states that its models are trained on and measured at.

    Attributes:
        name: e.g. ``"10x10"``.
        hamiltonian: registered name.
        options: of the Hamiltonian.
        trained_on: box of states, or one state.
        conditions: where models are measured.
        reference: log Z of its states; see `arlattice_bench.references`.
    """

    name: str
    hamiltonian: str
    options: Mapping[str, Any]
    trained_on: StateRange | Ensemble
    conditions: tuple[Condition, ...]
    reference: ReferenceMaker

    def build(self, folder: Path | None = None) -> Hamiltonian:
        """The Hamiltonian: ``folder/HAMILTONIAN-NAME.safetensors`` where that is a file, else built by its plugin.

        Raises:
            InputError: the file was compiled with other options.
        """
        path = None if folder is None else folder / f"{self.hamiltonian}-{self.name}.safetensors"
        if path is None or not path.is_file():
            return build_hamiltonian(self.hamiltonian, self.options)
        return load_compiled(path, self.hamiltonian, self.options, "--hamiltonians")

    def describe(self) -> dict[str, Any]:
        """Hamiltonian and training states as plain data."""
        states = self.trained_on
        return {
            "hamiltonian": {"name": self.hamiltonian, **self.options},
            "trained_on": states.description() if isinstance(states, StateRange) else states.to_dict(),
        }
