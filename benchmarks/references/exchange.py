"""Replica exchange on ladders of states: energies, atoms and some configurations of independent copies.

Half of the copies start disordered, at random; the others start ordered, from every ideal phase in turn, so that what has not
forgotten its start is seen as a difference between the two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions, centred
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.montecarlo.start import random_occupations
from arlattice.random_numbers import Stream
from references.sublattices import ideal_occupations

__all__ = ["Recorded", "Schedule", "replica_exchange"]

SPECIES = 1  # whose chemical potential is Delta mu


class Schedule(NamedTuple):
    """How long chains run.

    Args:
        equilibration: sweeps before the first snapshot.
        snapshots: number of them.
        spacing: sweeps from one to the next.
        between: sweeps from one exchange to the next.
    """

    equilibration: int
    snapshots: int
    spacing: int
    between: int = 1


class Recorded(NamedTuple):
    """What chains left.

    Args:
        energy: of the supercell, eV, float32 of exact energies, (rungs, ladders, snapshots, copies).
        atoms: of species 1, int16, the same shape.
        occupations: of the states to keep, (kept states, kept snapshots, copies, sites), bool.
    """

    energy: np.ndarray
    atoms: np.ndarray
    occupations: np.ndarray


def replica_exchange(
    hamiltonian: arl.Hamiltonian,
    beta: np.ndarray,
    mu: np.ndarray,
    copies: int,
    schedule: Schedule,
    stream: Stream,
    *,
    along: tuple[int, ...] = (0,),
    keep: np.ndarray | None = None,
    kept_snapshots: int = 1,
) -> Recorded:
    """Run ladders of a binary alloy.

    Args:
        hamiltonian: its tables, anywhere.
        beta, mu: of every state, (rungs, ladders).
        copies: of every state; they do not exchange.
        schedule: of the run.
        stream: random numbers, on the device to run on.
        along: axes of the states along which neighbours exchange.
        keep: states whose configurations are kept, rows (rung, ladder); None keeps none.
        kept_snapshots: of how many snapshots they are, evenly to the last.
    """
    shape = (*beta.shape, copies)
    exchanges = shape if along == (0, 1) else (shape[0], shape[1] * copies)
    tables, exact = (hamiltonian.to(stream.device, dtype).unchecked() for dtype in (torch.float32, torch.float64))
    conditions = _conditions(hamiltonian, beta, mu, copies)
    chains = ReplicaExchange(tables, conditions, exchanges, stream, _starts(hamiltonian.lattice, conditions, copies, stream))
    when = set(np.linspace(schedule.snapshots - 1, 0, kept_snapshots).round().astype(int).tolist())
    states = torch.from_numpy(np.zeros((0, 2), int) if keep is None else keep).to(stream.device)
    _run(chains, schedule.equilibration, schedule.between)
    energies, atoms, kept = [], [], []
    for snapshot in range(schedule.snapshots):
        _run(chains, schedule.spacing, schedule.between)
        x = chains.occupations
        energies.append(exact.energy(x).view(shape).float().cpu())
        atoms.append((x == SPECIES).sum(1).view(shape).to(torch.int16).cpu())
        if snapshot in when:
            kept.append(x.view(*shape, -1)[states[:, 0], states[:, 1]].bool().cpu())
    return Recorded(torch.stack(energies, 2).numpy(), torch.stack(atoms, 2).numpy(), torch.stack(kept, 1).numpy())


def _run(chains: ReplicaExchange, sweeps: int, between: int) -> None:
    """Sweeps, with an exchange after every ``between`` of them."""
    for done in range(0, sweeps, between):
        chains.sweep(min(between, sweeps - done))
        chains.exchange()


def _conditions(hamiltonian: arl.Hamiltonian, beta: np.ndarray, mu: np.ndarray, copies: int) -> Conditions:
    """Every state, ``copies`` times in a row."""
    b, m = (torch.from_numpy(np.ascontiguousarray(a)).flatten().repeat_interleave(copies) for a in (beta, mu))
    mu_vector = centred(torch.stack([torch.zeros_like(m), m], 1), hamiltonian.lattice)
    return Conditions(b, mu_vector, torch.zeros(len(b), 0), arl.SemiGrandCanonical)


def _starts(lattice: arl.Lattice, conditions: Conditions, copies: int, stream: Stream) -> Tensor:
    """Random for the first half of the copies, the ideal phases in turn for the others, (chains, sites)."""
    start = random_occupations(lattice, conditions.to(stream.device), stream["start"]).view(-1, copies, lattice.n_sites)
    ordered = copies - copies // 2
    ideal = torch.from_numpy(ideal_occupations(lattice)).to(start)
    start[:, copies // 2 :] = ideal[torch.arange(ordered, device=start.device) % len(ideal)]
    return start.flatten(0, 1)
