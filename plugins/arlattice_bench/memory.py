"""Memory of one training step at growing batch sizes, for rows whose gradient keeps a graph over all sites.

Bytes per configuration are the slope between the two largest batches that fit; the memory of the paper's kind of batch follows on
the straight line and is not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from arlattice.hamiltonians import Hamiltonian
from arlattice_bench.job import Job
from arlattice_bench.settings import Settings

__all__ = ["measure_memory"]

BATCH = 512
"""Extrapolated to, where it is not measured."""


def measure_memory(job: Job, settings: Settings) -> dict[str, Any]:
    """Bytes by batch size, their slope, and the bytes of a batch of `BATCH` configurations.

    On a GPU the peak of all tensors in a step; on a CPU the tensors that the step keeps for its gradient.
    """
    hamiltonian = settings.build(job)
    found: list[tuple[int, int]] = []
    for batch in (16, 64, 256, BATCH) if settings.device.type == "cuda" else (2, 8):
        try:
            found.append((batch, _step_bytes(hamiltonian, job, settings, batch)))
        except torch.OutOfMemoryError:
            break
    slope = _slope(found)
    return {
        "batches": [{"batch": batch, "bytes": size} for batch, size in found],
        "memory_of": "all tensors on the GPU, not compiled" if settings.device.type == "cuda" else "tensors kept for the gradient",
        "bytes_per_configuration": slope,
        "batch": BATCH,
        "bytes": None if slope is None else found[-1][1] + slope * (BATCH - found[-1][0]),
        "extrapolated": bool(found) and found[-1][0] < BATCH,
    }


def _slope(found: list[tuple[int, int]]) -> float | None:
    if len(found) < 2:
        return None
    (a, low), (b, high) = found[-2:]
    return (high - low) / (b - a)


def _step_bytes(hamiltonian: Hamiltonian, job: Job, settings: Settings, batch: int) -> int:
    from arlattice.training.train import train

    one_step = {
        **job.training,
        "steps": 1,
        "compile": False,
        "reverse_states": 1,
        "reverse_samples": batch,
        "evaluate_samples": 2,
        "replica_temperatures": 1,
        "replica_potentials": 1,
        "replica_copies": 1,
    }
    with _counted(settings.device) as counted:
        train(
            hamiltonian,
            job.system.trained_on,
            model=job.family,
            model_options=dict(job.options),
            training=one_step,
            device=settings.device,
            progress=False,
        )
    return counted()


@contextmanager
def _counted(device: torch.device) -> Iterator[Callable[[], int]]:
    """Inside the block, the function it gives says how many bytes were needed."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        yield partial(torch.cuda.max_memory_allocated, device)
        return
    kept = _Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
        yield lambda: kept.bytes


class _Kept:
    """Counts the storage that is kept for the gradient, each once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, torch.UntypedStorage] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen[storage.data_ptr()] = storage
            self.bytes += storage.nbytes()
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor
