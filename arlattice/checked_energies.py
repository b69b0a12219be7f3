"""What callers give to a Hamiltonian is checked around its methods, a stranger's subclass included.

A subclass implements `energy` and perhaps others of `CHECKS`; each is wrapped when the class is made. The wrapper checks the
arguments, then calls the method. Loops whose configurations are right by construction (Monte Carlo, training, drawing) use
`Hamiltonian.unchecked`, for which the wrapper calls the method at once: nothing is read from a GPU, recorded graphs and
compiled code hold no checks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import isfunction
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from arlattice.errors import InputError

if TYPE_CHECKING:
    from arlattice.lattice import Lattice

__all__ = ["CHECKS", "check_methods", "checked"]

Method = TypeVar("Method", bound=Callable[..., Tensor])
Arguments = tuple[Any, ...]

_inside: ContextVar[bool] = ContextVar("arlattice_inside_a_checked_method", default=False)
"""What one method of a Hamiltonian gives to another is not checked again."""


def checked(method: Method) -> Method:
    """The method of a Hamiltonian, its arguments checked first unless the Hamiltonian is `unchecked`."""
    check = CHECKS[method.__name__]

    @wraps(method)
    def call(self: Any, *arguments: Any, **named: Any) -> Tensor:
        if not self.checks or _inside.get():
            return method(self, *arguments, **named)
        tensors = check(self.lattice, *arguments, **named)
        token = _inside.set(True)
        try:
            return method(self, *tensors)
        finally:
            _inside.reset(token)

    return call  # type: ignore[return-value]


def check_methods(kind: type) -> None:
    """Wrap the methods that a class defines itself."""
    for name in CHECKS:
        if isfunction(method := vars(kind).get(name)):
            setattr(kind, name, checked(method))


def _occupations(lattice: Lattice, occupations: Any) -> Arguments:
    return (lattice.check_occupations(occupations),)


def _site(lattice: Lattice, occupations: Any, site: Any) -> Arguments:
    rows = lattice.check_occupations(occupations)
    return rows, _check_sites(lattice, rows, site, "site")


def _unplaced_site(lattice: Lattice, occupations: Any, site: Any) -> Arguments:
    rows = lattice.check_occupations(occupations, allow_unknown=True)
    if (several := _indices(site, "site")).ndim == 2 and len(several) == len(rows):
        return rows, _check_sites(lattice, rows.new_zeros(several.numel(), 1), several.flatten(), "site").view(several.shape)
    return rows, _check_sites(lattice, rows, site, "site")


def _pair(lattice: Lattice, occupations: Any, first: Any, second: Any) -> Arguments:
    rows = lattice.check_occupations(occupations)
    a, b = (_check_sites(lattice, rows, site, name).expand(len(rows)) for site, name in ((first, "first"), (second, "second")))
    _check_fits(lattice, rows, a, b)
    return rows, a, b


def _order(lattice: Lattice, occupations: Any, order: Any) -> Arguments:
    rows = lattice.check_occupations(occupations)
    given = _indices(order, "order").to(rows.device)
    sites = torch.arange(lattice.n_sites, device=rows.device)
    if given.shape not in (sites.shape, rows.shape) or not bool((given.sort(-1).values == sites).all()):
        raise InputError("order", order, f"give permutations of the {lattice.n_sites} sites, one for each configuration")
    return rows, given.expand(rows.shape)


CHECKS: dict[str, Callable[..., Arguments]] = {
    "energy": _occupations,
    "site_energies": _site,
    "flip_differences": _occupations,
    "swap_differences": _pair,
    "completed_energies": _order,
    "completed_site_energies": _unplaced_site,
}
"""Method -> the check of its arguments, which gives them back as tensors."""


def _indices(given: Any, argument: str) -> Tensor:
    try:
        tensor = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(argument, given, "give site numbers") from None
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype == torch.bool:
        raise InputError(argument, str(tensor.dtype), "give site numbers, integers")
    return tensor.long()


def _check_sites(lattice: Lattice, rows: Tensor, site: Any, argument: str) -> Tensor:
    tensor = _indices(site, argument).to(rows.device)
    if tensor.shape not in ((), (1,), rows.shape[:1]):
        raise InputError(argument, tuple(tensor.shape), f"give one site, or one for each of the {len(rows)} configurations")
    outside = (tensor < 0) | (tensor >= lattice.n_sites)
    if bool(outside.any()):
        raise InputError(argument, int(tensor[outside][0]), f"site numbers run from 0 to {lattice.n_sites - 1}")
    return tensor.reshape(-1)


def _check_fits(lattice: Lattice, rows: Tensor, a: Tensor, b: Tensor) -> None:
    """A swap must not put a species on a site that may not hold it."""
    allowed = lattice.allowed.to(rows.device)
    species = rows.gather(1, torch.stack([b, a], 1))
    fits = allowed[a, species[:, 0]] & allowed[b, species[:, 1]]
    if not bool(fits.all()):
        pair = [int(t[~fits][0]) for t in (a, b)]
        raise InputError("first, second", pair, "one of these sites may not hold the species of the other")
