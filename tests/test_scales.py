"""Scales of many supercells: what is drawn at once, how far apart it is, and convolutions on any torus."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from lattices import BCC, HEXAGONAL, PRIMITIVE, fcc, lattice, perovskite, rock_salt, triangular

import arlattice as arl
from arlattice.decoding.scales import Cell, Scale, Scales
from arlattice.lattice import Lattice
from arlattice.models import scale_tables
from arlattice.models.scale_tables import Layout
from arlattice.random_numbers import Stream

CUBIC = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # the conventional cell of FCC
CHECKERBOARD = np.array([[1, 1, 0], [1, -1, 0], [0, 0, 1]])
B2 = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])

SUPERCELLS: dict[str, tuple[Lattice, np.ndarray]] = {
    **{f"square {n}": (arl.square(n), PRIMITIVE) for n in (16, 12, 10, 7, 64)},
    "square 16, checkerboard": (arl.square(16), CHECKERBOARD),
    "square, skewed": (arl.square(1).with_supercell([[3, 1, 0], [0, 2, 0], [0, 0, 1]]), PRIMITIVE),
    "square, more skewed": (arl.square(1).with_supercell([[5, 1, 0], [-2, 6, 0], [0, 0, 1]]), PRIMITIVE),
    "chain 32": (arl.chain(32), PRIMITIVE),
    **{f"FCC {n}": (fcc(n), CUBIC) for n in (4, 8, 6, 16)},
    "FCC 4x4x8": (fcc((4, 4, 8)), CUBIC),
    **{f"FCC {n}, one site": (fcc(n), PRIMITIVE) for n in (3, 5, 7, 8, 9)},
    "FCC 13 sites": (fcc([[2, 1, 0], [0, 2, 1], [1, 0, 3]]), PRIMITIVE),
    "HCP 4": (lattice(HEXAGONAL, 4, [[0, 0, 0], [1 / 3, 2 / 3, 0.5]]), PRIMITIVE),
    "BCC 4, B2": (lattice(BCC, 4), B2),
    "rock salt 4": (rock_salt(4), CUBIC),
    "perovskite 4": (perovskite(4), PRIMITIVE),
    "triangular 9": (triangular(9), np.array([[1, 2, 0], [2, 1, 0], [0, 0, 1]])),
}
LARGEST = ("square 64", "FCC 16")


def scales_of(name: str, parts: int = 1) -> Scales:
    where, translations = SUPERCELLS[name]
    return Scales(where, Cell.of(where, translations), parts)


def is_power_of_2(n: int) -> bool:
    return n & (n - 1) == 0


def nearest(where: Lattice, sites: np.ndarray) -> float:
    """The smallest distance between two sites of a few and their images."""
    positions, periods = where.positions[sites], where.supercell_vectors
    images = np.array(list(itertools.product(*[(-1, 0, 1) if p else (0,) for p in where.pbc]))) @ periods
    between = positions[:, None, None] - positions[None, :, None] + images
    distances = np.linalg.norm(between, axis=-1)
    return float(distances[distances > 1e-6].min())


# -- blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", SUPERCELLS)
def test_the_blocks_hold_every_site_once_and_fixed_sites_come_first(name: str, parts: int) -> None:
    scales = scales_of(name, parts)
    where = scales.lattice
    assert torch.equal(scales.order.sort().values, torch.arange(where.n_sites))
    assert sum(scales.sizes) == where.n_sites
    fixed = [len(where.allowed_species[s]) == 1 for s in where.sublattice[scales.order.numpy()]]
    assert fixed == sorted(fixed, reverse=True)
    assert where.sublattice[scales.order.numpy()].tolist() == where.sublattice[scales.order.numpy()].tolist()


@pytest.mark.parametrize("name", SUPERCELLS)
def test_the_number_of_blocks_grows_with_the_logarithm_where_there_is_a_chain(name: str) -> None:
    """Powers of 2: at most 1 + C + C (2^d - 1) / d log2(cells) blocks for cells of C sites in d dimensions."""
    scales = scales_of(name)
    cells, d = scales.scales[-1].torus, len(scales.axes)
    if is_power_of_2(len(cells)):
        sites = len(scales.cell)
        assert len(scales.sizes) <= 1 + sites + sites * (2**d - 1) / d * math.log2(len(cells)) + 1e-9
    else:
        assert len(scales.sizes) <= scales.lattice.n_sites


def test_known_numbers_of_blocks() -> None:
    """16x16: the first site and 3 a scale; FCC 8x8x8: 4 sites of the first cell, then 4 x (1 + 7 + 7)."""
    assert len(scales_of("square 16").sizes) == 1 + 4 * 3
    assert scales_of("square 16").sizes == (1, 1, 1, 1, 4, 4, 4, 16, 16, 16, 64, 64, 64)
    assert len(scales_of("FCC 8").sizes) == 4 + 4 * 15
    assert len(scales_of("square 64").sizes) == 1 + 6 * 3


@pytest.mark.parametrize("name", [name for name in SUPERCELLS if name not in LARGEST])
def test_the_sites_of_a_block_are_far_apart(name: str) -> None:
    """At least the multiplier times the shortest translation of the cells of the scale, where the periods allow whole classes."""
    scales = scales_of(name)
    before = [*scales.scales[:1], *scales.scales]
    for coarser, scale in zip(before, scales.scales, strict=False):
        factor = round(scale.labels ** (1 / 3))
        if scale.root or scale.dilation > 1 or (scale.torus.hermite[list(scales.axes)][:, list(scales.axes)] % factor).any():
            continue
        assert len(scale.torus) == len(coarser.torus) * factor ** len(scales.axes)
        vectors = np.array(list(itertools.product(*[(-1, 0, 1) if axis in scales.axes else (0,) for axis in range(3)])))
        lengths = np.linalg.norm(vectors @ scales.cell.vectors @ scales.lattice.cell, axis=1)
        shortest = factor * scale.spacing * lengths[lengths > 0].min()
        for block in scale.blocks:
            if len(block.cells) > 1:
                assert nearest(scales.lattice, scale.members[block.cells, block.site]) >= shortest - 1e-6


@pytest.mark.parametrize(("name", "first"), [("square 16", (1, 1, 0)), ("square 64", (1, 1, 0)), ("FCC 8", (1, 1, 1))])
def test_the_middle_of_the_known_cells_is_drawn_first(name: str, first: tuple[int, ...]) -> None:
    """Directions that do not repeat have no classes, and do not change the order of the others."""
    scales = scales_of(name)
    for scale in scales:
        if len(scale.torus) >= 2 ** len(scales.axes) * len(scales.scales[1].torus):
            assert described(scales, scale)[0][2] == first


@pytest.mark.parametrize("name", [name for name in SUPERCELLS if name not in LARGEST])
def test_more_parts_divide_classes_and_nothing_else(name: str) -> None:
    whole, divided = scales_of(name), scales_of(name, 4)
    assert len(divided.sizes) >= len(whole.sizes)
    for one, other in zip(whole, divided, strict=True):
        for label, site in {(block.label, block.site) for block in one.blocks}:
            cells = [np.sort(np.concatenate([b.cells for b in s.blocks if (b.label, b.site) == (label, site)])) for s in (one, other)]
            assert np.array_equal(*cells)


def described(scales: Scales, scale: Scale) -> list[tuple[int, int, tuple[int, ...]]]:
    """Class, site of the cell and place modulo the multiplier of every block, in the order they are drawn."""
    factor = round(scale.labels ** (1 / 3))
    found = []
    for block in scale.blocks:
        (place,) = {tuple(point) for point in (scale.torus.points[block.cells] % factor).tolist()}
        found.append((block.label, block.site, place))
    return found


@pytest.mark.parametrize(("small", "large", "levels"), [("FCC 4", "FCC 8", 1), ("FCC 8", "FCC 16", 2), ("square 16", "square 64", 4)])
def test_a_level_means_the_same_on_a_larger_supercell(small: str, large: str, levels: int) -> None:
    """The same classes in the same order, the same sites in a cell, the same steps between cells."""
    one, other = scales_of(small), scales_of(large)
    assert np.array_equal(one.cell.vectors, other.cell.vectors) and np.array_equal(one.cell.offsets, other.cell.offsets)
    for level in range(levels):
        first, second = (next(s for s in scales if s.level == level and not s.root) for scales in (one, other))
        assert (first.spacing, first.dilation, first.labels) == (second.spacing, second.dilation, second.labels)
        assert described(one, first) == described(other, second)
    for scales in (one, other):
        for scale in scales:
            corners = scale.torus.points * scale.spacing @ scales.cell.vectors
            meant = scales.lattice.site_index(corners[:, None] + scales.cell.offsets, scales.cell.sublattices)
            assert np.array_equal(scale.members, meant)


@pytest.mark.parametrize("name", ["square 12", "FCC 4", "FCC 13 sites", "HCP 4", "perovskite 4", "FCC 7, one site"])
def test_plans_are_moved_as_a_whole_and_known_as_their_own(name: str) -> None:
    layout = Layout(scales_of(name))
    order = layout.plan(5, Stream(0)).order
    assert len(order.unique(dim=0)) > 1 and bool(layout.are_moved(order).all())
    swapped = order.clone()
    swapped[1, [-1, -2]] = order[1, [-2, -1]]
    assert layout.are_moved(swapped).tolist() == [True, False, True, True, True]


def test_cells_that_the_supercell_is_no_multiple_of_are_refused() -> None:
    with pytest.raises(arl.InputError, match=r"^cells = .* the supercell .* must be a multiple of it$"):
        Cell.of(fcc(5), CUBIC)


@pytest.mark.parametrize("name", SUPERCELLS)
def test_the_cell_of_its_own_translations_is_the_same_cell(name: str) -> None:
    """What a file keeps are the translations: the sites of a cell must come back in the same order, on every supercell."""
    where, translations = SUPERCELLS[name]
    cell = Cell.of(where, translations)
    for again in (
        Cell.of(where, cell.vectors),
        Cell.of(where.with_supercell(np.diag([1 + p for p in where.pbc]) @ where.supercell), cell.vectors),
    ):
        assert np.array_equal(again.vectors, cell.vectors)
        assert np.array_equal(again.offsets, cell.offsets) and np.array_equal(again.sublattices, cell.sublattices)


@pytest.mark.parametrize("name", ["square 12", "HCP 4", "perovskite 4", "square, skewed"])
def test_plans_of_large_supercells_are_moved_without_a_table(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = [Layout(scales_of(name)) for _ in range(2)]
    first = layouts[0].plan(20, Stream(0)).order
    monkeypatch.setattr(scale_tables, "_SHIFTS", 0)
    assert torch.equal(layouts[1].plan(20, Stream(0)).order, first) and bool(layouts[1].are_moved(first).all())
