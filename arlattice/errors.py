"""The one exception a user's mistake raises: argument, value and cure on one line."""

from __future__ import annotations

import math

__all__ = ["InputError", "MissingExtraError", "shown"]


class InputError(ValueError):
    """Bad input, told in one line.

    Args:
        argument: the name the user typed, e.g. ``"temperature"``.
        value: what was given.
        cure: what to give instead, as a phrase that follows the value.
    """

    def __init__(self, argument: str, value: object, cure: str) -> None:
        self.argument, self.value, self.cure = argument, value, cure
        super().__init__(f"{argument} = {shown(value)}: {cure}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str]]:
        return type(self), (self.argument, self.value, self.cure)  # so that it reaches the user from a worker process


class MissingExtraError(ImportError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"package = {package!r}: not installed; run: pip install 'arlattice[{extra}]'")


def shown(value: object, limit: int = 120) -> str:
    """A value on one line, shortened. Any value: Python refuses to print whole numbers of more than 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"<whole number of about {math.ceil(value.bit_length() * math.log10(2))} digits>"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever the repr of a stranger's class raises
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
