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

__all__ = ["Conditions", "species_components"]


@dataclass(frozen=True)
class Conditions:
    """States of a batch.

    Attributes:
        beta: 1/kT, (batch,).
        mu: chemical potentials (batch, species), centred over exchangeable species (only differences matter).
        counts: atoms of every species where the composition is fixed (batch, species), else None.
    """

    beta: Tensor
    mu: Tensor
    counts: Tensor | None = None

    @classmethod
    def from_states(cls, states: Sequence[Ensemble], hamiltonian: Hamiltonian, device: torch.device | str = "cpu") -> Conditions:
        """One row a state, float64; all states must be of one kind."""
        lattice = hamiltonian.lattice
        for state in states:
            of_type("states", state, Ensemble, "every state must be a SemiGrandCanonical or Canonical")
        beta = torch.tensor([s.beta(hamiltonian.units) for s in states], dtype=torch.float64, device=device)
        mu = torch.tensor([s.mu_vector(lattice) for s in states], dtype=torch.float64, device=device)
        counts = [s.counts(lattice) for s in states]
        if len({count is None for count in counts}) > 1:
            raise InputError("states", len(states), "all states must be of one kind, SemiGrandCanonical or Canonical")
        fixed = None if None in counts else torch.tensor(counts, device=device)
        return cls(beta, centred(mu, lattice), fixed)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditions:
        """The same states elsewhere or in another precision."""
        counts = None if self.counts is None else self.counts.to(device)
        return Conditions(self.beta.to(device, dtype), self.mu.to(device, dtype), counts)

    def to_tensors(self) -> dict[str, Tensor]:
        """As inputs of a recorded function (`arlattice.cuda_graph`); `from_tensors` reads them."""
        return {"beta": self.beta, "mu": self.mu} | ({} if self.counts is None else {"counts": self.counts})

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Conditions:
        """From `to_tensors`, whatever else is among them."""
        return cls(tensors["beta"], tensors["mu"], tensors.get("counts"))

    def __getitem__(self, rows: Tensor | slice) -> Conditions:
        return replace(self, beta=self.beta[rows], mu=self.mu[rows], counts=None if self.counts is None else self.counts[rows])

    def __len__(self) -> int:
        return len(self.beta)

    def expand(self, n: int) -> Conditions:
        """One state as ``n`` equal rows."""
        return self[torch.zeros(n, dtype=torch.long, device=self.beta.device)]

    def log_f(self, energy: Tensor, occupations: Tensor) -> Tensor:
        """-beta (E - sum mu_i N_i), (batch,). A fixed composition is taken as met."""
        mu = self.mu.gather(1, occupations).sum(1)
        return -self.beta * (energy - mu)


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
