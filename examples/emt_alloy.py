"""Alloys of FCC metals in one file: energies of ASE's EMT, a cluster expansion fitted by icet, and the plugin that registers it.

    arlattice -p examples/emt_alloy.py hamiltonians emt-alloy --set 'species=["Cu","Au"]' --set expansion=cu-au.ce

1. All structures of up to `largest` sites on the FCC lattice, each once up to symmetry (icet's enumeration).
2. Cell and positions relaxed from the FCC lattice with EMT. A common, rigid lattice would not do: gold is an eighth larger than
   copper, and most of an unrelaxed energy would be strain. Structures that relax away from FCC are left out.
3. Mixing energies per atom, relative to the relaxed pure metals, and a cluster expansion of them: least squares with the pure
   metals exactly at zero, judged by ten-fold cross-validation.

To adapt it to your alloy put your own energies in the place of `relaxed`, say from a database of finished DFT runs. EMT is a
cheap potential for FCC metals only: its mixing energies are several times smaller than those of the real alloys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from arlattice_icet.compile import compile_expansion, require_icet
from arlattice_icet.options import Supercell
from arlattice_icet.reader import read_expansion
from pydantic import Field, PositiveFloat, field_validator
from tqdm import tqdm

import arlattice as arl
from arlattice.io.files import replacing

if TYPE_CHECKING:
    from ase import Atoms
    from icet import ClusterExpansion

Metal = Literal["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
"""What EMT has."""

LARGEST_DISTORTION = 0.2
"""Of the cell, as the difference of the largest and smallest principal logarithmic strain; BCC is 0.35 away."""


class EmtAlloyOptions(arl.Options):
    """Options of the Hamiltonian ``emt-alloy``."""

    species: tuple[Metal, ...] = Field(min_length=2, description="metals that EMT has")
    expansion: str = Field(description=".ce file of the fit; read if it is there, otherwise made")
    supercell: Supercell = [[3, -1, -1], [-1, 3, -1], [-1, -1, 3]]
    largest: int = Field(6, ge=2, description="sites of the largest structures to fit to")
    cutoffs: tuple[PositiveFloat, ...] = Field((2.3, 1.25), min_length=1, description="of pairs, triplets, ..., in lattice constants")

    @field_validator("species")
    @classmethod
    def _distinct(cls, species: tuple[Metal, ...]) -> tuple[Metal, ...]:
        if len(set(species)) < len(species):
            raise arl.InputError("species", species, "name each metal once")
        return species


@dataclass(frozen=True)
class Fit:
    """A cluster expansion and what it was fitted to.

    Attributes:
        expansion: mixing energy, eV per site.
        structures: on the ideal lattice.
        energies: their mixing energies by EMT, eV per atom (structures,).
        left_out: number of structures that relaxed away from FCC.
        rmse: of cross-validation, eV per atom.
    """

    expansion: ClusterExpansion
    structures: list[Atoms]
    energies: np.ndarray
    left_out: int
    rmse: float

    @property
    def predicted(self) -> np.ndarray:
        """Mixing energies by the expansion, eV per atom (structures,)."""
        return np.array([self.expansion.predict(atoms) for atoms in self.structures])

    @property
    def figures(self) -> dict[str, float]:
        """How large and how good it is."""
        sizes = {"structures": len(self.structures), "left_out": self.left_out, "parameters": len(self.expansion.parameters)}
        return sizes | {"rmse": self.rmse}

    def __str__(self) -> str:
        counts = "{structures} structures, {left_out} left out, {parameters} parameters".format(**self.figures)
        return f"{counts}, cross-validation RMSE {1000 * self.rmse:.1f} meV/atom"

    def write(self, path: str | Path) -> None:
        """The expansion as icet's .ce file, whole or not at all."""
        with replacing(path) as temporary:
            self.expansion.write(str(temporary))


def fit(options: EmtAlloyOptions) -> Fit:
    """Enumerate, relax, fit; seconds to minutes.

    Raises:
        MissingExtraError: icet is not installed.
    """
    require_icet()
    from icet import ClusterExpansion, ClusterSpace, StructureContainer
    from icet.tools import enumerate_structures, get_mixing_energy_constraints
    from trainstation import CrossValidationEstimator

    primitive = fcc(options.species)
    structures = list(enumerate_structures(primitive, range(1, options.largest + 1), options.species))
    ends = [relaxed(atoms) for atoms in tqdm(structures, desc="EMT", unit="structure", leave=False)]
    energies = mixing_energies(ends)
    kept = [k for k, (start, end) in enumerate(zip(structures, ends, strict=True)) if distortion(start, end) < LARGEST_DISTORTION]
    space = ClusterSpace(primitive, [cutoff * lattice_constant(options.species) for cutoff in options.cutoffs], options.species)
    container = StructureContainer(space)
    for k in kept:
        container.add_structure(structures[k], properties={"mixing_energy": energies[k]}, sanity_check=False)
    matrix, targets = container.get_fit_data(key="mixing_energy")
    constraints = get_mixing_energy_constraints(space)
    data, splits = (constraints.transform(matrix), targets), min(10, len(kept) // 2)
    estimator = CrossValidationEstimator(data, fit_method="least-squares", n_splits=splits, seed=0)
    estimator.validate()
    estimator.train()
    expansion = ClusterExpansion(space, constraints.inverse_transform(estimator.parameters))
    return Fit(expansion, [structures[k] for k in kept], energies[kept], len(structures) - len(kept), float(estimator.rmse_validation))


def lattice_constant(species: tuple[str, ...]) -> float:
    """Mean of the metals', angstrom: where exported structures lie, and the scale of the cutoffs."""
    from ase.data import atomic_numbers, reference_states

    return float(np.mean([reference_states[atomic_numbers[s]]["a"] for s in species]))


def fcc(species: tuple[str, ...]) -> Atoms:
    """The primitive cell of the lattice."""
    from ase.build import bulk

    return bulk(species[0], "fcc", a=lattice_constant(species))


def relaxed(atoms: Atoms) -> Atoms:
    """The structure with cell and positions at rest, and its energy: forces below 0.01 eV / angstrom."""
    from ase.calculators.emt import EMT
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    result = atoms.copy()
    result.calc = EMT()
    if not LBFGS(FrechetCellFilter(result), logfile=None).run(fmax=0.01, steps=500):
        raise RuntimeError(f"{atoms.symbols} does not come to rest")
    return result


def mixing_energies(structures: list[Atoms]) -> np.ndarray:
    """Energies per atom relative to the pure metals among them, eV (structures,)."""
    pure = {atoms.symbols[0]: atoms.get_potential_energy() for atoms in structures if len(atoms) == 1}
    return np.array([(atoms.get_potential_energy() - sum(pure[s] for s in atoms.symbols)) / len(atoms) for atoms in structures])


def distortion(before: Atoms, after: Atoms) -> float:
    """Largest less smallest principal logarithmic strain of the cell; 0 where it only grew or shrank."""
    stretches = np.linalg.svd(np.linalg.solve(before.cell[:], after.cell[:]), compute_uv=False)
    return float(np.log(stretches.max() / stretches.min()))


# -- the plugin ------------------------------------------------------------------------------------


def build(options: EmtAlloyOptions) -> arl.ClusterHamiltonian:
    """Mixing energies, eV for the whole supercell; fits first if the file is not there.

    Raises:
        InputError: a file that cannot be read safely, or of other species or another order of them.
        MissingExtraError: icet is not installed.
    """
    require_icet()
    path = Path(options.expansion)
    if not path.is_file():
        fit(options).write(path)
    expansion, sha256 = read_expansion(path)
    fitted = expansion.get_cluster_space_copy().chemical_symbols[0]
    if tuple(fitted) != options.species:
        raise arl.InputError("species", options.species, f"{path} is an expansion of {', '.join(fitted)}; name another file")
    record = options.model_dump(mode="json", exclude={"largest", "cutoffs"}) | {"sha256": sha256}  # those of the fit are not known here
    return compile_expansion(expansion, options.supercell, name="emt-alloy", options=record)


@arl.hookimpl
def arlattice_register_hamiltonians(register: Any) -> None:
    register("emt-alloy", build, options=EmtAlloyOptions, summary="alloys of FCC metals, cluster expansion of EMT energies (needs icet)")
