"""icet's own Monte Carlo, mchammer, for the same state: an independent check of energies, moves and conventions.

The expansion runs in mchammer's `SemiGrandCanonicalEnsemble` or `CanonicalEnsemble`, one chain after the other; the
configurations are read in memory, draw by draw (the files of mchammer's data containers are pickles), and every one must
have the energy that mchammer gives it. mchammer seeds and draws from Python's global random numbers: they are put back afterwards, so
that runs are reproducible and nothing else notices. Do not draw from them in another thread meanwhile.
Source: M. Angqvist et al., Adv. Theory Simul. 2, 1900015 (2019).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.ensemble import boltzmann_constant
from arlattice.independence import stream_of
from arlattice.montecarlo.chains import check_schedule, origin
from arlattice.montecarlo.start import random_occupations
from arlattice.random_numbers import Stream
from arlattice_icet import cuau
from arlattice_icet.compile import require_icet
from arlattice_icet.reader import read_expansion

if TYPE_CHECKING:
    from icet import ClusterExpansion

__all__ = ["run"]

_TOLERANCE = 1e-9  # of energies, relative to the largest
_NEVER = 2**62  # trial steps between two rows of the data container


def run(
    hamiltonian: arl.Hamiltonian,
    state: arl.Ensemble,
    *,
    expansion: ClusterExpansion | None = None,
    chains: int = 1,
    sweeps: int = 1000,
    burn_in: int = 200,
    thin: int = 10,
    seed: int | None = None,
    trust: bool = False,
) -> arl.SampleSet:
    """Sample a state with mchammer.

    Args:
        hamiltonian: ``cuau`` or ``icet``, on the supercell to run.
        state: single flips in a semi-grand-canonical state, swaps at fixed composition.
        expansion: the expansion behind ``hamiltonian``; needed only if that was given as an object.
        chains: each from its own random configuration, with its own seed.
        sweeps: after the burn-in; one sweep is as many trial steps as there are sites.
        burn_in: sweeps before the first that counts.
        thin: every how many sweeps the configurations are kept.
        seed: of everything; None takes a fresh one, kept as ``metadata["seed"]``.
        trust: read the expansion's file with icet's own reader, which runs whatever code the file holds.

    Returns:
        What `arlattice.montecarlo.sample_chains` returns, energies by ``hamiltonian``.

    Raises:
        InputError: an expansion that is not at hand or does not have these energies, or a state that mchammer does not run.
        MissingExtraError: icet is not installed.
    """
    require_icet()
    check_schedule(chains, sweeps, burn_in, thin)
    given, reference = _expansion(hamiltonian, expansion, trust)
    stream = Stream(seed, "mchammer")
    start = random_occupations(hamiltonian.lattice, Conditions.from_states([state], hamiltonian).expand(chains), stream["start"])
    seeds = stream["seed"].integers(2**48, 1, chains)[0].tolist()
    kept, potentials = [], []
    with _quiet(), _own_random_numbers():
        for x, chain_seed in zip(start, seeds, strict=True):
            numbers, energies = _record(_ensemble(given, hamiltonian, state, reference, x, chain_seed), burn_in, sweeps // thin, thin)
            kept.append(numbers)
            potentials.append(energies)
    occupations = _occupations(hamiltonian.lattice, np.stack(kept, 1).reshape(-1, hamiltonian.lattice.n_sites))
    samples = arl.SampleSet(
        hamiltonian.lattice,
        occupations,
        hamiltonian.to("cpu", torch.float64).energy(occupations),
        state,
        hamiltonian.units,
        stream=stream_of(stream.seed, "mchammer", torch.arange(len(occupations))),
        metadata=origin(hamiltonian, "mchammer", chains, sweeps, burn_in, thin, stream.seed),
    )
    _check(samples, reference, torch.from_numpy(np.stack(potentials, 1).ravel()))
    return samples


def _expansion(hamiltonian: arl.Hamiltonian, given: ClusterExpansion | None, trust: bool) -> tuple[ClusterExpansion, dict[str, float]]:
    """The expansion, and the energy per atom that the Hamiltonian subtracts from it."""
    options = hamiltonian.options
    reference = cuau.PURE_ENERGIES if options.get("formation_energies") else {}
    if given is not None:
        return given, reference
    if hamiltonian.name == "cuau":
        return cuau.expansion(), reference
    if hamiltonian.name != "icet" or options.get("expansion") == "<object>":
        raise arl.InputError("expansion", None, f"give the icet expansion behind {hamiltonian.name!r}")
    expansion, sha256 = read_expansion(options["expansion"], trust=trust)
    if sha256 != options["sha256"]:
        raise arl.InputError("expansion", options["expansion"], "the file has changed since the Hamiltonian was built")
    return expansion, {}


def _ensemble(
    expansion: ClusterExpansion, hamiltonian: arl.Hamiltonian, state: arl.Ensemble, reference: dict[str, float], x: torch.Tensor, seed: int
) -> Any:
    """The mchammer ensemble of a state, from one configuration (sites,); it seeds Python's global random numbers."""
    from mchammer.calculators import ClusterExpansionCalculator
    from mchammer.ensembles import CanonicalEnsemble, SemiGrandCanonicalEnsemble

    lattice = hamiltonian.lattice
    structure = lattice.to_ase(x, vacancies="X")
    settings = {
        "structure": structure,
        "calculator": ClusterExpansionCalculator(structure, expansion),
        "temperature": state.temperature,
        "boltzmann_constant": boltzmann_constant(hamiltonian.units),
        "random_seed": seed,
        "ensemble_data_write_interval": _NEVER,
        "trajectory_write_interval": _NEVER,
    }
    try:
        if isinstance(state, arl.Canonical):
            return CanonicalEnsemble(**settings)
        mu = zip(lattice.species, state.mu_vector(lattice), strict=True)
        return SemiGrandCanonicalEnsemble(**settings, chemical_potentials={s: value + reference.get(s, 0.0) for s, value in mu})
    except ValueError as error:
        raise arl.InputError("hamiltonian", hamiltonian.name, f"mchammer does not run this state: {error}") from None


def _record(ensemble: Any, burn_in: int, draws: int, thin: int) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (draws, sites) and mchammer's energies (draws,) of one chain."""
    sites = len(ensemble.configuration.occupations)
    ensemble.run(burn_in * sites)
    numbers = []
    for _ in range(draws):
        ensemble.run(thin * sites)
        numbers.append(np.array(ensemble.configuration.occupations))
    return np.stack(numbers), np.array([ensemble.calculator.calculate_total(occupations=row) for row in numbers])


def _occupations(lattice: arl.Lattice, numbers: np.ndarray) -> torch.Tensor:
    from ase.data import atomic_numbers

    species = torch.tensor([atomic_numbers[s] for s in lattice.species])
    return (torch.from_numpy(numbers)[..., None] == species).long().argmax(-1)


def _check(samples: arl.SampleSet, reference: dict[str, float], potential: torch.Tensor) -> None:
    """The energies of mchammer are those of the Hamiltonian."""
    per_atom = torch.tensor([reference.get(s, 0.0) for s in samples.lattice.species], dtype=torch.float64)
    expected = samples.energy + samples.composition @ per_atom * samples.lattice.n_sites
    worst = float((potential - expected).abs().max())
    if worst > _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise arl.InputError("expansion", "given", f"its energies are off by up to {worst:.3g} eV: not the one behind this Hamiltonian")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without icet's warning at every calculator: the Hamiltonian has warned of self-interaction when it was built."""
    from icet.input_output.logging_tools import logger

    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Python's global random numbers, put back afterwards."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)
