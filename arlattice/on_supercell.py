"""The same Hamiltonian on another supercell, through the plugin that built it.

A Hamiltonian whose options have one called ``supercell`` can be put on any supercell that its plugin builds; nothing else need know what
the other options of a plugin are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from arlattice.build import build_hamiltonian
from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager
from arlattice.supercell import SupercellLike, periodic_matrix

if TYPE_CHECKING:
    from arlattice.hamiltonians import Hamiltonian

__all__ = ["SUPERCELL", "on_supercell"]

SUPERCELL = "supercell"
"""Name of the option."""


def on_supercell(hamiltonian: Hamiltonian, supercell: SupercellLike) -> Hamiltonian:
    """The Hamiltonian of the same name and options on another supercell; see `Hamiltonian.on`."""
    lattice, registered = hamiltonian.lattice, default_manager().hamiltonians
    matrix = periodic_matrix(supercell, lattice.pbc)
    if np.array_equal(matrix, lattice.supercell):
        return hamiltonian
    if hamiltonian.name not in registered:
        raise _cannot(hamiltonian, matrix, "no plugin registers it")
    if SUPERCELL not in registered[hamiltonian.name].load_options().model_fields:
        raise _cannot(hamiltonian, matrix, f"it has no option {SUPERCELL!r}")
    options = registered.current_names(hamiltonian.name, hamiltonian.options)
    options[SUPERCELL] = _as_recorded(matrix, options.get(SUPERCELL), sum(lattice.pbc))
    built = build_hamiltonian(hamiltonian.name, options)
    if built.lattice.fingerprint != lattice.with_supercell(matrix.tolist()).fingerprint:
        raise _cannot(hamiltonian, matrix, f"its plugin makes {built.lattice} of it")
    return built


def _as_recorded(matrix: np.ndarray, recorded: Any, n_periodic: int) -> Any:
    """The matrix over as many directions as the plugin recorded, as lengths where it is diagonal."""
    n = len(recorded) if isinstance(recorded, list | tuple) else n_periodic
    part, lengths = matrix[:n, :n], matrix.diagonal()[:n].tolist()
    if not np.array_equal(part, np.diag(lengths)):
        return part.tolist()
    return lengths[0] if isinstance(recorded, int) and len(set(lengths)) == 1 else lengths


def _cannot(hamiltonian: Hamiltonian, matrix: np.ndarray, reason: str) -> InputError:
    return InputError(
        SUPERCELL, matrix.tolist(), f"{hamiltonian.name!r} cannot be built in this supercell by name: {reason}; build it yourself"
    )
