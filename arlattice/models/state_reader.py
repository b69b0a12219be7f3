"""`StateReader`: what a network reads of thermodynamic states, scaled to those it was trained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from arlattice.arguments import of_type
from arlattice.cluster_family import ClusterFamily
from arlattice.conditions import Conditions, centred
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import Lattice
from arlattice.models.family_arguments import has_own_features
from arlattice.models.probes import Probes, principal_axes
from arlattice.models.trained_range import TrainedRange

__all__ = ["StateReader"]


class StateReader(nn.Module):
    """A network of the states of one lattice.

    Args:
        hamiltonian: of the lattice.
        ensemble: kind of states whose features it reads; other kinds with the same features are read too.
        reads: ``"state"``, the numbers that tell a state (`Ensemble.features`); or ``"probes"``, log f of fixed configurations
            (`arlattice.models.probes`): one set of weights then serves any Hamiltonian.

    Attributes:
        probes: those of the Hamiltonian, if they are what is read.
        probe_axes: (probes, axes) along which log f of the probes varied in training.
        probe_limits: lowest and highest along every axis, (2, axes).
    """

    state_mean: Tensor
    state_inverse_scale: Tensor
    probe_axes: Tensor
    probe_limits: Tensor

    def __init__(self, hamiltonian: Hamiltonian, ensemble: type[Ensemble], reads: str = "state") -> None:
        super().__init__()
        self.hamiltonian, self.ensemble = hamiltonian, ensemble
        self.record: dict[str, Any] = {}
        self.feature_names = ensemble.feature_names(hamiltonian.lattice)
        if reads == "probes" and has_own_features(ensemble, hamiltonian.lattice):
            raise InputError("model.reads", reads, f"probes do not tell {ensemble.name!r} states; give reads = 'state'")
        self.probes = Probes(hamiltonian) if reads == "probes" else None
        numbers = len(self.feature_names) if self.probes is None else self.probes.count
        self.register_buffer("state_mean", torch.zeros(numbers))
        self.register_buffer("state_inverse_scale", torch.zeros(numbers))
        if self.probes is not None:
            self.register_buffer("probe_axes", torch.eye(numbers))
            self.register_buffer("probe_limits", torch.full((2, numbers), torch.inf) * torch.tensor([[-1.0], [1.0]]))

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

    def outside(self, state: Ensemble) -> str | None:
        """In words, what of a state, or of the Hamiltonian in it, is not like what the weights were trained for.

        None if nothing is, or where it is not known (older files, untrained models).
        """
        words = None if self.trained_range is None else self.trained_range.outside(state, self.lattice)
        if words is None and self.probes is not None:
            words = self.probes.outside(self.conditions_of(state), self.probe_axes, self.probe_limits)
        return words

    def conditions_of(self, state: Ensemble) -> Conditions:
        """A state as the network reads it, one row, on its device.

        Raises:
            InputError: a state that the model cannot read: another kind, or numbers too far from what it was trained for.
        """
        of_type("state", state, Ensemble, "give a SemiGrandCanonical or Canonical")
        if state.feature_names(self.lattice) != self.feature_names:
            theirs, ours = ", ".join(state.feature_names(self.lattice)), ", ".join(self.feature_names)
            raise InputError("state", state, f"is told by {theirs}; the model reads {ours}")
        if isinstance(self.hamiltonian, ClusterFamily):
            raise InputError("hamiltonian", self.hamiltonian.name, "is a family; put the model on one of it: model.on(family.one(0))")
        conditions = self.balanced(Conditions.from_states([state], self.hamiltonian, self.device))
        for number in (conditions.beta, self.standardised(conditions)):
            if not bool(number.to(self.state_mean.dtype).isfinite().all()):
                cure = f"is too far from the states that the model was trained for: {self.trained_range or 'not recorded'}"
                raise InputError("state", state, cure)
        return conditions

    def balanced(self, conditions: Conditions) -> Conditions:
        """Conditions as the model takes them: where compositions are fixed and probes are read, with the mu that `Probes.balance` gives.

        At fixed composition mu has no effect on the distribution. It has one on log f of the probes, and on the logits of a model.
        """
        if self.probes is None or not conditions.ensemble.fixes_composition() or not len(conditions):
            return conditions
        mu = self.probes.balance.to(conditions.mu)[0 if conditions.member is None else conditions.member]
        return replace(conditions, mu=centred(mu.expand_as(conditions.mu), self.lattice))

    def standardised(self, conditions: Conditions) -> Tensor:
        """What the network reads of states (batch, numbers), scaled to the trained range: `feature_names`, or probes."""
        raw = conditions.ensemble.features(conditions) if self.probes is None else self.probes.log_f(conditions) @ self.probe_axes.double()
        scaled = (raw - self.state_mean.double()) * self.state_inverse_scale.double()
        if self.probes is not None:
            scaled = scaled.asinh()  # a logarithm where couplings or fields are strong
        return scaled.to(self.state_mean.dtype)

    def set_state_range(self, conditions: Conditions) -> None:
        """Fit the scaling of what is read to a set of states. What does not vary is left out."""
        if self.probes is None:
            mean, inverse_scale = _scaling(conditions)
        else:
            values = self.probes.log_f(conditions)
            axes, mean, inverse_scale = principal_axes(values)
            self.probe_axes.copy_(axes)
            along = values @ axes.to(self.probe_axes.dtype).double()
            self.probe_limits.copy_(torch.stack([along.amin(0), along.amax(0)]))
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
        if self.probes is not None:
            along = self.probes.log_f(conditions) @ self.probe_axes.double()
            low, high = self.probe_limits.double()
            self.probe_limits.copy_(torch.stack([along.amin(0).minimum(low), along.amax(0).maximum(high)]))
        if not self.state_layers:
            return
        mean, inverse_scale = (t.to(self.state_mean) for t in _scaling(conditions))
        varies, ratio = inverse_scale > 0, self.state_inverse_scale / inverse_scale
        if not bool(((ratio > _OTHER_RANGE) | (ratio < 1 / _OTHER_RANGE))[varies].any()):
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
