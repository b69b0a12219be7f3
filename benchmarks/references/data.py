"""What the reference program leaves, as npz: `write`, and what others read of it.

Arrays: ``temperatures``, ``mu`` (the table of states); ``beta`` (rungs, mu); ``energy``, ``atoms`` (rungs, mu, snapshots, copies);
``occupations``, bits of (temperatures, mu, snapshots, copies, sites), packed along the sites; ``annealing_log_z`` (mu,
temperatures, blocks); of the line ``line_mu``, ``line_energy``, ``line_atoms``. ``record`` says in JSON how it was made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from arlattice.io.files import replacing

__all__ = ["configurations", "read", "record", "write"]


def write(path: Path, record: dict[str, Any], data: dict[str, Any]) -> None:
    """The whole file or nothing."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, record=json.dumps(record), **data)


def read(path: Path, discard: float = 0.0) -> dict[str, np.ndarray]:
    """All arrays, without the share ``discard`` of the snapshots of energies and atoms at the start."""
    with np.load(path, allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    for key in {"energy", "atoms", "line_energy", "line_atoms"} & set(data):
        data[key] = data[key][..., round(discard * data[key].shape[-2]) :, :]
    return data


def record(data: dict[str, np.ndarray]) -> dict[str, Any]:
    """How the data was made."""
    found: dict[str, Any] = json.loads(str(data["record"]))
    return found


def configurations(data: dict[str, np.ndarray]) -> dict[tuple[float, float], np.ndarray]:
    """Those kept, by temperature and Delta mu: (snapshots, copies, sites), 0 and 1."""
    bits = np.unpackbits(data["occupations"], axis=-1, count=int(data["sites"]))
    return {(float(t), float(m)): bits[j, k] for j, t in enumerate(data["temperatures"]) for k, m in enumerate(data["mu"])}
