"""`Transfer`: the weights of a model drawn anew, taken from another model, or shared with one of another supercell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from arlattice.arguments import of_type
from arlattice.errors import InputError
from arlattice.fitted_clusters import FittedClusters
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.family_arguments import family_arguments
from arlattice.models.prior import ExpansionPrior
from arlattice.models.probes import probe_configurations
from arlattice.models.trained_range import KEY as TRAINED_RANGE
from arlattice.random_numbers import Stream
from arlattice.same_shape import check_same_shape
from arlattice.same_zero import check_same_zero

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["Transfer"]


class Transfer:
    """Where the weights of a `Model` come from and go to. `Model` brings what is declared here."""

    def on(self: Any, hamiltonian: Hamiltonian) -> Any:
        """The same weights, shared, on another supercell or another Hamiltonian of the same primitive cell and species.

        Move a model to another device or precision before, not after: the weights are those of both.

        Raises:
            InputError: a family whose weights belong to one supercell (see `any_supercell`), another primitive cell, or, for weights
                that were not trained on several Hamiltonians, the same expansion with another zero of energy (`arlattice.same_zero`). A
                model that reads probes takes any Hamiltonian on its supercell, see `arlattice.same_shape`; a black box gets clusters by
                a fit (`arlattice.fitted_clusters`).
        """
        of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian")
        if self.probes is not None:
            check_same_shape(self.lattice, hamiltonian)
        elif hamiltonian.lattice.with_supercell(1).fingerprint != self.lattice.with_supercell(1).fingerprint:
            raise InputError("hamiltonian", hamiltonian.name, f"must have the primitive cell and species of {self.lattice!r}")
        if self.probes is None and not self.any_supercell and hamiltonian.lattice.fingerprint != self.lattice.fingerprint:
            cure = "has weights for one supercell; train with positions = 'primitive', or paint (arlattice.models.painted.paint)"
            raise InputError("hamiltonian", hamiltonian.name, f"{self.name} {cure}")
        if "hamiltonians" not in self.record and self.probes is None:
            check_same_zero(self.hamiltonian, hamiltonian)
        other = self.again(self.with_clusters(hamiltonian)).to(self.state_mean)
        other._modules.update(self._modules)
        other._parameters.update(self._parameters)
        other._buffers.update({name: b for name, b in self._buffers.items() if name not in self._non_persistent_buffers_set})
        other.name, other.record, other.precision = self.name, dict(self.record), self.precision
        if self.probes is not None:
            other.record.pop(TRAINED_RANGE, None)  # a box of states of one alloy
        return other.train(self.training)

    def with_clusters(self: Any, hamiltonian: Hamiltonian) -> Hamiltonian:
        """The Hamiltonian; a black box, where the prior of the alloys is known, with clusters that are fitted to the probes."""
        prior = ExpansionPrior.from_record(self.record)
        if self.probes is None or prior is None or type(hamiltonian).completed_energies is not Hamiltonian.completed_energies:
            return hamiltonian
        return FittedClusters.fit(hamiltonian, prior.terms(), probe_configurations(self.lattice))

    def again(self: Any, hamiltonian: Hamiltonian) -> Any:
        """A new model of the same family, options and features, for a Hamiltonian."""
        return type(self)(*family_arguments(hamiltonian, self.options, self.ensemble))

    def adopt(self: Any, other: Model) -> None:
        """Take the weights and the scaling of states of a model of the same family and options, of this or another supercell.

        Raises:
            RuntimeError: weights of other shapes.
        """
        self.load_state_dict(other.state_dict())

    @torch.no_grad()
    def initialise(self: Any, seed: int | Stream | None = None) -> None:
        """Draw the weights of all linear layers anew; layers that start at zero stay there."""
        stream = Stream.of(seed, "weights", "cpu")
        for layer in self.modules():
            if isinstance(layer, nn.Linear) and bool(layer.weight.any()):
                bound = layer.in_features**-0.5
                for parameter in layer.parameters():
                    parameter.copy_(((2 * stream.uniform(1, parameter.numel()) - 1) * bound).view(parameter.shape))
