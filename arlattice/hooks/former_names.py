"""Methods of the last release that `Manager` still answers to, with a warning: what they build is built elsewhere now."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from arlattice.old_names import warn_of_old_name

__all__ = ["FormerNames"]


def _moved(name: str, module: str) -> Callable[..., Any]:
    """A method that calls the function of that name in a module, with this manager in use."""

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        from arlattice.hooks.manager import using

        warn_of_old_name(f"Manager.{name}", f"{module}.{name}")
        with using(self):
            return getattr(importlib.import_module(module), name)(*arguments, **named)

    method.__name__, method.__doc__ = name, f"Deprecated: see `{module}.{name}`."
    return method


class FormerNames:
    """What `Manager` could do, for one release."""

    build_hamiltonian = _moved("build_hamiltonian", "arlattice.build")
    build_model = _moved("build_model", "arlattice.models.build")
    observe = _moved("observe", "arlattice.thermo.observables.observe")
