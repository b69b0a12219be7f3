"""The result of a row in its run folder: read back with its digest checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arlattice.errors import InputError
from arlattice.io import records

__all__ = ["read_result"]

_PARTS = {"row": str, "system": str, "specification": dict}


def read_result(path: Path) -> dict[str, Any]:
    """What `arlattice_bench.run.run` wrote into ``result.json``.

    Raises:
        InputError: damaged, or no result of a row.

    Warns:
        UncheckedWarning: an earlier release wrote it.
    """
    result = records.read_record(path, "--runs")
    if not all(isinstance(result.get(name), kind) for name, kind in _PARTS.items()):
        raise InputError("--runs", str(path), "damaged: it is not the result of a row; remove it")
    return result
