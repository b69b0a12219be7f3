"""Modules by the names that they had in the last release: they can be imported for one release more, with a warning.

What stands under an old name is an empty module that takes everything from the new one. It is made when it is first imported, but for
modules right below ``arlattice``, which are there from the start: Python sets what it imports as an attribute of the package, and there
``arlattice.hamiltonian`` is the function.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from arlattice.old_names import warn_of_old_name

__all__ = ["MOVED", "install"]

MOVED = {
    "arlattice.hamiltonian": "arlattice.hamiltonians",
    "arlattice.models.composition": "arlattice.composition",
    "arlattice.models.conditions": "arlattice.conditions",
    "arlattice.models.gauge": "arlattice.decoding.gauge",
    "arlattice.models.orders": "arlattice.decoding.orders",
    "arlattice.models.steps": "arlattice.decoding.steps",
}
"""Old name -> new name."""


class _Moved(ModuleType):
    """Takes its attributes from where the module is now; Python's own (``__file__``) it has not."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        new = MOVED[self.__name__]
        value = getattr(importlib.import_module(new), name)
        warn_of_old_name(self.__name__, new)
        return value


class _Finder(MetaPathFinder, Loader):
    """Makes the modules of `MOVED`."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Moved(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def install() -> None:
    """Let old names be imported."""
    sys.meta_path.append(_Finder())
    for old in MOVED:
        if old.count(".") == 1:
            sys.modules.setdefault(old, _Moved(old))
