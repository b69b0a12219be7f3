"""The sha256 of what a file says, kept in the file and checked when it is read.

The digest is taken over the content, not over the bytes of the file: the same content in another layout has the same digest. A
content whose digest differs is refused. A content without a digest is read, and `UncheckedWarning` says so. Who changes a file by
hand on purpose removes the entry ``sha256`` from it (docs/files.md).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arlattice.errors import InputError

__all__ = ["KEY", "UncheckedWarning", "check", "digest"]

KEY = "sha256"
"""The name of the entry that holds the digest, in every format."""


class UncheckedWarning(UserWarning):
    """A file carries no digest, so damage to its content would not be seen."""


def digest(content: Any) -> str:
    """The sha256 of a content, 64 hexadecimal digits.

    Args:
        content: text, numbers, booleans, None, arrays and tensors, and mappings and lists of these. The order of a mapping
            makes no difference. A numpy scalar counts as the Python number of the same value.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON does not know: type, shape and the sha256 of the bytes of an array."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        return ["tensor", str(value.dtype), list(value.shape), hashlib.sha256(data.data).hexdigest()]
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        data = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        return ["array", value.dtype.name, list(value.shape), hashlib.sha256(data.data).hexdigest()]
    if isinstance(value, np.ndarray):  # of texts
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"no digest of a {type(value).__name__}")


def check(found: object, expected: str, argument: str, path: str | Path) -> None:
    """Compare the digest that a file carries with that of its content.

    Args:
        found: what the file carries; None if nothing.
        expected: the digest of what was read.
        argument: how the user calls the file.
        path: the file, for the message.

    Raises:
        InputError: the content is not what was written.

    Warns:
        UncheckedWarning: the file carries no digest.
    """
    if found is None:
        cause = f"carries no {KEY} (an earlier release or another program wrote it, or the entry is lost)"
        warnings.warn(f"{argument} = {str(path)!r}: {cause}; its content is unchecked", UncheckedWarning, stacklevel=3)
    elif found != expected:
        cure = f"its content does not have the {KEY} it was written with: damaged, or changed by hand"
        raise InputError(argument, str(path), f"{cure}. Remove it or write it again; if you changed it on purpose, remove the entry {KEY}")
