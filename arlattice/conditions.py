"""`Conditions`: thermodynamic states as the tensors a network reads, one row a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from arlattice.arguments import of_type
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import Lattice
from arlattice.old_names import warn_of_old_name

__all__ = ["Conditions", "species_components"]


@dataclass(frozen=True)
class Conditions:
    """States of a batch, all of one ensemble.

    Attributes:
        beta: 1/kT, (batch,).
        mu: chemical potentials (batch, species), centred over exchangeable species (only differences matter).
        targets: what else each state fixes, (batch, m), m = 0 if nothing: the atoms of every species, say (`Ensemble.targets`).
        ensemble: the class of the states.
        member: which Hamiltonian of a family each row is of, (batch,) int64; None: there is one alone (`arlattice.ClusterFamily`).
    """

    beta: Tensor
    mu: Tensor
    targets: Tensor
    ensemble: type[Ensemble]
    member: Tensor | None = None

    @classmethod
    def from_states(cls, states: Sequence[Ensemble], hamiltonian: Hamiltonian, device: torch.device | str = "cpu") -> Conditions:
        """One row a state, float64.

        Raises:
            InputError: states of several ensembles, or one that does not fit the lattice or allows none of its configurations.
        """
        lattice = hamiltonian.lattice
        for state in states:
            of_type("states", state, Ensemble, "give thermodynamic states, e.g. SemiGrandCanonical or Canonical")
        if len({type(state) for state in states}) > 1:
            raise InputError("states", len(states), "all states must be of one kind, SemiGrandCanonical or Canonical, say")
        beta = torch.tensor([s.beta(hamiltonian.units) for s in states], dtype=torch.float64, device=device)
        mu = torch.tensor([s.mu_vector(lattice) for s in states], dtype=torch.float64, device=device)
        fixed = [tuple(s.targets(lattice)) for s in states]
        for state in dict(zip(fixed, states, strict=True)).values():  # one of all that fix the same
            _check_met(state, lattice)
        targets = torch.tensor(fixed, device=device).view(len(states), -1)
        ensemble = type(states[0]) if states else Ensemble
        return cls(beta, centred(mu, lattice), targets, ensemble)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditions:
        """The same states elsewhere or in another precision; targets keep their type."""
        member = None if self.member is None else self.member.to(device)
        return replace(self, beta=self.beta.to(device, dtype), mu=self.mu.to(device, dtype), targets=self.targets.to(device), member=member)

    def to_tensors(self) -> dict[str, Tensor]:
        """As inputs of a recorded function (`arlattice.cuda_graph`); `with_tensors` reads them."""
        member = {} if self.member is None else {"member": self.member}
        return {"beta": self.beta, "mu": self.mu, "targets": self.targets, **member}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Conditions:
        """States of the same ensemble from `to_tensors`, whatever else is among them."""
        return replace(self, beta=tensors["beta"], mu=tensors["mu"], targets=tensors["targets"], member=tensors.get("member"))

    @staticmethod
    def concatenate(batches: Sequence[Conditions]) -> Conditions:
        """All rows of batches of one ensemble."""
        together = {name: torch.cat([batch.to_tensors()[name] for batch in batches]) for name in batches[0].to_tensors()}
        return batches[0].with_tensors(together)

    @property
    def counts(self) -> Tensor | None:
        """Deprecated: see `targets`."""
        warn_of_old_name("Conditions.counts", "Conditions.targets")
        return self.targets if self.targets.shape[1] else None

    def __getitem__(self, rows: Tensor | slice) -> Conditions:
        return self.with_tensors({name: tensor[rows] for name, tensor in self.to_tensors().items()})

    def __len__(self) -> int:
        return len(self.beta)

    def expand(self, n: int) -> Conditions:
        """One state as ``n`` equal rows."""
        return self[torch.zeros(n, dtype=torch.long, device=self.beta.device)]

    def log_f(self, energy: Tensor, occupations: Tensor) -> Tensor:
        """-beta (E - sum mu_i N_i), (batch,). What the states forbid is taken as not there."""
        mu = self.mu.gather(1, occupations).sum(1)
        return -self.beta * (energy - mu)


def _check_met(state: Ensemble, lattice: Lattice) -> None:
    """Refuse a state that allows no configuration."""
    if not bool(state.allows(lattice, torch.full((1, lattice.n_sites), -1))):
        raise InputError("state", str(state), "no configuration of the lattice meets it; give other numbers or another supercell")


def species_components(lattice: Lattice) -> Tensor:
    """Membership (components, species) of groups of species linked by sites that hold either."""
    linked = (lattice.allowed.T.float() @ lattice.allowed.float() > 0) | torch.eye(lattice.n_species, dtype=torch.bool)
    for _ in range(lattice.n_species):
        linked = linked.float() @ linked.float() > 0
    return torch.unique(linked, dim=0)


def centred(mu: Tensor, lattice: Lattice) -> Tensor:
    """mu minus its mean over each group of exchangeable species: the part that has an effect."""
    groups = species_components(lattice).to(mu)
    mean = (mu @ groups.T) / groups.sum(1)
    return mu - mean @ groups
