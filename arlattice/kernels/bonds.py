"""`BondKernels`: Swendsen-Wang and Wolff by compiled loops on a CPU.

Random numbers are counted, so a loop makes those alone that it needs: of bonds between equal species, and of the cluster that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arlattice.kernels.loops.bonds import BondTable, swendsen_wang_sweeps, wolff_sweeps
from arlattice.kernels.loops.inputs import Chains, Purpose
from arlattice.kernels.threads import in_threads

__all__ = ["BondKernels"]


class BondKernels:
    """Sweeps over bonds.

    Args:
        pairs: sites of every bond, (bonds, 2).
        coupling: energy gained by equal species, (bonds,).
        fields: energy of each species on its own, (sites, species); infinite where it may not be.
    """

    def __init__(self, pairs: Tensor, coupling: Tensor, fields: Tensor) -> None:
        ends = pairs.T.reshape(-1).numpy()
        order = np.argsort(ends, kind="stable")
        starts = np.searchsorted(ends[order], np.arange(len(fields) + 1))
        others = pairs.flip(1).T.reshape(-1).numpy()[order]
        arrays = pairs.contiguous().numpy(), coupling.double().numpy(), fields.double().contiguous().numpy()
        self._table = BondTable(*arrays, starts, others, order % max(1, len(pairs)))

    def swendsen_wang(self, x: Tensor, beta: Tensor, mu: Tensor, seed: int, numbers: Sequence[tuple[int, int]], sweeps: int) -> Tensor:
        """New occupations (chains, sites); numbers of the clusters and of the bonds, each the word of a purpose and the first step."""
        return self._run(swendsen_wang_sweeps, x, beta, mu, seed, numbers, sweeps)

    def wolff(self, x: Tensor, beta: Tensor, mu: Tensor, seed: int, numbers: Sequence[tuple[int, int]], sweeps: int) -> Tensor:
        """New occupations (chains, sites); numbers of the new species, of the sites and of the bonds."""
        return self._run(wolff_sweeps, x, beta, mu, seed, numbers, sweeps)

    def _run(self, work: Any, x: Tensor, beta: Tensor, mu: Tensor, seed: int, numbers: Sequence[tuple[int, int]], sweeps: int) -> Tensor:
        new = x.contiguous().numpy().copy()
        member = np.zeros(len(x), np.int64)
        chains = Chains(beta.double().contiguous().numpy(), mu.double().contiguous().numpy(), member)
        purposes = [Purpose(np.uint32(word), np.int64(step)) for word, step in numbers]
        lookups = sweeps * len(self._table.pairs)
        in_threads(lambda a, b: work(self._table, chains, new, np.uint64(seed), *purposes, sweeps, a, b), len(x), lookups)
        return torch.from_numpy(new)
