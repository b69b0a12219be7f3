"""`ClusterHamiltonian`: any cluster expansion on any supercell as gathers and table look-ups.

E(x) = constant + sum_c V_c(x restricted to the sites of c). Each cluster c of k sites carries a table
of species^k energies, so the number of species and sublattices, the point functions and the body order
make no difference to the code. Clusters that fold onto the same sites are merged when built. For every
site the clusters that hold it are listed too: flips, swaps, heat baths and completed-cluster energies
read those lists. All sums run in a fixed order, so results are the same bits on every run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from arlattice.arguments import finite_number, of_type, path_text
from arlattice.clusters import Clusters, SiteClusters, expanded, list_by_site, merge_cell, merge_terms
from arlattice.device import check_device
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian, fixed_configurations
from arlattice.lattice import Lattice

__all__ = ["ClusterHamiltonian"]

_CHUNK = 2**24  # table look-ups held in memory at once
FORMAT = "arlattice-hamiltonian-1"


class ClusterHamiltonian(Hamiltonian):
    """A sum of cluster energies. Build with `from_cell`, or with `from_terms` where clusters are not the same in every cell.

    Sites of a cluster may be any sites of the supercell; body order and number of species are free.
    """

    def __init__(
        self,
        lattice: Lattice,
        clusters: Mapping[int, tuple[Tensor, Tensor, Tensor]],
        constant: float = 0.0,
        *,
        translated: bool = False,
        units: str = "eV",
        name: str = "clusters",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(lattice, units=units, name=name, options=options)
        self.constant = finite_number("constant", constant)
        self._clusters = {k: Clusters(*parts) for k, parts in sorted(clusters.items())}
        if translated:
            self._clusters = {k: Clusters(*parts) for k, parts in expanded(lattice, self._clusters).items()}
        self._by_site = {k: list_by_site(lattice, c) for k, c in self._clusters.items()}

    @classmethod
    def from_terms(
        cls,
        lattice: Lattice,
        terms: Iterable[tuple[Sequence[int], np.ndarray]],
        constant: float = 0.0,
        **keywords: Any,
    ) -> Self:
        """Build from (sites, table) pairs.

        Args:
            terms: ``sites``, k site numbers (repeats allowed, as in supercells that are smaller than a
                cluster); ``table``, energies of shape (species,) * k, axis j belonging to ``sites[j]``.
            constant: energy of the whole supercell that no cluster carries.
            keywords: ``units``, ``name``, ``options`` of `Hamiltonian`.
        """
        of_type("lattice", lattice, Lattice, "give a Lattice")
        clusters, energy = merge_terms(lattice, terms)
        return cls(lattice, clusters, finite_number("constant", constant) + energy, **keywords)

    @classmethod
    def from_cell(
        cls,
        lattice: Lattice,
        terms: Iterable[tuple[Sequence[tuple[Sequence[int], int]], np.ndarray]],
        constant: float = 0.0,
        **keywords: Any,
    ) -> Self:
        """Build from the terms of one primitive cell, which all translations of the lattice repeat.

        What is kept and the time to build it grow with the clusters of a cell, not with those of the supercell.

        Args:
            terms: pairs of ``places`` and ``table``. A place is the offset of a cell (3 integers, in primitive cell vectors) and a
                sublattice (row of ``lattice.basis``); offsets beyond the supercell are folded into it, and places that then are
                one site take the diagonal. ``table``: energies of shape (species,) * k, axis j belonging to ``places[j]``.
            constant: energy of the whole supercell that no cluster carries.
            keywords: ``units``, ``name``, ``options`` of `Hamiltonian`.

        Raises:
            InputError: terms that are no such pairs, a sublattice that is not there, an offset along a direction that is not
                periodic, or a table of another shape.
        """
        of_type("lattice", lattice, Lattice, "give a Lattice")
        clusters, energy = merge_cell(lattice, terms)
        constant = finite_number("constant", constant) + lattice.n_cells * energy
        return cls(lattice, clusters, constant, translated=True, **keywords)

    # -- energies --------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return next((c.energies.device for c in self._clusters.values()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        return next((c.energies.dtype for c in self._clusters.values()), torch.float64)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same Hamiltonian with its tables on another device or in float32 / float64."""
        device = None if device is None else check_device(device)

        def move(t: Tensor) -> Tensor:
            return t.to(device=device, dtype=dtype if t.is_floating_point() else None)

        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._clusters = {k: Clusters(move(c.sites), move(c.table), move(c.energies)) for k, c in self._clusters.items()}
        new._by_site = {k: SiteClusters(move(c.others), move(c.row), move(c.rows)) for k, c in self._by_site.items()}
        return new

    @property
    def n_clusters(self) -> dict[int, int]:
        """Number of clusters by body order, after merging."""
        return {k: len(c.sites) for k, c in self._clusters.items()}

    def energy(self, occupations: Tensor) -> Tensor:
        per_row = max(1, sum(c.sites.numel() for c in self._clusters.values()))
        return torch.cat([self._energy(x) for x in occupations.split(max(1, _CHUNK // per_row))])

    def _energy(self, x: Tensor) -> Tensor:
        total = torch.full((len(x),), self.constant, dtype=self.dtype, device=x.device)
        q = self.lattice.n_species
        for k, c in self._clusters.items():
            code = _code(x[:, c.sites], q) + c.table * q**k
            total = total + c.energies.flatten()[code].sum(-1)
        return total

    def site_energies(self, occupations: Tensor, site: Tensor | int) -> Tensor:
        total = self._zeros(len(occupations))
        for c in self._by_site.values():
            others, row = c.others[site], c.row[site]
            code = _code(_read(occupations, others), self.lattice.n_species)
            total = total + c.rows[row + code].sum(-2)
        return total

    def flip_differences(self, occupations: Tensor) -> Tensor:
        return torch.cat([self._flips(x) for x in occupations.split(self._rows_per_chunk)])

    def _flips(self, x: Tensor) -> Tensor:
        total = self._zeros(*x.shape)
        for c in self._by_site.values():
            total = total + c.rows[c.row + _code(x[:, c.others], self.lattice.n_species)].sum(-2)
        return total - total.gather(2, x[:, :, None])

    def swap_differences(self, occupations: Tensor, first: Tensor, second: Tensor) -> Tensor:
        a, b = occupations.gather(1, first[:, None]), occupations.gather(1, second[:, None])
        half = occupations.scatter(1, first[:, None], b)
        one = self.site_energies(occupations, first)
        two = self.site_energies(half, second)
        return (one.gather(1, b) - one.gather(1, a) + two.gather(1, a) - two.gather(1, b))[:, 0]

    def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
        steps = torch.arange(order.shape[1], device=order.device).expand_as(order)
        rank = torch.empty_like(order).scatter_(1, order, steps)
        pairs = zip(occupations.split(self._rows_per_chunk), rank.split(self._rows_per_chunk), strict=True)
        return torch.cat([self._completed(x, r) for x, r in pairs])

    def _completed(self, x: Tensor, rank: Tensor) -> Tensor:
        total = self._zeros(*x.shape)
        for c in self._by_site.values():
            complete = (rank[:, c.others] < rank[:, :, None, None]).all(-1)
            index = c.row + _code(x[:, c.others], self.lattice.n_species)
            total = total + c.rows[torch.where(complete, index, len(c.rows) - 1)].sum(-2)
        return total

    def completed_site_energies(self, occupations: Tensor, site: Tensor) -> Tensor:
        total = self._zeros(len(occupations))
        for c in self._by_site.values():
            others, row = c.others[site], c.row[site]
            x = _read(occupations, others)
            index = torch.where((x >= 0).all(-1), row + _code(x, self.lattice.n_species), len(c.rows) - 1)
            total = total + c.rows[index].sum(-2)
        return total

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, self.lattice.n_species, dtype=self.dtype, device=self.device)

    @property
    def _rows_per_chunk(self) -> int:
        per_row = max(1, sum(c.others.numel() for c in self._by_site.values()))
        return max(1, _CHUNK // per_row)

    # -- files -----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the compiled tables (safetensors), for machines without the code that built them."""
        from arlattice.io.records import write_tensors

        path_text("path", path)
        tensors, description = self.to_tensors()
        write_tensors(path, tensors, {"format": FORMAT, **description})

    @classmethod
    def load(cls, path: str | Path) -> ClusterHamiltonian:
        """Read what `save` wrote. Runs no code from the file."""
        from arlattice.io.records import read_tensors

        tensors, description = read_tensors(path_text("path", path), "hamiltonian file")
        if description.get("format") != FORMAT:
            raise InputError("hamiltonian file", str(path), f"not a compiled Hamiltonian (format {FORMAT})")
        try:
            loaded = cls.from_tensors(tensors, description)
            loaded.energy(fixed_configurations(loaded.lattice, 1))  # reads every table
        except InputError:
            raise
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError("hamiltonian file", str(path), f"damaged: its tables do not fit together ({reason})") from None
        return loaded

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Float64 CPU tensors and a plain description; `from_tensors` is the inverse."""
        tensors: dict[str, Tensor] = {}
        for k, c in self.to("cpu", torch.float64)._clusters.items():
            tensors |= {f"clusters.{k}.sites": c.sites, f"clusters.{k}.table": c.table, f"clusters.{k}.energies": c.energies}
        description = {
            "lattice": self.lattice.to_dict(),
            "units": self.units,
            "name": self.name,
            "options": json.loads(json.dumps(dict(self.options))),
            "constant": self.constant,
        }
        return {key: t.contiguous() for key, t in tensors.items()}, description

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> ClusterHamiltonian:
        """Rebuild from `to_tensors`."""
        orders = sorted({int(key.split(".")[1]) for key in tensors if key.startswith("clusters.")})
        clusters = {k: tuple(tensors[f"clusters.{k}.{part}"] for part in ("sites", "table", "energies")) for k in orders}
        return cls(
            Lattice.from_dict(description["lattice"]),
            clusters,  # type: ignore[arg-type]
            description["constant"],
            units=description["units"],
            name=description["name"],
            options=description["options"],
        )


def _code(x: Tensor, q: int) -> Tensor:
    """Species on the last axis (..., k) -> table row, first site slowest. k = 0 gives 0."""
    code = torch.zeros(x.shape[:-1], dtype=torch.int64, device=x.device)
    for j in range(x.shape[-1]):
        code = code * q + x[..., j]
    return code


def _read(occupations: Tensor, others: Tensor) -> Tensor:
    """Occupations at (m, k) or (1, m, k) sites shared by the batch, or at (batch, m, k) sites of each row."""
    if others.ndim == 2 or len(others) == 1:
        return occupations[:, others.reshape(-1)].view(len(occupations), *others.shape[-2:])
    return occupations.gather(1, others.flatten(1)).view(others.shape)
