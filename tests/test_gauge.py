"""Where the energy does not change when two species are exchanged, neither does the model, exactly."""

from __future__ import annotations

import pytest
import torch

import arlattice as arl
from arlattice.decoding.gauge import SpinGauge
from arlattice.decoding.orders import ORDERS, draw_orders
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.random_numbers import Stream
from arlattice.testing import check_model, random_hamiltonian, randomise
from arlattice.thermo.exact import enumerate_configurations

ISING = arl.hamiltonian("ising", supercell=(3, 4))
FIELDS = (0.0, 0.25, -0.25)


@pytest.fixture(scope="module")
def model() -> AnyOrderTransformer:
    options = AnyOrderTransformerOptions(width=16, heads=2, layers=2)
    return randomise(AnyOrderTransformer(ISING, options)).double()  # type: ignore[return-value]


def state(field: float) -> arl.SemiGrandCanonical:
    return arl.SemiGrandCanonical(2.0, arl.ChemicalPotentials.from_field(field))


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("field", FIELDS)
def test_exchanging_all_species_and_the_field_leaves_log_prob_as_it_is(model: AnyOrderTransformer, field: float, kind: str) -> None:
    x = torch.cat(list(enumerate_configurations(ISING.lattice)))
    order = draw_orders(ISING.lattice, 1, kind, Stream(0))[0]
    log_q = model.log_prob(x, state(field), order)
    assert torch.equal(log_q, model.log_prob(1 - x, state(-field), order))
    assert abs(float(log_q.logsumexp(0))) < 1e-10


def test_the_gauged_model_conforms_in_symmetric_and_other_states(model: AnyOrderTransformer) -> None:
    """Sums, sampling, inpainting; false alarms 1e-6 a state, n = 1000."""
    check_model(model, [*map(state, FIELDS), arl.Canonical(2.0, {"up": 6}), arl.Canonical(2.0, {"up": 4})], n=1000)


def test_the_first_species_of_a_symmetric_state_is_a_fair_coin(model: AnyOrderTransformer) -> None:
    order = torch.arange(12)
    x = torch.cat(list(enumerate_configurations(ISING.lattice)))
    share = model.log_prob(x, state(0.0), order).exp()[x[:, 0] == 1].sum()
    assert float(share) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    "other",
    [
        arl.hamiltonian("ising", supercell=(3, 3), h=0.1),
        arl.hamiltonian("potts", supercell=(3, 3), q=3),
        random_hamiltonian(arl.square(3)),
    ],
    ids=["in a field", "three species", "random"],
)
def test_hamiltonians_without_the_symmetry_have_no_gauge(other: arl.Hamiltonian) -> None:
    assert SpinGauge.of(other) is None
