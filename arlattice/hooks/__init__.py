"""The plugin system: hook specifications, the manager that loads plugins, and the registries they fill."""

import warnings
from typing import Any

from arlattice.hooks.hookspecs import Register, hookimpl
from arlattice.hooks.manager import Manager, PluginInfo, PluginWarning, default_manager, load_plugin, plugins, using
from arlattice.hooks.options import Options
from arlattice.hooks.registry import Entry, Registry

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
        from arlattice.build import hamiltonian

        warnings.warn("arlattice.hooks.hamiltonian is now arlattice.hamiltonian", DeprecationWarning, stacklevel=2)
        return hamiltonian
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
