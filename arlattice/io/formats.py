"""Files of samples: extxyz, netCDF, ase.db, and folders of CIF or POSCAR files. Whole or absent, never pickle.

| format | path | keeps | read back |
|---|---|---|---|
| ``extxyz`` | ``.extxyz`` | structures and every fact | to the bit |
| ``netcdf`` | ``.nc`` | arrays and every fact | to the bit |
| ``db`` | ``.db`` | structures and every fact, to be searched with ``ase db`` | to the bit |
| ``cif``, ``poscar`` | a new folder | geometry; the facts in ``index.csv`` | by other codes |
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from arlattice.arguments import one_of
from arlattice.errors import InputError
from arlattice.io.ase import alike
from arlattice.io.digest import KEY
from arlattice.io.files import new_folder, replacing
from arlattice.io.frames import HEADER, frame_digest, from_frames, to_frames
from arlattice.io.header import reading, to_header

if TYPE_CHECKING:
    from ase import Atoms

    from arlattice.samples import SampleSet

__all__ = ["check_target", "read", "write"]

_LONGEST_LINE = 2**24


def write(samples: SampleSet, path: str | Path, *, format: str | None = None, vacancies: str = "drop") -> None:
    """Write samples, whole or not at all.

    Args:
        samples: the set.
        path: a file (replaced if it is there) or, for ``cif`` and ``poscar``, a new folder.
        format: ``"extxyz"``, ``"netcdf"``, ``"db"``, ``"cif"`` or ``"poscar"``; by default the suffix says.
        vacancies: ``"drop"`` or ``"X"``, as in `arlattice.io.frames.to_frames`; netCDF keeps occupations instead.

    Raises:
        InputError: unknown format or suffix, no such parent folder, a folder that is there already, or
            samples that the format cannot hold (spins, charge states and isotopes in CIF and POSCAR, structures without atoms).
    """
    chosen = check_target(path, format)
    with (replacing if chosen.suffix else new_folder)(path) as temporary:
        chosen.write(samples, temporary, vacancies)


def check_target(path: str | Path, format: str | None = None) -> _Format:
    """The format that `write` would use, checked before any sample is drawn; arguments as in `write`.

    Raises:
        InputError: unknown format or suffix, no such parent folder, or a folder that is there already.
    """
    if format is None:
        suffixes = {f.suffix: f for f in _FORMATS.values() if f.suffix}
        if Path(path).suffix not in suffixes:
            raise InputError("path", str(path), f"give a name that ends in {', '.join(suffixes)}, or format='cif' or 'poscar' for a folder")
        chosen = suffixes[Path(path).suffix]
    else:
        chosen = _FORMATS[one_of("format", format, _FORMATS)]
    if chosen.suffix and Path(path).suffix != chosen.suffix:
        raise InputError("path", str(path), f"a file in the format {format} ends in {chosen.suffix}")
    if not Path(path).parent.is_dir():
        raise InputError("path", str(path), f"the folder {Path(path).parent} does not exist; make it first")
    if Path(path).is_dir() or (chosen.suffix is None and Path(path).exists()):
        cure = "is there already; give a new name" if chosen.suffix is None else "is a folder; give a file name"
        raise InputError("path", str(path), cure)
    return chosen


def read(path: str | Path) -> SampleSet:
    """Samples from a file that `write` made, the same bits: occupations, energies, log-probabilities, orders, facts.

    Runs no code from the file.

    Raises:
        InputError: no such file, unknown suffix, or a file that is damaged or not of arlattice.
    """
    readers = {f.suffix: f.read for f in _FORMATS.values() if f.suffix and f.read}
    if Path(path).suffix not in readers:
        raise InputError("path", str(path), f"samples are read from files that end in {', '.join(readers)}")
    with reading(path) as file:
        return readers[file.suffix](file)


# -- extxyz --------------------------------------------------------------------------------------


def _write_extxyz(samples: SampleSet, path: Path, vacancies: str) -> None:
    from ase.io import write as write_frames

    frames = _with_atoms(to_frames(samples, vacancies=vacancies))
    header = to_header(samples)
    for atoms in frames:
        entries = {**atoms.info, HEADER: "_JSON " + json.dumps(header), KEY: frame_digest(atoms, header)}
        text = {key: value for key, value in entries.items() if isinstance(value, str)}
        # ASE's reader takes backslashes as escapes, its writer does not write them so
        atoms.info.update({key: value.replace("\\", "\\\\") for key, value in text.items()})
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_frames(file, frames, format="extxyz")


def _read_extxyz(path: Path) -> SampleSet:
    from ase.io import read as read_frames

    with path.open(encoding="utf-8") as file:
        _check_whole(file)
        file.seek(0)
        return from_frames(read_frames(file, index=":", format="extxyz"), path)


def _check_whole(file: TextIO) -> None:
    """Every frame has the lines that its first line promises (ASE would count on to 10^12 atoms in an empty file)."""
    promised = 0
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise InputError("frames", f"a line of {_LONGEST_LINE} characters", "no line of arlattice is as long")
        promised = promised - 1 if promised else 1 + int(line)
    if promised:
        raise InputError("frames", f"{promised} lines missing", "the last structure is cut short")


def _with_atoms(frames: list[Atoms]) -> list[Atoms]:
    if any(len(atoms) == 0 for atoms in frames):
        raise InputError("vacancies", "drop", "a sample has no atoms at all; give 'X'")
    return frames


# -- netCDF --------------------------------------------------------------------------------------


def _write_netcdf(samples: SampleSet, path: Path, vacancies: str) -> None:
    from arlattice.io.netcdf import write_netcdf

    write_netcdf(path, samples.to_xarray())


def _read_netcdf(path: Path) -> SampleSet:
    from arlattice.io.dataset import from_dataset
    from arlattice.io.netcdf import read_netcdf

    return from_dataset(read_netcdf(path, "path"))


# -- ase.db --------------------------------------------------------------------------------------


def _write_db(samples: SampleSet, path: Path, vacancies: str) -> None:
    from ase.db import connect

    header, frames = to_header(samples), _with_atoms(to_frames(samples, vacancies=vacancies))
    keys = [key for key, value in frames[0].info.items() if _is_searchable(key, value)]
    with connect(path, type="db", use_lock_file=False) as database:
        for atoms in frames:
            pairs = {key: atoms.info[key] for key in keys}
            arrays = {name: atoms.arrays[name] for name in ("site_index", "sublattice", "order_rank", "known") if name in atoms.arrays}
            database.write(atoms, pairs, data={HEADER: header, KEY: frame_digest(atoms, header), "info": atoms.info, "arrays": arrays})


def _read_db(path: Path) -> SampleSet:
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


# -- folders -------------------------------------------------------------------------------------


def _write_cif(samples: SampleSet, folder: Path, vacancies: str) -> None:
    _write_folder(samples, folder, vacancies, "{}.cif", {"format": "cif"})


def _write_poscar(samples: SampleSet, folder: Path, vacancies: str) -> None:
    _write_folder(samples, folder, vacancies, "POSCAR-{}", {"format": "vasp", "direct": True, "sort": True})


def _write_folder(samples: SampleSet, folder: Path, vacancies: str, name: str, options: dict[str, Any]) -> None:
    from ase.io import write as write_frame

    frames = _with_atoms(to_frames(samples, vacancies=vacancies))
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


class _Format(NamedTuple):
    suffix: str | None  # None: a folder
    write: Callable[[SampleSet, Path, str], None]
    read: Callable[[Path], SampleSet] | None


_FORMATS = {
    "extxyz": _Format(".extxyz", _write_extxyz, _read_extxyz),
    "netcdf": _Format(".nc", _write_netcdf, _read_netcdf),
    "db": _Format(".db", _write_db, _read_db),
    "cif": _Format(None, _write_cif, None),
    "poscar": _Format(None, _write_poscar, None),
}
