"""Sweeps: every variable against enumeration, targets and flags, parts that survive a kill, processes, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray

import arlattice as arl
from arlattice.cli.sweep import read_numbers
from arlattice.errors import InputError
from arlattice.hooks import Manager, using
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.samples import SampleSet
from arlattice.testing import randomise
from arlattice.thermo import sweep_run, sweep_state
from arlattice.thermo.exact import Enumeration

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # few samples on purpose: see tests/test_reliability.py

TEMPERATURES, FIELDS = [2.5, 4.0], [-0.2, 0.0, 0.3]


@pytest.fixture(scope="module")
def model(ising_model: Path) -> Model:
    return arl.load(ising_model)


@pytest.fixture(scope="module")
def dataset(model: Model) -> xarray.Dataset:
    return arl.sweep(model, TEMPERATURES, field=FIELDS, observables=["magnetisation"], n=2000, seed=5)


def sigmas(dataset: xarray.Dataset, name: str, truth: xarray.DataArray) -> np.ndarray:
    return (abs(dataset[name] - truth) / dataset[f"{name}_error"]).values


def exact_sets() -> list[list[SampleSet]]:
    """All configurations in every state, with equal probability of being drawn: weighted averages are exact."""
    all_states = Enumeration.of(arl.hamiltonian("ising", supercell=(3, 3)))
    n = len(all_states.energy)
    log_prob = torch.full((n,), -math.log(n), dtype=torch.float64)

    def at(temperature: float, h: float) -> SampleSet:
        state = arl.SemiGrandCanonical(temperature, {"up": h, "down": -h})
        return SampleSet(
            all_states.hamiltonian.lattice, all_states.occupations.long(), all_states.energy, state, "reduced", log_prob=log_prob
        )

    return [[at(t, h) for h in FIELDS] for t in TEMPERATURES]


# -- what it gives -----------------------------------------------------------------------------------


def test_every_variable_agrees_with_enumeration(dataset: xarray.Dataset) -> None:
    """n = 2,000 in 6 states: 102 numbers within 4.5 sigma, a false alarm in 1,400 seeds."""
    for (t, row), temperature in zip(enumerate(exact_sets()), TEMPERATURES, strict=True):
        for f, exact in enumerate(row):
            here = dataset.isel(temperature=t, field=f)
            truth = {
                "log_z": exact.log_z().value,
                "phi": -temperature * exact.log_z().value / 9,
                "entropy": exact.entropy().value / 9,
                **{name: exact.mean(name).value for name in ("energy_per_site", "heat_capacity")},
                "x": [e.value for e in exact.means("composition").values()],
                "susceptibility": [e.value for e in exact.means("susceptibility").values()],
                "magnetisation": [e.value for e in exact.means("magnetisation").values()],
            }
            for name, value in truth.items():
                assert (sigmas(here, name, xarray.DataArray(value, dims=here[name].dims)) < 4.5).all(), (name, temperature, FIELDS[f])


def test_dimensions_units_and_errors_are_named(dataset: xarray.Dataset) -> None:
    assert dict(dataset.sizes) == {"temperature": 2, "field": 3, "species": 2, "moment": 5}
    assert dataset["x"].dims == ("temperature", "field", "species")
    assert list(dataset["species"].values) == ["down", "up"]
    for name, variable in dataset.data_vars.items():
        assert "units" in variable.attrs or name == "flagged"
        assert variable.attrs["long_name"]
    quality = ("ess", "khat", "samples", "out_of_range", "heavy_tail", "flagged")
    measured = [str(name) for name in dataset.data_vars if name not in quality and not str(name).endswith("_error")]
    assert measured == ["log_z", "phi", "entropy", "x", "energy_per_site", "heat_capacity", "susceptibility", "magnetisation"]
    assert all(dataset[f"{name}_error"].dims == dataset[name].dims for name in measured)
    assert dataset.attrs["sites"] == 9
    assert dataset["heat_capacity"].attrs["units"] == dataset["entropy"].attrs["units"] == "k_B"


def test_errors_of_the_columns_are_those_of_the_samples() -> None:
    """By hand from one set: per site where the column is, kT times the error of log Z in phi, nothing lost and nothing doubled."""
    samples = exact_sets()[0][2].select(slice(0, 300))
    found, log_z = sweep_state.averages(samples, {"magnetisation": {}}), samples.log_z()
    w = samples.weights
    by_hand = {
        "log_z": log_z.error,
        "phi": 2.5 * log_z.error / 9,
        "entropy": samples.entropy().error / 9,
        "energy_per_site": math.sqrt(float((w**2 * (samples.energy - w @ samples.energy) ** 2).sum()) * 300 / 299) / 9,
        "heat_capacity": samples.mean("heat_capacity").error,
    }
    assert {name: found[name]["value"].error for name in by_hand} == pytest.approx(by_hand, rel=1e-12)
    assert found["x"] == samples.means("composition") and found["magnetisation"] == samples.means("magnetisation")


def test_entropy_is_energy_less_mu_n_less_phi_over_kt(dataset: xarray.Dataset) -> None:
    mu_x = dataset["field"] * (dataset["x"].sel(species="up") - dataset["x"].sel(species="down"))
    entropy = (dataset["energy_per_site"] - mu_x - dataset["phi"]) / dataset["temperature"]
    np.testing.assert_allclose(dataset["entropy"], entropy, rtol=1e-12)


def test_a_state_gives_the_same_numbers_whatever_the_grid(model: Model, dataset: xarray.Dataset) -> None:
    one = arl.sweep(model, 4.0, field=0.3, n=2000, seed=5)
    assert float(one["log_z"].squeeze()) == float(dataset["log_z"].sel(temperature=4.0, field=0.3))


def test_delta_mu_is_the_second_species_less_the_first_and_twice_the_field(model: Model) -> None:
    by_delta_mu = arl.sweep(model, 2.5, delta_mu=[0.4], n=2000, seed=1)
    by_name = arl.sweep(model, 2.5, chemical_potentials={"up": [0.4]}, n=2000, seed=1)
    by_field = arl.sweep(model, 2.5, field=[0.2], n=2000)
    assert (by_delta_mu["log_z"].dims, by_name["log_z"].dims) == (("temperature", "delta_mu"), ("temperature", "mu_up"))
    assert float(by_delta_mu["log_z"].squeeze()) == float(by_name["log_z"].squeeze())
    difference = float(by_delta_mu["phi"].squeeze() - by_field["phi"].squeeze())
    assert difference == pytest.approx(-0.2, abs=0.05)  # only the zero of mu differs: sum mu x is 2h x_up or h (x_up - x_down)


def test_three_species_have_a_dimension_for_each_chemical_potential() -> None:
    potts = arl.hamiltonian("potts", supercell=(2, 2), q=3)
    untrained = build_model("any-order-transformer", potts, {"width": 16, "heads": 2, "layers": 1}).eval()
    first, second, _ = potts.species
    found = arl.sweep(untrained, [1.0, 2.0], chemical_potentials={first: [0.0, 0.5], second: [0.1, 0.2, 0.3]}, n=200)
    assert found["log_z"].dims == ("temperature", f"mu_{first}", f"mu_{second}")
    assert found["x"].sum("species").values == pytest.approx(np.ones((2, 2, 3)))
    assert (found["x"].sel(species=first).diff(f"mu_{first}") > 0).all()
    with pytest.raises(InputError, match="needs two species"):
        arl.sweep(untrained, 1.0, delta_mu=0.0)


# -- precision ---------------------------------------------------------------------------------------


def test_more_is_drawn_until_the_target_is_reached(model: Model) -> None:
    found = arl.sweep(model, TEMPERATURES, field=0.1, n=100, target_error={"x_up": 0.01, "log_z": 0.03}, max_samples=10**5)
    assert (found["x_error"].sel(species="up") <= 0.01).all() and (found["log_z_error"] <= 0.03).all()
    assert (found["samples"] > 100).all() and (found["samples"] < 5 * 10**4).all()
    assert not found["flagged"].any()


def test_all_draws_have_one_size_so_that_a_recorded_graph_serves_every_state(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: set[tuple[int, ...]] = set()
    real = type(model).draw

    def draw(self: Model, noise: torch.Tensor, *rest: Any) -> Any:
        sizes.add(tuple(noise.shape))
        return real(self, noise, *rest)

    monkeypatch.setattr(type(model), "draw", draw)
    arl.sweep(model, TEMPERATURES, field=FIELDS, n=100, target_error={"x": 0.02}, max_samples=1000)
    assert sizes == {(9, 100)}


def test_a_state_is_flagged_where_the_target_is_not_reached_or_ess_is_low(model: Model) -> None:
    capped = arl.sweep(model, 2.5, n=100, target_error={"x": 1e-4}, max_samples=300, min_ess=0)
    assert int(capped["samples"].squeeze()) == 300 and capped["flagged"].all()
    assert arl.sweep(model, 2.5, n=100, min_ess=100.0)["flagged"].all()
    assert not arl.sweep(model, 2.5, n=100, min_ess=10)["flagged"].any()


# -- stopped and gone on with ------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[arl.SemiGrandCanonical]:
    """The states that are measured, as they are; the third stops the sweep."""
    states: list[arl.SemiGrandCanonical] = []
    real = sweep_state.measure

    def measure(model: Model, state: arl.SemiGrandCanonical, *rest: Any) -> Any:
        states.append(state)
        if len(states) == 3:
            raise KeyboardInterrupt
        return real(model, state, *rest)

    monkeypatch.setattr(sweep_run, "measure", measure)
    return states


def test_a_sweep_that_was_stopped_goes_on_where_it_was(model: Model, tmp_path: Path, measured: list[arl.SemiGrandCanonical]) -> None:
    out, settings = tmp_path / "sweep.nc", {"field": FIELDS, "n": 50, "seed": 2}
    with pytest.raises(KeyboardInterrupt):
        arl.sweep(model, TEMPERATURES, **settings, out=out)
    assert not out.exists()
    assert len(list((tmp_path / "sweep.nc.parts").glob("*.json"))) == 2
    resumed = arl.sweep(model, TEMPERATURES, **settings, out=out)
    assert len(measured) == 3 + 4  # two of six were there
    xarray.testing.assert_identical(resumed, arl.sweep(model, TEMPERATURES, **settings))
    with xarray.open_dataset(out, engine="h5netcdf") as written:
        xarray.testing.assert_equal(written, resumed)
    larger = arl.sweep(model, [*TEMPERATURES, 5.0], **settings, out=out)
    assert larger.sizes["temperature"] == 3
    assert len(measured) == 3 + 4 + 6 + 3  # only the new row


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"n": 60}, "made with n = 50, not 60"),
        ({"seed": 3}, "made with seed = 2, not 3"),
        ({"observables": ["magnetisation"]}, "made with observables = {}, not"),
        ({"target_error": {"x": 0.1}, "max_samples": 50}, "made with target_error = {}, not"),
    ],
)
def test_parts_of_another_sweep_are_refused_in_one_line(model: Model, tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    settings: dict[str, Any] = {"n": 50, "seed": 2, "folder": tmp_path / "parts"}
    arl.sweep(model, 3.0, **settings)
    with pytest.raises(InputError) as error:
        arl.sweep(model, 3.0, **settings | changed)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_parts_of_another_model_and_damaged_parts_are_refused(model: Model, tmp_path: Path) -> None:
    arl.sweep(model, 3.0, n=50, folder=tmp_path)
    other = build_model("any-order-transformer", model.hamiltonian, {"width": 16, "heads": 1, "layers": 1}).eval()
    with pytest.raises(InputError, match="made with model"):
        arl.sweep(other, 3.0, n=50, folder=tmp_path)
    part = next(tmp_path.glob("*.json"))
    part.write_text(part.read_text()[:100])
    with pytest.raises(InputError, match=r"damaged, or not a file of arlattice \(JSONDecodeError\); remove it"):
        arl.sweep(model, 3.0, n=50, folder=tmp_path)


# -- elsewhere ---------------------------------------------------------------------------------------

STRANGER = """
import arlattice as arl


@arl.hookimpl
def arlattice_register_observables(register):
    register("square", lambda samples, options: samples.composition[:, 0] ** 2, summary="of a composition")
"""


def test_processes_give_what_one_process_gives_with_plugins_of_strangers(model: Model, tmp_path: Path) -> None:
    plugin = tmp_path / "stranger.py"
    plugin.write_text(STRANGER)
    settings: dict[str, Any] = {"field": [0.0, 0.1], "n": 50, "observables": ["square"], "seed": 1}
    with using(Manager([str(plugin)])):
        here = arl.sweep(model, TEMPERATURES, **settings)
        elsewhere = arl.sweep(model, TEMPERATURES, **settings, workers=2, out=tmp_path / "out.nc")
    xarray.testing.assert_allclose(elsewhere, here, rtol=1e-5)
    assert len(list((tmp_path / "out.nc.parts").iterdir())) == 4  # the model that the processes read is gone


def test_any_executor_runs_a_sweep(model: Model, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = arl.sweep(model, TEMPERATURES, n=50, pool=pool, folder=tmp_path)
    xarray.testing.assert_allclose(found, arl.sweep(model, TEMPERATURES, n=50, seed=found.seed), rtol=1e-5)


def test_workers_compute_in_the_precision_of_the_model_and_parts_of_another_are_not_taken(ising_model: Path, tmp_path: Path) -> None:
    randomise(arl.load(ising_model), seed=1).save(tmp_path / "model")
    exact, rough = (arl.load(tmp_path / "model", precision=precision) for precision in ("float32", "bfloat16"))
    settings: dict[str, Any] = {"n": 50, "seed": 4}
    with ThreadPoolExecutor(1) as pool:
        found = arl.sweep(rough, TEMPERATURES, pool=pool, out=tmp_path / "out.nc", **settings)
    here, other = (arl.sweep(model, TEMPERATURES, **settings) for model in (rough, exact))
    xarray.testing.assert_allclose(found, here, rtol=1e-5)
    assert float(abs(other.log_z - here.log_z).max()) > 1e-5  # what the test would not see is rounding
    with pytest.raises(InputError, match="is a part made with model"):
        arl.sweep(exact, TEMPERATURES, folder=tmp_path / "out.nc.parts", **settings)


def test_an_error_in_another_process_comes_back_in_words(model: Model, tmp_path: Path) -> None:
    plugin = tmp_path / "picky.py"
    plugin.write_text(STRANGER.replace("samples.composition[:, 0] ** 2", "samples.composition[: min(len(samples), 3), 0]"))
    with using(Manager([str(plugin)])), pytest.raises(arl.InputError, match="observable = 'square': plugin 'picky'"):
        arl.sweep(model, 2.0, n=50, observables=["square"], workers=2)


def test_a_black_box_that_no_plugin_registered_cannot_go_elsewhere() -> None:
    black_box = arl.FunctionHamiltonian(arl.chain(3), lambda x: x.sum(1).double(), units="reduced", name="nameless")
    untrained = build_model("any-order-transformer", black_box, {"width": 16, "heads": 2, "layers": 1}).eval()
    assert arl.sweep(untrained, 1.0, n=50)["log_z"].size == 1
    with pytest.raises(InputError, match="nameless"):
        arl.sweep(untrained, 1.0, n=50, workers=2)


# -- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"temperatures": [0.0, 1.0]}, "temperature = 0.0: must be > 0"),
        ({"temperatures": []}, "temperatures"),
        ({"temperatures": [1.0, 1.0]}, "give every value once"),
        ({"temperatures": "hot"}, "give a number or a list of numbers"),
        ({"delta_mu": [math.nan]}, "delta_mu"),
        ({"delta_mu": 0.0, "field": 0.0}, "give delta_mu or field, not both"),
        ({"chemical_potentials": {"Au": 0.0}}, "the species of this lattice are down, up"),
        ({"observables": ["magnetization"]}, "did you mean 'magnetisation'"),
        ({"observables": {"correlation": {"shell": 1}}}, "observables[correlation].shell"),
        ({"observables": ["l1_0"]}, "need an FCC lattice"),
        ({"target_error": {"x_Au": 0.1}}, "target_error = 'x_Au': is not measured; one of log_z"),
        ({"target_error": {"x": -0.1}}, "target_error.x"),
        ({"n": 1}, "n = 1"),
        ({"n": 100, "max_samples": 50}, "must be at least n = 100"),
        ({"min_ess": -1}, "min_ess"),
        ({"order": "sideways"}, "order = 'sideways'"),
        ({"workers": 0}, "workers = 0"),
        ({"out": "sweep.txt"}, "ending in .nc"),
        ({"out": "no/such/folder/sweep.nc"}, "in a folder that is there"),
    ],
)
def test_bad_arguments_are_refused_in_one_line_before_anything_is_drawn(
    model: Model, arguments: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(model), "sample", lambda *_, **__: pytest.fail("drew"))
    with pytest.raises(InputError) as error:
        arl.sweep(model, **({"temperatures": 2.0} | arguments))
    assert told in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


# -- the command -------------------------------------------------------------------------------------


def test_the_command_writes_the_dataset_that_python_gives(
    ising_model: Path, model: Model, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    out = tmp_path / "sweep.nc"
    options = [
        "--temperature",
        "2.5:4:2",
        "--delta-mu=-0.4:0.4:3",
        "-n",
        50,
        "--observable",
        "correlation",
        "--set",
        "correlation.shells=2",
        "--seed",
        1,
    ]
    ran = run_cli("sweep", ising_model, *options, "--target-error", "x=0.05", "--quiet", "--json", "-o", out)
    assert ran.code == 0, ran.err
    summary = json.loads(ran.out)
    assert summary["states"] == 6 and summary["written"] == str(out)
    with xarray.open_dataset(out, engine="h5netcdf") as written:
        same = arl.sweep(
            model,
            [2.5, 4.0],
            seed=1,
            delta_mu=[-0.4, 0.0, 0.4],
            n=50,
            observables={"correlation": {"shells": 2}},
            target_error={"x": 0.05},
        )
        xarray.testing.assert_equal(written, same)
        assert int(written["samples"].sum()) == summary["samples"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("450:1250:17", np.arange(450, 1251, 50)), ("-0.2:0.2:41", np.arange(-20, 21) / 100), ("500,680", [500, 680]), ("3", [3])],
)
def test_ranges_include_both_ends(text: str, numbers: Any) -> None:
    assert read_numbers("--temperature", text) == pytest.approx(list(numbers), abs=1e-12)


@pytest.mark.parametrize("text", ["1:2", "1:2:x", "1:2:0", "", "a,b"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="give FROM:TO:COUNT"):
        read_numbers("--temperature", text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mu", "Au=0:1:2"], "the species of this lattice are down, up"),
        (["--set", "correlation.shells=2"], "--observable names"),
        (["--target-error", "x"], "give NAME=VALUE"),
        (["--observable", "nothing"], "not registered by any plugin"),
    ],
)
def test_mistakes_on_the_command_line_are_told_in_one_line(
    options: list[str], told: str, ising_model: Path, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    ran = run_cli("sweep", ising_model, "--temperature", "2", *options, "-o", tmp_path / "out.nc")
    assert ran.code == 2 and told in ran.err and ran.err.count("\n") == 1


def test_the_observables_are_listed_with_their_options(run_cli: Callable[..., Any]) -> None:
    listed = {row["name"] for row in json.loads(run_cli("observables", "--json").out)}
    assert {"l1_0", "short_range_order", "structure_factor", "magnetisation"} <= listed
    assert "neighbour shells" in run_cli("observables", "short_range_order").out


def test_a_sweep_without_a_seed_goes_on_with_that_of_its_parts(model: Model, tmp_path: Path) -> None:
    first = arl.sweep(model, 2.5, n=20, folder=tmp_path)
    more = arl.sweep(model, [2.5, 3.0], n=20, folder=tmp_path)
    assert first.seed == more.seed and float(first["log_z"][0]) == float(more["log_z"][0])
    assert arl.sweep(model, 2.5, n=20).seed != first.seed
    with pytest.raises(InputError, match="is a part made with seed"):
        arl.sweep(model, 2.5, n=20, folder=tmp_path, seed=first.seed + 1)
