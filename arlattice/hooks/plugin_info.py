"""`PluginInfo`: what is told of a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arlattice.hooks.registry import Registry

__all__ = ["PluginInfo"]


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was met: where it comes from, what it provides, and why it is not loaded if it is not."""

    name: str
    source: str
    status: str = "loaded"
    hamiltonians: tuple[str, ...] = ()
    ensembles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    observables: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def with_names(self, registries: Mapping[str, Registry]) -> PluginInfo:
        """With what it registered, if it is loaded; registries by kind, ``"model"`` for ``models``."""
        if self.status != "loaded":
            return self
        names = {f"{kind}s": tuple(e.name for e in found if e.plugin == self.name) for kind, found in registries.items()}
        return PluginInfo(self.name, self.source, self.status, **names)
