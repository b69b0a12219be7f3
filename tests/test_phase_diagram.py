"""Phase boundaries by equal weight: against known boundaries, an enumerated Ising model, and wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray

import arlattice as arl
from arlattice.io.netcdf import write_netcdf
from arlattice.thermo.exact import Enumeration
from arlattice.thermo.phase_diagram import coexistences, invariants

pytestmark = pytest.mark.filterwarnings(
    "ignore::arlattice.LowEssWarning"
)  # coarse grids on purpose; tests/test_reliability.py has the warnings

PHASES = ("disordered", "L1_0")
SITES, TOP = 64, 800.0


def sweep_of(share: np.ndarray, x: np.ndarray, temperature: list[float], delta_mu: np.ndarray, phases: tuple[str, ...]) -> xarray.Dataset:
    dims = ("temperature", "delta_mu", "phase")
    error = 0.01 * np.ones_like(share)
    data = {"fcc_phase": share, "fcc_phase_error": error, "fcc_phase_x": x, "fcc_phase_x_error": error}
    coordinates = {"temperature": temperature, "delta_mu": delta_mu, "phase": list(phases)}
    sampled = {name: (dims[:2], np.full(share.shape[:2], value)) for name, value in (("ess", 0.5), ("samples", 2000))}
    return xarray.Dataset({name: (dims, values) for name, values in data.items()} | sampled, coordinates)


def model(temperature: list[float], delta_mu: np.ndarray) -> xarray.Dataset:
    """An ordered phase around Delta mu = 0 below TOP; log(P_order / P_disorder) is linear in |Delta mu|, zero at edge(T)."""
    ratio = np.array([[2000 * (edge(t) - abs(m)) for m in delta_mu] for t in temperature])
    order = 1 / (1 + np.exp(-ratio))
    x = np.stack([0.5 + 2 * np.broadcast_to(delta_mu, ratio.shape), 0.5 + 0.5 * np.broadcast_to(delta_mu, ratio.shape)], -1)
    return sweep_of(np.stack([1 - order, order], -1), x, temperature, delta_mu, PHASES)


def edge(temperature: float) -> float:
    return 0.1 * (1 - temperature / TOP)


def test_known_boundaries_and_tie_lines_are_found() -> None:
    temperature, delta_mu = [500.0, 600.0, 700.0], np.linspace(-0.1, 0.1, 41)
    found = coexistences(model(temperature, delta_mu))
    assert [(c.temperature, c.phases) for c in found] == [(t, pair) for t in temperature for pair in (PHASES, PHASES[::-1])]
    for c in found:
        side = -1 if c.phases == PHASES else 1
        assert c.delta_mu.value == pytest.approx(side * edge(c.temperature), abs=1e-3)
        ordered, disordered = c.x if c.phases[0] == "L1_0" else c.x[::-1]
        assert ordered.value == pytest.approx(0.5 + 0.5 * c.delta_mu.value, abs=1e-9)
        assert disordered.value == pytest.approx(0.5 + 2 * c.delta_mu.value, abs=1e-9)


def test_the_error_of_a_boundary_by_hand() -> None:
    """Shares .8/.2 known to .01, then .4/.6 known to .03: 5.5e-4, most of it from the second state, where the boundary is.

    Two shares that add up to one: an error e of one is an error e / (P_a P_b) of log(P_b / P_a).
    """
    found = coexistences(two_states([[0.8, 0.2], [0.4, 0.6]], [0.01, 0.03]))[0].delta_mu
    weight = np.log(4) / np.log(6)
    assert found.value == pytest.approx(0.01 * weight)
    assert found.error == pytest.approx(0.01 * np.hypot((1 - weight) * 0.01 / 0.16, weight * 0.03 / 0.24) / np.log(6))
    assert found.error == pytest.approx(5.5e-4, abs=0.05e-4)


def two_states(share: Any, error: Any, x: Any = None, x_error: float = 0.0) -> xarray.Dataset:
    """Two states 0.01 apart, (2, phases), at one temperature or (repeats, 2, phases) at many; an error for each state."""
    rows = np.array(share).reshape(-1, *np.shape(share)[-2:])
    names = ("disordered", "L1_0", "A3B", "AB3")[: rows.shape[-1]]
    at = np.full_like(rows, 0.5) if x is None else np.array(x).reshape(rows.shape)
    sweep = sweep_of(rows, at, list(500.0 + np.arange(len(rows))), np.array([0.0, 0.01]), names)
    sweep["fcc_phase_error"] = sweep["fcc_phase"].dims, np.broadcast_to(np.array(error).reshape(1, 2, -1), rows.shape).copy()
    sweep["fcc_phase_x_error"] = sweep["fcc_phase"].dims, np.full_like(rows, x_error)
    return sweep


RESAMPLED: dict[str, list[list[float]]] = {
    "two phases": [[0.8, 0.2], [0.4, 0.6]],
    "the boundary beside the first state": [[0.55, 0.45], [0.1, 0.9]],
    "a third phase": [[0.5, 0.3, 0.2], [0.25, 0.45, 0.3]],
    "four phases": [[0.4, 0.3, 0.1, 0.2], [0.2, 0.5, 0.2, 0.1]],
}


@pytest.mark.parametrize("name", RESAMPLED)
def test_errors_of_a_boundary_and_of_its_tie_line_are_the_spread_over_resampled_states(name: str) -> None:
    """4,000 pairs of states of 6,000 and 2,000 samples: the spread is known to 1.1 %, agreement is asked for within 5 % (4.5 sigma).

    Compositions of the phases are 0.3 and 0.4 in the first state, 0.35 and 0.6 in the second, each with noise of 0.01.
    """
    share, rng, n = np.array(RESAMPLED[name]), np.random.Generator(np.random.PCG64(1)), (6000, 2000)
    x = np.full(share.shape, 0.5)
    x[:, :2] = [[0.3, 0.4], [0.35, 0.6]]
    drawn = np.stack([rng.multinomial(k, p, size=4000) / k for k, p in zip(n, share, strict=True)], 1)
    noisy = x + rng.normal(scale=0.01, size=(4000, *x.shape))
    points = coexistences(two_states(drawn, [0.0, 0.0], noisy))
    assert len(points) == 4000
    errors = np.sqrt(share * (1 - share) / np.array(n)[:, None])
    told = coexistences(two_states(share, errors, x, 0.01))[0]
    assert np.std([p.delta_mu.value for p in points]) == pytest.approx(told.delta_mu.error, rel=0.05)
    for end in (0, 1):
        assert np.std([p.x[end].value for p in points]) == pytest.approx(told.x[end].error, rel=0.05)


def test_states_elsewhere_on_a_line_of_unequal_steps_change_nothing() -> None:
    """A state far before and one after the two between which the lead changes."""
    share, x = [[0.95, 0.05], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9]], [[0.2, 0.3], [0.3, 0.4], [0.35, 0.6], [0.36, 0.9]]
    alone = coexistences(two_states(share[1:3], [0.01, 0.03], x[1:3], 0.01))[0]
    among = sweep_of(np.array([share]), np.array([x]), [500.0], np.array([-0.05, 0.0, 0.01, 0.03]), ("disordered", "L1_0"))
    among["fcc_phase_error"] = among["fcc_phase"].dims, np.repeat([0.2, 0.01, 0.03, 0.2], 2).reshape(1, 4, 2)
    assert coexistences(among) == [alone]


def test_the_error_of_a_boundary_holds_for_weights_that_depend_on_the_phase() -> None:
    """4,000 pairs of states of 1,000 weighted samples, each phase with weights of its own spread; two phases: within 5 % (4.5 sigma).

    Errors of the shares come from one pair of 400,000 samples.
    """
    rng, spread = np.random.Generator(np.random.PCG64(2)), np.array([0.3, 1.0])

    def weighted(p: float, n: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
        """Share of the second phase and its error by the delta method, for each repeat."""
        phase = (rng.random((repeats, n)) < p).astype(int)
        w = np.exp(spread[phase] * rng.normal(size=phase.shape) - spread[phase] ** 2 / 2)
        share = (w * phase).sum(1) / w.sum(1)
        return share, np.sqrt((w**2 * (phase - share[:, None]) ** 2).sum(1)) / w.sum(1)

    first, second = (weighted(p, 1000, 4000)[0] for p in (0.3, 0.6))
    share = np.array([[1 - first, first], [1 - second, second]]).transpose(2, 0, 1)
    found = [c.delta_mu.value for c in coexistences(two_states(share, [0.0, 0.0]))]
    (a, e), (b, f) = (weighted(p, 400_000, 1) for p in (0.3, 0.6))
    errors = [float(e[0]) * 20, float(f[0]) * 20]
    told = coexistences(two_states([[1 - a[0], a[0]], [1 - b[0], b[0]]], errors))[0].delta_mu.error
    assert np.std(found) == pytest.approx(told, rel=0.05)


def test_a_boundary_beside_a_phase_that_was_not_seen_covers_where_it_is() -> None:
    """The second phase has 1 % at the first state and 60 % at the second; of 100 samples of the first, none was in it.

    The error covers the boundary of the true shares, and grows as the samples become fewer.
    """
    delta_mu, true = np.array([0.0, 0.1]), np.array([[[0.99, 0.01], [0.4, 0.6]]])
    drawn = np.array([[[1.0, 0.0], [0.4, 0.6]]])
    exact = coexistences(sweep_of(true, np.full_like(true, 0.5), [500.0], delta_mu, PHASES))[0].delta_mu.value
    errors = []
    for samples in (100, 1000):
        sweep = sweep_of(drawn, np.full_like(drawn, 0.5), [500.0], delta_mu, PHASES)
        sweep["fcc_phase_error"] = sweep["fcc_phase_error"] * (drawn > 0) * (drawn < 1)
        sweep["ess"][:], sweep["samples"][:] = 1.0, samples
        found = coexistences(sweep)[0].delta_mu
        errors.append(found.error)
        unseen = np.log(0.5 / samples)  # half an effective sample
        assert found.value == pytest.approx(0.1 * unseen / (unseen - np.log(1.5)))
        assert samples > 100 or abs(found.value - exact) < found.error < 0.03
    assert errors[0] > errors[1] > 0


def test_a_phase_without_samples_on_one_side_takes_its_composition_from_the_other() -> None:
    share, x = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[[0.3, np.nan], [np.nan, 0.7]]])
    c = coexistences(sweep_of(share, x, [500.0], np.array([0.0, 0.1]), PHASES))[0]
    assert (c.x[0], c.x[1]) == ((0.3, 0.01), (0.7, 0.01))  # value and error of the state in which it was seen
    assert c.delta_mu.value == pytest.approx(0.05)
    x[:] = np.nan
    c = coexistences(sweep_of(share, x, [500.0], np.array([0.0, 0.1]), PHASES))[0]
    assert np.isnan(c.x[0].value) and np.isinf(c.x[0].error)


def test_the_top_of_an_ordered_phase_is_congruent() -> None:
    temperature = [600.0, 700.0, 750.0, 850.0]
    points = invariants(coexistences(model(temperature, np.linspace(-0.1, 0.1, 201))), temperature)
    assert [(p.kind, p.phase) for p in points] == [("congruent maximum", "L1_0")]
    assert abs(points[0].temperature.value - TOP) <= points[0].temperature.error
    assert points[0].x == pytest.approx(0.5, abs=0.01)
    assert points[0].delta_mu == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("cold", "hot", "kind"),
    [("ABC", "AC", "peritectoid"), ("AC", "ABC", "eutectoid"), ("ABA", "A", "congruent maximum"), ("A", "ABA", "congruent minimum")],
)
@pytest.mark.filterwarnings("ignore::arlattice.MissingPhaseWarning")
def test_changes_of_the_sequence_of_phases_are_named(cold: str, hot: str, kind: str) -> None:
    share = np.zeros((2, 6, 3))
    for row, sequence in enumerate((cold, hot)):
        for j in range(6):
            share[row, j, "ABC".index(sequence[j * len(sequence) // 6])] = 1.0
    sweep = sweep_of(share, np.full_like(share, 0.5), [500.0, 600.0], np.linspace(0, 0.5, 6), ("A", "B", "C"))
    points = invariants(coexistences(sweep), [500.0, 600.0])
    assert [(p.kind, p.phase, p.temperature) for p in points] == [(kind, "B", arl.Estimate(550.0, 50.0))]


def test_the_two_magnetisations_of_ising_coexist_at_no_field() -> None:
    """4x4 enumerated, phases by the sign of m: Delta mu = 0 by symmetry, compositions (1 -+ <|m|>) / 2 of the two phases."""
    hamiltonian, temperature, delta_mu = arl.hamiltonian("ising", supercell=(4, 4)), 1.8, np.array([-0.03, 0.05])
    enumeration = Enumeration.of(hamiltonian)
    x_up = enumeration.occupations.double().mean(1)
    phase = torch.stack([x_up <= 0.5, x_up > 0.5], 1).double()
    share, x = np.zeros((1, 2, 2)), np.zeros((1, 2, 2))
    for j, mu in enumerate(delta_mu):
        p = enumeration.log_f(arl.SemiGrandCanonical(temperature, {"up": mu})).softmax(0)
        weight = p @ phase
        share[0, j], x[0, j] = weight.numpy(), ((p * x_up) @ phase / weight).numpy()
    c = coexistences(sweep_of(share, x, [temperature], delta_mu, ("down", "up")))[0]
    p = enumeration.log_f(arl.SemiGrandCanonical(temperature)).softmax(0)
    assert c.delta_mu.value == pytest.approx(0, abs=0.002)
    assert c.x[1].value == pytest.approx(float((p * x_up * phase[:, 1]).sum() / (p @ phase[:, 1])), abs=0.005)


def test_what_is_missing_is_named() -> None:
    data = model([500.0], np.linspace(-0.1, 0.1, 5))
    with pytest.raises(arl.InputError, match="needs the variable fcc_phase_x"):
        coexistences(data.drop_vars("fcc_phase_x"))
    with pytest.raises(arl.InputError, match="needs at least two values"):
        coexistences(data.isel(delta_mu=[0]))


# -- the command ---------------------------------------------------------------------------------------


def test_the_command_draws_and_prints(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    pytest.importorskip("matplotlib")
    path, picture = tmp_path / "sweep.nc", tmp_path / "diagram.png"
    write_netcdf(path, model([600.0, 700.0, 850.0], np.linspace(-0.1, 0.1, 41)))
    ran = run_cli("phase-diagram", str(path), "-o", str(picture), "--json")
    assert ran.code == 0, ran.err
    printed = json.loads(ran.out)
    assert len(printed["coexistences"]) == 4
    assert printed["invariants"][0]["point"] == "congruent maximum"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "congruent maximum" in run_cli("phase-diagram", str(path), "-o", str(picture)).out


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [("absent.nc", None, "no such file"), ("text.nc", b"not a dataset", "not netCDF")],
)
def test_bad_sweeps_are_told_in_one_line(
    tmp_path: Path, run_cli: Callable[..., Any], name: str, content: bytes | None, complaint: str
) -> None:
    pytest.importorskip("matplotlib")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ran = run_cli("phase-diagram", str(tmp_path / name), "-o", str(tmp_path / "d.png"))
    assert ran.code == 2
    assert complaint in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "d.png").exists()


def test_one_phase_everywhere_is_told(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    pytest.importorskip("matplotlib")
    write_netcdf(tmp_path / "s.nc", model([900.0], np.linspace(-0.1, 0.1, 5)))
    ran = run_cli("phase-diagram", str(tmp_path / "s.nc"), "-o", str(tmp_path / "d.png"))
    assert ran.code == 2 and "one phase leads everywhere" in ran.err
