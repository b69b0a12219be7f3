"""`ClusterFamily`: cluster expansions of one lattice, so that chains of several alloys run in one call.

    family = arl.ClusterFamily([first, second], [0, 0, 1, 1])     # four chains, two of each
    ReplicaExchange(family, conditions, (4,), seed=1).run(100)

Members may have other couplings and other clusters; a cluster that one of them lacks has no energy there.
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
from arlattice.kernels.tables import Tables
from arlattice.tabled_hamiltonian import TabledHamiltonian

__all__ = ["ClusterFamily"]


class ClusterFamily(TabledHamiltonian):
    """Several cluster expansions, one for each configuration of a batch.

    A batch holds as many configurations as ``member``, or a multiple: row r then belongs to ``member[r % len(member)]``.

    Args:
        members: of one lattice and one unit of energy.
        member: the number of the member of every configuration, (batch,).

    Raises:
        InputError: no members, several lattices or units, or a number that is no member's.
    """

    def __init__(self, members: Sequence[ClusterHamiltonian], member: Any) -> None:
        self.members = items_of("members", members, ClusterHamiltonian, "give cluster expansions of one lattice")
        if not self.members:
            raise InputError("members", members, "give at least one")
        first = self.members[0]
        for other in self.members:
            if (other.lattice.fingerprint, other.units) != (first.lattice.fingerprint, first.units):
                raise InputError("members", repr(other), f"must have the lattice and the units of the first, {first!r}")
        super().__init__(first.lattice, units=first.units, name="family")
        self.member = self._checked(member)

    def of(self, member: Any) -> Self:
        """The same members for other configurations."""
        new = self.to()
        new.member, new._made = self._checked(member), {"tables": self.tables}
        return new

    def compile_tables(self) -> Tables:
        cells = [one.one_cell() for one in self.members]
        translated = all(translations.all_cells for _, translations in cells)
        if not translated:
            cells = [one.all_clusters() for one in self.members]
        constants = np.array([one.constant for one in self.members])
        return Tables.of(together([merged for merged, _ in cells], cells[0][1]), cells[0][1], constants)

    @property
    def fingerprint(self) -> str:
        """Of all members and of whose each configuration is."""
        text = repr([one.fingerprint for one in self.members]) + repr(self.member.tolist() if self.member is not None else None)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _checked(self, member: Any) -> Tensor:
        try:
            numbers = torch.as_tensor(member)
        except (TypeError, ValueError, RuntimeError):
            raise InputError("member", member, "give the number of the member of every configuration") from None
        whole = numbers.ndim == 1 and len(numbers) > 0 and not (numbers.is_floating_point() or numbers.dtype == torch.bool)
        if not whole or not bool(((numbers >= 0) & (numbers < len(self.members))).all()):
            raise InputError("member", member, f"give whole numbers from 0 to {len(self.members) - 1}, one for each configuration")
        return numbers.long().cpu()
