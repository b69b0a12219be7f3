"""Trained models on disk: a folder of ``model.safetensors`` (everything) and ``model.json`` (what a person reads of it).

The Hamiltonian is stored too: its name and options, and for cluster Hamiltonians the compiled tables, so that
a trained model samples on machines without the code that built it. Nothing is ever unpickled.

A folder is overwritten in one step: ``model.safetensors`` is replaced whole, and holds the record too. ``model.json`` goes before it and
comes back after it, so a writer that is killed leaves no record beside weights that it does not belong to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arlattice.arguments import of_type, one_of, path_text
from arlattice.build import build_hamiltonian, ensemble_class
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.device import check_device
from arlattice.ensemble import SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.fitted_clusters import FittedClusters
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.by_hand import without_by_hand
from arlattice.io.digest import KEY, check, digest
from arlattice.io.files import replacing_pair, turn, writing
from arlattice.io.records import plain, read_json, read_tensors, write_record, write_tensors
from arlattice.models.base import PRECISIONS, Model
from arlattice.models.build import build_model
from arlattice.models.family_arguments import has_own_features

__all__ = ["load", "read_record", "save", "shipped_models"]

FORMAT = "arlattice-model-1"
_SHIPPED = Path(__file__).parent.parent / "pretrained"
_WEIGHTS = f"weights_{KEY}"


def shipped_models() -> list[str]:
    """Names of the trained models that come with arlattice."""
    return sorted(p.parent.name for p in _SHIPPED.glob("*/model.safetensors"))


def read_record(name_or_folder: str | Path) -> dict[str, Any]:
    """How a trained model was made and what it measured: the ``record`` of its ``model.json``."""
    described, _, description = _read(_folder(name_or_folder))
    return dict((described or description).get("record", {}))


def save(model: Model, folder: str | Path) -> None:
    """Write a model into a folder (made if absent), in one step: after a failure the folder holds what it held before."""
    folder = Path(folder)
    tensors, description = model_to_tensors(model)
    description["record"] = plain(model.record)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with replacing_pair(folder, "model.safetensors", "model.json") as temporary:
        write_tensors(temporary / "model.safetensors", tensors, description)
        describe(temporary, tensors, description, model.record)


def describe(folder: Path, tensors: dict[str, Tensor], description: dict[str, Any], record: dict[str, Any]) -> None:
    """Write the ``model.json`` of a folder: the description without the compiled tables, the record, the digest of the weights file.

    Args:
        folder: of the model.
        tensors, description: what its ``model.safetensors`` holds.
        record: how it was made and what it measured.
    """
    readable = {key: value for key, value in description.items() if key not in ("compiled", "fitted")}
    write_record(folder / "model.json", {**readable, "record": record, _WEIGHTS: digest([plain(description), tensors])})


def load(
    model: str | Path, *, hamiltonian: Hamiltonian | None = None, device: str | torch.device = "cpu", precision: str = "float32"
) -> Model:
    """Load a trained model.

    Args:
        model: the name of a shipped model (`shipped_models`), or a folder that `Model.save` or a run wrote.
        hamiltonian: the Hamiltonian, for black boxes that cannot be rebuilt by name, or to insist on one; for a model of any alloy
            (one that reads probes) that of the alloy.
        device: where to put the weights.
        precision: arithmetic of the network, ``"float32"`` or ``"bfloat16"``, which is meant for a GPU. The model of each is another,
            with log-probabilities of its own: weigh configurations with the one that drew them.

    Raises:
        InputError: no such model, a damaged file, or a model of another Hamiltonian.

    Warns:
        UncheckedWarning: the model carries no digest.
    """
    if hamiltonian is not None:
        of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian")
    one_of("precision", precision, PRECISIONS)
    described, tensors, description = _read(_folder(model))
    if description.get("format") != FORMAT:
        raise InputError("model", str(model), f"not a trained model (format {FORMAT})")
    options = description.get("model_options")
    any_alloy = isinstance(options, dict) and options.get("reads") == "probes"
    other = hamiltonian is not None and hamiltonian.fingerprint != description.get("hamiltonian_fingerprint")
    alloy = hamiltonian if any_alloy and other else None
    loaded = model_from_tensors(tensors, description, hamiltonian if alloy is None else None)
    loaded.record = dict((described or description).get("record", {}))
    loaded.precision = precision
    loaded = loaded.to(check_device(device)).eval()
    return loaded if alloy is None else loaded.on(alloy)


def model_to_tensors(model: Model) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights with the compiled Hamiltonian's tables, and a plain description."""
    hamiltonian = model.hamiltonian
    tensors = {f"weights.{key}": t.detach().cpu().contiguous() for key, t in model.state_dict().items()}
    description: dict[str, Any] = {
        "format": FORMAT,
        "model": model.name,
        "model_options": without_by_hand(model.options.model_dump(mode="json"), type(model.options)),
        "hamiltonian_fingerprint": hamiltonian.fingerprint,
        "hamiltonian": {"name": hamiltonian.name, "options": json.loads(json.dumps(dict(hamiltonian.options)))},
    }
    if has_own_features(model.ensemble, model.lattice):
        description["ensemble"] = model.ensemble.name
    if isinstance(hamiltonian, FittedClusters):
        tables, description["fitted"] = hamiltonian.expansion.to_tensors()
        tensors |= {f"fitted.{key}": t for key, t in tables.items()}
    if isinstance(hamiltonian, ClusterHamiltonian):
        tables, compiled = hamiltonian.to_tensors()
        tensors |= {f"hamiltonian.{key}": t for key, t in tables.items()}
        description["compiled"] = compiled
    return tensors, description


def model_from_tensors(tensors: dict[str, Tensor], description: dict[str, Any], hamiltonian: Hamiltonian | None) -> Model:
    """The model that `model_to_tensors` described."""
    try:
        found = hamiltonian or _rebuild(tensors, description)
        if found.fingerprint != description["hamiltonian_fingerprint"]:
            raise InputError(
                "hamiltonian",
                found.name,
                f"its lattice, species or energies are not those this model was trained for ({description['hamiltonian']})",
            )
        if "fitted" in description:
            fitted = {key.removeprefix("fitted."): t for key, t in tensors.items() if key.startswith("fitted.")}
            found = FittedClusters(found, ClusterHamiltonian.from_tensors(fitted, description["fitted"]))
        ensemble = ensemble_class(description.get("ensemble", SemiGrandCanonical.name))
        model = build_model(description["model"], found, description["model_options"], ensemble=ensemble)
        model.load_state_dict({key.removeprefix("weights."): t for key, t in tensors.items() if key.startswith("weights.")})
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError("model", description.get("model"), f"damaged: weights and description do not agree ({reason})") from None
    return model


def _rebuild(tensors: dict[str, Tensor], description: dict[str, Any]) -> Hamiltonian:
    if "compiled" in description:
        tables = {key.removeprefix("hamiltonian."): t for key, t in tensors.items() if key.startswith("hamiltonian.")}
        return ClusterHamiltonian.from_tensors(tables, description["compiled"])
    spec = description["hamiltonian"]
    return build_hamiltonian(spec["name"], spec["options"])


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """What ``model.json`` says, and the weights with their description; refused if they do not belong together."""
    with turn(folder, shared=True):  # another process may be overwriting it
        described = _readable(folder)
        return described, *read_tensors(folder / "model.safetensors", "model", described.get(_WEIGHTS))


def _readable(folder: Path) -> dict[str, Any]:
    """What ``model.json`` says; empty where a writer was killed before it came back. Its digest is checked if anything of it has one."""
    path = folder / "model.json"
    if not path.is_file():
        return {}
    described = read_json(path, "model")
    found = described.pop(KEY, None)
    if found is not None or _WEIGHTS in described:
        check(found, digest(described), "model", path)
    if not isinstance(described.get("record"), dict):
        raise InputError("model", str(path), "damaged: it holds no record; remove it")
    return described


def _folder(name_or_folder: str | Path) -> Path:
    given = Path(path_text("model", name_or_folder))
    for folder in (given, given / "model", _SHIPPED / str(name_or_folder)):
        if (folder / "model.safetensors").is_file():
            return folder
    raise InputError(
        "model",
        str(name_or_folder),
        f"neither a folder with model.safetensors nor a shipped model ({', '.join(shipped_models()) or 'none'})",
    )
