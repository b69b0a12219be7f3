"""Drawing orders are permutations; coarse-to-fine ones visit nested sublattices, each as wide as can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.neighborlist import neighbor_list
from torch import Tensor

import arlattice as arl
from arlattice.decoding.orders import ORDERS, draw_orders, levels
from arlattice.decoding.plans import resolve_plan
from arlattice.random_numbers import Stream

FCC = bulk("Cu", "fcc", a=4.0)
ROCK_SALT = bulk("NaCl", "rocksalt", a=5.6)
LATTICES = {
    "square 4": arl.square(4),
    "square 5": arl.square(5),
    "square 3x7": arl.square((3, 7)),
    "cubic 4": arl.cubic(4),
    "FCC 4x4x4": arl.Lattice.from_ase(FCC, ["Cu", "Au"], 4),
    "skewed FCC": arl.Lattice.from_ase(FCC, ["Cu", "Au"], [[2, 1, 0], [0, 2, 1], [1, 0, 3]]),
    "rock salt": arl.Lattice.from_ase(ROCK_SALT, [["Na", "X"], ["Cl"]], (2, 2, 3)),
    "one site": arl.square(1),
}


def stream(seed: int = 0) -> Stream:
    return Stream(seed)


def neighbours(lattice: arl.Lattice, sites: Tensor, cutoff: float) -> np.ndarray:
    """Number of neighbours of each of the sites among themselves within a cutoff."""
    atoms = lattice.to_ase(torch.zeros(lattice.n_sites, dtype=torch.long))[sites.numpy()]
    return np.bincount(neighbor_list("i", atoms, cutoff), minlength=len(atoms))


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_orders_are_permutations_of_the_sites(lattice: arl.Lattice, kind: str) -> None:
    orders = draw_orders(lattice, 50, kind, stream())
    assert torch.equal(orders.sort(1).values, torch.arange(lattice.n_sites).expand(50, -1))


@pytest.mark.parametrize("kind", ORDERS)
def test_orders_come_from_the_seed_alone(kind: str) -> None:
    lattice, before = LATTICES["square 5"], torch.get_rng_state()
    one, same, other = (draw_orders(lattice, 5, kind, stream(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and torch.equal(one, other) == (kind == "raster")
    assert torch.equal(torch.get_rng_state(), before)


def test_random_orders_put_every_site_everywhere_equally_often() -> None:
    """n = 4,000: each count is 1000 +- 27 of 4 x 4; 5 sigma, so false alarms 1e-5."""
    orders = draw_orders(arl.square(2), 4000, "random", stream())
    counts = torch.stack([torch.bincount(orders[:, step], minlength=4) for step in range(4)])
    assert int((counts - 1000).abs().max()) < 5 * 27.4


@pytest.mark.parametrize(
    ("lattice", "counts"),
    [
        (arl.square(4), [1, 1, 2, 4, 8]),
        (arl.square(5), [1, 4, 20]),
        (arl.square(20), [1, 4, 20, 25, 50, 100, 200]),
        (arl.chain(8), [1, 1, 2, 4]),
        (arl.cubic(2), [1, 1, 2, 4]),
        (LATTICES["FCC 4x4x4"], [1, 1, 2, 4, 8, 16, 32]),
        (LATTICES["skewed FCC"], [1, 12]),
        (LATTICES["rock salt"], [1, 1, 2, 2, 3, 3, 6, 6]),
        (arl.square(1), [1]),
    ],
    ids=repr,
)
def test_levels_grow_by_the_prime_factors_of_the_supercell(lattice: arl.Lattice, counts: list[int]) -> None:
    assert torch.bincount(levels(lattice)).tolist() == counts


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_coarse_to_fine_orders_finish_a_level_before_the_next_one_from_any_origin(lattice: arl.Lattice) -> None:
    origins = levels(lattice)[lattice.translations]
    for order in draw_orders(lattice, 20, "coarse-to-fine", stream()):
        visited = origins[:, order]
        assert bool((visited.diff(dim=1) >= 0).all(1).any())


def test_within_a_level_the_order_is_random_and_so_is_the_origin() -> None:
    """n = 800 on 4x4: 16 origins, 50 +- 6.8 each; 5 sigma, false alarms 1e-5. The last 8 sites in 8! orders."""
    orders = draw_orders(arl.square(4), 800, "coarse-to-fine", stream())
    counts = torch.bincount(orders[:, 0], minlength=16)
    assert int((counts - 50).abs().max()) < 5 * 6.85
    assert len(torch.unique(orders[:, 8:], dim=0)) > 700


@pytest.mark.parametrize("length", [2, 4, 6, 8, 20])
def test_the_last_level_of_an_even_square_lattice_is_one_colour_of_the_checkerboard(length: int) -> None:
    lattice = arl.square(length)
    last = levels(lattice) == levels(lattice).max()
    colour = torch.from_numpy(lattice.cell_offsets[:, :2].sum(1) % 2).bool()
    assert torch.equal(last, colour) or torch.equal(last, ~colour)


def test_the_half_of_fcc_that_comes_first_is_layers_of_l1_0_and_the_quarter_every_other_site_of_them() -> None:
    """The quarter is body-centred tetragonal, c = 2 a: 4 neighbours at a, then 8 at a sqrt(3/2); simple cubic has 6 at a."""
    lattice = LATTICES["FCC 4x4x4"]
    level = levels(lattice)
    quarter, half = (level <= 4).nonzero()[:, 0], (level <= 5).nonzero()[:, 0]
    assert (len(quarter), len(half)) == (16, 32)
    assert [set(neighbours(lattice, half, r)) for r in (2.82, 2.83, 3.99, 4.01)] == [{0}, {4}, {4}, {10}]
    assert [set(neighbours(lattice, quarter, r)) for r in (3.99, 4.01, 4.89, 4.91)] == [{0}, {4}, {4}, {12}]


def test_levels_of_a_square_lattice_are_as_wide_as_can_be() -> None:
    """Nearest distances down the chain of 16x16: 16, 8 sqrt 2, 8, 4 sqrt 2, 4, 2 sqrt 2, 2, sqrt 2, 1."""
    lattice = arl.square(16)
    level, found = levels(lattice), []
    for k in range(1, int(level.max()) + 1):
        offsets = lattice.cell_offsets[(level <= k).numpy()][:, :2]
        steps = (offsets - offsets[0] + 8) % 16 - 8
        found.append(np.sort((steps**2).sum(1))[1])
    assert found == [128, 64, 32, 16, 8, 4, 2, 1]


def test_levels_follow_the_lattice_and_not_the_choice_of_its_supercell_vectors() -> None:
    one = arl.Lattice.from_ase(FCC, ["Cu", "Au"], [[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    other = one.with_supercell([[4, 0, 0], [4, 4, 0], [-4, 8, 4]])
    where = torch.from_numpy(other.site_index(one.cell_offsets, 0))
    assert torch.equal(levels(one), levels(other)[where])


def test_known_sites_come_first_and_nothing_else_moves() -> None:
    known = torch.tensor([-1, 0, -1, 1])
    order = torch.tensor([2, 3, 0, 1])
    assert resolve_plan(arl.square(2), 2, order, stream()).with_given(known).order.tolist() == [[3, 1, 2, 0]] * 2


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ("fine-to-coarse", "one of coarse-to-fine, random"),
        (torch.tensor([0, 1, 2]), r"shape \(4,\) or \(3, 4\)"),
        (torch.tensor([[0, 1, 2, 3]] * 2), r"shape \(4,\) or \(3, 4\)"),
        (torch.tensor([0.0, 1.0, 2.0, 3.0]), "site numbers"),
        (torch.tensor([0, 1, 2, 2]), "permutation of 0..3"),
        (torch.tensor([1, 2, 3, 4]), "permutation of 0..3"),
    ],
)
def test_a_wrong_order_is_told(order: str | Tensor, complaint: str) -> None:
    with pytest.raises(arl.InputError, match=complaint):
        resolve_plan(arl.square(2), 3, order, stream())
