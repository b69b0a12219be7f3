"""Drawing plans by the name under which a plugin registered their kind, and the kinds that ship."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from arlattice.decoding.orders import draw_orders, levels
from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager
from arlattice.lattice import Lattice
from arlattice.plan import Plan
from arlattice.random_numbers import Stream

__all__ = ["coarse_to_fine", "draw_plan", "levels_at_once", "random", "raster", "resolve_plan"]


def draw_plan(lattice: Lattice, n: int, kind: str, stream: Stream) -> Plan:
    """A plan of ``n`` rows of a registered kind.

    Args:
        lattice: of the configurations.
        n: number of configurations.
        kind: a registered name.
        stream: its random numbers, one sample a row; the plan is on its device.

    Raises:
        InputError: an unknown kind, or a plugin's plan that is none of this lattice.
    """
    registered = default_manager().plans
    if kind not in registered:
        raise InputError("order", kind, f"one of {_kinds()}, or a tensor of site numbers")
    made: Any = registered[kind].call(lattice, n, stream)
    with registered[kind].contained("returned no plan"):
        plan = Plan.of(made).to(stream.device)
        whole = torch.arange(lattice.n_sites, device=stream.device).expand(n, -1)
        if not torch.equal(plan.order.sort(1).values, whole):
            raise registered[kind].error(f"returned no plan of {n} rows, each a permutation of the {lattice.n_sites} sites")
    return plan


def resolve_plan(lattice: Lattice, n: int, plan: str | Plan | Tensor, stream: Stream) -> Plan:
    """A plan of ``n`` rows from a kind, a plan, or site numbers (sites,) or (n, sites).

    Raises:
        InputError: an unknown kind, or rows that are not permutations of the sites.
    """
    if isinstance(plan, str):
        return draw_plan(lattice, n, plan, stream)
    if isinstance(plan, Plan):
        rows = plan.order[0] if len(plan) == 1 else plan.order
        return Plan(_check_orders(lattice, n, rows).to(stream.device), plan.sizes)
    return Plan(_check_orders(lattice, n, _tensor(plan)).to(stream.device))


def _tensor(order: object) -> Tensor:
    try:
        return torch.as_tensor(order)
    except (TypeError, ValueError, RuntimeError):
        raise InputError("order", order, f"give one of {_kinds()}, or site numbers") from None


def _check_orders(lattice: Lattice, n: int, order: Tensor) -> Tensor:
    sites = lattice.n_sites
    if order.is_floating_point() or order.dtype == torch.bool or order.shape not in ((sites,), (n, sites)):
        raise InputError("order", tuple(order.shape), f"give site numbers of shape ({sites},) or ({n}, {sites})")
    order = order.long().expand(n, sites)
    if not torch.equal(order.sort(1).values, torch.arange(sites, device=order.device).expand(n, sites)):
        raise InputError("order", order[0].tolist(), f"every row must be a permutation of 0..{sites - 1}")
    return order


def _kinds() -> str:
    return ", ".join(entry.name for entry in default_manager().plans)


# -- the kinds that ship -------------------------------------------------------------------------


def coarse_to_fine(lattice: Lattice, n: int, stream: Stream) -> Tensor:
    """Site by site, sublattices that are far apart first, at random within each; see `arlattice.decoding.orders`."""
    return draw_orders(lattice, n, "coarse-to-fine", stream)


def random(lattice: Lattice, n: int, stream: Stream) -> Tensor:
    """Site by site, every order equally likely."""
    return draw_orders(lattice, n, "random", stream)


def raster(lattice: Lattice, n: int, stream: Stream) -> Tensor:
    """Site by site, as they are numbered."""
    return draw_orders(lattice, n, "raster", stream)


def levels_at_once(lattice: Lattice, n: int, stream: Stream) -> Plan:
    """The sites of each level of coarse to fine at once."""
    sizes = torch.bincount(levels(lattice))
    return Plan(coarse_to_fine(lattice, n, stream), tuple(sizes[sizes > 0].tolist()))
