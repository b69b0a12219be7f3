"""`Trainer`: one run, from the untrained model to the files and warnings at its end. `arlattice.training.train` is the way in."""

from __future__ import annotations

import copy
import math
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from arlattice.arguments import of_type
from arlattice.conditions import Conditions
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.prior import KEY as FAMILY
from arlattice.models.prior import ExpansionPrior
from arlattice.models.trained_range import KEY as TRAINED_RANGE
from arlattice.random_numbers import Stream, known_seed
from arlattice.training.automatic import Choice, training_device
from arlattice.training.checkpoint import Progress, RunParts, load_checkpoint, save_checkpoint
from arlattice.training.config import TrainingOptions
from arlattice.training.coverage import warn_uncovered
from arlattice.training.determinism import deterministic
from arlattice.training.evaluation import evaluate, evaluated_states
from arlattice.training.footprint import check_footprint
from arlattice.training.health import TrainingWarning, check_finite, distrust
from arlattice.training.identity import described, identity
from arlattice.training.metrics import MetricsLog
from arlattice.training.objectives import Loss, Objective, needs
from arlattice.training.out_of_memory import half_of_the_batch, that_fits
from arlattice.training.ranks import Ranks
from arlattice.training.record import run_record
from arlattice.training.report import how_it_ended, report_of
from arlattice.training.run_folder import RunFolder, run_folder
from arlattice.training.schedule import average_decay, learning_rate
from arlattice.training.states import StateSpec, check_states, replica_grid
from arlattice.training.stopping import Reached, Stopping
from arlattice.training.system import TrainingSystem, group_size
from arlattice.training.weights import as_started, move_average, move_states, new_model, scale_states, start_from

__all__ = ["Trainer"]

_HELD_OUT = 8
"""Alloys that a model of a family is evaluated on."""


class Trainer:
    """One run: the model, what it is trained on and its optimiser.

    Args:
        hamiltonians: to share the weights, of one primitive cell and species; the first is that of the trained model.
        states: what to train on.
        model: registered name of the family.
        model_options: its options.
        options: of the training.
        device: ``"cpu"`` or ``"cuda"``; None takes a GPU if there is one.
        start: a trained model to start from.
        supercells: further Hamiltonians with the same zero of energy.
        choices: of the model and the options what was chosen, not given (`arlattice.training.automatic`); a run with some ends with a
            report.
        prior: of the alloys, where the Hamiltonian is a family of them.

    Attributes:
        model: the weights being trained, on the first Hamiltonian.
        average: their moving average.
        evaluated: the averaged weights on every one of ``hamiltonians``; of a family on alloys that it does not hold.
        systems: the Hamiltonians, each with its states and chains; steps take turns.
        done: how far the run is.
        stopping: whether it goes on.
        ranks: the processes that share the run.
    """

    def __init__(
        self,
        hamiltonians: Sequence[Hamiltonian],
        states: StateSpec,
        model: str,
        model_options: Options | dict[str, Any] | None,
        options: TrainingOptions,
        device: str | torch.device | None,
        start: str | Path | None = None,
        supercells: Sequence[Hamiltonian] = (),
        choices: Sequence[Choice] = (),
        prior: ExpansionPrior | None = None,
    ) -> None:
        if not hamiltonians:
            raise InputError("hamiltonian", list(hamiltonians), "give at least one")
        kept: dict[str, Any] = {}
        if start is not None and prior is None:
            taken, kept = as_started(start, [*hamiltonians, *supercells])
            hamiltonians, supercells = taken[: len(hamiltonians)], taken[len(hamiltonians) :]
        self.options, self.states, self.hamiltonians = options, check_states(states), [*hamiltonians, *supercells]
        self.prior = prior
        self.device, self.choices, self.stopping = training_device(device), choices, Stopping(options)
        self.ranks = Ranks.here(self.device)
        self.objective: Objective = default_manager().objectives[options.objective].load_factory()
        self.seed = int(self.ranks.told(known_seed(options.seed)))
        self.stream = Stream(self.ranks.own_seed(self.seed), "training", self.device)
        self.origin: dict[str, Any] = kept | {"supercells": [h.lattice.supercell.tolist() for h in self.hamiltonians]}
        if len(hamiltonians) > 1:
            self.origin["hamiltonians"] = [described(h) for h in hamiltonians]
        self._group = group_size(self.objective, options)
        self.model = new_model(model, hamiltonians[0], model_options, type(self.states.corners()[0]), self.seed).to(self.device)
        if prior is not None and self.model.probes is None:
            cure = 'is read by this model; a model of any alloy is an any-order-transformer with reads = "probes"'
            raise InputError("model", f"{model}, the numbers of a state", cure)
        self.average = copy.deepcopy(self.model).eval()
        self.model.precision = options.precision
        check_footprint(options, self.states, max(h.lattice.n_sites for h in self.hamiltonians))
        self.systems = self._systems(hamiltonians, supercells, start)
        for weights in (self.model.state_dict(), self.average.state_dict()):  # what they take from the states of their chains too
            self.ranks.equalise(weights)
        self._weights, self._averages = (list[Tensor](model.parameters()) for model in (self.model, self.average))
        self.optimizer = torch.optim.AdamW(self._weights, lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        sources = [source for system in self.systems for source in system.sources]
        self.parts = RunParts(self.model, self.average, self.optimizer, sources, self.stream, self.seed, self.ranks)
        self.done, self.figures, self.deadline = Progress(start=self.origin.get("start")), dict[str, float](), math.inf
        self._began = time.monotonic()

    # -- what a run is made of -------------------------------------------------------------------

    def _systems(
        self, hamiltonians: Sequence[Hamiltonian], supercells: Sequence[Hamiltonian], start: str | Path | None
    ) -> list[TrainingSystem]:
        """The weights on every Hamiltonian, with its states and chains."""
        models, grids = self._models(hamiltonians, supercells), [self._grid(h) for h in self.hamiltonians]
        if start is None:
            scale_states((self.model, self.average), [conditions for conditions, _ in grids])
        else:
            self.origin["start"] = start_from(start, (self.model, self.average))
            move_states((self.model, self.average), [conditions for conditions, _ in grids])
        streams = [self.stream[f"supercell {i}"] for i in range(len(models))]
        given = zip(models, grids, streams, strict=True)
        systems = [TrainingSystem.build(model, grid, self.objective, self.options, stream) for model, grid, stream in given]
        if self.options.compile:
            for model in models:
                model.compile_network()
        return systems

    def _models(self, hamiltonians: Sequence[Hamiltonian], supercells: Sequence[Hamiltonian]) -> list[Model]:
        """The weights on every Hamiltonian; those of ``supercells`` must have the zero of energy of the first."""
        on_supercells = [self.model.on(h) for h in supercells]
        self.model.record, self.average.record = dict(self.origin), dict(self.origin)  # of several: any zero of energy, see `Model.on`
        if self.prior is None:
            self.evaluated = [self.average, *(self.average.on(h) for h in hamiltonians[1:])]
        else:
            held_out = self.prior.held_out(_HELD_OUT)
            self.evaluated = [self.average.on(held_out.one(number)) for number in range(_HELD_OUT)]
        return [self.model, *(self.model.on(h) for h in hamiltonians[1:]), *on_supercells]

    def _grid(self, hamiltonian: Hamiltonian) -> tuple[Conditions, tuple[int, ...]]:
        """The states of all chains by the units, species and sites of a Hamiltonian; the same states on each."""
        o = self.options
        seed = Stream(self.stream.seed, "states")  # on the CPU: the same states on every device, and others at every rank
        return replica_grid(self.states, hamiltonian, (o.replica_temperatures, o.replica_potentials), o.replica_copies, seed, self._group)

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
        self._began = time.monotonic()
        self.deadline = math.inf if time_limit is None else self._began + time_limit
        progress = progress and self.ranks.first
        with nullcontext() if folder is None else self._place(folder, resume) as place, deterministic(self.device):
            if resume and place is not None:
                self.done = load_checkpoint(place.checkpoint, self.parts, self._identity())
                self.stopping.reached = self.done.reached
                self.origin |= {} if self.done.start is None else {"start": self.done.start}
            with MetricsLog(place.path if place is not None and self.ranks.first else None, self.options.tensorboard) as log:
                if self._equilibrate(progress):
                    self._take_steps(place, log, progress)
                elif place is not None:
                    self._begin(place, log, self.step)
                    self._keep(place)
            self._finish(place, progress)
            self.ranks.wait()  # until the files are there: a script may read them next
        return self.trained

    @property
    def trained(self) -> Model:
        """The averaged weights on the first Hamiltonian; those for any alloy on the one without interactions."""
        return self.average if self.prior is None else self.average.on(self.prior.ideal())

    @contextmanager
    def _place(self, folder: Path, resume: bool) -> Iterator[RunFolder]:
        """The folder of the run, which the first rank has; where it may not have it, no rank goes on."""
        place, refused = RunFolder(folder), None
        with ExitStack() as stack:
            if self.ranks.first:
                try:
                    place = stack.enter_context(run_folder(folder, resume))
                except InputError as error:
                    refused = error
            words = self.ranks.told(None if refused is None else [refused.argument, str(refused.value), refused.cure])
            if words is not None:
                raise refused or InputError(*words)
            yield place

    def _equilibrate(self, progress: bool) -> bool:
        """Monte Carlo sweeps before the first step, at least one; whether all are done."""
        total = self.options.equilibration_sweeps if self.step == 0 and needs(self.objective, "replay") else 0
        with tqdm(total=total, initial=self.done.sweeps, disable=not progress, desc="Monte Carlo", unit="sweep", leave=False) as bar:
            while self.done.sweeps < total:
                for system in self.systems:
                    system.sweep()
                self.done = self.done._replace(sweeps=self.done.sweeps + 1)
                bar.update(1)
                if self._late and self.done.sweeps < total:
                    return False
        return True

    def _take_steps(self, place: RunFolder | None, log: MetricsLog, progress: bool) -> None:
        """Steps up to the last or the deadline, at least one; the folder gets its first file after the first of them."""
        first, o = self.step, self.options
        with tqdm(total=o.steps, initial=first, disable=not progress, desc="training", unit="step") as bar:
            while self.step < o.steps and not (self._late and self.step > first) and self.stopping.reason is None:
                loss, norm = self._one_step()
                if self.step == first + 1 and place is not None:  # an objective that refuses this model has done so by now
                    self._begin(place, log, first)
                last = self.step == o.steps or self.stopping.ends_cycle(self.step)
                evaluated, kept = (last or self.step % every == 0 for every in (o.evaluate_every, o.checkpoint_every))
                if evaluated or kept or self._late:
                    check_finite(self._mean_loss(loss), norm, self.model.parameters(), self.step, o)
                if evaluated:
                    self._evaluate(loss, norm, log, bar)
                if place is not None and (kept or self._late or self.stopping.reason):
                    self._keep(place)
                bar.update(1)

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self.done.step

    @property
    def seconds(self) -> float:
        """That the run took so far: this command, and those it goes on from up to their last checkpoint."""
        return self.done.seconds + time.monotonic() - self._began

    @property
    def _late(self) -> bool:
        return self.deadline < math.inf and bool(self.ranks.told(time.monotonic() > self.deadline))

    def _system(self, step: int) -> TrainingSystem:
        """Whose turn it is after so many steps."""
        return self.systems[step % len(self.systems)]

    def _halve(self) -> None:
        self.systems = half_of_the_batch(self.systems)

    def _one_step(self) -> tuple[Loss, Tensor]:
        """One step of the optimiser; its loss, of this rank, and the norm of the gradient."""
        loss = that_fits(self._gradient, self._halve, self.ranks.any)
        self.ranks.average_gradients(self._weights)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.options)
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.options.gradient_clip)
        self.optimizer.step()
        self.done = self.done._replace(step=self.step + 1)
        move_average(self._averages, self._weights, average_decay(self.step, self.options))
        return loss, norm

    def _gradient(self) -> Loss:
        """The loss of a batch of this rank, and its gradient at the weights."""
        system = self._system(self.step)
        batch = system.batch(self.stream, self.step // len(self.systems))
        self.optimizer.zero_grad()
        loss = of_type("objective", self.objective(system.model, batch), Loss, f"{self.options.objective} must return a Loss")
        system.learn_priority(loss)
        loss.value.backward()
        return loss

    def _mean_loss(self, loss: Loss) -> Tensor:
        """Over the ranks."""
        return loss.value if self.ranks.count == 1 else torch.tensor(self.ranks.mean({"loss": float(loss.value.detach())})["loss"])

    def _evaluate(self, loss: Loss, norm: Tensor, log: MetricsLog, bar: tqdm[Any]) -> None:
        replay = self._system(self.step - 1).replay
        figures = {name: float(value) for name, value in loss.figures.items()}
        if replay is not None:
            figures["exchange_rate"] = float(replay.exchange_rate)
        figures = self.ranks.mean(figures) | {"gradient_norm": float(norm), "learning_rate": self.optimizer.param_groups[0]["lr"]}
        if self.ranks.first:
            states, stream = evaluated_states(self.states), self.stream["evaluation"]
            order = "random" if self.options.coarse_share <= 0.5 else None
            figures |= evaluate(self.evaluated, states, self.options.evaluate_samples, stream, order)
            log.write(self.step, figures)
            self.stopping.look(self.step, figures, self.deadline)
        self.figures, reached, self.stopping.reason = self.ranks.told([figures, self.stopping.reached, self.stopping.reason])
        self.stopping.reached = Reached(*reached)
        self.done = self.done._replace(reached=self.stopping.reached)
        told = {"gap": "gap", "ESS": "ess", "worst": "worst_ess"}
        bar.set_postfix({name: f"{self.figures[key]:.3f}" for name, key in told.items()}, refresh=False)

    # -- files and the end -------------------------------------------------------------------------

    def _begin(self, place: RunFolder, log: MetricsLog, first: int) -> None:
        if first == 0 and self.ranks.first:
            place.describe(self._identity())
        log.cut(first)

    def _keep(self, place: RunFolder) -> None:
        save_checkpoint(place.checkpoint, self.parts, self.done._replace(seconds=self.seconds), self._identity())

    def _finish(self, place: RunFolder | None, progress: bool) -> None:
        """Record how the weights were made, save them, and say what is wrong with them."""
        reason, complete = self.stopping.reason, self.step == self.options.steps
        made = self.step, self.options, self.device, self.seed, self.states, self.hamiltonians, self.seconds
        shared = {} if self.ranks.count == 1 else {"processes": self.ranks.count}
        self.average.record = run_record(*made) | shared | self.origin | ({} if reason is None else {"stopped": reason})
        if self.prior is not None:  # its units of energy are those of no alloy
            self.average.record |= {FAMILY: self.prior.model_dump(mode="json") | {"states": self.average.record.pop(TRAINED_RANGE)}}
        wrong = distrust(self.step, self.options, self.figures, stopped=reason is not None)
        if wrong:
            self.average.record["warning"] = wrong
        if not self.ranks.first:
            return
        if self.choices and self.prior is not None:
            self.average.record["chosen"] = [str(choice) for choice in self.choices]
        elif self.choices:
            report = report_of(self.average, self.states, self.stream["report"], self.step, reason or how_it_ended(complete))
            self.average.record |= {"chosen": [str(choice) for choice in self.choices], "report": report.to_dict()}
            if progress:
                tqdm.write(str(report), file=sys.stderr)
        if place is not None:
            self.trained.save(place.model)
        if wrong:
            warnings.warn(wrong, TrainingWarning, stacklevel=4)
        covered = self.evaluated if self.prior is None else [self.average]
        for model, system in zip(covered, self.systems, strict=False):
            if system.replay is not None and (complete or reason is not None):
                warn_uncovered(model, system.replay.occupations, system.states, self.stream["coverage"])

    def _identity(self) -> dict[str, Any]:
        return identity(self.hamiltonians, self.states, self.model, self.options, self.seed)


def __getattr__(name: str) -> Any:
    """`train` and `run` were here."""
    if name not in ("run", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from arlattice.training import train

    warnings.warn(f"import {name} from arlattice.training.train", DeprecationWarning, stacklevel=2)
    return getattr(train, name)
