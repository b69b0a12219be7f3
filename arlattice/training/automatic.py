"""A run whose user leaves things open: the rest is chosen from lattice, states and device, with a reason for each choice.

What is given stays. ``[model]`` is chosen as a whole, ``[training]`` entry by entry. A run by hand has a model and entries of
``[training]``; nothing is chosen there, and what it leaves open has its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from arlattice.cluster_family import ClusterFamily
from arlattice.device import check_device
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.checkpoint import load
from arlattice.training.config import TrainingOptions
from arlattice.training.ranks import Ranks
from arlattice.training.rules import RULES, Rule, Situation
from arlattice.training.soft_targets import is_black_box
from arlattice.training.states import States

__all__ = ["Choice", "Setup", "set_up", "training_device"]


_ANY_RUN = {"training.seed"}
"""Entries that do not make a run one by hand: a resumed run has its seed from the checkpoint."""


@dataclass(frozen=True)
class Choice:
    """One entry that was chosen.

    Attributes:
        entry: ``"model.NAME"`` or ``"training.NAME"``.
        value: chosen.
        reason: in plain words.
    """

    entry: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.entry} = {self.value}: {self.reason}"


@dataclass(frozen=True)
class Setup:
    """How a run is set up.

    Attributes:
        model: name of the family.
        model_options: of the family; None: its defaults.
        training: all of them.
        choices: what was chosen, in the order of the rules; empty for a run by hand.
    """

    model: str
    model_options: Options | dict[str, Any] | None
    training: TrainingOptions
    choices: tuple[Choice, ...] = ()


def training_device(device: str | torch.device | None) -> torch.device:
    """The device of a run, of several processes that of this one; None takes a GPU if there is one.

    Raises:
        InputError: not a device of this machine.
    """
    return check_device(Ranks.own_device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu")))


def set_up(
    hamiltonians: Sequence[Hamiltonian],
    states: States,
    device: torch.device,
    model: str | None,
    model_options: Options | dict[str, Any] | None,
    training: TrainingOptions,
    start: str | Path | None = None,
    rules: Sequence[Rule] = RULES,
) -> Setup:
    """Choose what is open.

    Args:
        hamiltonians: all that share the weights.
        states: to train on.
        device: of the run.
        model: name of the family, or None.
        model_options: its options, or None; without a name they are the any-order transformer's.
        training: its entries that were set (`pydantic.BaseModel.model_fields_set`) stay.
        start: a trained model to start from, whose family and options a run takes that names none.
        rules: the list.
    """
    reason = ""
    if model is None and model_options is None and start is not None:
        started = load(start)
        model, model_options, reason = started.name, started.options, "as the model that the run starts from"
    elif model is None and model_options is not None:
        model = "any-order-transformer"
    given = {f"training.{name}": getattr(training, name) for name in training.model_fields_set}
    if model is not None and not given.keys() <= _ANY_RUN and not reason:
        return Setup(model, model_options, training)
    if model is not None:
        given["model.name"] = model
    situation = _situation(hamiltonians, states, device, given, start is not None)
    chosen = _apply(situation, rules, closed="model." if model_options is not None else "")
    sizes, options = ({c.entry.removeprefix(t): c.value for c in chosen if c.entry.startswith(t)} for t in ("model.", "training."))
    family = sizes.pop("name", model)
    named = [Choice("model.name", model, reason)] if reason else []
    trained = TrainingOptions.parse(training.model_dump(exclude_unset=True) | options, "training")
    return Setup(family, sizes if model_options is None else model_options, trained, (*named, *chosen))


def _situation(
    hamiltonians: Sequence[Hamiltonian], states: States, device: torch.device, given: dict[str, Any], started: bool
) -> Situation:
    supercells = {h.lattice.fingerprint for h in hamiltonians}
    sites, black_box = max(h.lattice.n_sites for h in hamiltonians), any(map(is_black_box, hamiltonians))
    members = sum(len(h) for h in hamiltonians if isinstance(h, ClusterFamily))
    return Situation(sites, device.type == "cuda", black_box, len(supercells), states.cells, members, started, given)


def _apply(situation: Situation, rules: Sequence[Rule], closed: str) -> list[Choice]:
    """What the rules choose, each seeing what those before it chose; nothing in the table that is closed."""
    chosen = []
    for rule in rules:
        if rule.entry in situation.entries or (closed and rule.entry.startswith(closed)) or not rule.when(situation):
            continue
        chosen.append(Choice(rule.entry, rule.chosen(situation), rule.reason))
        situation = replace(situation, entries=situation.entries | {rule.entry: chosen[-1].value})
    return chosen
