"""`train`: replayed Monte Carlo and the model's own samples in, a trained `Model` out.

The same weights can be trained on several supercells at once; steps take turns over them.

A run with a folder leaves ``config.json``, ``metrics.jsonl``, ``checkpoint.safetensors`` and at the end ``model/``. A
checkpoint holds everything the next step reads, so a resumed run gives the same bits on the same device.
"""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from arlattice.arguments import finite_number, items_of, of_type, path_text
from arlattice.conditions import Conditions
from arlattice.device import check_device
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.memory import check_memory
from arlattice.models.base import Model
from arlattice.models.checkpoint import load
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream
from arlattice.reliability import quiet
from arlattice.training.chains import ModelChains
from arlattice.training.checkpoint import CHECKPOINT, Progress, RunParts, checkpoint_seed, load_checkpoint, save_checkpoint
from arlattice.training.compiled import load_compiled
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.coverage import warn_uncovered
from arlattice.training.determinism import deterministic
from arlattice.training.health import TrainingWarning, above_random, divergence
from arlattice.training.metrics import MetricsLog
from arlattice.training.objectives import Batch, Loss, Objective, needs
from arlattice.training.priority import StatePriority
from arlattice.training.run_folder import RunFolder, run_folder
from arlattice.training.states import StateRange, StateSpec, check_states, replica_grid, trained_range

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
    if resume and options.seed is None and folder is not None:
        options = options.model_copy(update={"seed": checkpoint_seed(Path(folder) / CHECKPOINT)})
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
    build, current_names = default_manager().build_hamiltonian, default_manager().hamiltonians.current_names
    options = current_names(name, options)
    if hamiltonian_file is None:
        hamiltonian = build(name, options, "hamiltonian")
    else:
        hamiltonian = load_compiled(hamiltonian_file, name, options, "hamiltonian file")
    model, given = _split(config.model)
    model_options = default_manager().models[model].parse_options(given, "model")
    return train(
        hamiltonian,
        config.states,
        model=model,
        model_options=model_options,
        training=config.training,
        supercells=[build(name, options | current_names(name, more), f"supercells.{i}") for i, more in enumerate(config.supercells)],
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
            of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian, e.g. arl.hamiltonian('ising', supercell=(4, 4))")
        states = check_states(states)
        self.options = options
        self.device = check_device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
        self.objective: Objective = default_manager().objectives[options.objective].load_factory()
        self.group = _group(options) if needs(self.objective, "groups") else 1
        if options.priority and not needs(self.objective, "groups"):
            raise InputError("training.priority", options.priority, f"needs log-variance or balanced, not {options.objective}")
        self.stream = Stream(options.seed, "training", self.device)
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
        self.lanes = [self._lane(m, conditions, shape, self.stream[f"supercell {i}"]) for i, m in enumerate(models)]
        self.evaluated = _evaluated(states)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        sources = [s for lane in self.lanes for s in (lane.replay, lane.chains, lane.priority) if s is not None]
        self.parts = RunParts(self.model, self.average, self.optimizer, sources, self.stream)
        self.done = Progress()
        self.figures: dict[str, float] = {}
        self.deadline = math.inf
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
        seed = Stream(self.stream.seed, "states")  # on the CPU: the same states on every device
        return replica_grid(states, hamiltonian, (o.replica_temperatures, o.replica_potentials), o.replica_copies, seed, self.group)

    def _lane(self, model: Model, conditions: Conditions, shape: tuple[int, ...], stream: Stream) -> Lane:
        o, conditions = self.options, conditions.to(self.device, torch.float32)
        replay = chains = priority = None
        if o.priority:
            priority = StatePriority(len(conditions) // shape[-1], len(conditions) // self.group, o.priority, stream["priority"])
        if needs(self.objective, "replay"):
            replay = ReplicaExchange(model.tables, conditions, shape, stream["replay"], fuse=o.compile)
        if needs(self.objective, "chains"):
            chains = ModelChains(conditions, o.reverse_states, o.reverse_samples, o.chain_block, o.chain_refresh, stream["model chains"])
        return Lane(model, conditions, replay, chains, priority)

    def _build(self, name: str, hamiltonian: Hamiltonian, model_options: Options | dict[str, Any] | None) -> Model:
        model = default_manager().build_model(name, hamiltonian, model_options, "model", by_hand=True)
        model.initialise(self.stream.seed)
        model.precision = self.options.precision
        return model.to(self.device)

    def _start_from(self, start: str | Path) -> None:
        """Weights and state scaling of a trained model, of this or another supercell."""
        started = load(start)
        weights = started.state_dict()
        self.origin["start"] = {"model": str(start), "fingerprint": started.fingerprint}
        cure = "was trained with another model family, other options or other species"
        if (started.name, started.options) != (self.model.name, self.model.options):  # heads, say, change the network at equal shapes
            raise InputError("start", str(start), cure)
        try:
            for model in (self.model, self.average):
                model.load_state_dict(weights)
        except RuntimeError:
            raise InputError("start", str(start), cure) from None

    def _set_range(self, conditions: Conditions) -> None:
        for model in (self.model, self.average):
            model.set_state_range(conditions.to(self.device, torch.float64))

    # -- the loop --------------------------------------------------------------------------------

    def fit(self, folder: Path | None, resume: bool, time_limit: float | None, progress: bool) -> Model:
        """Train to the last step or the time limit, and return the averaged model.

        Raises:
            InputError: training diverged, or the folder is not free for this run.

        Warns:
            TrainingWarning: the time limit was reached, or the model is worse than drawing species at random.
            UncoveredWarning: the model does not go where its Monte Carlo chains are.
        """
        if time_limit is not None and not time_limit >= 0:
            raise InputError("time_limit", time_limit, "give a number of seconds >= 0")
        if folder is None and resume:
            raise InputError("folder", None, "give the folder of the run to resume")
        self.deadline = math.inf if time_limit is None else time.monotonic() + time_limit
        with nullcontext() if folder is None else run_folder(folder, resume) as place, deterministic(self.device):
            if resume and place is not None:
                self.done = load_checkpoint(place.checkpoint, self.parts, self._identity())
            with MetricsLog(None if place is None else place.path, self.options.tensorboard) as log:
                if self._equilibrate(progress):
                    self._take_steps(place, log, progress)
                elif place is not None:
                    self._begin(place, log, self.step)
                    self._keep(place)
            self._finish(place)
        return self.average

    def _equilibrate(self, progress: bool) -> bool:
        """Monte Carlo sweeps before the first step, at least one; whether all are done."""
        total = self.options.equilibration_sweeps if self.step == 0 and needs(self.objective, "replay") else 0
        with tqdm(total=total, initial=self.done.sweeps, disable=not progress, desc="Monte Carlo", unit="sweep", leave=False) as bar:
            while self.done.sweeps < total:
                for lane in self.lanes:
                    if lane.replay is not None:
                        lane.replay.run(1)
                self.done = Progress(0, self.done.sweeps + 1)
                bar.update(1)
                if self._late and self.done.sweeps < total:
                    return False
        return True

    def _take_steps(self, place: RunFolder | None, log: MetricsLog, progress: bool) -> None:
        """Steps up to the last or the deadline, at least one; the folder gets its first file after the first of them."""
        first, o = self.step, self.options
        with tqdm(total=o.steps, initial=first, disable=not progress, desc="training", unit="step") as bar:
            while self.step < o.steps and not (self._late and self.step > first):
                loss, norm = self._one_step()
                if self.step == first + 1 and place is not None:  # an objective that refuses this model has done so by now
                    self._begin(place, log, first)
                last = self.step == o.steps
                evaluated, kept = (last or self.step % every == 0 for every in (o.evaluate_every, o.checkpoint_every))
                if evaluated or kept or self._late:
                    self._check_finite(loss.value, norm)
                if evaluated:
                    self._evaluate(loss, norm, log, bar)
                if place is not None and (kept or self._late):
                    self._keep(place)
                bar.update(1)

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self.done.step

    @property
    def _late(self) -> bool:
        return time.monotonic() > self.deadline

    def _one_step(self) -> tuple[Loss, Tensor]:
        """One step of the optimiser; its loss and the norm of its gradient."""
        lane = self.lanes[self.step % len(self.lanes)]
        batch = self._batch(lane)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad()
        loss = of_type("objective", self.objective(lane.model, batch), Loss, f"{self.options.objective} must return a Loss")
        if lane.priority is not None:
            lane.priority.update(self._variances(loss))
        loss.value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.gradient_clip)
        self.optimizer.step()
        self.done = Progress(self.step + 1, self.done.sweeps)
        self._average()
        return loss, norm

    def _check_finite(self, loss: Tensor, norm: Tensor) -> None:
        found = divergence(loss, norm, self.model.parameters())
        if found is not None:
            cure = f"training diverged: {found} after step {self.step}; give a lower learning rate. A checkpoint from before stays as it is"
            raise InputError("training.learning_rate", self.options.learning_rate, cure)

    def _evaluate(self, loss: Loss, norm: Tensor, log: MetricsLog, bar: tqdm[Any]) -> None:
        lane = self.lanes[(self.step - 1) % len(self.lanes)]
        figures = {name: float(value) for name, value in loss.figures.items()}
        figures |= {"gradient_norm": float(norm), "learning_rate": self.optimizer.param_groups[0]["lr"]}
        if lane.replay is not None:
            figures["exchange_rate"] = float(lane.replay.exchange_rate)
        self.figures = figures | self.evaluate()
        log.write(self.step, self.figures)
        bar.set_postfix(gap=f"{self.figures['gap']:.3f}", ESS=f"{self.figures['ess']:.3f}", refresh=False)

    def _batch(self, lane: Lane) -> Batch:
        o, stream = self.options, self.stream
        states = lane.states
        x = conditions = groups = None
        if lane.replay is not None:
            lane.replay.run(o.sweeps_per_step)
            n, count = len(states) // self.group, o.batch_size // self.group
            drawn = stream["state"].integers(n, 1, count)[0] if lane.priority is None else lane.priority.draw(count)
            rows = (drawn[:, None] * self.group + torch.arange(self.group, device=self.device)).flatten()
            x, conditions = lane.replay.occupations[rows], states[rows]
        if needs(self.objective, "states"):
            rows = stream["reverse state"].integers(len(states), 1, o.reverse_states)[0]
            groups = states[rows.repeat_interleave(o.reverse_samples)]
        if lane.chains is not None:
            lane.chains.advance(lane.model)
        weights = o.coarse_share, o.reverse_weight
        return Batch(x, conditions, groups, o.reverse_samples, *weights, stream, lane.chains, o.consistency_weight, self.group)

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
        """Figures over a few states, averaged weights.

        Mean and worst gap (log mean f/q - mean log f/q, nats) and ESS, and in the worst state how far the lower bound of log Z
        lies above that of random species (`above_random`).
        """
        n = self.options.evaluate_samples
        order = "random" if "random" in self.average.orders else None
        seeds = self.stream["evaluation"].integers(2**53, 1, len(self.evaluated))[0].tolist()
        drawn = zip(self.evaluated, seeds, strict=True)
        sets = [self.average.sample(n, state, order=order, seed=seed, batch_size=n) for state, seed in drawn]
        with quiet():  # few samples are enough to watch a run
            gaps = [float(s.log_z().value - s.elbo().value) for s in sets]
        ess = [float(s.ess) for s in sets]
        figures = {"gap": sum(gaps) / len(gaps), "worst_gap": max(gaps), "ess": sum(ess) / len(ess), "worst_ess": min(ess)}
        return figures | {"above_random": min(above_random(s, self.average.hamiltonian) for s in sets)}

    # -- files and the end -------------------------------------------------------------------------

    def _begin(self, place: RunFolder, log: MetricsLog, first: int) -> None:
        if first == 0:
            place.describe(self._identity())
        log.cut(first)

    def _keep(self, place: RunFolder) -> None:
        save_checkpoint(place.checkpoint, self.parts, self.done, self._identity())

    def _finish(self, place: RunFolder | None) -> None:
        """Record how the weights were made, save them, and say what is wrong with them."""
        self.average.record = {
            "steps": self.step,
            "planned_steps": self.options.steps,
            "device": _device_name(self.device),
            "torch": torch.__version__,
            "seed": self.stream.seed,
            "trained_range": trained_range(self.states, self.model.hamiltonian).to_dict(),
        } | self.origin
        wrong = self._wrong()
        if wrong:
            self.average.record["warning"] = wrong
        if place is not None:
            self.average.save(place.model)
        if wrong:
            warnings.warn(wrong, TrainingWarning, stacklevel=4)
        replay = self.lanes[0].replay
        if replay is not None and self.step == self.options.steps:
            warn_uncovered(self.average, replay.occupations, self.lanes[0].states, self.stream["coverage"])

    def _wrong(self) -> str | None:
        """Why the model is not to be trusted; None if nothing shows it."""
        if self.step < self.options.steps:
            return f"the time limit was reached after {self.step} of {self.options.steps} steps: the model is unfinished; resume the run"
        worst = self.figures.get("above_random", math.inf)
        if worst >= 0:
            return None
        cure = f"training diverged or was far too short; give a lower learning rate than {self.options.learning_rate:g}, or more steps"
        return f"in a state of its range the model is {-worst:.3g} nats worse than drawing species at random: {cure}"

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
            "training": self.options.model_dump(mode="json") | {"seed": self.stream.seed},
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


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
