"""Several Hamiltonians share one set of weights: each has its own energies, supercell, units and states, and its own normalised model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.models.base import Model
from arlattice.testing import check_model
from arlattice.thermo.exact import Enumeration
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.health import TrainingWarning
from arlattice.training.states import StateRange, trained_range
from arlattice.training.train import run
from arlattice.training.trainer import Trainer

STATE = arl.SemiGrandCanonical(2.5)
WIDE = {"width": 32, "heads": 2, "layers": 2, "positions": "primitive"}
TINY = {"width": 16, "heads": 2, "layers": 1, "positions": "primitive"}
BRIEF: dict[str, Any] = {
    "seed": 0,
    "objective": "forward",
    "steps": 4,
    "batch_size": 16,
    "replica_copies": 16,
    "replica_temperatures": 2,
    "equilibration_sweeps": 2,
    "evaluate_every": 100,
    "evaluate_samples": 8,
}
LEARN = BRIEF | {"steps": 200, "batch_size": 64, "learning_rate": 5e-3, "warmup_steps": 10, "ema_decay": 0.97, "equilibration_sweeps": 30}


def ising(*size: int, **options: float) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", supercell=size, **options)


def train(hamiltonian: Any, states: Any = STATE, training: dict[str, Any] = BRIEF, **keywords: Any) -> Model:
    return arl.train(hamiltonian, states, model_options=TINY, training=training, device="cpu", progress=False, **keywords)


def trainer(hamiltonians: list[arl.Hamiltonian], states: Any, **training: Any) -> Trainer:
    return Trainer(hamiltonians, states, "any-order-transformer", TINY, TrainingOptions.parse(BRIEF | training), "cpu")


def divergence(model: Model) -> float:
    """KL(q || p) in nats by enumeration, in raster order; the sum of q is 1 to rounding."""
    enumeration = Enumeration.of(model.hamiltonian)
    log_p, x = enumeration.log_f(STATE).log_softmax(0), enumeration.occupations.long()
    log_q = model.log_prob(x, STATE, "raster")
    assert float(log_q.exp().sum()) == pytest.approx(1, abs=1e-5)
    return float((log_q.exp() * (log_q - log_p)).sum())


def test_two_couplings_on_two_supercells_train_together_and_each_is_normalised_and_learned() -> None:
    """J = 1 on 3x3 and J = 1.5 on 2x3: 0.41 and 0.45 nats before, a third at most after 100 steps each. 400 samples an order."""
    hamiltonians = [ising(3, 3), ising(2, 3, J=1.5)]
    options = {"model_options": WIDE, "device": "cpu", "progress": False}
    untrained = arl.train(hamiltonians, STATE, training=BRIEF | {"steps": 1, "learning_rate": 1e-12}, **options)
    trained = arl.train(hamiltonians, STATE, training=LEARN, **options)
    for hamiltonian in hamiltonians:
        model = trained.on(hamiltonian)
        assert divergence(model) < divergence(untrained.on(hamiltonian)) / 3
        check_model(model, [STATE], n=400)
        assert model.sample(5, STATE, seed=0).metadata["hamiltonian_fingerprint"] == hamiltonian.fingerprint


def test_other_zeros_of_energy_are_welcome_in_a_list_and_refused_as_supercells(tmp_path: Path) -> None:
    """A field shifts the zero. The trained model is one of all of them, also when it was loaded."""
    first, second = ising(3, 3), ising(2, 3, h=0.3)
    with pytest.raises(arl.InputError, match="mu would mean something else"):
        train(first, supercells=[second])
    trained = train([first, second], folder=tmp_path / "run")
    assert trained.hamiltonian is first
    for model in (trained, arl.load(tmp_path / "run")):
        assert [h["fingerprint"] for h in model.record["hamiltonians"]] == [first.fingerprint, second.fingerprint]
        assert model.on(second).sample(5, STATE, seed=0).energy.shape == (5,)
    alone = train(first)
    assert "hamiltonians" not in alone.record
    with pytest.raises(arl.InputError, match="mu would mean something else"):
        alone.on(second)


def test_all_hamiltonians_are_in_the_identity_of_a_run(tmp_path: Path) -> None:
    hamiltonians = [ising(3, 3), ising(3, 3, J=0.5)]
    train(hamiltonians, folder=tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [config["hamiltonian"]["fingerprint"], config["supercells"][0]["fingerprint"]] == [h.fingerprint for h in hamiltonians]
    with pytest.raises(arl.InputError, match=r"\[supercells\]"):
        train([ising(3, 3), ising(3, 3, J=0.6)], folder=tmp_path / "run", resume=True)


def test_a_resumed_run_of_two_hamiltonians_is_the_same_run(tmp_path: Path, without_clock: Callable[[Path], Any]) -> None:
    hamiltonians = [ising(3, 3), ising(2, 3, h=0.3)]
    whole = train(hamiltonians, folder=tmp_path / "whole")
    for resume in (False, True):
        with pytest.warns(TrainingWarning, match="unfinished"):
            train(hamiltonians, folder=tmp_path / "parts", resume=resume, time_limit=0)
    assert train(hamiltonians, folder=tmp_path / "parts", resume=True).fingerprint == whole.fingerprint
    checkpoints = [without_clock(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts")]
    assert checkpoints[0] == checkpoints[1]


def test_compositions_are_those_of_each_supercell() -> None:
    """A third of the sites: 3 of 9 and 2 of 6. One atom: a ninth to a sixth, and the record holds both."""
    hamiltonians = [ising(3, 3), ising(2, 3)]
    made = trainer(hamiltonians, arl.Canonical(2.5, {"up": 1 / 3}))
    assert [system.states.targets[:, 1].unique().tolist() for system in made.systems] == [[3], [2]]
    for system in made.systems:
        x = system.batch(made.stream).occupations
        assert x is not None and x.sum(1).unique().tolist() == [3 if x.shape[1] == 9 else 2]
    found = trained_range(arl.Canonical(2.5, {"up": 1}), *hamiltonians)
    assert found.compositions["up"] == pytest.approx((1 / 9, 1 / 6))
    assert found.compositions["down"] == pytest.approx((5 / 6, 8 / 9))


def test_units_are_those_of_each_hamiltonian_and_state_features_are_scaled_to_all() -> None:
    reduced = ising(3, 3)
    in_ev = arl.FunctionHamiltonian(reduced.lattice, lambda x: 1e-4 * reduced.energy(x), units="eV")
    made = trainer([reduced, in_ev], StateRange(temperature=(2.0, 4.0)))
    beta = [system.states.beta for system in made.systems]
    torch.testing.assert_close(beta[1], beta[0] / 8.617333262e-5)
    together = torch.cat(beta).double()
    for model in (made.model, made.average, made.systems[1].model):
        assert float(model.state_mean[0]) == pytest.approx(float(together.mean()), rel=1e-6)
        assert float(1 / model.state_inverse_scale[0]) == pytest.approx(float(together.std(correction=0)), rel=1e-6)


def test_every_hamiltonian_of_a_list_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    sample = Model.sample
    monkeypatch.setattr(Model, "sample", lambda self, *a, **k: (seen.append(self.hamiltonian.options["J"]), sample(self, *a, **k))[1])
    train([ising(3, 3), ising(2, 3, J=0.5)])
    assert sorted(seen) == [0.5, 1.0]


def test_another_primitive_cell_is_refused() -> None:
    with pytest.raises(arl.InputError, match="must have the primitive cell and species"):
        train([ising(3, 3), arl.hamiltonian("potts", supercell=(3, 3), q=3)])


@pytest.mark.parametrize("wrong", [[], "ising", None, [1]])
def test_what_is_no_hamiltonian_is_told(wrong: Any) -> None:
    with pytest.raises(arl.InputError, match=r"^hamiltonian = "):
        train(wrong)


def test_a_run_file_may_hold_several_hamiltonians(tmp_path: Path) -> None:
    training = "\n".join(f"{key} = {json.dumps(value)}" for key, value in BRIEF.items())
    (tmp_path / "run.toml").write_text(
        f"""
        [[hamiltonian]]
        name = "ising"
        supercell = [3, 3]
        [[hamiltonian]]
        name = "ising"
        supercell = [2, 3]
        h = 0.3
        [states]
        temperature = 2.5
        [model]
        name = "any-order-transformer"
        width = 16
        heads = 2
        layers = 1
        positions = "primitive"
        [training]
        {training}
        """
    )
    trained = run(RunConfig.from_toml(tmp_path / "run.toml"), tmp_path / "run", device="cpu", progress=False)
    same = train([ising(3, 3), ising(2, 3, h=0.3)], StateRange(temperature=2.5))
    assert trained.fingerprint == same.fingerprint
