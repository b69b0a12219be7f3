"""`Settings`: what one call of `arlattice bench` says about folders, device and numbers of samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from arlattice.hamiltonians import Hamiltonian
from arlattice.io.records import read_json
from arlattice.random_numbers import check_seed, known_seed
from arlattice_bench.job import Job
from arlattice_bench.result import read_result

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How to run the jobs of a table.

    Attributes:
        table: name of the table.
        runs: folder of run folders.
        results: folder of the tables.
        hamiltonians: folder of compiled Hamiltonians, or None to build them.
        device: where to train and sample.
        seed: of training; samples are drawn with the seeds that follow. None takes that of the run folder, or a fresh one: see `seeded`.
        samples: configurations per condition and order, shared out over its states.
        time_limit: seconds after which training stops with a checkpoint, or None.
        progress: show progress bars.
        plugins: options of the command line that load plugins, to print the command that repeats a row.
        arguments: its other options that all rows share.
    """

    table: str
    runs: Path
    results: Path
    hamiltonians: Path | None
    device: torch.device
    seed: int | None
    samples: int
    time_limit: float | None = None
    progress: bool = False
    plugins: str = ""
    arguments: str = ""

    def folder(self, job: Job) -> Path:
        """Run folder of a job."""
        return self.runs / self.table / job.system.name / job.row

    def seeded(self, job: Job) -> Settings:
        """These settings with the seed that a job is run with."""
        if self.seed is not None:
            return self
        for path in (self.folder(job.painted_from or job) / "config.json", self.folder(job) / "result.json"):
            if path.is_file():
                left = read_result(path)["specification"] if path.name == "result.json" else read_json(path, "--runs")
                training = left.get("training")
                return replace(self, seed=check_seed(training.get("seed") if isinstance(training, dict) else None, f"seed in {path}"))
        return replace(self, seed=known_seed(None))

    def build(self, job: Job) -> Hamiltonian:
        """The Hamiltonian of a job's system."""
        return job.system.build(self.hamiltonians)

    def command(self, job: Job) -> str:
        """The command that makes this row."""
        small = "--small" if self.table.endswith("-small") else ""
        seed = "" if self.seed is None else f" --seed {self.seed}"
        chosen = f"--rows {job.row} --systems {job.system.name} --samples {self.samples}{seed}"
        words = ["arlattice", self.plugins, "bench", self.table.removesuffix("-small"), small, chosen, job.arguments, self.arguments]
        return " ".join(word for word in words if word)
