"""Hamiltonians by the name under which a plugin registered them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arlattice.arguments import of_type
from arlattice.ensemble import boltzmann_constant
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.by_hand import without_by_hand
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.lattice import Lattice

__all__ = ["build_hamiltonian", "hamiltonian"]


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
    """`hamiltonian`, with options that may come from a file.

    Args:
        name: as registered.
        options: checked against the registered class.
        where: prefix of option names in messages.
        by_hand: a person gave the options just now; else what is never read from a file is refused, see `Entry.parse_options`.
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
