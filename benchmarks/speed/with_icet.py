"""icet: mchammer's ensembles, and `ClusterExpansionCalculator.calculate_total`."""

from __future__ import annotations

import itertools
import logging
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from icet import ClusterExpansion
from mchammer.calculators import ClusterExpansionCalculator
from mchammer.ensembles import CanonicalEnsemble, SemiGrandCanonicalEnsemble

from speed.pieces import Piece
from speed.work import Work

__all__ = ["Systems", "versions"]

_NEVER = 2**62  # trial steps between two rows of the data container
_CHECKED = 4


def versions() -> dict[str, str]:
    """Of icet."""
    logging.getLogger("icet").setLevel(logging.ERROR)
    return {"icet": version("icet")}


class Systems:
    """The systems of a folder; the expansion is icet's own file."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._calculator = cache(self._make)

    def prepare(self, piece: Piece) -> Work:
        """A piece made ready."""
        given, structure, calculator, error = self._calculator(piece.system)
        told = {"largest_energy_difference": error}
        if piece.quantity == "energy":
            rows = itertools.cycle(_numbers(given, given["occupations"]))
            return Work(lambda loops: [calculator.calculate_total(occupations=x) for x in itertools.islice(rows, loops)], 1, told)
        settings = {
            "structure": structure,
            "calculator": calculator,
            "temperature": float(given["temperature"]),
            "random_seed": 1,
            "ensemble_data_write_interval": _NEVER,
            "trajectory_write_interval": _NEVER,
        }
        if piece.quantity == "canonical":
            ensemble = CanonicalEnsemble(**settings)
        else:
            ensemble = SemiGrandCanonicalEnsemble(**settings, chemical_potentials=dict.fromkeys(given["species"].tolist(), 0.0))
        return Work(lambda loops: ensemble.run(loops * len(structure)), len(structure), told)

    def _make(self, system: str) -> tuple[Any, Atoms, ClusterExpansionCalculator, float]:
        """Data, a structure of half the second species, its calculator, and how far energies are from ours, eV."""
        given = np.load(self._folder / f"{system}.npz")
        numbers = _numbers(given, np.arange(len(given["positions"]))[None] % 2)[0]
        structure = Atoms(numbers, positions=given["positions"], cell=given["supercell"] @ given["cell"], pbc=True)
        calculator = ClusterExpansionCalculator(structure, ClusterExpansion.read(str(self._folder / f"{system.split('-')[0]}.ce")))
        found = [calculator.calculate_total(occupations=x) for x in _numbers(given, given["occupations"][:_CHECKED])]
        return given, structure, calculator, float(np.abs(np.array(found) - given["energies"][:_CHECKED]).max())


def _numbers(given: Any, occupations: np.ndarray) -> np.ndarray:
    """Atomic numbers of species indices."""
    return np.array([atomic_numbers[symbol] for symbol in given["species"]])[occupations]
