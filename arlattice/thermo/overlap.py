"""Whether states that are pooled overlap: without it a difference of their log Z is a number without meaning.

Two distributions overlap by

    o_ij = sum over x of p_i(x) p_j(x) / (p_i(x) + p_j(x)),

1/2 if they are equal and 0 if no configuration has both: the off-diagonal element of the overlap matrix of the two states with
equally many samples. 0.03 is what is commonly asked for (Klimovich, Shirts and Mobley). All states are tied by the
strongest such links, a spanning tree; its weak links are what to mend.

Source: P. V. Klimovich, M. R. Shirts, D. L. Mobley, J. Comput. Aided Mol. Des. 29, 397 (2015). Not done: overlap that chains
which are not in equilibrium only pretend to have (`arlattice.montecarlo.equilibration`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from arlattice.errors import InputError

__all__ = ["LEAST_OVERLAP", "PoorOverlapWarning", "check_overlap"]

LEAST_OVERLAP = 0.03
"""Below it a link between two states is said to be weak."""

_SHOWN = 3


class PoorOverlapWarning(UserWarning):
    """Differences of log Z rest on few configurations that two states share."""


class _Link(NamedTuple):
    first: int
    second: int
    overlap: float


def check_overlap(share: Tensor, counts: Tensor, names: Sequence[str], stacklevel: int = 3) -> None:
    """Refuse distributions that fall apart; warn of weak links between those that hold together.

    Args:
        share: p_i / sum_k n_k p_k at every pooled sample, (distributions, n), as the solved equations give it.
        counts: samples of each, (distributions,).
        names: of each, for the messages.
        stacklevel: of the warning.

    Raises:
        InputError: the equations do not hold, or less than one effective sample ties some distributions to the others: one less
            the second eigenvalue of the overlap matrix is zero if they fall apart (the source, eq. 9 and after).
    """
    links = _strongest_links(share)
    weakest = min(links, key=lambda link: link.overlap)
    root = share * counts.sqrt()[:, None]
    second = torch.linalg.eigvalsh(root @ root.T)[-2]
    if not (bool((share.sum(1) - 1).abs().max() < 1e-6) and float(1 - second) * float(counts.sum()) > 1):
        raise InputError(
            "sample_sets", f"{len(counts)} distributions", f"do not overlap: {_words(weakest, names)}; add states between them"
        )
    weak = sorted((link for link in links if link.overlap < LEAST_OVERLAP), key=lambda link: link.overlap)
    if weak:
        listed = "; ".join(_words(link, names) for link in weak[:_SHOWN])
        more = f" and {len(weak) - _SHOWN} more" if len(weak) > _SHOWN else ""
        text = f"{listed}{more} ({LEAST_OVERLAP} is wanted, 0.5 is the most): add states between them, or more samples"
        warnings.warn(f"states hardly overlap: {text}", PoorOverlapWarning, stacklevel=stacklevel)


def _strongest_links(share: Tensor) -> list[_Link]:
    """The spanning tree of the largest overlaps, one link less than there are distributions (Prim's algorithm)."""
    tied, links = [0], []
    best = [_Link(0, j, o) for j, o in enumerate(_overlaps(share, 0))]
    while len(tied) < len(share):
        link = max((link for link in best if link.second not in tied), key=lambda link: link.overlap)
        links.append(link)
        tied.append(link.second)
        row = _overlaps(share, link.second)
        best = [max(old, _Link(link.second, j, o), key=lambda each: each.overlap) for old, (j, o) in zip(best, enumerate(row), strict=True)]
    return links


def _overlaps(share: Tensor, i: int) -> list[float]:
    """Overlap of distribution i with each."""
    total = (share[i] + share).clamp(min=torch.finfo(share.dtype).tiny)
    values: list[float] = (share[i] * share / total).sum(1).tolist()
    return values


def _words(link: _Link, names: Sequence[str]) -> str:
    return f"{names[link.first]} and {names[link.second]} by {link.overlap:.2g}"
