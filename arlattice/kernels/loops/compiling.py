"""How the loops are compiled, and where compiled code is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

__all__ = ["inlined", "loop", "sums"]

_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:8]
"""Of all loops. numba's cache looks at the file of a function, not at what it calls; so its name says which sources it is of."""


def loop(function: Callable[..., Any]) -> Any:
    """Compile, for any types; the interpreter is not held while it runs."""
    return _kept(function, nogil=True, error_model="numpy")


def sums(function: Callable[..., Any]) -> Any:
    """Compile a loop over single configurations: their sums, which have no lanes, may be reordered."""
    return _kept(function, nogil=True, error_model="numpy", fastmath={"reassoc"})


def inlined(function: Callable[..., Any]) -> Any:
    """Compile as a part of what calls it: a call that takes many arrays costs more than such a part does."""
    return njit(inline="always", error_model="numpy")(function)


def _kept(function: Callable[..., Any], **options: Any) -> Any:
    function.__qualname__ = f"{function.__qualname__}-{_SOURCES}"
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep compiled code: neither beside this file nor in a home
        return njit(**options)(function)
