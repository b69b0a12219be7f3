"""One set of weights on several supercells: trained on all of them, sampled on another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.phases import rotary_phases
from arlattice.testing import check_model, randomise
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.health import TrainingWarning
from arlattice.training.train import run
from arlattice.training.trainer import Trainer

TINY = {"width": 16, "heads": 2, "layers": 1, "positions": "primitive"}
STATE = arl.SemiGrandCanonical(2.5)
BRIEF = {
    "seed": 0,
    "objective": "forward",
    "steps": 6,
    "batch_size": 16,
    "replica_copies": 16,
    "equilibration_sweeps": 2,
    "evaluate_every": 100,
}


def ising(*size: int) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=size)


def model(family: str = "any-order-transformer", **options: object) -> Model:
    return build_model(family, ising(3, 3), options or TINY)


def test_the_weights_are_shared_and_the_other_supercell_has_its_own_normalised_distribution() -> None:
    """n = 400 a kind of order; false alarm 1e-6."""
    small = randomise(model(), seed=1)
    large = small.on(ising(3, 4))
    assert large.lattice.n_sites == 12 and large.name == small.name
    assert {id(p) for p in large.parameters()} == {id(p) for p in small.parameters()}
    check_model(large, [STATE], n=400)


def test_on_its_own_supercell_a_model_is_unchanged() -> None:
    small, x = randomise(model(), seed=2), torch.randint(2, (5, 9), generator=torch.Generator().manual_seed(0))
    assert torch.equal(small.on(ising(3, 3)).log_prob(x, STATE, "raster"), small.log_prob(x, STATE, "raster"))


def test_weights_of_one_supercell_are_refused_on_another() -> None:
    """Also where the shapes of the weights agree."""
    for family, options in (("any-order-mlp", {"width": 8}), ("any-order-transformer", TINY | {"positions": "supercell"})):
        four = build_model(family, ising(4, 4), options)
        with pytest.raises(arl.InputError, match="weights for one supercell"):
            four.on(ising(2, 8))
    with pytest.raises(arl.InputError, match="primitive cell and species"):
        model().on(arl.hamiltonian("potts", supercell=(3, 3), q=3))


class Factor(Model):
    """A stranger's family with a bare parameter."""

    def __init__(self, hamiltonian: arl.Hamiltonian, options: arl.Options) -> None:
        super().__init__(hamiltonian, options)
        self.factor = torch.nn.Parameter(torch.tensor(0.1))

    @property
    def any_supercell(self) -> bool:
        return True

    def block_logits(self, partial: torch.Tensor, sites: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        step = self.steps.of_block(partial, sites, conditions)
        return step.base + self.factor * step.boltzmann


def test_bare_parameters_are_shared_too() -> None:
    small = Factor(ising(3, 3), arl.Options())
    with torch.no_grad():
        small.factor.fill_(0.7)
    assert small.on(ising(4, 4)).factor is small.factor


def test_primitive_waves_are_nearly_the_same_on_every_supercell() -> None:
    """A step along an axis turns each slot by the same angle on 24 x 24 and 48 x 48, within half a grid point of each."""
    turns = []
    for length in (24, 48):
        lattice = arl.square(length)
        phases = rotary_phases(lattice, 2, 8, "primitive").flatten(1)
        step = lattice.site_index(lattice.cell_offsets[:1] + np.array([1, 0, 0]), 0)
        turns.append((phases[step[0]] - phases[0]) / (2 * torch.pi))
    difference = (turns[0] - turns[1] + 0.5) % 1 - 0.5
    assert float(difference.abs().max()) <= 0.5 / 24 + 0.5 / 48 + 1e-9
    assert float(difference.abs().max()) > 0


def test_primitive_waves_are_periodic_on_a_skewed_supercell() -> None:
    lattice = arl.square(4).with_supercell([[3, 1, 0], [-1, 4, 0], [0, 0, 1]])
    phases = rotary_phases(lattice, 2, 8, "primitive").flatten(1)
    for translation in lattice.translations:
        turned = torch.polar(torch.ones_like(phases), phases[translation] - phases)
        torch.testing.assert_close(turned, turned[:1].expand_as(turned))


def test_steps_take_turns_over_the_supercells() -> None:
    trainer = Trainer([ising(3, 3), ising(2, 3)], STATE, "any-order-transformer", TINY, TrainingOptions.parse(BRIEF), "cpu")
    seen: list[int] = []
    objective = trainer.objective
    trainer.objective = lambda m, batch: seen.append(m.lattice.n_sites) or objective(m, batch)  # type: ignore[func-returns-value]
    trained = trainer.fit(None, False, None, False)
    assert seen == [9, 6, 9, 6, 9, 6] and trained.lattice.n_sites == 9


def test_a_model_of_two_sizes_is_good_on_a_third(tmp_path: Path) -> None:
    """Trained on 2x3 and 3x3, sampled on 3x4: ESS far above that of the untrained weights. 500 samples, fixed seeds."""
    text = """
        supercells = [{ supercell = [2, 3] }]
        [hamiltonian]
        name = "ising"
        supercell = [3, 3]
        [states]
        temperature = [2.2, 2.8]
        [model]
        name = "any-order-transformer"
        width = 32
        heads = 2
        layers = 2
        positions = "primitive"
        [training]
        objective = "forward"
        steps = 200
        batch_size = 64
        learning_rate = 5e-3
        warmup_steps = 10
        ema_decay = 0.97
        replica_temperatures = 4
        replica_copies = 16
        equilibration_sweeps = 30
        evaluate_every = 1000
    """
    (tmp_path / "run.toml").write_text(text)
    trained = run(RunConfig.from_toml(tmp_path / "run.toml"), tmp_path / "run", progress=False)
    untrained = build_model("any-order-transformer", ising(3, 3), {"width": 32, "heads": 2, "layers": 2, "positions": "primitive"})
    ess = [m.on(ising(3, 4)).sample(500, STATE, order="random", seed=3).ess for m in (trained, untrained)]
    assert ess[0] > 0.7 > 2 * ess[1]


def test_a_checkpoint_of_other_supercells_is_refused(tmp_path: Path) -> None:
    common = {"model_options": TINY, "training": BRIEF, "progress": False, "folder": tmp_path / "run"}
    with pytest.warns(TrainingWarning, match="unfinished"):
        arl.train(ising(3, 3), STATE, supercells=[ising(2, 3)], time_limit=0.0, **common)
    with pytest.raises(arl.InputError, match=r"\[supercells\]"):
        arl.train(ising(3, 3), STATE, resume=True, **common)
    arl.train(ising(3, 3), STATE, supercells=[ising(2, 3)], resume=True, **common)
