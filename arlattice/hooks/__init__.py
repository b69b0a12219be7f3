"""The plugin system: hook specifications, the manager that loads plugins, and the registries they fill."""

import importlib
from typing import Any

from arlattice.hooks.hookspecs import Register, hookimpl
from arlattice.hooks.manager import Manager, PluginInfo, PluginWarning, default_manager, load_plugin, plugins, using
from arlattice.hooks.options import Options
from arlattice.hooks.registry import Entry, Registry
from arlattice.old_names import warn_of_old_name

__all__ = [
    "Entry",
    "Manager",
    "Options",
    "PluginInfo",
    "PluginWarning",
    "Register",
    "Registry",
    "default_manager",
    "hookimpl",
    "load_plugin",
    "plugins",
    "using",
]


def __getattr__(name: str) -> Any:
    """The name that this package had for one release more."""
    if name == "hamiltonian":
        warn_of_old_name("arlattice.hooks.hamiltonian", "arlattice.hamiltonian")
        return importlib.import_module("arlattice.build").hamiltonian
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
