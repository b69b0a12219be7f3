"""Scales of a supercell: cells, nested sublattices of cells, and the blocks of sites that are drawn at once.

A **cell** is a block of neighbouring sites that repeats by a sublattice of the translations (`Cell`). The cells of the supercell are
the points of a torus. The chain of sublattices

    L_0 = all cells,   L_(k+1) = m L_k + supercell,   m = 2, 3 or 5,

ends with one cell, or where no such m makes a step, with sets of cells that are nested by distance. Drawing goes from the coarsest to
the finest: first one cell, site by site; then at every scale the cells that it adds, class by class (the class of a cell is its
place modulo m), one site of the cell after another. All cells of a class are far apart; they are drawn at once, or in a few parts.
So the number of blocks grows with the logarithm of the number of sites.

The weights of a scale mean the same on every supercell: scales are counted from the finest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from arlattice.decoding.farthest import farthest_first
from arlattice.decoding.orders import widest_sublattice
from arlattice.decoding.torus import Torus
from arlattice.errors import InputError
from arlattice.lattice import Lattice
from arlattice.supercell import cell_numbers, hermite_form

__all__ = ["Block", "Cell", "Scale", "Scales"]

MULTIPLIERS = (2, 3, 5)


@dataclass(frozen=True, eq=False)
class Cell:
    """The sites of one cell.

    Attributes:
        vectors: its translations, integer 3x3 matrix (rows) in units of the primitive cell, short ones.
        offsets: primitive translations of its sites, (sites, 3).
        sublattices: primitive sites, (sites,). Sites that may hold one species only are left out.
    """

    vectors: np.ndarray
    offsets: np.ndarray
    sublattices: np.ndarray

    @classmethod
    def of(cls, lattice: Lattice, translations: np.ndarray) -> Cell:
        """The cell of a sublattice of the translations, its sites ordered so that each is far from those before it.

        Args:
            lattice: the supercell, whose vectors must be among ``translations``.
            translations: integer 3x3 matrix, rows.

        Raises:
            InputError: a supercell that is no multiple of the cell, or whose sites may hold one species only.
        """
        if not _divides(translations, lattice.supercell):
            cure = f"the supercell {lattice.supercell.tolist()} must be a multiple of it"
            raise InputError("cells", np.asarray(translations).tolist(), cure)
        active = np.flatnonzero([len(species) > 1 for species in lattice.allowed_species])
        if not len(active):
            raise InputError("hamiltonian", repr(lattice), "every site holds one species only, so there is nothing to draw")
        vectors = _short(np.asarray(translations), lattice)
        points = Torus(vectors).points
        offsets, sublattices = np.repeat(points, len(active), 0), np.tile(active, len(points))
        where = (offsets + lattice.basis[sublattices]) @ lattice.cell
        order = farthest_first(where, vectors @ lattice.cell)
        return cls(vectors, offsets[order], sublattices[order])

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True)
class Block:
    """Sites that are drawn at once: one site in each of some cells of a scale.

    Attributes:
        cells: numbers of the cells in the scale, (k,).
        site: which site of the cell.
        label: class of the cells.
    """

    cells: np.ndarray
    site: int
    label: int


@dataclass(frozen=True, eq=False)
class Scale:
    """The cells known once a scale is drawn, and the blocks that it adds.

    Attributes:
        level: 0 is the finest; weights of a level mean the same on every supercell.
        root: it draws the first cell of all.
        torus: of its cells.
        spacing: of neighbouring cells, in cells of the finest scale.
        dilation: steps of the torus between cells that a convolution links.
        members: sites of every cell, (cells, sites a cell).
        labels: number of classes that it may have.
        blocks: in the order they are drawn.
    """

    level: int
    root: bool
    torus: Torus
    spacing: int
    dilation: int
    members: np.ndarray
    labels: int
    blocks: tuple[Block, ...]


class Scales:
    """All scales of a supercell, coarsest first.

    Args:
        lattice: the supercell.
        cell: of the finest scale.
        parts: in how many parts the cells of the first class of a scale are drawn, where they can be divided, a power of 2. Every later
            class has half as many parts: the more cells are known, the less those of a class depend on one another.
    """

    def __init__(self, lattice: Lattice, cell: Cell, parts: int = 1) -> None:
        self.lattice, self.cell, self.parts = lattice, cell, parts
        self.axes = tuple(np.flatnonzero(lattice.pbc).tolist()) or (0,)
        self._geometry = cell.vectors @ lattice.cell
        self.scales = tuple(self._chain()[::-1])

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.scales)

    @property
    def depth(self) -> int:
        """Number of levels beside the first cell."""
        return sum(not scale.root for scale in self.scales)

    # -- the chain -------------------------------------------------------------------------------

    def _chain(self) -> list[Scale]:
        torus = Torus(np.rint(self.lattice.supercell @ np.linalg.inv(self.cell.vectors)).astype(int))
        found, spacing, level = list[Scale](), 1, 0
        while len(torus) > 1:
            step = next(((m, t) for m in MULTIPLIERS for t in [torus.divided(m)] if len(t) < len(torus)), None)
            if step is None:
                return found + self._nested(torus, spacing, level)
            factor, coarser = step
            members, labels = self._members(torus, spacing), factor**3
            found.append(Scale(level, False, torus, spacing, 1, members, labels, self._blocks_of_step(torus, factor, coarser)))
            torus, spacing, level = coarser, spacing * factor, level + 1
        return [*found, self._root(level)]

    def _root(self, level: int) -> Scale:
        """The first cell, by itself."""
        torus = Torus(np.eye(3, dtype=int))
        blocks = tuple(Block(np.array([0]), site, 0) for site in range(len(self.cell)))
        return Scale(level, True, torus, 1, 1, self._members(torus, 1), 1, blocks)

    def _members(self, torus: Torus, spacing: int) -> np.ndarray:
        """Sites of the cells of a torus, (cells, sites a cell)."""
        corners = torus.points * spacing @ self.cell.vectors
        return self.lattice.site_index(corners[:, None] + self.cell.offsets, self.cell.sublattices)

    def _blocks_of_step(self, torus: Torus, factor: int, coarser: Torus) -> tuple[Block, ...]:
        """The classes of cells that a scale adds to the next coarser one, the farthest from what is known first."""
        labels = _labels(torus, factor)
        corners = np.indices((factor,) * 3).reshape(3, -1).T
        present = np.unique(labels)
        order = present[farthest_first(corners[present] @ self._geometry, factor * self._geometry, decimals=6)]
        blocks, wanted = [], self.parts
        for label in order[1:]:
            members = np.flatnonzero(labels == label)
            offsets = torus.points[members] - corners[label]
            parts = self._divided(members, offsets, factor, torus, coarser, wanted)
            blocks += [Block(part, site, int(label)) for part in parts for site in range(len(self.cell))]
            wanted = max(1, wanted // 2)
        return tuple(blocks)

    def _divided(self, cells: np.ndarray, points: np.ndarray, factor: int, torus: Torus, coarser: Torus, wanted: int) -> list[np.ndarray]:
        """A class of cells in parts whose cells are far apart.

        Args:
            cells: their numbers in ``torus``.
            points: their coordinates there less those of the class.
            factor: from ``coarser`` to ``torus``.
            wanted: number of parts.
        """
        basis, parts = np.eye(3, dtype=int), 1
        while parts < wanted and (len(coarser) // parts) % 2 == 0:
            basis, parts = widest_sublattice(basis, coarser.hermite, self._geometry, 2), 2 * parts
        if parts == 1:
            return [cells]
        numbers = np.empty(len(torus), dtype=int)
        numbers[torus.number(factor * coarser.points)] = cell_numbers(coarser.points, hermite_form(basis))
        number = numbers[torus.number(points)]
        return [cells[number == part] for part in np.unique(number)]

    # -- supercells without a chain --------------------------------------------------------------

    def _nested(self, torus: Torus, spacing: int, level: int) -> list[Scale]:
        """Sets of cells nested by distance, each 2^d times larger than the one before, on the torus of all."""
        members, classes = self._members(torus, spacing), 2 ** len(self.axes)
        order = farthest_first(torus.points @ self._geometry, torus.hermite @ self._geometry, decimals=6)
        sizes, found, dilation = [len(torus)], list[Scale](), 1
        while sizes[-1] > 1:
            sizes.append(-(-sizes[-1] // classes))
        for size, before in itertools.pairwise(sizes):
            groups = np.array_split(order[before:size], min(classes - 1, size - before))
            wanted = [max(1, self.parts >> k) for k in range(len(groups))]
            divided = [np.array_split(group, min(k, len(group))) for k, group in zip(wanted, groups, strict=True)]
            parts = [(label, part) for label, some in enumerate(divided, 1) for part in some]
            blocks = tuple(Block(part, site, label) for label, part in parts for site in range(len(self.cell)))
            found.append(Scale(level, False, torus, spacing, dilation, members, 8, blocks))
            dilation, level = 2 * dilation, level + 1
        return [*found, self._root(level)]

    # -- the plan --------------------------------------------------------------------------------

    @cached_property
    def fixed(self) -> np.ndarray:
        """Sites that may hold one species only: they are drawn first."""
        return np.flatnonzero([len(self.lattice.allowed_species[s]) == 1 for s in self.lattice.sublattice])

    @cached_property
    def order(self) -> Tensor:
        """The sites, block after block, with the first cell at the origin, (sites,)."""
        blocks = [scale.members[block.cells, block.site] for scale in self.scales for block in scale.blocks]
        return torch.from_numpy(np.concatenate([self.fixed, *blocks]))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of sites of each block."""
        return (*([len(self.fixed)] if len(self.fixed) else []), *(len(block.cells) for scale in self.scales for block in scale.blocks))


def _divides(translations: np.ndarray, supercell: np.ndarray) -> bool:
    """Whether the vectors of a supercell are sums of these translations, which span space."""
    rows = np.asarray(translations, dtype=float)
    if not 0.5 < abs(np.linalg.det(rows)) < np.linalg.det(supercell) + 0.5:
        return False
    steps = np.rint(supercell @ np.linalg.inv(rows))
    return np.array_equal(steps @ rows, supercell)


def _short(vectors: np.ndarray, lattice: Lattice) -> np.ndarray:
    """The shortest integer vectors that span the same lattice, right-handed; those of a multiple of all translations as they are."""
    from ase.geometry import minkowski_reduce

    if np.array_equal(vectors, np.diag(vectors.diagonal())):
        return vectors
    _, steps = minkowski_reduce(vectors @ lattice.cell, lattice.pbc)
    short = np.rint(steps @ vectors).astype(int)
    return short if np.linalg.det(short) > 0 else -short


def _labels(torus: Torus, factor: int) -> np.ndarray:
    """Class of every point: its place modulo ``factor``, the smallest of those that the periods make one."""
    shifts = {(0, 0, 0)}
    for row in torus.hermite % factor:
        shifts |= {tuple((np.array(s) + k * row) % factor) for s in shifts for k in range(factor)}
    powers = factor ** np.arange(2, -1, -1)
    return np.min([(torus.points + np.array(s)) % factor @ powers for s in sorted(shifts)], axis=0)
