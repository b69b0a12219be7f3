"""The states of a sweep, measured here or in other processes; each leaves a part file, and parts that are there are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import torch
from tqdm import tqdm

from arlattice.ensemble import SemiGrandCanonical
from arlattice.hooks.manager import Manager, default_manager, using
from arlattice.io.files import scratch_folder
from arlattice.models.base import Model
from arlattice.thermo.sweep_state import Result, SweepOptions, measure, read_part, write_part

__all__ = ["Pool", "SweepRun", "devices_of_workers"]


class Pool(Protocol):
    """What runs states elsewhere: ``submit(function, *arguments)`` gives something with ``result()``.

    Executors of `concurrent.futures`, of submitit (SLURM) and ``dask.distributed.Client`` all do.
    """

    def submit(self, function: Any, /, *arguments: Any) -> Any:
        """Run ``function(*arguments)`` and give its future."""


class _Job(NamedTuple):
    """One state to measure, as plain data that any process can take."""

    model: str
    device: str
    precision: str
    plugins: tuple[str, ...]
    state: SemiGrandCanonical
    options: SweepOptions
    batch_size: int | None
    settings: Mapping[str, Any]
    folder: Path | None


@dataclass(frozen=True)
class SweepRun:
    """The states of a sweep, here or elsewhere."""

    model: Model
    options: SweepOptions
    batch_size: int | None
    folder: Path | None
    progress: bool

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What every part of this sweep agrees on."""
        model = self.model
        made_by = {
            "model": model.fingerprint,
            "model_options": model.options.model_dump(mode="json"),
            "hamiltonian": model.hamiltonian.fingerprint,
        }
        return made_by | self.options.model_dump(mode="json")

    def here(self, states: Sequence[SemiGrandCanonical]) -> list[Result]:
        """Measure one after the other in this process."""
        settings, kept = self.settings, self._kept(states)
        return [
            result or _measured(self.model, state, self.options, self.batch_size, settings, self.folder)
            for state, result in tqdm(list(zip(states, kept, strict=True)), disable=not self.progress, unit="state", leave=False)
        ]

    def elsewhere(self, states: Sequence[SemiGrandCanonical], workers: int, pool: Pool | None) -> list[Result]:
        """Measure in other processes, which load the model and the plugins themselves."""
        kept = self._kept(states)
        devices = devices_of_workers(self.model.device, workers) if pool is None else [str(self.model.device)]
        with self._model_folder() as folder, _pool(min(workers, len(states)), pool) as running:
            each = zip(states, kept, cycle(devices))
            jobs = [None if result else self._job(folder, state, device) for state, result, device in each]
            futures = [None if job is None else running.submit(_run_job, job) for job in jobs]
            pairs = tqdm(list(zip(futures, kept, strict=True)), disable=not self.progress, unit="state", leave=False)
            return [result if future is None else future.result() for future, result in pairs]

    def _kept(self, states: Sequence[SemiGrandCanonical]) -> list[Result | None]:
        folder, settings = self.folder, self.settings
        return [None if folder is None else read_part(folder, state, settings) for state in states]

    def _job(self, model: Path, state: SemiGrandCanonical, device: str) -> _Job:
        plugins = tuple(default_manager().requests())
        return _Job(
            str(model),
            device,
            self.model.precision,
            plugins,
            state,
            self.options,
            self.batch_size,
            self.settings,
            self.folder,
        )

    @contextmanager
    def _model_folder(self) -> Iterator[Path]:
        """The model as a folder, beside the parts where there are any, so that other machines see it."""
        with TemporaryDirectory() if self.folder is None else scratch_folder(self.folder) as name:
            model = Path(name) / "model"
            self.model.save(model)
            from arlattice.models.checkpoint import load

            load(model)  # a black box that no plugin registered is refused here, in one line
            yield model


def devices_of_workers(device: torch.device, workers: int) -> list[str]:
    """Where processes of this machine compute: of a model on the first GPU on all of them in turns, else where it is."""
    if device.type == "cuda" and device.index in (None, 0):
        return [f"cuda:{k}" for k in range(min(workers, torch.cuda.device_count()))]
    return [str(device)]


@contextmanager
def _pool(workers: int, given: Pool | None) -> Iterator[Pool]:
    if given is not None:
        yield given
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    processes = ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (threads,))
    try:
        yield processes
    finally:
        processes.shutdown(cancel_futures=True)


def _run_job(job: _Job) -> Result:
    with using(_manager(job.plugins)) as manager, manager.naming_plugins():
        model = _model(job.model, job.device, job.precision)
        return _measured(model, job.state, job.options, job.batch_size, job.settings, job.folder)


@cache
def _manager(plugins: tuple[str, ...]) -> Manager:
    return Manager(plugins)


@cache
def _model(folder: str, device: str, precision: str) -> Model:
    from arlattice.models.checkpoint import load

    return load(folder, device=device, precision=precision)


def _measured(
    model: Model,
    state: SemiGrandCanonical,
    options: SweepOptions,
    batch_size: int | None,
    settings: Mapping[str, Any],
    folder: Path | None,
) -> Result:
    result = measure(model, state, options, batch_size)
    if folder is not None:
        write_part(folder, state, settings, result)
    return result
