"""Options that only a person may give: they are never read from a file.

A file that brings a Hamiltonian or a model along (a trained model, a run file, a compiled Hamiltonian) comes from somebody. Whether its
code may run, or a file it names may be read without care, is the decision of the person at the keyboard. So an option that is called
``trust``, or that a plugin marks with `ByHand`, is taken from a Python call or the command line only. This holds for every plugin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from arlattice.errors import InputError

__all__ = ["ByHand", "refuse_from_file", "without_by_hand"]

_ALWAYS = "trust"


class ByHand:
    """Marks an option that is never read from a file: ``run_scripts: Annotated[bool, arlattice.ByHand()] = False``."""


def refuse_from_file(values: Mapping[str, Any], options: type[BaseModel], where: str) -> dict[str, Any]:
    """The options that a file gives, without those that only a person may give.

    Args:
        values: as they stand in the file.
        options: their class.
        where: prefix of option names in messages.

    Raises:
        InputError: the file gives such an option another value than False or its default.
    """
    defaults = _marked(options)
    for name, value in _found(values, set(defaults) | {_ALWAYS}):
        if value is not False and not (name in defaults and value == defaults[name]):
            cure = "is never read from a file: it is the decision of the person at the keyboard. Build the Hamiltonian or model by hand"
            raise InputError(f"{where}.{name}" if where else name, value, f"{cure}, in Python or with `arlattice hamiltonians NAME --set`")
    return without_by_hand(values, options)


def without_by_hand(values: Any, options: type[BaseModel]) -> Any:
    """The same plain data without the options that only a person may give, at any depth: what files record."""
    names = {*_marked(options), _ALWAYS}
    if isinstance(values, Mapping):
        return {key: without_by_hand(value, options) for key, value in values.items() if key not in names}
    return [without_by_hand(item, options) for item in values] if isinstance(values, list | tuple) else values


def _found(values: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    """Every entry of one of these names, at any depth."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key in names:
                yield key, value
            yield from _found(value, names)
    elif isinstance(values, list | tuple):
        for item in values:
            yield from _found(item, names)


def _marked(options: type[BaseModel]) -> dict[str, Any]:
    """Names (and aliases) of the marked options of a class and of the classes inside it, with their defaults."""
    marked: dict[str, Any] = {}
    for name, field in options.model_fields.items():
        if any(isinstance(mark, ByHand) for mark in field.metadata):
            marked |= dict.fromkeys(filter(None, (name, field.alias)), field.get_default())
        for inside in _models(field.annotation):
            marked |= _marked(inside)
    renamed: Mapping[str, str] = getattr(options, "renamed", {})
    return marked | {old: marked[new] for old, new in renamed.items() if new in marked}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
