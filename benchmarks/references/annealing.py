"""log Z of a binary alloy by population annealing, which shares nothing with replica exchange but the heat bath and the ladder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

import arlattice as arl
from arlattice.ensemble import BOLTZMANN
from arlattice.montecarlo.population_annealing import population_annealing
from arlattice.random_numbers import Stream

__all__ = ["Population", "anneal"]


class Population(NamedTuple):
    """Sizes of a run.

    Args:
        members: of a block, which resample among themselves.
        blocks: independent populations.
        sweeps: at every rung.
    """

    members: int
    blocks: int
    sweeps: int


def anneal(hamiltonian: arl.Hamiltonian, beta: np.ndarray, mu: float, size: Population, stream: Stream) -> np.ndarray:
    """log Z of every block at every rung, (rungs, blocks).

    Args:
        hamiltonian: its tables, anywhere.
        beta: rising, without infinite temperature, (rungs,), eV^-1.
        mu: Delta mu, eV.
        size: of the populations.
        stream: random numbers, on the device to run on.
    """
    species = hamiltonian.lattice.species[1]
    ladder = [arl.SemiGrandCanonical(1 / (BOLTZMANN["eV"] * b), {species: mu}) for b in beta]
    tables = hamiltonian.to(stream.device, torch.float32)
    rungs = population_annealing(tables, ladder, seed=stream, population=size.members, blocks=size.blocks, sweeps=size.sweeps)
    return torch.stack([rung.block_log_z for rung in rungs]).numpy()
