"""What is known of a system from elsewhere: log Z, and Monte Carlo configurations that no model was trained on."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from references import data

import arlattice as arl
from arlattice.estimate import Estimate
from arlattice.montecarlo.chains import origin, sample_chains
from arlattice.samples import SampleSet
from arlattice.thermo.exact import Enumeration, ising_torus_log_z

__all__ = ["Alloy", "Beside", "Enumerated", "IsingTorus", "Known", "grid"]


class Beside(NamedTuple):
    """What is known of one state.

    Args:
        log_z: of the whole supercell; None: it is not known. Its error is 0 where it is exact.
        chains: Monte Carlo samples of one run in equilibrium; None: there are none.
    """

    log_z: Estimate | None
    chains: SampleSet | None


class Known(Protocol):
    """What a model is compared with.

    Attributes:
        states: where.
    """

    states: list[arl.SemiGrandCanonical]

    def at(self, state: arl.SemiGrandCanonical) -> Beside:
        """What is known of one of the states."""


def grid(temperatures: Iterable[float], potentials: Iterable[arl.ChemicalPotentials | dict[str, float]]) -> list[arl.SemiGrandCanonical]:
    """All states of some temperatures and chemical potentials."""
    return [arl.SemiGrandCanonical(float(t), mu) for t, mu in itertools.product(temperatures, list(potentials))]


class Enumerated:
    """A system small enough to visit all configurations.

    Args:
        hamiltonian: of the system.
        states: where.
    """

    def __init__(self, hamiltonian: arl.Hamiltonian, states: list[arl.SemiGrandCanonical]) -> None:
        self.states, self._enumeration = states, Enumeration.of(hamiltonian)

    def at(self, state: arl.SemiGrandCanonical) -> Beside:
        """The exact log Z; chains are not needed."""
        return Beside(Estimate(self._enumeration.log_z(state), 0.0), None)


class IsingTorus:
    """The square Ising model, J = 1: Kaufman without a field; chains by Swendsen and Wang, with fields too.

    Args:
        hamiltonian: of a square torus.
        states: where.
        chains: independent ones, started at random.
        burn_in, draws, thin: sweeps left out, configurations kept of each chain, and sweeps from one to the next.
        seed: of the chains.
    """

    def __init__(
        self,
        hamiltonian: arl.Hamiltonian,
        states: list[arl.SemiGrandCanonical],
        *,
        chains: int = 128,
        burn_in: int = 100,
        draws: int = 8,
        thin: int = 20,
        seed: int = 10**6,
    ) -> None:
        self.states, self._hamiltonian = states, hamiltonian
        self._schedule = {"chains": chains, "burn_in": burn_in, "sweeps": draws * thin, "thin": thin, "seed": seed}

    def at(self, state: arl.SemiGrandCanonical) -> Beside:
        """Chains, and without a field the exact log Z."""
        up, down = state.mu_vector(self._hamiltonian.lattice)
        length = math.isqrt(self._hamiltonian.lattice.n_sites)
        exact = Estimate(ising_torus_log_z(length, 1 / state.temperature), 0.0) if up == down else None
        return Beside(exact, sample_chains(self._hamiltonian, state, move="swendsen-wang", **self._schedule))


class Alloy:
    """A reference of `benchmarks/reference_cuau.py`.

    Args:
        hamiltonian: of the alloy.
        table: the JSON file that ``analyse`` wrote.
        chains: the npz file that ``run`` wrote, for configurations; None: there are none.
        species: whose Delta mu the table gives.
    """

    def __init__(self, hamiltonian: arl.Hamiltonian, table: Path, chains: Path | None, species: str = "Au") -> None:
        self._hamiltonian, self._chains = hamiltonian, chains
        rows: list[dict[str, Any]] = json.loads(table.read_text(encoding="utf-8"))["states"]
        self._rows = {arl.SemiGrandCanonical(r["temperature"], {species: r["delta_mu"]}): r for r in rows}
        self._species, self.states = species, list(self._rows)

    def at(self, state: arl.SemiGrandCanonical) -> Beside:
        """log Z with its error, and the configurations that the chains kept."""
        row = self._rows[state]
        kept = self._kept.get((state.temperature, row["delta_mu"]))
        return Beside(Estimate(row["log_z"], row["log_z_error"]), None if kept is None else self._samples(state, kept))

    def _samples(self, state: arl.SemiGrandCanonical, kept: np.ndarray) -> SampleSet:
        snapshots, copies, sites = kept.shape
        x = torch.from_numpy(kept.reshape(-1, sites)).long()
        facts = origin(self._hamiltonian, "monte-carlo/heat-bath", copies, snapshots, 0, 1, 0)
        return SampleSet(self._hamiltonian.lattice, x, self._hamiltonian.energy(x), state, self._hamiltonian.units, metadata=facts)

    @cached_property
    def _kept(self) -> dict[tuple[float, float], np.ndarray]:
        return {} if self._chains is None else data.configurations(data.read(self._chains))
