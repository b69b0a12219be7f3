"""What is known of a system from elsewhere: log Z, and Monte Carlo configurations that no model was trained on."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from references import data

import arlattice as arl
from arlattice.estimate import Estimate
from arlattice.montecarlo.chains import origin, sample_chains
from arlattice.samples import SampleSet
from arlattice.thermo.exact import Enumeration, ising_torus_log_z

__all__ = ["Alloy", "Enumerated", "IsingTorus", "Known", "grid"]


class Known(Protocol):
    """What a model is compared with.

    Attributes:
        states: where.
    """

    states: list[arl.SemiGrandCanonical]

    def log_z(self, state: arl.SemiGrandCanonical) -> Estimate | None:
        """log Z of the whole supercell; None where it is not known."""

    def samples(self, state: arl.SemiGrandCanonical) -> SampleSet | None:
        """Monte Carlo samples of one run in equilibrium; None where there are none."""


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

    def log_z(self, state: arl.SemiGrandCanonical) -> Estimate | None:
        """Exact."""
        return Estimate(self._enumeration.log_z(state), 0.0)

    def samples(self, state: arl.SemiGrandCanonical) -> SampleSet | None:
        """None are needed."""
        return None


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
        burn_in: int = 300,
        draws: int = 8,
        thin: int = 40,
        seed: int = 10**6,
    ) -> None:
        self.states, self._hamiltonian = states, hamiltonian
        self._schedule = {"chains": chains, "burn_in": burn_in, "sweeps": draws * thin, "thin": thin, "seed": seed}

    def log_z(self, state: arl.SemiGrandCanonical) -> Estimate | None:
        """Exact without a field."""
        if any(self._hamiltonian_mu(state)):
            return None
        return Estimate(ising_torus_log_z(math.isqrt(self._hamiltonian.lattice.n_sites), 1 / state.temperature), 0.0)

    def samples(self, state: arl.SemiGrandCanonical) -> SampleSet | None:
        """Of Swendsen and Wang."""
        return sample_chains(self._hamiltonian, state, move="swendsen-wang", **self._schedule)

    def _hamiltonian_mu(self, state: arl.SemiGrandCanonical) -> list[float]:
        up, down = state.mu_vector(self._hamiltonian.lattice)
        return [up - down]


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

    def log_z(self, state: arl.SemiGrandCanonical) -> Estimate | None:
        """With its error."""
        row = self._rows[state]
        return Estimate(row["log_z"], row["log_z_error"])

    def samples(self, state: arl.SemiGrandCanonical) -> SampleSet | None:
        """The configurations that the chains kept."""
        kept = self._kept.get((state.temperature, self._rows[state]["delta_mu"]))
        if kept is None:
            return None
        x = torch.from_numpy(kept.reshape(-1, kept.shape[-1])).long()
        snapshots, copies = kept.shape[:2]
        facts = origin(self._hamiltonian, "monte-carlo/replica exchange", copies, snapshots, 0, 1, 0)
        return SampleSet(self._hamiltonian.lattice, x, self._hamiltonian.energy(x), state, self._hamiltonian.units, metadata=facts)

    @cached_property
    def _kept(self) -> dict[tuple[float, float], np.ndarray]:
        return {} if self._chains is None else data.configurations(data.read(self._chains))
