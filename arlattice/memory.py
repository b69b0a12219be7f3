"""Requests that cannot fit into the memory of this machine are refused before anything is allocated."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from arlattice.errors import InputError

__all__ = ["check_memory", "machine_memory"]

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(argument: str, value: object, n_bytes: int, cure: str = "give less") -> None:
    """Refuse what needs more memory than there is.

    Args:
        argument: what decides how much is needed.
        value: of it, as given.
        n_bytes: what will be needed, at least.
        cure: what to do.

    Raises:
        InputError: it says how much would be needed and how much this machine has.
    """
    limit = machine_memory()
    if n_bytes > limit:
        raise InputError(argument, value, f"would need {_text(n_bytes)} of memory, this machine has {_text(limit)}; {cure}")


@cache
def machine_memory() -> int:
    """Bytes that this process may use: the memory of the machine, or the limit of its container or shell if that is lower."""
    return min([_physical(), _of_process(), *map(_of_container, _CONTAINER_LIMITS)])


_NO_LIMIT = 2**62


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return _NO_LIMIT


def _of_process() -> int:
    try:
        import resource
    except ImportError:  # not on Windows
        return _NO_LIMIT
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return _NO_LIMIT if limit == resource.RLIM_INFINITY else limit


def _of_container(path: str) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such file, or the word "max"
        return _NO_LIMIT


def _text(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes < 10**300 else "an endless amount"
