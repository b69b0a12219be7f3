"""`Ranks`: the processes that train one model together, each with its own chains, random numbers and device.

``torchrun --nproc-per-node 2 -m arlattice train ...`` starts two. Every process (a rank) computes the gradient of a batch of its own, as
large as the run file says. Before the optimiser moves, gradients are averaged over the ranks: so the weights stay the same everywhere, and
a step is that of one process with the batches joined. Nothing else needs joining: the means and baselines of an objective are those of a
group of configurations in one state, and a group is never divided. What a clock or a file decides, the first rank decides for all.

Without torchrun there is one rank, and all of this does nothing.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from arlattice.errors import InputError
from arlattice.random_numbers import Stream

__all__ = ["Ranks", "first_process"]

_PATIENCE = timedelta(days=1)  # of ranks that wait for the first, which evaluates; torchrun ends them all where one dies


class Ranks:
    """See the module's docstring; every method is called by all ranks at once.

    Args:
        number: of this one, from 0.
        count: of all.

    Attributes:
        number, count: as given.
        first: whether this rank writes, evaluates and decides.
    """

    def __init__(self, number: int = 0, count: int = 1) -> None:
        self.number, self.count, self.first = number, count, number == 0
        self._host: Any = None if count == 1 else dist.new_group(backend="gloo", timeout=_PATIENCE)  # for tensors on the CPU

    @classmethod
    def here(cls, device: torch.device) -> Ranks:
        """Those that torchrun started, this process among them; else one.

        Args:
            device: of this rank, see `own_device`.
        """
        if _started() == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), dist.get_world_size())

    # -- each its own ----------------------------------------------------------------------------

    @staticmethod
    def own_device(device: str | torch.device) -> str | torch.device:
        """``cuda`` as the GPU of this rank: the first rank of a machine has the first GPU. Other devices as they are.

        Raises:
            InputError: more ranks than GPUs, or a GPU of a number for all of them.
        """
        if _started() == 1 or not str(device).startswith("cuda"):
            return device
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if str(device) not in ("cuda", f"cuda:{local}"):
            raise InputError("device", str(device), "is one GPU for all processes of torchrun; give cuda, and each takes its own")
        if local >= gpus:
            raise InputError("--nproc-per-node", f"{local + 1} or more", f"this machine has {gpus} GPUs; start one process for each")
        torch.cuda.set_device(local)
        return torch.device("cuda", local)

    def own_seed(self, seed: int) -> int:
        """The seed of this rank, of the seed of the run, which is that of the first."""
        return seed if self.first else int(Stream(seed, "ranks").integers(2**53, self.number, 1)[-1])

    # -- on tensors ------------------------------------------------------------------------------

    def average_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace the gradients of weights by their means over the ranks; no gradient counts as zero where another rank has one."""
        if self.count == 1:
            return
        there = torch.tensor([w.grad is not None for w in weights], dtype=torch.int32)
        dist.all_reduce(there, dist.ReduceOp.MAX, self._host)
        moved = [w for w, any_has in zip(weights, there.tolist(), strict=True) if any_has]
        if not moved:
            return
        flat = torch.cat([(torch.zeros_like(w) if w.grad is None else w.grad).flatten() for w in moved])
        dist.all_reduce(flat, group=None if flat.is_cuda else self._host)
        for w, mean in zip(moved, (flat / self.count).split([w.numel() for w in moved]), strict=True):
            w.grad = mean.view_as(w)

    def equalise(self, tensors: Mapping[str, Tensor]) -> None:
        """Give tensors the values of the first rank, in place."""
        if self.count > 1:
            for name in sorted(tensors):
                sent = tensors[name].detach().cpu().contiguous()
                dist.broadcast(_bytes(sent), 0, self._host)
                tensors[name].detach().copy_(sent)

    def gather(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Tensors of equal shapes from all ranks, on the CPU; nothing at those that are not first."""
        here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        if self.count == 1:
            return [here]
        there: list[dict[str, Tensor]] = [{name: torch.empty_like(t) for name, t in here.items()} for _ in range(self.count)]
        for name in sorted(here):
            places = [_bytes(each[name]) for each in there] if self.first else None
            dist.gather(_bytes(here[name]), places, 0, self._host)
        return there if self.first else []

    def wait(self) -> None:
        """Until all ranks are here."""
        self.any(False)

    # -- on plain data ---------------------------------------------------------------------------

    def any(self, here: bool) -> bool:
        """Whether it is so at any rank."""
        if self.count == 1:
            return here
        flag = torch.tensor([here], dtype=torch.int32)
        dist.all_reduce(flag, dist.ReduceOp.MAX, self._host)
        return bool(flag)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means of numbers over the ranks, of the same names at all."""
        if self.count == 1:
            return dict(values)
        sums = torch.tensor([values[name] for name in sorted(values)], dtype=torch.float64)
        dist.all_reduce(sums, group=self._host)
        return dict(zip(sorted(values), (sums / self.count).tolist(), strict=True))

    def told(self, value: Any) -> Any:
        """Plain data of the first rank, at all of them."""
        return value if self.count == 1 else json.loads(self._texts(json.dumps(value))[0])

    def collected(self, value: Any) -> list[Any]:
        """Plain data of every rank, at all of them."""
        return [value] if self.count == 1 else [json.loads(text) for text in self._texts(json.dumps(value))]

    def _texts(self, text: str) -> list[str]:
        sent = torch.tensor(list(text.encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(lengths, torch.tensor([len(sent)]), self._host)
        padded = torch.zeros(int(max(lengths)), dtype=torch.uint8)
        padded[: len(sent)] = sent
        there = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(there, padded, self._host)
        return [bytes(each[: int(n)].tolist()).decode() for each, n in zip(there, lengths, strict=True)]


def first_process() -> bool:
    """Whether this process tells the user what all of them did."""
    return _started() == 1 or (dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))) == 0


def _started() -> int:
    """How many processes torchrun started, or the program itself for torch.distributed; a scheduler's variables alone say nothing."""
    if not dist.is_available():
        return 1
    if dist.is_initialized():
        return dist.get_world_size()
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def _bytes(tensor: Tensor) -> Tensor:
    """A contiguous tensor on the CPU as its bytes: every kind of number can be sent so."""
    return tensor.view(-1).view(torch.uint8) if tensor.numel() else tensor.new_empty(0, dtype=torch.uint8)
