"""A number never comes without its qualifier: low ESS, heavy tails, states outside the trained range, missing phases."""

from __future__ import annotations

import json
import math
import re
import tomllib
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray
from ase.build import bulk

import arlattice as arl
from arlattice.io.netcdf import write_netcdf
from arlattice.io.records import read_tensors, write_record, write_tensors
from arlattice.models.checkpoint import read_record, shipped_models
from arlattice.models.painted import paint
from arlattice.models.trained_range import TrainedRange
from arlattice.reliability import MIN_EFFECTIVE, StatisticsWarning, quiet
from arlattice.samples import OUT_OF_RANGE
from arlattice.thermo.bounds import check_modes
from arlattice.thermo.exact import Enumeration
from arlattice.thermo.pareto import khat
from arlattice.thermo.phase_diagram import coexistences, missing_phases
from arlattice.training.states import StateRange, trained_range

ROOT = Path(__file__).parents[1]
BINARY = arl.Lattice.from_ase(bulk("Cu", "fcc", a=3.8), ["Cu", "Au"], (2, 2, 4))
INSIDE = arl.SemiGrandCanonical(680, {"Au": 0.0})
RunCli = Callable[..., Any]


def given(call: Callable[[], Any]) -> list[type[Warning]]:
    """The categories of the warnings of a call, in order."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [w.category for w in found]


@pytest.fixture(scope="module")
def cuau() -> arl.Model:
    return arl.load("cuau-2x2x4")


def weighted(log_weight: torch.Tensor, **metadata: Any) -> arl.SampleSet:
    """A set with these weights up to a constant."""
    lattice = arl.square((3, 3))
    occupations = torch.zeros(len(log_weight), 9, dtype=torch.long)
    shifted = -(log_weight - log_weight.min()).double()  # f = 1
    state = arl.SemiGrandCanonical(1.0)
    return arl.SampleSet(lattice, occupations, torch.zeros(len(log_weight)), state, "reduced", log_prob=shifted, metadata=metadata)


# -- when an estimate warns, and when not ----------------------------------------------------------------


ESTIMATES: dict[str, Callable[[arl.SampleSet], Any]] = {
    "log_z": arl.SampleSet.log_z,
    "free_energy": arl.SampleSet.free_energy,
    "entropy": arl.SampleSet.entropy,
    "mean": lambda s: s.mean("energy"),
    "means": lambda s: s.means("composition"),
}
SILENT: dict[str, Callable[[arl.SampleSet], Any]] = {
    "ess": lambda s: s.ess,
    "khat": lambda s: s.khat,
    "warnings": lambda s: s.warnings,
    "elbo": arl.SampleSet.elbo,
    "repr": repr,
    "per_sample": lambda s: s.per_sample("energy"),
    "structures": lambda s: s.to_ase(),
    "select": lambda s: s.select([0, 1]),
    "resample": lambda s: s.resample(2, seed=0),
}


@pytest.mark.parametrize("name", ESTIMATES)
@pytest.mark.parametrize(("n", "expected"), [(99, [arl.LowEssWarning]), (100, [])])
def test_an_estimate_from_fewer_than_100_effective_samples_warns(name: str, n: int, expected: list[type]) -> None:
    assert given(lambda: ESTIMATES[name](weighted(torch.zeros(n)))) == expected


@pytest.mark.parametrize("name", SILENT)
def test_drawing_and_looking_do_not_warn(name: str) -> None:
    samples = weighted(torch.linspace(0, 5, 10), **{OUT_OF_RANGE: "temperature 5 is outside"})
    assert given(lambda: SILENT[name](samples)) == []


def test_it_is_effective_samples_that_count() -> None:
    """1000 samples of which 10 carry all the weight."""
    log_weight = torch.full((1000,), -50.0)
    log_weight[:10] = 0.0
    with pytest.warns(arl.LowEssWarning, match=r"10 effective samples \(1000 drawn, ESS 0.01\) are fewer than 100.*draw 10,000 samples"):
        weighted(log_weight).log_z()


def test_a_warning_is_given_once_for_a_set_and_a_reason() -> None:
    samples = weighted(torch.zeros(10), **{OUT_OF_RANGE: "temperature 5 is outside"})
    assert given(lambda: [f(samples) for f in ESTIMATES.values()]) == [arl.OutOfRangeWarning, arl.LowEssWarning]
    assert given(samples.log_z) == []
    assert [type(w) for w in samples.warnings] == [arl.OutOfRangeWarning, arl.LowEssWarning]
    assert given(replace(samples).log_z) == [arl.OutOfRangeWarning, arl.LowEssWarning]  # another set


def test_pythons_filters_rule() -> None:
    samples = weighted(torch.zeros(10))
    for _ in range(2):  # an error is not swallowed the second time
        with warnings.catch_warnings():
            warnings.simplefilter("error", arl.LowEssWarning)
            with pytest.raises(arl.LowEssWarning):
                samples.log_z()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", arl.StatisticsWarning)
        weighted(torch.zeros(10)).log_z()


def test_a_warning_points_at_the_line_that_asked() -> None:
    with pytest.warns(arl.LowEssWarning) as found:
        weighted(torch.zeros(10)).free_energy()
    assert found[0].filename == __file__


def test_one_class_stands_for_all_and_each_message_is_one_line_with_a_cure() -> None:
    with pytest.warns(arl.StatisticsWarning) as found:
        weighted(torch.randn(200, generator=torch.Generator().manual_seed(0)) * 4, **{OUT_OF_RANGE: "temperature 5 is outside"}).log_z()
    assert {w.category for w in found} == {arl.OutOfRangeWarning, arl.LowEssWarning, arl.HeavyTailWarning}
    assert all(issubclass(w.category, StatisticsWarning) for w in found) and issubclass(arl.LostModeWarning, StatisticsWarning)
    assert all("\n" not in str(w.message) and ";" in str(w.message) for w in found)


def test_monte_carlo_samples_have_no_weights_to_warn_of() -> None:
    assert given(lambda: replace(weighted(torch.zeros(10)), log_prob=None).mean("energy")) == []


def test_quiet_is_over_when_its_block_is() -> None:
    samples = weighted(torch.zeros(10))

    def silent() -> None:
        with quiet():
            samples.log_z()

    assert given(silent) == []
    assert given(samples.log_z) == [arl.LowEssWarning]


def test_weights_that_are_all_zero_warn() -> None:
    state = arl.Canonical(1.0, {"up": 1})
    assert given(lambda: replace(weighted(torch.zeros(200)), state=state).log_z()) == [arl.LowEssWarning]


# -- k-hat -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [30, 100, 226, 1000, 5000])
@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_khat_is_that_of_arviz(n: int, spread: float) -> None:
    """Log-normal weights; two programs for one formula, so they agree to rounding."""
    arviz = pytest.importorskip("arviz_stats.base").array_stats
    log_weight = spread * torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    assert khat(log_weight + 1000) == pytest.approx(float(arviz.psislw(-log_weight.numpy())[1]), abs=1e-9)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_khat_finds_the_shape_of_a_pareto_tail(k: float) -> None:
    """Weights u^-k have tail index k. n = 40,000, tail 600: error (1 + k) / sqrt(600), less than 0.08; the band is 4 of them."""
    u = torch.rand(40_000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert khat(-k * u.log()) == pytest.approx(k, abs=4 * (1 + k) / math.sqrt(600))


@pytest.mark.parametrize("log_weight", [torch.zeros(1000), torch.randn(20), torch.full((1000,), -math.inf), 1e-9 * torch.rand(1000)])
def test_without_a_tail_there_is_no_khat(log_weight: torch.Tensor) -> None:
    """Equal weights, too few, none, and rounding errors of log q."""
    assert math.isnan(khat(log_weight.double()))


def test_a_heavy_tail_warns_where_it_matters() -> None:
    noise = torch.randn(5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert given(weighted(1.0 * noise).log_z) == []
    assert arl.HeavyTailWarning in given(weighted(3.0 * noise).log_z)
    even = torch.zeros(5000, dtype=torch.float64)
    even[:80] = torch.rand(80, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 8
    samples = weighted(even)
    assert samples.khat > 0.7 and samples.ess > 0.9
    assert given(samples.log_z) == []  # their averages hardly depend on the tail


# -- the trained range -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_know_the_range_in_their_run_files(name: str) -> None:
    config = tomllib.loads((ROOT / "configs" / f"{name}.toml").read_text(encoding="utf-8"))
    kept = json.loads((ROOT / "arlattice" / "pretrained" / name / "config.json").read_text(encoding="utf-8"))
    hamiltonian, record = arl.load(name).hamiltonian, read_record(name)
    known = record["family"]["states"] if "family" in record else record["trained_range"]
    for states in (config["states"], kept["states"]):
        assert trained_range(StateRange.model_validate(states), hamiltonian).to_dict() == known


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (arl.SemiGrandCanonical(450, {"Au": -0.4}), None),
        (arl.SemiGrandCanonical(1250 * (1 + 1e-9), {"Au": 0.4}), None),
        (arl.SemiGrandCanonical(680, {"Cu": -0.3}), None),  # only differences matter
        (arl.SemiGrandCanonical(680, {"Cu": 1.0, "Au": 1.3}), None),
        (arl.Canonical(680, {"Au": 8}), None),
        (arl.SemiGrandCanonical(449), "temperature 449 is outside"),
        (arl.SemiGrandCanonical(1e-5), "temperature 1e-05 is outside"),
        (arl.SemiGrandCanonical(1251), "temperature 1251 is outside"),
        (arl.SemiGrandCanonical(680, {"Au": 0.41}), "mu Au = 0.41 is outside"),
        (arl.SemiGrandCanonical(680, {"Cu": 0.2, "Au": -0.21}), "mu Cu = 0.2, Au = -0.21 is outside"),
        (arl.Canonical(300, {"Au": 8}), "temperature 300 is outside"),
    ],
)
def test_a_box_of_temperature_and_mu(state: arl.Ensemble, reason: str | None) -> None:
    found = TrainedRange("eV", (450, 1250), {"Au": (-0.4, 0.4)}).outside(state, BINARY)
    assert found is None if reason is None else found == f"{reason} the trained range (temperature 450 to 1250 K; mu of Au -0.4 to 0.4 eV)"


def test_a_list_of_states_is_the_box_around_it_however_mu_is_written() -> None:
    states = [arl.SemiGrandCanonical(500, {"Au": 0.1}), arl.SemiGrandCanonical(700, {"Cu": -0.1})]
    box = TrainedRange.of_states(states, BINARY, "eV")
    assert str(box) == "temperature 500 to 700 K; mu of Au 0.1 eV"
    assert box.outside(arl.SemiGrandCanonical(600, {"Au": 0.1}), BINARY) is None
    assert box.outside(arl.SemiGrandCanonical(600, {"Au": 0.2}), BINARY) is not None
    assert str(TrainedRange.of_states([arl.SemiGrandCanonical(600)], BINARY, "eV")) == "temperature 600 K; all mu 0"


def test_fixed_compositions_have_a_box_of_fractions() -> None:
    box = TrainedRange.of_states([arl.Canonical(600, {"Au": 4}), arl.Canonical(600, {"Au": 0.5})], BINARY, "eV")
    assert str(box) == "temperature 600 K; fraction of Cu 0.5 to 0.75; fraction of Au 0.25 to 0.5"
    assert TrainedRange.from_record({"trained_range": json.loads(json.dumps(box.to_dict()))}) == box
    assert box.outside(arl.Canonical(600, {"Au": 6}), BINARY) is None
    assert box.outside(arl.Canonical(600, {"Au": 0.25}), BINARY.with_supercell((4, 4, 4))) is None
    assert "composition of Cu, Au is outside" in str(box.outside(arl.Canonical(600, {"Au": 9}), BINARY))
    assert "a state of given chemical potentials is not in" in str(box.outside(arl.SemiGrandCanonical(600), BINARY))


def test_a_composition_is_drawn_at_mu_0_which_must_be_in_the_box() -> None:
    box = TrainedRange("eV", (450, 1250), {"Au": (0.1, 0.4)})
    assert "mu 0, at which a fixed composition is drawn, is outside" in str(box.outside(arl.Canonical(600, {"Au": 8}), BINARY))


def test_a_field_is_a_difference_of_two_potentials() -> None:
    box = TrainedRange("reduced", (1.5, 5.0), {"up": (-2.0, 2.0)})
    lattice = arl.square((3, 3))
    for h, inside in ((1.0, True), (-1.0, True), (1.01, False)):
        assert (box.outside(arl.SemiGrandCanonical(2.0, arl.ChemicalPotentials.from_field(h)), lattice) is None) == inside


def trained(states: Any, **keywords: Any) -> arl.Model:
    options = {"steps": 1, "batch_size": 8, "replica_copies": 8, "equilibration_sweeps": 0, "evaluate_samples": 2, "objective": "forward"}
    hamiltonian = keywords.pop("hamiltonian", None) or arl.hamiltonian("ising", supercell=(2, 2))
    network = {"width": 8, "heads": 2, "layers": 1}
    return arl.train(hamiltonian, states, model_options=network, training=options, progress=False, **keywords)


@pytest.mark.parametrize("states", [StateRange(temperature=(2.0, 3.0)), arl.SemiGrandCanonical(2.0)], ids=["range", "one state"])
def test_training_records_its_range_which_files_keep(states: Any, tmp_path: Path) -> None:
    model = trained(states)
    model.save(tmp_path)
    found = arl.load(tmp_path)
    assert str(found.trained_range) == f"temperature {'2 to 3' if isinstance(states, StateRange) else '2'} J/k; all mu 0"
    assert given(found.sample(500, arl.SemiGrandCanonical(2.0), order="random").log_z) == []
    outside = found.sample(500, arl.SemiGrandCanonical(1.9), order="random")
    assert given(outside.log_z) == [arl.OutOfRangeWarning]


def test_a_warm_start_several_supercells_and_a_resumed_run_have_the_range_of_the_run(tmp_path: Path) -> None:
    trained(StateRange(temperature=(2.0, 3.0)), folder=tmp_path / "first")
    warm = trained(StateRange(temperature=(4.0, 5.0)), start=tmp_path / "first", folder=tmp_path / "warm")
    assert warm.trained_range is not None and warm.trained_range.temperature == (4.0, 5.0)
    resumed = trained(StateRange(temperature=(4.0, 5.0)), start=tmp_path / "first", folder=tmp_path / "warm", resume=True)
    assert resumed.trained_range == warm.trained_range


def test_models_of_older_files_say_that_they_do_not_know(tmp_path: Path, run_cli: RunCli, cuau: arl.Model) -> None:
    cuau.save(tmp_path / "old")
    path = tmp_path / "old" / "model.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    del described["record"]["trained_range"]
    del described["sha256"]
    write_record(path, described)
    assert "trained range  not recorded" in run_cli("models", tmp_path / "old").out
    old = arl.load(tmp_path / "old")
    assert old.trained_range is None
    assert arl.OutOfRangeWarning not in given(old.sample(200, arl.SemiGrandCanonical(5)).log_z)
    path.unlink()
    assert arl.load(tmp_path / "old").trained_range == cuau.trained_range  # the weights hold the record too
    weights = tmp_path / "old" / "model.safetensors"
    tensors, description = read_tensors(weights)
    del description["record"]
    write_tensors(weights, tensors, description)
    assert arl.load(tmp_path / "old").trained_range is None


def test_the_command_shows_the_range_in_words(run_cli: RunCli) -> None:
    assert "temperature 450 to 1250 K; mu of Au -0.4 to 0.4 eV" in run_cli("models", "cuau-2x2x4").out
    shown = json.loads(run_cli("models", "cuau-2x2x4", "--json").out)["trained_range"]
    assert shown == {"units": "eV", "temperature": [450.0, 1250.0], "chemical_potentials": {"Au": [-0.4, 0.4]}}


def test_a_painted_model_has_the_range_of_the_small_one() -> None:
    painted = paint(arl.load("ising-10x10"), arl.hamiltonian("ising", supercell=(10, 12)))
    assert str(painted.trained_range) == "temperature 1.5 to 5 J/k; mu of up -2 to 2 J"


@pytest.mark.parametrize("temperature", [5, 20, 100, 200, 1e-5])
def test_far_below_the_trained_range_every_estimate_warns(cuau: arl.Model, temperature: float) -> None:
    """At 5 K log Z was off by 37 of its errors without a word: exact 1345.41 by enumeration."""
    samples = cuau.sample(200, arl.SemiGrandCanonical(temperature, {"Au": 0.0}))
    for estimate in ESTIMATES.values():
        assert arl.OutOfRangeWarning in given(lambda: estimate(replace(samples)))  # noqa: B023


def test_inside_the_range_nothing_warns_and_log_z_is_exact(cuau: arl.Model) -> None:
    """n = 500 in 4 states: within 4 of its errors, a false alarm in 4,000."""
    enumeration = Enumeration.of(cuau.hamiltonian)
    for temperature, mu in ((450, 0.0), (680, 0.1), (1250, -0.4), (1250, 0.0)):
        state = arl.SemiGrandCanonical(temperature, {"Au": mu})
        log_z = cuau.sample(500, state, seed=1).log_z()  # warnings are errors here
        assert abs(log_z.value - enumeration.log_z(state)) < 4 * log_z.error + 1e-4


def test_what_is_outside_survives_files_selection_and_joining(cuau: arl.Model, tmp_path: Path) -> None:
    cold = arl.SemiGrandCanonical(100)
    samples = cuau.sample(120, cold, seed=1)
    samples.write(tmp_path / "cold.nc")
    samples.write(tmp_path / "cold.extxyz")
    for found in (samples.select(slice(50)), arl.SampleSet.read(tmp_path / "cold.nc"), arl.SampleSet.read(tmp_path / "cold.extxyz")):
        assert arl.OutOfRangeWarning in {type(w) for w in found.warnings}
    metadata = {key: value for key, value in samples.metadata.items() if key != OUT_OF_RANGE}
    joined = arl.SampleSet.concatenate([replace(cuau.sample(120, cold, seed=2), metadata=metadata), samples])
    assert arl.OutOfRangeWarning in {type(w) for w in joined.warnings}


@pytest.mark.parametrize("temperature", [1e-320, 1e-100, 1e-50, 1e300])
def test_numbers_that_overflow_are_refused_not_nan(cuau: arl.Model, temperature: float) -> None:
    with pytest.raises(arl.InputError, match=r"gives kT = .* between 1e-30 and 1e30"):
        cuau.sample(10, arl.SemiGrandCanonical(temperature))


def test_mu_that_overflows_is_refused(cuau: arl.Model) -> None:
    with pytest.raises(arl.InputError, match="too far"):
        cuau.sample(10, arl.SemiGrandCanonical(600, {"Au": 1e39}))


# -- where numbers are printed and kept --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")
def test_the_printed_table_and_json_hold_the_warnings(run_cli: RunCli) -> None:
    command = ("sample", "cuau-2x2x4", "--temperature", 5, "-n", 200, "--quiet")
    assert "warning 1" in run_cli(*command).out and "temperature 5 is outside" in run_cli(*command).out
    printed = json.loads(run_cli(*command, "--json").out)
    assert any("temperature 5 is outside" in text for text in printed["warnings"])
    assert printed["khat"] > 0.7 and printed["effective_samples"] == pytest.approx(200 * printed["ess"])
    good = run_cli("sample", "cuau-2x2x4", "--temperature", 680, "-n", 200, "--quiet", "--json")
    assert json.loads(good.out)["warnings"] == []
    assert json.loads(good.out)["lost_mode"] is None
    assert re.search(r"\nlost mode +not looked for \(--check-modes\)\n", run_cli(*command).out)


def test_the_command_line_warns_on_standard_error(run_cli: RunCli) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always", StatisticsWarning)
        ran = run_cli("sample", "cuau-2x2x4", "--temperature", 680, "-n", 20, "--quiet")
    assert ran.code == 0
    assert [line[:20] for line in ran.err.splitlines()] == ["arlattice: warning: "]
    refused = run_cli("sample", "cuau-2x2x4", "--temperature", 680, "-n", 20, "--quiet")  # warnings are errors here
    assert refused.code == 2 and refused.err.startswith("arlattice: error: ") and "effective samples (20 drawn" in refused.err


def test_the_command_looks_for_lost_modes_by_monte_carlo(run_cli: RunCli) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        cold, good = (run_cli("sample", "cuau-2x2x4", "--temperature", t, "--quiet", "--check-modes", "--json") for t in (5, 680))
    assert json.loads(cold.out)["lost_mode"] and "may have lost a mode" in cold.err
    found = json.loads(good.out)
    assert not found["lost_mode"] and "lost a mode" not in good.err and found["p_ess"]["value"] > 0.95
    lower, upper = (found[f"log_z_{which}"] for which in ("lower", "upper"))
    assert lower["value"] - 4 * lower["error"] < 12.5425 < upper["value"] + 4 * upper["error"]  # by enumeration


@pytest.mark.parametrize("command", ["sample", "inpaint"])
def test_defaults_of_the_commands_draw_enough(command: str) -> None:
    from arlattice.cli import commands

    options = {p.name: p for c in commands() if c.name == command for p in c.params}
    assert options["n"].default >= 2 * MIN_EFFECTIVE


def test_a_sweep_warns_once_a_reason_and_keeps_it(tmp_path: Path, cuau: arl.Model) -> None:
    def run(**keywords: Any) -> xarray.Dataset:
        return arl.sweep(cuau, [100, 680], delta_mu=[0.0, 0.1], folder=tmp_path / "parts", **keywords)

    with pytest.warns(StatisticsWarning) as found:
        dataset = run(n=40)
    assert found[0].category is arl.LowEssWarning and len({w.category for w in found}) == len(found)
    assert "4 of 4 states have fewer than 100 effective samples" in str(found[0].message)
    assert "2 of 4 states were not trained for (at T = 100, mu_Au = 0 temperature 100 is outside" in str(found[-1].message)
    assert json.loads(dataset.attrs["warnings"]) == [str(w.message) for w in found]
    assert dataset["flagged"].all() and dataset["out_of_range"].values.tolist() == [[True, True], [False, False]]
    assert dataset["khat"].shape == (2, 2)
    assert given(lambda: run(n=40)) == [w.category for w in found]  # from the parts that are kept, too


def test_a_sweep_of_enough_samples_is_silent_and_unflagged(cuau: arl.Model) -> None:
    dataset = arl.sweep(cuau, [680], delta_mu=[0.0, 0.1], n=150)
    assert not dataset["flagged"].any() and dataset.attrs["warnings"] == "[]"


def test_a_sweep_may_ask_for_fewer(cuau: arl.Model) -> None:
    assert not arl.sweep(cuau, [680], delta_mu=[0.0], n=40, min_ess=20)["flagged"].any()


def test_parts_without_khat_are_read(tmp_path: Path, cuau: arl.Model) -> None:
    arl.sweep(cuau, [680], n=150, folder=tmp_path)
    (part,) = tmp_path.glob("*.json")
    kept = json.loads(part.read_text(encoding="utf-8"))
    del kept["khat"]
    del kept["sha256"]
    write_record(part, kept)
    assert np.isnan(arl.sweep(cuau, [680], n=150, folder=tmp_path)["khat"].values).all()


# -- missing phases ------------------------------------------------------------------------------------------


def diagram(share: float, samples: int) -> xarray.Dataset:
    """Two states whose leading phase changes; the other has ``share``."""
    dims = ("temperature", "delta_mu", "phase")
    shares = np.array([[[1 - share, share], [share, 1 - share]]])
    data = {name: (dims, shares) for name in ("fcc_phase", "fcc_phase_error", "fcc_phase_x", "fcc_phase_x_error")}
    sampled = {name: (dims[:2], np.full((1, 2), value)) for name, value in (("ess", 0.5), ("samples", samples))}
    return xarray.Dataset(data | sampled, {"temperature": [500.0], "delta_mu": [0.0, 0.1], "phase": ["A", "B"]})


def test_a_phase_diagram_says_where_a_phase_has_few_samples() -> None:
    (point,) = coexistences(diagram(0.1, 400))
    assert point.effective == pytest.approx((20, 20)) and not point.few
    with pytest.warns(arl.LowEssWarning, match="beside 1 of 1 transitions a phase has fewer than 10 effective samples"):
        (point,) = coexistences(diagram(0.04, 400))
    assert point.few


def with_unseen(*names: str) -> xarray.Dataset:
    """`diagram` with further phases that no sample is in."""
    seen = diagram(0.1, 400)
    return seen.reindex(phase=[*seen["phase"].values, *names], fill_value=0.0)


def test_a_phase_diagram_names_the_phases_that_no_sample_is_in() -> None:
    assert missing_phases(diagram(0.1, 400)) == []
    assert missing_phases(with_unseen("C", "D")) == ["C", "D"]
    with pytest.warns(arl.MissingPhaseWarning, match="no sample of the sweep is in phase C: the diagram cannot show it"):
        coexistences(with_unseen("C"))
    with pytest.warns(arl.MissingPhaseWarning, match="is in the phases C, D: the diagram cannot show them"):
        (point,) = coexistences(with_unseen("C", "D"))
    assert point == coexistences(diagram(0.1, 400))[0]


@pytest.mark.filterwarnings("always::arlattice.MissingPhaseWarning", "ignore:Attempting to set identical")
def test_the_printed_phase_diagram_names_them(tmp_path: Path, run_cli: RunCli) -> None:
    pytest.importorskip("matplotlib")
    write_netcdf(tmp_path / "s.nc", with_unseen("C"))
    ran = run_cli("phase-diagram", tmp_path / "s.nc", "-o", tmp_path / "d.png")
    assert "\nwarning: no sample of the sweep is in phase C" in ran.out and "arlattice: warning: no sample of the sweep" in ran.err
    (text,) = json.loads(run_cli("phase-diagram", tmp_path / "s.nc", "-o", tmp_path / "d.png", "--json").out)["warnings"]
    assert text.startswith("no sample of the sweep is in phase C")


@pytest.mark.filterwarnings("ignore::arlattice.LowEssWarning", "ignore:Attempting to set identical")  # matplotlib: one temperature
def test_the_printed_phase_diagram_marks_it(tmp_path: Path, run_cli: RunCli) -> None:
    pytest.importorskip("matplotlib")
    write_netcdf(tmp_path / "s.nc", diagram(0.04, 400).assign_attrs(warnings=json.dumps(["1 of 2 states are poor"])))
    ran = run_cli("phase-diagram", tmp_path / "s.nc", "-o", tmp_path / "d.png")
    assert "few samples" in ran.out and "warning: of the sweep: 1 of 2 states are poor" in ran.out
    printed = json.loads(run_cli("phase-diagram", tmp_path / "s.nc", "-o", tmp_path / "d.png", "--json").out)
    assert printed["warnings"] == ["1 of 2 states are poor"] and printed["coexistences"][0]["effective_1"] == 8


def test_one_call_compares_the_model_with_monte_carlo(cuau: arl.Model) -> None:
    """At 5 K the model misses the ground states that replica exchange finds; at 680 K it does not."""
    with pytest.warns(arl.LostModeWarning, match="may have lost a mode"):
        cold = check_modes(cuau, arl.SemiGrandCanonical(5, {"Au": 0.0}), n=200, chains=8, sweeps=40)
    assert cold.lost_mode and cold.lower.value < 1345.4 < cold.upper.value + 4 * cold.upper.error
    good = check_modes(cuau, INSIDE, n=500, chains=8, sweeps=60, rungs=4)
    log_z = Enumeration.of(cuau.hamiltonian).log_z(INSIDE)
    assert not good.lost_mode
    assert good.lower.value - 4 * good.lower.error < log_z < good.upper.value + 4 * good.upper.error


@pytest.mark.parametrize(("argument", "options"), [("rungs", {"rungs": 1}), ("hottest", {"hottest": 600.0})])
def test_a_ladder_that_does_not_rise_is_refused(cuau: arl.Model, argument: str, options: dict[str, Any]) -> None:
    with pytest.raises(arl.InputError, match=argument):
        check_modes(cuau, INSIDE, **options)


# -- the zero of energy ----------------------------------------------------------------------------------------


pytest_icet = pytest.mark.filterwarnings("ignore::arlattice_icet.SelfInteractionWarning", "ignore::DeprecationWarning:spglib")


@pytest_icet
def test_cuau_and_its_trained_models_have_one_zero_of_energy_by_default(cuau: arl.Model) -> None:
    pytest.importorskip("icet")
    assert arl.hamiltonian("cuau", supercell=(2, 2, 4)).fingerprint == cuau.hamiltonian.fingerprint


@pytest_icet
def test_another_zero_is_refused_where_it_meets_the_model(cuau: arl.Model) -> None:
    pytest.importorskip("icet")
    from arlattice.montecarlo import sample_chains
    from arlattice.thermo.bounds import bracket
    from arlattice.thermo.mbar import mbar

    own = arl.hamiltonian("cuau", supercell=(2, 2, 4), formation_energies=False)
    chains, drawn = sample_chains(own, INSIDE, chains=4, sweeps=20, burn_in=0), cuau.sample(40, INSIDE)
    meetings: list[Callable[[], Any]] = [
        lambda: arl.load("cuau-2x2x4", hamiltonian=own),
        lambda: cuau.on(own),
        lambda: paint(cuau, arl.hamiltonian("cuau", supercell=(4, 4, 4), formation_energies=False)),
        lambda: mbar([drawn, chains], model=cuau),
        lambda: bracket(drawn, chains, cuau),
        lambda: arl.SampleSet.concatenate([replace(chains), sample_chains(cuau.hamiltonian, INSIDE, chains=4, sweeps=20, burn_in=0)]),
    ]
    for meet in meetings:
        with pytest.raises(arl.InputError, match="formation_energies"):
            meet()
    paint(cuau, arl.hamiltonian("cuau", supercell=(4, 4, 4)))
