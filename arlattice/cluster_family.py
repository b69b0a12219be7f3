"""`ClusterFamily`: cluster expansions of one lattice, so that chains of several alloys run in one call.

    family = arl.ClusterFamily([first, second], [0, 0, 1, 1])     # four chains, two of each
    ReplicaExchange(family, conditions, (4,), seed=1).run(100)

Members may have other couplings and other clusters; a cluster that one of them lacks has no energy there. Members may also be sums of a few
expansions, each with a factor of its own (`ClusterFamily.sums`): thousands of them cost little more than one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from arlattice.arguments import items_of
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.errors import InputError
from arlattice.kernels.cluster_sets import together
from arlattice.kernels.site_table import Merged
from arlattice.kernels.tables import Tables
from arlattice.kernels.translations import Translations
from arlattice.tabled_hamiltonian import TabledHamiltonian

__all__ = ["ClusterFamily"]


class ClusterFamily(TabledHamiltonian):
    """Several cluster expansions, one for each configuration of a batch.

    A batch holds as many configurations as ``member``, or a multiple: row r then belongs to ``member[r % len(member)]``.

    Args:
        members: of one lattice and one unit of energy.
        member: the number of the member of every configuration, (batch,).

    Attributes:
        terms: the expansions that every member is a sum of.
        factors: of them in every member, (members, terms).

    Raises:
        InputError: no members, several lattices or units, or a number that is no member's.
    """

    def __init__(self, members: Sequence[ClusterHamiltonian], member: Any) -> None:
        self.terms = items_of("members", members, ClusterHamiltonian, "give cluster expansions of one lattice")
        if not self.terms:
            raise InputError("members", members, "give at least one")
        first = self.terms[0]
        for other in self.terms:
            if (other.lattice.fingerprint, other.units) != (first.lattice.fingerprint, first.units):
                raise InputError("members", repr(other), f"must have the lattice and the units of the first, {first!r}")
        super().__init__(first.lattice, units=first.units, name="family")
        self.factors = np.eye(len(self.terms))
        self.member = self._checked(member)

    @classmethod
    def sums(cls, terms: Sequence[ClusterHamiltonian], factors: Any, member: Any) -> Self:
        """Members that are sums of expansions: E_m(x) = sum over t of factors[m, t] E_t(x).

        Args:
            terms: of one lattice and one unit of energy.
            factors: (members, terms).
            member: as in `ClusterFamily`.

        Raises:
            InputError: also factors of another shape, or which are not finite.
        """
        new = cls(terms, [0])
        cure = f"give finite numbers, one row a member and {len(new.terms)} columns"
        try:
            new.factors = np.array(factors, dtype=float)
        except (TypeError, ValueError):
            raise InputError("factors", factors, cure) from None
        if new.factors.ndim != 2 or new.factors.shape[1] != len(new.terms) or not np.isfinite(new.factors).all():
            raise InputError("factors", list(np.shape(factors)), cure)
        new.member = new._checked(member)
        return new

    def __len__(self) -> int:
        """Number of members."""
        return len(self.factors)

    def of(self, member: Any) -> Self:
        """The same members for other configurations."""
        new = self.to()
        new.member, new._made = self._checked(member), {"tables": self.tables}
        return new

    def for_members(self, member: Tensor | None) -> Self:
        """See `Hamiltonian.for_members`; the compiled kernels are those of this family."""
        if member is None:
            return self
        new, key = self.to(), (self._device, self._dtype)
        new.member, new._made = member, {"tables": self.tables, key: self.kernels.of(member)}
        return new

    def one(self, number: int) -> ClusterHamiltonian:
        """A member by itself."""
        merged, translations, constants = self._together()
        factors, clusters = self.factors[number], dict[int, tuple[Tensor, ...]]()
        for k, (*where, tables) in merged.items():
            clusters[k] = tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in (*where, tables @ factors))
        made = {"translated": translations.all_cells, "units": self.units, "name": f"{self.name} {number}"}
        return ClusterHamiltonian(self.lattice, clusters, float(constants @ factors), **made)  # type: ignore[arg-type]

    def compile_tables(self) -> Tables:
        merged, translations, constants = self._together()
        tables = Tables.of(merged, translations, constants)
        return tables if self._each_alone else tables.sums(self.factors)

    def _together(self) -> tuple[Merged, Translations, np.ndarray]:
        """The clusters of all terms with the tables of each, what repeats them, and the constants of the terms."""
        cells = [one.one_cell() for one in self.terms]
        translated = all(translations.all_cells for _, translations in cells)
        if not translated:
            cells = [one.all_clusters() for one in self.terms]
        merged = together([merged for merged, _ in cells], cells[0][1])
        return merged, cells[0][1], np.array([one.constant for one in self.terms])

    @property
    def _each_alone(self) -> bool:
        """Whether the members are the terms themselves."""
        return np.array_equal(self.factors, np.eye(len(self.terms)))

    @property
    def fingerprint(self) -> str:
        """Of all members and of whose each configuration is."""
        text = repr([one.fingerprint for one in self.terms]) + ("" if self._each_alone else repr(self.factors.tolist()))
        return hashlib.sha256((text + repr(self.member.tolist() if self.member is not None else None)).encode()).hexdigest()[:16]

    def _checked(self, member: Any) -> Tensor:
        try:
            numbers = torch.as_tensor(member)
        except (TypeError, ValueError, RuntimeError):
            raise InputError("member", member, "give the number of the member of every configuration") from None
        whole = numbers.ndim == 1 and len(numbers) > 0 and not (numbers.is_floating_point() or numbers.dtype == torch.bool)
        if not whole or not bool(((numbers >= 0) & (numbers < len(self.factors))).all()):
            raise InputError("member", member, f"give whole numbers from 0 to {len(self.factors) - 1}, one for each configuration")
        return numbers.long().cpu()
