"""Hamiltonians from files: compiled tables, or the files of expansions that a plugin reads.

The options of a Hamiltonian say which files they take (`arlattice.hooks.options.Options.files`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from arlattice.arguments import path_text
from arlattice.build import build_hamiltonian
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager

__all__ = ["read_hamiltonian"]


def read_hamiltonian(path: str | Path, supercell: Callable[[], np.ndarray]) -> Hamiltonian:
    """A Hamiltonian from a file.

    Args:
        path: compiled tables (`ClusterHamiltonian.save`), or a file of a registered Hamiltonian, known by its ending.
        supercell: integer matrix (3, 3) for files that do not say it; asked for only then.

    Raises:
        InputError: a file that nothing reads, or a damaged one.
    """
    ending = Path(path_text("path", path)).suffix.lower()
    for entry in default_manager().hamiltonians:
        option = entry.load_options().files.get(ending)
        if option is not None:
            return build_hamiltonian(entry.name, {option: str(path), "supercell": supercell().tolist()}, "--hamiltonian", by_hand=True)
    return ClusterHamiltonian.load(path)
