"""Plain records and tensors on disk: JSON and safetensors files that carry the sha256 of their content. Nothing is ever unpickled."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from arlattice.errors import InputError
from arlattice.io.digest import KEY, check, digest
from arlattice.io.files import replacing, write_text

__all__ = ["plain", "read_json", "read_record", "read_tensors", "read_text", "write_record", "write_tensors"]

_LARGEST_TEXT = 64 * 2**20
_LARGEST_TENSORS = 8 * 2**30


def plain(data: Any) -> Any:
    """The data as JSON gives it back. JSON has no numbers that are not finite: they become the texts ``"inf"``, ``"-inf"``, ``"nan"``."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(item) for item in data]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data


def write_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all, with its digest."""
    content = plain(record)
    write_text(path, json.dumps({**content, KEY: digest(content)}, indent=1, allow_nan=False) + "\n")


def read_record(path: str | Path, argument: str) -> dict[str, Any]:
    """Read what `write_record` wrote.

    Raises:
        InputError: no such file, no JSON object, or a content that is not what was written.
    """
    record = read_json(path, argument)
    check(record.pop(KEY, None), digest(record), argument, path)
    return record


def read_json(path: str | Path, argument: str) -> dict[str, Any]:
    """The JSON object in a file, unchecked.

    Raises:
        InputError: no such file, or no JSON object.
    """
    text = read_text(path, argument)
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            argument, str(path), f"damaged, or not a file of arlattice ({type(error).__name__}); remove it or write it again"
        ) from None
    return data


def read_text(path: str | Path, argument: str) -> str:
    """The text of a file of a sensible size.

    Raises:
        InputError: no such file, one that cannot be read, one over 64 MiB, or one that is not UTF-8.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise InputError(argument, str(path), "no such file")
        if file.stat().st_size > _LARGEST_TEXT:
            raise InputError(argument, str(path), f"is larger than {_LARGEST_TEXT} bytes; no such file of arlattice is")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(argument, str(path), "is not text in UTF-8") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(argument, str(path), f"cannot be read ({reason})") from None


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and a JSON description as one safetensors file, whole or not at all, with the digest of both.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    held = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    content = plain(description)
    sealed = {**content, KEY: digest([content, held])}
    with replacing(path) as temporary:
        try:
            save_file(held, temporary, {"description": json.dumps(sealed, allow_nan=False)})  # one entry: safetensors shuffles several
        except SafetensorError as error:
            raise OSError(" ".join(str(error).split())) from None


def read_tensors(path: str | Path, argument: str = "path", recorded: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Args:
        path: the file.
        argument: how the user calls it.
        recorded: the digest that a record beside it gives.

    Raises:
        InputError: no such file, not a whole safetensors file with a description, or a content that is not what was written.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if not file.is_file():
        raise InputError(argument, str(path), "no such file")
    if file.stat().st_size > _LARGEST_TENSORS:
        raise InputError(argument, str(path), f"is larger than {_LARGEST_TENSORS} bytes; no such file of arlattice is")
    try:
        with safe_open(path, framework="pt") as opened:
            description = json.loads((opened.metadata() or {})["description"])
            if not isinstance(description, dict):
                raise ValueError("the description is not a table")
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, TypeError, OSError, RecursionError, MemoryError) as error:
        raise InputError(argument, str(path), f"damaged, or not a file of arlattice ({type(error).__name__}); write it again") from None
    found = description.pop(KEY, recorded)
    expected = digest([description, tensors])
    check(found, expected, argument, path)
    if recorded not in (None, expected):
        raise InputError(argument, str(path), "the record beside it belongs to another file; remove the record")
    return tensors, description
