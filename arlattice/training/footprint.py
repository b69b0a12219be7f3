"""Whether a run fits into memory, told before anything is made."""

from __future__ import annotations

import math

from arlattice.memory import check_memory
from arlattice.training.config import TrainingOptions
from arlattice.training.states import States

__all__ = ["check_footprint"]

_BYTES_A_SITE = 64  # of a configuration, about


def check_footprint(options: TrainingOptions, states: States, sites: int) -> None:
    """The chains, and what one step draws, must fit into memory.

    Args:
        options: of the run.
        states: to train on.
        sites: of the largest supercell.

    Raises:
        InputError: the option that asks for too much.
    """
    o, each = options, _BYTES_A_SITE * sites
    chains = math.prod(states.cells((o.replica_temperatures, o.replica_potentials))) * o.replica_copies
    reverse = o.reverse_states * o.reverse_samples
    check_memory("training.replica_copies", o.replica_copies, each * chains, f"{chains} chains; give fewer cells or copies")
    check_memory("training.batch_size", o.batch_size, each * o.batch_size)
    check_memory("training.coarse_batch_size", o.coarse_batch_size, each * min(o.coarse_batch_size, chains))
    check_memory("training.reverse_samples", o.reverse_samples, each * reverse, "give fewer reverse_states or reverse_samples")
    check_memory("training.evaluate_samples", o.evaluate_samples, each * o.evaluate_samples)
