"""Writers killed at any moment: is what they leave whole, and does the next one go on from it?

Each victim is a fork that overwrites files again and again, or trains, or sweeps, until it is killed. Then its folder is looked at:

    model     overwrites one trained model with another: loads, and weights, record and model.json are of one save
    samples   overwrites .extxyz, .nc and .db: each reads, and is the one or the other set
    training  is resumed to its end: the weights are those of an undisturbed run, to the bit
    sweep     is run again to its end: the numbers are those of an undisturbed sweep, to the bit

After every kill the next writer must have cleared what the victim left half-written.

    python benchmarks/kills.py                      # 250 kills, writes benchmarks/results/kills.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

import arlattice as arl
from arlattice.io.files import write_text
from arlattice.io.records import read_json
from arlattice.models.checkpoint import read_record

RESULTS = Path(__file__).parent / "results"
STATE = arl.SemiGrandCanonical(2.0)
TRAINING: dict[str, Any] = {
    "seed": 0,
    "steps": 12,
    "checkpoint_every": 1,
    "evaluate_every": 4,
    "batch_size": 8,
    "reverse_states": 1,
    "reverse_samples": 4,
    "replica_temperatures": 1,
    "replica_potentials": 1,
    "replica_copies": 8,
    "equilibration_sweeps": 1,
}


def main() -> None:
    """Kill, look, count and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "kills.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = run(arguments.kills, np.random.Generator(np.random.PCG64(arguments.seed)))
    result = {
        "command": f"python benchmarks/kills.py --kills {arguments.kills} --seed {arguments.seed}",
        "device": f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "victims": rows,
    }
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    for name, row in rows.items():
        print(name.ljust(10), row)


def run(kills: int, generator: np.random.Generator) -> dict[str, dict[str, int]]:
    """Kills, faults and half-written leavings by kind of victim."""
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        makers = {"model": Models, "samples": Samples, "training": Training, "sweep": Sweeps}
        for k, (kind, make) in enumerate(makers.items()):
            victim = make(Path(name) / kind)
            share = kills * (k + 1) // len(makers) - kills * k // len(makers)
            rows[kind] = {"kills": share, "faults": 0, "left": 0}
            for number in range(share):
                folder = victim.folder / str(number) if victim.fresh else victim.folder
                killed(partial(victim.work, folder), float(generator.uniform(0.0, victim.longest)))
                rows[kind]["left"] += len(list(folder.rglob(".writing-*")))
                rows[kind]["faults"] += not victim.sound(folder)
                rows[kind]["faults"] += bool(list(folder.rglob(".writing-*")))
    return rows


def killed(work: Callable[[], None], after: float) -> None:
    """Do some work in a fork and kill it after so many seconds."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Models:
    """Overwrites one model with another."""

    fresh, longest = False, 0.1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = [arl.load("ising-10x10") for _ in range(2)]
        for number, model in enumerate(self.models):
            model.record = {"number": number}
            for parameter in model.parameters():
                parameter.data.fill_(float(number))
        self.models[0].save(folder)

    def work(self, folder: Path) -> None:
        """Until killed."""
        for turn in count(1):
            self.models[turn % 2].save(folder)

    def sound(self, folder: Path) -> bool:
        """Weights, record and what model.json says are of one save; then the next save clears what is left."""
        loaded = arl.load(folder)
        number = int(next(iter(loaded.parameters())).flatten()[0])
        whole = all(bool((p == number).all()) for p in loaded.parameters())
        told = read_json(folder / "model.json", "model")["record"] if (folder / "model.json").is_file() else loaded.record
        alike = loaded.record == told == read_record(folder) == {"number": number}
        self.models[0].save(folder)
        return whole and alike


class Samples:
    """Overwrites files of samples."""

    fresh, longest = False, 0.3

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        model = arl.load("cuau-2x2x4")
        self.sets = [model.sample(20, arl.SemiGrandCanonical(680.0), seed=seed) for seed in (0, 1)]
        self._write(self.sets[0])

    def _write(self, samples: arl.SampleSet) -> None:
        for suffix in (".extxyz", ".nc", ".db"):
            samples.write(self.folder / f"samples{suffix}")

    def work(self, folder: Path) -> None:
        """Until killed."""
        for turn in count(1):
            self._write(self.sets[turn % 2])

    def sound(self, folder: Path) -> bool:
        """Each file reads, and is one of the two sets; then the next writer clears what is left."""
        read = [arl.SampleSet.read(path) for path in sorted(folder.glob("samples*"))]
        whole = [any(torch.equal(r.occupations, s.occupations) and torch.equal(r.energy, s.energy) for s in self.sets) for r in read]
        self._write(self.sets[0])
        return len(read) == 3 and all(whole)


class Training:
    """Trains with a checkpoint after every step."""

    fresh, longest = True, 0.6

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.expected = self._train(folder / "undisturbed", False).fingerprint

    def _train(self, folder: Path, resume: bool) -> arl.Model:
        options = {"width": 16, "heads": 2, "layers": 1}
        hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
        return arl.train(
            hamiltonian, STATE, model_options=options, training=TRAINING, folder=folder, resume=resume, progress=False, device="cpu"
        )

    def work(self, folder: Path) -> None:
        """Until killed or done."""
        self._train(folder, False)

    def sound(self, folder: Path) -> bool:
        """Goes on to the weights of an undisturbed run."""
        done = (folder / "checkpoint.safetensors").is_file()
        return self._train(folder, done).fingerprint == arl.load(folder).fingerprint == self.expected


class Sweeps:
    """Sweeps, a part after the other."""

    fresh, longest = True, 0.6

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.model = arl.load("ising-10x10")
        (folder / "undisturbed").mkdir()
        self.expected = self._sweep(folder / "undisturbed")

    def _sweep(self, folder: Path) -> Any:
        return arl.sweep(self.model, [2.0, 2.2, 2.4, 2.6], field=[0.0, 0.1], n=10, seed=0, min_ess=0, out=folder / "sweep.nc")

    def work(self, folder: Path) -> None:
        """Until killed or done."""
        folder.mkdir()
        self._sweep(folder)

    def sound(self, folder: Path) -> bool:
        """Goes on to the numbers of an undisturbed sweep."""
        folder.mkdir(exist_ok=True)
        return bool(self._sweep(folder).equals(self.expected))


if __name__ == "__main__":
    main()
