"""The plugin system: hook specifications, the manager that loads plugins, and the registries they fill."""

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
