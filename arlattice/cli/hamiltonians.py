"""``arlattice hamiltonians``."""

from __future__ import annotations

import click

from arlattice.cli.command import Command
from arlattice.cli.parameters import read_assignments
from arlattice.cli.tables import json_option, print_facts, print_table
from arlattice.errors import InputError

__all__ = ["hamiltonians"]


@click.command(cls=Command)
@click.argument("name", required=False)
@click.option("--set", "assignments", multiple=True, metavar="OPTION=VALUE", help="An option of the Hamiltonian. May be repeated.")
@click.option("--compile", "path", metavar="FILE", help="Write its cluster tables, for machines without the plugin that builds them.")
@json_option
def hamiltonians(name: str | None, assignments: tuple[str, ...], path: str | None, as_json: bool) -> None:
    """List the Hamiltonians; show or build one.

    \b
    Examples:
      arlattice hamiltonians                                     # all of them
      arlattice hamiltonians ising                               # the options of one
      arlattice hamiltonians ising --set 'supercell=[4,4]' --set h=0.5  # build it: sites, species
      arlattice hamiltonians cuau --set 'supercell=[4,4,4]' --compile cuau.safetensors
    """
    if name is None:
        if assignments or path:
            raise InputError("NAME", None, "name the Hamiltonian to build, e.g. arlattice hamiltonians ising --set 'supercell=[4,4]'")
        _list(as_json)
    elif assignments or path:
        _build(name, assignments, path, as_json)
    else:
        _describe(name, as_json)


def _list(as_json: bool) -> None:
    from arlattice.hooks.manager import default_manager

    rows = [{"name": e.name, "plugin": e.plugin, "summary": e.summary} for e in default_manager().hamiltonians]
    print_table(rows, as_json, "no Hamiltonians; see: arlattice plugins")


def _describe(name: str, as_json: bool) -> None:
    from arlattice.hooks.manager import default_manager
    from arlattice.hooks.options import describe_options

    print_table(describe_options(default_manager().hamiltonians[name].load_options()), as_json, "takes no options")


def _build(name: str, assignments: tuple[str, ...], path: str | None, as_json: bool) -> None:
    from arlattice.build import build_hamiltonian
    from arlattice.cluster_hamiltonian import ClusterHamiltonian

    built = build_hamiltonian(name, read_assignments("--set", assignments), by_hand=True)
    if path is not None:
        if not isinstance(built, ClusterHamiltonian):
            raise InputError("--compile", path, f"{name} is a {type(built).__name__}; only a ClusterHamiltonian has tables to write")
        built.save(path)
    facts = {
        "name": built.name,
        "options": dict(built.options),
        "sites": built.lattice.n_sites,
        "supercell": built.lattice.supercell.tolist(),
        "species": list(built.species),
        "units": built.units,
        "clusters": {f"{k}-body": n for k, n in built.n_clusters.items()} if isinstance(built, ClusterHamiltonian) else None,
        "fingerprint": built.fingerprint,
    }
    print_facts(facts | ({"written": path} if path else {}), as_json)
