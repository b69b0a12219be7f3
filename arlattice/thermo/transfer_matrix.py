"""Transfer matrix of the square-lattice Ising model with a field, exact on narrow tori."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from arlattice.arguments import finite_number, whole_number
from arlattice.errors import InputError

__all__ = ["ising_transfer_matrix_log_z"]

LIMIT = 12


def ising_transfer_matrix_log_z(width: int, length: int, beta: float, field: float = 0.0, coupling: float = 1.0) -> float:
    """log Z of the Ising model on a periodic ``width`` x ``length`` torus, E = -coupling sum s s' - field sum s.

    Z = trace T^length, where T(s, s') joins neighbouring rings of the shorter side and carries half the energy within
    each. T is squared again and again: all its entries are positive, so nothing cancels and the result is exact to
    rounding, ferromagnet or not. A side of 2 has both bonds between its two sites, as ``arl.hamiltonian("ising")`` has.
    Source: H. A. Kramers and G. H. Wannier, Phys. Rev. 60, 252 (1941).

    Args:
        width: one side, in sites, >= 2.
        length: the other; the shorter of the two may have at most 12.
        beta: 1/kT in the inverse unit of the energies, >= 0.
        field: h per site, any sign.
        coupling: J per bond, any sign.

    Raises:
        InputError: a side below 2, both above 12, or a number that is not finite.
    """
    ring, rows = sorted((whole_number("width", width), whole_number("length", length)))
    if not 2 <= ring <= LIMIT:
        raise InputError("width", (width, length), f"both sides must be >= 2 and the shorter one at most {LIMIT}")
    beta = finite_number("beta", beta, 0)
    field, coupling = finite_number("field", field), finite_number("coupling", coupling)
    spins = 2.0 * (torch.arange(2**ring)[:, None] >> torch.arange(ring) & 1).double() - 1  # (2^ring, ring)
    within = beta * (coupling * (spins * spins.roll(1, 1)).sum(1) + field * spins.sum(1))
    log_t = beta * coupling * spins @ spins.T + (within[:, None] + within) / 2
    return _log_trace_of_power(log_t, rows)


def _log_trace_of_power(log_t: Tensor, power: int) -> float:
    """log trace T^power of a symmetric matrix given by its logarithm, power >= 2."""
    half, shift = _power(log_t, power // 2)
    other, other_shift = (half, shift) if power % 2 == 0 else _scaled(half @ log_t.sub(log_t.max()).exp(), shift + float(log_t.max()))
    return shift + other_shift + math.log(float((half * other).sum()))


def _power(log_t: Tensor, power: int) -> tuple[Tensor, float]:
    """T^power as a matrix with largest entry 1 and the logarithm of its factor."""
    top = float(log_t.max())
    factor = (log_t - top).exp()
    if power == 1:
        return factor, top
    half, shift = _power(log_t, power // 2)
    squared = _scaled(half @ half, 2 * shift)
    return squared if power % 2 == 0 else _scaled(squared[0] @ factor, squared[1] + top)


def _scaled(matrix: Tensor, shift: float) -> tuple[Tensor, float]:
    top = float(matrix.max())
    return matrix / top, shift + math.log(top)
