"""Observables: perfect crystals and random alloys by hand, averages against enumeration, error bars that cover, strangers'."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch import Tensor

import arlattice as arl
from arlattice.errors import InputError
from arlattice.hooks import Manager, using
from arlattice.lattice import Lattice
from arlattice.models.build import build_model
from arlattice.samples import SampleSet
from arlattice.simple_lattices import chain, cubic, square
from arlattice.testing.cases import randomise
from arlattice.thermo.exact import Enumeration
from arlattice.thermo.observables import UndefinedWarning, Values
from arlattice.thermo.observables.fcc_order import cubic_axes
from arlattice.thermo.observables.shells import neighbour_shells
from arlattice.thermo.observables.structure_factor import commensurate_wavevectors

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # sets that hold all configurations once, and small ones

FCC = Lattice.from_ase(bulk("Cu", "fcc", a=3.8), ["Cu", "Au"], 4)
PARITY = torch.from_numpy(np.rint(FCC.positions / 1.9).astype(int) % 2)  # (sites, 3): which of two planes along x, y, z


def set_of(lattice: Lattice, occupations: Any, **arguments: Any) -> SampleSet:
    rows = torch.atleast_2d(torch.as_tensor(occupations)).long()
    return SampleSet(lattice, rows, torch.zeros(len(rows)), arl.SemiGrandCanonical(500.0), "eV", **arguments)


def values_of(samples: SampleSet, name: str, **options: Any) -> dict[str, float]:
    return {key: estimate.value for key, estimate in samples.means(name, **options).items()}


def l1_0(axis: int, plane: int) -> Tensor:
    """Au on every other plane along an axis."""
    return (PARITY[:, axis] == plane).long()


def l1_2(corner: tuple[int, int, int]) -> Tensor:
    """Cu3Au: Au on one of the four simple cubic sublattices."""
    return (torch.tensor(corner) == PARITY).all(1).long()


# -- order on FCC ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "plane"), list(itertools.product(range(3), range(2))))
def test_perfect_l1_0_has_order_1_in_its_own_variant_and_no_l1_2(axis: int, plane: int) -> None:
    samples = set_of(FCC, l1_0(axis, plane))
    found = values_of(samples, "l1_0")
    assert found.pop("total") == pytest.approx(1, abs=1e-12)
    assert {name: round(value, 9) for name, value in found.items() if abs(value) > 1e-9} == {f"{'xyz'[axis]}{'+-'[plane]}": 1}
    assert values_of(samples, "l1_2")["total"] == pytest.approx(0, abs=1e-12)
    assert values_of(samples, "fcc_phase") == {"L1_0": 1, "A3B": 0, "AB3": 0, "disordered": 0}


@pytest.mark.parametrize("corner", [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize("minority", [1, 0])
def test_perfect_l1_2_has_order_1_in_one_of_eight_variants_and_no_l1_0(corner: tuple[int, int, int], minority: int) -> None:
    samples = set_of(FCC, l1_2(corner) if minority else 1 - l1_2(corner))
    signs = "".join("+-"[c if minority else 1 - c] for c in corner)
    phase = "A3B" if minority else "AB3"
    found = values_of(samples, "l1_2")
    assert found.pop("total") == pytest.approx(1, abs=1e-12)
    assert {name: round(value, 9) for name, value in found.items() if abs(value) > 1e-9} == {f"{phase} {signs}": 1}
    assert values_of(samples, "l1_0")["total"] == pytest.approx(0, abs=1e-12)
    assert values_of(samples, "fcc_phase")[phase] == 1


def test_the_variants_share_the_order_and_phases_have_their_own_composition() -> None:
    samples = set_of(FCC, torch.stack([l1_0(0, 0), l1_0(1, 1), l1_2((0, 0, 0)), torch.zeros(64)]))
    found = values_of(samples, "l1_0")
    assert (found["total"], found["x+"], found["y-"]) == pytest.approx((0.5, 0.25, 0.25))
    assert values_of(samples, "fcc_phase") == {"L1_0": 0.5, "A3B": 0.25, "AB3": 0, "disordered": 0.25}
    within = values_of(samples, "fcc_phase_x")
    assert (within["L1_0"], within["A3B"], within["disordered"]) == pytest.approx((0.5, 0.25, 0))
    assert math.isnan(within["AB3"])


def test_a_phase_without_samples_leaves_the_errors_of_the_others() -> None:
    rows = torch.zeros(3, 64).long()
    rows[1:, 0] = 1
    found = set_of(FCC, rows).means("fcc_phase_x")
    assert math.isnan(found["L1_0"].value) and math.isnan(found["L1_0"].error)
    assert found["disordered"].error == pytest.approx(1 / 192)  # std(0, 1, 1) / sqrt(3) / 64


def test_order_is_of_the_species_that_is_named() -> None:
    ternary = Lattice.from_ase(bulk("Cu", "fcc", a=3.8), ["Cu", "Au", "Ag"], 4)
    samples = set_of(ternary, torch.where(l1_2((0, 0, 0)) == 1, 1, 2 * l1_0(0, 0)))
    assert values_of(samples, "l1_2", species="Au")["A3B +++"] == pytest.approx(1)
    assert values_of(samples, "l1_2")["A3B +--"] == pytest.approx(1)  # silver on another of the four sublattices


def test_turning_the_lattice_turns_the_cubic_axes() -> None:
    turn = np.linalg.qr(np.random.Generator(np.random.PCG64(0)).normal(size=(3, 3)))[0]
    turned = Lattice(FCC.cell @ turn, FCC.basis, FCC.allowed_species, FCC.supercell, FCC.species)
    axes = cubic_axes(turned)
    np.testing.assert_allclose(axes @ axes.T, 3.8**2 * np.eye(3), atol=1e-4)
    assert values_of(set_of(turned, l1_0(2, 0)), "l1_0")["total"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("lattice", [square(4), cubic(2), FCC.with_supercell(3)], ids=["square", "cubic", "odd FCC"])
@pytest.mark.parametrize("name", ["l1_0", "l1_2", "fcc_phase", "fcc_phase_x"])
def test_where_l1_0_and_l1_2_make_no_sense_they_are_refused_in_one_line(lattice: Lattice, name: str) -> None:
    with pytest.raises(InputError, match="L1_0 and L1_2") as error:
        set_of(lattice, torch.zeros(lattice.n_sites)).means(name)
    assert "\n" not in str(error.value)


# -- neighbours --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "neighbours", "ratios"),
    [
        (FCC, [12, 6, 24, 12], [1, 2, 3, 4]),
        (FCC.with_supercell([[2, 1, 0], [0, 2, 1], [1, 0, 3]]), [12, 6, 24, 12], [1, 2, 3, 4]),
        (cubic(3), [6, 12, 8], [1, 2, 3]),
        (square(4), [4, 4, 4, 8], [1, 2, 4, 5]),
        (chain(5), [2, 2], [1, 4]),
    ],
    ids=["FCC", "skewed FCC", "cubic", "square", "chain"],
)
def test_shells_have_the_neighbours_and_distances_of_textbooks(lattice: Lattice, neighbours: list[int], ratios: list[int]) -> None:
    shells = neighbour_shells(lattice, len(neighbours))
    assert [len(s.centre) / lattice.n_sites for s in shells] == neighbours
    assert [(s.distance / shells[0].distance) ** 2 for s in shells] == pytest.approx(ratios)
    for shell in shells:
        assert (torch.bincount(shell.centre) == torch.bincount(shell.neighbour)).all()


def test_the_shells_of_rock_salt_join_the_sublattices_in_turn() -> None:
    lattice = Lattice.from_ase(bulk("NaCl", "rocksalt", 5.6), [["Na", "K"], ["Cl", "Br"]], 2)
    first, second = neighbour_shells(lattice, 2)
    assert (first.distance, second.distance) == pytest.approx((2.8, 2.8 * math.sqrt(2)))
    assert len(first.centre) == 6 * lattice.n_sites and len(second.centre) == 12 * lattice.n_sites
    kind = torch.from_numpy(lattice.sublattice)
    assert (kind[first.centre] != kind[first.neighbour]).all() and (kind[second.centre] == kind[second.neighbour]).all()


# -- short-range order, correlations, structure factor ---------------------------------------------


@pytest.mark.parametrize(
    ("occupations", "alpha"), [(l1_0(2, 0), (-1 / 3, 1, -1 / 3)), (l1_2((0, 0, 0)), (-1 / 3, 1, -1 / 3))], ids=["L1_0", "L1_2"]
)
def test_warren_cowley_of_perfect_order_is_that_of_the_textbook(occupations: Tensor, alpha: tuple[float, ...]) -> None:
    found = values_of(set_of(FCC, occupations), "short_range_order")
    assert list(found) == ["Cu-Au 1", "Cu-Au 2", "Cu-Au 3"]
    assert list(found.values()) == pytest.approx(alpha)


def test_warren_cowley_of_a_random_ternary_is_zero_for_every_pair_within_4_sigma() -> None:
    """n = 2,000 configurations of 27 sites; 7 numbers, a false alarm in 2,000 seeds."""
    lattice = Lattice.from_ase(bulk("Cu", "fcc", a=3.8), ["Cu", "Au", "Ag"], 3)
    share = torch.tensor([0.5, 0.3, 0.2]).expand(2000, -1)
    samples = set_of(lattice, torch.multinomial(share, 27, replacement=True, generator=torch.Generator().manual_seed(0)))
    found = samples.means("short_range_order", shells=2) | samples.means("short_range_order", shells=1, pairs=[["Ag", "Ag"]])
    assert list(found) == ["Cu-Au 1", "Cu-Ag 1", "Au-Ag 1", "Cu-Au 2", "Cu-Ag 2", "Au-Ag 2", "Ag-Ag 1"]
    for name, estimate in found.items():
        assert abs(estimate.value) < 4 * estimate.error < 0.1, name


def test_warren_cowley_on_sublattices_is_against_random_mixing_on_each() -> None:
    lattice = Lattice.from_ase(bulk("NaCl", "rocksalt", 5.6), [["Na", "K"], ["Cl", "K"]], 2)
    rows = torch.tensor(list(itertools.product(*[row.nonzero()[:, 0].tolist() for row in lattice.allowed])))
    found = values_of(set_of(lattice, rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))]), "short_range_order")
    assert "Na-Cl 1" in found and "Na-Cl 2" not in found  # never second neighbours
    assert max(map(abs, found.values())) < 1e-12  # every configuration once: no correlations at all


def test_a_checkerboard_is_anticorrelated_with_its_neighbours() -> None:
    board = torch.arange(16).view(4, 4)
    samples = set_of(square(4), ((board // 4 + board) % 2).view(-1))
    assert values_of(samples, "correlation") == pytest.approx({"1": -1, "2": 1, "3": 1})
    assert values_of(samples, "structure_factor", wavevectors=[[0.5, 0.5, 0]]) == pytest.approx({"0.5 0.5 0": 16})
    with pytest.warns(UndefinedWarning, match="binder: nan, since every sample has m = 0"):
        assert values_of(samples, "magnetisation")["m2"] == 0


def test_a_ferromagnet_of_two_directions_has_all_moments_1_and_binder_two_thirds() -> None:
    samples = set_of(square(4), torch.stack([torch.zeros(16), torch.ones(16)]))
    assert values_of(samples, "magnetisation") == pytest.approx({"m": 0, "abs_m": 1, "m2": 1, "m4": 1, "binder": 2 / 3})
    assert values_of(samples, "correlation", shells=1, connected=True) == pytest.approx({"1": 1})
    assert values_of(set_of(square(4), torch.ones(16)), "correlation", shells=1, connected=True) == pytest.approx({"1": 0})


def test_there_are_as_many_wavevectors_as_cells_and_the_structure_factors_obey_the_sum_rule() -> None:
    lattice = FCC.with_supercell([[2, 1, 0], [0, 2, 1], [1, 0, 3]])
    wavevectors = commensurate_wavevectors(lattice)
    assert len(np.unique(np.round(wavevectors % 1.0, 6) % 1.0, axis=0)) == lattice.n_cells
    occupations = torch.randint(2, (5, lattice.n_sites), generator=torch.Generator().manual_seed(0))
    found = values_of(set_of(lattice, occupations), "structure_factor")
    assert sum(found.values()) == pytest.approx(lattice.n_sites)  # sum over k of S(k) = sum over sites of s^2


def test_l1_0_shows_as_one_superlattice_peak() -> None:
    found = values_of(set_of(FCC, l1_0(2, 0)), "structure_factor")
    peaks = {name: value for name, value in found.items() if value > 1e-9}
    assert list(peaks.values()) == pytest.approx([64])
    assert next(iter(peaks)) != "0 0 0"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("structure_factor", {"wavevectors": [[0.3, 0, 0]]}, "does not fit the supercell"),
        ("structure_factor", {"scattering": {"Cu": 1.0}}, "for each of Cu, Au"),
        ("short_range_order", {"pairs": [["Cu", "Pt"]]}, "the species of this lattice are Cu, Au"),
        ("short_range_order", {"shell": 2}, "did you mean 'shells'"),
        ("short_range_order", {"shells": 0}, "greater than or equal to 1"),
        ("l1_0", {"species": "Pt"}, "the species of this lattice are Cu, Au"),
        ("energie", {}, "did you mean 'energy"),
    ],
)
def test_wrong_options_are_refused_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        set_of(FCC, l1_0(0, 0)).means(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["magnetisation", "correlation"])
def test_spins_need_two_species(name: str) -> None:
    with pytest.raises(InputError, match="needs two species"):
        set_of(chain(3, ("a", "b", "c")), [0, 1, 2]).means(name)


# -- averages --------------------------------------------------------------------------------------

STATE = arl.SemiGrandCanonical(2.2, {"up": 0.15})


@pytest.fixture(scope="module")
def ising() -> Enumeration:
    return Enumeration.of(arl.hamiltonian("ising", supercell=(3, 3)))


@pytest.fixture(scope="module")
def exact(ising: Enumeration) -> SampleSet:
    """Every configuration, drawn with equal probability: weighted averages are exact."""
    n = len(ising.energy)
    log_prob = torch.full((n,), -math.log(n), dtype=torch.float64)
    return SampleSet(ising.hamiltonian.lattice, ising.occupations.long(), ising.energy, STATE, "reduced", log_prob=log_prob)


@pytest.fixture(scope="module")
def imperfect() -> SampleSet:
    """80,000 samples of a model with random weights: 200 sets of 400."""
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3))
    model = build_model("any-order-transformer", hamiltonian, {"width": 16, "heads": 2, "layers": 1})
    return randomise(model, seed=2, scale=0.06).eval().sample(80_000, STATE, seed=7)


def test_fluctuations_are_derivatives_of_the_exact_averages(ising: Enumeration, exact: SampleSet) -> None:
    def average(values: Tensor, temperature: float, up: float) -> float:
        return ising.mean(arl.SemiGrandCanonical(temperature, {"up": up}), values)

    def entropy(temperature: float) -> float:
        state = arl.SemiGrandCanonical(temperature, {"up": 0.15})
        log_f = ising.log_f(state)
        return float(log_f.logsumexp(0) - log_f.softmax(0) @ log_f)

    step, t, up = 1e-4, STATE.temperature, 0.15
    assert exact.entropy().value == pytest.approx(entropy(t))
    capacity = t * (entropy(t + step) - entropy(t - step)) / (2 * step) / 9
    assert exact.mean("heat_capacity").value == pytest.approx(capacity, rel=1e-6)
    x = exact.composition[:, 1]
    response = (average(x, t, up + step) - average(x, t, up - step)) / (2 * step)
    assert exact.means("susceptibility")["up"].value == pytest.approx(response, rel=1e-6)
    assert exact.mean("susceptibility:down").value == pytest.approx(response, rel=1e-6)


def test_weighted_averages_of_all_built_ins_agree_with_enumeration(exact: SampleSet, imperfect: SampleSet) -> None:
    """n = 80,000; about 40 numbers within 4.5 sigma: a false alarm in 4,000 seeds."""
    assert 0.2 < imperfect.ess < 0.8  # far from perfect
    names = [
        "energy",
        "composition",
        "magnetisation",
        "correlation",
        "short_range_order",
        "structure_factor",
        "heat_capacity",
        "susceptibility",
    ]
    for name in names:
        for key, estimate in imperfect.means(name).items():
            truth = exact.means(name)[key].value
            assert abs(estimate.value - truth) < 4.5 * estimate.error + 1e-12, f"{name}:{key}"


def test_error_bars_cover_the_truth_as_often_as_they_should(exact: SampleSet, imperfect: SampleSet) -> None:
    """200 repeats of n = 400 with an imperfect model: one sigma covers 60 to 76 % (68 +- 2.4 standard deviations)."""
    measured: dict[str, Callable[[SampleSet], arl.Estimate]] = {
        "log_z": SampleSet.log_z,
        "entropy": SampleSet.entropy,
        **{
            name: lambda s, name=name: s.mean(name)  # type: ignore[misc]
            for name in ("x_up", "energy", "heat_capacity", "susceptibility:up", "magnetisation:abs_m", "magnetisation:binder")
        },
    }
    covered = dict.fromkeys(measured, 0)
    truth = {name: measure(exact).value for name, measure in measured.items()}
    for k in range(200):
        repeat = imperfect.select(slice(400 * k, 400 * (k + 1)))
        for name, measure in measured.items():
            estimate = measure(repeat)
            covered[name] += abs(estimate.value - truth[name]) < estimate.error
    assert all(120 <= count <= 152 for count in covered.values()), covered


def test_a_mean_is_one_component_and_means_are_all(exact: SampleSet) -> None:
    """The last bit of a sum may depend on where its terms lie in memory."""
    same = partial(torch.testing.assert_close, rtol=1e-14, atol=1e-15)
    for one, other in (
        (exact.mean("x_up"), exact.means("composition")["up"]),
        (exact.mean("x_up"), exact.mean("composition:up")),
        (exact.mean("magnetisation:m2"), exact.means("magnetisation")["m2"]),
        (exact.mean("short_range_order", shells=1), exact.mean("short_range_order:down-up 1")),
    ):
        same(one.value, other.value)
        same(one.error, other.error)
    with pytest.raises(InputError, match="has the components m, abs_m, m2, m4, binder"):
        exact.mean("magnetisation")
    with pytest.raises(InputError, match="has the components"):
        exact.mean("magnetisation:m3")
    with pytest.raises(InputError, match="the species of this lattice are down, up"):
        exact.mean("x_Au")


def test_tensors_and_functions_may_have_several_columns(exact: SampleSet) -> None:
    for found in (exact.means(exact.composition)["1"], exact.means(lambda s: s.composition)["1"]):
        torch.testing.assert_close(found.value, exact.mean("x_up").value, rtol=1e-14, atol=1e-15)
    with pytest.raises(InputError, match="one value per sample"):
        exact.means(torch.zeros(3, 2))


def test_entropy_needs_the_normalisation() -> None:
    with pytest.raises(InputError, match="the entropy needs samples with exact log-probabilities"):
        set_of(FCC, l1_0(0, 0)).entropy()


# -- strangers' --------------------------------------------------------------------------------------

STRANGER = """
import torch
from pydantic import Field

import arlattice as arl
from arlattice.thermo.observables import UndefinedWarning, Values


class PowerOptions(arl.Options):
    power: int = Field(2, ge=1, description="of the composition")


def power(samples, options):
    return samples.composition[:, -1] ** options.power


def ratio(samples, options):
    return Values(samples.composition, ("ratio",), of_means=lambda means: means[:1] / means[1:])


@arl.hookimpl
def arlattice_register_observables(register):
    register("power", power, options=PowerOptions, summary="a power of the composition")
    register("ratio", ratio, summary="of the two compositions")
    register("wrong", lambda samples, options: torch.zeros(3), summary="of the wrong shape")
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    path = tmp_path / "stranger.py"
    path.write_text(STRANGER)
    return path


def test_an_observable_of_a_stranger_is_averaged_like_the_built_ins(stranger: Path, exact: SampleSet) -> None:
    with using(Manager([str(stranger)])):
        assert arl.plugins()[-1].observables == ("power", "ratio", "wrong")
        assert exact.mean("power", power=3) == exact.mean(exact.composition[:, 1] ** 3)
        down, up = exact.mean("x_down").value, exact.mean("x_up").value
        assert exact.mean("ratio").value == pytest.approx(down / up)
        assert exact.mean("ratio").error == pytest.approx(exact.mean("x_up").error / up**2)  # d(1/x - 1)/dx
        with pytest.raises(InputError, match="observable = 'wrong': plugin 'stranger' returned what is not one row per sample"):
            exact.mean("wrong")


def test_values_are_checked() -> None:
    with pytest.raises(InputError, match="one name for each of the 2 components"):
        Values(torch.zeros(4, 2), ("a",))
    with pytest.raises(InputError, match="finite"):
        Values(torch.tensor([1.0, math.nan]))
