"""Neural-proposal Metropolis: an independence sampler whose proposals come from a model.

A model draws an order o, then x with probability q_o(x). On pairs (x, o) with target p(x) u(o), the proposal
u(o') q_o'(x') is accepted with probability

    min(1, w(x', o') / w(x, o)),   w(x, o) = f(x) / q_o(x)

so u cancels and the chain is exact in the long run, however good or bad the model (it must give no configuration
probability zero). Sweeps of heat bath (swaps at fixed composition) between proposals keep p(x) at a fixed order.
Sources: M. S. Albergo, G. Kanwar, P. E. Shanahan, Phys. Rev. D 100, 034515 (2019); K. A. Nicoli et al., Phys.
Rev. E 101, 023304 (2020). Not done: proposals of part of the sites; several states at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from arlattice.arguments import of_type, whole_number
from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble
from arlattice.models.base import Model
from arlattice.montecarlo.autocorrelation import autocorrelation_time
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream
from arlattice.samples import SampleSet

__all__ = ["Pairs", "metropolis_step", "neural_metropolis"]


class Pairs(NamedTuple):
    """Where the chains are: configurations and the orders they are weighed in.

    Args:
        occupations: (chains, sites).
        order: (chains, sites).
        log_weight: log f(x) - log q_o(x), (chains,).
    """

    occupations: Tensor
    order: Tensor
    log_weight: Tensor


def metropolis_step(current: Pairs, proposed: Pairs, noise: Tensor) -> tuple[Pairs, Tensor]:
    """Accept or refuse one proposal a chain.

    Args:
        current: where the chains are.
        proposed: drawn from the model, whatever ``current`` is.
        noise: uniform in [0, 1), (chains,).

    Returns:
        The next pairs, and which proposals were accepted (chains,).
    """
    accept = noise < (proposed.log_weight - current.log_weight).exp()
    rows = accept[:, None]
    x, order = (torch.where(rows, p, c) for p, c in zip(proposed[:2], current[:2], strict=True))
    return Pairs(x, order, torch.where(accept, proposed.log_weight, current.log_weight)), accept


def neural_metropolis(
    model: Model,
    state: Ensemble,
    steps: int,
    *,
    chains: int = 1,
    burn_in: int = 100,
    sweeps: int = 0,
    order: str | None = None,
    seed: int | None = None,
) -> SampleSet:
    """Run independence-sampler chains.

    Averages with errors: `arlattice.thermo.autocorrelation.chain_mean`.

    Args:
        model: proposes.
        state: the thermodynamic state.
        steps: proposals a chain whose outcome is kept, >= 1.
        chains: independent chains, run as one batch.
        burn_in: proposals a chain before those; a chain starts at a sample of the model.
        sweeps: of local Monte Carlo after every proposal, each visiting every site once.
        order: kind of drawing order of the proposals; None takes the model's first.
        seed: of all random numbers; None takes a fresh one, kept as ``metadata["seed"]``.

    Returns:
        (steps * chains) samples without ``log_prob``, the first draw of all chains first. Metadata: those of the model, and
        ``sampler``, ``chains``, ``draws``, ``thin``, ``burn_in``, ``local_sweeps``, ``acceptance``, and
        ``autocorrelation_time`` of the energy, in steps.

    Raises:
        InputError: numbers out of range.
    """
    for argument, number, least in (("steps", steps, 1), ("chains", chains, 1), ("burn_in", burn_in, 0), ("sweeps", sweeps, 0)):
        whole_number(argument, number, least)
    steps, chains, burn_in, sweeps = map(int, (steps, chains, burn_in, sweeps))
    of_type("model", model, Model, "give a Model")
    proposals = model.sample(chains * (1 + burn_in + steps), state, order=order, seed=seed)
    stream = Stream(cast(int, proposals.metadata["seed"]), "neural metropolis")
    kept, acceptance = _run(model, state, _batches(proposals, chains), burn_in, sweeps, stream)
    occupations = kept.flatten(0, 1)
    energy = model.hamiltonian.to("cpu", torch.float64).energy(occupations).double()
    metadata = {
        **proposals.metadata,
        "sampler": "neural-metropolis",
        "chains": chains,
        "draws": steps,
        "thin": 1,
        "burn_in": burn_in,
        "local_sweeps": sweeps,
        "acceptance": acceptance,
        "autocorrelation_time": float(autocorrelation_time(energy, chains)),
    }
    used = proposals.stream[: len(occupations)] if proposals.stream is not None else None  # the proposals come from these
    return replace(proposals, occupations=occupations, energy=energy, log_prob=None, order=None, stream=used, metadata=metadata)


def _batches(proposals: SampleSet, chains: int) -> list[Pairs]:
    """One batch of proposals a step, the first of them the start."""
    parts = (cast(Tensor, t).split(chains) for t in (proposals.occupations, proposals.order, proposals.log_weight))
    return [Pairs(*rows) for rows in zip(*parts, strict=True)]


def _run(model: Model, state: Ensemble, batches: list[Pairs], burn_in: int, sweeps: int, stream: Stream) -> tuple[Tensor, float]:
    """Configurations (steps, chains, sites), and the share of the kept proposals that were accepted."""
    current, kept, accepted = batches[0], [], 0.0
    for step, proposed in enumerate(batches[1:]):
        noise = stream["accept"].uniform(1, len(current.log_weight))[0]
        current, accept = metropolis_step(current, proposed, noise)
        if sweeps:
            current = _swept(model, state, current, sweeps, stream["sweep"])
        if step >= burn_in:
            kept.append(current.occupations)
            accepted += float(accept.double().mean())
    return torch.stack(kept), accepted / len(kept)


def _swept(model: Model, state: Ensemble, current: Pairs, sweeps: int, stream: Stream) -> Pairs:
    """Local Monte Carlo at fixed order; the weights are those of where it ends."""
    hamiltonian = model.hamiltonian.to("cpu", torch.float64)
    conditions = Conditions.from_states([state], hamiltonian).expand(len(current.log_weight))
    local = ReplicaExchange(hamiltonian, conditions, (len(conditions),), stream, current.occupations)  # no exchange
    local.run(sweeps)
    x = local.occupations
    log_f = state.log_f(model.lattice, hamiltonian.units, hamiltonian.energy(x), x)
    return Pairs(x, current.order, log_f - model.log_prob(x, state, current.order))
