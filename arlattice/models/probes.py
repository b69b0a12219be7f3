"""`Probes`: fixed configurations whose unnormalised log-probabilities tell one Hamiltonian and state from another.

What a model draws from depends on energies, temperature and chemical potentials through log f alone, up to a constant. So log f of some
fixed configurations of the supercell, less their mean, says all that a network has to know of an alloy and its state: it is the same in
any basis of an expansion and in any unit, it does not change with the zero of energy or of the chemical potentials, and a black box has
it too. It is linear in the couplings: as many probes as there are couplings that the supercell tells apart are enough.

The probes are version 1: the pure configurations of every species, and random ones from a fixed seed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.cluster_family import ClusterFamily
from arlattice.conditions import Conditions
from arlattice.hamiltonians import Hamiltonian
from arlattice.lattice import Lattice
from arlattice.random_numbers import Stream

__all__ = ["Probes", "probe_configurations"]

_RANDOM = 62
_SEED = 1


def probe_configurations(lattice: Lattice) -> Tensor:
    """The probes of a supercell (probes, sites): first one for every species, on all sites that may hold it, then random ones.

    The random ones differ in composition: every species has another weight in each.
    """
    allowed = lattice.allowed
    first = allowed.int().argmax(1)
    pure = torch.stack([torch.where(allowed[:, s], s, first) for s in range(lattice.n_species)])
    stream = Stream(_SEED, "probes", "cpu")
    weights = stream["composition"].uniform(lattice.n_species, _RANDOM).T
    shares = torch.where(allowed, weights[:, None], 0.0).cumsum(-1)
    threshold = stream["species"].uniform(lattice.n_sites, _RANDOM).T * shares[..., -1]
    return torch.cat([pure, (shares <= threshold[..., None]).sum(-1)])


class Probes:
    """log f of the probes in any state of a Hamiltonian, or of the members of a family.

    Args:
        hamiltonian: of the supercell.

    Attributes:
        count: number of probes.
        balance: the chemical potentials that take the part that is linear in the atoms of every species out of the energies of the
            probes, by least squares, (members, species).
    """

    def __init__(self, hamiltonian: Hamiltonian) -> None:
        hamiltonian = hamiltonian.to("cpu", torch.float64)
        occupations = probe_configurations(hamiltonian.lattice)
        self.count = len(occupations)
        species = torch.nn.functional.one_hot(occupations, hamiltonian.lattice.n_species).sum(1).double()
        if isinstance(hamiltonian, ClusterFamily):
            member = torch.arange(len(hamiltonian)).repeat_interleave(self.count)
            energies = hamiltonian.for_members(member).energy(occupations.repeat(len(hamiltonian), 1)).view(-1, self.count)
        else:
            energies = hamiltonian.energy(occupations)[None]
        each = energies.double().cpu()
        self.balance = torch.linalg.lstsq(species.expand(len(each), -1, -1), each[..., None], driver="gelsd").solution[..., 0]
        self._tables = each, species
        self._kept: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def log_f(self, conditions: Conditions) -> Tensor:
        """-beta (E - sum mu_i N_i) of every probe, less the mean over the probes: (batch, probes), float64."""
        energies, species = self.on(conditions.beta.device)
        rows = energies if conditions.member is None else energies[conditions.member]
        log_f = -conditions.beta.double()[:, None] * (rows - conditions.mu.double() @ species.T)
        return log_f - log_f.mean(1, keepdim=True)

    def outside(self, conditions: Conditions, axes: Tensor, limits: Tensor) -> str | None:
        """In words, how one state is unlike those of the training; None if it is not.

        Args:
            conditions: one row.
            axes, limits: (probes, axes) and the lowest and the highest value along each, (2, axes), in training.
        """
        along = (self.log_f(conditions) @ axes.double())[0]
        low, high = limits.double()
        beyond = (along - along.clamp(low, high)).abs()
        room = _ROOM * (high - low) + _NOISE * along.norm()
        if not bool((beyond > room).any()):
            return None
        known = high - low > _LEAST * (high - low).max()
        unknown = float(beyond[~known].norm() / along.norm())
        if unknown > _NOISE:
            return f"{100 * unknown:.2g} % of log f comes from couplings that no alloy of the training had"
        times = float((beyond[known] / (high - low)[known]).max())
        return f"couplings or fields are stronger than in all alloys of the training, by {100 * times:.2g} % of their range"

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Energies (members, probes) and atoms of every species (probes, species) on a device, kept there."""
        if device not in self._kept:
            self._kept[device] = tuple(table.to(device) for table in self._tables)  # type: ignore[assignment]
        return self._kept[device]


def principal_axes(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Axes along which rows of values vary without correlation.

    Args:
        values: (n, features).

    Returns:
        Axes (features, axes), the mean (axes,) and the inverse of the deviation (axes,) along each, 0 where the values do not vary.
    """
    mean = values.mean(0)
    variances, axes = torch.linalg.eigh((values - mean).T @ (values - mean) / len(values))
    deviation = variances.clamp(min=0).sqrt()
    varies = deviation > _LEAST * deviation.max()
    return axes, mean @ axes, torch.where(varies, 1 / deviation.clamp(min=1e-300), 0.0)


_LEAST = 1e-5
"""Axes with a smaller share of the largest deviation are rounding."""

_ROOM, _NOISE = 0.02, 1e-3
"""How far beyond the training a state may lie: a share of its range, and of what it has along all axes."""
