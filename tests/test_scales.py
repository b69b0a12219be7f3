"""Scales of many supercells: what is drawn at once, how far apart it is, and convolutions on any torus."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.decoding.scales import Cell, Scale, Scales
from arlattice.decoding.torus import Torus
from arlattice.lattice import Lattice
from arlattice.models import scale_tables
from arlattice.models.scale_tables import Layout
from arlattice.models.torus_convolution import Rim, TorusConvolution
from arlattice.ordering import ordering_translations
from arlattice.random_numbers import Stream

FCC = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
BCC = np.array([[-1.5, 1.5, 1.5], [1.5, -1.5, 1.5], [1.5, 1.5, -1.5]])
HEXAGONAL = np.array([[2.5, 0.0, 0.0], [-1.25, 1.25 * 3**0.5, 0.0], [0.0, 0.0, 4.08]])
CUBE = 4.0 * np.eye(3)
PRIMITIVE = np.eye(3, dtype=int)
CUBIC = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # the conventional cell of FCC
CHECKERBOARD = np.array([[1, 1, 0], [1, -1, 0], [0, 0, 1]])
B2 = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
PEROVSKITE = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
AB, OX = ("A", "B"), ("O", "X")


def lattice(cell: np.ndarray, supercell: Any, basis: Any = ((0, 0, 0),), allowed: Any = None, flat: bool = False) -> Lattice:
    held = tuple(allowed or [AB] * len(basis))
    species = tuple(dict.fromkeys(s for names in held for s in names))
    return Lattice(cell, np.array(basis, dtype=float), held, PRIMITIVE, species, (True, True, not flat)).with_supercell(supercell)


def fcc(supercell: Any) -> Lattice:
    return lattice(FCC, supercell)


def rock_salt(supercell: Any) -> Lattice:
    return lattice(FCC, supercell, [[0, 0, 0], [0.5] * 3], [AB, OX])


def perovskite(supercell: Any) -> Lattice:
    return lattice(CUBE, supercell, PEROVSKITE, [("Sr",), AB, OX, OX, OX])


def triangular(size: int) -> Lattice:
    return lattice(HEXAGONAL, (size, size, 1), flat=True)


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


# -- the torus -------------------------------------------------------------------------------------

TORI = {"5": np.diag([5, 1, 1]), "3x4": np.diag([3, 4, 1]), "skewed": np.array([[3, 1, 0], [-1, 2, 0], [0, 0, 1]])}
TORI |= {"2x2x2": np.diag([2, 2, 2]), "skewed in space": np.array([[2, 1, 0], [0, 2, 1], [1, 0, 3]]), "FCC": 2 * B2}


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("name", TORI)
def test_a_divided_torus_has_the_multiples_of_a_factor(name: str, factor: int) -> None:
    torus = Torus(TORI[name])
    divided = torus.divided(factor)
    assert len({int(torus.number(factor * point)) for point in divided.points}) == len(divided)
    assert {int(n) for n in torus.number(factor * divided.points)} == {int(n) for n in torus.number(factor * torus.points)}


def axes_of(name: str) -> tuple[int, ...]:
    return {"5": (0,), "3x4": (0, 1), "skewed": (0, 1)}.get(name, (0, 1, 2))


def written_out(layer: TorusConvolution, torus: Torus, axes: tuple[int, ...], x: Tensor, dilation: int) -> Tensor:
    """The sum over the neighbours of every point, one by one."""
    weight = layer.linear.weight.view(layer.channels[1], *(3,) * len(axes), layer.channels[0])
    out = layer.linear.bias.expand(len(x), len(torus), -1).clone()
    for step in itertools.product((-1, 0, 1), repeat=len(axes)):
        there = torus.points.copy()
        there[:, list(axes)] += dilation * np.array(step)
        kernel = weight[(slice(None), *(s + 1 for s in step))]
        out = out + x[:, torch.from_numpy(torus.number(there))] @ kernel.T
    return out


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("name", TORI)
def test_a_convolution_is_the_sum_over_neighbours_and_so_is_its_gradient(name: str, dilation: int) -> None:
    """In double precision; also where a rim is wider than the torus."""
    torus, axes = Torus(TORI[name]), axes_of(name)
    layer = TorusConvolution((3, 4), len(axes)).double()
    with torch.no_grad():
        for k, parameter in enumerate(layer.parameters()):
            parameter.copy_(Stream(k).uniform(1, parameter.numel()).view(parameter.shape))
    x = Stream(5).uniform(2, len(torus) * 3).view(2, len(torus), 3).double().requires_grad_()
    weigh = Stream(6).uniform(2, len(torus) * 4).view(2, len(torus), 4).double()
    given = [x, *layer.parameters()]
    found = layer(x, Rim.of(torus, axes, dilation))
    expected = written_out(layer, torus, axes, x, dilation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    for one, other in zip(*(torch.autograd.grad((y * weigh).sum(), given) for y in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["skewed", "FCC"])
def test_the_gradient_of_a_rim_is_its_finite_difference(name: str) -> None:
    torus = Torus(TORI[name])
    rim = Rim.of(torus, axes_of(name), 2)
    x = Stream(0).uniform(1, 2 * len(torus)).view(1, len(torus), 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: rim(y), (x,))


# -- cells by rule -----------------------------------------------------------------------------------


def pairs(where: Lattice, *strengths: float, sublattices: tuple[int, ...] | None = None) -> arl.ClusterHamiltonian:
    """Equal species on the sites of some sublattices cost ``strengths``, one for each shell of neighbours."""
    chosen = range(len(where.basis)) if sublattices is None else sublattices
    steps = list(itertools.product(*[range(-2, 3) if p else (0,) for p in where.pbc]))
    found = [
        (i, j, o, round(float(np.linalg.norm((o + where.basis[j] - where.basis[i]) @ where.cell)), 6))
        for i in chosen
        for j in chosen
        for o in steps
    ]
    shells = dict(zip(sorted({length for *_, length in found if length > 0}), strengths, strict=False))
    even = np.eye(where.n_species) / 2
    terms = [([((0, 0, 0), i), (o, j)], shells[length] * even) for i, j, o, length in found if length in shells]
    return arl.ClusterHamiltonian.from_cell(where, terms, units="reduced")


def index(translations: np.ndarray) -> int:
    return abs(round(float(np.linalg.det(translations))))


RULES = {
    "FCC 4, L1_0 and L1_2": (pairs(fcc(4), 1.0, -0.3), 4),
    "FCC 8, L1_0 and L1_2": (pairs(fcc(8), 1.0, -0.3), 4),
    "FCC 4, nothing orders": (pairs(fcc(4), -1.0), 1),
    "FCC 3, no halves": (pairs(fcc([[2, 1, 0], [0, 2, 1], [1, 0, 3]]), 1.0), 1),
    "Ising": (arl.hamiltonian("ising", supercell=(4, 4)), 1),
    "antiferromagnet": (arl.hamiltonian("ising", supercell=(4, 4), J=-1.0), 2),
    "antiferromagnet in cells of two sites": (
        pairs(lattice(np.diag([1.0, 2.0, 9.0]), (4, 2, 1), [[0, 0, 0], [0, 0.5, 0]], flat=True), 1.0),
        4,
    ),
    "BCC, B2": (pairs(lattice(BCC, 4), 1.0), 2),
    "triangular, sqrt 3": (pairs(triangular(9), 1.0), 3),
    "HCP, sqrt 3 in each layer": (pairs(lattice(HEXAGONAL, (3, 3, 1), [[0, 0, 0], [1 / 3, 2 / 3, 0.5]]), 0.0, 1.0), 3),
    "triangular, stripes and sqrt 3": (pairs(triangular(6), 1.0), 12),
    "simple cubic, rock salt": (pairs(lattice(CUBE, 4), 1.0), 2),
    "rock salt, one sublattice": (pairs(rock_salt(4), 1.0, -0.3, sublattices=(0,)), 4),
    "perovskite, B sites": (pairs(perovskite(2), 1.0, sublattices=(1,)), 2),
}


@pytest.mark.parametrize("name", RULES)
def test_the_cells_are_those_that_the_ordered_phases_share(name: str) -> None:
    """Also of a black box with the same energies."""
    hamiltonian, expected = RULES[name]
    found = ordering_translations(hamiltonian)
    assert index(found) == expected
    box = arl.FunctionHamiltonian(hamiltonian.lattice, hamiltonian.energy, units="reduced")
    assert np.array_equal(ordering_translations(box), found)


def test_the_cell_of_cuau_is_the_cube_of_four_sites() -> None:
    cuau = arl.load("cuau-4x4x4").hamiltonian
    cell = Cell.of(cuau.lattice, ordering_translations(cuau))
    vectors = cell.vectors @ cuau.lattice.cell
    assert len(cell) == 4 and np.allclose(vectors @ vectors.T, np.eye(3) * (vectors[0] @ vectors[0]))


def test_compositions_that_a_hamiltonian_refuses_are_left_out() -> None:
    """All but the two pure ends and the patterns of a half: those still tell the checkerboard; and of none left, one site."""
    known = arl.hamiltonian("ising", supercell=(4, 4), J=-1.0)

    def some(allowed: tuple[int, ...]) -> arl.Hamiltonian:
        def energy(x: Tensor) -> Tensor:
            if not bool(torch.isin(x.sum(1), torch.tensor(allowed)).all()):
                raise ValueError("not this composition")
            return known.energy(x)

        return arl.FunctionHamiltonian(known.lattice, energy, units="reduced")

    assert index(ordering_translations(some((0, 8, 16)))) == 2
    assert index(ordering_translations(some((3,)))) == 1


def test_every_lowest_pattern_is_unchanged_by_the_cells() -> None:
    """The checkerboard of a square lattice in cells of two sites: opposite sites in a cell, and a wave along the other direction."""
    hamiltonian, _ = RULES["antiferromagnet in cells of two sites"]
    where = hamiltonian.lattice
    board = torch.from_numpy(np.rint(where.positions[:, :2]).astype(int).sum(1) % 2)
    assert float(hamiltonian.energy(board[None])) == 0.0
    for step in ordering_translations(hamiltonian):
        moved = where.site_index(where.cell_offsets + step, where.sublattice)
        assert torch.equal(board[torch.from_numpy(moved)], board)


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
