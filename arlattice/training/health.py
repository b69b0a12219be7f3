"""Signs that a training went wrong, and the warnings that say so.

The gap and the ESS of a model's own samples cannot see a training that diverged: a model that always draws one configuration has gap 0
and ESS 1. Two things can: numbers that are not finite or absurdly large, and the lower bound of log Z, <log f - log q>, which must be
above that of drawing every species at random.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian, fixed_configurations
from arlattice.samples import SampleSet
from arlattice.training.config import TrainingOptions

__all__ = ["TrainingWarning", "above_random", "check_finite", "distrust", "divergence"]

_LARGEST_WEIGHT = 1e6
_RANDOM_CONFIGURATIONS = 256


class TrainingWarning(UserWarning):
    """A training stopped early, or its result is not to be trusted."""


@torch.no_grad()
def divergence(loss: Tensor, gradient_norm: Tensor, weights: Iterable[Tensor]) -> str | None:
    """What shows that a training diverged, in words; None where nothing does.

    Args:
        loss: of the last step, one number.
        gradient_norm: of the last step, one number.
        weights: of the model.
    """
    for name, value in (("loss", loss), ("norm of the gradient", gradient_norm)):
        if not bool(value.isfinite()):
            return f"the {name} is {float(value)}"
    largest = float(torch.stack([w.detach().abs().max().float() for w in weights]).max())
    return None if largest <= _LARGEST_WEIGHT else f"the largest weight is {largest:.3g}"


def check_finite(loss: Tensor, gradient_norm: Tensor, weights: Iterable[Tensor], step: int, options: TrainingOptions) -> None:
    """Raise `InputError` where a training diverged, see `divergence`; ``step`` is the one that was done."""
    found = divergence(loss, gradient_norm, weights)
    if found is not None:
        cure = f"training diverged: {found} after step {step}; give a lower learning rate. A checkpoint from before stays as it is"
        raise InputError("training.learning_rate", options.learning_rate, cure)


def above_random(samples: SampleSet, hamiltonian: Hamiltonian) -> float:
    """How far the lower bound of log Z lies above that of drawing every allowed species with equal probability, nats.

    Args:
        samples: drawn from a model in one state.
        hamiltonian: of the model.

    Returns:
        <log f - log q> of the samples less that of random configurations, plus three standard errors of the difference; infinite where
        the state forbids configurations (all but those of a composition, say), which random species would not meet.
    """
    state, lattice = samples.state, hamiltonian.lattice
    if not state.constraint(lattice).free:
        return math.inf
    ours, random = samples.elbo(), _random_log_f(hamiltonian, state)
    choices = float(lattice.allowed.sum(1).double().log().sum())
    error = math.hypot(ours.error, float(random.std()) / math.sqrt(len(random)))
    return ours.value - float(random.mean()) - choices + 3 * error


def distrust(step: int, options: TrainingOptions, figures: Mapping[str, float], stopped: bool = False) -> str | None:
    """Why a model is not to be trusted, in words; None if nothing shows it.

    Args:
        step: the last one done.
        options: of the run.
        figures: of the last evaluation.
        stopped: whether the run ended by itself before its last step.
    """
    if step < options.steps and not stopped:
        return f"the time limit was reached after {step} of {options.steps} steps: the model is unfinished; resume the run"
    worst = figures.get("above_random", math.inf)
    if worst >= 0:
        return None
    cure = f"training diverged or was far too short; give a lower learning rate than {options.learning_rate:g}, or more steps"
    return f"in a state of its range the model is {-worst:.3g} nats worse than drawing species at random: {cure}"


def _random_log_f(hamiltonian: Hamiltonian, state: Ensemble) -> Tensor:
    occupations = fixed_configurations(hamiltonian.lattice, _RANDOM_CONFIGURATIONS)
    energy = hamiltonian.to("cpu", torch.float64).energy(occupations).double()
    return state.log_f(hamiltonian.lattice, hamiltonian.units, energy, occupations)
