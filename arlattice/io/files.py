"""Files that are written whole or not at all, and read without running code."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from arlattice.errors import InputError

__all__ = ["new_folder", "read_tensors", "replacing", "write_tensors", "write_text"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; on success move it there in one step, on failure remove it."""
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError("path", str(target), f"the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise InputError("path", str(target), "is a folder; give a file name")
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; on success it becomes ``path`` in one step, on failure it goes."""
    target = Path(path)
    if target.exists():
        raise InputError("path", str(target), "is there already; name a new folder")
    if not target.parent.is_dir():
        raise InputError("path", str(target), f"the folder {target.parent} does not exist; make it first")
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and a JSON description as one safetensors file."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, temporary, {"description": json.dumps(description)})


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        InputError: no such file, or not a whole safetensors file with a description.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError("path", str(path), "no such file")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["description"])
            if not isinstance(description, dict):
                raise ValueError("the description is not a table")
            return {key: file.get_tensor(key) for key in file.keys()}, description  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError("path", str(path), f"damaged, or not a file of arlattice ({type(error).__name__}); write it again") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
