"""The Hamiltonian ``icet``: a cluster expansion given as an object or as a file."""

from __future__ import annotations

import hashlib
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

import arlattice as arl
from arlattice_icet.compile import compile_expansion, require_icet
from arlattice_icet.options import IcetOptions
from arlattice_icet.reader import read_expansion

if TYPE_CHECKING:
    from icet import ClusterExpansion

__all__ = ["build"]


def build(options: IcetOptions) -> arl.ClusterHamiltonian:
    """Compile the expansion on the supercell of its primitive structure; energies in eV for the whole supercell.

    Records the file name (or ``"<object>"``), the hash and the supercell. ``trust`` is not recorded: it is given anew each time.

    Raises:
        InputError: not an expansion, a file that cannot be read safely, or another hash than asked for.
        MissingExtraError: icet is not installed.
    """
    require_icet()
    expansion, source, sha256 = _load(options)
    if options.sha256 not in (None, sha256):
        raise arl.InputError("sha256", options.sha256, f"the expansion given has {sha256}")
    recorded = {"expansion": source, "supercell": options.supercell, "sha256": sha256}
    return compile_expansion(expansion, options.supercell, name="icet", options=recorded)


def _load(options: IcetOptions) -> tuple[ClusterExpansion, str, str]:
    from icet import ClusterExpansion

    given: Any = options.expansion
    if isinstance(given, ClusterExpansion):
        parameters = np.asarray(given.parameters, dtype="<f8")
        return given, "<object>", hashlib.sha256(parameters.tobytes()).hexdigest()
    if not isinstance(given, str | PathLike):
        raise arl.InputError("expansion", given, "give an icet ClusterExpansion or the path of a file")
    expansion, sha256 = read_expansion(given, trust=options.trust)
    return expansion, str(given), sha256
