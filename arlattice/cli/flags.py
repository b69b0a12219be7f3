"""Errors name what the user typed: ``--temperature``, ``--mu Au``; not the argument of the Python function that refused its value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from arlattice.errors import InputError

__all__ = ["flag_of", "naming_flags", "refused_by_click"]


def flag_of(parameter: click.Parameter) -> str:
    """What a parameter is called on the command line: its long flag, or the name that the usage shows."""
    return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.metavar or parameter.human_readable_name


@contextmanager
def naming_flags(ctx: click.Context) -> Iterator[None]:
    """What the block refuses of an option is told by the flag of the option.

    An option belongs to an `InputError` if it has the name of the argument, if it assigned a value to the name in it (``--mu Au=0.1`` to
    ``chemical_potentials[Au]``), or if its value is the text that was refused.
    """
    try:
        yield
    except InputError as error:
        options = {p: ctx.params.get(p.name or "") for p in ctx.command.params if isinstance(p, click.Option)}
        given = {option: value for option, value in options.items() if value is not None and value is not False and value != ()}
        flag = _named(error, given) or _assigned(error, given) or _valued(error, given)
        if flag is None:
            raise
        raise InputError(flag, error.value, error.cure) from error


def _named(error: InputError, given: dict[click.Option, Any]) -> str | None:
    name = re.sub("[ -]", "_", error.argument)
    return next((flag_of(o) for o, value in given.items() if o.name == name and not _are_two_numbers(value, error.value)), None)


def _are_two_numbers(typed: Any, refused: Any) -> bool:
    """Whether both are numbers and not the same one: what was refused was not typed here."""
    return isinstance(typed, int | float) and isinstance(refused, int | float) and typed != refused and not math.isnan(refused)


def _assigned(error: InputError, given: dict[click.Option, Any]) -> str | None:
    path = "." + re.sub(r"\[(.*?)\]", r".\1", error.argument) + "."
    for option, value in given.items():
        for text in _listed(value):
            name, equals, _ = str(text).partition("=")
            if option.multiple and equals and f".{name}." in path:
                return f"{flag_of(option)} {name}{path.partition(f'.{name}.')[2].join(('.', '')).rstrip('.')}"
    return None


def _valued(error: InputError, given: dict[click.Option, Any]) -> str | None:
    flags = [flag_of(option) for option, value in given.items() if isinstance(error.value, str) and error.value in _listed(value)]
    return flags[0] if len(flags) == 1 and error.argument not in flags else None


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def refused_by_click(error: click.BadParameter) -> str:
    """A value that click refuses, told as an `InputError` tells it."""
    message = " ".join(error.message.split()).rstrip(".")
    if error.param is None or isinstance(error, click.MissingParameter):
        return " ".join(error.format_message().split()).rstrip(".")
    value, is_, cure = message.partition(" is ")
    return f"{flag_of(error.param)} = {value}: is {cure}" if is_ else f"{flag_of(error.param)}: {message}"
