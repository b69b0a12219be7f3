"""Models for kinds of states with features of their own: who builds them, who refuses, what files keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import arlattice as arl
from arlattice.build import ensemble_class
from arlattice.conditions import Conditions
from arlattice.hooks import Manager, using
from arlattice.models.build import build_model

TINY = {"width": 16, "heads": 2, "layers": 1}


@dataclass(frozen=True)
class Plain(arl.Ensemble):
    """A state told to networks by 1 / kT alone."""

    name: ClassVar[str] = "plain"
    temperature: float

    @classmethod
    def feature_names(cls, lattice: arl.Lattice) -> tuple[str, ...]:
        return ("beta",)

    @classmethod
    def features(cls, conditions: Conditions) -> torch.Tensor:
        return conditions.beta.double()[:, None]

    def to_dict(self) -> dict[str, Any]:
        return {"ensemble": self.name, "temperature": self.temperature}


@pytest.fixture
def manager() -> Iterator[Manager]:
    with using(Manager()) as loaded:
        loaded.ensembles.register("plain", Plain, plugin="p")
        yield loaded


@pytest.mark.usefixtures("manager")
@pytest.mark.parametrize("family", ["any-order-transformer", "any-order-mlp", "marginal-mlp", "marginal-transformer", "fixed-order-mlp"])
def test_every_family_reads_the_features_of_its_ensemble_and_is_loaded_with_it(family: str, tmp_path: Path) -> None:
    options = TINY if "transformer" in family else {"width": 16}
    model = build_model(family, arl.hamiltonian("ising", supercell=(2, 2)), options, ensemble=Plain)
    assert model.feature_names == ("beta",) and model.again(model.hamiltonian).ensemble is Plain
    model.save(tmp_path / "model")
    loaded = arl.load(tmp_path / "model")
    assert loaded.ensemble is Plain and loaded.fingerprint == model.fingerprint
    x, state = torch.ones(1, 4, dtype=torch.long), Plain(2.0)
    assert torch.equal(loaded.log_prob(x, state, seed=1), model.log_prob(x, state, seed=1))


def test_files_of_the_usual_features_do_not_name_an_ensemble(tmp_path: Path) -> None:
    model = build_model("any-order-mlp", arl.hamiltonian("ising", supercell=(2, 2)), {"width": 8}, ensemble=arl.Canonical)
    model.save(tmp_path / "model")
    assert "ensemble" not in json.loads((tmp_path / "model" / "model.json").read_text())
    assert arl.load(tmp_path / "model").feature_names == model.feature_names


def test_a_family_that_takes_no_ensemble_or_does_not_read_it_is_told(manager: Manager) -> None:
    hamiltonian = arl.hamiltonian("ising", supercell=(2, 2))
    family, options = manager.models["any-order-mlp"].load_factory(), "arlattice.models.any_order_mlp:AnyOrderMLPOptions"
    manager.models.register("two", lambda h, o: family(h, o), options=options, plugin="p")
    manager.models.register("deaf", lambda h, o, ensemble=None: family(h, o), options=options, plugin="p")
    for name in ("two", "deaf"):
        assert build_model(name, hamiltonian, {"width": 8}).name == name
        with pytest.raises(arl.InputError, match=f"model = '{name}': plugin 'p' does not read the features of 'plain' states"):
            build_model(name, hamiltonian, {"width": 8}, ensemble=Plain)


def test_a_kind_of_states_that_nobody_has_is_told() -> None:
    assert ensemble_class("canonical") is arl.Canonical
    with pytest.raises(arl.InputError, match="ensemble = 'gibbs'"):
        ensemble_class("gibbs")


def test_what_is_registered_as_an_ensemble_must_be_one_of_that_name(manager: Manager) -> None:
    manager.ensembles.register("other", Plain, plugin="p")
    manager.ensembles.register("number", float, plugin="p")
    for name in ("other", "number"):
        with pytest.raises(arl.InputError, match=f"ensemble = '{name}': plugin 'p' registered .* no subclass of arlattice.Ensemble"):
            ensemble_class(name)
    state = Plain(3.0)
    assert arl.Ensemble.from_dict(state.to_dict()) == state
