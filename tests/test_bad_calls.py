"""Bad calls from Python: `InputError`, one line that names argument, value and cure; nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
import torch

import arlattice as arl
from arlattice.models.base import Model
from arlattice.models.build import build_model
from arlattice.models.painted import paint
from arlattice.montecarlo import diagnose, sample_chains, sample_replicas
from arlattice.training.config import RunConfig, TrainingOptions
from arlattice.training.states import StateRange

STATE = arl.SemiGrandCanonical(2.0)
ZEROS = torch.zeros(1, 9, dtype=torch.long)
BLACK_BOX = arl.FunctionHamiltonian(arl.square(3), lambda x: x.sum(1).double())
HALITE = arl.FunctionHamiltonian(
    arl.Lattice(np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), (("Na",), ("Cl",)), np.eye(3), ("Na", "Cl")), lambda x: x.sum(1)
)
CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no samples": (lambda m: m.sample(0, STATE), "n = 0"),
    "a fraction of a sample": (lambda m: m.sample(1.5, STATE), "n = 1.5"),
    "state is a number": (lambda m: m.sample(1, 300.0), "state = 300.0"),
    "order that is no permutation": (lambda m: m.sample(1, STATE, order=torch.zeros(9, dtype=torch.long)), "order"),
    "order of another lattice": (lambda m: m.sample(1, STATE, order=torch.arange(4)), "order"),
    "batch of none": (lambda m: m.sample(1, STATE, batch_size=0), "batch_size = 0"),
    "known of another lattice": (lambda m: m.inpaint(torch.full((4,), -1), 1, STATE), "known"),
    "known of an unknown species": (lambda m: m.inpaint(torch.full((9,), 7), 1, STATE), "known = 7"),
    "floating occupations": (lambda m: m.log_prob(torch.zeros(1, 9), STATE), "occupations"),
    "unknown site in log_prob": (lambda m: m.log_prob(torch.full((1, 9), -1), STATE), "occupations = -1"),
    "temperature is text": (lambda m: arl.SemiGrandCanonical("300"), "temperature = '300'"),
    "temperature is none": (lambda m: arl.SemiGrandCanonical(None), "temperature = None"),
    "temperature is a bool": (lambda m: arl.SemiGrandCanonical(True), "temperature = True"),
    "mu is a number": (lambda m: arl.SemiGrandCanonical(300, 0.1), "chemical_potentials = 0.1"),
    "mu is infinite": (lambda m: arl.SemiGrandCanonical(300, {"Au": np.inf}), "chemical_potentials[Au] = inf"),
    "composition is empty": (lambda m: arl.Canonical(300, {}), "composition = {}"),
    "composition is negative": (lambda m: arl.Canonical(300, {"Au": -1}), "composition[Au] = -1"),
    "composition exceeds the sites": (lambda m: m.sample(1, arl.Canonical(2, {"up": 5, "down": 5})), "composition"),
    "species given twice": (lambda m: arl.square(3, ("a", "a")), "species"),
    "species as one text": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), "CuAu"), "species = 'CuAu'"),
    "supercell of floats": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), ["Cu"], 1.5), "supercell = 1.5"),
    "supercell is text": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), ["Cu"], "2x2x2"), "supercell = '2x2x2'"),
    "lattice of no length": (lambda m: arl.square(0), "length = 0"),
    "unknown Hamiltonian": (lambda m: arl.hamiltonian("isng"), "hamiltonian = 'isng'"),
    "unknown option": (lambda m: arl.hamiltonian("ising", supercell=(3, 3), K=1), "K = 1"),
    "no such model": (lambda m: arl.load("no-such-model"), "model = 'no-such-model'"),
    "unknown units": (lambda m: arl.FunctionHamiltonian(arl.chain(3), len, units="kcal"), "units = 'kcal'"),
    "energies of the wrong shape": (
        lambda m: arl.FunctionHamiltonian(arl.chain(3), lambda x: x.double()).energy(torch.zeros(2, 3).long()),
        "energy function",
    ),
    "sites that are not there": (lambda m: arl.ClusterHamiltonian.from_terms(arl.chain(3), [((7,), np.zeros(2))]), "sites = (7,)"),
    "energies that are not finite": (lambda m: arl.ClusterHamiltonian.from_terms(arl.chain(3), [((0,), np.full(2, np.nan))]), "table"),
    "unknown training option": (lambda m: arl.train(m.hamiltonian, STATE, training={"step": 1}), "training.step = 1"),
    "no states": (lambda m: arl.train(m.hamiltonian, [], device="cpu", progress=False), "states = []"),
    "unknown model family": (lambda m: arl.train(m.hamiltonian, STATE, model="mlp", device="cpu", progress=False), "model = 'mlp'"),
    "resume without a folder": (
        lambda m: arl.train(m.hamiltonian, STATE, resume=True, device="cpu", progress=False, training={"equilibration_sweeps": 0}),
        "folder = None",
    ),
    "no run file": (lambda m: RunConfig.from_toml("nope.toml"), "config = 'nope.toml'"),
    # what a Hamiltonian is given
    "energy with an unknown site": (lambda m: m.hamiltonian.energy(torch.full((1, 9), -1)), "occupations = -1"),
    "energy of a species out of range": (lambda m: m.hamiltonian.energy(torch.full((1, 9), 2)), "occupations = 2"),
    "energy of floats": (lambda m: m.hamiltonian.energy(torch.zeros(1, 9)), "occupations = 'torch.float32'"),
    "energy of bools": (lambda m: m.hamiltonian.energy(torch.zeros(1, 9, dtype=torch.bool)), "occupations = 'torch.bool'"),
    "energy of another lattice": (lambda m: m.hamiltonian.energy(torch.zeros(1, 8).long()), "occupations = (1, 8)"),
    "energy of nothing": (lambda m: m.hamiltonian.energy(None), "occupations = None"),
    "energy of a structure": (lambda m: m.hamiltonian.energy(ase.build.bulk("Cu")), "occupations = Atoms"),
    "energy of a black box": (lambda m: BLACK_BOX.energy(torch.full((1, 9), 7)), "occupations = 7"),
    "energy of a species that the site may not hold": (lambda m: HALITE.energy([[1, 1]]), "occupations = 'Cl'"),
    "a site that is not there": (lambda m: m.hamiltonian.site_energies(ZEROS, 9), "site = 9"),
    "a site before the first": (lambda m: m.hamiltonian.site_energies(ZEROS, -1), "site = -1"),
    "flips of an unknown site": (lambda m: m.hamiltonian.flip_differences(ZEROS - 1), "occupations = -1"),
    "a swap with no site": (lambda m: m.hamiltonian.swap_differences(ZEROS, 0, 9), "second = 9"),
    "a swap between sublattices": (lambda m: HALITE.swap_differences([[0, 1]], 0, 1), "first, second = [0, 1]"),
    "an order that visits a site twice": (lambda m: m.hamiltonian.completed_energies(ZEROS, torch.zeros(9).long()), "order"),
    "a function that returns nothing": (
        lambda m: arl.FunctionHamiltonian(arl.chain(3), lambda x: None).energy([[0, 0, 0]]),
        "energy function",
    ),
    "no function": (lambda m: arl.FunctionHamiltonian(arl.chain(3), 3), "function = 3"),
    "no calculator": (lambda m: arl.CalculatorHamiltonian(arl.chain(3), None), "calculator = None"),
    "terms that are no pairs": (lambda m: arl.ClusterHamiltonian.from_terms(arl.chain(3), [3]), "terms = 3"),
    # drawing
    "sample a bool": (lambda m: m.sample(True, STATE), "n = True"),
    "sample ten point nought": (lambda m: m.sample(10.0, STATE), "n = 10.0"),
    "sample text": (lambda m: m.sample("10", STATE), "n = '10'"),
    "sample more than fits": (lambda m: m.sample(10**15, STATE), "n = 1000000000000000: would need"),
    "batch of one and a half": (lambda m: m.sample(1, STATE, batch_size=1.5), "batch_size = 1.5"),
    "batch of True": (lambda m: m.sample(1, STATE, batch_size=True), "batch_size = True"),
    "seed out of range": (lambda m: m.sample(1, STATE, seed=2**64), "seed = 18446744073709551616"),
    "seed below zero": (lambda m: m.sample(1, STATE, seed=-1), "seed = -1"),
    "seed is a float": (lambda m: m.log_prob(ZEROS, STATE, seed=0.5), "seed = 0.5"),
    "order is a number": (lambda m: m.sample(1, STATE, order=3), "order"),
    "order is a table": (lambda m: m.sample(1, STATE, order={}), "order = {}"),
    "state is none": (lambda m: m.inpaint(ZEROS[0] - 1, 1, None), "state = None"),
    "inpaint a structure": (lambda m: m.inpaint(ase.build.bulk("Cu"), 1, STATE), "known = Atoms"),
    "inpaint nothing": (lambda m: m.inpaint(None, 1, STATE), "known = None"),
    "a state far from training": (lambda m: m.sample(1, arl.SemiGrandCanonical(2.0, {"up": 1e300})), "state"),
    "weights on no Hamiltonian": (lambda m: m.on(3), "hamiltonian = 3"),
    "save nowhere": (lambda m: m.save(None), "folder = None"),
    "paint a number": (lambda m: paint(m, 3), "hamiltonian = 3"),
    # loading and training
    "load nothing": (lambda m: arl.load(None), "model = None"),
    "load a number": (lambda m: arl.load(3), "model = 3"),
    "load onto a number": (lambda m: arl.load("ising-10x10", device=3), "device = 3"),
    "a Hamiltonian by number": (lambda m: arl.hamiltonian(3), "hamiltonian = 3"),
    "a plugin by number": (lambda m: arl.load_plugin(3), "plugin = 3"),
    "a supercell of True": (lambda m: arl.Lattice.from_ase(ase.build.bulk("Cu"), ["Cu"], True), "supercell = True"),
    "a lattice of no cell": (lambda m: arl.Lattice.from_ase(None, ["Cu"]), "primitive = None"),
    "a lattice of a molecule": (lambda m: arl.Lattice.from_ase(ase.build.molecule("H2", pbc=True), ["H"]), "cell"),
    "a lattice of a billion sites": (lambda m: arl.cubic(1000), "supercell"),
    "a square of text": (lambda m: arl.square("4"), "length = '4'"),
    "a square of three": (lambda m: arl.square((2, 2, 2)), "length = (2, 2, 2)"),
    "train on a table": (lambda m: arl.train(m.hamiltonian, {"temperature": 2.0}), "states = {'temperature': 2.0}"),
    "train on nothing": (lambda m: arl.train(m.hamiltonian, None), "states = None"),
    "train a name": (lambda m: arl.train("cuau", STATE), "hamiltonian = 'cuau'"),
    "train for no time": (lambda m: arl.train(m.hamiltonian, STATE, time_limit=float("nan")), "time_limit = nan"),
    "train with options as text": (lambda m: arl.train(m.hamiltonian, STATE, training="steps = 1"), "training = 'steps = 1'"),
    "steps is a bool": (lambda m: TrainingOptions.parse({"steps": True}), "steps = True"),
    "steps is text": (lambda m: TrainingOptions.parse({"steps": "3"}), "steps = '3'"),
    "steps of 5,000 digits": (lambda m: TrainingOptions.parse({"steps": 10**5000}), "steps = <whole number of about 5001 digits>"),
    "a range of a bool": (lambda m: StateRange.parse({"temperature": True}), "temperature = True"),
    "a run file of nothing": (lambda m: RunConfig.from_toml(None), "config = None"),
    # states
    "temperature is hot": (lambda m: arl.SemiGrandCanonical("hot"), "temperature = 'hot'"),
    "temperature of 5,000 digits": (lambda m: arl.SemiGrandCanonical(10**5000), "temperature = <whole number"),
    "composition is a list": (lambda m: arl.Canonical(300, ["Au"]), "composition = ['Au']"),
    "field is text": (lambda m: arl.ChemicalPotentials.from_field("up"), "field = 'up'"),
    "an ensemble of nothing": (lambda m: arl.Ensemble.from_dict(None), "ensemble = None"),
    # samples
    "samples without a lattice": (lambda m: arl.SampleSet(None, ZEROS, torch.zeros(1), STATE, "reduced"), "lattice = None"),
    "samples in units of lists": (lambda m: arl.SampleSet(m.lattice, ZEROS, torch.zeros(1), STATE, []), "units = []"),
    "energies that are text": (lambda m: arl.SampleSet(m.lattice, ZEROS, "low", STATE, "reduced"), "energy = 'low'"),
    "select nothing": (lambda m: m.sample(2, STATE).select(None), "indices = None"),
    "resample one and a half": (lambda m: m.sample(2, STATE).resample(1.5, torch.Generator()), "n = 1.5"),
    "resample by a seed": (lambda m: m.sample(2, STATE).resample(1, 0), "generator = 0"),
    "average of nothing": (lambda m: m.sample(2, STATE).mean(None), "observable = None"),
    "write nowhere": (lambda m: m.sample(2, STATE).write(None), "path = None"),
    "write a format of lists": (lambda m: m.sample(2, STATE).write("o.extxyz", format=[]), "format = []"),
    "read nothing": (lambda m: arl.SampleSet.read(None), "path = None"),
    "join a set": (lambda m: arl.SampleSet.concatenate(m.sample(2, STATE)), "sets"),
    # sweeps and Monte Carlo
    "sweep of a number": (lambda m: arl.sweep(3, 2.0), "model = 3"),
    "sweep of True samples": (lambda m: arl.sweep(m, 2.0, n=True), "n = True"),
    "sweep of a hot temperature": (lambda m: arl.sweep(m, "hot"), "temperatures = 'hot'"),
    "sweep into nothing": (lambda m: arl.sweep(m, 2.0, pool=3), "pool = 3"),
    "chains of a name": (lambda m: sample_chains("ising", STATE), "hamiltonian = 'ising'"),
    "half a chain": (lambda m: sample_chains(m.hamiltonian, STATE, chains=0.5), "chains = 0.5"),
    "more sweeps than fit": (lambda m: sample_chains(m.hamiltonian, STATE, sweeps=10**14), "chains, sweeps"),
    "replicas of a number": (lambda m: sample_replicas(m.hamiltonian, [3]), "states = [3]"),
    "diagnose nothing": (lambda m: diagnose(None), "samples = None"),
    "a family by number": (lambda m: build_model(3, m.hamiltonian), "model = 3"),
}


def test_there_are_at_least_forty_cases() -> None:
    assert len(CALLS) >= 40


@pytest.fixture(scope="module")
def model(ising_model: Path) -> Model:
    return arl.load(ising_model)


@pytest.mark.parametrize("case", CALLS)
def test_a_bad_call_raises_one_line(case: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, told = CALLS[case]
    with pytest.raises(arl.InputError) as error:
        call(model)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
