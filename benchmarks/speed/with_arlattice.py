"""arlattice, as its user has it: `ReplicaExchange.run`, `sample_chains` and the methods of a Hamiltonian."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.hamiltonians import fixed_configurations
from arlattice.montecarlo import sample_chains
from arlattice.montecarlo.moves import make_sweep
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.version import __version__
from speed import systems
from speed.pieces import Piece
from speed.work import Work

__all__ = ["Systems", "versions"]

_SEED = 1
_POOL = 2**20  # sites of configurations that take turns, at least


def versions() -> dict[str, str]:
    """Of arlattice, torch, and what compiles the loops."""
    try:
        from numba import __version__ as numba
    except ImportError:
        numba = ""
    return {"arlattice": __version__, "torch": torch.__version__} | ({"numba": numba} if numba else {})


class Systems:
    """The systems of a folder on a device."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device = torch.device(device)
        self._load = cache(lambda name: systems.load(folder, name))

    def prepare(self, piece: Piece) -> Work:
        """A piece made ready."""
        if piece.quantity == "build":
            return Work(lambda loops: [systems.build(piece.system) for _ in range(loops)], 1)
        hamiltonian = self._load(piece.system).to(self.device, getattr(torch, piece.dtype))
        if piece.quantity in ("semi-grand-canonical", "canonical"):
            made = _samples if piece.through == "sample_chains" else _sweeps
            return Work(self._waited_for(made(hamiltonian, piece)), piece.count * hamiltonian.lattice.n_sites)
        return Work(self._waited_for(_calls(hamiltonian, piece)), piece.count)

    def _waited_for(self, run: Callable[[int], object]) -> Callable[[int], object]:
        """The same, until a GPU is done too."""

        def whole(loops: int) -> None:
            run(loops)
            torch.cuda.synchronize()

        return whole if self.device.type == "cuda" else run


def _state(hamiltonian: arl.Hamiltonian, piece: Piece) -> arl.Ensemble:
    temperature = systems.STATES[piece.system.split("-")[0]]
    if piece.quantity == "canonical":
        return arl.Canonical(temperature, {hamiltonian.species[1]: hamiltonian.lattice.n_sites // 2})
    return arl.SemiGrandCanonical(temperature)


def _sweeps(hamiltonian: arl.Hamiltonian, piece: Piece) -> Callable[[int], object]:
    """Sweeps of chains that go on from repeat to repeat; on a GPU compiled, where the move can be."""
    state = _state(hamiltonian, piece)
    conditions = Conditions.from_states([state], hamiltonian).expand(piece.count)
    sweep = make_sweep(piece.how, type(state), hamiltonian.unchecked())
    return ReplicaExchange(hamiltonian, conditions, (piece.count,), _SEED, fuse=hamiltonian.device.type == "cuda", sweep=sweep).run


def _samples(hamiltonian: arl.Hamiltonian, piece: Piece) -> Callable[[int], object]:
    """A new run each repeat, of which the last sweep is kept."""
    state = _state(hamiltonian, piece)
    return lambda loops: sample_chains(
        hamiltonian,
        state,
        chains=piece.count,
        sweeps=loops,
        burn_in=0,
        thin=loops,
        move=piece.how,
        seed=_SEED,
        device=str(hamiltonian.device),
    )


def _calls(hamiltonian: arl.Hamiltonian, piece: Piece) -> Callable[[int], object]:
    """Calls of a method, each with other configurations than the last."""
    asked = hamiltonian.unchecked() if piece.how == "unchecked" else hamiltonian
    method, arguments = getattr(asked, piece.quantity), itertools.cycle(_pool(asked, piece))

    def run(loops: int) -> None:
        for given in itertools.islice(arguments, loops):
            method(*given)

    return run


def _pool(hamiltonian: arl.Hamiltonian, piece: Piece) -> list[tuple[Tensor, ...]]:
    """Arguments of as many calls as make a million sites of configurations; two calls at least."""
    sites = hamiltonian.lattice.n_sites
    calls = max(2, -(-_POOL // (sites * piece.count)))
    draws = torch.Generator().manual_seed(_SEED)
    x = fixed_configurations(hamiltonian.lattice, min(calls * piece.count, 10_000))
    rows = x[torch.randint(len(x), (calls * piece.count,), generator=draws)]
    columns = [rows.to(hamiltonian.device), *(t.to(hamiltonian.device) for t in _others(piece.quantity, rows, sites, draws))]
    return list(zip(*(column.split(piece.count) for column in columns), strict=True))


def _others(quantity: str, x: Tensor, sites: int, draws: torch.Generator) -> Iterator[Tensor]:
    """What else a method takes."""
    if quantity == "swap_differences":
        first = torch.randint(sites, (len(x),), generator=draws)
        yield from (first, (first + torch.randint(1, sites, (len(x),), generator=draws)) % sites)
    if quantity == "completed_energies":
        yield torch.rand(len(x), sites, generator=draws).argsort(1)
