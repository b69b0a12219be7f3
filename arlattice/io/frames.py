"""A `SampleSet` as ASE frames or pymatgen structures that carry all a reader needs to reweight them.

| where | what |
|---|---|
| calculator | ``energy`` of the whole supercell |
| info, the state | facts of the ensemble (``temperature``, ``mu_<species>`` and so on), ``units``, ``boltzmann_constant`` |
| info, the sample | ``sample``, ``x_<species>``, ``energy_minus_mu_n``, ``log_f``, ``log_prob``, ``log_weight``, ``order``, ``stream`` |
| info, the species | ``charge_<species>`` and ``charge``, the total, where species have charges |
| info, the origin | ``supercell_matrix`` (rows) and the metadata of the set |
| arrays | ``site_index``, ``sublattice``, ``order_rank`` (step at which the site was drawn), ``known`` (given, not drawn) |
| arrays, the species | ``initial_charges``, ``masses`` (of D and T), ``initial_magmoms`` of spins |

``log_prob`` is absent from Monte Carlo samples; ``order``, ``stream`` (seed, purpose, number) and ``known`` where the set has none.
``energy_per_atom`` is in info where the lattice has vacancies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.ensemble import boltzmann_constant
from arlattice.errors import InputError
from arlattice.io.ase import occupations_in_place, to_ase
from arlattice.io.digest import KEY, check, digest
from arlattice.io.header import lattice_of, rebuild

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from arlattice.samples import SampleSet

__all__ = ["HEADER", "frame_digest", "from_frames", "to_frames", "to_structures"]

HEADER = "arlattice"
"""The info key under which files keep what `arlattice.io.header` describes."""

_NAMES_OF_ASE = {"Lattice", "Properties", "pbc", "cell", "virial", "uid", "unique_id", HEADER, KEY}


def to_frames(samples: SampleSet, *, vacancies: str = "drop") -> list[Atoms]:
    """ASE `Atoms` of every sample, with the entries of the table above.

    Args:
        samples: the set.
        vacancies: ``"drop"`` leaves vacancies out, ``"X"`` keeps them as ASE's species X.

    Metadata under a name that ASE uses itself (``pbc``, ``energy``) is left out of ``info``.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    frames = to_ase(samples.lattice, samples.occupations, vacancies=vacancies)
    ranks = None if samples.order is None else samples.order.argsort(1).numpy()
    for i, (atoms, facts) in enumerate(zip(frames, _facts(samples), strict=True)):
        sites = atoms.arrays["site_index"]
        if ranks is not None:
            atoms.set_array("order_rank", ranks[i][sites])
        if samples.known is not None:
            atoms.set_array("known", samples.known.numpy()[sites] >= 0)
        atoms.info.update(facts)
        atoms.calc = SinglePointCalculator(atoms, energy=float(samples.energy[i]))
    return frames


def _facts(samples: SampleSet) -> Iterator[dict[str, Any]]:
    shared = _shared_facts(samples)
    columns = {
        **{f"x_{s}": samples.composition[:, k] for k, s in enumerate(samples.lattice.species)},
        "energy_minus_mu_n": samples.energy_minus_mu_n,
        **({} if samples.lattice.vacancy is None else {"energy_per_atom": samples.energy_per_atom}),
        "log_f": samples.log_f,
        "log_weight": samples.log_weight,
        **({} if samples.log_prob is None else {"log_prob": samples.log_prob}),
    }
    names, rows = list(columns), torch.stack(list(columns.values()), 1).tolist()
    for i, row in enumerate(rows):
        order = {} if samples.order is None else {"order": samples.order[i].numpy().copy()}
        matrix = samples.lattice.supercell.copy()
        stream = {} if samples.stream is None else {"stream": samples.stream[i].numpy().copy()}
        yield {**shared, "supercell_matrix": matrix, "sample": i, **dict(zip(names, row, strict=True)), **order, **stream}


def _shared_facts(samples: SampleSet) -> dict[str, Any]:
    from ase.calculators.calculator import all_properties

    state, lattice = samples.state, samples.lattice
    return {
        **{key: value for key, value in samples.metadata.items() if key not in _NAMES_OF_ASE.union(all_properties)},
        **state.facts(lattice),
        "units": samples.units,
        "boltzmann_constant": boltzmann_constant(samples.units),
    }


def to_structures(samples: SampleSet, *, vacancies: str = "drop") -> list[Structure]:
    """pymatgen structures of every sample: info and ``energy`` in ``properties``, arrays and magnetic moments by site.

    Charged species keep their oxidation state, D and T are pymatgen's own.

    Args:
        samples: the set.
        vacancies: ``"drop"`` leaves vacancies out, ``"X"`` keeps them as `DummySpecies` X.

    Raises:
        MissingExtraError: pymatgen is not installed.
    """
    from arlattice.io.pymatgen import to_structure

    structures = []
    for atoms, row in zip(to_frames(samples, vacancies=vacancies), samples.occupations.numpy(), strict=True):
        structure = to_structure(samples.lattice, atoms, row)
        structure.properties["energy"] = atoms.get_potential_energy()
        structures.append(structure)
    return structures


def frame_digest(atoms: Atoms, header: Mapping[str, Any]) -> str:
    """The sha256 of a frame: its structure (coordinates to 1e-8 angstrom), arrays, energy and facts, and the header of its file.

    The order of the atoms makes no difference. Copies of the header's metadata in ``info`` are left out: text files change their types.
    """
    by_site = np.argsort(atoms.arrays["site_index"], kind="stable")
    facts = {key: value for key, value in atoms.info.items() if key not in {HEADER, KEY, *header["metadata"]}}
    return digest(
        {
            "header": header,
            "energy": atoms.get_potential_energy(),
            "cell": [f"{x:.8f}" for x in np.array(atoms.cell).ravel()],
            "pbc": atoms.pbc,
            "arrays": {name: _printed(values[by_site]) for name, values in atoms.arrays.items()},
            "facts": {key: value if isinstance(value, str) else _numbers(value) for key, value in facts.items()},
        }
    )


def _check_digests(frames: Sequence[Atoms], header: Mapping[str, Any], path: str | Path) -> None:
    found = [atoms.info.get(KEY) for atoms in frames]
    for atoms, each in zip(frames, found, strict=True):
        if each is not None:
            check(each, frame_digest(atoms, header), "path", path)
    if None in found:
        check(None, "", "path", path)


def _printed(values: np.ndarray) -> list[str]:
    """Numbers as text files keep them."""
    return [f"{x:.8f}" if values.dtype.kind == "f" else str(int(x)) for x in values.ravel()]


def _numbers(value: Any) -> list[float]:
    """A number, or an array of them, as a list: text files keep no difference between 1, 1.0 and [1]."""
    return [float(x) for x in np.ravel(value)]


def frames_with_atoms(samples: SampleSet, vacancies: str) -> list[Atoms]:
    """`to_frames` for files that cannot hold a structure without atoms.

    Raises:
        InputError: a sample has none.
    """
    frames = to_frames(samples, vacancies=vacancies)
    if any(len(atoms) == 0 for atoms in frames):
        raise InputError("vacancies", "drop", "a sample has no atoms at all; give 'X'")
    return frames


def from_frames(frames: Sequence[Atoms], path: str | Path) -> SampleSet:
    """The set behind frames that carry a header (``info["arlattice"]``), as files have them.

    Args:
        frames: of one file, in order.
        path: the file, for messages.

    Raises:
        InputError: frames of different sets, or frames missing, changed or off the lattice.

    Warns:
        UncheckedWarning: frames without a digest.
    """
    if not frames:
        raise InputError("frames", 0, "there are no structures")
    header = frames[0].info[HEADER]
    if any(atoms.info[HEADER] != header for atoms in frames):
        raise InputError("frames", len(frames), "the structures come from different sets")
    for number, atoms in enumerate(frames):
        if atoms.info.get("sample") != number:
            raise InputError(
                "frames", f"sample {atoms.info.get('sample')} as number {number}", "structures are missing, doubled or exchanged"
            )
    lattice = lattice_of(header)
    _check_digests(frames, header, path)
    given = {name: name in frames[0].info for name in ("log_prob", "order", "stream")}
    arrays = {
        "occupations": [occupations_in_place(lattice, atoms).numpy() for atoms in frames],
        "energy": [atoms.get_potential_energy() for atoms in frames],
        **{name: [atoms.info[name] for atoms in frames] for name in ("log_f", "log_weight")},
        "log_prob": [atoms.info["log_prob"] for atoms in frames] if given["log_prob"] else None,
        "order": [np.atleast_1d(atoms.info["order"]) for atoms in frames] if given["order"] else None,
        "stream": [atoms.info["stream"] for atoms in frames] if given["stream"] else None,
    }
    return rebuild(header, lattice, arrays)
