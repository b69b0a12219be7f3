"""Where a plugin's code runs: what it raises is told in one line that names it, what it prints goes to standard error."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from arlattice.errors import InputError, MissingExtraError

__all__ = ["contained", "stopped_by_user", "told"]


@contextmanager
def contained(argument: str, value: object, problem: str, passing: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Run code of a plugin.

    Args:
        argument, value: what the user asked for, as in `InputError`.
        problem: what it means if the code raises; what it raised follows.
        passing: what passes as it is besides.

    Raises:
        InputError: instead of anything that the code raises, `SystemExit` and the like among it. Errors that are one line
            already, warnings that are errors, and the Ctrl-C of the user pass.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (InputError, MissingExtraError, Warning):
        raise
    except passing:
        raise
    except BaseException as error:
        if stopped_by_user(error):
            raise
        raise InputError(argument, value, f"{problem}: {told(error)}") from error


def stopped_by_user(error: BaseException) -> bool:
    """Whether this is Ctrl-C: the interpreter raised it, and no ``raise`` of a plugin did."""
    last = error.__traceback__
    if not isinstance(error, KeyboardInterrupt) or last is None:
        return isinstance(error, KeyboardInterrupt)
    while last.tb_next is not None:
        last = last.tb_next
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] != "RAISE_VARARGS"


def told(error: BaseException) -> str:
    """Kind and message of an exception, one line of at most 200 characters."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    except Exception:  # whatever the str of a stranger's exception raises
        text = type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
