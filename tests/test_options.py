"""Every option of every class of options that ships does what it says away from its default.

The table names one test for every option. `test_every_option_has_a_test_away_from_its_default` fails when an option is added, renamed
or removed without one. What no other file tests is tested here, against a value by hand or a count.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import arlattice_icet
import arlattice_ising
import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.montecarlo.moves import RegisteredSweep
from arlattice.montecarlo.replica_exchange import ReplicaExchange
from arlattice.random_numbers import Stream
from arlattice.samples import SampleSet
from arlattice.testing import randomise
from arlattice.thermo.sweep_state import SweepOptions, measure
from arlattice.training import trainer as trainer_module
from arlattice.training.config import TrainingOptions
from arlattice.training.objectives import Loss
from arlattice.training.states import StateRange
from arlattice.training.trainer import Trainer

HERE = "test_options"
SIZES = f"{HERE}:test_a_network_has_the_size_that_was_asked_for"
BATCH = f"{HERE}:test_a_step_gets_what_the_options_say"
SCHEDULE = f"{HERE}:test_the_loop_runs_as_often_as_the_options_say"

AWAY_FROM_DEFAULT: dict[str, dict[str, str]] = {
    "AnyOrderTransformerOptions": {
        "width": SIZES,
        "heads": SIZES,
        "layers": SIZES,
        "positions": "test_supercells:test_primitive_waves_are_nearly_the_same_on_every_supercell",
        "reads": "test_any_alloy:test_every_member_has_one_normalised_distribution_wherever_the_model_is",
    },
    "MarginalTransformerOptions": {"energies": "test_marginal:test_without_energies_the_whole_lattice_is_learned_too"},
    "MLPOptions": {
        "width": SIZES,
        "layers": SIZES,
        "energies": "test_families:test_untrained_models_without_energies_are_uniform_over_allowed_species",
    },
    "AnyOrderMLPOptions": {"centred": "test_families:test_a_centred_perceptron_passes_too_and_translations_change_nothing"},
    "FixedOrderMLPOptions": {"width": SIZES},
    "MultiscaleOptions": {
        "width": SIZES,
        "layers": SIZES,
        "cells": "test_multiscale_use:test_cells_on_request_and_others_refused",
        "parts": "test_multiscale_training:test_more_parts_make_more_and_smaller_blocks",
        "energies": "test_multiscale:test_a_given_site_is_seen_at_every_scale_also_where_it_is_finer",
    },
    "PaintedOptions": {
        "context": "test_painted:test_open_context_hides_what_touches_nothing_unknown",
        "true_energies": "test_painted:test_the_last_site_is_exact_on_the_energies_of_the_large_lattice",
        "window_temperature": "test_painted:test_the_small_model_is_asked_at_a_factor_times_the_temperature",
    },
    "TrainingOptions": {
        "objective": "test_training:test_every_objective_lowers_the_exact_divergence",
        "steps": SCHEDULE,
        "batch_size": BATCH,
        "replay_group": BATCH,
        "soft_targets": "test_soft_targets:test_a_run_takes_them_if_asked_for",
        "priority": "test_priority:test_a_batch_holds_whole_groups_of_the_cells_that_were_drawn",
        "reverse_states": BATCH,
        "reverse_samples": BATCH,
        "reverse_weight": BATCH,
        "consistency_weight": f"{HERE}:test_the_consistency_of_marginals_counts_with_its_weight",
        "block_share": "test_multiscale_training:test_a_run_computes_some_blocks_of_each_configuration_if_asked_for",
        "coarse_batch_size": "test_coarse_scales:test_the_coarse_scales_alone_learn_if_asked_for",
        "given_share": "test_multiscale_training:test_some_configurations_are_learned_given_random_sites_if_asked_for",
        "chain_block": BATCH,
        "chain_refresh": BATCH,
        "coarse_share": BATCH,
        "learning_rate": "test_training:test_the_learning_rate_warms_up_and_decays_to_two_percent",
        "cycles": "test_warm_start:test_every_cycle_restarts_at_the_peak_and_ends_near_the_floor",
        "until_ess": "test_automatic_training:test_a_run_stops_at_the_worst_ess_that_was_asked_for",
        "until_steady": "test_automatic_training:test_a_run_stops_after_a_cycle_that_did_not_help",
        "warmup_steps": "test_training:test_the_learning_rate_warms_up_and_decays_to_two_percent",
        "gradient_clip": f"{HERE}:test_a_step_is_taken_along_a_gradient_of_at_most_the_norm_given",
        "ema_decay": "test_training:test_the_saved_weights_are_the_moving_average",
        "replica_temperatures": BATCH,
        "replica_potentials": BATCH,
        "replica_copies": BATCH,
        "equilibration_sweeps": SCHEDULE,
        "sweeps_per_step": SCHEDULE,
        "seed": "test_training:test_one_seed_gives_one_run",
        "precision": f"{HERE}:test_a_network_is_trained_in_the_precision_given_and_averaged_in_full",
        "compile": f"{HERE}:test_networks_and_replay_are_compiled_if_asked_for",
        "evaluate_every": SCHEDULE,
        "evaluate_samples": SCHEDULE,
        "checkpoint_every": SCHEDULE,
        "tensorboard": f"{HERE}:test_tensorboard_gets_the_figures_if_asked_for",
    },
    "RunConfig": {
        "supercells": "test_supercells:test_a_model_of_two_sizes_is_good_on_a_third",
        "hamiltonian": "test_training_files:test_a_run_file_trains_as_train_does",
        "family": "test_any_alloy:test_a_run_file_with_a_family_trains_as_train_does",
        "states": "test_training_files:test_a_run_file_trains_as_train_does",
        "model": "test_training_files:test_a_run_file_trains_as_train_does",
        "training": "test_training_files:test_a_run_file_trains_as_train_does",
    },
    "ExpansionPrior": dict.fromkeys(
        ("lattice", "supercell", "reach", "strengths", "members", "seed"), "test_prior:test_every_option_changes_the_alloys"
    ),
    "StateRange": {
        "temperature": "test_state_range:test_chains_lie_each_in_its_own_cell_of_the_box",
        "chemical_potentials": "test_state_range:test_chains_lie_each_in_its_own_cell_of_the_box",
        "compositions": "test_state_range:test_compositions_make_an_axis",
        "ensemble": "test_ensemble_plugin:test_a_run_file_trains_it",
        "settings": "test_ensemble_plugin:test_a_run_file_trains_it",
    },
    "SweepOptions": {
        "n": f"{HERE}:test_a_state_of_a_sweep_is_drawn_as_the_options_say",
        "max_samples": "test_sweep:test_a_state_is_flagged_where_the_target_is_not_reached_or_ess_is_low",
        "target_error": "test_sweep:test_more_is_drawn_until_the_target_is_reached",
        "observables": f"{HERE}:test_a_state_of_a_sweep_is_drawn_as_the_options_say",
        "order": f"{HERE}:test_a_state_of_a_sweep_is_drawn_as_the_options_say",
        "seed": f"{HERE}:test_a_state_of_a_sweep_is_drawn_as_the_options_say",
    },
    "ShortRangeOrderOptions": {
        "shells": "test_observables:test_warren_cowley_of_a_random_ternary_is_zero_for_every_pair_within_4_sigma",
        "pairs": "test_observables:test_warren_cowley_of_a_random_ternary_is_zero_for_every_pair_within_4_sigma",
    },
    "StructureFactorOptions": {
        "wavevectors": "test_observables:test_a_checkerboard_is_anticorrelated_with_its_neighbours",
        "scattering": f"{HERE}:test_scattering_lengths_are_those_of_the_species",
    },
    "FCCOrderOptions": {"species": "test_observables:test_order_is_of_the_species_that_is_named"},
    "CorrelationOptions": {
        "shells": "test_observables:test_a_ferromagnet_of_two_directions_has_all_moments_1_and_binder_two_thirds",
        "connected": "test_observables:test_a_ferromagnet_of_two_directions_has_all_moments_1_and_binder_two_thirds",
    },
    "IsingOptions": dict.fromkeys(("supercell", "J", "h"), f"{HERE}:test_spins_that_point_one_way_have_the_energy_by_hand"),
    "PottsOptions": dict.fromkeys(("supercell", "J", "q"), f"{HERE}:test_spins_that_point_one_way_have_the_energy_by_hand"),
    "IcetOptions": {
        "expansion": "test_icet:test_a_file_gives_the_energies_of_the_object",
        "supercell": "test_icet:test_any_expansion_has_icets_energy_on_1000_random_configurations",
        "trust": "test_icet:test_trust_runs_what_the_safe_reader_refuses",
        "sha256": "test_icet:test_another_file_than_the_one_recorded_is_refused",
    },
    "CuAuOptions": {
        "supercell": "test_icet:test_cuau_has_icets_energy_on_1000_random_configurations",
        "formation_energies": "test_icet:test_formation_energies_vanish_for_the_elements_and_differ_by_5_3277_mev_an_atom",
    },
}


def shipped() -> dict[str, list[str]]:
    """Every class of options in arlattice and its plugins, with the options that it adds to those of its base."""
    for package in (arl, arlattice_ising, arlattice_icet):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    classes, waiting = {}, [Options]
    while waiting:
        waiting += (found := waiting.pop()).__subclasses__()
        if found.__module__.split(".")[0] in ("arlattice", "arlattice_ising", "arlattice_icet") and found is not Options:
            classes[found.__name__] = [name for name in found.model_fields if name in found.__annotations__]
    return {name: options for name, options in classes.items() if options}


def functions(file: str) -> set[str]:
    tree = ast.parse((Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.filterwarnings("ignore")  # of packages that are imported here and nowhere else
def test_every_option_has_a_test_away_from_its_default() -> None:
    assert {name: sorted(options) for name, options in AWAY_FROM_DEFAULT.items()} == {name: sorted(o) for name, o in shipped().items()}
    for name, options in AWAY_FROM_DEFAULT.items():
        for option, where in options.items():
            file, _, test = where.partition(":")
            assert test in functions(file), f"{name}.{option}: no test {where}"
            assert option in (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8"), f"{name}.{option} is not in {file}.py"


# -- models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("any-order-transformer", {"width": 24, "heads": 3, "layers": 5}),
        ("any-order-mlp", {"width": 24, "layers": 5}),
        ("fixed-order-mlp", {"width": 24, "layers": 5}),
        ("multiscale", {"width": 24, "layers": 5}),
    ],
)
def test_a_network_has_the_size_that_was_asked_for(family: str, options: dict[str, int]) -> None:
    """2x3 sites, two species. Transformer: 24 features, of which each of 3 heads has 8, 4 rotary pairs."""
    model: Any = build_model(family, arl.hamiltonian("ising", supercell=(2, 3)), options)
    if family == "multiscale":
        assert all(len(network.blocks) == 5 and network.head.in_features == 24 for network in model.networks.values())
        return
    repeated = model.blocks if family == "any-order-transformer" else model.hidden
    assert len(repeated) == 5
    if family == "any-order-transformer":
        assert tuple(model.phases.of(torch.arange(6)[None], torch.float32)[0].shape) == (1, 3, 6, 4)
        assert all(tuple(block.qkv.weight.shape) == (72, 24) for block in repeated)
    else:
        assert all(tuple(layer.weight.shape) == (24, 24) for layer in repeated)


# -- training --------------------------------------------------------------------------------------

TINY = {"width": 16, "heads": 2, "layers": 1}
BOX = StateRange(temperature=(1.5, 3.5), chemical_potentials={"up": (-0.3, 0.3)})
AWAY: dict[str, Any] = {
    "steps": 4,
    "batch_size": 12,
    "replay_group": 3,
    "reverse_states": 3,
    "reverse_samples": 5,
    "reverse_weight": 0.7,
    "consistency_weight": 0.4,
    "chain_block": 2,
    "chain_refresh": 7,
    "coarse_share": 0.25,
    "replica_temperatures": 2,
    "replica_potentials": 4,
    "replica_copies": 6,
    "equilibration_sweeps": 3,
    "sweeps_per_step": 2,
    "evaluate_every": 3,
    "evaluate_samples": 10,
    "checkpoint_every": 2,
}


def trainer(model: str = "any-order-transformer", model_options: Any = TINY, **options: Any) -> Trainer:
    return Trainer([arl.hamiltonian("ising", supercell=(3, 3))], BOX, model, model_options, TrainingOptions.parse(AWAY | options), "cpu")


def test_a_step_gets_what_the_options_say() -> None:
    """A grid of 2 temperatures x 4 chemical potentials x 6 chains; 12 replayed in groups of 3; 3 states of 5 for the reverse term."""
    run = trainer(objective="hybrid")
    system = run.systems[0]
    assert system.replay is not None and system.replay.shape == (2, 4, 6)
    batch = system.batch(run.stream)
    assert batch.occupations is not None and batch.group_conditions is not None
    assert (len(batch.occupations), len(batch.group_conditions), batch.group_size) == (12, 15, 5)
    assert torch.equal(batch.group_conditions.beta.view(3, 5), batch.group_conditions.beta.view(3, 5)[:, :1].expand(3, 5))
    assert (batch.reverse_weight, batch.consistency_weight, batch.coarse_share) == (0.7, 0.4, 0.25)
    grouped = trainer(objective="log-variance")
    replayed = grouped.systems[0].batch(grouped.stream).conditions
    assert replayed is not None and torch.equal(replayed.beta.view(4, 3), replayed.beta.view(4, 3)[:, :1].expand(4, 3))
    chains = trainer("marginal-mlp", {"width": 16}, objective="mam").systems[0].chains
    assert chains is not None
    assert (chains.block, chains.refresh, chains.size, len(chains.rows)) == (2, 7, 5, 3)


def test_the_consistency_of_marginals_counts_with_its_weight() -> None:
    """The loss is linear in it, with the slope that it reports less the term of nothing known, zero in a fresh model."""
    model = randomise(build_model("marginal-transformer", arl.hamiltonian("ising", supercell=(3, 3)), TINY))
    objective = default_manager().objectives["self-consistency"].load_factory()
    run = trainer("marginal-transformer", objective="self-consistency")
    batch = run.systems[0].batch(run.stream)
    losses: list[Loss] = []
    for weight in (0.0, 1.0, 3.0):
        batch.consistency_weight, batch.stream = weight, Stream(0, "consistency")
        losses.append(objective(model, batch))
    forward, first, third = (loss.value.item() for loss in losses)
    assert forward == pytest.approx(losses[0].figures["forward"].item())
    assert first - forward == pytest.approx(losses[1].figures["consistency"].item(), rel=1e-4)
    assert third - forward == pytest.approx(3 * (first - forward), rel=1e-4) and first - forward > 0.01


def test_the_loop_runs_as_often_as_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 steps: 3 + 4 x 2 sweeps; evaluations at 3 and 4 of 10 samples a state; checkpoints at 2 and 4."""
    sweeps, saved, evaluated = [], [], []
    right = ReplicaExchange.sweep, trainer_module.save_checkpoint, Model.sample
    monkeypatch.setattr(ReplicaExchange, "sweep", lambda self: (sweeps.append(1), right[0](self))[1])
    monkeypatch.setattr(trainer_module, "save_checkpoint", lambda path, parts, done, identity: saved.append(done.step))

    def sample(self: Model, n: int, *arguments: Any, **named: Any) -> SampleSet:
        evaluated.append((run.step, n))
        return right[2](self, n, *arguments, **named)

    monkeypatch.setattr(Model, "sample", sample)
    run = trainer()
    run.fit(tmp_path / "run", False, None, False)
    assert (run.step, len(sweeps), saved) == (4, 11, [2, 4])
    assert sorted(set(evaluated)) == [(3, 10), (4, 10)]
    sweeps.clear()
    run = trainer(sweeps_per_step=0.5)
    run.fit(None, False, None, False)
    assert len(sweeps) == 3 + 2  # before the second and the fourth step


def test_a_step_is_taken_along_a_gradient_of_at_most_the_norm_given(tmp_path: Path) -> None:
    """Gradients stay after the step: their norm is the limit, 0.01, where it was larger."""
    for limit in (0.01, 1e6):
        run = trainer(gradient_clip=limit, steps=1)
        run.fit(None, False, None, False)
        norm = float(torch.stack([p.grad.norm() for p in run.model.parameters() if p.grad is not None]).norm())
        assert norm == pytest.approx(0.01, rel=1e-3) if limit == 0.01 else norm > 0.1


def test_a_network_is_trained_in_the_precision_given_and_averaged_in_full() -> None:
    run = trainer(precision="bfloat16", steps=1)
    assert (run.model.precision, run.average.precision) == ("bfloat16", "float32")
    seen: list[torch.dtype] = []
    hook = run.model.blocks[0].expand.register_forward_hook(lambda layer, given, out: seen.append(out.dtype))  # type: ignore[union-attr,index]
    objective: Any = run.objective
    objective(run.model, run.systems[0].batch(run.stream))
    hook.remove()
    assert set(seen) == {torch.bfloat16}


def test_networks_and_replay_are_compiled_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled is asked for only: nothing is compiled here."""
    asked: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda function, **keywords: (asked.append(function), function)[1])
    trainer()
    assert not asked
    moves: list[Any] = []
    monkeypatch.setattr(RegisteredSweep, "compile", lambda self: moves.append(self))
    run = trainer(compile=True)
    assert {function.__name__ for function in asked} >= {"plan_logits", "block_logits"}
    assert run.systems[0].replay is not None and moves == [run.systems[0].replay.move]


def test_tensorboard_gets_the_figures_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arlattice.training import metrics

    written: list[tuple[str, int]] = []

    class Writer:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, step))

        def close(self) -> None:
            written.append(("closed", -1))

    monkeypatch.setattr(metrics, "_summary_writer", lambda: lambda folder: Writer())
    trainer().fit(tmp_path / "without", False, None, False)
    assert not written
    trainer(tensorboard=True).fit(tmp_path / "with", False, None, False)
    assert {("gap", 3), ("gap", 4), ("ess", 4)} <= set(written) and written[-1] == ("closed", -1)


# -- sweeps ----------------------------------------------------------------------------------------


def test_a_state_of_a_sweep_is_drawn_as_the_options_say(ising_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """n and order go to the model, the observables into the averages, another seed gives other samples."""
    model, state, drawn = arl.load(ising_model), arl.SemiGrandCanonical(2.5, {"up": 0.2}), []
    right = type(model).sample

    def sample(self: Model, n: int, *arguments: Any, **named: Any) -> SampleSet:
        drawn.append((n, named["order"], right(self, n, *arguments, **named)))
        return drawn[-1][2]

    monkeypatch.setattr(type(model), "sample", sample)
    observables: dict[str, dict[str, Any]] = {"correlation": {"shells": 1, "connected": True}}
    options = [SweepOptions(n=300, max_samples=300, order="random", seed=seed, observables=observables) for seed in (4, 5)]
    found = [measure(model, state, o) for o in options]
    assert [(n, order) for n, order, _ in drawn] == [(300, "random")] * 2
    assert not torch.equal(drawn[0][2].occupations, drawn[1][2].occupations)
    assert [r.samples for r in found] == [300, 300]
    assert found[0].averages["correlation"] == drawn[0][2].means("correlation", shells=1, connected=True)


# -- observables and Hamiltonians -------------------------------------------------------------------


def test_scattering_lengths_are_those_of_the_species() -> None:
    """Lengths 0.5 and 2 on a checkerboard of 16 sites: S(0) = 20^2 / 16 and S(1/2 1/2 0) = (8 x 2 - 8 x 0.5)^2 / 16."""
    board = torch.arange(16).view(4, 4)
    x = ((board // 4 + board) % 2).view(1, -1)
    samples = SampleSet(arl.square(4), x, torch.zeros(1), arl.SemiGrandCanonical(1.0), "reduced")
    found = samples.means("structure_factor", wavevectors=[[0, 0, 0], [0.5, 0.5, 0]], scattering={"down": 0.5, "up": 2.0})
    assert [estimate.value for estimate in found.values()] == pytest.approx([25, 9])


def test_spins_that_point_one_way_have_the_energy_by_hand() -> None:
    """3x4 sites, two bonds each: -2 J - h s a site for Ising, -2 J for Potts with 4 states."""
    ising = arl.hamiltonian("ising", supercell=(3, 4), J=0.7, h=-0.3)
    potts = arl.hamiltonian("potts", supercell=(3, 4), J=0.7, q=4)

    def all_of(species: int) -> Tensor:
        return torch.full((1, 12), species)

    assert [float(ising.energy(all_of(s))) for s in (0, 1)] == pytest.approx([12 * (-1.4 - 0.3), 12 * (-1.4 + 0.3)])
    assert [float(potts.energy(all_of(s))) for s in range(4)] == pytest.approx([12 * -1.4] * 4)
    mixed = torch.arange(12).view(1, -1) % 4  # rows of 4 different states, the same in every row of the torus
    assert float(potts.energy(mixed)) == pytest.approx(12 * -0.7)
