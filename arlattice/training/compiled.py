"""A compiled Hamiltonian in place of the one that a run file or a table names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.errors import InputError
from arlattice.hooks.by_hand import without_by_hand
from arlattice.hooks.manager import default_manager

__all__ = ["load_compiled"]


def load_compiled(path: str | Path, name: str, options: Mapping[str, Any], argument: str) -> ClusterHamiltonian:
    """Compiled tables (`ClusterHamiltonian.save`) that must be of a name and options.

    Args:
        path: the file.
        name: of the Hamiltonian.
        options: that it was to be built with. Without its plugin they must stand in the file as they are given.
        argument: how the user calls the file.

    Raises:
        InputError: a damaged file, or one that was compiled with other options.
    """
    loaded = ClusterHamiltonian.load(path)
    known = default_manager().hamiltonians
    asked = dict(options)
    if name in known:
        checked = known[name].parse_options(options, "hamiltonian")
        asked = without_by_hand(checked.model_dump(mode="json"), type(checked))
    demanded = {key: value for key, value in asked.items() if value is not None}
    recorded = known.current_names(loaded.name, loaded.options)
    if loaded.name != name or any(recorded.get(key) != value for key, value in demanded.items()):
        made = {"name": loaded.name, **recorded}
        raise InputError(argument, str(path), f"was compiled as {made}, but {name} {demanded} is asked for")
    return loaded
