"""Options of the Hamiltonians of this plugin."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

import arlattice as arl
from arlattice.supercell import supercell_matrix

__all__ = ["CuAuOptions", "IcetOptions", "Supercell"]


def _rows(supercell: Any) -> list[list[int]]:
    matrix: list[list[int]] = supercell_matrix(supercell).tolist()
    return matrix


Supercell = Annotated[
    list[list[int]],
    BeforeValidator(_rows),
    Field(description="repeats of the primitive cell: a number, three numbers, or an integer 3x3 matrix (rows), positive determinant"),
]
"""Option type of a supercell; kept as the 3x3 matrix."""


class IcetOptions(arl.Options):
    """Options of the Hamiltonian ``icet``."""

    files: ClassVar = {".ce": "expansion"}

    expansion: Any = Field(description="an icet ClusterExpansion, or the path of a file written by its write()")
    supercell: Supercell
    trust: Annotated[bool, arl.ByHand()] = Field(False, description="read the file with icet's own reader, which runs code the file holds")
    sha256: str | None = Field(
        None, description="if given, refuse an expansion with another hash (of the file, or of an object's parameters)"
    )


class CuAuOptions(arl.Options):
    """Options of the Hamiltonian ``cuau``."""

    supercell: Supercell
    formation_energies: bool = Field(
        True, description="measure energies from pure Cu and pure Au, as the trained models do; false gives the expansion's own"
    )
