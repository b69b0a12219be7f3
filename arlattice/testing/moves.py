"""Check a Monte Carlo move by enumeration: its transition matrix, read off the code itself.

A move that reads one uniform number a row is a step function of that number. Halving the unit interval until
both ends of every piece agree gives the probability of each outcome to 2^-50, with no formula in between.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from arlattice.testing.failure import require, require_close

__all__ = ["Move", "check_move", "transition_matrix"]

Move = Callable[[Tensor, Tensor], Tensor]
"""(occupations (batch, sites), noise (batch,) in [0, 1)) -> new occupations (batch, sites)."""

_PIECES = 16  # of the unit interval, to begin with
_HALVINGS = 46


def transition_matrix(move: Move, configurations: Tensor) -> Tensor:
    """Probability (n, n) of going from each configuration (row) to each other in one move.

    Args:
        move: one uniform number decides the outcome; an outcome that appears and disappears again within one
            sixteenth of the unit interval may be missed.
        configurations: all that can be reached, (n, sites), each once.

    Raises:
        ConformanceError: the move leaves the configurations.
    """
    n = len(configurations)
    numbers = {tuple(row): i for i, row in enumerate(configurations.tolist())}

    def outcome(start: Tensor, noise: Tensor) -> Tensor:
        found = []
        for row in move(configurations[start].clone(), noise).tolist():
            require(tuple(row) in numbers, f"the move leaves the given configurations: {row}")
            found.append(numbers[tuple(row)])
        return torch.tensor(found, dtype=torch.long)

    matrix = torch.zeros(n, n, dtype=torch.float64)
    edges = torch.arange(_PIECES + 1, dtype=torch.float64) / _PIECES
    edges[-1] = 1 - 2.0**-53  # the largest number below 1
    start = torch.arange(n).repeat_interleave(_PIECES)
    low, high = edges[:-1].repeat(n), edges[1:].repeat(n)
    first, last = outcome(start, low), outcome(start, high)
    for _ in range(_HALVINGS):
        whole = first == last
        matrix.index_put_((start[whole], first[whole]), (high - low)[whole], accumulate=True)
        start, low, high, first, last = (t[~whole] for t in (start, low, high, first, last))
        if len(start) == 0:
            break
        middle = (low + high) / 2
        between = outcome(start, middle)
        start, low, high = start.repeat(2), torch.cat([low, middle]), torch.cat([middle, high])
        first, last = torch.cat([first, between]), torch.cat([between, last])
    matrix.index_put_((start, first), (high - low), accumulate=True)
    return matrix


def check_move(move: Move, configurations: Tensor, log_f: Tensor, *, reversible: bool = True, tolerance: float = 1e-12) -> None:
    """Check that a move keeps a distribution.

    What it sees: nothing is random, so a right move never fails; a flow of probability that is off by ``tolerance`` is found, from
    any configuration to any other. Blind to an outcome that needs less than a sixteenth of the noise (`transition_matrix`).

    Args:
        move: see `transition_matrix`.
        configurations: all configurations of positive probability, (n, sites).
        log_f: their unnormalised log-probabilities, (n,).
        reversible: ask for detailed balance too, p_a T_ab = p_b T_ba.
        tolerance: on probabilities.

    Raises:
        ConformanceError: with the largest deviation.
    """
    matrix, p = transition_matrix(move, configurations), log_f.double().softmax(0)
    require_close(matrix.sum(1), torch.ones_like(p), tolerance, "probabilities of the outcomes do not sum to 1")
    require_close(p @ matrix, p, tolerance, "the move does not keep the distribution")
    if reversible:
        flow = p[:, None] * matrix
        require_close(flow, flow.T, tolerance, "the move breaks detailed balance")
