"""Extended XYZ files: one structure a frame, readable by most programs, with every fact. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from arlattice.errors import InputError
from arlattice.io.digest import KEY
from arlattice.io.exporter import Exporter
from arlattice.io.frames import HEADER, frame_digest, frames_with_atoms, from_frames
from arlattice.io.header import to_header
from arlattice.io.lines import lines_of

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["Extxyz"]


class Extxyz(Exporter):
    """The format ``extxyz``."""

    suffix = ".extxyz"

    def write(self, samples: SampleSet, path: Path, vacancies: str) -> None:
        from ase.io import write as write_frames

        frames = frames_with_atoms(samples, vacancies)
        header = to_header(samples)
        for atoms in frames:
            entries = {**atoms.info, HEADER: "_JSON " + json.dumps(header), KEY: frame_digest(atoms, header)}
            text = {key: value for key, value in entries.items() if isinstance(value, str)}
            # ASE's reader takes backslashes as escapes, its writer does not write them so
            atoms.info.update({key: value.replace("\\", "\\\\") for key, value in text.items()})
        with path.open("w", encoding="utf-8", newline="\n") as file:
            write_frames(file, frames, format="extxyz")

    def read(self, path: Path) -> SampleSet:
        from ase.io import read as read_frames

        with path.open(encoding="utf-8") as file:
            _check_whole(file, path)
            file.seek(0)
            return from_frames(read_frames(file, index=":", format="extxyz"), path)


def _check_whole(file: TextIO, path: Path) -> None:
    """Every frame has the lines that its first line promises (ASE would count on to 10^12 atoms in an empty file)."""
    promised = 0
    for line in lines_of(file, "file", str(path)):
        promised = promised - 1 if promised else 1 + int(line)
    if promised:
        raise InputError("frames", f"{promised} lines missing", "the last structure is cut short")
