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
from arlattice.thermo.exact import Enumeration
from arlattice.thermo.phase_diagram import coexistences, invariants

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.LowEssWarning")  # coarse grids on purpose; tests/test_trust.py has the warnings

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


def test_the_error_of_a_boundary_is_that_of_the_log_ratio_over_its_slope() -> None:
    delta_mu = np.array([-0.01, 0.01])
    share = np.array([[[0.8, 0.2], [0.2, 0.8]]])
    c = coexistences(sweep_of(share, np.full_like(share, 0.5), [500.0], delta_mu, PHASES))[0]
    log_ratio_error = np.hypot(0.01 / 0.8, 0.01 / 0.2) / np.sqrt(2)
    slope = 2 * np.log(4) / 0.02
    assert c.delta_mu.value == pytest.approx(0)
    assert c.delta_mu.error == pytest.approx(log_ratio_error / slope)


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
        assert samples > 100 or abs(found.value - exact) < found.error < 0.03
    assert errors[0] > errors[1] > 0


def test_a_phase_without_samples_on_one_side_takes_its_composition_from_the_other() -> None:
    share, x = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[[0.3, np.nan], [np.nan, 0.7]]])
    c = coexistences(sweep_of(share, x, [500.0], np.array([0.0, 0.1]), PHASES))[0]
    assert (c.x[0].value, c.x[1].value) == (0.3, 0.7)
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


@pytest.mark.parametrize(
    ("cold", "hot", "kind"),
    [("ABC", "AC", "peritectoid"), ("AC", "ABC", "eutectoid"), ("ABA", "A", "congruent maximum"), ("A", "ABA", "congruent minimum")],
)
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
    hamiltonian, temperature, delta_mu = arl.hamiltonian("ising", size=(4, 4)), 1.8, np.array([-0.03, 0.05])
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
    model([600.0, 700.0, 850.0], np.linspace(-0.1, 0.1, 41)).to_netcdf(path, engine="h5netcdf")
    ran = run_cli("phase-diagram", str(path), "-o", str(picture), "--json")
    assert ran.code == 0, ran.err
    printed = json.loads(ran.out)
    assert len(printed["coexistences"]) == 4
    assert printed["invariants"][0]["point"] == "congruent maximum"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "congruent maximum" in run_cli("phase-diagram", str(path), "-o", str(picture)).out


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [("absent.nc", None, "no such file"), ("text.nc", b"not a dataset", "is not netCDF")],
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
    model([900.0], np.linspace(-0.1, 0.1, 5)).to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    ran = run_cli("phase-diagram", str(tmp_path / "s.nc"), "-o", str(tmp_path / "d.png"))
    assert ran.code == 2 and "one phase leads everywhere" in ran.err
