"""What a training run cost: wall time over all its calls, and peak memory, kept in ``cost.json`` beside the run."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from arlattice.errors import InputError
from arlattice.io.files import write_text
from arlattice.io.records import read_json
from arlattice_bench.origin import device_name

__all__ = ["Cost", "measured", "peak_memory"]


class Cost(BaseModel):
    """Cost of a run so far. A call that is killed does not count.

    Attributes:
        seconds: wall time of training, added up over the calls.
        calls: how many they were.
        peak_bytes: largest memory.
        memory_of: what that is the memory of.
        device: of the last call.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    seconds: float = 0.0
    calls: int = 0
    peak_bytes: int = 0
    memory_of: str = ""
    device: str = ""

    @classmethod
    def read(cls, folder: Path) -> Cost:
        """What is recorded in a run folder; nothing if nothing is."""
        path = folder / "cost.json"
        try:
            return cls.model_validate(read_json(path, "--runs")) if path.is_file() else cls()
        except ValidationError:
            raise InputError("--runs", str(path), "damaged: it is not what a row has cost; remove it") from None

    def describe(self) -> dict[str, Any]:
        """As plain data."""
        return self.model_dump()


@contextmanager
def measured(folder: Path, device: torch.device) -> Iterator[None]:
    """Add the block's wall time to the cost of a run folder, and keep the larger peak memory."""
    before, started = Cost.read(folder), time.monotonic()
    if device.type == "cuda":
        gc.collect()  # compiled models hold themselves in cycles
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield
    peak, memory_of = peak_memory(device)
    seconds = before.seconds + time.monotonic() - started
    cost = Cost(
        seconds=seconds,
        calls=before.calls + 1,
        peak_bytes=max(peak, before.peak_bytes),
        memory_of=memory_of,
        device=device_name(device),
    )
    write_text(folder / "cost.json", json.dumps(cost.describe(), indent=1) + "\n")


def peak_memory(device: torch.device) -> tuple[int, str]:
    """Peak memory in bytes, and whose it is: tensors on a GPU since the last reset, or the whole process so far on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "tensors on the GPU"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "the process so far"
