"""`Hamiltonian`: occupations -> energy of the whole supercell, and what samplers ask of it.

A new Hamiltonian needs `energy` only; every other method has a correct, slow default that calls it.
`arlattice.ClusterHamiltonian` overrides all of them with gathers and table look-ups. What is given to these methods is
checked around them (`arlattice.checked_energies`). Hamiltonians know nothing of temperature or networks.
"""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from arlattice.arguments import of_type
from arlattice.checked_energies import check_methods, checked
from arlattice.ensemble import boltzmann_constant
from arlattice.errors import InputError
from arlattice.lattice import Lattice
from arlattice.supercell import SupercellLike

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["CalculatorHamiltonian", "FunctionHamiltonian", "Hamiltonian"]


class Hamiltonian(ABC):
    """Energy of occupations on a lattice.

    Attributes:
        lattice: the supercell.
        units: ``"eV"`` or ``"reduced"``.
        name: how tables and files call it.
        options: the plain options that built it; with ``name``, enough to build it again.
        checks: whether its methods check what they are given; see `unchecked`.
    """

    lattice: Lattice
    units: str
    name: str
    options: Mapping[str, Any]
    checks: bool = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        check_methods(cls)

    def __init__(self, lattice: Lattice, *, units: str = "eV", name: str = "unnamed", options: Mapping[str, Any] | None = None) -> None:
        of_type("lattice", lattice, Lattice, "give a Lattice")
        boltzmann_constant(units)
        if options is not None:
            of_type("options", options, Mapping, "give plain options by name")
        self.lattice, self.units, self.name, self.options = lattice, units, name, dict(options or {})

    @abstractmethod
    def energy(self, occupations: Tensor) -> Tensor:
        """Energy of the whole supercell.

        Args:
            occupations: species indices, (batch, sites), or (sites,) for a batch of one; a tensor, an array or lists.

        Returns:
            (batch,).

        Raises:
            InputError: unknown sites (-1), other indices that are no species, a species that its site may not hold, another
                number of sites, or numbers that are not integers. A subclass need not check: it is done for it.
        """

    def unchecked(self) -> Self:
        """The same Hamiltonian without checks: for loops that make right configurations themselves.

        Its methods take tensors of int64 on its own device, and read garbage where an index is out of range.
        """
        if not self.checks:
            return self
        trusting = copy.copy(self)
        trusting.checks = False
        return trusting

    def for_members(self, member: Tensor | None) -> Hamiltonian:
        """What computes the energies of the members of a family that the rows of a batch are of (`arlattice.ClusterFamily`).

        Args:
            member: (batch,), on the device of the Hamiltonian, not checked; None, or a Hamiltonian that is no family: this one.
        """
        return self

    def on(self, supercell: SupercellLike) -> Hamiltonian:
        """The same Hamiltonian on another supercell, built again by the plugin that registers its name.

        Args:
            supercell: one number for all periodic directions, one for each, or an integer matrix (rows) over them, or a 3x3 matrix.

        Raises:
            InputError: no plugin registers the name, its options have none called ``supercell``, or it builds no such supercell.
        """
        from arlattice.on_supercell import on_supercell

        return on_supercell(self, supercell)

    @property
    def species(self) -> tuple[str, ...]:
        """Species, in index order."""
        return self.lattice.species

    @property
    def device(self) -> torch.device:
        """Where energies are computed."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the energies."""
        return torch.float64

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same Hamiltonian on another device or in another precision (black boxes stay where they are)."""
        return self

    @checked
    def site_energies(self, occupations: Tensor, site: Tensor | int) -> Tensor:
        """Energy with one site set to each species, up to a constant per configuration.

        Args:
            occupations: (batch, sites).
            site: the site, one for all (int, or a tensor of one) or one per configuration (batch,).

        Returns:
            (batch, species); entries of species that the site may not hold carry no meaning.
        """
        batch = len(occupations)
        index = torch.as_tensor(site, device=occupations.device).expand(batch)
        allowed = self.lattice.allowed.to(occupations.device)[index]
        candidates = occupations[:, None, :].repeat(1, self.lattice.n_species, 1)
        symbols = torch.arange(self.lattice.n_species, device=occupations.device).expand(batch, -1)
        current = occupations.gather(1, index[:, None])
        chosen = torch.where(allowed, symbols, current)
        candidates.scatter_(2, index[:, None, None].expand(-1, self.lattice.n_species, 1), chosen[:, :, None])
        return self.energy(candidates.flatten(0, 1)).view(batch, self.lattice.n_species)

    @checked
    def flip_differences(self, occupations: Tensor) -> Tensor:
        """E(x with site i set to s) - E(x) for all i and s. (batch, sites) -> (batch, sites, species)."""
        rows = [self.site_energies(occupations, i) for i in range(self.lattice.n_sites)]
        table = torch.stack(rows, 1)
        return table - table.gather(2, occupations[:, :, None])

    @checked
    def swap_differences(self, occupations: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """E(x with the species of two sites exchanged) - E(x). (batch, sites), (batch,), (batch,) -> (batch,).

        Carries no meaning where an exchange would put a species on a site that may not hold it; such a configuration is not
        evaluated here.
        """
        allowed = self.lattice.allowed.to(occupations.device)
        a, b = first[:, None], second[:, None]
        fits = allowed[a, occupations.gather(1, b)] & allowed[b, occupations.gather(1, a)]
        b = torch.where(fits, b, a)
        one = occupations.scatter(1, a, occupations.gather(1, b))
        swapped = one.scatter(1, b, occupations.gather(1, a))
        return self.energy(swapped) - self.energy(occupations)

    @checked
    def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
        """e_i(s): energy of the clusters that site i completes in this order when it takes species s.

        A cluster belongs to the last of its sites in the order, so sum_i e_i(x_i) = E(x) - constant
        for every order. A black box has no clusters: zeros.

        Args:
            occupations: (batch, sites).
            order: (batch, sites), permutations of the sites.

        Returns:
            (batch, sites, species), indexed by site, not by step.
        """
        return torch.zeros(*occupations.shape, self.lattice.n_species, dtype=self.dtype, device=occupations.device)

    @checked
    def completed_site_energies(self, occupations: Tensor, site: Tensor) -> Tensor:
        """`completed_energies` of one site while sampling, or of the sites of a block.

        Args:
            occupations: (batch, sites), -1 where not placed yet.
            site: the site about to be placed, (batch,), or several, each on its own (batch, k).

        Returns:
            (batch, species), or (batch, k, species).
        """
        shape = occupations.shape[:1] if site.ndim < 2 else site.shape
        return torch.zeros(*shape, self.lattice.n_species, dtype=self.dtype, device=occupations.device)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of lattice, units and the energies of 16 fixed configurations, to 1e-8 of the largest.

        A configuration that `energy` refuses by an exception counts as refused. One that refuses all 16 (say, all compositions but
        one) is told from others by its name and options alone.
        """
        energies = energies_or_nan(self.to("cpu", torch.float64), fixed_configurations(self.lattice, 16)).numpy()
        refused = np.isnan(energies)
        scale = max(1.0, float(np.abs(energies).max(where=~refused, initial=0.0)))
        digits = [None if no else round(float(e), 8) + 0.0 for e, no in zip(energies / scale, refused, strict=True)]
        alone = [self.name, dict(self.options)] if refused.all() else []
        text = json.dumps([self.lattice.fingerprint, self.units, f"{scale:.8g}", digits, *alone])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: Hamiltonians do not change, copies of a model share one, and many calculators cannot be copied."""
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.lattice!r}, units={self.units!r})"


class FunctionHamiltonian(Hamiltonian):
    """A black box: any function of occupations (batch, sites) that returns energies (batch,)."""

    def __init__(
        self,
        lattice: Lattice,
        function: Callable[[Tensor], Tensor],
        *,
        units: str = "eV",
        name: str = "function",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(lattice, units=units, name=name, options=options)
        if not callable(function):
            raise InputError("function", function, "give a function of occupations (n, sites) that returns energies (n,)")
        self._function = function

    def energy(self, occupations: Tensor) -> Tensor:
        returned = self._function(occupations)
        try:
            energies = torch.as_tensor(returned).to(occupations.device, torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise InputError("energy function", returned, "must return one energy per configuration, as a tensor") from None
        if energies.shape != occupations.shape[:1]:
            raise InputError(
                "energy function", tuple(energies.shape), f"must return one energy per configuration, shape {tuple(occupations.shape[:1])}"
            )
        return energies


class CalculatorHamiltonian(Hamiltonian):
    """A black box: the potential energy of an ASE calculator on the unrelaxed lattice, eV.

    One calculator call per configuration. Vacancies (``"X"``) are left out of the structure.
    """

    def __init__(
        self, lattice: Lattice, calculator: Calculator, *, name: str = "calculator", options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(lattice, units="eV", name=name, options=options)
        if not hasattr(calculator, "get_potential_energy"):
            raise InputError("calculator", calculator, "give an ASE calculator, e.g. ase.calculators.emt.EMT()")
        self._calculator = calculator

    def energy(self, occupations: Tensor) -> Tensor:
        energies = [self._single(row) for row in occupations.cpu()]
        return torch.tensor(energies, dtype=torch.float64, device=occupations.device)

    def _single(self, row: Tensor) -> float:
        return float(self._calculator.get_potential_energy(self.lattice.to_ase(row)))


def energies_or_nan(hamiltonian: Hamiltonian, occupations: Tensor) -> Tensor:
    """Energies (batch,), float64; NaN for configurations that a black box refuses by an exception of any kind.

    For configurations of allowed species that nobody asked for: a function may know only some compositions.

    Raises:
        InputError: `Hamiltonian.energy` returns something else than one finite number for each configuration.
    """
    try:
        energies = torch.as_tensor(hamiltonian.energy(occupations)).detach().double()
    except Exception:  # a stranger's code: what it raises is not ours to know
        if len(occupations) == 1:
            return torch.full((1,), torch.nan, dtype=torch.float64)
        return torch.cat([energies_or_nan(hamiltonian, row[None]) for row in occupations])
    if energies.shape != (len(occupations),) or not bool(energies.isfinite().all()):
        found = f"energy() of {len(occupations)} configurations gave shape {tuple(energies.shape)}, not {len(occupations)} finite numbers"
        raise InputError("hamiltonian", hamiltonian.name, found)
    return energies


def fixed_configurations(lattice: Lattice, n: int) -> Tensor:
    """``n`` reproducible configurations (n, sites) of allowed species: the same on every machine."""
    generator = np.random.Generator(np.random.PCG64(20260101))
    allowed = lattice.allowed.numpy()
    choices = np.argsort(~allowed, 1, kind="stable")  # those of a site first
    draws = generator.random((n, lattice.n_sites))
    return torch.from_numpy(choices[np.arange(lattice.n_sites), (draws * allowed.sum(1)).astype(int)])
