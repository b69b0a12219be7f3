"""The result of a row in its run folder, and the rows of a table that was written: read back with shape and digest checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager
from arlattice.io.records import read_json, read_record
from arlattice_bench.cost import Cost

__all__ = ["Result", "read_result", "read_rows"]

Result = dict[str, Any]
"""What `arlattice_bench.run.run` makes of a job, as plain data."""


class _Part(BaseModel):
    """What the tables read of a part of a result; more may be there."""

    model_config = ConfigDict(strict=True, extra="allow")


class _State(_Part):
    state: dict[str, Any]
    elbo: float | None
    elbo_error: float | None
    log_z: float | None
    log_z_error: float | None
    ess: float | None
    samples: float = 1


class _Condition(_Part):
    condition: str
    order: str
    states: list[_State] = Field(min_length=1)


class _Batch(_Part):
    batch: int
    bytes: float


class _Memory(_Part):
    batches: list[_Batch]
    bytes: float | None
    bytes_per_configuration: float | None
    batch: int
    extrapolated: bool
    memory_of: str


class _Training(_Part):
    seed: int | None


class _Specification(_Part):
    training: _Training


class _Result(_Part):
    row: str
    system: str
    how: str
    specification: _Specification
    command: str
    device: str
    arlattice: str
    torch: str
    python: str
    conditions: list[_Condition] = []
    parameters: int | None = None
    cost: Cost | None = None
    memory: _Memory | None = None

    @model_validator(mode="after")
    def _has_its_cost(self) -> _Result:
        if self.conditions and (self.parameters is None or self.cost is None):
            raise ValueError("what is measured has a cost")
        return self


_ROWS = TypeAdapter(list[_Result])


def read_result(path: Path) -> Result:
    """What `arlattice_bench.run.run` wrote into ``result.json``.

    Raises:
        InputError: damaged, or no result of a row.

    Warns:
        UncheckedWarning: an earlier release wrote it.
    """
    result = read_record(path, "--runs")
    _check([result], "--runs", path, "it is not the result of a row")
    return _by_names_of_today(result)


def read_rows(path: Path) -> list[Result]:
    """The rows of a table that was written before.

    Raises:
        InputError: damaged, or no table.
    """
    rows: Any = read_json(path, "--output").get("rows")
    _check(rows, "--output", path, "it holds no rows of a table")
    return [_by_names_of_today(row) for row in rows]


def _by_names_of_today(result: Result) -> Result:
    """The result with the options of its Hamiltonian as they are called now: an earlier release may have made it."""
    return result | {"specification": _current(result["specification"])}


def _current(specification: dict[str, Any]) -> dict[str, Any]:
    found, names = dict(specification), default_manager().hamiltonians.current_names
    if isinstance(hamiltonian := found.get("hamiltonian"), dict):
        name = str(hamiltonian.get("name"))
        found["hamiltonian"] = names(name, hamiltonian)
        found |= {"supercells": [names(name, more) for more in found["supercells"]]} if found.get("supercells") else {}
    if isinstance(source := found.get("painted_from"), dict):
        found["painted_from"] = _current(source)
    return found


def _check(rows: Any, argument: str, path: Path, problem: str) -> None:
    try:
        _ROWS.validate_python(rows)
    except ValidationError:
        raise InputError(argument, str(path), f"damaged: {problem}; remove it") from None
