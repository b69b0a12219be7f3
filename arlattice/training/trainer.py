"""`train`: replayed Monte Carlo and the model's own samples in, a trained `Model` out.

The same weights can be trained on several supercells at once; steps take turns over them.

A run with a folder leaves ``config.json``, ``metrics.jsonl``, ``checkpoint.safetensors`` and at the end ``model/``. A
checkpoint holds everything the next step reads, so a resumed run gives the same bits on the same device.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from arlattice.arguments import finite_number, items_of, of_type, path_text
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.device import check_device
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonian import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.io.files import write_text
from arlattice.memory import check_memory
from arlattice.models.base import Model
from arlattice.models.checkpoint import load
from arlattice.models.conditions import Conditions
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.training.chains import ModelChains
from arlattice.training.checkpoint import RunParts, load_checkpoint, save_checkpoint
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.determinism import deterministic
from arlattice.training.metrics import MetricsLog
from arlattice.training.objectives import Batch, Loss, Objective, needs
from arlattice.training.priority import StatePriority
from arlattice.training.states import StateRange, StateSpec, check_states, replica_grid

__all__ = ["Trainer", "run", "train"]

_FINAL_RATE = 0.02  # of the peak learning rate, where the cosine ends


def train(
    hamiltonian: Hamiltonian,
    states: StateSpec,
    *,
    model: str = "any-order-transformer",
    model_options: Options | dict[str, Any] | None = None,
    training: TrainingOptions | dict[str, Any] | None = None,
    supercells: Sequence[Hamiltonian] = (),
    folder: str | Path | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    device: str | torch.device | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Model:
    """Train a model of a Hamiltonian.

    Args:
        hamiltonian: what to sample.
        states: a `StateRange`, one state, or a list of states of one kind.
        model: registered name of the family.
        model_options: its options.
        training: `TrainingOptions`, or their values.
        supercells: the same Hamiltonian on further supercells, to train the weights on too.
        folder: where to leave metrics, checkpoints and the model; None keeps nothing.
        start: a trained model whose weights to start from (a warm start), of this or another supercell.
        resume: continue from the folder's checkpoint.
        device: ``"cpu"`` or ``"cuda"``; None takes a GPU if there is one.
        time_limit: stop with a checkpoint after so many seconds; ``resume`` goes on.
        progress: show a progress bar.

    Returns:
        The trained model (averaged weights), in evaluation mode.

    Raises:
        InputError: options out of range, a checkpoint of another run, or nothing to resume.
    """
    options = training if isinstance(training, TrainingOptions) else TrainingOptions.parse({} if training is None else training, "training")
    if folder is not None:
        path_text("folder", folder)
    if time_limit is not None:
        finite_number("time_limit", time_limit, 0)
    supercells = items_of("supercells", supercells, Hamiltonian, "give a list of Hamiltonians")
    trainer = Trainer([hamiltonian, *supercells], states, model, model_options, options, device, start)
    return trainer.fit(None if folder is None else Path(folder), resume, time_limit, progress)


def run(
    config: RunConfig,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    hamiltonian_file: str | Path | None = None,
) -> Model:
    """Train what a run file describes; see `train`.

    Args:
        hamiltonian_file: compiled tables (`ClusterHamiltonian.save`) to use instead of building the Hamiltonian,
            for machines without its plugin; they must be of the name and options in the run file.
    """
    path_text("folder", folder)
    name, options = _split(config.hamiltonian)
    build = default_manager().build_hamiltonian
    hamiltonian = build(name, options, "hamiltonian") if hamiltonian_file is None else _compiled(hamiltonian_file, name, options)
    model, model_options = _split(config.model)
    return train(
        hamiltonian,
        config.states,
        model=model,
        model_options=model_options,
        training=config.training,
        supercells=[build(name, options | more, f"supercells.{i}") for i, more in enumerate(config.supercells)],
        folder=folder,
        start=start,
        resume=resume,
        device=device,
        time_limit=time_limit,
        progress=progress,
    )


@dataclass(frozen=True)
class Lane:
    """One supercell of a run: the weights on it, and where its configurations come from.

    Attributes:
        model: shares its weights with the other lanes.
        states: to train on.
        replay: Monte Carlo chains, one a state, if the objective needs them.
        chains: the model's persistent configurations, likewise.
        priority: which states to draw; None draws evenly.
    """

    model: Model
    states: Conditions
    replay: ReplicaExchange | None
    chains: ModelChains | None
    priority: StatePriority | None


class Trainer:
    """One run: the model, its replay and its optimiser. `train` is the way in."""

    def __init__(
        self,
        hamiltonians: Sequence[Hamiltonian],
        states: StateSpec,
        model: str,
        model_options: Options | dict[str, Any] | None,
        options: TrainingOptions,
        device: str | torch.device | None,
        start: str | Path | None = None,
    ) -> None:
        for hamiltonian in hamiltonians:
            of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian, e.g. arl.hamiltonian('ising', size=(4, 4))")
        states = check_states(states)
        self.options = options
        self.device = check_device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
        self.objective: Objective = default_manager().objectives[options.objective].load_factory()
        self.group = _group(options) if needs(self.objective, "groups") else 1
        if options.priority and not needs(self.objective, "groups"):
            raise InputError("training.priority", options.priority, f"needs log-variance or balanced, not {options.objective}")
        self.generator = torch.Generator(self.device).manual_seed(options.seed)
        self.model = self._build(model, hamiltonians[0], model_options)
        self.average = copy.deepcopy(self.model).eval()
        self.average.precision = "float32"
        self.origin: dict[str, Any] = {"supercells": [h.lattice.supercell.tolist() for h in hamiltonians]}
        self._check_memory(states, hamiltonians)
        conditions, shape = self._grid(states, hamiltonians[0])
        if start is None:
            self._set_range(conditions)
        else:
            self._start_from(start)
        models = [self.model, *(self.model.on(h) for h in hamiltonians[1:])]
        self.lanes = [self._lane(m, conditions, shape) for m in models]
        self.evaluated = _evaluated(states)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        sources = [s for lane in self.lanes for s in (lane.replay, lane.chains, lane.priority) if s is not None]
        self.parts = RunParts(self.model, self.average, self.optimizer, sources, self.generator)
        self.step = 0
        self.states = states
        if options.compile:
            for lane in self.lanes:
                lane.model.fuse()

    def _check_memory(self, states: StateSpec, hamiltonians: Sequence[Hamiltonian]) -> None:
        """The chains, and what one step draws, must fit into memory."""
        o, sites = self.options, max(h.lattice.n_sites for h in hamiltonians)
        cells = len(states) if not isinstance(states, StateRange) else states.cells(o.replica_temperatures, o.replica_potentials)  # type: ignore[arg-type]
        chains = cells * o.replica_copies
        check_memory("training.replica_copies", o.replica_copies, 64 * chains * sites, f"{chains} chains; give fewer cells or copies")
        check_memory("training.batch_size", o.batch_size, 64 * o.batch_size * sites)
        reverse = o.reverse_states * o.reverse_samples
        check_memory("training.reverse_samples", o.reverse_samples, 64 * reverse * sites, "give fewer reverse_states or reverse_samples")
        check_memory("training.evaluate_samples", o.evaluate_samples, 64 * o.evaluate_samples * sites)

    def _grid(self, states: StateSpec, hamiltonian: Hamiltonian) -> tuple[Conditions, tuple[int, ...]]:
        o = self.options
        return replica_grid(states, hamiltonian, (o.replica_temperatures, o.replica_potentials), o.replica_copies, o.seed, self.group)

    def _lane(self, model: Model, conditions: Conditions, shape: tuple[int, ...]) -> Lane:
        o, conditions = self.options, conditions.to(self.device, torch.float32)
        replay = chains = priority = None
        if o.priority:
            priority = StatePriority(len(conditions) // shape[-1], len(conditions) // self.group, o.priority, self.generator)
        if needs(self.objective, "replay"):
            replay = ReplicaExchange(model.tables, conditions, shape, self.generator, fuse=o.compile)
        if needs(self.objective, "chains"):
            chains = ModelChains(conditions, o.reverse_states, o.reverse_samples, o.chain_block, o.chain_refresh, self.generator)
        return Lane(model, conditions, replay, chains, priority)

    def _build(self, name: str, hamiltonian: Hamiltonian, model_options: Options | dict[str, Any] | None) -> Model:
        model = default_manager().build_model(name, hamiltonian, model_options, "model")
        model.initialise(torch.Generator().manual_seed(self.options.seed))
        model.precision = self.options.precision
        return model.to(self.device)

    def _start_from(self, start: str | Path) -> None:
        """Weights and state scaling of a trained model, of this or another supercell."""
        started = load(start)
        weights = started.state_dict()
        self.origin["start"] = {"model": str(start), "fingerprint": started.fingerprint}
        try:
            for model in (self.model, self.average):
                model.load_state_dict(weights)
        except RuntimeError:
            raise InputError("start", str(start), "was trained with another model family, other options or other species") from None

    def _set_range(self, conditions: Conditions) -> None:
        for model in (self.model, self.average):
            model.set_state_range(conditions.to(self.device, torch.float64))

    # -- the loop --------------------------------------------------------------------------------

    def fit(self, folder: Path | None, resume: bool, time_limit: float | None, progress: bool) -> Model:
        """Train to the last step or the time limit, and return the averaged model."""
        log = MetricsLog(folder, self.options.tensorboard)
        if folder is not None:
            self._open(folder, resume, log)
        elif resume:
            raise InputError("folder", None, "give the folder of the run to resume")
        started = time.monotonic()
        with deterministic(self.device), log:
            if self.step == 0 and needs(self.objective, "replay"):
                self._equilibrate(progress)
            with tqdm(total=self.options.steps, initial=self.step, disable=not progress, desc="training", unit="step") as bar:
                while self.step < self.options.steps:
                    self._one_step(log, bar)
                    late = time_limit is not None and time.monotonic() - started > time_limit
                    last = self.step == self.options.steps
                    if folder is not None and (late or last or self.step % self.options.checkpoint_every == 0):
                        save_checkpoint(folder / "checkpoint.safetensors", self.parts, self.step, self._identity())
                    if late:
                        break
        self.average.record = {
            "steps": self.step,
            "device": _device_name(self.device),
            "torch": torch.__version__,
            "seed": self.options.seed,
        } | self.origin
        if folder is not None:
            self.average.save(folder / "model")
        return self.average

    def _equilibrate(self, progress: bool) -> None:
        for _ in tqdm(range(self.options.equilibration_sweeps), disable=not progress, desc="Monte Carlo", unit="sweep", leave=False):
            for lane in self.lanes:
                if lane.replay is not None:
                    lane.replay.run(1)

    def _one_step(self, log: MetricsLog, bar: tqdm[Any]) -> None:
        lane = self.lanes[self.step % len(self.lanes)]
        batch = self._batch(lane)
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = of_type("objective", self.objective(lane.model, batch), Loss, f"{self.options.objective} must return a Loss")
        if lane.priority is not None:
            lane.priority.update(self._variances(loss))
        loss.value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.gradient_clip)
        self.optimizer.step()
        self.step += 1
        self._average()
        if self.step % self.options.evaluate_every == 0 or self.step == self.options.steps:
            figures = {name: float(value) for name, value in loss.figures.items()}
            figures |= {"gradient_norm": float(norm), "learning_rate": rate}
            if lane.replay is not None:
                figures["exchange_rate"] = float(lane.replay.exchange_rate)
            figures |= self.evaluate()
            log.write(self.step, figures)
            bar.set_postfix(gap=f"{figures['gap']:.3f}", ESS=f"{figures['ess']:.3f}", refresh=False)
        bar.update(1)

    def _batch(self, lane: Lane) -> Batch:
        o, g = self.options, self.generator
        states = lane.states
        x = conditions = groups = None
        if lane.replay is not None:
            lane.replay.run(o.sweeps_per_step)
            n, count = len(states) // self.group, o.batch_size // self.group
            drawn = torch.randint(n, (count,), generator=g, device=self.device) if lane.priority is None else lane.priority.draw(count)
            rows = (drawn[:, None] * self.group + torch.arange(self.group, device=self.device)).flatten()
            x, conditions = lane.replay.occupations[rows], states[rows]
        if needs(self.objective, "states"):
            rows = torch.randint(len(states), (o.reverse_states,), generator=g, device=self.device)
            groups = states[rows.repeat_interleave(o.reverse_samples)]
        if lane.chains is not None:
            lane.chains.advance(lane.model)
        weights = o.coarse_share, o.reverse_weight
        return Batch(x, conditions, groups, o.reverse_samples, *weights, g, lane.chains, o.consistency_weight, self.group)

    def _variances(self, loss: Loss) -> Tensor:
        if loss.variances is None:
            raise InputError("training.priority", self.options.priority, f"the objective {self.options.objective} returns no variances")
        return loss.variances

    def _learning_rate(self) -> float:
        o = self.options
        warm = min(1.0, (self.step + 1) / o.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * (self.step * o.cycles / o.steps % 1)))
        return o.learning_rate * warm * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of the weights, with a short memory at the start."""
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step)) if self.options.ema_decay else 0.0
        ours: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean and worst gap (log mean f/q - mean log f/q, nats) and ESS over a few states, averaged weights."""
        n = self.options.evaluate_samples
        order = "random" if "random" in self.average.orders else None
        sets = [self.average.sample(n, state, order=order, seed=self.step, batch_size=n) for state in self.evaluated]
        gaps = [float(s.log_z().value - s.elbo().value) for s in sets]
        ess = [float(s.ess) for s in sets]
        return {"gap": sum(gaps) / len(gaps), "worst_gap": max(gaps), "ess": sum(ess) / len(ess), "worst_ess": min(ess)}

    # -- files -----------------------------------------------------------------------------------

    def _open(self, folder: Path, resume: bool, log: MetricsLog) -> None:
        path = folder / "checkpoint.safetensors"
        if resume:
            self.step = load_checkpoint(path, self.parts, self._identity())
            log.cut(self.step)
            return
        if path.exists():
            raise InputError("folder", str(folder), "holds a run already; give --resume to continue it, or another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "config.json", json.dumps(self._identity(), indent=2) + "\n")
        log.cut(0)

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to continue this run."""
        described = [
            {"name": h.name, "options": dict(h.options), "fingerprint": h.fingerprint}
            for h in (lane.model.hamiltonian for lane in self.lanes)
        ]
        return {
            "hamiltonian": described[0],
            "supercells": described[1:],
            "states": self.states.model_dump(mode="json")
            if isinstance(self.states, StateRange)
            else [s.to_dict() for s in _listed(self.states)],
            "model": {"name": self.model.name, **self.model.options.model_dump(mode="json")},
            "training": self.options.model_dump(mode="json"),
        }


def _group(options: TrainingOptions) -> int:
    """Replayed configurations that share a state; they must fill the chains of a state and the batch."""
    group = options.replay_group
    for name in ("replica_copies", "batch_size"):
        if getattr(options, name) % group:
            raise InputError(f"training.{name}", getattr(options, name), f"give a multiple of replay_group = {group}")
    return group


def _evaluated(states: StateSpec) -> list[Ensemble]:
    chosen = states.corners() if isinstance(states, StateRange) else _listed(states)
    return chosen[:: max(1, len(chosen) // 9)]


def _listed(states: Any) -> list[Ensemble]:
    return [states] if isinstance(states, Ensemble) else list(states)


def _split(table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    options = dict(table)
    return options.pop("name"), options


def _compiled(path: str | Path, name: str, options: dict[str, Any]) -> Hamiltonian:
    loaded = ClusterHamiltonian.load(path)
    known = default_manager().hamiltonians  # without the plugin, what the run file says must match as it stands
    asked = known[name].parse_options(options, "hamiltonian").model_dump(mode="json") if name in known else options
    if loaded.name != name or any(loaded.options.get(key) != value for key, value in asked.items()):
        made = {"name": loaded.name, **loaded.options}
        raise InputError("hamiltonian file", str(path), f"was compiled as {made}, the run file asks for {name} {asked}")
    return loaded


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
