"""Databases of ASE: one structure a row with every fact, to be searched with ``ase db``. Never pickle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlattice.errors import InputError
from arlattice.io.digest import KEY
from arlattice.io.exporter import Exporter
from arlattice.io.frames import HEADER, frame_digest, frames_with_atoms, from_frames
from arlattice.io.header import to_header

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["AseDb"]


class AseDb(Exporter):
    """The format ``db``."""

    suffix = ".db"

    def write(self, samples: SampleSet, path: Path, vacancies: str) -> None:
        from ase.db import connect

        header, frames = to_header(samples), frames_with_atoms(samples, vacancies)
        keys = [key for key, value in frames[0].info.items() if _is_searchable(key, value)]
        with connect(path, type="db", use_lock_file=False) as database:
            for atoms in frames:
                pairs = {key: atoms.info[key] for key in keys}
                arrays = {name: atoms.arrays[name] for name in ("site_index", "sublattice", "order_rank", "known") if name in atoms.arrays}
                database.write(atoms, pairs, data={HEADER: header, KEY: frame_digest(atoms, header), "info": atoms.info, "arrays": arrays})

    def read(self, path: Path) -> SampleSet:
        from ase.db import connect

        with path.open("rb") as file:
            if file.read(15) != b"SQLite format 3":
                raise InputError("path", path.name, "is not an SQLite file")
        frames = []
        for row in connect(path, type="db", use_lock_file=False).select():
            atoms = row.toatoms()
            atoms.info = {**row.data["info"], HEADER: row.data[HEADER], KEY: row.data.get(KEY)}
            atoms.arrays.update(row.data["arrays"])
            if any(_differ(atoms.info[key], value) for key, value in row.key_value_pairs.items()):
                raise InputError("row", row.id, "its key-value pairs and its data do not agree")
            frames.append(atoms)
        return from_frames(frames, path)


def _differ(one: Any, other: Any) -> bool:
    return bool(one != other and not (one != one and other != other))  # not a number is equal to itself here


def _is_searchable(key: str, value: Any) -> bool:
    """Whether ase.db takes a key and value (not: arrays, text that looks like a number, names of its own)."""
    from ase.db.core import check

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check({key: value})
    except (ValueError, UserWarning):
        return False
    return True
