"""`Exporter`: a file format of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["Exporter"]


class Exporter(ABC):
    """What the hook ``arlattice_register_exporters`` registers a file format with; the formats that ship are such classes too.

    Attributes:
        suffix: of the file's name, with its dot, ``".extxyz"``; None writes a folder. The first format that is registered with a suffix
            has it where the user names no format.
    """

    suffix: ClassVar[str | None] = None

    @abstractmethod
    def write(self, samples: SampleSet, path: Path, vacancies: str) -> None:
        """Write samples to a temporary place; arlattice moves what is there to its own, if nothing is raised.

        Args:
            samples: the set.
            path: the file to make, or an empty folder to fill.
            vacancies: ``"drop"`` or ``"X"``, as in `arlattice.io.frames.to_frames`; for formats of atoms.

        Raises:
            InputError: samples that the format cannot hold.
        """

    def read(self, path: Path) -> SampleSet | None:
        """The samples of a file that `write` made; not overridden, the format is for other programs to read.

        Whatever this raises tells the user that the file is damaged. It must not run code from the file.
        """
        return None

    @property
    def reads(self) -> bool:
        """Whether `read` is there."""
        return type(self).read is not Exporter.read
