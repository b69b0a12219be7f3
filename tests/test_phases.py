"""Rotary phases know displacements on the torus, all of them and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ase.build import bulk
from torch import Tensor

import arlattice as arl
from arlattice.models.phases import commensurate_wavevectors, rotary_phases, rotate

FCC = bulk("Cu", "fcc", a=4.0)
BRAVAIS = {
    "square 4": arl.square(4),
    "square 5": arl.square(5),
    "square 3x4": arl.square((3, 4)),
    "square 20": arl.square(20),
    "chain 7": arl.chain(7),
    "cubic 3": arl.cubic(3),
    "FCC 2x2x4": arl.Lattice.from_ase(FCC, ["Cu", "Au"], (2, 2, 4)),
    "FCC 4x4x4": arl.Lattice.from_ase(FCC, ["Cu", "Au"], 4),
    "skewed FCC": arl.Lattice.from_ase(FCC, ["Cu", "Au"], [[2, 1, 0], [0, 2, 1], [1, 0, 3]]),
    "long skewed FCC": arl.Lattice.from_ase(FCC, ["Cu", "Au"], [[1, 0, 0], [5, 2, 0], [3, 1, 3]]),
    "one site": arl.square(1),
}
ROCK_SALT = arl.Lattice.from_ase(bulk("NaCl", "rocksalt", a=5.6), [["Na", "X"], ["Cl"]], (2, 1, 2))
each_lattice = pytest.mark.parametrize("lattice", [*BRAVAIS.values(), ROCK_SALT], ids=[*BRAVAIS, "rock salt"])


def is_whole(values: np.ndarray) -> bool:
    return bool(np.abs(values - np.rint(values)).max(initial=0) < 1e-9)


@each_lattice
def test_phases_do_not_change_by_a_supercell_vector(lattice: arl.Lattice) -> None:
    """Wavevectors are whole numbers in units of the reciprocal supercell."""
    vectors = commensurate_wavevectors(lattice)
    assert vectors.shape[1:] == (3,) and vectors.dtype.kind == "i"


@pytest.mark.parametrize("lattice", BRAVAIS.values(), ids=BRAVAIS)
def test_a_bravais_lattice_has_one_wavevector_of_every_pair(lattice: arl.Lattice) -> None:
    """N - 1 without k = 0; those equal to their own negative stand alone, the others in pairs."""
    n = lattice.n_sites
    vectors = commensurate_wavevectors(lattice)
    waves = np.exp(2j * np.pi * lattice.fractional_positions @ vectors.T)
    alone = np.abs(waves.imag).max(0) < 1e-9
    everything = np.concatenate([np.ones((n, 1)), waves, waves[:, ~alone].conj()], 1)
    assert everything.shape == (n, n)
    assert np.allclose(everything.conj().T @ everything, n * np.eye(n), atol=1e-8)


@each_lattice
def test_no_two_sites_have_the_same_phases(lattice: arl.Lattice) -> None:
    phases = rotary_phases(lattice, 2, max(1, -(-len(commensurate_wavevectors(lattice)) // 2))).flatten(1)
    waves = torch.cat([phases.cos(), phases.sin()], 1)
    distance = torch.cdist(waves, waves) + 10 * torch.eye(len(waves))
    assert lattice.n_sites == 1 or float(distance.min()) > 1e-3


@each_lattice
def test_a_translation_shifts_every_phase_by_a_constant(lattice: arl.Lattice) -> None:
    phases = rotary_phases(lattice, 2, 6)
    for moved in lattice.translations:
        turns = (phases[moved] - phases) / (2 * np.pi)
        assert is_whole((turns - turns[:1]).numpy())


def attention(phases: Tensor, target: Tensor, source: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """One query at ``target`` looking at keys and values at ``source`` (n,), rotated as the transformer does."""
    at, there = (phases[target].cos(), phases[target].sin()), (phases[source].cos(), phases[source].sin())
    out = F.scaled_dot_product_attention(rotate(query, *at)[None], rotate(key, *there), rotate(value, *there))
    return rotate(out[0], at[0], -at[1])


@each_lattice
def test_attention_sees_displacements_only(lattice: arl.Lattice) -> None:
    generator = torch.Generator().manual_seed(0)
    phases = rotary_phases(lattice, 1, 8)[:, 0]
    n = lattice.n_sites
    query = torch.randn(16, generator=generator, dtype=torch.float64)
    key, value = torch.randn(2, n, 16, generator=generator, dtype=torch.float64)
    reference = attention(phases, torch.tensor(0), torch.arange(n), query, key, value)
    for moved in lattice.translations:
        assert torch.allclose(attention(phases, moved[0], moved, query, key, value), reference, rtol=0, atol=1e-12)
    if n > 2:
        other = torch.arange(n).roll(1)
        assert not torch.allclose(attention(phases, torch.tensor(0), other, query, key, value), reference, rtol=0, atol=1e-3)


def test_rotate_is_a_rotation() -> None:
    generator = torch.Generator().manual_seed(0)
    x, a, b = torch.randn(5, 8, generator=generator), *torch.randn(2, 5, 4, generator=generator)
    turned = rotate(x, a.cos(), a.sin())
    assert torch.allclose(turned.norm(dim=1), x.norm(dim=1))
    assert torch.allclose(rotate(turned, a.cos(), -a.sin()), x, atol=1e-6)
    assert torch.allclose(rotate(turned, b.cos(), b.sin()), rotate(x, (a + b).cos(), (a + b).sin()), atol=1e-6)
    assert torch.allclose(rotate(torch.tensor([1.0, 0.0]), *torch.tensor([[0.6], [0.8]])), torch.tensor([0.6, 0.8]))


def test_wavevectors_come_shortest_first_and_fill_all_slots() -> None:
    lattice = BRAVAIS["FCC 4x4x4"]
    reciprocal = np.linalg.inv(lattice.supercell_vectors).T
    lengths = np.linalg.norm(commensurate_wavevectors(lattice) @ reciprocal, axis=1)
    assert (np.diff(lengths) > -1e-8).all()
    for heads, pairs in itertools.product((1, 2), (3, 64)):
        phases = rotary_phases(lattice, heads, pairs)
        assert phases.shape == (64, heads, pairs) and phases.dtype == torch.float64


def test_two_sublattices_are_told_apart_by_the_wavevectors_beyond_the_primitive_zone() -> None:
    assert len(commensurate_wavevectors(ROCK_SALT)) > len(commensurate_wavevectors(ROCK_SALT.with_supercell((2, 1, 1))))
    phases = rotary_phases(ROCK_SALT, 1, 16)[:, 0]
    waves = torch.cat([phases.cos(), phases.sin()], 1)
    assert float(torch.cdist(waves[::2], waves[1::2]).min()) > 0.1
