"""Checks of one argument that many public functions share. Each gives the value back, or raises `InputError`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

from arlattice.errors import InputError

__all__ = ["LARGEST_INTEGER", "finite_number", "items_of", "of_type", "one_of", "path_text", "whole_number"]

T = TypeVar("T")
Kind = type[Any] | tuple[type[Any], ...]

LARGEST_INTEGER = 2**63 - 1
"""The largest whole number that a tensor or a TOML file holds."""


def whole_number(argument: str, value: Any, least: int = 1, most: int = LARGEST_INTEGER) -> int:
    """A whole number from ``least`` to ``most``; not a bool, a float or text."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        limit = f"from {least} to {most}" if most < LARGEST_INTEGER or _is_above(value, most) else f">= {least}"
        raise InputError(argument, value, f"give a whole number {limit}")
    return int(value)


def finite_number(argument: str, value: Any, least: float = -math.inf) -> float:
    """A finite number, at least ``least``; a tensor or array of one number will do; not a bool or text."""
    found = value if isinstance(value, Real) else _item(value)
    if isinstance(found, bool) or not isinstance(found, Real):
        raise InputError(argument, value, "give a number")
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(argument, value, "give a finite number")
    if number < least:
        raise InputError(argument, value, f"must be >= {least:g}")
    return number


def _item(value: Any) -> object:
    """The one number of a tensor or an array; None of anything else."""
    try:
        return value.item()
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None


def of_type(argument: str, value: T, kind: Kind, cure: str) -> T:
    """``value`` if it is a ``kind``; ``cure`` says what to give."""
    if not isinstance(value, kind):
        raise InputError(argument, value, cure)
    return value


def items_of(argument: str, value: Iterable[T], kind: Kind, cure: str) -> list[T]:
    """What a list, a tuple or the like holds, each a ``kind``; text is not a list of letters."""
    try:
        items = list(value)
    except TypeError:
        raise InputError(argument, value, cure) from None
    if isinstance(value, str) or not all(isinstance(item, kind) for item in items):
        raise InputError(argument, value, cure)
    return items


def one_of(argument: str, value: Any, known: Iterable[str], what: str = "one of ") -> str:
    """``value`` if it is one of the names known."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise InputError(argument, value, f"{what}{', '.join(names)}")
    return value


def path_text(argument: str, value: Any) -> str:
    """The text of a path: a str or `pathlib.Path`, not empty, without a NUL character."""
    if not isinstance(value, str | os.PathLike) or not isinstance(text := os.fspath(value), str):
        raise InputError(argument, value, "give a path, as text or a pathlib.Path")
    if not text or "\0" in text:
        raise InputError(argument, text, "a path is not empty and has no NUL character")
    return text


def _is_above(value: Any, most: int) -> bool:
    return isinstance(value, Integral) and int(value) > most
