"""The results of a sweep as one xarray dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.ensemble import SemiGrandCanonical, boltzmann_constant
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.manager import default_manager
from arlattice.random_numbers import known_seed
from arlattice.reliability import EVEN_ESS, MAX_KHAT
from arlattice.samples import SampleSet
from arlattice.thermo.observables.observe import observe
from arlattice.thermo.sweep_doubts import heavy, outside_of, too_few
from arlattice.thermo.sweep_grid import Grid
from arlattice.thermo.sweep_state import Result, SweepOptions, largest_excess

if TYPE_CHECKING:
    from xarray import Dataset

    from arlattice.models.base import Model

__all__ = ["Variable", "layout", "probe_samples", "to_dataset"]

_OWN = ("log_z", "phi", "entropy", "x", "ess", "khat", "samples", "out_of_range", "heavy_tail", "flagged")


@dataclass(frozen=True)
class Variable:
    """One variable of the dataset.

    Args:
        name: of the variable.
        components: names along its own dimension, or one without.
        dimension: name of that dimension; None for one number a state.
        units: of all components.
        long_name: what it is, in words.
    """

    name: str
    components: tuple[str, ...]
    dimension: str | None
    units: str
    long_name: str


def probe_samples(hamiltonian: Hamiltonian, state: SemiGrandCanonical) -> SampleSet:
    """Two samples of anything: they show which observables make sense and which components they have."""
    occupations = hamiltonian.lattice.allowed.long().argmax(1).expand(2, -1)
    return SampleSet(hamiltonian.lattice, occupations, torch.zeros(2), state, hamiltonian.units, log_prob=torch.zeros(2))


def layout(probe: SampleSet, grid: Grid, observables: Mapping[str, Mapping[str, Any]]) -> list[Variable]:
    """The variables that a sweep gives.

    Args:
        probe: some samples of the lattice.
        grid: its dimensions are not given to anything else.
        observables: registered names, with their options.

    Raises:
        InputError: unknown observables or options, or observables that make no sense on this lattice.
    """
    units, species = probe.units, probe.lattice.species
    variables = [
        Variable("log_z", ("value",), None, "1", "log of the partition sum of the whole supercell"),
        Variable("phi", ("value",), None, units, "grand potential -kT log Z per site"),
        Variable("entropy", ("value",), None, "k_B", "entropy per site"),
        Variable("x", species, "species", "1", "fraction of all sites that each species takes"),
    ]
    named: dict[str, Mapping[str, Any]] = {"energy_per_site": {}, "heat_capacity": {}, "susceptibility": {}, **observables}
    taken = {"species": species, **{dim: () for dim in (*grid.dims, *_OWN)}}
    return variables + [_observed(name, probe, options, taken) for name, options in named.items()]


def _observed(name: str, probe: SampleSet, options: Mapping[str, Any], taken: dict[str, tuple[str, ...]]) -> Variable:
    if name in (*_OWN, *taken):
        raise InputError("observables", name, "is the name of a variable that every sweep has; register it under another name")
    values = observe(name, probe, options, f"observables[{name}]")
    dimension = None
    if len(values.names) > 1:
        dimension = values.dimension or f"{name}_component"
        if taken.get(dimension, values.names) != values.names:
            dimension = f"{name}_component"
        taken[dimension] = values.names
    return Variable(name, values.names, dimension, values.units, default_manager().observables[name].summary or name)


def to_dataset(
    model: Model, grid: Grid, options: SweepOptions, variables: Sequence[Variable], results: Sequence[Result], min_ess: float
) -> Dataset:
    """All results with named dimensions, units and errors; ``flagged`` where they are not to be trusted."""
    import xarray

    data: dict[str, Any] = {}
    for variable in variables:
        data |= _pair(variable, grid, results)
    coordinates = _axes(model.hamiltonian, grid) | {v.dimension: list(v.components) for v in variables if v.dimension}
    data |= _quality(model, grid, options, results, min_ess)
    return xarray.Dataset(data, coords=coordinates, attrs=_attributes(model, options, min_ess))


def _pair(variable: Variable, grid: Grid, results: Sequence[Result]) -> dict[str, Any]:
    """The variable and its error."""
    rows = np.array([[result.averages[variable.name][c] for c in variable.components] for result in results])  # (states, components, 2)
    shape, dims = (grid.shape, grid.dims)
    if variable.dimension:
        shape, dims = (*shape, len(variable.components)), (*dims, variable.dimension)
    attributes = {"units": variable.units, "long_name": variable.long_name}
    error = {"units": variable.units, "long_name": f"standard error of {variable.name}"}
    return {
        variable.name: (dims, rows[..., 0].reshape(shape), attributes),
        f"{variable.name}_error": (dims, rows[..., 1].reshape(shape), error),
    }


def _quality(model: Model, grid: Grid, options: SweepOptions, results: Sequence[Result], min_ess: float) -> dict[str, Any]:
    outside = [reason is not None for reason in outside_of(model, grid)]
    tails = [heavy(r) for r in results]
    poor = [too_few(r, min_ess) or largest_excess(r.averages, options.target_error) > 1 for r in results]
    reason = f"fewer than {min_ess:g} effective samples, a heavy tail, not trained for, or a target error that was not reached"
    columns: dict[str, tuple[list[Any], dict[str, str]]] = {
        "ess": ([r.ess for r in results], {"units": "1", "long_name": "effective sample size as a fraction of the samples"}),
        "khat": ([r.khat for r in results], {"units": "1", "long_name": "tail index of the weights (PSIS)"}),
        "samples": ([r.samples for r in results], {"units": "1", "long_name": "samples drawn"}),
        "out_of_range": (outside, {"units": "1", "long_name": "the model was not trained for this state"}),
        "heavy_tail": (tails, {"units": "1", "long_name": f"khat above {MAX_KHAT:g} and ess below {EVEN_ESS:g}"}),
        "flagged": ([any(each) for each in zip(poor, tails, outside, strict=True)], {"long_name": reason}),
    }
    return {name: (grid.dims, np.array(values).reshape(grid.shape), attributes) for name, (values, attributes) in columns.items()}


def _axes(hamiltonian: Hamiltonian, grid: Grid) -> dict[Any, Any]:
    kelvin = "1" if hamiltonian.units == "reduced" else "K"
    axes = {a.name: (a.name, np.array(a.values), {"units": hamiltonian.units, "long_name": a.long_name}) for a in grid.axes}
    return {"temperature": ("temperature", np.array(grid.temperatures), {"units": kelvin}), **axes}


def _attributes(model: Model, options: SweepOptions, min_ess: float) -> dict[str, str | int | float]:
    from arlattice.version import __version__

    hamiltonian = model.hamiltonian
    return {
        "title": "Thermodynamics of a lattice model by importance sampling",
        "format": "arlattice-sweep-1",
        "arlattice_version": __version__,
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "hamiltonian": hamiltonian.name,
        "hamiltonian_options": json.dumps(dict(hamiltonian.options)),
        "hamiltonian_fingerprint": hamiltonian.fingerprint,
        "lattice": json.dumps(hamiltonian.lattice.to_dict()),
        "sites": hamiltonian.lattice.n_sites,
        "units": hamiltonian.units,
        "boltzmann_constant": boltzmann_constant(hamiltonian.units),
        "seed": known_seed(options.seed),
        "options": options.model_dump_json(),
        "min_ess": min_ess,
    }
