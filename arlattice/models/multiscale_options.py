"""`MultiscaleOptions`: cells, blocks and size of the networks of the family `multiscale`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from arlattice.errors import InputError
from arlattice.hooks.options import Options

__all__ = ["MultiscaleOptions"]


class MultiscaleOptions(Options):
    """Cells, blocks and size of the networks."""

    width: Annotated[int, Field(ge=4, le=4096, description="features of a cell")] = 64
    layers: Annotated[int, Field(ge=1, le=64, description="residual blocks of two convolutions a scale")] = 3
    cells: Annotated[
        Literal["auto"] | tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]],
        Field(description="translations of the cells, rows in primitive cells; auto: those that the ordered phases share"),
    ] = "auto"
    parts: Annotated[
        int, Field(ge=1, le=64, description="parts of the first class of cells of a scale; half as many of each later one")
    ] = 4
    energies: Annotated[bool, Field(description="start logits from completed-cluster energies; false learns them")] = True

    @field_validator("parts")
    @classmethod
    def _power_of_2(cls, value: int) -> int:
        if value & (value - 1):
            raise InputError("parts", value, "give a power of 2: 1, 2, 4, 8, ...")
        return value

    @field_validator("cells", mode="wrap")
    @classmethod
    def _cells(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """One line, where pydantic has one for each of the two forms."""
        try:
            return read(value)
        except ValidationError:
            cure = "give 'auto', or three rows of three whole numbers, e.g. [[2, 0, 0], [0, 2, 0], [0, 0, 1]]"
            raise InputError("cells", value, cure) from None
