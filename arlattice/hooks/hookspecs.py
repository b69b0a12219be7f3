"""The hooks a plugin may implement. Their docstrings are the contract.

A plugin is a module (or a single file) with functions of these names, marked ``@arlattice.hookimpl``.
It is found through the entry-point group ``arlattice``, or loaded with ``-p`` or `arlattice.load_plugin`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    import click

    from arlattice.hooks.options import Options

__all__ = [
    "PROJECT",
    "Register",
    "arlattice_register_commands",
    "arlattice_register_ensembles",
    "arlattice_register_exporters",
    "arlattice_register_hamiltonians",
    "arlattice_register_models",
    "arlattice_register_moves",
    "arlattice_register_objectives",
    "arlattice_register_observables",
    "arlattice_register_plans",
    "hookimpl",
]

PROJECT = "arlattice"
"""Name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


class Register(Protocol):
    """What the ``arlattice_register_*`` hooks receive."""

    def __call__(
        self,
        name: str,
        factory: Callable[..., Any] | str,
        *,
        options: type[Options] | str | None = None,
        summary: str = "",
    ) -> None:
        """Announce one thing under a name.

        Args:
            name: what users type. A name that is taken is refused, naming both plugins.
            factory: builds it; a callable, or ``"package.module:attribute"``, imported when first used.
            options: the class of its options, a subclass of `arlattice.Options`, or such a string. None: it takes no options.
            summary: one line for tables.
        """


@hookspec
def arlattice_register_hamiltonians(register: Register) -> None:
    """Register Hamiltonians. The factory is called as ``factory(options)`` and returns a `Hamiltonian`.

    Its ``name`` becomes the registered name; its ``options``, if the factory leaves them empty, the
    options as plain data, so that a checkpoint can build it again.
    """


@hookspec
def arlattice_register_ensembles(register: Register) -> None:
    """Register ensembles. The factory is the ensemble itself, a subclass of `arlattice.Ensemble`, called with the numbers of a state.

    Its ``name`` is the registered name: files keep a state under it, and `Ensemble.from_dict` looks it up here.
    """


@hookspec
def arlattice_register_models(register: Register) -> None:
    """Register model families. The factory is called as ``factory(hamiltonian, options)`` and returns a `Model`."""


@hookspec
def arlattice_register_plans(register: Register) -> None:
    """Register kinds of drawing plans. The factory is called as ``factory(lattice, n, stream)`` and returns a `Plan` of ``n`` rows.

    Or an order, site numbers (n, sites), for one site a block. All numbers that are random come from the stream, an
    `arlattice.random_numbers.Stream`, so that a seed repeats a draw; plan and numbers are on ``stream.device``.
    """


@hookspec
def arlattice_register_objectives(register: Register) -> None:
    """Register training objectives. The factory is the objective itself, ``factory(model, batch) -> Loss``.

    See `arlattice.training.objectives`.
    """


@hookspec
def arlattice_register_moves(register: Register) -> None:
    """Register Monte Carlo moves. The factory is called as ``factory(hamiltonian)`` and returns a `Sweep`.

    It is marked with `arlattice.montecarlo.for_ensembles`, which says by name the ensembles whose distribution the move keeps, or
    ``"unconstrained"``: all that forbid nothing. The first move that is registered for an ensemble is its default. The Hamiltonian is on
    the device of the chains and does not check what it is given. See `arlattice.montecarlo.moves`.
    """


@hookspec
def arlattice_register_observables(register: Register) -> None:
    """Register observables. The factory is the observable itself, ``factory(samples, options)``.

    It returns one value per sample (n,), one row (n, components), or a `Values` with named components. See
    `arlattice.thermo.observables.values`.
    """


@hookspec
def arlattice_register_exporters(register: Register) -> None:
    """Register file formats of samples. The factory is called as ``factory()`` and returns an `arlattice.io.exporter.Exporter`.

    The registered name is what ``format`` and ``--format`` take. The exporter writes to a temporary place, and arlattice moves what it
    wrote to where the user wants it, whole or not at all.
    """


@hookspec
def arlattice_register_commands(cli: click.Group) -> None:
    """Add commands to the command line, with ``@cli.command()`` or ``cli.add_command(command)``."""
