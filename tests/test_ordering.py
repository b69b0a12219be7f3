"""Cells by rule: those that the ordered phases of a Hamiltonian share."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from lattices import BCC, CUBE, HEXAGONAL, fcc, lattice, perovskite, rock_salt, triangular
from torch import Tensor

import arlattice as arl
from arlattice.decoding.scales import Cell
from arlattice.lattice import Lattice
from arlattice.ordering import ordering_translations


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
