"""The systems, and what other programs need of them in a folder.

NAME.safetensors  compiled Hamiltonian, read without the code that built it
NAME.npz          configurations with our energies: other libraries fit their coefficients to them, and are checked with them
MATERIAL.ce       icet's cluster expansion
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import arlattice as arl
from arlattice.hamiltonians import fixed_configurations

if TYPE_CHECKING:
    from icet import ClusterExpansion

__all__ = ["STATES", "build", "load", "write"]

CUTOFFS = (5.5, 4.2, 4.2)
"""Of pairs, triples and quadruples, Angstrom: those of the CuAu expansion."""

TERNARY = ("Ag", "Au", "Pd")
SIZES = {"cuau-64": (4, 4, 4), "cuau-512": (8, 8, 8), "cuau-4096": (16, 16, 16), "ternary-64": (4, 4, 4)}
TORUS = {"ising-64x64": (64, 64), "ising-60x60": (60, 60)}
STATES = {"cuau": 800.0, "ternary": 800.0, "ising": 2.269}
"""Temperature: K, or J for Ising; no field."""

_CONFIGURATIONS = {"cuau-64": 64, "ternary-64": 512}
_SEED = 20260101


def build(name: str) -> arl.ClusterHamiltonian:
    """A system, made by the plugins."""
    if name in TORUS:
        built = arl.hamiltonian("ising", supercell=TORUS[name])
    elif name.startswith("cuau"):
        built = arl.hamiltonian("cuau", supercell=SIZES[name], formation_energies=False)
    else:
        built = arl.hamiltonian("icet", expansion=ternary_expansion(), supercell=SIZES[name])
    if not isinstance(built, arl.ClusterHamiltonian):
        raise TypeError(f"{name}: a {type(built).__name__}, not a ClusterHamiltonian")
    return built


def load(folder: Path, name: str) -> arl.ClusterHamiltonian:
    """A system from the folder."""
    return arl.ClusterHamiltonian.load(folder / f"{name}.safetensors")


def write(folder: Path, names: Iterable[str], for_peers: bool) -> None:
    """Write what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(set(names)):
        if not (folder / f"{name}.safetensors").exists():
            build(name).save(folder / f"{name}.safetensors")
        if for_peers and name in SIZES and not (folder / f"{name}.npz").exists():
            _write_configurations(folder / f"{name}.npz", load(folder, name), _CONFIGURATIONS.get(name, 4))
            _write_expansion(folder / f"{_material(name)}.ce")


def ternary_expansion() -> ClusterExpansion:
    """Three species on FCC, the cutoffs of CuAu, random coefficients that halve with every body."""
    from ase.build import bulk
    from icet import ClusterExpansion, ClusterSpace

    space = ClusterSpace(bulk("Ag", "fcc", a=3.8), list(CUTOFFS), list(TERNARY))
    orders = np.array([row["order"] for row in space.as_list])
    scale = 0.02 * 0.5 ** np.maximum(orders - 1, 0)
    return ClusterExpansion(space, np.random.Generator(np.random.PCG64(_SEED)).standard_normal(len(space)) * scale)


def _material(name: str) -> str:
    return name.split("-")[0]


def _write_expansion(path: Path) -> None:
    from arlattice_icet.cuau import expansion

    (expansion() if path.stem == "cuau" else ternary_expansion()).write(str(path))


def _write_configurations(path: Path, hamiltonian: arl.ClusterHamiltonian, n: int) -> None:
    lattice, x = hamiltonian.lattice, fixed_configurations(hamiltonian.lattice, n)
    np.savez(
        path,
        species=np.array(lattice.species),
        cell=lattice.cell,
        supercell=lattice.supercell,
        positions=lattice.positions,
        occupations=x.numpy().astype(np.int32),
        energies=hamiltonian.energy(x).to(torch.float64).numpy(),
        cutoffs=np.array(CUTOFFS),
        temperature=STATES[_material(path.stem)],
    )
