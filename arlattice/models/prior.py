"""`ExpansionPrior`: random cluster expansions, for a model that is to sample alloys that it has never seen.

Every alloy is a sum over orbits of clusters of products of spins (the species as -1 and +1):

    E(x) = sum over orbits o of J_o sum over clusters c of o of the product of the spins of c  -  h sum of the spins

Clusters of one shape form an orbit: as many sites with the same distances. J_o is normal with the deviation

    strength(k) d^-2 / sqrt(clusters of the orbit a site),     d the largest distance in nearest-neighbour distances,

times a log-normal factor, so that few orbits lead. Then all J of an alloy are scaled alike: the deviation of E in random configurations is
the square root of the number of sites, in units of energy. Temperatures then mean the same for all alloys. The field h stands for the
chemical potential. Half of the fields lie near the one where the pure crystals are equally stable, most others between the fields that
turn the pure crystals, some far beyond these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator

from arlattice.cluster_family import ClusterFamily
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.errors import InputError
from arlattice.hooks.options import Options, input_error
from arlattice.lattice import Lattice
from arlattice.random_numbers import HIGHEST_SEED, Stream
from arlattice.simple_lattices import bcc, fcc
from arlattice.supercell import SupercellLike

__all__ = ["IDEAL", "KEY", "ExpansionPrior"]

KEY = "family"
"""Of a model's record."""

IDEAL = "ideal"
"""Name of the alloy without interactions, which a model of any alloy is saved for."""

_LATTICES = {"fcc": fcc, "bcc": bcc}
_FARTHEST = 6.0  # reach of clusters
_SPREAD = 0.5  # of the logarithm of the factor of an orbit
_NEAR = 0.5  # share of the fields near that of equal stability
_FAR = 0.15  # share of the fields far beyond those that turn the pure crystals
_REACH, _FAR_REACH = 1.1, 3.0  # how far those fields lie that are not near, in half distances of the fields that turn the pure crystals


class ExpansionPrior(Options):
    """Random binary alloys on one supercell. See the module's docstring."""

    lattice: Annotated[Literal["fcc", "bcc"], Field(description="lattice")] = "fcc"
    supercell: Annotated[SupercellLike, Field(description="repetitions of the primitive cell")] = 4
    reach: Annotated[
        dict[Literal["2", "3", "4"], float],
        Field(description="largest distance in pairs, triplets and quadruplets, in nearest-neighbour distances"),
    ] = {"2": 2.66, "3": 2.01, "4": 1.42}
    strengths: Annotated[
        dict[Literal["2", "3", "4"], float], Field(description="deviation of the couplings of pairs, triplets and quadruplets")
    ] = {"2": 1.0, "3": 0.4, "4": 0.4}
    members: Annotated[int, Field(ge=1, description="alloys to train on")] = 2048
    seed: Annotated[int, Field(ge=0, le=HIGHEST_SEED, description="of the alloys, those that are held out too")] = 0

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise input_error(error, type(self)) from None

    @model_validator(mode="after")
    def _sensible(self) -> ExpansionPrior:
        for size, reach in self.reach.items():
            if not 0 < reach <= _FARTHEST:
                raise InputError("reach", {size: reach}, f"give a distance above 0, at most {_FARTHEST:g} nearest-neighbour distances")
            if not self.strengths.get(size, 0.0) > 0:
                raise InputError("strengths", dict(self.strengths), f"give a number above 0 for clusters of {size}, which reach names")
        return self

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ExpansionPrior | None:
        """The prior that a model was trained on; None where it was another training."""
        described = record.get(KEY)
        if not isinstance(described, Mapping):
            return None
        return cls.parse({name: value for name, value in described.items() if name != "states"}, KEY)

    @property
    def sites(self) -> Lattice:
        """The supercell, with species ``A`` and ``B``."""
        return _LATTICES[self.lattice](self.supercell, ("A", "B"))

    def terms(self) -> list[ClusterHamiltonian]:
        """The field with strength 1, then every orbit with coupling 1."""
        lattice = self.sites
        field = ClusterHamiltonian.from_cell(lattice, [([((0, 0, 0), 0)], np.array([1.0, -1.0]))], units="reduced")
        return [field, *(self._of_orbit(lattice, orbit) for orbit in self._orbits())]

    def factors(self, n: int, stream: Stream) -> np.ndarray:
        """Factors of `terms` for n alloys, (n, terms)."""
        orbits = self._orbits()
        count = np.array([len(orbit) for orbit in orbits])
        size = np.array([len(orbit[0]) for orbit in orbits])
        reach = np.array([_distances(self.sites, orbit[0]).max() for orbit in orbits]) / _nearest(self.sites)
        strength = np.array([self.strengths[str(k)] for k in size]) * reach**-2.0  # type: ignore[index]
        normal = _normal(stream["couplings"], n, len(orbits)) * np.exp(_SPREAD * _normal(stream["leading"], n, len(orbits)))
        energies = normal * strength
        couplings = energies / np.sqrt((energies**2).sum(1, keepdims=True)) / np.sqrt(count)
        return np.concatenate([self._fields(couplings, count, size, stream["field"])[:, None], couplings], 1)

    def family(self) -> ClusterFamily:
        """The alloys to train on."""
        return self._family(self.members, "alloys")

    def held_out(self, n: int) -> ClusterFamily:
        """Other alloys, to test with; the first of them are the same for every n."""
        return self._family(n, "held-out alloys")

    def _family(self, n: int, purpose: str) -> ClusterFamily:
        family = ClusterFamily.sums(self.terms(), self.factors(n, Stream(self.seed, purpose, "cpu")), [0])
        family.name, family.options = f"{self.lattice}-binary", self.model_dump(mode="json")
        return family

    def ideal(self) -> ClusterHamiltonian:
        """The alloy without interactions: what a trained model is saved for."""
        return ClusterHamiltonian.from_cell(self.sites, [], units="reduced", name=IDEAL)

    def _fields(self, couplings: np.ndarray, count: np.ndarray, size: np.ndarray, stream: Stream) -> np.ndarray:
        """A field for every alloy, (alloys,)."""
        up, down = ((couplings * count * size * sign**size).sum(1) * sign for sign in (1, -1))  # where one spin turns
        equal = (couplings * count * (size % 2)).sum(1)  # where all up and all down have the same energy
        uniform = stream["place"].uniform(2, len(couplings)).numpy()
        half = np.maximum(np.abs(up - down) / 2, 1.0) * np.where(uniform[0] > 1 - _FAR, _FAR_REACH, _REACH)
        near = equal + 0.5 * _normal(stream["near"], len(couplings), 1)[:, 0]
        return np.where(uniform[0] < _NEAR, near, (up + down) / 2 + (2 * uniform[1] - 1) * half)

    def _of_orbit(self, lattice: Lattice, orbit: Sequence[np.ndarray]) -> ClusterHamiltonian:
        """Coupling 1 for every cluster of an orbit."""
        table = reduce(np.multiply.outer, [np.array([-1.0, 1.0])] * len(orbit[0]))
        return ClusterHamiltonian.from_cell(lattice, [([(tuple(p), 0) for p in c.tolist()], table) for c in orbit], units="reduced")

    def _orbits(self) -> list[list[np.ndarray]]:
        """Clusters of every orbit, those of one cell: offsets (sites, 3) of primitive cells, the first is the origin."""
        lattice, found = self.sites, list[list[np.ndarray]]()
        for k, reach in sorted(self.reach.items()):
            found += _clusters(lattice, int(k), reach * _nearest(lattice))
        if not found:
            raise InputError("reach", self.reach, "reaches no cluster; nearest neighbours are at distance 1")
        return found


def _clusters(lattice: Lattice, k: int, reach: float) -> list[list[np.ndarray]]:
    """All clusters of k sites of the infinite lattice whose distances are at most ``reach``, by shape, shortest first."""
    points = _points(lattice, reach)
    found: dict[tuple[float, ...], dict[bytes, np.ndarray]] = {}
    for others in combinations(points.tolist(), k - 1):
        cluster = np.array([[0, 0, 0], *others])
        distances = _distances(lattice, cluster)
        if distances.max() > reach + 1e-9:
            continue
        name = min(np.array(sorted((cluster - origin).tolist())).tobytes() for origin in cluster)
        found.setdefault(tuple(np.sort(distances).round(6)), {}).setdefault(name, cluster)
    by_length = sorted(found, key=lambda shape: (shape[-1], shape))
    return [list(found[shape].values()) for shape in by_length]


def _points(lattice: Lattice, reach: float) -> np.ndarray:
    """Offsets of the cells within ``reach`` of the origin, without it."""
    most = np.ceil(reach * np.linalg.norm(np.linalg.inv(lattice.cell), axis=0) + 1e-9).astype(int) * np.array(lattice.pbc)
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), -1).reshape(-1, 3)
    lengths = np.linalg.norm(grid @ lattice.cell, axis=1)
    return grid[(lengths > 1e-9) & (lengths < reach + 1e-9)]


def _nearest(lattice: Lattice) -> float:
    """Distance of nearest neighbours."""
    points = _points(lattice, 2 * float(np.abs(np.linalg.det(lattice.cell)) ** (1 / 3)) + 1.0)
    return float(np.linalg.norm(points @ lattice.cell, axis=1).min())


def _distances(lattice: Lattice, cluster: np.ndarray) -> np.ndarray:
    """Of all pairs of sites."""
    a, b = np.triu_indices(len(cluster), 1)
    return np.linalg.norm((cluster[a] - cluster[b]) @ lattice.cell, axis=1)


def _normal(stream: Stream, rows: int, columns: int) -> np.ndarray:
    """Standard normal numbers (rows, columns)."""
    uniform = stream.uniform(columns, rows).T.clamp(2.0**-40, 1 - 2.0**-40)
    return torch.special.ndtri(uniform).numpy()
