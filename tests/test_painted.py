"""Painting: exactly normalised whatever the small model, exact where the small model is and nothing unknown is missed."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.decoding.orders import ORDERS
from arlattice.models.any_order_mlp import AnyOrderMLP, MLPOptions
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.base import Model
from arlattice.models.fixed_order_mlp import FixedOrderMLP
from arlattice.models.painted import Painted, paint, windows
from arlattice.testing import check_model, randomise
from arlattice.thermo.exact import Enumeration, enumerate_configurations, ising_torus_log_z

SMALL = AnyOrderTransformerOptions(width=16, heads=2, layers=2)
STATE = arl.SemiGrandCanonical(1.8, {"up": 0.3})
SHIFTS = np.array(list(itertools.product(range(-1, 2), repeat=3)))


def neighbours(lattice: arl.Lattice, steps: list[tuple[int, int, int]], seed: int = 0, scale: float = 0.4) -> arl.ClusterHamiltonian:
    """One random table for every step to a neighbour and one for every sublattice: the same physics in every supercell."""
    rng = np.random.Generator(np.random.PCG64(seed))
    q, terms = lattice.n_species, []
    for step in steps:
        table = rng.normal(scale=scale, size=(q, q))
        terms += [((i, int(j)), table) for i, j in enumerate(lattice.site_index(lattice.cell_offsets + np.array(step), lattice.sublattice))]
    fields = rng.normal(scale=scale, size=(len(lattice.basis), q))
    terms += [((i,), fields[b]) for i, b in enumerate(lattice.sublattice)]
    return arl.ClusterHamiltonian.from_terms(lattice, terms, 0.3, units="reduced", name="neighbours")


def spins(*size: int) -> arl.ClusterHamiltonian:
    return neighbours(arl.square((size[0], size[1])), [(1, 0, 0), (0, 1, 0)])


def rock_salt(*size: int) -> arl.ClusterHamiltonian:
    atoms = bulk("NaCl", "rocksalt", a=4.0)
    return neighbours(arl.Lattice.from_ase(atoms, [["Na", "X"], ["Cl", "O", "X"]], size), [(1, 0, 0)])


def transformer(hamiltonian: arl.Hamiltonian) -> Model:
    return randomise(AnyOrderTransformer(hamiltonian, SMALL)).double()


def perceptron(hamiltonian: arl.Hamiltonian) -> Model:
    return randomise(AnyOrderMLP(hamiltonian, MLPOptions(width=16, layers=1))).double()


class Exact(Model):
    """The Boltzmann distribution itself, by enumeration."""

    def __init__(self, hamiltonian: arl.Hamiltonian) -> None:
        super().__init__(hamiltonian, arl.Options())
        self.configurations = torch.cat(list(enumerate_configurations(hamiltonian.lattice)))
        self.double()

    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        x = self.configurations
        energy = self.hamiltonian.energy(x)
        log_f = torch.stack([conditions[i : i + 1].expand(len(x)).log_f(energy, x) for i in range(len(partial))])
        matching = ((partial[:, None] < 0) | (partial[:, None] == x)).all(-1)
        placed = x.T[sites[:, 0]]  # (B, M)
        logits = [torch.where(matching & (placed == s), log_f, -torch.inf).logsumexp(1) for s in range(self.lattice.n_species)]
        return torch.stack(logits, 1)[:, None]


# -- normalised, in every order --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"context": "all", "true_energies": False}, {"window_temperature": 1.7}], ids=str)
@pytest.mark.parametrize("small", [transformer, perceptron])
def test_a_painted_model_conforms(small: Any, options: dict[str, Any]) -> None:
    """Sums, sampling, inpainting, marginals: `arlattice.testing.check_model`, false alarms 1e-6 a case, n = 500."""
    check_model(paint(small(spins(2, 2)), spins(3, 3), **options), [STATE], n=500)


def test_sublattices_species_and_vacancies_conform() -> None:
    """False alarms 1e-6, n = 500."""
    check_model(paint(transformer(rock_salt(1, 1, 2)), rock_salt(1, 1, 3)), [arl.SemiGrandCanonical(1.5)], n=500)


def test_raster_is_the_order_of_choice() -> None:
    model = paint(transformer(spins(2, 2)), spins(3, 3))
    samples = model.sample(3, STATE)
    assert model.orders == ("raster", "coarse-to-fine", "random")
    assert samples.order is not None
    assert samples.order.tolist() == [list(range(9))] * 3
    assert samples.metadata["order_kind"] == "raster"


# -- exact where it can be -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("context", ["open", "all"])
def test_an_exact_model_painting_its_own_lattice_is_exact(context: Any, kind: str) -> None:
    """Hiding what touches nothing unknown loses nothing, and the energies of the two lattices cancel."""
    hamiltonian = spins(3, 4)
    painted = paint(Exact(hamiltonian), hamiltonian, context=context)
    x = torch.randint(2, (40, 12), generator=torch.Generator().manual_seed(0))
    exact = STATE.log_f(hamiltonian.lattice, "reduced", hamiltonian.energy(x), x) - Enumeration.of(hamiltonian).log_z(STATE)
    torch.testing.assert_close(painted.log_prob(x, STATE, kind), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("window", "true_energies", "exact"), [((3, 3), True, True), ((2, 2), True, True), ((2, 2), False, False)])
def test_the_last_site_is_exact_on_the_energies_of_the_large_lattice(window: tuple[int, int], true_energies: bool, exact: bool) -> None:
    """A 2x2 torus has both bonds to one neighbour; the large lattice has two neighbours."""
    large = spins(4, 5)
    painted = paint(Exact(spins(*window)), large, true_energies=true_energies)
    x = torch.randint(2, (30, 20), generator=torch.Generator().manual_seed(1))
    site = torch.arange(30) % 20
    conditions = Conditions.from_states([STATE], large).expand(30)
    found = weigh.next_logits(painted, x.scatter(1, site[:, None], -1), site, conditions).log_softmax(1)
    both = torch.stack([x.scatter(1, site[:, None], s) for s in (0, 1)])
    log_f = torch.stack([conditions.log_f(large.energy(y), y) for y in both], 1)
    assert torch.allclose(found, log_f.log_softmax(1), rtol=0, atol=1e-9) == exact


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_the_small_model_is_asked_at_a_factor_times_the_temperature(factor: float) -> None:
    """Nothing is known, so the network part is the small torus' marginal at ``factor`` T; its own Boltzmann factor is taken back.

    By hand, from the enumerated 2x2 torus: log p(s; factor T) - (1 / T - 1 / (factor T)) (e_s - mu_s), e_s the energy of the lone site.
    """
    small, large = spins(2, 2), spins(4, 5)
    painted = paint(Exact(small), large, window_temperature=factor)
    everything = Enumeration.of(small)
    p = everything.log_f(arl.SemiGrandCanonical(factor * STATE.temperature, STATE.chemical_potentials)).softmax(0)
    marginal = torch.stack([p[everything.occupations[:, 0] == s].sum() for s in (0, 1)])
    lone = small.completed_site_energies(torch.full((1, 4), -1), torch.tensor([0]))[0] - torch.tensor(STATE.mu_vector(small.lattice))
    expected = marginal.log() - (1 - 1 / factor) / STATE.temperature * lone
    found = weigh.next_logits(painted, torch.full((1, 20), -1), torch.tensor([7]), Conditions.from_states([STATE], large))[0]
    torch.testing.assert_close(found.log_softmax(0), expected.log_softmax(0), rtol=0, atol=1e-8)


def test_without_interactions_every_weight_is_the_partition_sum() -> None:
    small, large = (neighbours(arl.square(size), []) for size in ((2, 2), (4, 5)))
    samples = paint(Exact(small), large).sample(100, STATE, order="random")
    assert samples.log_weight.std() < 1e-6
    one_site = Enumeration.of(neighbours(arl.square((1, 1)), [])).log_z(STATE)
    energy = 0.3 * (1 - 20) / STATE.temperature  # the constant 0.3 belongs to the supercell, not to a site
    assert samples.log_z().value == pytest.approx(20 * one_site - energy, abs=1e-6)


def test_a_shipped_model_paints_a_critical_lattice() -> None:
    """10x10 -> 12x12 at T_c, exact log Z: less than a nat is lost. n = 64, whose error is 0.1; fails for nothing less than once in 1e6."""
    temperature = 2.269185314213022
    samples = paint(arl.load("ising-10x10"), arl.hamiltonian("ising", supercell=(12, 12))).sample(64, arl.SemiGrandCanonical(temperature))
    assert -0.2 < ising_torus_log_z(12, 1 / temperature) - samples.elbo().value < 1.0


# -- windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("supercell", [(2, 2, 4), [[2, 1, 0], [0, 2, 1], [1, 0, 3]]])
def test_a_window_holds_the_sites_nearest_to_its_centre(supercell: Any) -> None:
    small = arl.Lattice.from_ase(bulk("NaCl", "rocksalt", a=4.0), [["Na"], ["Cl", "O"]], supercell)
    large = small.with_supercell((2 * small.supercell).tolist())
    sites, distance = windows(small, large)
    sites = sites[..., 0]
    images = SHIFTS @ large.supercell_vectors
    between = large.positions[sites] - large.positions[:, None]
    shortest = np.linalg.norm(between[:, :, None] + images, axis=-1).min(-1)
    np.testing.assert_allclose(shortest, distance[large.sublattice], atol=1e-6)
    assert all(len(set(row)) == small.n_sites for row in sites.tolist())
    assert (large.sublattice[sites] == small.sublattice).all()


def test_a_window_on_its_own_lattice_is_the_whole_lattice() -> None:
    lattice = arl.square(4)
    sites = windows(lattice, lattice)[0][..., 0]
    assert (np.sort(sites, 1) == np.arange(16)).all()


def test_open_context_hides_what_touches_nothing_unknown() -> None:
    painted = paint(transformer(spins(3, 3)), spins(5, 5))
    partial = torch.zeros(1, 25, dtype=torch.long)
    partial[0, 12] = -1
    seen = painted.window(partial, torch.tensor([12]))[0]
    assert int((seen >= 0).sum()) == 4  # the neighbours
    assert int((paint(painted.small, spins(5, 5), context="all").window(partial, torch.tensor([12])) >= 0).sum()) == 8


def test_open_context_shows_the_far_side_where_the_near_one_no_longer_matters() -> None:
    """Rows 3 to 5 of ten are unknown. Seen from row 3, row 1 is shut in, and its place shows row 6, five further."""
    small, large = arl.square(5), arl.square(10)
    painted = paint(transformer(spins(5, 5)), spins(10, 10))
    partial = torch.randint(2, (1, 100), generator=torch.Generator().manual_seed(0))
    partial.view(10, 10)[3:6] = -1
    site, columns = int(large.site_index(np.array([3, 4, 0]), 0)), range(-2, 3)
    seen = painted.window(partial, torch.tensor([site]))[0]
    places = {step: small.site_index(np.array([[step, c, 0] for c in columns]), 0) for step in (-2, -1, 0, 1, 2)}
    rows = {step: partial.view(10, 10)[row, 2:7].tolist() for step, row in ((-2, 6), (-1, 2), (0, 3), (1, 4), (2, 5))}
    assert {step: seen[place].tolist() for step, place in places.items()} == rows


# -- as a model ------------------------------------------------------------------------------------


def test_known_sites_stay_and_the_rest_is_their_conditional() -> None:
    large = spins(3, 4)
    model = paint(transformer(spins(2, 2)), large)
    known = torch.full((12,), -1)
    known[[1, 5, 6]] = torch.tensor([1, 0, 1])
    samples = model.inpaint(known, 20, STATE)
    assert (samples.occupations[:, [1, 5, 6]] == torch.tensor([1, 0, 1])).all()
    assert samples.log_prob is not None
    joint = model.log_prob(samples.occupations, STATE, samples.order)
    order = samples.order[0]
    marginal = model.log_marginal(known[None], STATE, order=order)
    torch.testing.assert_close(samples.log_prob, joint - marginal, rtol=0, atol=1e-9)


def test_another_lattice_takes_the_same_small_model() -> None:
    painted = paint(transformer(spins(2, 2)), spins(3, 3), context="all")
    other = painted.on(spins(3, 4))
    assert isinstance(other, Painted)
    assert other.small is painted.small
    assert (other.options.context, other.lattice.n_sites) == ("all", 12)


REFUSED: dict[str, tuple[Any, str]] = {
    "fixed order": (lambda: paint(FixedOrderMLP(spins(2, 2), MLPOptions(width=8)), spins(3, 3)), "draws in these orders only"),
    "smaller": (lambda: paint(transformer(spins(3, 3)), spins(2, 6)), "does not fit"),
    "another cell": (lambda: paint(transformer(spins(2, 2)), rock_salt(2, 2, 2)), "must have the primitive cell"),
    "other species": (lambda: paint(transformer(spins(2, 2)), neighbours(arl.square(3, ("a", "b")), [])), "must have the primitive cell"),
    "other units": (
        lambda: paint(transformer(spins(2, 2)), arl.ClusterHamiltonian.from_terms(arl.square(3), [((0,), np.zeros(2))])),
        "units of the model",
    ),
    "context": (lambda: paint(transformer(spins(2, 2)), spins(3, 3), context="some"), "context = 'some'"),  # type: ignore[arg-type]
    "temperature": (lambda: paint(transformer(spins(2, 2)), spins(3, 3), window_temperature=0.0), "window_temperature = 0.0"),
    "composition": (
        lambda: paint(transformer(spins(2, 2)), spins(3, 3)).sample(2, arl.Canonical(2.0, {"up": 4})),
        "give a SemiGrandCanonical state",
    ),
    "saving": (lambda: paint(transformer(spins(2, 2)), spins(3, 3)).save(Path("nowhere")), "save the small model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_one_line(name: str) -> None:
    call, told = REFUSED[name]
    with pytest.raises(arl.InputError, match=told) as error:
        call()
    assert "\n" not in str(error.value)


# -- docs/painting.md ------------------------------------------------------------------------------


def test_the_table_of_the_page_is_what_the_benchmark_left() -> None:
    root = Path(__file__).parent.parent
    spec = importlib.util.spec_from_file_location("painting", root / "benchmarks" / "painting.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    page = (root / "docs" / "painting.md").read_text(encoding="utf-8")
    assert program.filled(page) == page, "run: python benchmarks/painting.py --table"
