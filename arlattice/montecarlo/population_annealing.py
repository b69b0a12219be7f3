"""Population annealing (sequential Monte Carlo): absolute log Z along a ladder of states, batched.

A population starts at infinite temperature, where every allowed configuration is equally likely and log Z_0 =
sum_i log(allowed species of site i). From one state of the ladder to the next

    w_r = f_k(x_r) / f_(k-1)(x_r),    Z_k / Z_(k-1) = mean over r of w_r,

the population is resampled in proportion to w, and every member is moved by heat baths that keep state k. The product
of the means is an unbiased estimate of Z_k at every rung, however short the moves; their number decides its error.
Independent blocks give the error bar. Semi-grand-canonical only; the ladder is fixed beforehand, since one that adapts
to the population is no longer unbiased.

Source: K. Hukushima and Y. Iba, AIP Conf. Proc. 690, 200 (2003); J. Machta, Phys. Rev. E 82, 026704 (2010).
Systematic resampling: J. Carpenter, P. Clifford and P. Fearnhead, IEE Proc. Radar Sonar Navig. 146, 2 (1999).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from arlattice.arguments import of_type, whole_number
from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.hamiltonians import Hamiltonian
from arlattice.memory import check_memory
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream

__all__ = ["Rung", "population_annealing", "systematic_resampling"]


@dataclass(frozen=True)
class Rung:
    """The population in one state of the ladder.

    Attributes:
        state: the state reached.
        seed: of the run's random numbers.
        block_log_z: log of the unbiased estimate of Z of every block, (blocks,), float64.
        occupations: the population after its moves, (blocks * population, sites), block by block, on the
            device of the Hamiltonian. Members that descend from one ancestor are correlated.
    """

    state: Ensemble
    seed: int
    block_log_z: Tensor
    occupations: Tensor

    @property
    def log_z(self) -> Estimate:
        """log of the mean Z over the blocks; its error by the delta method (infinite for one block)."""
        n = len(self.block_log_z)
        value = float(self.block_log_z.logsumexp(0)) - math.log(n)
        spread = float((self.block_log_z - value).exp().std()) if n > 1 else math.inf
        return Estimate(value, spread / math.sqrt(n))


def population_annealing(
    hamiltonian: Hamiltonian,
    ladder: Sequence[Ensemble],
    *,
    population: int = 1000,
    blocks: int = 16,
    sweeps: int = 1,
    seed: int | Stream | None = None,
    fuse: bool = False,
) -> Iterator[Rung]:
    """Anneal independent populations through the states of a ladder, one `Rung` a state.

    Args:
        hamiltonian: on the device and in the precision to move with; weights are computed in float64.
        ladder: states in the order to visit, the first close enough to infinite temperature, which comes before it.
        population: members of a block, which resample among themselves.
        blocks: independent populations, moved as one batch.
        sweeps: heat-bath sweeps in every state.
        seed: repeats a run; None takes a fresh one, which every rung tells; or the stream of a larger run.
        fuse: compile the heat bath (GPUs).

    Raises:
        InputError: an empty ladder, a state of fixed composition, or numbers below 1 (``sweeps``: below 0).
    """
    for argument, number, least in (("population", population, 1), ("blocks", blocks, 1), ("sweeps", sweeps, 0)):
        whole_number(argument, number, least)
    of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian")
    if not isinstance(ladder, Sequence) or not ladder:
        raise InputError("ladder", ladder, "give a list of at least one state")
    check_memory("population, blocks", [population, blocks], 32 * population * blocks * hamiltonian.lattice.n_sites)
    for state in ladder:
        if not isinstance(state, SemiGrandCanonical):
            raise InputError("ladder", state, "every state must be SemiGrandCanonical: heat baths change the composition")
    return _anneal(hamiltonian, ladder, Stream.of(seed, "population", hamiltonian.device), (blocks, population), sweeps, fuse)


def systematic_resampling(weights: Tensor, uniform: Tensor) -> Tensor:
    """Which members go on: member r is taken floor or ceil of (population * its share of the weights) times.

    Args:
        weights: (blocks, population), >= 0, not all zero.
        uniform: one number in [0, 1) a block, (blocks,); averaged over it, the copies match the shares.

    Returns:
        (blocks, population) members, in rising order.
    """
    n = weights.shape[1]
    ends = weights.double().cumsum(1)
    points = (torch.arange(n, device=weights.device) + uniform.double()[:, None]) / n * ends[:, -1:]
    return torch.searchsorted(ends, points, right=True).clamp(max=n - 1)


def _anneal(
    hamiltonian: Hamiltonian, ladder: Sequence[Ensemble], stream: Stream, shape: tuple[int, int], sweeps: int, fuse: bool
) -> Iterator[Rung]:
    lattice, units, n = hamiltonian.lattice, hamiltonian.units, math.prod(shape)
    exact = hamiltonian.to(stream.device, torch.float64).unchecked()
    conditions = Conditions.from_states(ladder, hamiltonian, stream.device).to(dtype=hamiltonian.dtype)
    chains = ReplicaExchange(hamiltonian, conditions.expand(n), (n,), stream["chains"], fuse=fuse)  # copies only: no exchange
    log_z = lattice.allowed.sum(1).double().log().sum().expand(shape[0]).to(stream.device)
    offsets = torch.arange(shape[0], device=stream.device)[:, None] * shape[1]
    before: Ensemble | None = None
    for k, state in enumerate(ladder):
        x = chains.occupations
        energy = exact.energy(x)
        log_w = state.log_f(lattice, units, energy, x)
        if before is not None:
            log_w = log_w - before.log_f(lattice, units, energy, x)
        log_w = log_w.view(shape)
        log_z = log_z + log_w.logsumexp(1) - math.log(shape[1])
        source = systematic_resampling(log_w.softmax(1), stream["resampling"].uniform(1, shape[0])[0]) + offsets
        chains.occupations, chains.conditions, before = x[source.flatten()], conditions[k : k + 1].expand(n), state
        chains.run(sweeps)
        yield Rung(state, stream.seed, log_z.cpu(), chains.occupations)
