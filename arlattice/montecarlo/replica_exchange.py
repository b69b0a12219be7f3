"""Replica exchange over temperatures and chemical potentials, batched: thousands of chains at once.

Chains sit on a grid of states, (temperatures, chemical potentials, ..., copies). Between sweeps, neighbours
along one axis exchange their configurations with probability

    min(1, f_a(x_b) f_b(x_a) / (f_a(x_a) f_b(x_b)))

so ordered chains are renewed through the disordered ones. Source: K. Hukushima and K. Nemoto, J. Phys. Soc. Jpn.
65, 1604 (1996).
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.cuda_graph import Graphs
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.montecarlo.compiled import compiled
from arlattice.montecarlo.moves import Sweep, make_sweep, repeat
from arlattice.montecarlo.start import random_occupations
from arlattice.random_numbers import Stream
from arlattice.tabled_hamiltonian import TabledHamiltonian

__all__ = ["CHAINS", "ReplicaExchange"]

CHAINS = "chains"
"""The purpose of the random numbers of Monte Carlo chains."""


class ReplicaExchange:
    """Chains kept in equilibrium, each in its own state.

    Args:
        hamiltonian: on the device and in the precision to use.
        conditions: one state a chain (chains,).
        shape: grid of the states, its product is the number of chains; the last axis holds copies,
            which do not exchange.
        seed: of all random numbers, those of a chain by its place in the grid; None takes a fresh one; or the stream of a larger run.
        occupations: where to start, (chains, sites); None starts at random.
        fuse: on a GPU, compile the move, if it can be, and record exchanges as graphs.
        sweep: the move, see `arlattice.montecarlo.moves`; None takes the first registered for the ensemble: heat baths, or swaps at
            fixed composition.

    Attributes:
        occupations: (chains, sites).
        move: what `sweep` does.
        stream: the random numbers, with ``seed``.
        exchange_rate: fraction of the last exchanges that were accepted, a scalar tensor.
    """

    def __init__(
        self,
        hamiltonian: Hamiltonian,
        conditions: Conditions,
        shape: tuple[int, ...],
        seed: int | Stream | None = None,
        occupations: Tensor | None = None,
        fuse: bool = False,
        sweep: Sweep | None = None,
    ) -> None:
        if torch.Size(shape).numel() != len(conditions):
            raise InputError("shape", shape, f"must multiply to the {len(conditions)} chains")
        self.hamiltonian, self.shape, self.stream = hamiltonian.unchecked(), tuple(shape), Stream.of(seed, CHAINS, hamiltonian.device)
        device = self.stream.device
        self.conditions = conditions.to(device, hamiltonian.dtype)
        start = random_occupations(hamiltonian.lattice, self.conditions, self.stream["start"]) if occupations is None else occupations
        self.occupations = start.clone()
        self.exchange_rate = torch.zeros((), device=device)
        self._turn = 0
        self.move: Sweep = make_sweep(None, conditions.ensemble, self.hamiltonian) if sweep is None else sweep
        tabled = isinstance(self.hamiltonian, TabledHamiltonian)
        member = self.hamiltonian.member if tabled else None  # type: ignore[attr-defined]
        self._member: Tensor | None = None if member is None else member.to(device)
        self._graphs = Graphs() if fuse and tabled and self._member is None and compiled(self.hamiltonian) is not None else None
        self._pairs: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        if fuse and hasattr(self.move, "compile"):
            self.move.compile()

    def run(self, sweeps: int) -> Tensor:
        """Sweep and exchange, ``sweeps`` times each. Returns the mean exchange rate, a scalar."""
        rate = torch.zeros((), device=self.stream.device)
        if not self._axes:
            self.sweep(sweeps)
            return rate
        for _ in range(sweeps):
            self.sweep()
            self.exchange()
            rate = rate + self.exchange_rate / sweeps
        return rate

    def sweep(self, sweeps: int = 1) -> None:
        """Do the move so many times in every chain."""
        self.occupations = repeat(self.move, self.occupations, self.conditions, self.stream, sweeps)

    @property
    def _axes(self) -> list[int]:
        """Axes of the grid along which chains exchange."""
        return [axis for axis, length in enumerate(self.shape[:-1]) if length > 1]

    def exchange(self) -> None:
        """Exchange neighbours along one axis; axes and parities take turns."""
        axes = self._axes
        if not axes:
            return
        a, b = self._neighbours(axes[self._turn % len(axes)], self._turn // len(axes) % 2)
        self._turn += 1
        if len(a):
            inputs = {"x": self.occupations, "a": a, "b": b, "uniform": self.stream["exchange"].uniform(1, len(a))[0]}
            exchanged = self._exchanged(inputs) if self._graphs is None else self._graphs(self._exchanged, inputs)
            self.occupations, self.exchange_rate = exchanged

    def _neighbours(self, axis: int, parity: int) -> tuple[Tensor, Tensor]:
        """Pairs of chains that stand side by side along an axis, from an even place or from an odd one."""
        if (axis, parity) not in self._pairs:
            grid = torch.arange(len(self.occupations), device=self.stream.device).view(self.shape).movedim(axis, 0)[parity:]
            grid = grid[: len(grid) // 2 * 2]
            self._pairs[axis, parity] = grid[0::2].flatten(), grid[1::2].flatten()
        return self._pairs[axis, parity]

    def _exchanged(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Occupations and exchange rate, once pairs of chains a and b were offered an exchange."""
        x, a, b, c = inputs["x"], inputs["a"], inputs["b"], self.conditions
        energy = self.hamiltonian.energy(x)
        crossed = c[a].log_f(energy[b], x[b]) + c[b].log_f(energy[a], x[a])
        straight = c[a].log_f(energy[a], x[a]) + c[b].log_f(energy[b], x[b])
        accept = inputs["uniform"] < (crossed - straight).double().exp()
        accept = accept & (c.targets[a] == c.targets[b]).all(1)
        if self._member is not None:  # energies of another member would be needed
            accept = accept & (self._member[a] == self._member[b])
        source = torch.arange(len(x), device=x.device)
        source[torch.cat([a, b])] = torch.cat([torch.where(accept, b, a), torch.where(accept, a, b)])
        return x[source], accept.float().mean()

    def to_tensors(self) -> dict[str, Tensor]:
        """State to continue from with the same bits (the counters of the stream are the caller's)."""
        return {"occupations": self.occupations.to(torch.int16), "turn": torch.tensor(self._turn), "exchange_rate": self.exchange_rate}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `to_tensors`."""
        self.occupations = tensors["occupations"].to(self.stream.device, torch.long)
        self._turn = int(tensors["turn"])
        self.exchange_rate = tensors.get("exchange_rate", self.exchange_rate).to(self.stream.device)
