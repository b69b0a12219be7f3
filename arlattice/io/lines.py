"""Lines of text files that a stranger may have written: none is endless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, AnyStr

from arlattice.errors import InputError

__all__ = ["lines_of"]

_LONGEST = 2**24


def lines_of(file: IO[AnyStr], argument: str, value: str) -> Iterator[AnyStr]:
    """The lines of an open file, each with its end.

    Args:
        file: open for reading, in text or bytes.
        argument, value: what to name where a line is too long.

    Raises:
        InputError: a line of 16 million characters or more, which the readers of structures take half a minute for.
    """
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise InputError(argument, value, f"has a line of {_LONGEST} characters or more; no structure needs as long a line")
        yield line
