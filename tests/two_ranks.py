"""What `test_ranks` starts twice with torchrun: prints what it found as one line of JSON, from the first rank."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.hooks.manager import default_manager
from arlattice.models.base import Model
from arlattice.montecarlo.start import random_occupations
from arlattice.random_numbers import Stream
from arlattice.testing import randomise
from arlattice.training.config import TrainingOptions
from arlattice.training.objectives import Batch
from arlattice.training.ranks import Ranks
from arlattice.training.trainer import Trainer

GROUP, GROUPS = 4, 4  # configurations of one state, and states of each rank
OBJECTIVES = {
    "forward": ["any-order-mlp", "multiscale"],
    "log-variance": ["any-order-mlp"],
    "balanced": ["any-order-mlp", "multiscale"],
    "reverse": ["any-order-mlp", "multiscale"],
    "hybrid": ["any-order-mlp"],
    "self-consistency": ["marginal-mlp"],
}


class Share(Stream):
    """The random numbers of one rank, or of both joined: a sample has the same ones either way."""

    def __init__(self, name: str, parts: range) -> None:
        super().__init__(7, name)
        self.parts, self.branches = parts, {}

    def __getitem__(self, name: str) -> Stream:
        return self.branches.setdefault(name, Share(f"{self.name}/{name}", self.parts))

    def uniform(self, steps: int, samples: int) -> Tensor:
        each = samples // len(self.parts)
        return super().uniform(steps, 2 * each)[:, self.parts[0] * each : (self.parts[-1] + 1) * each]

    def permutation(self, n: int) -> Tensor:
        """Every rank mixes its own."""
        each = n // len(self.parts)
        order = Stream.uniform(self, each, 1)[:, 0].argsort()
        return torch.cat([order + k * each for k in range(len(self.parts))])


def gradient(model: Model, objective: str, parts: range) -> list[Tensor]:
    """Of the batch of some ranks; left at the weights too."""
    H = model.hamiltonian
    temperatures = [2.0 + 0.3 * k for k in range(2 * GROUPS)][parts[0] * GROUPS : (parts[-1] + 1) * GROUPS]
    states = Conditions.from_states([arl.SemiGrandCanonical(t) for t in temperatures for _ in range(GROUP)], H)
    everywhere = Conditions.from_states([arl.SemiGrandCanonical(2.0)] * (2 * GROUP * GROUPS), H)
    x = random_occupations(H.lattice, everywhere, Stream(5, "start"))[parts[0] * GROUP * GROUPS : (parts[-1] + 1) * GROUP * GROUPS]
    batch = Batch(x, states, states, GROUP, 0.0, 0.3, Share("batch", parts), replay_group=GROUP, soft_targets=True)
    model.zero_grad()
    default_manager().objectives[objective].load_factory()(model, batch).value.backward()
    return [torch.zeros_like(w) if w.grad is None else w.grad for w in model.parameters()]


def distance(a: list[Tensor], b: list[Tensor]) -> float:
    """Largest difference, in units of the largest entry."""
    return max(float((s - t).abs().max()) for s, t in zip(a, b, strict=True)) / max(float(t.abs().max()) for t in b)


def gradients(ranks: Ranks) -> dict[str, Any]:
    """How far the averaged gradient is from that of the joined batch, and that of this rank alone."""
    found = {}
    H = arl.hamiltonian("ising", supercell=(4, 4))
    for objective, families in OBJECTIVES.items():
        for family in families:
            model = randomise(arl.model(family, H), scale=0.1).double()
            alone = [t.clone() for t in gradient(model, objective, range(ranks.number, ranks.number + 1))]
            ranks.average_gradients(list(model.parameters()))
            averaged = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in model.parameters()]
            joined = gradient(model, objective, range(2))
            found[f"{objective} {family}"] = distance(averaged, joined), distance(alone, joined)
    return found


def half_a_gradient(ranks: Ranks) -> list[Any]:
    """Weights of which only the second rank has a gradient, and that nobody has one of."""
    weights = [torch.ones(2, requires_grad=True) for _ in range(3)]
    weights[0].grad = torch.full((2,), 1.0 + ranks.number)
    weights[1].grad = None if ranks.first else torch.full((2,), 3.0)
    ranks.average_gradients(weights)
    return [None if w.grad is None else w.grad.tolist() for w in weights]


def out_of_memory() -> list[int]:
    """Batch sizes of both ranks where memory runs out at the second in its first step."""
    H = arl.hamiltonian("ising", supercell=(4, 4))
    options = TrainingOptions(steps=2, batch_size=16, replica_copies=8, replica_temperatures=2, equilibration_sweeps=2, seed=1)
    run = Trainer([H], arl.SemiGrandCanonical(3.0), "any-order-mlp", None, options, "cpu")
    whole, tried = run._gradient, []

    def gradient() -> Any:
        tried.append(run.step)
        if run.ranks.number == 1 and len(tried) == 1:
            raise MemoryError
        return whole()

    run._gradient = gradient  # type: ignore[method-assign]
    run.fit(None, False, None, False)
    return run.ranks.collected(run.systems[0].options.batch_size)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    H = arl.hamiltonian("ising", supercell=(4, 4))
    training = {
        "steps": 4,
        "batch_size": 16,
        "objective": "balanced",
        "replay_group": 4,
        "priority": 0.5,
        "replica_copies": 8,
        "replica_temperatures": 4,
        "equilibration_sweeps": 3,
        "evaluate_every": 2,
        "evaluate_samples": 16,
        "checkpoint_every": 2,
        "block_share": 0.5,
    }
    small = {"width": 16, "layers": 1}
    box = arl.StateRange(temperature=(2.0, 3.0))

    def run(name: str, **more: Any) -> Model:
        return arl.train(H, box, model="multiscale", model_options=small, training=training, folder=folder / name, progress=False, **more)

    training["seed"] = 3
    whole = run("whole")
    loaded = arl.load(folder / "whole").fingerprint
    try:
        run("whole")
        refused = ""
    except arl.InputError as error:
        refused = str(error)
    for resume in (False, True, True):
        run("parts", resume=resume, time_limit=0.0)
    parts = run("parts", resume=True)
    del training["seed"]
    fresh = run("fresh")
    ranks = Ranks.here(torch.device("cpu"))
    found = {
        "gradients": ranks.collected(gradients(ranks)),
        "whole": ranks.collected(whole.fingerprint),
        "parts": ranks.collected(parts.fingerprint),
        "loaded": ranks.collected(loaded),
        "refused": ranks.collected(refused),
        "fresh": ranks.collected(fresh.fingerprint),
        "half": ranks.collected(half_a_gradient(ranks)),
        "batch": out_of_memory(),
    }
    if ranks.first:
        print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
