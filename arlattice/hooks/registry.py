"""`Registry`: what plugins registered, by name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self

from arlattice.errors import InputError
from arlattice.hooks.by_hand import refuse_from_file
from arlattice.hooks.containment import contained
from arlattice.hooks.options import Options, suggestion
from arlattice.old_names import warn_of_old_name

__all__ = ["Entry", "Registry"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class _NoOptions(Options):
    """The options of what takes none."""


@dataclass(frozen=True)
class Entry:
    """One registered thing. See `arlattice.hooks.hookspecs.Register` for the fields."""

    kind: str
    name: str
    plugin: str
    factory: Callable[..., Any] | str
    options: type[Options] | str | None = None
    summary: str = ""

    def load_factory(self) -> Callable[..., Any]:
        """The factory, imported now if it was given as a string."""
        factory = self._load(self.factory)
        if not callable(factory):
            raise self.error(f"gave a factory {self.factory!r} that cannot be called")
        return factory

    def call(self, *arguments: Any) -> Any:
        """What the factory makes of the arguments; whatever it raises is one line that names the plugin."""
        factory = self.load_factory()
        with self.contained("failed"):
            return factory(*arguments)

    def contained(self, problem: str, passing: tuple[type[BaseException], ...] = ()) -> AbstractContextManager[None]:
        """Where code of the plugin runs; see `arlattice.hooks.containment`."""
        return contained(self.kind, self.name, f"plugin {self.plugin!r} {problem}", passing)

    def error(self, problem: str) -> InputError:
        """``problem`` as one line that names the plugin."""
        return InputError(self.kind, self.name, f"plugin {self.plugin!r} {problem}")

    def load_options(self) -> type[Options]:
        """The class of its options."""
        options = self._load(self.options) if self.options is not None else _NoOptions
        if not (isinstance(options, type) and issubclass(options, Options)):
            raise self.error(f"gave options {self.options!r} that are not a subclass of arlattice.Options")
        return options

    def parse_options(self, values: Mapping[str, Any] | Options | None, where: str = "", *, by_hand: bool = False) -> Options:
        """Checked options; `InputError` names the one that is wrong.

        Args:
            values: options, or their values.
            where: prefix of option names in messages.
            by_hand: a person gave them in a Python call or on the command line: a name of the last release warns. Else they may
                come from a file, and what is never read from a file is refused (`arlattice.hooks.by_hand`).
        """
        options = self.load_options()
        if isinstance(values, options):
            return values
        given = values.model_dump() if isinstance(values, Options) else {} if values is None else values
        if not isinstance(given, Mapping):
            raise InputError(where or "options", values, "give options by name, e.g. {'supercell': [4, 4]}")
        with self.contained("cannot check its options"):
            named = options.current_names(given)
            for old in options.renamed.keys() & given.keys() if by_hand else ():
                warn_of_old_name(old, options.renamed[old])
            return options.parse(named if by_hand else refuse_from_file(named, options, where), where)

    def _load(self, target: Any) -> Any:
        if not isinstance(target, str):
            return target
        module, _, attribute = target.partition(":")
        with contained(self.kind, self.name, f"plugin {self.plugin!r}: cannot import {target!r}"):
            return getattr(importlib.import_module(module), attribute)


class Registry:
    """Entries of one kind by name, in the order they were registered. A name is given once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(
        self,
        name: str,
        factory: Callable[..., Any] | str,
        *,
        plugin: str,
        options: type[Options] | str | None = None,
        summary: str = "",
    ) -> None:
        """Add one entry; see `arlattice.hooks.hookspecs.Register`.

        Raises:
            InputError: the name is taken or malformed, or factory or options cannot be what they should.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(f"{self.kind} name", name, f"plugin {plugin!r}: use letters, digits and any of _ . + -")
        if name in self._entries:
            first = self._entries[name].plugin
            raise InputError(self.kind, name, f"registered by plugin {first!r} and by plugin {plugin!r}; rename one of them")
        if not callable(factory) and not (isinstance(factory, str) and _REFERENCE.fullmatch(factory)):
            raise InputError("factory", factory, f"plugin {plugin!r}: give a callable or 'package.module:attribute'")
        self._entries[name] = Entry(self.kind, name, plugin, factory, options, summary)

    def current_names(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Recorded options of an entry by their names of today; as they are where nothing of this name is registered."""
        return self[name].load_options().current_names(options) if name in self else dict(options)

    def copy(self) -> Self:
        """A registry with the same entries."""
        new = type(self)(self.kind)
        new._entries = dict(self._entries)
        return new

    def __getitem__(self, name: str) -> Entry:
        if not isinstance(name, str) or name not in self._entries:
            near = suggestion(name if isinstance(name, str) else "", self._entries)
            raise InputError(self.kind, name, f"not registered by any plugin{near}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
