"""Names of the last release: they work for one release more, with a warning."""

from __future__ import annotations

import sys
import warnings

__all__ = ["OldNameWarning", "warn_of_old_name"]


class OldNameWarning(DeprecationWarning):
    """A name of the last release was used; it goes in the next."""


def warn_of_old_name(old: str, new: str) -> None:
    """Warn the first caller outside arlattice that ``old`` is now called ``new``."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "arlattice":
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{old} is now called {new}; the old name goes in the next release", OldNameWarning, stacklevel=level)
