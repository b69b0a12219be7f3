"""What all sweeps are given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Chains", "Purpose"]


class Purpose(NamedTuple):
    """Where the numbers of one purpose begin: the word of `arlattice.random_numbers.purpose_word`, and the step."""

    word: np.uint32
    step: np.int64


class Chains(NamedTuple):
    """States of chains: inverse temperature (chains,), chemical potentials (chains, species), member of the family (chains,)."""

    beta: np.ndarray
    mu: np.ndarray
    member: np.ndarray
