"""The weights of a run: drawn anew or those of a trained model, on every Hamiltonian, with the scaling of states of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.checkpoint import load
from arlattice.models.prior import KEY as FAMILY
from arlattice.same_shape import check_same_shape

__all__ = ["as_started", "move_average", "move_states", "new_model", "scale_states", "start_from"]


def new_model(
    name: str, hamiltonian: Hamiltonian, model_options: Options | dict[str, Any] | None, ensemble: type[Ensemble], seed: int
) -> Model:
    """A model of a kind of states, with the weights of a seed."""
    model = build_model(name, hamiltonian, model_options, "model", by_hand=True, ensemble=ensemble)
    model.initialise(seed)
    return model


def as_started(start: str | Path, hamiltonians: Sequence[Hamiltonian]) -> tuple[list[Hamiltonian], dict[str, Any]]:
    """The Hamiltonians of a run as the model that it starts from takes them, and what the record of the run keeps of that model.

    A model of any alloy takes alloys on its sites alone; black boxes get clusters by a fit (`arlattice.fitted_clusters`).

    Raises:
        InputError: a Hamiltonian that is not on the sites of such a model.
    """
    started = load(start)
    if started.probes is None:
        return [*hamiltonians], {}
    for hamiltonian in hamiltonians:
        check_same_shape(started.lattice, hamiltonian)
    return [started.with_clusters(h) for h in hamiltonians], {key: started.record[key] for key in (FAMILY,) if key in started.record}


def start_from(start: str | Path, models: Sequence[Model]) -> dict[str, Any]:
    """Give models the weights and the scaling of states of a trained one, of this or another supercell.

    Returns:
        What the record of the run says of it; ``seconds`` are those of its training, with what it started from.

    Raises:
        InputError: a model of another family, other options or other species.
    """
    started = load(start)
    for model in models:  # heads change it at equal shapes
        if (started.name, started.options) != (model.name, model.options):
            raise InputError("start", str(start), _difference(started, model))
    try:
        for model in models:
            model.adopt(started)
    except RuntimeError:
        cure = "has weights of other shapes, for a supercell of other scales or for other species"
        raise InputError("start", str(start), cure) from None
    earlier = [record.get("seconds") for record in (started.record, started.record.get("start", {}))]
    return {"model": str(start), "fingerprint": started.fingerprint, "seconds": round(sum(s for s in earlier if s), 1)}


def _difference(started: Model, model: Model) -> str:
    """What is other in a model that cannot start a run."""
    if started.name != model.name:
        return f"is a {started.name}, the run trains a {model.name}"
    theirs, ours = (each.options.model_dump(mode="json") for each in (started, model))
    other = [f"{name} = {value}, not {ours[name]}" for name, value in theirs.items() if value != ours[name]]
    return f"was trained with other options: {'; '.join(other)}"


def scale_states(models: Sequence[Model], grids: Sequence[Conditions]) -> None:
    """Scale the features of states to those of all Hamiltonians together."""
    together = Conditions.concatenate(grids)
    for model in models:
        model.set_state_range(together.to(model.device, torch.float64))


def move_states(models: Sequence[Model], grids: Sequence[Conditions]) -> None:
    """The same for weights that were trained on other states; what the networks compute stays (`Model.move_state_range`)."""
    together = Conditions.concatenate(grids)
    for model in models:
        model.move_state_range(together.to(model.device, torch.float64))


@torch.no_grad()
def move_average(average: list[Tensor], weights: list[Tensor], decay: float) -> None:
    """One step of an exponential moving average of the weights, in place."""
    torch._foreach_lerp_(average, weights, 1 - decay)
