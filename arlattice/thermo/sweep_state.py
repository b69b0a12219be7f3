"""One state of a sweep: draw until precise enough, average, and keep the result as a part file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from arlattice.ensemble import SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.hooks.options import Options
from arlattice.io.digest import KEY, check, digest
from arlattice.io.records import plain, read_json, write_record
from arlattice.random_numbers import HIGHEST_SEED, check_seed, known_seed
from arlattice.reliability import quiet
from arlattice.samples import SampleSet

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = [
    "Averages",
    "Result",
    "SweepOptions",
    "averages",
    "kept_seed",
    "largest_excess",
    "measure",
    "part_path",
    "read_part",
    "write_part",
]

FORMAT = "arlattice-sweep-part-1"

Averages = Mapping[str, Mapping[str, Estimate]]
"""Variable -> component -> estimate; a variable of one number has one component."""


class SweepOptions(Options):
    """How every state of a sweep is sampled: what its result depends on, besides model and state."""

    n: int = Field(1000, ge=2, description="samples drawn at once")
    max_samples: int = Field(1000, ge=2, description="samples after which a state is left as it is")
    target_error: dict[str, Annotated[float, Field(gt=0)]] = Field({}, description="standard errors to reach: variable -> error")
    observables: dict[str, dict[str, Any]] = Field({}, description="registered observables to average besides, with their options")
    order: str | None = Field(None, description="order in which sites are drawn")
    seed: int | None = Field(None, ge=0, le=HIGHEST_SEED, description="of all states together")


@dataclass(frozen=True)
class Result:
    """What was measured in one state.

    Args:
        averages: of every variable.
        ess: effective sample size as a fraction of the samples.
        samples: how many were drawn.
        khat: tail index of the weights, NaN where there is no tail to fit (`arlattice.thermo.pareto`).
    """

    averages: Averages
    ess: float
    samples: int
    khat: float = math.nan

    @property
    def effective(self) -> float:
        """Effective number of samples."""
        return self.ess * self.samples


def measure(model: Model, state: SemiGrandCanonical, options: SweepOptions, batch_size: int | None = None) -> Result:
    """Draw ``options.n`` samples, and more as long as an error is above its target and ``max_samples`` is not reached.

    All draws have the same size, so that a recorded CUDA graph serves every state. Their seeds depend on the state, not on
    its place in the grid.
    """
    seed, blocks = known_seed(options.seed), list[SampleSet]()
    wanted, most = 1, max(1, options.max_samples // options.n)
    while True:
        for k in range(len(blocks), wanted):
            blocks.append(model.sample(options.n, state, order=options.order, seed=_seed(seed, state, k), batch_size=batch_size))
        samples = SampleSet.concatenate(blocks)
        with quiet():  # the sweep says once for all states what there is to say
            found = averages(samples, options.observables)
        excess = largest_excess(found, options.target_error)
        if excess <= 1 or wanted == most:
            return Result(found, samples.ess, len(samples), samples.khat)
        wanted = min(most, 2 * wanted, math.ceil(wanted * min(1.05 * min(excess, 2) ** 2, 2)) + 1)


def averages(samples: SampleSet, observables: Mapping[str, Mapping[str, Any]]) -> Averages:
    """The thermodynamic averages of a set, per site, and those of further registered observables."""
    sites = samples.lattice.n_sites
    return {
        "log_z": {"value": samples.log_z()},
        "phi": {"value": _divided(samples.free_energy(), sites)},
        "entropy": {"value": _divided(samples.entropy(), sites)},
        "x": samples.means("composition"),
        **{name: samples.means(name) for name in ("energy_per_site", "heat_capacity", "susceptibility")},
        **{name: samples.means(name, **options) for name, options in observables.items()},
    }


def largest_excess(found: Averages, target_error: Mapping[str, float]) -> float:
    """The largest ratio of an error to its target; 0 without targets, infinite where an error is not a number.

    Args:
        found: the averages.
        target_error: ``"x"`` means all components of x, ``"x:Au"`` or ``"x_Au"`` one.

    Raises:
        InputError: a target for something that is not measured.
    """
    ratios = [e.error / target for name, target in target_error.items() for e in _named(found, name)]
    return max((ratio if math.isfinite(ratio) else math.inf for ratio in ratios), default=0.0)


def _named(found: Averages, name: str) -> list[Estimate]:
    variable, _, component = name.replace("x_", "x:", 1).partition(":") if name.startswith("x_") else name.partition(":")
    if variable not in found or (component and component not in found[variable]):
        known = [v if len(parts) == 1 else f"{v}:{c}" for v, parts in found.items() for c in parts]
        raise InputError("target_error", name, f"is not measured; one of {', '.join(known)}")
    return [found[variable][component]] if component else list(found[variable].values())


def _divided(estimate: Estimate, sites: int) -> Estimate:
    return Estimate(estimate.value / sites, estimate.error / sites)


def _seed(seed: int, state: SemiGrandCanonical, block: int) -> int:
    return int(_digest([seed, state.to_dict(), block]), 16) % 2**62


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


# -- part files ----------------------------------------------------------------------------------


def write_part(folder: Path, state: SemiGrandCanonical, settings: Mapping[str, Any], result: Result) -> None:
    """Keep the result of one state, whole or not at all."""
    record = {
        "format": FORMAT,
        "settings": settings,
        "state": state.to_dict(),
        "ess": result.ess,
        "samples": result.samples,
        "khat": result.khat if math.isfinite(result.khat) else None,
        "averages": {name: {key: list(e) for key, e in parts.items()} for name, parts in result.averages.items()},
    }
    write_record(part_path(folder, state), record)


def kept_seed(folder: Path | None) -> int | None:
    """The seed of the parts that a folder holds; None if it holds none that can be read."""
    for path in [] if folder is None else sorted(folder.glob("*.json")):
        try:
            return check_seed(read_json(path, "folder")["settings"]["seed"])
        except (InputError, KeyError, TypeError, ValueError):
            continue  # `read_part` says what is wrong with it
    return None


def read_part(folder: Path, state: SemiGrandCanonical, settings: Mapping[str, Any]) -> Result | None:
    """The result that is kept of a state; None if there is none.

    Raises:
        InputError: a damaged part, or one made with other settings.

    Warns:
        UncheckedWarning: parts that carry no digest; once for the folder.
    """
    path = part_path(folder, state)
    if not path.is_file():
        return None
    part = read_json(path, "folder")
    found = part.pop(KEY, None)
    check(found, digest(part), "folder", path if found else folder)
    try:
        kept, known = part["settings"], part["format"] == FORMAT and part["state"] == plain(state.to_dict())
        averages = {name: {key: Estimate(*map(float, e)) for key, e in parts.items()} for name, parts in part["averages"].items()}
        khat = part.get("khat")  # parts of the first version have none
        result = Result(averages, float(part["ess"]), int(part["samples"]), math.nan if khat is None else float(khat))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError("folder", str(path), "damaged, or not a part of a sweep; remove it") from None
    _check_same(path, kept if known else {}, settings)
    return result


def _check_same(path: Path, kept: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    for name, value in plain(settings).items():
        if kept.get(name) != value:
            cure = f"is a part made with {name} = {kept.get(name)!r}, not {value!r}; repeat that, name another output, or remove its folder"
            raise InputError("folder", str(path), cure)


def part_path(folder: Path, state: SemiGrandCanonical) -> Path:
    """Where the result of a state is kept."""
    return folder / f"{_digest(state.to_dict())}.json"
