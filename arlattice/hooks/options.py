"""`Options`: the typed, frozen options of a plugin; a wrong one is told in one line."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, ErrorDetails, PydanticUndefined

from arlattice.arguments import LARGEST_INTEGER
from arlattice.errors import InputError

__all__ = ["Options", "describe_options", "input_error", "suggestion"]


def _strict(schema: Any) -> Any:
    """The schema with strict numbers, bools and texts: pydantic takes True and "1" for 1. Lists still make tuples."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_strict, schema))
    if not isinstance(schema, dict):
        return schema
    inner = {key: _strict(value) for key, value in schema.items()}
    if schema.get("type") in ("int", "float", "bool", "str"):
        inner["strict"] = True
    return {"le": LARGEST_INTEGER, **inner} if schema.get("type") == "int" else inner


class Options(BaseModel):
    """Base class of options: frozen, unknown names refused, numbers finite, and no bool or text where a number is meant.

    Write a subclass with a default, a range and a description for every field::

        class IsingOptions(arlattice.Options):
            J: float = Field(1.0, description="coupling, J > 0 aligns the spins")

    and let `parse` build it: it raises `InputError`, one line that names option, value and cure.
    """

    renamed: ClassVar[Mapping[str, str]] = {}
    """Old name -> name of today, of options that had another name in the last release. Both are read; see `current_names`."""

    files: ClassVar[Mapping[str, str]] = {}
    """Ending of a file, with its dot -> the option that takes the path of such a file (Hamiltonians with an option ``supercell``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True, validate_default=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        strict: CoreSchema = _strict(handler(source))
        return strict

    @model_validator(mode="before")
    @classmethod
    def _current(cls, values: Any) -> Any:
        return cls.current_names(values) if isinstance(values, Mapping) else values

    @classmethod
    def current_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the names of today, whatever release recorded them: what is compared with options of another file.

        Raises:
            InputError: an option under its old and its new name.
        """
        for old, new in cls.renamed.items():
            if old in values and new in values:
                raise InputError(old, values[old], f"is now called {new}; give {new} alone")
        return {cls.renamed.get(name, name): value for name, value in values.items()}

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Options from plain values.

        Args:
            values: option name -> value.
            where: prefix of option names in messages, e.g. ``"hamiltonian.options"``.

        Raises:
            InputError: an unknown or missing option, a wrong type, or a value out of range.
        """
        if not isinstance(values, Mapping):
            raise InputError(where or "options", values, "give options by name, e.g. {'supercell': [4, 4]}")
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise input_error(error, cls, where) from None


def input_error(error: ValidationError, model: type[BaseModel], where: str = "") -> InputError:
    """The first of pydantic's complaints as an `InputError`; unknown names first, since they explain missing ones."""
    details = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first = details[0]
    location = [str(part) for part in first["loc"] if not _UNION_BRANCH.fullmatch(str(part))]
    told = first.get("ctx", {}).get("error")
    if isinstance(told, InputError):
        location += [told.argument] if told.argument not in location[-1:] else []
    name = ".".join([where, *location] if where else location) or "options"
    if isinstance(told, InputError):
        return InputError(name, told.value, told.cure)
    return InputError(name, None if first["type"] == "missing" else first["input"], _cure(first, model))


_UNION_BRANCH = re.compile(r"(constrained-)?(bool|int|float|str|list|tuple|dict|none)(\[.*)?")
"""What pydantic adds to a location to say which member of a union it tried."""


def _cure(detail: ErrorDetails, model: type[BaseModel]) -> str:
    if detail["type"] == "extra_forbidden":
        siblings = _fields_at(model, detail["loc"][:-1])
        return f"unknown option{suggestion(str(detail['loc'][-1]), siblings)}"
    if detail["type"] in ("dict_type", "model_type"):
        return "give a table of options, as { option = value }"
    if detail["type"] == "missing":
        return "is required"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _fields_at(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """Option names of the (nested) model that a pydantic error location points into."""
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            annotation = fields[part].annotation
            candidates = (annotation, *get_args(annotation))
            model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))


def suggestion(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, else ``"; known: a, b, c"``, for the end of a message."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else "; there are none"


def describe_options(options: type[Options]) -> list[dict[str, Any]]:
    """One row an option: ``name``, ``type``, ``default`` (None if required), ``required``, ``range``, ``description``."""
    return [
        {
            "name": name,
            "type": _type_name(field.annotation),
            "default": None if field.is_required() else _plain(field.get_default(call_default_factory=True)),
            "required": field.is_required(),
            "range": ", ".join(filter(None, map(_limit, field.metadata))),
            "description": field.description or "",
        }
        for name, field in options.model_fields.items()
    ]


def _plain(value: Any) -> Any:
    if value is PydanticUndefined:
        return None
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value if isinstance(value, bool | int | float | str | list | tuple | dict | None) else repr(value)


_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of", "min_length": "length >=", "max_length": "length <="}


def _limit(constraint: Any) -> str:
    found = [f"{sign} {getattr(constraint, key)}" for key, sign in _SIGNS.items() if getattr(constraint, key, None) is not None]
    return ", ".join(found)


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type_name, arguments))
    if annotation is Ellipsis:
        return "..."
    if hasattr(annotation, "__metadata__"):
        return " ".join(filter(None, [_type_name(arguments[0]), *map(_limit, annotation.__metadata__)]))
    if annotation is None or annotation is type(None):
        return "none"
    if origin is None:
        return getattr(annotation, "__name__", str(annotation))
    if getattr(origin, "__name__", "") == "Literal":
        return " | ".join(map(repr, arguments))
    return f"{getattr(origin, '__name__', str(origin))}[{', '.join(map(_type_name, arguments))}]"
