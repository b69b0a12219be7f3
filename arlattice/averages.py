"""Averages of weighted samples: observables, one value or row a sample, and what follows from their means, with error bars.

The formulas are those of `arlattice.weighted`; functions of averages, such as a heat capacity, carry the error that the same influences
w (O - <O>) give them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.weighted import Weighted, error_of_influence

if TYPE_CHECKING:
    from arlattice.samples import SampleSet
    from arlattice.thermo.observables.values import Values

__all__ = ["Averages", "Observable"]

Observable = str | Tensor | Callable[["SampleSet"], Tensor]
"""A registered name (``"energy"``, ``"l1_0:total"``, ``"x_Au"``), one value or row per sample, or a function that gives them."""


class Averages(Weighted):
    """Observables and their averages; the attributes are those of `SampleSet`, which inherits it."""

    # -- observables, one value per sample -------------------------------------------------------

    @property
    def energy_per_site(self) -> Tensor:
        """Energy divided by the number of sites, (n,)."""
        return self.energy / self.lattice.n_sites

    @cached_property
    def energy_per_atom(self) -> Tensor:
        """Energy divided by the number of atoms, vacancies not among them, (n,); NaN where a configuration has no atom."""
        return self.energy / self.n_atoms.where(self.n_atoms > 0, torch.nan)

    @property
    def n_atoms(self) -> Tensor:
        """Number of sites that hold no vacancy, (n,)."""
        vacancy = self.lattice.vacancy
        return torch.full((len(self),), self.lattice.n_sites) if vacancy is None else (self.occupations != vacancy).sum(1)

    @cached_property
    def composition(self) -> Tensor:
        """Fraction of all sites that each species takes, (n, species)."""
        counts = [(self.occupations == s).sum(1) for s in range(self.lattice.n_species)]
        return torch.stack(counts, 1).double() / self.lattice.n_sites

    @property
    def energy_minus_mu_n(self) -> Tensor:
        """E - sum mu N, whole supercell, (n,)."""
        mu = torch.tensor(self.state.mu_vector(self.lattice), dtype=torch.float64)
        return self.energy - self.composition @ mu * self.lattice.n_sites

    # -- averages --------------------------------------------------------------------------------------

    def mean(self, observable: Observable, **options: Any) -> Estimate:
        """Equilibrium average of one number, by self-normalised weights.

        Args:
            observable: a registered name (``arlattice plugins`` lists them), with ``:component`` where it has several,
                e.g. ``"short_range_order:Cu-Au 1"``; ``"x_Au"`` is ``"composition:Au"``; or a tensor (n,); or a function
                of this set that returns one.
            options: of the registered observable.

        Raises:
            InputError: unknown names, options or components, or an observable that makes no sense on this lattice.
        """
        name, component = self._split(observable)
        estimates = self.means(name, **options)
        if component is None and len(estimates) == 1:
            return next(iter(estimates.values()))
        if component not in estimates:
            raise InputError("observable", observable, _components(estimates) + ", or take all with means")
        return estimates[component]

    def means(self, observable: Observable, **options: Any) -> dict[str, Estimate]:
        """Equilibrium averages of all components of an observable, by name; arguments as in `mean`."""
        values = self.observe(observable, **options)
        weights = self.weights
        self._warn()
        means = weights @ values.columns
        influence = (weights * len(self))[:, None] * (values.columns - means) @ values.derivatives(means).T
        errors = error_of_influence(influence)
        pairs = zip(values.results(means).tolist(), errors.tolist(), strict=True)
        return {name: Estimate(*pair) for name, pair in zip(values.names, pairs, strict=True)}

    def observe(self, observable: Observable, **options: Any) -> Values:
        """What `means` averages: one row a sample; arguments as in `mean`."""
        from arlattice.thermo.observables.observe import observe
        from arlattice.thermo.observables.values import Values

        if isinstance(observable, str):
            return observe(observable, cast("SampleSet", self), options)
        if options:
            raise InputError("options", options, "belong to registered observables; a tensor or a function takes none")
        if callable(observable) and not isinstance(observable, type):
            observable = observable(cast("SampleSet", self))
        return Values.of(observable, len(self))

    def per_sample(self, observable: Observable, **options: Any) -> Tensor:
        """What `mean` averages: one value a sample, (n,), float64; arguments as in `mean`.

        Raises:
            InputError: as in `mean`; and observables such as ``"heat_capacity"``, which follow from averages.
        """
        name, component = self._split(observable)
        values = self.observe(name, **options)
        if values.of_means is not None:
            raise InputError("observable", observable, "follows from averages, no sample has one of its own")
        if component is None and len(values.names) == 1:
            return values.columns[:, 0]
        if component not in values.names:
            raise InputError("observable", observable, _components(values.names))
        return values.columns[:, values.names.index(component)]

    def _split(self, observable: Observable) -> tuple[Observable, str | None]:
        """Name and component of ``"name:component"`` and of ``"x_Au"``."""
        if not isinstance(observable, str):
            return observable, None
        if observable.startswith("x_"):
            return "composition", self.lattice.species[self.lattice.species_index(observable[2:], "observable x_")]
        name, _, component = observable.partition(":")
        return name, component or None


def _components(names: Iterable[str]) -> str:
    return f"has the components {', '.join(names)}; name one after a colon"
