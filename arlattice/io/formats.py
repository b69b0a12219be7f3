"""Files of samples in a registered format, whole or absent.

| format | path | keeps | read back |
|---|---|---|---|
| ``extxyz`` | ``.extxyz`` | structures and every fact | to the bit |
| ``netcdf`` | ``.nc`` | arrays and every fact | to the bit |
| ``db`` | ``.db`` | structures and every fact, to be searched with ``ase db`` | to the bit |
| ``cif``, ``poscar`` | a new folder | geometry; the facts in ``index.csv`` | by other codes |

A plugin adds one with the hook ``arlattice_register_exporters``, see `arlattice.io.exporter.Exporter`.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from arlattice.arguments import one_of
from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager
from arlattice.hooks.registry import Entry
from arlattice.io.exporter import Exporter
from arlattice.io.files import new_folder, replacing
from arlattice.io.header import reading

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["check_target", "read", "suffix_of", "write"]

_SUFFIX = re.compile(r"\.\w+")


def write(samples: SampleSet, path: str | Path, *, format: str | None = None, vacancies: str = "drop") -> None:
    """Write samples, whole or not at all.

    Args:
        samples: the set.
        path: a file (replaced if it is there) or, for ``cif`` and ``poscar``, a new folder.
        format: the registered name of one; by default the suffix says.
        vacancies: ``"drop"`` or ``"X"``, as in `arlattice.io.frames.to_frames`; netCDF keeps occupations instead.

    Raises:
        InputError: unknown format or suffix, no such parent folder, a folder that is there already, or
            samples that the format cannot hold (spins, charge states and isotopes in CIF and POSCAR, structures without atoms).
    """
    entry, exporter = _checked(path, format)
    with (replacing if exporter.suffix else new_folder)(path) as temporary:
        with entry.contained("cannot write samples", passing=(OSError, sqlite3.Error)):  # those of the disk are told by `replacing`
            exporter.write(samples, temporary, vacancies)
        if not (temporary.is_file() if exporter.suffix else any(temporary.iterdir())):
            raise entry.error("wrote nothing to the path it was given")


def check_target(path: str | Path, format: str | None = None) -> None:
    """Check what `write` would be given, before any sample is drawn; arguments as in `write`.

    Raises:
        InputError: unknown format or suffix, no such parent folder, or a folder that is there already.
    """
    _checked(path, format)


def suffix_of(format: str) -> str:
    """How the names of files in a format end.

    Raises:
        InputError: an unknown format, or one that is not read back or makes folders.
    """
    _, exporter = _by_name(format)
    if exporter.suffix is None or not exporter.reads:
        others = [entry.name for entry, each in _exporters() if each.suffix and each.reads]
        raise InputError("format", format, f"is not read back; give {' or '.join(others)}")
    return exporter.suffix


def read(path: str | Path) -> SampleSet:
    """Samples from a file that `write` made, the same bits: occupations, energies, log-probabilities, orders, facts.

    Runs no code from the file.

    Raises:
        InputError: no such file, unknown suffix, or a file that is damaged or not of arlattice.
    """
    from arlattice.samples import SampleSet

    readers = {exporter.suffix: (entry, exporter) for entry, exporter in reversed(_exporters()) if exporter.suffix and exporter.reads}
    if Path(path).suffix not in readers:
        raise InputError("path", str(path), f"samples are read from files that end in {', '.join(reversed(readers))}")
    entry, exporter = readers[Path(path).suffix]
    with reading(path) as file, entry.contained("cannot read samples", passing=(Exception,)):
        found = exporter.read(file)
    if not isinstance(found, SampleSet):
        raise entry.error(f"read a {type(found).__name__} from a file, not a SampleSet")
    return found


def _checked(path: str | Path, format: str | None) -> tuple[Entry, Exporter]:
    entry, exporter = _by_suffix(path) if format is None else _by_name(format)
    if exporter.suffix and Path(path).suffix != exporter.suffix:
        raise InputError("path", str(path), f"a file in the format {format} ends in {exporter.suffix}")
    if not Path(path).parent.is_dir():
        raise InputError("path", str(path), f"the folder {Path(path).parent} does not exist; make it first")
    if Path(path).is_dir() or (exporter.suffix is None and Path(path).exists()):
        cure = "is there already; give a new name" if exporter.suffix is None else "is a folder; give a file name"
        raise InputError("path", str(path), cure)
    return entry, exporter


def _by_name(format: str) -> tuple[Entry, Exporter]:
    registered = default_manager().exporters
    entry = registered[one_of("format", format, [each.name for each in registered])]
    return entry, _exporter(entry)


def _by_suffix(path: str | Path) -> tuple[Entry, Exporter]:
    found = _exporters()
    for entry, exporter in found:
        if exporter.suffix and exporter.suffix == Path(path).suffix:
            return entry, exporter
    suffixes = dict.fromkeys(exporter.suffix for _, exporter in found if exporter.suffix)
    folders = " or ".join(repr(entry.name) for entry, exporter in found if exporter.suffix is None)
    raise InputError("path", str(path), f"give a name that ends in {', '.join(suffixes)}, or format={folders} for a folder")


def _exporters() -> list[tuple[Entry, Exporter]]:
    return [(entry, _exporter(entry)) for entry in default_manager().exporters]


def _exporter(entry: Entry) -> Exporter:
    made = entry.call()
    if not isinstance(made, Exporter):
        raise entry.error(f"returned a {type(made).__name__}, not an Exporter")
    if made.suffix is not None and not (isinstance(made.suffix, str) and _SUFFIX.fullmatch(made.suffix)):
        raise entry.error(f"gave an exporter with the suffix {made.suffix!r}; give a dot and letters, or None for a folder")
    return made
