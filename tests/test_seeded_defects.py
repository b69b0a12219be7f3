"""Defects that are seeded on purpose, one line of the library each: a named check passes on the right code and fails on the wrong one.

Every defect replaces a piece of the source of one function, everywhere the function is used. The checks are those of the other files
and of `arlattice.testing`; a defect that none of them catches asks for a better check, not for another defect.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.samples import SampleSet
from arlattice.testing import check_hamiltonian, check_model, randomise, small_cases
from arlattice.thermo.exact import Enumeration

pytestmark = pytest.mark.filterwarnings("ignore::arlattice.StatisticsWarning")  # exact averages weight every configuration once

SGC = arl.SemiGrandCanonical
TINY = AnyOrderTransformerOptions(width=8, heads=1, layers=2)


@dataclass(frozen=True)
class Defect:
    """One wrong line.

    Args:
        name: what is wrong.
        function: ``"module:name"`` or ``"module:Class.name"``.
        right: a piece of its source that is there once.
        wrong: what stands there instead.
        check: ``"file:function"`` of the tests, or a function of this file, that must fail.
        arguments: of the check, from the module it is in; ``monkeypatch`` is given to those that ask for it.
    """

    name: str
    function: str
    right: str
    wrong: str
    check: str
    arguments: Callable[[Any], dict[str, Any]] = lambda module: {}

    def __str__(self) -> str:
        return self.name


def models_conform(case: str) -> None:
    """`arlattice.testing.check_model` of a transformer with random weights on one of the small cases."""
    (chosen,) = (c for c in small_cases() if c.name == case)
    check_model(randomise(AnyOrderTransformer(chosen.hamiltonian, TINY)), [chosen.state], n=500)


def hamiltonians_conform() -> None:
    """`arlattice.testing.check_hamiltonian` of the small cases."""
    for case in small_cases():
        check_hamiltonian(case.hamiltonian)


def gauged_models_conform() -> None:
    """`arlattice.testing.check_model` where exchanging the species is a symmetry, in symmetric and other states."""
    ising = arl.hamiltonian("ising", supercell=(2, 3))
    states = [SGC(2.0), SGC(2.0, {"up": 0.3}), SGC(2.0, {"down": 0.3}), arl.Canonical(2.0, {"up": 2})]
    check_model(randomise(AnyOrderTransformer(ising, TINY)), states, n=500)


def every_configuration_of(state: arl.Ensemble) -> dict[str, Any]:
    """3x3 Ising enumerated, and all configurations with equal probability: averages of these are exact."""
    everything = Enumeration.of(arl.hamiltonian("ising", supercell=(3, 3)))
    n, h = len(everything.energy), everything.hamiltonian
    equal = torch.full((n,), -math.log(n), dtype=torch.float64)
    samples = SampleSet(h.lattice, everything.occupations.long(), everything.energy, state, h.units, log_prob=equal)
    return {"ising": everything, "exact": samples}


# -- the defects -----------------------------------------------------------------------------------

STATE = (
    Defect(
        "beta times four",
        "arlattice.ensemble:Ensemble.beta",
        "1.0 / kt",
        "4.0 / kt",
        "test_ensemble:test_log_f_is_minus_energy_less_mu_n_over_kt",
    ),
    Defect(
        "k_B wrong in the fifth digit",
        "arlattice.ensemble:boltzmann_constant",
        "return BOLTZMANN[",
        "return 1.00001 * BOLTZMANN[",
        "test_ensemble:test_log_f_is_minus_energy_less_mu_n_over_kt",
    ),
    Defect(
        "mu with the wrong sign",
        "arlattice.ensemble:Ensemble.log_f",
        "energy.double() - numbers",
        "energy.double() + numbers",
        "test_ensemble:test_log_f_is_minus_energy_less_mu_n_over_kt",
    ),
    Defect(
        "a composition that is not asked for",
        "arlattice.ensemble:Ensemble.log_f",
        "torch.where(self.allows(lattice, occupations), value, -torch.inf)",
        "value",
        "test_ensemble:test_log_f_at_fixed_composition_is_minus_infinity_elsewhere",
    ),
    Defect(
        "CLEASE's mu taken as Delta mu",
        "arlattice.ensemble:ChemicalPotentials.from_clease",
        "2 * finite_number",
        "finite_number",
        "test_ensemble:test_cleases_mu_is_half_the_difference",
    ),
    Defect(
        "mu with the wrong sign in the states of chains",
        "arlattice.conditions:Conditions.log_f",
        "(energy - mu)",
        "(energy + mu)",
        "test_montecarlo:test_an_exchange_is_reversible_and_keeps_the_product",
        lambda m: {"hamiltonian": m.TRIANGLE, "states": [SGC(1.0, {"up": -0.8}), SGC(1.0, {"up": 0.5})]},
    ),
)

HAMILTONIAN = (
    Defect(
        "a cluster counted at each of its sites",
        "arlattice.kernels.tables:Tables.of",
        "first_only=True",
        "first_only=False",
        "hamiltonians_conform",
    ),
    Defect(
        "of clusters on the same sites the last one only",
        "arlattice.clusters:_merged",
        "added.T)",
        "added.T[-1:])",
        "test_hamiltonian:test_clusters_on_the_same_sites_merge",
    ),
    *(
        Defect(
            f"tables shared to 1e-{digits}",
            "arlattice.kernels.shared_tables:shared_tables",
            "_DIGITS",
            str(digits),
            "test_hamiltonian:test_tables_that_differ_a_little_are_not_shared",
            lambda m, stronger=stronger: {"stronger": stronger, "scale": 1.0},
        )
        for digits, stronger in ((5, 4e-9), (7, 4e-11), (9, 4e-13))
    ),
    Defect(
        "tables shared to 1e-5, nine pairs",
        "arlattice.kernels.shared_tables:shared_tables",
        "_DIGITS",
        "3",
        "test_hamiltonian:test_nine_pairs_of_which_the_odd_ones_are_stronger",
    ),
    Defect(
        "tables shared by their absolute size",
        "arlattice.kernels.shared_tables:shared_tables",
        "np.abs(flat).max(initial=0.0) or 1.0",
        "1.0",
        "test_hamiltonian:test_tables_that_differ_a_little_are_not_shared",
        lambda m: {"stronger": 4e-6, "scale": 1e-20},
    ),
    Defect(
        "a table that does not follow its cluster to another cell",
        "arlattice.clusters:_to_first_image",
        "columns.argsort(1)",
        "columns * 0 + np.arange(columns.shape[1])",
        "test_translated_clusters:test_clusters_that_are_images_of_each_other_are_one",
    ),
    Defect(
        "the second site of a swap reads the configuration of before",
        "arlattice.kernels.gathers:GatherKernels.swap_differences",
        "(half, second)",
        "(x, second)",
        "test_kernels:test_compiled_swaps_and_completed_energies_are_those_of_gathers",
        lambda m: {"hamiltonian": m.many_bodies()},
    ),
    Defect(
        "species of the sites of a cluster swapped",
        "arlattice.kernels.site_table:_turned",
        "np.moveaxis(energies, 1 + a, -2)",
        "np.moveaxis(energies, sites.shape[1] - a, -2)",
        "hamiltonians_conform",
    ),
    Defect(
        "a cluster inside several others counted in each of them",
        "arlattice.kernels.cluster_sets:_take_in",
        "tables[k][guest] / holders[which[at]].reshape(-1, *[1] * (k + 1))",
        "tables[k][guest]",
        "hamiltonians_conform",
    ),
    Defect(
        "a translation that carries a cluster onto itself counted twice",
        "arlattice.kernels.cluster_sets:one_cell",
        " / times[first].reshape(-1, *[1] * (k + 1))",
        "",
        "test_kernels:test_energies_are_those_of_the_definition",
        lambda m: {"hamiltonian": m.rings(), "backend": m.CpuKernels, "batch": 3},
    ),
    Defect(
        "coefficients of products without those of their parts",
        "arlattice.kernels.count_table:_coefficients",
        "axis -= base[:, None]",
        "pass",
        "test_kernels:test_energies_are_those_of_the_definition",
        lambda m: {"hamiltonian": m.HAMILTONIANS["ising 4x4"](), "backend": m.CpuKernels, "batch": 70},
    ),
    Defect(
        "translations off by one",
        "arlattice.lattice:Lattice.translations",
        "self._points[:, None, :]",
        "np.roll(self._points, 1, axis=0)[:, None, :]",
        "test_lattice:test_a_translation_moves_every_site_by_the_same_vector_and_keeps_its_sublattice",
        lambda m: {"lattice": arl.square((3, 4))},
    ),
    Defect(
        "a vacancy counted as an atom",
        "arlattice.io.ase:_frame",
        "atoms.numbers != 0",
        "atoms.numbers != -1",
        "test_lattice:test_vacancies_are_left_out_or_kept_as_x",
    ),
)

MONTE_CARLO = (
    Defect(
        "mu with the wrong sign in the heat bath",
        "arlattice.montecarlo.heat_bath:visit",
        "(x, site) - mu",
        "(x, site) + mu",
        "test_montecarlo:test_heat_bath_of_every_site_is_reversible_and_keeps_the_distribution",
        lambda m: {"case": m.BINARY},
    ),
    Defect(
        "Metropolis accepts by the noise that chose the offer",
        "arlattice.montecarlo.metropolis:offer",
        "scaled - pick",
        "noise",
        "test_montecarlo:test_metropolis_at_every_site_is_reversible_and_keeps_the_distribution",
        lambda m: {"case": m.CASES["skewed ternary"]},
    ),
    Defect(
        "an offer is any species, also the present one, where it is allowed",
        "arlattice.montecarlo.metropolis:offer",
        "allowed.scatter(1, old[:, None], False)",
        "allowed.clone()",
        "test_cluster_moves:test_offers_are_uniform_over_the_other_species",
    ),
    Defect(
        "the sign of a swap's energy",
        "arlattice.montecarlo.swap:swap_sweep",
        "-beta * difference",
        "beta * difference",
        "test_montecarlo:test_a_swap_of_every_pair_is_reversible_and_keeps_the_canonical_distribution",
        lambda m: {"case": m.CANONICAL[0]},
    ),
    Defect(
        "the acceptance of an exchange upside down",
        "arlattice.montecarlo.replica_exchange:ReplicaExchange._exchanged",
        "(crossed - straight)",
        "(straight - crossed)",
        "test_montecarlo:test_an_exchange_is_reversible_and_keeps_the_product",
        lambda m: {"hamiltonian": m.TRIANGLE, "states": [SGC(0.5), SGC(2.0)]},
    ),
    Defect(
        "an exchange at the level of the neighbour",
        "arlattice.montecarlo.replica_exchange:ReplicaExchange._exchanged",
        "c[b].log_f(energy[a], x[a])",
        "c[a].log_f(energy[a], x[a])",
        "test_montecarlo:test_an_exchange_is_reversible_and_keeps_the_product",
        lambda m: {"hamiltonian": m.TRIANGLE, "states": [SGC(0.5), SGC(2.0)]},
    ),
    Defect(
        "bonds of half the coupling",
        "arlattice.montecarlo.bonds:Bonds.activation",
        "-beta[:, None]",
        "-0.5 * beta[:, None]",
        "test_cluster_moves:test_cluster_moves_are_in_detailed_balance",
        lambda m: {"case": m.CASES[0], "move": "wolff"},
    ),
    Defect(
        "Wolff without the factor of detailed balance in a field",
        "arlattice.montecarlo.wolff:acceptance",
        "torch.exp(total(new) - total(old))",
        "torch.exp(0 * (total(new) - total(old)))",
        "test_cluster_moves:test_cluster_moves_are_in_detailed_balance",
        lambda m: {"case": m.CASES[4], "move": "wolff"},
    ),
    Defect(
        "weights of a population that are not divided by its number",
        "arlattice.montecarlo.population_annealing:_anneal",
        " - math.log(shape[1])",
        "",
        "test_population_annealing:test_the_start_and_one_rung_are_exact_by_hand",
    ),
    Defect(
        "a population resampled without its weights",
        "arlattice.montecarlo.population_annealing:systematic_resampling",
        "weights.double().cumsum(1)",
        "torch.ones_like(weights.double()).cumsum(1)",
        "test_population_annealing:test_averaged_over_its_noise_the_copies_are_the_shares",
    ),
    Defect(
        "a population moved in the state of the rung before",
        "arlattice.montecarlo.population_annealing:_anneal",
        "conditions[k : k + 1]",
        "conditions[max(k - 1, 0) : max(k, 1)]",
        "test_population_annealing:test_the_last_population_has_the_averages_of_its_state",
    ),
)

MODELS = (
    Defect(
        "a step that knows what it places, at fixed composition",
        "arlattice.composition:FixedComposition.along",
        "placed.cumsum(1) + placed",
        "placed.cumsum(1)",
        "models_conform",
        lambda m: {"case": "ternary, fixed composition"},
    ),
    Defect(
        "a block that sees the sites to come",
        "arlattice.models.any_order_transformer:causal",
        "is_causal=True",
        "is_causal=False",
        "models_conform",
        lambda m: {"case": "square 3x3"},
    ),
    Defect(
        "a cache without its newest entry",
        "arlattice.models.any_order_transformer:CachedDecoder.logits",
        "<= place",
        "<= (place - 1).clamp(min=0)",
        "models_conform",
        lambda m: {"case": "square 3x3"},
    ),
    Defect(
        "the source of a token one site off",
        "arlattice.models.any_order_transformer:CachedDecoder.logits",
        "(place - 1).clamp(min=0)",
        "(place - 2).clamp(min=0)",
        "models_conform",
        lambda m: {"case": "square 3x3"},
    ),
    Defect(
        "a gauge that is not undone",
        "arlattice.decoding.draw:_Loop.end",
        'turned(state["partial"], state["flip"])',
        'state["partial"].clone()',
        "gauged_models_conform",
    ),
    Defect(
        "the coin of the gauge is not counted",
        "arlattice.decoding.draw:_Loop.begin",
        "math.log(2) * tossed",
        "0.0 * tossed",
        "gauged_models_conform",
    ),
    Defect(
        "the composition mask off by one",
        "arlattice.composition:FixedComposition._rule",
        "slack < 1",
        "slack < 0",
        "test_composition:test_feasible_is_what_brute_force_can_complete",
        lambda m: {"case": m.CASES[0]},
    ),
    Defect(
        "known sites drawn anew",
        "arlattice.decoding.steps:choose",
        "torch.where(given >= 0, given, drawn)",
        "drawn",
        "models_conform",
        lambda m: {"case": "skewed FCC"},
    ),
    Defect(
        "log_prob in another order than asked",
        "arlattice.decoding.sampling:log_prob",
        "part.to(model.device)",
        "Plan(part.order.flip(1)).to(model.device)",
        "models_conform",
        lambda m: {"case": "skewed FCC"},
    ),
    Defect(
        "log_prob given known sites counts these",
        "arlattice.decoding.weigh:_taken",
        "None).masked_fill(out, 0.0)",
        "None)",
        "models_conform",
        lambda m: {"case": "skewed FCC"},
    ),
    Defect(
        "marginals count the unknown sites",
        "arlattice.models.base:Model.log_prob_of_known",
        ">= 0, each",
        ">= -1, each",
        "models_conform",
        lambda m: {"case": "skewed FCC"},
    ),
    Defect(
        "a block that sees itself",
        "arlattice.plan:Plan.known_before",
        "self.spans[number][0]",
        "self.spans[number][1]",
        "test_plans:test_the_probabilities_of_all_configurations_sum_to_one",
        lambda m: {"case": m.CASES["square 3x3"], "family": "any-order-mlp"},
    ),
    Defect(
        "the composition is not counted down inside a block when it is weighed",
        "arlattice.decoding.weigh:_limited_block",
        "partial = partial.scatter(1, site, occupations.gather(1, site))",
        "pass",
        "test_plans:test_the_probabilities_of_all_configurations_sum_to_one",
        lambda m: {"case": m.EVEN, "family": "any-order-mlp"},
    ),
    Defect(
        "the composition is not counted down inside a block when it is drawn",
        "arlattice.decoding.draw:_Loop._one_after_another",
        "partial = partial.scatter(1, site, columns[-1][0])",
        "pass",
        "test_plans:test_samples_have_the_probabilities_that_log_prob_tells",
        lambda m: {"case": m.EVEN, "family": "any-order-mlp"},
    ),
    Defect(
        "given sites are not seen before their block",
        "arlattice.plan:Plan.known_before",
        "earlier | self.given",
        "earlier",
        "test_plans:test_completions_are_normalised_and_drawn_around_sites_given_anywhere",
        lambda m: {"case": m.CASES["square 3x3"], "family": "any-order-mlp"},
    ),
    Defect(
        "the levels of an order the wrong way round",
        "arlattice.decoding.orders:_cell_levels",
        "last_step.max() - last_step",
        "last_step",
        "test_orders:test_levels_grow_by_the_prime_factors_of_the_supercell",
        lambda m: {"lattice": arl.square(4), "counts": [1, 1, 2, 4, 8]},
    ),
    Defect(
        "the temperature of a window divided where it is to be multiplied",
        "arlattice.models.painted:Painted._site_logits",
        "conditions.beta / self.options",
        "conditions.beta * self.options",
        "test_painted:test_the_small_model_is_asked_at_a_factor_times_the_temperature",
        lambda m: {"factor": 1.7},
    ),
    Defect(
        "the Boltzmann factor of a window taken back at another temperature",
        "arlattice.models.painted:Painted._site_logits",
        "_boltzmann(small, asked",
        "_boltzmann(small, conditions",
        "test_painted:test_the_small_model_is_asked_at_a_factor_times_the_temperature",
        lambda m: {"factor": 1.7},
    ),
)

ESTIMATORS = (
    Defect(
        "the error of the entropy without the noise of log Z",
        "arlattice.weighted:Weighted.entropy",
        "(surprise - value) + relative - 1)",
        "(surprise - value))",
        "test_error_bars:check_errors_of_samples",
        lambda m: {"model": "too hot", "names": ["entropy"]},
    ),
    Defect(
        "the error of the free energy without kT",
        "arlattice.weighted:Weighted.free_energy",
        "kt * log_z.error",
        "log_z.error",
        "test_error_bars:check_errors_of_samples",
        lambda m: {"model": "rough", "names": ["free energy"]},
    ),
    Defect(
        "log Z of a sum, not of a mean",
        "arlattice.weighted:Weighted.log_z",
        " - math.log(len(self))",
        "",
        "test_samples:test_two_samples_by_hand",
    ),
    Defect(
        "errors that forget the derivatives of averages",
        "arlattice.averages:Averages.means",
        "(values.columns - means) @ values.derivatives(means).T",
        "(values.columns - means) @ values.derivatives(means).abs().T",
        "test_error_bars:check_errors_of_samples",
        lambda m: {"model": "rough", "names": ["magnetisation:binder"]},
    ),
    Defect(
        "importance weights in single precision",
        "arlattice.weighted:Weighted.weights",
        "torch.softmax(log_weight, 0)",
        "torch.softmax(log_weight.float(), 0).double()",
        "test_samples:test_weights_survive_log_weights_beyond_the_range_of_floats",
    ),
    Defect(
        "a heat capacity with beta in place of its square",
        "arlattice.thermo.observables.energy:heat_capacity",
        " ** 2 / samples",
        " / samples",
        "test_observables:test_fluctuations_are_derivatives_of_the_exact_averages",
        lambda m: every_configuration_of(m.STATE),
    ),
    Defect(
        "a susceptibility about the wrong mean",
        "arlattice.thermo.observables.composition:susceptibility",
        "means[q:] - means[:q].square()",
        "means[q:]",
        "test_observables:test_fluctuations_are_derivatives_of_the_exact_averages",
        lambda m: every_configuration_of(m.STATE),
    ),
    Defect(
        "short-range order against one species twice",
        "arlattice.thermo.observables.short_range_order:short_range_order",
        "mixing[k] @ x[:, b]",
        "mixing[k] @ x[:, a]",
        "test_observables:test_warren_cowley_of_a_random_ternary_is_zero_for_every_pair_within_4_sigma",
    ),
    Defect(
        "a connected correlation that is not",
        "arlattice.thermo.observables.correlation:correlation",
        "* options.connected",
        "* 0",
        "test_observables:test_a_ferromagnet_of_two_directions_has_all_moments_1_and_binder_two_thirds",
    ),
    Defect(
        "the species of an order that is not the one named",
        "arlattice.thermo.observables.fcc_order:_species",
        "if options.species is None else lattice.species_index(options.species)",
        "",
        "test_observables:test_order_is_of_the_species_that_is_named",
    ),
    Defect(
        "autocorrelation times taken as half",
        "arlattice.montecarlo.autocorrelation:mean_error",
        "variance * 2 * auto",
        "variance * auto",
        "test_estimators:test_the_error_of_independent_values_is_their_standard_error_and_of_a_chain_larger_by_its_correlation",
    ),
    Defect(
        "the error of an effective sample size without its first moment",
        "arlattice.thermo.bounds:q_ess",
        "mean_error(2 * first - second)",
        "mean_error(second)",
        "test_estimators:test_errors_of_brackets_hold_from_both_sides",
        lambda m: {"system": "ternary"},
    ),
    Defect(
        "MBAR with its states permuted",
        "arlattice.thermo.mbar:_weighed",
        "for state in wanted]) - log_d",
        "for state in wanted[::-1]]) - log_d",
        "test_estimators:test_every_configuration_once_gives_the_enumerated_values_at_every_state",
        lambda m: {"system": "Ising 3x3"},
    ),
    Defect(
        "a stale weight after local sweeps",
        "arlattice.thermo.neural_metropolis:_Local.run",
        "log_f - self.model.log_prob(x, self.state, plan=plan)",
        "current.log_weight",
        "test_estimators:test_at_every_step_the_weight_is_that_of_where_the_chain_is",
        lambda m: {"sweeps": 1, "plan": {"order": "random"}},
    ),
    Defect(
        "a weight of the configuration before the sweeps",
        "arlattice.thermo.neural_metropolis:_Local.run",
        "model.log_prob(x, self.state",
        "model.log_prob(current.occupations, self.state",
        "test_estimators:test_at_every_step_the_weight_is_that_of_where_the_chain_is",
        lambda m: {"sweeps": 1, "plan": {"order": "random"}},
    ),
    Defect(
        "a refused proposal leaves its weight behind",
        "arlattice.thermo.neural_metropolis:metropolis_step",
        "torch.where(accept, proposed.log_weight, current.log_weight)",
        "proposed.log_weight",
        "test_estimators:test_at_every_step_the_weight_is_that_of_where_the_chain_is",
        lambda m: {"sweeps": 0, "plan": {"order": "random"}},
    ),
    Defect(
        "the error of a crossing with its ends exchanged",
        "arlattice.thermo.phase_diagram:_crossing",
        "[1 - weight, weight]",
        "[weight, 1 - weight]",
        "test_phase_diagram:test_the_error_of_a_boundary_by_hand",
    ),
    Defect(
        "the error of a crossing with shares taken as independent",
        "arlattice.thermo.phase_diagram:_ratio_errors",
        " - 2 * correlation * first * second",
        "",
        "test_phase_diagram:test_the_error_of_a_boundary_by_hand",
    ),
    Defect(
        "the error of a tie line without that of its place",
        "arlattice.thermo.phase_diagram:_between",
        "slope * moved",
        "0.0",
        "test_phase_diagram:test_errors_of_a_boundary_and_of_its_tie_line_are_the_spread_over_resampled_states",
        lambda m: {"name": "two phases"},
    ),
    Defect(
        "errors per supercell in a column per site",
        "arlattice.thermo.sweep_state:_divided",
        "estimate.error / sites",
        "estimate.error",
        "test_sweep:test_errors_of_the_columns_are_those_of_the_samples",
    ),
    Defect(
        "a transfer matrix whose rings are open",
        "arlattice.thermo.transfer_matrix:ising_transfer_matrix_log_z",
        "(spins * spins.roll(1, 1))",
        "(spins[:, 1:] * spins[:, :-1])",
        "test_transfer_matrix:test_the_ising_system_of_the_mam_paper",
    ),
    Defect(
        "Kaufman's sum without the sign of a parity",
        "arlattice.thermo.exact:ising_torus_log_z",
        "math.copysign(1.0, gamma[0]) if gamma[0] else 0.0",
        "1.0",
        "test_exact:test_kaufmans_formula_is_the_enumerated_sum",
        lambda m: {"size": (3, 3), "beta": 0.3},
    ),
)

TRAINING = (
    Defect(
        "averaged weights that are the last ones",
        "arlattice.training.weights:move_average",
        "weights, 1 - decay",
        "weights, 1.0",
        "test_training:test_the_saved_weights_are_the_moving_average",
    ),
    Defect(
        "the baseline of REINFORCE with the wrong sign",
        "arlattice.training.objectives:_Advantage.of",
        "(grouped - grouped.mean",
        "(grouped + grouped.mean",
        "test_objectives:test_a_perfect_model_has_no_gradient_not_even_noise",
        lambda m: {"objective": "reverse"},
    ),
    Defect(
        "a weight of the reverse term that is not used",
        "arlattice.training.objectives:hybrid",
        "batch.reverse_weight * second.value",
        "second.value",
        "test_objectives:test_the_forward_loss_is_the_mean_of_minus_log_q_and_the_hybrid_adds_the_weighted_reverse",
    ),
    Defect(
        "heat-bath probabilities with mu of the wrong sign",
        "arlattice.montecarlo.heat_bath:site_probabilities",
        "(occupations) - state.mu",
        "(occupations) + state.mu",
        "test_soft_targets:test_the_expected_gradient_is_that_of_the_species_that_are_there",
        lambda m: {"name": "a chain"},
    ),
    Defect(
        "pure ends that cross at the energy of the whole supercell",
        "arlattice.training.pure_ends:_changes",
        " / int(open_sites.sum())",
        "",
        "test_automatic_training:test_pure_ends_cross_where_their_grand_potentials_are_equal",
    ),
)


def case_of_blocks(name: str) -> Callable[[Any], dict[str, Any]]:
    """A case of `test_multiscale`."""
    return lambda m: {"case": next(case for case in [*m.LARGE, *m.CASES] if case.name == name)}


BLOCKS = (
    Defect(
        "blocks that are visited for some configurations counted once",
        "arlattice.decoding.weigh:visited_log_probs",
        " * (n / m)",
        "",
        "test_multiscale_training:test_the_mean_over_all_visits_is_that_of_all_blocks",
        lambda m: {"name": "a chain", "m": 1},
    ),
    Defect(
        "configurations weighed by the blocks that are visited",
        "arlattice.training.objectives:_replayed",
        "log_prob if visits is None else _whole(model, x, plan, conditions, visits, log_prob)",
        "log_prob",
        "test_multiscale_training:test_the_mean_gradient_of_an_objective_is_that_of_all_blocks",
        lambda m: {"objective": "balanced", "soft": False},
    ),
    Defect(
        "a visited block that sees what is placed later under a constraint",
        "arlattice.decoding.weigh:visited_log_probs",
        "before = torch.where(known, occupations[rows], -1)",
        "before = occupations[rows]",
        "test_multiscale_training:test_the_mean_over_all_visits_is_that_of_all_blocks",
        lambda m: {"name": "a fixed composition", "m": 1},
    ),
    Defect(
        "coarse blocks that fine passes compute too",
        "arlattice.training.objectives:Batch.visits",
        "[:, :m], first)",
        "[:, :m], 0)",
        "test_coarse_scales:test_coarse_blocks_have_the_forward_kl_of_their_own_configurations",
        lambda m: {"objective": "balanced", "soft": False},
    ),
    Defect(
        "a recording that is used again before its gradient came",
        "arlattice.models.recorded:_Recording.__call__",
        "self.awaited = steps",
        "self.awaited = None",
        "test_recorded_passes:test_a_recorded_pass_is_not_used_again_before_its_gradient_came",
    ),
    Defect(
        "a new range of states without the shift of the old one",
        "arlattice.models.state_reader:StateReader.move_state_range",
        "(mean - self.state_mean)",
        "(0 * mean)",
        "test_warm_start:test_on_another_range_of_states_a_model_computes_what_it_did",
        lambda m: {"family": "multiscale", "before": "wide"},
    ),
    Defect(
        "a site of a block known to the others of its block",
        "arlattice.plan:Plan.rank",
        "self.order.argsort(1)",
        "self.order.argsort(1) - 1",
        "test_multiscale:test_the_sites_of_a_block_do_not_see_one_another",
        case_of_blocks("chain"),
    ),
    Defect(
        "given sites that are finer than a scale left out",
        "arlattice.models.multiscale:Multiscale._network_logits",
        "if given and scale.mean is not None",
        "if False",
        "test_multiscale:test_a_given_site_is_seen_at_every_scale_also_where_it_is_finer",
        case_of_blocks("BCC"),
    ),
    Defect(
        "a rim copied from the wrong side",
        "arlattice.decoding.torus:Torus.padded",
        "np.arange(-width, n + width)",
        "abs(np.arange(-width, n + width))",
        "test_torus_convolution:test_a_convolution_is_the_sum_over_neighbours_and_so_is_its_gradient",
        lambda m: {"name": "skewed", "dilation": 1},
    ),
    Defect(
        "gradients of the copies of a cell of which one is lost",
        "arlattice.models.torus_convolution:_Copies.backward",
        "enumerate(ctx.saved_tensors[0])",
        "enumerate(ctx.saved_tensors[0][1:])",
        "test_torus_convolution:test_a_convolution_is_the_sum_over_neighbours_and_so_is_its_gradient",
        lambda m: {"name": "3x4", "dilation": 1},
    ),
    Defect(
        "classes that follow the torus and not its periods",
        "arlattice.decoding.scales:_labels",
        "np.array(s) + k * row",
        "np.array(s) + 0 * row",
        "test_scales:test_the_blocks_hold_every_site_once_and_fixed_sites_come_first",
        lambda m: {"name": "square, skewed", "parts": 1},
    ),
    Defect(
        "coarser scales with untrained weights on a larger supercell",
        "arlattice.models.multiscale:Multiscale.network_of",
        "min(level, max(levels, default=-1))",
        "min(level, 0)",
        "test_multiscale_training:test_scales_coarser_than_all_that_were_trained_take_the_weights_of_the_coarsest",
    ),
)

DEFECTS = [*STATE, *HAMILTONIAN, *MONTE_CARLO, *MODELS, *ESTIMATORS, *TRAINING, *BLOCKS]


# -- how a line is replaced ------------------------------------------------------------------------


def found(path: str) -> types.FunctionType:
    """The function that ``"module:Class.name"`` names."""
    module, _, names = path.partition(":")
    thing: Any = importlib.import_module(module)
    for name in names.split("."):
        thing = inspect.getattr_static(thing, name)
    return plain(thing)


def plain(thing: Any) -> types.FunctionType:
    """What a property, cached property, class or static method or decorator has inside."""
    thing = thing.func if isinstance(thing, cached_property) else thing
    thing = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
    function: types.FunctionType = inspect.unwrap(thing)
    return function


def mutated(function: types.FunctionType, right: str, wrong: str) -> types.CodeType:
    """The code of a function with one piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, f"{function.__qualname__} holds {right!r} {source.count(right)} times: seed this defect anew"
    code = compile(source.replace(right, wrong), function.__code__.co_filename, "exec", annotations.compiler_flag)
    names: dict[str, Any] = {}
    exec(code, dict(function.__globals__), names)
    return plain(names[function.__name__]).__code__


@cache
def file(name: str) -> types.ModuleType:
    """Another file of tests, as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"seeded_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def check_of(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    where, _, name = defect.check.rpartition(":")
    module = file(where) if where else importlib.import_module(__name__)
    function = getattr(module, name)
    more = {"monkeypatch": monkeypatch} if "monkeypatch" in inspect.signature(function).parameters else {}
    return lambda: function(**defect.arguments(module), **more)


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_a_seeded_defect_is_caught_by_its_check(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    """First on the right code, so that nothing wrong is kept in a cache; then with the wrong line; then it is right again."""
    check, function = check_of(defect, monkeypatch), found(defect.function)
    check()
    with monkeypatch.context() as patch:
        patch.setattr(function, "__code__", mutated(function, defect.right, defect.wrong))
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check()


def test_there_are_at_least_forty_defects() -> None:
    assert len(DEFECTS) == len({d.name for d in DEFECTS}) >= 40
