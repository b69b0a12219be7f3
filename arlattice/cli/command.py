"""`Command`: what all commands of arlattice share beyond click.

Options are given once, texts are not empty, errors name the flag that was typed (`arlattice.cli.flags`), and standard output holds the
answer alone: what plugins and libraries print while a command runs, by Python or by the system, goes to standard error.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO

import click

from arlattice.cli.flags import flag_of, naming_flags
from arlattice.errors import InputError

__all__ = ["Command", "answer", "check_given", "note", "only_answers"]

_answers: ContextVar[TextIO | None] = ContextVar("arlattice_answers", default=None)


class Command(click.Command):
    """A command of arlattice."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with check_given(self, ctx, args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with only_answers(), naming_flags(ctx):
            return super().invoke(ctx)


def answer(text: str = "") -> None:
    """Print a line of the answer to standard output."""
    click.echo(_printable(text), file=_answers.get())


def note(text: str) -> None:
    """Print a line beside the answer, to standard error."""
    click.echo(_printable(text), err=True)


def _printable(text: str) -> str:
    """Text of files and file names may hold characters that command the terminal: they are shown as `repr` shows them."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def only_answers() -> Iterator[None]:
    """Keep standard output for `answer`; all else that is printed inside the block goes to standard error."""
    with _kept_stdout() as stream, redirect_stdout(sys.stderr):
        token = _answers.set(stream)
        try:
            yield
        finally:
            _answers.reset(token)


@contextmanager
def _kept_stdout() -> Iterator[TextIO]:
    """The standard output under another file descriptor, while the descriptor itself leads to standard error."""
    stdout = sys.stdout
    try:
        descriptor, errors = stdout.fileno(), sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # a stream in memory, or none
        yield stdout
        return
    stdout.flush()
    saved = os.dup(descriptor)
    os.dup2(errors, descriptor)
    try:
        with open(os.dup(saved), "w", encoding=stdout.encoding, errors=stdout.errors) as stream:
            yield stream
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


@contextmanager
def check_given(command: click.Command, ctx: click.Context, args: Sequence[str]) -> Iterator[None]:
    """Refuse an option that is given twice, and text that is empty or not UTF-8 text, after click has read the values in the block.

    Raises:
        InputError: it names the option; click would take the last of two in silence.
    """
    args = list(args)
    yield
    values, _, given = command.make_parser(ctx).parse_args(args=args)
    for parameter, times in Counter(given).items():
        name = flag_of(parameter)
        value = values[parameter.name or ""]
        if times > 1 and isinstance(parameter, click.Option) and not parameter.multiple:
            raise InputError(name, value, f"is the last of {times}; give {name} once")
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str):
                _check_text(name, text)


def _check_text(name: str, text: str) -> None:
    if not text.strip():
        raise InputError(name, text, "is empty; give a value, or leave it out")
    if not text.isprintable() and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise InputError(name, text, "is not text in UTF-8; rename it")
