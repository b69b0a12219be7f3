"""`SampleSet`: configurations with energies and exact log-probabilities, what they were drawn for, and where they go.

Weights, partition sums and their errors: `arlattice.weighted`; averages of observables: `arlattice.averages`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from arlattice.arguments import items_of, of_type, path_text, whole_number
from arlattice.averages import Averages, Observable
from arlattice.checked_samples import (
    check_same,
    checked_known,
    checked_log_prob,
    checked_metadata,
    checked_order,
    checked_stream,
    differing_options,
    one_each,
)
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.independence import check_independent, joined_streams
from arlattice.lattice import Lattice
from arlattice.memory import check_memory
from arlattice.plan import Plan
from arlattice.random_numbers import Stream, known_seed
from arlattice.weighted import OUT_OF_RANGE

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure
    from xarray import Dataset

__all__ = ["OUT_OF_RANGE", "Observable", "SampleSet", "differing_options"]


@dataclass(frozen=True, eq=False)
class SampleSet(Averages):
    """Configurations of one lattice drawn in one thermodynamic state. Tensors live on the CPU.

    Args:
        lattice: the supercell.
        occupations: species indices, (n, sites), int64.
        energy: energy of the whole supercell, in ``units``, (n,), float64.
        state: the ensemble the samples are for.
        units: ``"eV"`` or ``"reduced"``.
        log_prob: exact log-probability with which each configuration was drawn, (n,), float64;
            None for Monte Carlo samples, whose weights are equal.
        order: the order in which the sites were drawn, permutations of the sites, (n, sites), or None.
        block_sizes: how many sites of the order were drawn at once, block after block; None is one site a block. See `plan`.
        known: occupations that were given before drawing (inpainting), -1 where drawn, (sites,), or
            None. ``log_prob`` is then conditional on them.
        stream: the random numbers behind every sample, (n, 3), int64: seed, purpose (`arlattice.random_numbers.purpose_word`),
            number of the sample; None where it is not known (older files, sets of other programs). Sets that share a row
            are not independent (`arlattice.independence`).
        metadata: plain facts about the origin: identifier -> str, int, float or bool.

    Raises:
        InputError: shapes or values that do not fit the lattice or the state.
    """

    lattice: Lattice
    occupations: Tensor
    energy: Tensor
    state: Ensemble
    units: str
    _: KW_ONLY
    log_prob: Tensor | None = None
    order: Tensor | None = None
    block_sizes: tuple[int, ...] | None = None
    known: Tensor | None = None
    stream: Tensor | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of_type("lattice", self.lattice, Lattice, "give a Lattice")
        of_type("state", self.state, Ensemble, "give a SemiGrandCanonical or Canonical")
        self.state.beta(self.units)
        self.state.mu_vector(self.lattice)
        self.state.targets(self.lattice)
        occupations = self.lattice.check_occupations(self.occupations).cpu()
        if len(occupations) == 0:
            raise InputError("occupations", tuple(occupations.shape), "give at least one configuration")
        checked = {
            "occupations": occupations,
            "energy": one_each("energy", self.energy, len(occupations)),
            "log_prob": None if self.log_prob is None else checked_log_prob(self.log_prob, len(occupations)),
            "order": None if self.order is None else checked_order(self.order, occupations),
            "block_sizes": None if self.block_sizes is None else tuple(int(k) for k in self.block_sizes),
            "known": None if self.known is None else checked_known(self.known, occupations, self.lattice),
            "stream": None if self.stream is None else checked_stream(self.stream, len(occupations)),
            "metadata": checked_metadata(self.metadata),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.block_sizes is not None:
            Plan(occupations, self.block_sizes)

    def __repr__(self) -> str:
        origin = "Monte Carlo" if self.log_prob is None else f"ESS {self.ess:.3f}"
        return f"SampleSet({len(self)} samples, {self.lattice!r}, {self.state}, {origin})"

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self)

    @property
    def plan(self) -> Plan | None:
        """What was drawn at once; ``model.log_prob(occupations, state, plan=plan)`` gives ``log_prob`` again. None without an order."""
        given = None if self.order is None or self.known is None else (self.known >= 0).expand_as(self.order)
        return None if self.order is None else Plan(self.order, self.block_sizes, given)

    # -- other sets ------------------------------------------------------------------------------

    def select(self, indices: Any) -> SampleSet:
        """Some of the samples, by anything that indexes a tensor: numbers, a slice, or a mask (n,)."""
        cure = f"give numbers from 0 to {len(self) - 1}, a slice or a mask"
        if indices is None or isinstance(indices, bool):  # torch would take all samples, or none
            raise InputError("indices", indices, cure)
        try:
            rows = torch.arange(len(self))[indices].reshape(-1)
        except (IndexError, TypeError, ValueError, RuntimeError):
            raise InputError("indices", indices, cure) from None
        if not len(rows):
            raise InputError("indices", indices, f"selects nothing; {cure}")
        return self._rows(rows)

    def _rows(self, rows: Tensor) -> SampleSet:
        return replace(
            self,
            occupations=self.occupations[rows],
            energy=self.energy[rows],
            log_prob=None if self.log_prob is None else self.log_prob[rows],
            order=None if self.order is None else self.order[rows],
            stream=None if self.stream is None else self.stream[rows],
        )

    @staticmethod
    def concatenate(sets: Sequence[SampleSet]) -> SampleSet:
        """One set of all samples, in order. Metadata on which the sets differ (seeds, say) is left out.

        Raises:
            InputError: sets of different lattices, Hamiltonians, states, units or known sites, with and without
                log-probabilities, or drawn with the same random numbers.
        """
        sets = items_of("sets", sets, SampleSet, "give a list of SampleSets")
        if not sets:
            raise InputError("sets", sets, "give at least one SampleSet")
        first = sets[0]
        for other in sets[1:]:
            check_same(first, other)
        check_independent(sets)
        orders = [s.order for s in sets if s.order is not None and s.block_sizes == first.block_sizes]
        outside = next(({OUT_OF_RANGE: s.metadata[OUT_OF_RANGE]} for s in sets if OUT_OF_RANGE in s.metadata), {})
        return replace(
            first,
            occupations=torch.cat([s.occupations for s in sets]),
            energy=torch.cat([s.energy for s in sets]),
            log_prob=None if first.log_prob is None else torch.cat([s.log_prob for s in sets if s.log_prob is not None]),
            order=torch.cat(orders) if len(orders) == len(sets) else None,
            block_sizes=first.block_sizes if len(orders) == len(sets) else None,
            stream=joined_streams(sets),
            metadata={k: v for k, v in first.metadata.items() if all(k in s.metadata and s.metadata[k] == v for s in sets)} | outside,
        )

    def resample(self, n: int, generator: torch.Generator | None = None, *, seed: int | None = None) -> SampleSet:
        """``n`` equally weighted samples, drawn with replacement by weight.

        The result carries no ``log_prob``: its average of anything is the plain mean. Draw fewer than
        ``ess * len(self)``, or configurations repeat.

        Args:
            n: how many.
            generator: deprecated, give ``seed``.
            seed: repeats a choice; None takes a fresh one, kept as ``metadata["resample_seed"]``.
        """
        n = whole_number("n", n)
        check_memory("n", n, n * self.lattice.n_sites * 16)
        facts: dict[str, str | int | float | bool] = {**self.metadata, "resampled_from": len(self)}
        if generator is None:
            facts["resample_seed"] = chosen = known_seed(seed)
            rows = self._chosen(Stream(chosen, "resample").uniform(1, n)[0])
        elif isinstance(generator, torch.Generator) and generator.device.type == "cpu":
            warnings.warn("resample: give seed= instead of a torch.Generator", DeprecationWarning, stacklevel=2)
            rows = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        else:
            raise InputError("generator", generator, "give seed= instead")
        return replace(self._rows(rows), log_prob=None, metadata=facts)

    def _chosen(self, uniform: Tensor) -> Tensor:
        """Sample of every number in [0, 1), by weight."""
        ends = self.weights.cumsum(0)
        return torch.searchsorted(ends, uniform * ends[-1], right=True)

    # -- out and in ------------------------------------------------------------------------------

    def to_ase(self, *, vacancies: str = "drop") -> list[Atoms]:
        """ASE `Atoms`, each with its energy, weight and origin; see `arlattice.io.frames.to_frames`."""
        from arlattice.io.frames import to_frames

        return to_frames(self, vacancies=vacancies)

    def to_pymatgen(self, *, vacancies: str = "drop") -> list[Structure]:
        """pymatgen `Structure`s with the facts of `to_ase` in ``properties``; see `arlattice.io.frames.to_structures`."""
        from arlattice.io.frames import to_structures

        return to_structures(self, vacancies=vacancies)

    def to_xarray(self) -> Dataset:
        """Everything as one labelled dataset; see `arlattice.io.dataset.to_dataset`."""
        from arlattice.io.dataset import to_dataset

        return to_dataset(self)

    def write(self, path: str | Path, *, format: str | None = None, vacancies: str = "drop") -> None:
        """Write a file or folder, whole or not at all; see `arlattice.io.formats.write`."""
        from arlattice.io.formats import write

        path_text("path", path)
        write(self, path, format=format, vacancies=vacancies)

    @staticmethod
    def read(path: str | Path) -> SampleSet:
        """The samples that `write` put into an extxyz, netCDF or ase.db file, to the bit; see `arlattice.io.formats.read`."""
        from arlattice.io.formats import read

        path_text("path", path)
        return read(path)
