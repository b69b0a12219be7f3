"""`StateReader`: what a network reads of thermodynamic states, scaled to those it was trained for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from arlattice.arguments import of_type
from arlattice.conditions import Conditions
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import Lattice
from arlattice.models.trained_range import TrainedRange

__all__ = ["StateReader"]


class StateReader(nn.Module):
    """A network of the states of one lattice.

    Args:
        hamiltonian: of the lattice.
        ensemble: kind of states whose features it reads; other kinds with the same features are read too.
    """

    state_mean: Tensor
    state_inverse_scale: Tensor

    def __init__(self, hamiltonian: Hamiltonian, ensemble: type[Ensemble]) -> None:
        super().__init__()
        self.hamiltonian, self.ensemble = hamiltonian, ensemble
        self.record: dict[str, Any] = {}
        self.feature_names = ensemble.feature_names(hamiltonian.lattice)
        self.register_buffer("state_mean", torch.zeros(len(self.feature_names)))
        self.register_buffer("state_inverse_scale", torch.zeros(len(self.feature_names)))

    @property
    def lattice(self) -> Lattice:
        """The supercell."""
        return self.hamiltonian.lattice

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.state_mean.device

    @property
    def trained_range(self) -> TrainedRange | None:
        """The states that the weights were trained for; None where the record does not say (older files, untrained models)."""
        return TrainedRange.from_record(self.record)

    def conditions_of(self, state: Ensemble) -> Conditions:
        """A state as the network reads it, one row, on its device.

        Raises:
            InputError: a state that the model cannot read: another kind, or numbers too far from what it was trained for.
        """
        of_type("state", state, Ensemble, "give a SemiGrandCanonical or Canonical")
        if state.feature_names(self.lattice) != self.feature_names:
            theirs, ours = ", ".join(state.feature_names(self.lattice)), ", ".join(self.feature_names)
            raise InputError("state", state, f"is told by {theirs}; the model reads {ours}")
        conditions = Conditions.from_states([state], self.hamiltonian, self.device)
        for number in (conditions.beta, self.standardised(conditions)):
            if not bool(number.to(self.state_mean.dtype).isfinite().all()):
                cure = f"is too far from the states that the model was trained for: {self.trained_range or 'not recorded'}"
                raise InputError("state", state, cure)
        return conditions

    def standardised(self, conditions: Conditions) -> Tensor:
        """State features (batch, features), see `feature_names`, scaled to the trained range."""
        raw = conditions.ensemble.features(conditions)
        return ((raw - self.state_mean.double()) * self.state_inverse_scale.double()).to(self.state_mean.dtype)

    def set_state_range(self, conditions: Conditions) -> None:
        """Fit the scaling of the state features to a set of states. Features that do not vary are left out."""
        mean, inverse_scale = _scaling(conditions)
        self.state_mean.copy_(mean)
        self.state_inverse_scale.copy_(inverse_scale)

    @property
    def state_layers(self) -> Sequence[nn.Linear]:
        """All layers that read the scaled features of states, if they read nothing else; else none."""
        return ()

    @torch.no_grad()
    def move_state_range(self, conditions: Conditions) -> None:
        """As `set_state_range`, where a feature varies much more or less than in training; what the network computes stays as it is.

        A network whose range is much wider than that of a new run would learn slowly what tells the new states apart, and never what
        did not vary before. Families without `state_layers` keep their range.
        """
        mean, inverse_scale = (t.to(self.state_mean) for t in _scaling(conditions))
        varies, ratio = inverse_scale > 0, self.state_inverse_scale / inverse_scale
        if not self.state_layers or not bool(((ratio > _OTHER_RANGE) | (ratio < 1 / _OTHER_RANGE))[varies].any()):
            return
        for layer in self.state_layers:
            layer.bias.add_(layer.weight @ (self.state_inverse_scale * (mean - self.state_mean)))
            layer.weight.mul_(torch.where(varies, ratio, 0.0))
        self.state_mean.copy_(mean)
        self.state_inverse_scale.copy_(inverse_scale)


_OTHER_RANGE = 2.0  # widths that differ by more than this factor


def _scaling(conditions: Conditions) -> tuple[Tensor, Tensor]:
    """Mean of the state features and the inverse of their deviation, 0 for those that do not vary, both (features,)."""
    features = conditions.ensemble.features(conditions)
    deviation = features.std(0, correction=0)
    varies = deviation > 1e-9 * (1e-9 + features.abs().amax(0))
    return features.mean(0), torch.where(varies, 1 / deviation.clamp(min=1e-300), 0.0)
