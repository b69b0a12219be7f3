"""`Manager`: finds, loads and validates plugins, and keeps what they registered.

Built-ins first, then entry points, then folders, then plugins named one by one. A plugin is taken whole
or not at all. A broken entry point or file in a folder is named in a `PluginWarning` and the rest works;
with ``ARLATTICE_STRICT_PLUGINS=1`` it raises. A plugin that was asked for by name always raises.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from traceback import walk_tb

import pluggy

from arlattice.arguments import items_of, path_text
from arlattice.errors import InputError, MissingExtraError
from arlattice.hooks import hookspecs
from arlattice.hooks.containment import contained, stopped_by_user, told
from arlattice.hooks.former_names import FormerNames
from arlattice.hooks.hookspecs import PROJECT
from arlattice.hooks.loading import import_file, import_module, imported, origin
from arlattice.hooks.options import suggestion
from arlattice.hooks.plugin_info import PluginInfo
from arlattice.hooks.registry import Registry

__all__ = ["FACTORY_KINDS", "Manager", "PluginInfo", "PluginWarning", "default_manager", "load_plugin", "plugins", "using"]

STRICT_VARIABLE = "ARLATTICE_STRICT_PLUGINS"
_OWN = ("builtin", "observables")
FACTORY_KINDS = ("hamiltonian", "ensemble", "model", "plan", "objective", "move", "observable", "exporter")
_KINDS = (*FACTORY_KINDS, "command")


class PluginWarning(UserWarning):
    """A plugin could not be loaded; everything else works."""


class Manager(FormerNames):
    """The loaded plugins and their registries.

    Args:
        plugins: files or modules to load, and ``"no:NAME"`` to block the plugin of that name before it is loaded.
        folders: folders whose ``*.py`` files are plugins (names that begin with ``_`` are left alone).

    Raises:
        InputError: a plugin that was asked for cannot be loaded, or a blocked name that no plugin has.
    """

    def __init__(self, plugins: Sequence[str] = (), folders: Sequence[str | Path] = ()) -> None:
        plugins = items_of("plugins", plugins, str, "give a list of files and modules, each as text")
        folders = items_of("folders", folders, (str, Path), "give a list of folders")
        self._plugins = pluggy.PluginManager(PROJECT)
        self._plugins.add_hookspecs(hookspecs)
        self._registries = {kind: Registry(kind) for kind in _KINDS}
        self._infos: list[PluginInfo] = []
        self._blocked = {name.removeprefix("no:") for name in plugins if name.startswith("no:")}
        self._add("builtin", "part of arlattice", partial(importlib.import_module, "arlattice.hooks.builtin"))
        self._add("observables", "part of arlattice", partial(importlib.import_module, "arlattice.hooks.observables"))
        for entry_point in sorted(entry_points(group=PROJECT), key=lambda e: e.name):
            self._add_or_warn(entry_point.name, origin(entry_point), entry_point.load)
        for folder in folders:
            self._load_folder(Path(folder))
        for plugin in plugins:
            if not plugin.startswith("no:"):
                self.load(plugin)
        self._check_blocked()

    @property
    def hamiltonians(self) -> Registry:
        """Hamiltonians by name."""
        return self._registries["hamiltonian"]

    @property
    def ensembles(self) -> Registry:
        """Ensembles by name; the factory of an entry is the subclass of `Ensemble`."""
        return self._registries["ensemble"]

    @property
    def models(self) -> Registry:
        """Model families by name."""
        return self._registries["model"]

    @property
    def plans(self) -> Registry:
        """Kinds of drawing plans by name."""
        return self._registries["plan"]

    @property
    def objectives(self) -> Registry:
        """Training objectives by name."""
        return self._registries["objective"]

    @property
    def moves(self) -> Registry:
        """Monte Carlo moves by name."""
        return self._registries["move"]

    @property
    def observables(self) -> Registry:
        """Observables by name."""
        return self._registries["observable"]

    @property
    def exporters(self) -> Registry:
        """File formats of samples by name."""
        return self._registries["exporter"]

    @property
    def commands(self) -> Registry:
        """Commands of the command line by name; the factory of an entry is the `click.Command`."""
        return self._registries["command"]

    def plugins(self) -> list[PluginInfo]:
        """Every plugin that was met, in the order it was met."""
        return [info.with_names(self._registries) for info in self._infos]

    def requests(self) -> list[str]:
        """What to give to `Manager` in another process for the same plugins."""
        blocked = [f"no:{info.name}" for info in self._infos if info.status == "blocked" and not info.source.endswith(".py")]
        loaded = [info.source for info in self._infos if info.status == "loaded"]
        files = [str(Path(source).resolve()) for source in loaded if source.endswith(".py")]
        return blocked + files + [source.removeprefix("module ") for source in loaded if source.startswith("module ")]

    # -- the culprit -----------------------------------------------------------------------------

    @contextmanager
    def naming_plugins(self) -> Iterator[None]:
        """Name the plugin whose code raised, in one line, wherever it was called from: its energies, say, in the midst of drawing."""
        import click

        try:
            yield
        except (InputError, MissingExtraError, Warning, click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except BaseException as error:
            plugin = None if stopped_by_user(error) else self._culprit(error)
            if plugin is None:
                raise
            raise InputError("plugin", plugin, f"failed: {told(error)}") from error

    def _culprit(self, error: BaseException) -> str | None:
        """The plugin of the innermost frame that is a plugin's; None if none is."""
        frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
        modules = {getattr(plugin, "__name__", ""): name for name, plugin in self._plugins.list_name_plugin() if name not in _OWN}
        for frame in reversed(frames):
            for module, name in modules.items():
                if module and f"{frame}.".startswith(f"{module}."):
                    return name
        return None

    # -- loading ---------------------------------------------------------------------------------

    def load(self, plugin: str | Path) -> None:
        """Load one plugin: a Python file, or the name of an importable module.

        Raises:
            InputError: it cannot be imported, implements no or an unknown hook, or gives a name that is taken.
        """
        path = Path(path_text("plugin", plugin))
        if path.suffix == ".py" or path.exists():
            self._add(path.stem, str(path), partial(import_file, path))
        else:
            self._add(str(plugin), f"module {plugin}", partial(import_module, str(plugin)))

    def _load_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError("plugins-dir", str(folder), "no such folder")
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                self._add_or_warn(path.stem, str(path), partial(import_file, path))

    def _add_or_warn(self, name: str, source: str, load: Callable[[], object]) -> None:
        try:
            self._add(name, source, load)
        except (InputError, MissingExtraError) as error:
            if os.environ.get(STRICT_VARIABLE, "0") not in ("", "0"):
                raise
            self._infos.append(PluginInfo(name, source, str(error)))
            warnings.warn(f"plugin {name!r} ({source}) is not loaded: {error}", PluginWarning, stacklevel=2)

    def _add(self, name: str, source: str, load: Callable[[], object]) -> None:
        """Import, validate and register one plugin; if anything fails, nothing of it stays."""
        if name in self._blocked:
            self._infos.append(PluginInfo(name, source, "blocked"))
            return
        if self._plugins.has_plugin(name):
            taken = next(info.source for info in self._infos if (info.name, info.status) == (name, "loaded"))
            raise InputError("plugin", name, f"{source} has the name of a plugin already loaded ({taken}); rename it")
        plugin = imported(name, load)
        if self._plugins.is_registered(plugin):
            raise InputError("plugin", name, f"is loaded already, as plugin {self._plugins.get_name(plugin)!r}")
        try:
            with contained("plugin", name, "cannot be registered"):
                self._register(plugin, name)
        except BaseException:
            if self._plugins.has_plugin(name):
                self._plugins.unregister(name=name)
            raise
        self._infos.append(PluginInfo(name, source))

    def _register(self, plugin: object, name: str) -> None:
        try:
            self._plugins.register(plugin, name)
            self._plugins.check_pending()
        except pluggy.PluginValidationError as error:
            raise _hook_error(name, plugin, error) from None
        self._registries = self._staged(plugin, name)

    def _staged(self, plugin: object, name: str) -> dict[str, Registry]:
        """The registries with what this plugin registers."""
        import click

        if not self._plugins.get_hookcallers(plugin):
            raise InputError("plugin", name, "implements no hook; mark its functions with @arlattice.hookimpl")
        staged = {kind: registry.copy() for kind, registry in self._registries.items()}
        for kind in FACTORY_KINDS:
            self._call(f"arlattice_register_{kind}s", plugin, name, register=partial(staged[kind].register, plugin=name))
        group = click.Group()
        self._call("arlattice_register_commands", plugin, name, cli=group)
        for command_name, command in group.commands.items():
            staged["command"].register(command_name, command, plugin=name, summary=command.get_short_help_str(80))
        return staged

    def _call(self, hook: str, plugin: object, name: str, **arguments: object) -> None:
        """Call one hook of one plugin."""
        others = [other for other in self._plugins.get_plugins() if other is not plugin]
        with contained("plugin", name, f"{hook} failed"):
            self._plugins.subset_hook_caller(hook, others)(**arguments)

    def _check_blocked(self) -> None:
        known = {info.name for info in self._infos}
        for name in sorted(self._blocked - known):
            raise InputError("plugin", f"no:{name}", f"no plugin of this name to block{suggestion(name, known)}")


def _hook_error(name: str, plugin: object, error: pluggy.PluginValidationError) -> InputError:
    """A misspelt hook, or a wrong argument of a hook, in one line."""
    known = [hook for hook in vars(hookspecs) if hook.startswith("arlattice_register_")]
    marked = [attribute for attribute in dir(plugin) if hasattr(getattr(plugin, attribute, None), f"{PROJECT}_impl")]
    for hook in marked:
        if hook not in known:
            return InputError("plugin", name, f"unknown hook {hook!r}{suggestion(hook, known)}")
    return InputError("plugin", name, " ".join(str(error).split()))


# -- the manager in use --------------------------------------------------------------------------

_in_use: ContextVar[Manager | None] = ContextVar("arlattice_plugin_manager", default=None)


@cache
def _shared() -> Manager:
    return Manager()


def default_manager() -> Manager:
    """The manager that `arlattice.hamiltonian` and the like look names up in; made when first asked for."""
    return _in_use.get() or _shared()


@contextmanager
def using(manager: Manager) -> Iterator[Manager]:
    """Look names up in ``manager`` inside the block."""
    token = _in_use.set(manager)
    try:
        yield manager
    finally:
        _in_use.reset(token)


def load_plugin(plugin: str | Path) -> None:
    """Load a plugin from a Python file or an importable module; see `Manager.load`."""
    default_manager().load(plugin)


def plugins() -> list[PluginInfo]:
    """Every plugin that was met, with what it provides."""
    return default_manager().plugins()
