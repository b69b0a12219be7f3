"""Exact references: enumeration of small lattices, Kaufman's formula for the Ising torus."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from arlattice.arguments import finite_number, of_type, whole_number
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import MOST_SITES, Lattice

__all__ = ["Enumeration", "enumerate_configurations", "ising_torus_log_z"]

LIMIT = 2**24
_HIGHEST_BETA = 300  # cosh(2 beta) in double precision


def enumerate_configurations(lattice: Lattice, batch_size: int = 2**16) -> Iterator[Tensor]:
    """All configurations of a lattice, in batches (batch, sites), int64.

    Raises:
        InputError: more than 2^24 of them.
    """
    of_type("lattice", lattice, Lattice, "give a Lattice")
    whole_number("batch_size", batch_size)
    choices = [row.nonzero()[:, 0] for row in lattice.allowed]
    total = math.prod(len(c) for c in choices)
    if total > LIMIT:
        raise InputError("lattice", f"{total:.3g} configurations", f"enumeration stops at 2^24 = {LIMIT}; take a smaller supercell")
    for start in range(0, total, batch_size):
        index = torch.arange(start, min(start + batch_size, total))
        columns = []
        for options in reversed(choices):
            columns.append(options[index % len(options)])
            index = index // len(options)
        yield torch.stack(columns[::-1], 1)


@dataclass(frozen=True)
class Enumeration:
    """All configurations of a small lattice with their energies.

    Attributes:
        occupations: (states, sites) int8.
        energy: (states,) float64, whole supercell.
    """

    hamiltonian: Hamiltonian
    occupations: Tensor
    energy: Tensor

    @classmethod
    def of(cls, hamiltonian: Hamiltonian) -> Enumeration:
        """Enumerate a Hamiltonian's lattice (at most 2^24 configurations)."""
        of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian")
        trusting = hamiltonian.unchecked()  # enumerated configurations are right
        batches = [(x.to(torch.int8), trusting.energy(x).double()) for x in enumerate_configurations(hamiltonian.lattice)]
        return cls(hamiltonian, torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches]))

    def log_f(self, state: Ensemble) -> Tensor:
        """Unnormalised log weights (states,)."""
        batches = zip(self.occupations.split(2**20), self.energy.split(2**20), strict=True)
        return torch.cat([state.log_f(self.hamiltonian.lattice, self.hamiltonian.units, e, x.long()) for x, e in batches])

    def log_z(self, state: Ensemble) -> float:
        """log of the partition sum."""
        return float(self.log_f(state).logsumexp(0))

    def mean(self, state: Ensemble, values: Tensor) -> float:
        """Thermal average of an observable given on every configuration (states,)."""
        return float((self.log_f(state).softmax(0) * values.double()).sum())


def ising_torus_log_z(length: int, beta: float, width: int | None = None) -> float:
    """log Z of the square-lattice Ising model on a periodic ``length`` x ``width`` torus, J = 1, no field.

    Source: B. Kaufman, Phys. Rev. 76, 1232 (1949), eq. 50; anisotropic tori are the same formula.

    Raises:
        InputError: beta <= 0 or a side below 2.
    """
    m = whole_number("length", length, 0, MOST_SITES)
    n = m if width is None else whole_number("width", width, 0, MOST_SITES)
    if min(m, n) < 2:
        raise InputError("length", (m, n), "both sides must be >= 2")
    if not 0 < finite_number("beta", beta) < _HIGHEST_BETA:
        raise InputError("beta", beta, f"must be > 0 and < {_HIGHEST_BETA}")
    gamma = [_gamma(r, n, beta) for r in range(2 * n)]
    odd, even = gamma[1::2], gamma[0::2]
    terms = [
        (sum(_log_2cosh(m * g / 2) for g in odd), 1.0),
        (sum(_log_2sinh(m * g / 2) for g in odd), 1.0),
        (sum(_log_2cosh(m * g / 2) for g in even), 1.0),
        (sum(_log_2sinh(abs(m * g / 2)) for g in even), math.copysign(1.0, gamma[0]) if gamma[0] else 0.0),
    ]
    top = max(t for t, _ in terms)
    bracket = sum(sign * math.exp(t - top) for t, sign in terms)
    return -math.log(2) + m * n / 2 * math.log(2 * math.sinh(2 * beta)) + top + math.log(bracket)


def _gamma(r: int, n: int, beta: float) -> float:
    if r == 0:
        return 2 * beta + math.log(math.tanh(beta))
    return math.acosh(math.cosh(2 * beta) / math.tanh(2 * beta) - math.cos(math.pi * r / n))


def _log_2cosh(x: float) -> float:
    return abs(x) + math.log1p(math.exp(-2 * abs(x)))


def _log_2sinh(x: float) -> float:
    return x + math.log(-math.expm1(-2 * x)) if x > 0 else -math.inf
