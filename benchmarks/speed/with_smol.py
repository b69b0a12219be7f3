"""smol: Metropolis of `smol.moca`, and `Processor.compute_property`."""

from __future__ import annotations

import itertools
import warnings
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from smol.cofe import ClusterExpansion, ClusterSubspace
from smol.moca import Ensemble, Sampler

from speed.fitted import coefficients, largest_difference, same_site
from speed.pieces import Piece
from speed.work import Work

__all__ = ["Systems", "versions"]

_CHECKED = 4


def versions() -> dict[str, str]:
    """Of smol and pymatgen."""
    warnings.simplefilter("ignore")
    return {name: version(name) for name in ("smol", "pymatgen")}


class Systems:
    """The systems of a folder; an expansion is fitted to our energies on 64 sites."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._expansion, self._ensemble = cache(self._fit), cache(self._make)

    def prepare(self, piece: Piece) -> Work:
        """A piece made ready."""
        given, ensemble, rows, error = self._ensemble(piece.system, piece.quantity)
        told = {"largest_energy_difference": error}
        if piece.quantity == "energy":
            energy, turns = ensemble.processor.compute_property, itertools.cycle(rows)
            return Work(lambda loops: [energy(x) for x in itertools.islice(turns, loops)], 1, told)
        step = "swap" if piece.quantity == "canonical" else "flip"
        sampler = Sampler.from_ensemble(ensemble, step_type=step, temperature=float(given["temperature"]), seeds=[1])
        sites = rows.shape[1]
        half = np.ascontiguousarray(np.arange(sites, dtype=np.int32)[None] % 2)

        def run(loops: int) -> None:
            sampler.run(loops * sites, half if not len(sampler.samples) else None, thin_by=loops * sites)

        return Work(run, sites, told)

    def _fit(self, material: str) -> ClusterExpansion:
        given = np.load(self._folder / f"{material}-64.npz")
        species = given["species"].tolist()
        primitive = Structure(Lattice(given["cell"]), [dict.fromkeys(species, 1 / len(species))], [[0, 0, 0]])
        cutoffs = dict(enumerate(given["cutoffs"].tolist(), 2))
        space = ClusterSubspace.from_cutoffs(primitive, cutoffs, basis="sinusoid", supercell_size="volume")
        ones = ClusterExpansion(space, np.ones(space.num_corr_functions))
        processor = Ensemble.from_cluster_expansion(ones, given["supercell"], processor_type="expansion").processor
        features = np.stack([processor.compute_feature_vector(x) for x in _encoded(given, processor)])
        return ClusterExpansion(space, coefficients(features, given["energies"]))

    def _make(self, system: str, quantity: str) -> tuple[Any, Ensemble, np.ndarray, float]:
        """Data, the ensemble, the configurations as smol has them, and how far energies are from ours, eV."""
        given = np.load(self._folder / f"{system}.npz")
        potentials = None if quantity == "canonical" else dict.fromkeys(given["species"].tolist(), 0.0)
        ensemble = Ensemble.from_cluster_expansion(
            self._expansion(system.split("-")[0]), given["supercell"], processor_type="decomposition", chemical_potentials=potentials
        )
        rows = _encoded(given, ensemble.processor)
        found = [ensemble.processor.compute_property(x) for x in rows[:_CHECKED]]
        return given, ensemble, rows, largest_difference(found, given)


def _encoded(given: Any, processor: Any) -> np.ndarray:
    """Our configurations as smol has them: its order of sites and of species."""
    theirs = same_site(given, processor.structure.cart_coords)
    allowed = [str(species) for species in processor.allowed_species[0]]
    code = np.array([allowed.index(symbol) for symbol in given["species"]], dtype=np.int32)
    rows = np.empty_like(given["occupations"])
    rows[:, theirs] = code[given["occupations"]]
    return rows
