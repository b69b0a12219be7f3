"""Training checkpoints: everything the next step reads, in one safetensors file, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.io.files import read_tensors, write_tensors
from arlattice.models.base import Model
from arlattice.montecarlo.replica_exchange import ReplicaExchange

__all__ = ["RunParts", "load_checkpoint", "save_checkpoint"]

FORMAT = "arlattice-checkpoint-1"


@dataclass(frozen=True)
class RunParts:
    """What a training step reads and changes.

    Attributes:
        model: the weights being trained.
        average: their moving average.
        optimizer: with its moments.
        replay: the Monte Carlo chains.
        generator: of every random number of the run.
    """

    model: Model
    average: Model
    optimizer: torch.optim.Optimizer
    replay: ReplicaExchange
    generator: torch.Generator


def save_checkpoint(path: Path, parts: RunParts, step: int, identity: dict[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        path: where to.
        parts: what to keep.
        step: number of steps done.
        identity: plain data that a run must share to continue from it.
    """
    tensors = {f"model.{k}": v for k, v in parts.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in parts.average.state_dict().items()}
    for index, state in parts.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors |= {f"replay.{k}": v for k, v in parts.replay.to_tensors().items()}
    tensors["generator"] = parts.generator.get_state()
    write_tensors(path, tensors, {"format": FORMAT, "step": step, "identity": identity})


def load_checkpoint(path: Path, parts: RunParts, identity: dict[str, Any]) -> int:
    """Put a checkpoint back into ``parts``; returns the number of steps done.

    Raises:
        InputError: no checkpoint, a damaged one, or one of another run.
    """
    tensors, description = read_tensors(path)
    if description.get("format") != FORMAT:
        raise InputError("checkpoint", str(path), f"not a checkpoint (format {FORMAT})")
    ours, theirs = json.loads(json.dumps(identity)), dict(description.get("identity") or {})
    for table, value in ours.items():
        if theirs.get(table) != value:
            raise InputError(f"[{table}]", value, f"the checkpoint was made with {theirs.get(table)}; resume with the same run file")
    try:
        _restore(parts, tensors)
        return int(description["step"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError("checkpoint", str(path), f"damaged: it does not hold this run's tensors ({reason})") from None


def _restore(parts: RunParts, tensors: dict[str, Tensor]) -> None:
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in ("model", "average", "optimizer", "replay")}
    for key, tensor in tensors.items():
        head, _, rest = key.partition(".")
        if rest:
            groups[head][rest] = tensor
    parts.model.load_state_dict(groups["model"])
    parts.average.load_state_dict(groups["average"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in groups["optimizer"].items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    parts.optimizer.load_state_dict({"state": state, "param_groups": parts.optimizer.state_dict()["param_groups"]})
    parts.replay.restore(groups["replay"])
    parts.generator.set_state(tensors["generator"])
