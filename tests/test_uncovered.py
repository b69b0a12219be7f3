"""A trained model that does not go where its Monte Carlo chains are says so."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import arlattice as arl
from arlattice.simple_lattices import chain
from arlattice.training.coverage import UncoveredWarning
from arlattice.training.health import TrainingWarning

TRAINING = {"objective": "forward", "steps": 3, "batch_size": 16, "equilibration_sweeps": 30, "evaluate_samples": 32}
OPTIONS = {"width": 16, "heads": 2, "layers": 1}


def charged(penalty: float) -> arl.ClusterHamiltonian:
    """penalty x charge^2 over all sites: eight of a cation, 3+ or 4+, and a fixed background of 28-."""
    lattice, q = chain(8, ("Fe", "Mn")), np.array([3.0, 4.0])
    pairs = [(pair, 2 * penalty * np.outer(q, q)) for pair in combinations(range(8), 2)]
    fields = [((i,), penalty * (q**2 - 2 * 28 * q)) for i in range(8)]
    return arl.ClusterHamiltonian.from_terms(lattice, [*pairs, *fields], 28.0**2 * penalty, units="eV")


def test_a_stiff_penalty_loses_the_neutral_cells_and_it_is_said() -> None:
    """What is known of a half-filled cell says nothing of its charge at the end: the logits start thousands of nats off."""
    with pytest.warns(TrainingWarning, match="worse than drawing"), pytest.warns(UncoveredWarning, match="good ESS"):
        arl.train(charged(5.0), states=arl.SemiGrandCanonical(700), model_options=OPTIONS, training=TRAINING, progress=False)


def test_a_soft_energy_is_covered_from_the_start() -> None:
    """Warnings are errors."""
    arl.train(charged(0.001), states=arl.SemiGrandCanonical(700), model_options=OPTIONS, training=TRAINING, progress=False)
