"""Soft targets: the forward KL of heat-bath probabilities instead of the species that are there.

In equilibrium the species of site i has the probabilities P(s | x without i), which the energy gives exactly, and what a model knows
before it draws i never holds i. So, for every site and plan,

    E_p[-log q(x_i | known)] = E_p[-sum_s P(s | x without i) log q(s | known)],

a mean over x_i that is taken in full and no longer by chance: the gradient has the same mean and less noise.

Source: C. R. Rao, Bull. Calcutta Math. Soc. 37, 81 (1945); D. Blackwell, Ann. Math. Stat. 18, 105 (1947), for estimates in general.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.base import Model
from arlattice.montecarlo.heat_bath import site_probabilities

__all__ = ["is_black_box", "soft_targets"]


@torch.no_grad()
def soft_targets(model: Model, occupations: Tensor, conditions: Conditions) -> Tensor | None:
    """P(s | all other sites) at every site of equilibrium configurations, (batch, sites, species).

    Args:
        model: for its Hamiltonian, where its weights are.
        occupations: (batch, sites), drawn from the states.
        conditions: one row a configuration.

    Returns:
        None where the species that are there have to do: in an ensemble that forbids something (fixed composition: no site can change
        alone), and for a black box that would compute sites x species energies a configuration.
    """
    hamiltonian = model.hamiltonian_of(conditions)
    if not model.steps.constraint(conditions.ensemble).free or is_black_box(hamiltonian):
        return None
    return site_probabilities(hamiltonian, occupations, conditions, model.steps.allowed)


def is_black_box(hamiltonian: Hamiltonian) -> bool:
    """Whether what one site does to the energy takes energies of whole configurations."""
    ways = ("flip_differences", "site_energies")
    return all(getattr(type(hamiltonian), way) is getattr(Hamiltonian, way) for way in ways)
