"""Monte Carlo samples of one state or of a grid of states, each recorded as a `SampleSet`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from arlattice.arguments import items_of, of_type, whole_number
from arlattice.conditions import Conditions
from arlattice.device import check_device
from arlattice.ensemble import Ensemble, boltzmann_constant
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.independence import stream_of
from arlattice.memory import check_memory
from arlattice.montecarlo.moves import make_sweep
from arlattice.montecarlo.precision import Precision, looks, warn_of
from arlattice.montecarlo.replica_exchange import CHAINS, ReplicaExchange
from arlattice.random_numbers import Stream
from arlattice.samples import SampleSet
from arlattice.version import __version__

__all__ = ["check_schedule", "origin", "sample_chains", "sample_replicas"]

_SHOWN = 50  # pieces of the burn-in in a progress bar


def sample_chains(
    hamiltonian: Hamiltonian,
    state: Ensemble,
    *,
    chains: int = 16,
    sweeps: int = 1000,
    burn_in: int = 200,
    thin: int = 10,
    move: str | None = None,
    seed: int | None = None,
    device: torch.device | str = "cpu",
    until: Mapping[str, float] | None = None,
    progress: bool = False,
) -> SampleSet:
    """Run independent chains of one state from random configurations.

    Args:
        hamiltonian: any; cluster moves need ferromagnetic pairs (`arlattice.montecarlo.bonds.Bonds`).
        state: what to sample.
        chains: run as one batch.
        sweeps: after the burn-in; what a sweep is depends on the move.
        burn_in: sweeps before the first that counts.
        thin: every how many sweeps the configurations are kept.
        move: a registered one (`arlattice.montecarlo.moves`); None takes heat baths, or swaps at fixed composition.
        seed: repeats a run; None takes a fresh one, kept as ``metadata["seed"]``. The random numbers of a chain depend on the seed, the
            chain and the sweep alone, not on threads. With equal threads, device and build the configurations are the same.
        device: where to run. Chains run in the precision of the Hamiltonian; the energies recorded are float64.
        until: standard errors to reach, by observable, e.g. ``{"x_Au": 1e-3}``; they allow for the correlations. The run then ends
            early, and ``sweeps`` are the most it may take (`arlattice.montecarlo.precision`).
        progress: show a progress bar.

    Returns:
        (sweeps // thin) * chains configurations, all chains of the first draw first, without log-probabilities. They are
        correlated along a chain: `arlattice.montecarlo.diagnose` tells how much, and gives the errors that allow for it.

    Raises:
        InputError: numbers out of range, or a move that does not fit the state or the Hamiltonian.

    Warns:
        PrecisionWarning: ``until`` was not reached; it says what would do.
    """
    return sample_replicas(
        hamiltonian,
        [state],
        chains=chains,
        sweeps=sweeps,
        burn_in=burn_in,
        thin=thin,
        move=move,
        seed=seed,
        device=device,
        until=until,
        progress=progress,
    )[0]


def sample_replicas(
    hamiltonian: Hamiltonian,
    states: Sequence[Ensemble],
    *,
    grid: Sequence[int] | None = None,
    chains: int = 16,
    sweeps: int = 1000,
    burn_in: int = 200,
    thin: int = 10,
    move: str | None = None,
    seed: int | None = None,
    device: torch.device | str = "cpu",
    until: Mapping[str, float] | None = None,
    progress: bool = False,
) -> list[SampleSet]:
    """Run chains in several states that exchange configurations after every sweep; see `ReplicaExchange`.

    Args:
        states: all of one kind, neighbours close enough to exchange.
        grid: how they lie, first axis slowest, e.g. (temperatures, chemical potentials); None is one line.
        chains: independent copies of the grid.
        hamiltonian, sweeps, burn_in, thin, move, seed, device, progress: as in `sample_chains`.
        until: as in `sample_chains`; errors to reach in every state.

    Returns:
        One set a state, in the order given. ``exchange_rate`` in the metadata is the mean over the sweeps and the whole grid.
    """
    precision = None if until is None else Precision(until)
    check_schedule(chains, sweeps, burn_in, thin)
    states = items_of("states", states, Ensemble, "give a list of states")
    if not states:
        raise InputError("states", states, "give at least one")
    of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian")
    device = check_device(device)
    kept_bytes = 24 * chains * len(states) * (2 + sweeps // thin) * hamiltonian.lattice.n_sites
    check_memory("chains, sweeps", [chains, sweeps], kept_bytes, "record fewer: a larger thin, fewer chains or sweeps")
    if len({type(state) for state in states}) > 1:
        raise InputError("states", list(states), "all states must be of one kind")
    on_device, stream = hamiltonian.to(device).unchecked(), Stream(seed, CHAINS, device)
    sweep = make_sweep(move, type(states[0]), on_device)
    conditions = Conditions.from_states(states, hamiltonian)[torch.arange(len(states)).repeat_interleave(chains)]
    replicas = ReplicaExchange(on_device, conditions, (*_grid(grid, len(states)), chains), stream, sweep=sweep)

    def sets_of(kept: Tensor, rate: float) -> list[SampleSet]:
        done = sweeps if len(kept) == sweeps // thin else len(kept) * thin
        metadata = origin(hamiltonian, f"monte-carlo/{sweep.entry.name}", chains, done, burn_in, thin, stream.seed)
        if len(states) > 1:
            metadata["exchange_rate"] = rate
        return _sample_sets(hamiltonian, states, kept.view(len(kept), len(states), chains, -1), stream.seed, metadata)

    if precision is not None:
        precision.check(sets_of(replicas.occupations.cpu()[None], 0.0)[0])
    with tqdm(total=burn_in + sweeps // thin * thin, disable=not progress, desc="Monte Carlo", unit="sweep", leave=False) as bar:
        piece = max(1, burn_in // _SHOWN)
        for done in range(0, burn_in, piece):
            replicas.run(min(piece, burn_in - done))
            bar.update(min(piece, burn_in - done))
        sets, missed = _recorded(replicas, sweeps // thin, thin, sets_of, precision, bar)
    warn_of(missed)
    return sets


def _recorded(
    replicas: ReplicaExchange,
    draws: int,
    thin: int,
    sets_of: Callable[[Tensor, float], list[SampleSet]],
    precision: Precision | None,
    bar: tqdm[Any],
) -> tuple[list[SampleSet], list[str]]:
    """Configurations of every ``thin``-th sweep, until the precision is reached or the sweeps are done; and what was missed."""
    kept = torch.empty(draws, *replicas.occupations.shape, dtype=torch.long)
    rate, sets, missed, looked = torch.zeros((), device=replicas.stream.device), list[SampleSet](), list[str](), looks(draws)
    for draw in range(1, draws + 1):
        rate = rate + replicas.run(thin)
        kept[draw - 1] = replicas.occupations.cpu()
        bar.update(thin)
        if draw == draws or (precision is not None and draw in looked):
            sets.clear()  # before others are made
            sets += sets_of(kept[:draw], float(rate) / draw)
            missed = [] if precision is None else precision.missed(sets, replicas.shape[-1])
            if not missed:
                break
            bar.set_postfix_str(missed[0], refresh=False)
    return sets, missed


def _sample_sets(
    hamiltonian: Hamiltonian, states: Sequence[Ensemble], kept: Tensor, seed: int, metadata: dict[str, str | int | float | bool]
) -> list[SampleSet]:
    """One set a state, of configurations (draws, states, chains, sites)."""
    at_home = hamiltonian.to("cpu", torch.float64)
    number = torch.arange(kept[..., 0].numel()).view(kept.shape[:3])
    return [
        SampleSet(
            hamiltonian.lattice,
            x,
            at_home.energy(x),
            state,
            hamiltonian.units,
            stream=stream_of(seed, CHAINS, numbers),
            metadata=metadata,
        )
        for state, x, numbers in zip(states, kept.movedim(1, 0).flatten(1, 2), number.movedim(1, 0).flatten(1), strict=True)
    ]


def _grid(grid: Sequence[int] | None, n_states: int) -> Sequence[int]:
    if grid is None:
        return [n_states]
    lengths = items_of("grid", grid, int, "give the length of each axis")
    if math.prod(lengths) != n_states:
        raise InputError("grid", lengths, f"must multiply to the {n_states} states")
    return lengths


def check_schedule(chains: int, sweeps: int, burn_in: int, thin: int) -> None:
    """Raise `InputError` for numbers that make no run."""
    for argument, number, least in (("chains", chains, 1), ("thin", thin, 1), ("burn_in", burn_in, 0), ("sweeps", sweeps, thin)):
        whole_number(argument, number, least)


def origin(
    hamiltonian: Hamiltonian, sampler: str, chains: int, sweeps: int, burn_in: int, thin: int, seed: int
) -> dict[str, str | int | float | bool]:
    """Metadata of Monte Carlo samples; ``draws`` times ``chains`` is their number."""
    return {
        "hamiltonian": hamiltonian.name,
        "hamiltonian_options": json.dumps(dict(hamiltonian.options)),
        "hamiltonian_fingerprint": hamiltonian.fingerprint,
        "sampler": sampler,
        "chains": chains,
        "draws": sweeps // thin,
        "sweeps": sweeps,
        "burn_in": burn_in,
        "thin": thin,
        "precision": str(hamiltonian.dtype).removeprefix("torch."),
        "arlattice_version": __version__,
        "seed": seed,
        "boltzmann_constant": boltzmann_constant(hamiltonian.units),
    }
