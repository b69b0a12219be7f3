"""Folders of CIF or POSCAR files, one structure a file: the geometry, and the facts in ``index.csv``. Other programs read them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arlattice.errors import InputError
from arlattice.io.ase import alike
from arlattice.io.exporter import Exporter
from arlattice.io.frames import frames_with_atoms

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["Cif", "Poscar"]


class Cif(Exporter):
    """The format ``cif``."""

    def write(self, samples: SampleSet, path: Path, vacancies: str) -> None:
        _write_folder(samples, path, vacancies, "{}.cif", {"format": "cif"})


class Poscar(Exporter):
    """The format ``poscar``."""

    def write(self, samples: SampleSet, path: Path, vacancies: str) -> None:
        _write_folder(samples, path, vacancies, "POSCAR-{}", {"format": "vasp", "direct": True, "sort": True})


def _write_folder(samples: SampleSet, folder: Path, vacancies: str, name: str, options: dict[str, Any]) -> None:
    from ase.io import write as write_frame

    frames = frames_with_atoms(samples, vacancies)
    called = {"vasp": "poscar"}.get(options["format"], options["format"])  # by us
    if frames[0].has("initial_magmoms"):
        raise InputError("format", called, "drops magnetic moments, so all spins look the same; write extxyz or netcdf")
    for pair in alike(samples.lattice):
        raise InputError("format", called, f"drops charges and masses, so {' and '.join(pair)} look the same; write extxyz or netcdf")
    rows = []
    for i, atoms in enumerate(frames):
        file = name.format(str(i).zfill(len(str(len(frames) - 1))))
        write_frame(folder / file, atoms, **options)
        facts = {key: value for key, value in atoms.info.items() if not isinstance(value, np.ndarray)}
        rows.append({"file": file, "energy": atoms.get_potential_energy(), **facts})
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
