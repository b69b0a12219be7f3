"""`Summary`: averages over samples of which only a few numbers each are kept, so that there may be more than memory holds.

It has what `SampleSet` says of weights and averages (`arlattice.weighted`, `arlattice.averages`); the formulas are the same, and so are the
results, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from arlattice.arguments import items_of
from arlattice.averages import Averages, Observable
from arlattice.checked_samples import check_same
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import fixed_configurations
from arlattice.lattice import Lattice
from arlattice.samples import SampleSet
from arlattice.weighted import OUT_OF_RANGE

if TYPE_CHECKING:
    from arlattice.thermo.observables.values import Values

__all__ = ["Summary", "check_rows"]

_PROBES = 16


class Summary(Averages):
    """Energies, log-probabilities, compositions and chosen observables of many sets of samples; see the module's docstring.

    Args:
        sets: of one lattice, Hamiltonian and state, one after another; each is let go once it is read.
        observables: registered names to keep besides, so that `mean` can average them. What is known from energies and compositions
            (``heat_capacity``, ``susceptibility``) need not be named.

    Attributes:
        lattice, state, units, metadata: as in `SampleSet`; metadata that are the same in all sets.
        energy, log_prob, log_f: (n,), float64.
        composition: fraction of the sites that each species takes, (n, species).
        stream: the random numbers behind every sample, (n, 3), or None.

    Raises:
        InputError: no set, sets that do not belong together, two that were drawn with the same random numbers, or an observable whose
            row of a sample depends on the other samples.
    """

    def __init__(self, sets: Iterable[SampleSet], observables: Sequence[str] = ()) -> None:
        names = items_of("observables", observables, str, "give registered names")
        first: SampleSet | None = None
        metadata: Mapping[str, Any] = {}
        rows: list[tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor | None]] = []
        kept: dict[str, list[Values]] = {}
        for each in sets:
            if first is None:
                first, metadata = each.select(slice(0, 1)), each.metadata
                kept = {name: [] for name in names if _is_kept(each, name)}
            check_same(first, each)
            outside = {OUT_OF_RANGE: each.metadata[OUT_OF_RANGE]} if OUT_OF_RANGE in each.metadata else {}
            metadata = {k: v for k, v in metadata.items() if k == OUT_OF_RANGE or each.metadata.get(k) == v} | outside
            rows.append((each.energy, each.log_prob, each.log_f, each.composition, each.stream))
            for name, values in kept.items():
                values.append(each.observe(name))
        if first is None:
            raise InputError("sets", [], "give at least one SampleSet")
        self.lattice, self.state, self.units, self.metadata = first.lattice, first.state, first.units, metadata
        self.energy, self.log_prob, self._log_f, self._composition, self.stream = (_joined(column) for column in zip(*rows, strict=True))
        if self.stream is not None and _repeats(self.stream):
            cure = "two of the sets share random numbers, so they are not independent; draw one anew, with another seed or none"
            raise InputError("sets", f"{len(rows)} sets", cure)
        self._kept = {name: replace(parts[0], columns=torch.cat([p.columns for p in parts])) for name, parts in kept.items()}

    def __len__(self) -> int:
        return len(self.energy)

    def __repr__(self) -> str:
        return f"Summary({len(self)} samples, {self.lattice!r}, {self.state})"

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self)

    @property
    def log_f(self) -> Tensor:
        """See `SampleSet.log_f`."""
        return self._log_f

    @property
    def composition(self) -> Tensor:
        """See `SampleSet.composition`."""
        return self._composition

    @property
    def n_atoms(self) -> Tensor:
        """See `SampleSet.n_atoms`."""
        vacancy, sites = self.lattice.vacancy, torch.full((len(self),), self.lattice.n_sites)
        return sites if vacancy is None else sites - (self.composition[:, vacancy] * self.lattice.n_sites).round().long()

    @property
    def occupations(self) -> Tensor:  # type: ignore[override]
        """Not kept.

        Raises:
            InputError: always.
        """
        raise InputError("observable", "of configurations", "a Summary does not keep these; name it: Summary(sets, observables=[...])")

    def observe(self, observable: Observable, **options: Any) -> Values:
        """See `SampleSet.observe`; of energies, composition and the observables that were kept."""
        kept = self._kept.get(observable) if isinstance(observable, str) and not options else None
        return super().observe(observable, **options) if kept is None else kept


def _is_kept(samples: SampleSet, name: str) -> bool:
    """Whether an observable must be kept: energies and compositions, which are, do not give it.

    Raises:
        InputError: it must, but the row of a sample depends on the other samples, so that rows of several sets cannot be joined.
    """
    try:
        Summary([samples]).observe(name)
    except InputError:
        check_rows(samples.lattice, samples.state, samples.units, name)
        return True
    return False


def check_rows(lattice: Lattice, state: Ensemble, units: str, name: str) -> None:
    """Refuse an observable whose row of a sample depends on the samples beside it: tried on configurations of all kinds.

    Raises:
        InputError: it does, or there is no such observable on this lattice.
    """
    occupations = fixed_configurations(lattice, _PROBES)
    energy = torch.linspace(-1.0, 2.0, _PROBES, dtype=torch.float64).square() * lattice.n_sites
    probes = SampleSet(lattice, occupations, energy, state, units)
    try:
        Summary([probes]).observe(name)
        return  # of energies and compositions, which are kept
    except InputError:
        rows = probes.observe(name).columns
    for some in (slice(0, _PROBES // 2), slice(_PROBES // 2, _PROBES), slice(2, 3)):
        if not torch.allclose(probes.select(some).observe(name).columns, rows[some], rtol=1e-9, atol=1e-12):
            cure = "the row of a sample depends on the samples beside it, so rows of several sets cannot be joined; average it set by set"
            raise InputError("observables", name, cure)


def _repeats(stream: Tensor) -> bool:
    """Whether two samples have the same random numbers."""
    alike = bool((stream[:, :2] == stream[0, :2]).all())  # as of one draw: then the numbers of the samples decide
    rows = stream[:, 2].unique() if alike else stream.unique(dim=0)
    return len(rows) < len(stream)


def _joined(column: Sequence[Tensor | None]) -> Any:
    found = [each for each in column if each is not None]
    return torch.cat(found) if len(found) == len(column) else None
