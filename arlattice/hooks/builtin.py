"""The built-ins, registered through the same hooks as everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arlattice.hooks.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def arlattice_register_models(register: Register) -> None:
    register(
        "any-order-transformer",
        "arlattice.models.any_order_transformer:AnyOrderTransformer",
        options="arlattice.models.any_order_transformer:AnyOrderTransformerOptions",
        summary="causal transformer that reads the sites in any order, on top of completed-cluster energies",
    )


@hookimpl
def arlattice_register_objectives(register: Register) -> None:
    register("hybrid", "arlattice.training.objectives:hybrid", summary="forward KL on replayed Monte Carlo plus reverse KL on own samples")
    register("forward", "arlattice.training.objectives:forward", summary="forward KL on replayed Monte Carlo: covers every mode")
    register("reverse", "arlattice.training.objectives:reverse", summary="reverse KL on own samples: energies only, may lose modes")


@hookimpl
def arlattice_register_commands(cli: click.Group) -> None:
    from arlattice.cli import commands

    for command in commands():
        cli.add_command(command)
