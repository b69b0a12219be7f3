"""The conformance kit accepts what is right and rejects what is known to be wrong, naming it."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any, Self

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding.draw import Decoder
from arlattice.decoding.steps import Steps
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions, CachedDecoder
from arlattice.plan import Plan
from arlattice.testing import Case, ConformanceError, check_hamiltonian, check_model, check_move, randomise, small_cases, transition_matrix

CASES = {case.name: case for case in small_cases()}
SQUARE, FIXED, VACANCIES = (CASES[k] for k in ("square 3x3", "two sublattices, tight composition", "two sublattices, vacancies"))
TINY = AnyOrderTransformerOptions(width=8, heads=1, layers=1)


def rejected(what: str) -> Any:
    return pytest.raises(ConformanceError, match=re.escape(what))


# -- Hamiltonians ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_cluster_hamiltonians_and_black_boxes_conform(case: Case) -> None:
    check_hamiltonian(case.hamiltonian)
    check_hamiltonian(case.hamiltonian.to(dtype=torch.float32))
    check_hamiltonian(arl.FunctionHamiltonian(case.hamiltonian.lattice, case.hamiltonian.energy, units="reduced"))


@pytest.mark.parametrize(
    ("name", "options"),
    [("ising", {"supercell": (3, 4), "h": 0.3}), ("ising", {"supercell": (2, 2, 2)}), ("potts", {"supercell": (3, 3), "q": 3})],
)
def test_the_hamiltonians_that_ship_conform(name: str, options: dict[str, Any]) -> None:
    check_hamiltonian(arl.hamiltonian(name, **options))


class Right(arl.ClusterHamiltonian):
    """A copy of the right one, to be made wrong."""

    def __init__(self) -> None:
        self.__dict__.update(copy.copy(VACANCIES.hamiltonian.__dict__))


class WrongSign(Right):
    def flip_differences(self, occupations: Tensor) -> Tensor:
        return -super().flip_differences(occupations)


class WrongFlippedSite(Right):
    def site_energies(self, occupations: Tensor, site: Tensor | int) -> Tensor:
        return super().site_energies(occupations, (torch.as_tensor(site) + 2) % self.lattice.n_sites)


class OneSiteForAll(Right):
    def site_energies(self, occupations: Tensor, site: Tensor | int) -> Tensor:
        return super().site_energies(occupations, int(torch.as_tensor(site).flatten()[0]))


class SwapOfIndependentFlips(Right):
    def swap_differences(self, occupations: Tensor, first: Tensor, second: Tensor) -> Tensor:
        flips, rows = self.flip_differences(occupations), torch.arange(len(occupations))
        return flips[rows, first, occupations[rows, second]] + flips[rows, second, occupations[rows, first]]


class CountsClustersTwice(Right):
    def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
        return torch.stack([self.site_energies(occupations, i) for i in range(self.lattice.n_sites)], 1)


class LooksAhead(Right):
    def completed_site_energies(self, occupations: Tensor, site: Tensor) -> Tensor:
        return super().completed_site_energies(occupations.clamp(min=0), site)


class InfiniteWhereForbidden(Right):
    def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
        return super().completed_energies(occupations, order).masked_fill(~self.lattice.allowed, torch.inf)


class LinksTheBatch(Right):
    def energy(self, occupations: Tensor) -> Tensor:
        energy = super().energy(occupations)
        return energy - energy.mean()


class PerConfigurationRow(Right):
    def energy(self, occupations: Tensor) -> Tensor:
        return super().energy(occupations)[:, None]


class WrongPrecision(Right):
    def energy(self, occupations: Tensor) -> Tensor:
        return super().energy(occupations).float()


class NotFinite(Right):
    def energy(self, occupations: Tensor) -> Tensor:
        return super().energy(occupations).where(occupations[:, 0] == 0, torch.nan)


class Forgetful(Right):
    def energy(self, occupations: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return super().energy(occupations) + self.calls


class WritesIntoItsInput(Right):
    def energy(self, occupations: Tensor) -> Tensor:
        return super().energy(occupations.clamp_(max=0))


class MovesInPlace(Right):
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        self.__dict__.update(super().to(device, dtype).__dict__)
        return self


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (WrongSign, "flip_differences() are not differences of energies"),
        (WrongFlippedSite, "site_energies() of one site for all"),
        (OneSiteForAll, "site_energies() of one site per configuration"),
        (SwapOfIndependentFlips, "swap_differences() are not differences of energies"),
        (CountsClustersTwice, "completed_site_energies() while sampling differ"),
        (LooksAhead, "completed_site_energies() while sampling differ"),
        (InfiniteWhereForbidden, "completed_energies() must be finite"),
        (LinksTheBatch, "depends on the others of its batch"),
        (PerConfigurationRow, "has shape (32, 1), expected (32,)"),
        (WrongPrecision, "energy() is torch.float32, but dtype says torch.float64"),
        (NotFinite, "energy() is not finite"),
        (Forgetful, "differs from call to call"),
        (WritesIntoItsInput, "changes the occupations it was given"),
        (MovesInPlace, "to() changes the Hamiltonian it is called on"),
    ],
)
def test_a_wrong_hamiltonian_is_rejected(wrong: type[Right], message: str) -> None:
    with rejected(message):
        check_hamiltonian(wrong())


def test_completed_energies_that_agree_step_by_step_must_add_up() -> None:
    class HalfTheClusters(Right):
        def completed_energies(self, occupations: Tensor, order: Tensor) -> Tensor:
            return super().completed_energies(occupations, order) / 2

        def completed_site_energies(self, occupations: Tensor, site: Tensor) -> Tensor:
            return super().completed_site_energies(occupations, site) / 2

    with rejected("summed over the sites must be the energy less one constant"):
        check_hamiltonian(HalfTheClusters())


def test_the_right_copy_conforms() -> None:
    check_hamiltonian(Right())


# -- models ----------------------------------------------------------------------------------------


class Unmasked(Steps):
    def _step(self, *arguments: Any) -> Any:
        step = super()._step(*arguments)
        return dataclasses.replace(step, base=step.base.masked_fill(step.base == -torch.inf, -3.0))


class ForgetsTheMask(AnyOrderTransformer):
    """Leaves probability on species that do not fit."""

    @property
    def steps(self) -> Steps:
        right = super().steps
        return Unmasked(right.hamiltonian, right.device, right.dtype)


class DrawsColder(AnyOrderTransformer):
    """Draws from one distribution and reports it; log_prob() is another."""

    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().draw(noise, order, dataclasses.replace(conditions, beta=conditions.beta * 1.05), known)


class ReportsWhatItDidNotDraw(DrawsColder):
    """Draws from one distribution and reports the log-probability of another."""

    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, _ = super().draw(noise**1.6, order, conditions, known)
        steps = self(x, order, conditions)
        return x, steps.sum(1) if known is None else torch.where(known.gather(1, order) < 0, steps, 0.0).sum(1)


class OffByOneCache(AnyOrderTransformer):
    """The cached token of a step carries the phases of the wrong source site."""

    def decoder(self, plan: Plan) -> Decoder:
        return ReadsTheWrongSite(self)


class ReadsTheWrongSite(CachedDecoder):
    def begin(self, order: Tensor, conditions: Conditions) -> dict[str, Tensor]:
        return super().begin(order, conditions) | {"sites": order.roll(1, 1)}


class PeeksAhead(AnyOrderTransformer):
    """The species of a step leaks into its own conditional."""

    def plan_logits(self, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
        logits = super().plan_logits(occupations, plan, conditions, steps)
        return logits + 0.1 * torch.nn.functional.one_hot(occupations.gather(1, plan.order), self.q)[:, :steps]


class IgnoresTheKnown(AnyOrderTransformer):
    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().draw(noise, order, conditions)


class CountsTheKnown(AnyOrderTransformer):
    """The log-probability of a completion includes the known sites."""

    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_prob = super().draw(noise, order, conditions, known)
        return x, log_prob if known is None else self(x, dataclasses.replace(Plan.of(order), given=None), conditions).sum(1)


class AddsGlobalNoise(AnyOrderTransformer):
    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().draw(torch.rand_like(noise), order, conditions, known)


@pytest.mark.parametrize(
    ("wrong", "case", "message"),
    [
        (ForgetsTheMask, VACANCIES, "do not sum to 1"),
        (ForgetsTheMask, FIXED, "do not sum to 1"),
        (PeeksAhead, SQUARE, "do not sum to 1"),
        (DrawsColder, SQUARE, "log_prob of samples differs from log_prob()"),
        (ReportsWhatItDidNotDraw, SQUARE, "do not have the frequencies"),
        (OffByOneCache, SQUARE, "log_prob of samples differs from log_prob()"),
        (IgnoresTheKnown, SQUARE, "must hold the known species"),
        (CountsTheKnown, SQUARE, "differs from the enumerated conditional"),
        (AddsGlobalNoise, SQUARE, "the same seed gives other samples"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_model_is_rejected(wrong: type[AnyOrderTransformer], case: Case, message: str) -> None:
    """n = 2000. Frequencies: ReportsWhatItDidNotDraw fails by far more than the threshold of 1e-6."""
    with torch.random.fork_rng(), rejected(message):
        check_model(randomise(wrong(case.hamiltonian, TINY)), [case.state])


def test_the_check_copies_the_model() -> None:
    model = randomise(AnyOrderTransformer(SQUARE.hamiltonian, TINY))
    before = model.fingerprint
    check_model(model, [SQUARE.state], n=100)
    assert (model.fingerprint, model.state_mean.dtype) == (before, torch.float32)


def test_too_large_a_lattice_and_no_states_are_refused() -> None:
    large = AnyOrderTransformer(arl.hamiltonian("ising", supercell=(5, 5)), TINY)
    with pytest.raises(arl.InputError, match="at most 65536 configurations"):
        check_model(large, [arl.SemiGrandCanonical(2.0)])
    with pytest.raises(arl.InputError, match="at least one state"):
        check_model(large, [])


# -- moves -----------------------------------------------------------------------------------------


def two_spins() -> Tensor:
    return torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])


def flip_first(accept: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Flip the first of two spins; log f = 1.3 per up spin."""

    def move(x: Tensor, noise: Tensor) -> Tensor:
        flipped = torch.stack([1 - x[:, 0], x[:, 1]], 1)
        gain = 1.3 * (flipped - x).sum(1).double()
        return torch.where((noise < accept(gain))[:, None], flipped, x)

    return move


def test_transition_matrix_of_a_known_move() -> None:
    matrix = transition_matrix(flip_first(torch.exp), two_spins())
    down = torch.tensor(-1.3, dtype=torch.float64).exp()
    expected = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 1], [down, 0, 1 - down, 0], [0, down, 0, 1 - down]], dtype=torch.float64)
    assert torch.allclose(matrix, expected, rtol=0, atol=1e-14)


def test_a_right_move_conforms_and_a_wrong_sign_is_rejected() -> None:
    log_f = 1.3 * two_spins().sum(1).double()
    check_move(flip_first(torch.exp), two_spins(), log_f)
    with rejected("does not keep the distribution"):
        check_move(flip_first(lambda gain: torch.exp(-gain)), two_spins(), log_f)


def test_a_move_that_only_circulates_is_rejected_unless_that_is_asked_for() -> None:
    def round_and_round(x: Tensor, noise: Tensor) -> Tensor:
        return torch.stack([x[:, 1], 1 - x[:, 0]], 1)

    check_move(round_and_round, two_spins(), torch.zeros(4), reversible=False)
    with rejected("detailed balance"):
        check_move(round_and_round, two_spins(), torch.zeros(4))


def test_a_move_that_leaves_the_configurations_is_rejected() -> None:
    with rejected("leaves the given configurations: [2, 0]"):
        check_move(lambda x, noise: torch.tensor([2, 0]).expand_as(x), two_spins(), torch.zeros(4))
