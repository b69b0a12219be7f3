"""Training checkpoints: everything the next step reads, in one safetensors file, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager
from arlattice.io.records import read_tensors, write_tensors
from arlattice.models.base import Model
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream, check_seed
from arlattice.training.chains import ModelChains
from arlattice.training.config import TrainingOptions
from arlattice.training.priority import StatePriority
from arlattice.training.ranks import Ranks
from arlattice.training.stopping import Reached

__all__ = ["CHECKPOINT", "Progress", "RunParts", "checkpoint_seed", "load_checkpoint", "save_checkpoint"]

FORMAT = "arlattice-checkpoint-2"
CHECKPOINT = "checkpoint.safetensors"
"""Name of the file in a run folder."""

_BEFORE_COUNTERS = "arlattice-checkpoint-1"  # it holds the state of a torch.Generator


@dataclass(frozen=True)
class RunParts:
    """What a training step reads and changes.

    Attributes:
        model: the weights being trained.
        average: their moving average.
        optimizer: with its moments.
        sources: Monte Carlo chains, the model's own and the priorities of states, of every supercell.
        stream: every random number of the run, or of this rank.
        seed: of the run.
        ranks: the processes that share it; every one has sources and a stream of its own.
    """

    model: Model
    average: Model
    optimizer: torch.optim.Optimizer
    sources: Sequence[ReplicaExchange | ModelChains | StatePriority]
    stream: Stream
    seed: int
    ranks: Ranks


class Progress(NamedTuple):
    """How far a run is.

    Args:
        step: number of training steps done.
        sweeps: number of Monte Carlo sweeps of equilibration done.
        reached: the highest ESS at the end of a cycle.
        seconds: that the run took so far, summed over the commands that did it.
        start: the model that it started from, as the record of the trained model tells it; None for new weights.
    """

    step: int = 0
    sweeps: int = 0
    reached: Reached = Reached()
    seconds: float = 0.0
    start: dict[str, Any] | None = None


def save_checkpoint(path: Path, parts: RunParts, done: Progress, identity: dict[str, Any]) -> None:
    """Write a checkpoint: the first rank does, of what all of them have.

    Args:
        path: where to.
        parts: what to keep.
        done: how far the run is.
        identity: plain data that a run must share to continue from it.
    """
    tensors = {f"model.{k}": v for k, v in parts.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in parts.average.state_dict().items()}
    for index, state in parts.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    own = {f"source.{index}.{k}": v for index, source in enumerate(parts.sources) for k, v in source.to_tensors().items()}
    everyones, counters = parts.ranks.gather(own), parts.ranks.collected(parts.stream.counters())
    if not parts.ranks.first:
        return
    for rank, theirs in enumerate(everyones):
        tensors |= {f"{_of_rank(rank)}{k}": v for k, v in theirs.items()}
    drawn: dict[str, Any] = {"seed": parts.seed, "counters": counters[0]}
    if parts.ranks.count > 1:
        drawn["counters_of_ranks"] = counters
    write_tensors(path, tensors, {"format": FORMAT, **done._asdict(), "identity": identity, **drawn})


def _of_rank(rank: int) -> str:
    return f"rank{rank}." if rank else ""


def load_checkpoint(path: Path, parts: RunParts, identity: dict[str, Any]) -> Progress:
    """Put a checkpoint back into ``parts``; returns how far the run was.

    Raises:
        InputError: no checkpoint, a damaged one, one of another run, of another number of processes, or of an earlier release.
    """
    tensors, description = _read(path)
    ours, theirs = _current_names(json.loads(json.dumps(identity))), _current_names(dict(description.get("identity") or {}))
    for table, value in ours.items():
        if theirs.get(table) != value:
            raise InputError(f"[{table}]", value, f"the checkpoint was made with {theirs.get(table)}; resume with the same run file")
    of_ranks = description.get("counters_of_ranks")
    made_by = len(of_ranks) if isinstance(of_ranks, list) else 1
    if made_by != parts.ranks.count:
        raise InputError("processes", parts.ranks.count, f"the checkpoint was made by {made_by}; resume with as many")
    try:
        _restore(parts, tensors)
        parts.stream.restore(of_ranks[parts.ranks.number] if isinstance(of_ranks, list) else description["counters"])
        counted = int(description["step"]), int(description["sweeps"])
        reached, seconds = Reached(*description.get("reached", ())), float(description.get("seconds", 0.0))
        return Progress(*counted, reached, seconds, description.get("start"))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError("checkpoint", str(path), f"damaged: it does not hold this run's tensors ({reason})") from None


def _current_names(identity: dict[str, Any]) -> dict[str, Any]:
    """The identity with the options of its Hamiltonians by their names of today: an earlier release may have recorded it."""

    def current(hamiltonian: dict[str, Any]) -> dict[str, Any]:
        names = default_manager().hamiltonians.current_names
        return hamiltonian | {"options": names(hamiltonian["name"], hamiltonian["options"])}

    try:
        earlier = TrainingOptions().model_dump(mode="json") | identity["training"]  # what did not exist then had its default
        hamiltonians = {"hamiltonian": current(identity["hamiltonian"]), "supercells": [current(h) for h in identity["supercells"]]}
        return identity | hamiltonians | {"training": earlier}
    except (KeyError, TypeError):  # another kind of identity, or damaged: it is compared as it is
        return identity


def checkpoint_seed(path: Path) -> int:
    """The seed of the run that left a checkpoint.

    Raises:
        InputError: no checkpoint, a damaged one, or one of an earlier release.
    """
    _, description = _read(path)
    return check_seed(description.get("seed"), "checkpoint")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, description = read_tensors(path, "checkpoint")
    if description.get("format") == _BEFORE_COUNTERS:
        cure = (
            "was begun by an earlier release with another generator of random numbers: finish it there, or start a new run from its model"
        )
        raise InputError("checkpoint", str(path), f"{cure} (start, --start)")
    if description.get("format") != FORMAT:
        raise InputError("checkpoint", str(path), f"not a checkpoint (format {FORMAT})")
    return tensors, description


def _restore(parts: RunParts, tensors: dict[str, Tensor]) -> None:
    parts.model.load_state_dict(_under("model", tensors))
    parts.average.load_state_dict(_under("average", tensors))
    count = len(parts.optimizer.param_groups[0]["params"])
    state = {index: _under(f"optimizer.{index}", tensors) for index in range(count)}
    groups = parts.optimizer.state_dict()["param_groups"]
    parts.optimizer.load_state_dict({"state": {i: s for i, s in state.items() if s}, "param_groups": groups})
    for index, source in enumerate(parts.sources):
        source.restore(_under(f"{_of_rank(parts.ranks.number)}source.{index}", tensors))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{prefix}."): tensor for key, tensor in tensors.items() if key.startswith(f"{prefix}.")}
