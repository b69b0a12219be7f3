"""Hamiltonians and ensembles by their registered names.

The one place where a name, options and the registry of plugins become a `Hamiltonian`: `arlattice.hamiltonian` for a person,
`build_hamiltonian` for what reads options from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arlattice.arguments import of_type
from arlattice.ensemble import Ensemble, boltzmann_constant
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.by_hand import without_by_hand
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.lattice import Lattice

__all__ = ["build_hamiltonian", "ensemble_class", "hamiltonian"]


def hamiltonian(name: str, /, **options: Any) -> Hamiltonian:
    """The Hamiltonian that a plugin registered under ``name``.

    Args:
        name: e.g. ``"ising"``; ``arlattice hamiltonians`` lists them.
        options: passed to the Hamiltonian's own typed options, which refuse unknown names.

    Raises:
        InputError: unknown name, unknown option, or a value out of range.

    Example:
        >>> import arlattice as arl
        >>> arl.hamiltonian("ising", supercell=(4, 4)).lattice.n_sites
        16
    """
    return build_hamiltonian(name, options, by_hand=True)


def build_hamiltonian(
    name: str, options: Mapping[str, Any] | Options | None = None, where: str = "", *, by_hand: bool = False
) -> Hamiltonian:
    """The Hamiltonian of a registered name, from the plugins in use (`arlattice.hooks.using`).

    Args:
        name: as registered.
        options: checked against the registered class.
        where: prefix of option names in messages.
        by_hand: a person gave the options just now; else what is never read from a file is refused (`arlattice.hooks.by_hand`).

    Raises:
        InputError: unknown name or option, or a plugin that returns what is not a Hamiltonian.
    """
    entry = default_manager().hamiltonians[name]
    checked = entry.parse_options(options, where, by_hand=by_hand)
    built = entry.call(checked)
    if not isinstance(built, Hamiltonian):
        raise entry.error(f"returned a {type(built).__name__}, not a Hamiltonian")
    with entry.contained("returned a Hamiltonian that is not whole"):
        built.name = name
        built.options = without_by_hand(dict(built.options) or checked.model_dump(mode="json"), type(checked))
        boltzmann_constant(built.units)
        of_type("lattice", built.lattice, Lattice, "must be a Lattice")
    return built


def ensemble_class(name: str) -> type[Ensemble]:
    """The ensemble of a registered name, as files keep it.

    Raises:
        InputError: no plugin registers it, or registers something else.
    """
    entry = default_manager().ensembles[name]
    kind = entry.load_factory()
    if not (isinstance(kind, type) and issubclass(kind, Ensemble) and kind.name == name):
        raise entry.error(f"registered {kind!r}, which is no subclass of arlattice.Ensemble of that name")
    return kind
