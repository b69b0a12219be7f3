"""How the module of a plugin is imported: an entry point, a module by name, or a single file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

from arlattice.errors import InputError
from arlattice.hooks.containment import contained

__all__ = ["import_file", "import_module", "imported", "origin"]


def origin(entry_point: EntryPoint) -> str:
    """Where an installed plugin comes from: name and version of its distribution."""
    distribution = entry_point.dist
    return f"{distribution.name} {distribution.version}" if distribution else entry_point.value


def imported(name: str, load: Callable[[], object]) -> object:
    """What ``load`` imports; whatever it raises is one line that names the plugin."""
    with contained("plugin", name, "cannot be imported"):
        return load()


def import_module(name: str) -> object:
    """An importable module.

    Raises:
        InputError: there is none of this name.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError("plugin", name, "no such file or module") from None
        raise


def import_file(path: Path) -> object:
    """A single Python file as a module.

    Raises:
        InputError: no such file, or no Python file.
    """
    if not path.is_file():
        raise InputError("plugin", str(path), "no such file")
    name = f"arlattice_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        raise InputError("plugin", str(path), "give a Python file (.py) or the name of a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # classes defined in the file look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
