"""A `SampleSet` as an xarray dataset, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from arlattice.ensemble import boltzmann_constant
from arlattice.errors import InputError
from arlattice.io.header import lattice_of, rebuild, to_header

if TYPE_CHECKING:
    from xarray import Dataset

    from arlattice.samples import SampleSet

__all__ = ["from_dataset", "to_dataset"]


def to_dataset(samples: SampleSet) -> Dataset:
    """All arrays with named dimensions ``sample``, ``site``, ``species``, ``axis``, units and descriptions.

    Lattice, state, known sites and metadata are JSON texts in ``attrs``.
    """
    import xarray

    header = to_header(samples)
    attributes = {key: value if isinstance(value, str | int) else json.dumps(value) for key, value in header.items()}
    return xarray.Dataset(
        {**_sample_variables(samples), **_site_variables(samples)},
        coords={"species": list(samples.lattice.species), "axis": ["x", "y", "z"]},
        attrs={"title": "Configurations of a lattice with exact log-probabilities", **attributes},
    )


def _sample_variables(samples: SampleSet) -> dict[str, tuple[Any, ...]]:
    energy = {"units": samples.units}
    variables = {
        "occupations": (("sample", "site"), samples.occupations, {"long_name": "index of the species on each site"}),
        "energy": ("sample", samples.energy, {**energy, "long_name": "energy of the whole supercell"}),
        "energy_per_site": ("sample", samples.energy_per_site, {**energy, "long_name": "energy / number of sites"}),
        "energy_per_atom": (
            "sample",
            None if samples.lattice.vacancy is None else samples.energy_per_atom,
            {**energy, "long_name": "energy / number of atoms"},
        ),
        "energy_minus_mu_n": ("sample", samples.energy_minus_mu_n, {**energy, "long_name": "E - sum mu N, whole supercell"}),
        "log_prob": ("sample", samples.log_prob, {"units": "1", "long_name": "log-probability of being drawn"}),
        "log_f": ("sample", samples.log_f, {"units": "1", "long_name": "-(E - sum mu N) / kT"}),
        "log_weight": ("sample", samples.log_weight, {"units": "1", "long_name": "log importance weight, unnormalised"}),
        "composition": (("sample", "species"), samples.composition, {"units": "1", "long_name": "fraction of all sites"}),
        "order": (("sample", "site"), samples.order, {"long_name": "site drawn at each step"}),
        "stream": (("sample", "key"), samples.stream, {"long_name": "seed, purpose and number of the random numbers of a sample"}),
    }
    return {name: (dims, values.numpy(), attrs) for name, (dims, values, attrs) in variables.items() if values is not None}


def _site_variables(samples: SampleSet) -> dict[str, tuple[Any, ...]]:
    lattice, state, reduced = samples.lattice, samples.state, samples.units == "reduced"
    mu = np.array(state.mu_vector(lattice))
    temperature = {"units": "1" if reduced else "K", "boltzmann_constant": boltzmann_constant(samples.units)}
    return {
        "temperature": ((), state.temperature, temperature),
        "chemical_potential": ("species", mu, {"units": samples.units, "long_name": "in E - sum mu N; zero at fixed composition"}),
        "position": (("site", "axis"), lattice.positions, {"units": "angstrom"}),
        "sublattice": ("site", lattice.sublattice, {"long_name": "index of the primitive site"}),
        "supercell_matrix": (("vector", "primitive_vector"), lattice.supercell, {"long_name": "rows in units of the primitive cell"}),
    }


def from_dataset(dataset: Dataset) -> SampleSet:
    """The set that `to_dataset` described.

    Raises:
        InputError: arrays of the wrong shape, or that do not agree with each other.
    """
    attributes = dict(dataset.attrs)
    parts = ("lattice", "state", "known", "metadata", "block_sizes")
    header = {key: json.loads(attributes[key]) for key in parts if key in attributes or key != "block_sizes"}
    header |= {"format": attributes["format"], "samples": int(attributes["samples"]), "units": str(attributes["units"])}
    lattice = lattice_of(header)
    names = ("occupations", "energy", "log_f", "log_weight", "log_prob", "order", "stream")
    arrays = {name: dataset[name].to_numpy() if name in dataset else None for name in names}
    if any(values is None for values in list(arrays.values())[:4]):
        raise InputError("dataset", list(dataset.data_vars), f"needs the variables {', '.join(names[:4])}")
    return rebuild(header, lattice, arrays)
