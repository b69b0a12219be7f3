"""What a `SampleSet` refuses: shapes and values that do not fit, told in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.lattice import Lattice

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = [
    "check_same",
    "checked_known",
    "checked_log_prob",
    "checked_metadata",
    "checked_order",
    "checked_stream",
    "differing_options",
    "one_each",
]

_HIGHEST_LOG_PROB = 1e-3  # zero, but for the rounding of a float32 model


def _cpu(argument: str, values: Any) -> Tensor:
    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(argument, values, "give numbers, as a tensor, an array or a list") from None


def one_each(argument: str, values: Any, n: int) -> Tensor:
    """One finite float64 number a sample, (n,)."""
    tensor = _cpu(argument, values).double()
    if tensor.shape != (n,):
        raise InputError(argument, tuple(tensor.shape), f"give one value per sample, shape ({n},)")
    if not bool(tensor.isfinite().all()):
        raise InputError(argument, float(tensor[~tensor.isfinite()][0]), "give finite numbers")
    return tensor


def checked_log_prob(values: Any, n: int) -> Tensor:
    """Log-probabilities, (n,), none above 0."""
    tensor = one_each("log_prob", values, n)
    if float(tensor.max()) > _HIGHEST_LOG_PROB:
        raise InputError("log_prob", float(tensor.max()), "a log-probability is at most 0")
    return tensor


def checked_order(values: Any, occupations: Tensor) -> Tensor:
    """Permutations of the sites, (n, sites)."""
    tensor, n_sites = _cpu("order", values).long(), occupations.shape[1]
    if tensor.shape != occupations.shape or not _are_permutations(tensor):
        raise InputError("order", tuple(tensor.shape), f"give a permutation of the {n_sites} sites for each sample")
    return tensor


def _are_permutations(order: Tensor) -> bool:
    """Whether every row holds each number below its length once."""
    least, most = order.aminmax()
    if least < 0 or most >= order.shape[1]:
        return False
    return bool(torch.zeros(order.shape, dtype=torch.bool).scatter_(1, order, True).all())


def checked_known(values: Any, occupations: Tensor, lattice: Lattice) -> Tensor:
    """Given occupations, -1 where drawn, (sites,), which every sample holds."""
    tensor = _cpu("known", values)
    if tensor.shape != (lattice.n_sites,):
        raise InputError("known", tuple(tensor.shape), f"give one occupation per site, -1 where drawn, shape ({lattice.n_sites},)")
    tensor = lattice.check_occupations(tensor, allow_unknown=True, argument="known")[0]
    if bool(((occupations != tensor) & (tensor >= 0)).any()):
        raise InputError("known", tensor.tolist(), "the samples must hold the known species on the known sites")
    return tensor


def checked_stream(values: Any, n: int) -> Tensor:
    """Seed, purpose and number of every sample, (n, 3), int64."""
    tensor = _cpu("stream", values)
    if tensor.shape != (n, 3) or tensor.is_floating_point():
        raise InputError("stream", tuple(tensor.shape), f"give seed, purpose and number of every sample, whole numbers of shape ({n}, 3)")
    return tensor.long()


def checked_metadata(given: Mapping[str, str | int | float | bool] | None) -> dict[str, str | int | float | bool]:
    """Plain facts by name."""
    if given is not None and not isinstance(given, Mapping):
        raise InputError("metadata", given, "give plain facts by name")
    for key, value in (given or {}).items():
        if not (isinstance(key, str) and key.isascii() and key.isidentifier()):
            raise InputError("metadata", key, "keys are plain identifiers")
        if not _is_plain(value):
            raise InputError(f"metadata[{key}]", value, "give a line of text, a 64-bit int, a bool or a finite float")
    return dict(given or {})


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value.isprintable() if isinstance(value, str) else isinstance(value, int) and abs(value) < 2**64


def check_same(first: SampleSet, other: SampleSet) -> None:
    """Whether two sets may be joined."""
    facts: dict[str, Callable[[SampleSet], Any]] = {
        "lattice": lambda s: s.lattice.fingerprint,
        "hamiltonian_fingerprint": lambda s: s.metadata.get("hamiltonian_fingerprint"),
        "state": lambda s: s.state,
        "units": lambda s: s.units,
        "known": lambda s: None if s.known is None else s.known.tolist(),
        "log_prob": lambda s: s.log_prob is None,
    }
    for name, fact in facts.items():
        if fact(first) != fact(other):
            cure = "join samples of one lattice, Hamiltonian, state, units, known sites and kind"
            raise InputError("sets", f"{name} differs{differing_options((first, other))}", cure)


def differing_options(sets: Sequence[SampleSet]) -> str:
    """How the Hamiltonians of sets differ, e.g. `` (formation_energies: true, false)``; empty if their options do not say."""
    options = [_recorded_options(s) for s in sets]
    values = {key: list(dict.fromkeys(json.dumps(o.get(key)) for o in options)) for o in options for key in o}
    differ = "; ".join(f"{key}: {', '.join(each)}" for key, each in values.items() if len(each) > 1)
    return f" ({differ})" if differ else ""


def _recorded_options(samples: SampleSet) -> dict[str, Any]:
    """Options of the Hamiltonian by their names of today: samples of an earlier release may have recorded others."""
    from arlattice.hooks.manager import default_manager

    recorded = json.loads(str(samples.metadata.get("hamiltonian_options", "{}")))
    return default_manager().hamiltonians.current_names(str(samples.metadata.get("hamiltonian")), recorded)
