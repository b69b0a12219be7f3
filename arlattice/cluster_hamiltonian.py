"""`ClusterHamiltonian`: any cluster expansion on any supercell.

E(x) = constant + sum_c V_c(x restricted to the sites of c). Each cluster c of k sites carries a table
of species^k energies, so the number of species and sublattices, the point functions and the body order
make no difference to the code. Clusters that fold onto the same sites are merged when built. What translations repeat is kept
once (`arlattice.kernels.site_table`), and read by compiled loops: numba's on a CPU, CUDA's on a GPU, torch's gathers elsewhere. All
sums run in a fixed order, so results are the same bits on every run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from arlattice.arguments import finite_number, of_type, path_text
from arlattice.clusters import Clusters, check_clusters, expanded, merge_cell, merge_terms, n_images
from arlattice.errors import InputError
from arlattice.hamiltonians import fixed_configurations
from arlattice.kernels.cluster_sets import one_cell
from arlattice.kernels.site_table import Merged
from arlattice.kernels.tables import Tables
from arlattice.kernels.translations import Translations
from arlattice.lattice import Lattice
from arlattice.tabled_hamiltonian import TabledHamiltonian

__all__ = ["ClusterHamiltonian"]

FORMAT = "arlattice-hamiltonian-1"


class ClusterHamiltonian(TabledHamiltonian):
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
        """Clusters of distinct rising sites by body order: sites (C, k), table (C,), energies (T, species, ..., species).

        With ``translated`` they are those of one cell, and the energy is the sum over all translations of the lattice of each of them.
        """
        super().__init__(lattice, units=units, name=name, options=options)
        self.constant = finite_number("constant", constant)
        self._clusters = {k: Clusters(*parts) for k, parts in sorted(clusters.items())}
        for k, parts in self._clusters.items():
            check_clusters(lattice, k, parts)
        self._translated = translated

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

    def compile_tables(self) -> Tables:
        return Tables.of(*self.one_cell(), np.array([self.constant]))

    def one_cell(self) -> tuple[Merged, Translations]:
        """Clusters of one cell and the translations that repeat them, or all of them and none."""
        merged = {k: (c.sites.numpy(), c.table.numpy(), c.energies.numpy()[..., None]) for k, c in self._clusters.items()}
        return (merged, Translations(self.lattice, True)) if self._translated else one_cell(merged, self.lattice)

    def all_clusters(self) -> tuple[Merged, Translations]:
        """All clusters of the supercell, and no translations."""
        whole = expanded(self.lattice, self._clusters) if self._translated else self._clusters
        arrays = {k: (c.sites.numpy(), c.table.numpy(), c.energies.numpy()[..., None]) for k, c in whole.items()}
        return arrays, Translations(self.lattice, False)

    @property
    def n_clusters(self) -> dict[int, int]:
        """Number of clusters of the supercell by body order, after merging."""
        return {k: n_images(self.lattice, c) if self._translated else len(c.sites) for k, c in self._clusters.items()}

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
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError("hamiltonian file", str(path), f"damaged: its tables do not fit together ({reason})") from None
        return loaded

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Float64 CPU tensors of all clusters of the supercell and a plain description; `from_tensors` is the inverse."""
        tensors: dict[str, Tensor] = {}
        whole = expanded(self.lattice, self._clusters) if self._translated else self._clusters
        for k, c in whole.items():
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
