"""`train`: replayed Monte Carlo and the model's own samples in, a trained `Model` out; `run` does what a run file describes.

The same weights can be trained on several supercells and Hamiltonians at once; steps take turns over them.

A run with a folder leaves ``config.json``, ``metrics.jsonl``, ``checkpoint.safetensors`` and at the end ``model/``. A
checkpoint holds everything the next step reads, so a resumed run gives the same bits on the same device.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from arlattice.arguments import finite_number, items_of, path_text
from arlattice.build import build_hamiltonian
from arlattice.cluster_family import ClusterFamily
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.prior import ExpansionPrior
from arlattice.training.automatic import set_up, training_device
from arlattice.training.checkpoint import CHECKPOINT, checkpoint_seed
from arlattice.training.compiled import load_compiled
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.pure_ends import crossings, warn_outside
from arlattice.training.states import StateSpec, check_states
from arlattice.training.trainer import Trainer

__all__ = ["explanation", "run", "train"]


def train(
    hamiltonian: Hamiltonian | Sequence[Hamiltonian] | ExpansionPrior,
    states: StateSpec,
    *,
    model: str | None = None,
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
    """Train a model of a Hamiltonian, or of several that share its weights.

    Args:
        hamiltonian: what to sample; or several Hamiltonians of one primitive cell and species, with energies of their own, on one
            supercell or on different ones; or a prior of random alloys, for a model of any alloy (``reads = "probes"``).
        states: a `StateRange`, one state, or a list of states of one kind; every Hamiltonian is trained in all of them, by its own
            units and number of sites.
        model: registered name of the family; None: chosen (the any-order transformer where only ``model_options`` are given).
        model_options: its options; None: chosen, where the model or ``training`` is open.
        training: `TrainingOptions`, or their values. What is not given is chosen from lattice, states and device
            (`arlattice.training.automatic`), and the run ends with a report; a run by hand, with a model and values of ``training``,
            takes the defaults of `TrainingOptions` instead.
        supercells: further Hamiltonians to train the weights on, as a rule the same one on further supercells: another zero of
            energy is taken for a mistake (`arlattice.same_zero`).
        folder: where to leave metrics, checkpoints and the model; None keeps nothing.
        start: a trained model whose weights to start from (a warm start), of this or another supercell.
        resume: continue from the folder's checkpoint.
        device: ``"cpu"`` or ``"cuda"``; None takes a GPU if there is one.
        time_limit: stop with a checkpoint after so many seconds; ``resume`` goes on.
        progress: show a progress bar.

    Returns:
        The trained model (averaged weights) on the first Hamiltonian, in evaluation mode; `Model.on` puts it on the others.

    Raises:
        InputError: options out of range, a model that reads no probes for a prior, a Hamiltonian that cannot share the weights, a
            checkpoint of another run, or nothing to resume.
    """
    cure = "give a Hamiltonian, e.g. arl.hamiltonian('ising', supercell=(4, 4)), or a list of them"
    prior = hamiltonian if isinstance(hamiltonian, ExpansionPrior) else None
    given = hamiltonian.family() if isinstance(hamiltonian, ExpansionPrior) else hamiltonian
    several: list[Hamiltonian] = [given] if isinstance(given, Hamiltonian) else items_of("hamiltonian", given, Hamiltonian, cure)
    if prior is None and any(isinstance(each, ClusterFamily) for each in several):
        raise InputError("hamiltonian", several[0].name, "a family trains by its prior; give an ExpansionPrior, or a list of Hamiltonians")
    options = training if isinstance(training, TrainingOptions) else TrainingOptions.parse({} if training is None else training, "training")
    if folder is not None:
        path_text("folder", folder)
    if time_limit is not None:
        finite_number("time_limit", time_limit, 0)
    supercells = items_of("supercells", supercells, Hamiltonian, "give a list of Hamiltonians")
    if resume and options.seed is None and folder is not None:
        options = options.model_copy(update={"seed": checkpoint_seed(Path(folder) / CHECKPOINT)})
    if prior is not None and supercells:
        raise InputError("supercells", len(supercells), "a family of alloys is trained on its own supercell alone; leave them away")
    if not several:
        raise InputError("hamiltonian", several, cure)
    checked, place = check_states(states), training_device(device)
    setup = set_up([*several, *supercells], checked, place, model, model_options, options, start)
    if setup.choices and prior is None:
        warn_outside(several[0], checked)
    trainer = Trainer(several, states, setup.model, setup.model_options, setup.training, place, start, supercells, setup.choices, prior)
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
            for machines without its plugin; they must be of the name and options in the run file. Of several, the first one's.
    """
    path_text("folder", folder)
    read = _read(config, hamiltonian_file)
    return train(
        read.hamiltonians if config.family is None else config.family,
        config.states,
        model=read.model,
        model_options=read.model_options,
        training=config.training,
        supercells=read.supercells,
        folder=folder,
        start=start,
        resume=resume,
        device=device,
        time_limit=time_limit,
        progress=progress,
    )


def explanation(
    config: RunConfig, *, start: str | Path | None = None, device: str | None = None, hamiltonian_file: str | Path | None = None
) -> str:
    """What `run` would choose, and why, a line each; then where the compositions change. Nothing is trained."""
    read, states, place = _read(config, hamiltonian_file), check_states(config.states), training_device(device)
    all_of_them = [*read.hamiltonians, *read.supercells]
    setup = set_up(all_of_them, states, place, read.model, read.model_options, config.training, start)
    lines = [str(choice) for choice in setup.choices] or ["nothing is chosen: the file has both a model and entries of [training]"]
    ends = crossings(all_of_them[0], states.corners()) if config.family is None else []
    return "\n".join([*lines, *map(str, ends)])


class _Read(NamedTuple):
    """What the tables of a run file build."""

    hamiltonians: list[Hamiltonian]
    supercells: list[Hamiltonian]
    model: str | None
    model_options: Options | None


def _read(config: RunConfig, hamiltonian_file: str | Path | None) -> _Read:
    model, given = _split(config.model) if config.model is not None else (None, {})
    checked = default_manager().models[model].parse_options(given, "model") if model is not None and given else None
    if config.family is not None and hamiltonian_file is not None:
        raise InputError("hamiltonian file", str(hamiltonian_file), "the run file has a table [family]; leave the file away")
    if config.family is not None:
        return _Read([config.family.family()], [], model, checked)
    if not config.hamiltonians:
        raise InputError("hamiltonian", [], "give at least one table [hamiltonian]")
    first, *others = config.hamiltonians
    name, options = _split(first)
    current_names = default_manager().hamiltonians.current_names
    options = current_names(name, options)
    if hamiltonian_file is None:
        hamiltonian = build_hamiltonian(name, options, "hamiltonian")
    else:
        hamiltonian = load_compiled(hamiltonian_file, name, options, "hamiltonian file")
    hamiltonians = [hamiltonian, *(build_hamiltonian(*_split(table), f"hamiltonian.{i}") for i, table in enumerate(others, 1))]
    supercells = [
        build_hamiltonian(name, options | current_names(name, more), f"supercells.{i}") for i, more in enumerate(config.supercells)
    ]
    return _Read(hamiltonians, supercells, model, checked)


def _split(table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    options = dict(table)
    return options.pop("name"), options
