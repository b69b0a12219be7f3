"""One job: train, load or paint its model, measure it, and leave ``result.json`` in its run folder.

A finished run is loaded, an unfinished one goes on from its checkpoint, and a result that was made with the same settings
is not made again. So jobs can run in any number of processes, and a table is put together from what they left.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.io.records import read_json, write_record
from arlattice.models.base import Model
from arlattice.models.checkpoint import load, read_record
from arlattice.random_numbers import known_seed
from arlattice.samples import SampleSet
from arlattice_bench.cost import Cost, measured
from arlattice_bench.job import Job
from arlattice_bench.memory import measure_memory
from arlattice_bench.origin import device_name, versions
from arlattice_bench.result import read_result
from arlattice_bench.settings import Settings
from arlattice_bench.system import Condition

__all__ = ["Unfinished", "evaluate", "model_of", "run", "specification", "state_figures", "steps_done"]


_CONFIG: dict[str, Any] = {"hamiltonian": dict, "states": (dict, list), "model": dict, "training": dict}


class Unfinished(Exception):  # noqa: N818  # not an error: the next call goes on
    """Training stopped at the time limit; says how far it came."""


def run(job: Job, settings: Settings) -> dict[str, Any]:
    """The result of a job, from its file if it is there already.

    Raises:
        Unfinished: training stopped at the time limit.
        InputError: the run folder holds a run made with other settings.
    """
    path, settings = settings.folder(job) / "result.json", settings.seeded(job)
    asked = specification(job, settings)
    if path.is_file():
        stored = read_result(path)
        if stored["specification"] == asked:
            return stored
    measure = _memory if job.kind == "memory" else _measured
    result = {"row": job.row, "system": job.system.name, "how": job.how, "specification": asked, **measure(job, settings)}
    result |= {"command": settings.command(job), "device": device_name(settings.device), **versions()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, _plain(result))
    return result


def specification(job: Job, settings: Settings) -> dict[str, Any]:
    """What the result of a job depends on, as plain data."""
    source = None if job.painted_from is None else specification(job.painted_from, settings)
    described = {
        **job.system.describe(),
        "measured_at": {c.label: [state.to_dict() for state in c.states] for c in job.system.conditions},
        "model": {"name": job.family, **job.options},
        "training": {**job.training, "seed": settings.seed},
        "supercells": job.supercells,
        "painted_from": source,
        "painting": job.painting,
        "samples": settings.samples,
    }
    plain: dict[str, Any] = _plain(described)
    return plain


def _memory(job: Job, settings: Settings) -> dict[str, Any]:
    return {"memory": measure_memory(job, settings)}


def _measured(job: Job, settings: Settings) -> dict[str, Any]:
    model = model_of(job, settings)
    started = time.monotonic()
    conditions = evaluate(model, job.system.conditions, settings)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "cost": Cost.read(settings.folder(_trained(job))).describe(),
        "evaluation_seconds": time.monotonic() - started,
        "conditions": conditions,
    }


# -- the model -------------------------------------------------------------------------------------


def model_of(job: Job, settings: Settings) -> Model:
    """The finished model of a job on its system: loaded, trained to the end, or painted.

    Raises:
        Unfinished: training stopped at the time limit.
    """
    model = _trained_model(_trained(job), settings)
    if job.painted_from is None:
        return model.on(settings.build(job)) if job.supercells else model
    from arlattice.models.painted import paint

    return paint(model, settings.build(job), **job.painting)


def _trained(job: Job) -> Job:
    """The job that is trained: itself, or the one whose model paints."""
    return job.painted_from or job


def _trained_model(job: Job, settings: Settings) -> Model:
    folder = settings.folder(job)
    _check_same(folder, job, settings)
    if (folder / "model" / "model.safetensors").is_file():
        model = load(folder, device=str(settings.device))
        if _steps(model.record, folder) == job.training["steps"]:
            return model
    model = _train(job, settings, folder)
    if model.record["steps"] < job.training["steps"]:
        raise Unfinished(f"{model.record['steps']:,} of {job.training['steps']:,} steps; the same command goes on")
    return model


def _train(job: Job, settings: Settings, folder: Path) -> Model:
    from arlattice.training.health import TrainingWarning
    from arlattice.training.train import train

    hamiltonian, *further = _hamiltonians(job, settings)
    with measured(folder, settings.device), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the time limit was reached", TrainingWarning)  # `Unfinished` says it
        return train(
            hamiltonian,
            job.system.trained_on,
            model=job.family,
            model_options=dict(job.options),
            training={**job.training, "seed": settings.seed},
            supercells=further,
            folder=folder,
            resume=(folder / "checkpoint.safetensors").is_file(),
            device=settings.device,
            time_limit=settings.time_limit,
            progress=settings.progress,
        )


def _hamiltonians(job: Job, settings: Settings) -> list[Hamiltonian]:
    """What to train on: the system's own, or those of several sizes."""
    if not job.supercells:
        return [settings.build(job)]
    systems = [replace(job.system, name=_name(size), options={**job.system.options, **size}) for size in job.supercells]
    return [system.build(settings.hamiltonians) for system in systems]


def _name(size: Mapping[str, Any]) -> str:
    """``{"supercell": [6, 6]}`` -> ``"6x6"``."""
    return "x".join(str(n) for numbers in size.values() for n in numbers)


def steps_done(job: Job, settings: Settings) -> int:
    """Training steps of a job whose model is in its run folder."""
    path = settings.folder(job) / "model" / "model.json"
    return _steps(read_record(path.parent), path) if path.is_file() else 0


def _steps(record: Mapping[str, Any], path: Path) -> int:
    steps = record.get("steps", 0)
    if not isinstance(steps, int):
        raise InputError("--runs", str(path), "damaged: it does not say how long it was trained; remove the folder")
    return steps


def _check_same(folder: Path, job: Job, settings: Settings) -> None:
    """Refuse a run folder of other options, with the first that differs."""
    path = folder / "config.json"
    if not path.is_file():
        return
    config = read_json(path, "--runs")
    if not all(isinstance(config.get(table), kinds) for table, kinds in _CONFIG.items()):
        raise InputError("--runs", str(path), "damaged: a table is missing; remove the folder")
    states = job.system.describe()["trained_on"]
    asked = {
        "hamiltonian": {"name": job.system.hamiltonian},
        "states": {"trained on": states},
        "model": {"name": job.family, **job.options},
        "training": {**job.training, "seed": settings.seed},
    }
    trained_on = config["states"]
    found = config | {"states": {"trained on": trained_on[0] if isinstance(trained_on, list) and trained_on else trained_on}}
    for table, values in _plain(asked).items():
        for key, value in values.items():
            if found[table].get(key) != value:
                cure = f"holds a run with {key} = {found[table].get(key)}, this row asks for {value}; remove it or give another --runs"
                raise InputError("--runs", str(folder), cure)


# -- measuring -------------------------------------------------------------------------------------


def evaluate(model: Model, conditions: Sequence[Condition], settings: Settings) -> list[dict[str, Any]]:
    """Samples of every condition in every order worth reporting: one entry a condition and order."""
    found, first = [], known_seed(settings.seed) + 1
    for condition in conditions:
        n = math.ceil(settings.samples / len(condition.states))
        for order in _orders(model):
            seeds = range(first, first + len(condition.states))
            states = [_state(model, state, n, order, seed, settings) for state, seed in zip(condition.states, seeds, strict=True)]
            found.append({"condition": condition.label, "order": order, "states": states})
    return found


def _orders(model: Model) -> list[str]:
    """The family's default order, and those that any-order models are compared in."""
    return list(dict.fromkeys([model.orders[0], *(order for order in ("coarse-to-fine", "random") if order in model.orders)]))


def _state(model: Model, state: Ensemble, n: int, order: str, seed: int, settings: Settings) -> dict[str, Any]:
    return state_figures(model.sample(n, state, order=order, seed=seed, progress=settings.progress))


def state_figures(samples: SampleSet) -> dict[str, Any]:
    """Bound, log Z, ESS, and the plain mean composition, which shows a lost mode that symmetry should balance."""
    elbo, log_z = samples.elbo(), samples.log_z()
    return {
        "state": samples.state.to_dict(),
        "samples": len(samples),
        "elbo": elbo.value,
        "elbo_error": elbo.error,
        "log_z": log_z.value,
        "log_z_error": log_z.error,
        "ess": samples.ess,
        "composition": dict(zip(samples.lattice.species, samples.composition.mean(0).tolist(), strict=True)),
    }


def _plain(value: Any) -> Any:
    """What JSON would make of it; numbers that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
