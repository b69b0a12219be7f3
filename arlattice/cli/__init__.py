"""The command line: one file a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

__all__ = ["commands"]


def commands() -> list[click.Command]:
    """The built-in commands, in the order `arlattice --help` shows them."""
    from arlattice.cli.export import export
    from arlattice.cli.hamiltonians import hamiltonians
    from arlattice.cli.inpaint import inpaint
    from arlattice.cli.models import models
    from arlattice.cli.observables import observables
    from arlattice.cli.phase_diagram import phase_diagram
    from arlattice.cli.plugins import plugins
    from arlattice.cli.sample import sample
    from arlattice.cli.sweep import sweep
    from arlattice.cli.train import train

    return [plugins, hamiltonians, models, observables, train, sample, inpaint, sweep, phase_diagram, export]
