"""CASM: Metropolis of libcasm-clexmonte, its expansion written and compiled by casm-bset."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import libcasm.clexmonte as clexmonte
import libcasm.composition as composition
import libcasm.configuration as configuration
import libcasm.monte as monte
import libcasm.xtal as xtal
import numpy as np
from casm.bset import make_clex_basis_specs, write_clexulator

from speed.fitted import coefficients, largest_difference, same_site
from speed.pieces import Piece
from speed.work import Work

__all__ = ["Systems", "versions"]

_CHECKED = 4
_COMPILER = {"CASM_SOFLAGS": "-shared -Wl,--no-as-needed"}


def versions() -> dict[str, str]:
    """Of clexmonte and clexulator."""
    return {name: version(name) for name in ("libcasm-clexmonte", "libcasm-clexulator", "casm-bset")}


class Systems:
    """The systems of a folder; an expansion is fitted to our energies on 64 sites, its code compiled there."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._system = cache(self._fit)
        places = find_spec("libcasm").submodule_search_locations  # type: ignore[union-attr]
        for name, value in {"CASM_PREFIX": places[0], **_COMPILER}.items():  # type: ignore[index]
            os.environ.setdefault(name, value)

    def prepare(self, piece: Piece) -> Work:
        """A piece made ready."""
        given, system = np.load(self._folder / f"{piece.system}.npz"), self._system(piece.system.split("-")[0])
        state = _state(system, given, piece.quantity)
        rows, energy = _occupations(state, given), _energy(system, state)
        told = {"largest_energy_difference": largest_difference([energy(x) for x in rows[:_CHECKED]], given)}
        if piece.quantity == "energy":
            turns = itertools.cycle(rows)
            return Work(lambda loops: [energy(x) for x in itertools.islice(turns, loops)], 1, told)
        state.configuration.set_occupation(np.arange(rows.shape[1]) % 2)
        calculator = clexmonte.MonteCalculator(piece.quantity.replace("-", "_").replace("semi_grand", "semigrand"), system)
        calculator.set_state_and_potential(state)
        engine = monte.RandomNumberEngine()
        return Work(lambda loops: calculator.run_fixture(state, self._passes(calculator, loops), engine), rows.shape[1], told)

    def _passes(self, calculator: Any, passes: int) -> Any:
        """So many passes, of which the last is recorded; nothing is written or tested for convergence."""
        fixture = calculator.make_default_sampling_fixture_params(
            "run", write_results=False, write_status=False, output_dir=str(self._folder / "casm-output")
        )
        fixture.sample_by_pass(period=passes)
        for quantity in ("potential_energy", "param_composition"):
            fixture.do_not_converge(quantity)
        for name in list(fixture.analysis_names):
            fixture.remove_from_analysis_names(name)
        fixture.clear_cutoffs()
        fixture.set_min_count(passes)
        fixture.set_max_count(passes)
        return fixture

    def _fit(self, material: str) -> Any:
        given, folder = np.load(self._folder / f"{material}-64.npz"), self._folder / f"casm-{material}"
        primitive, basis = _basis(given, folder, material)
        unfitted = _with_coefficients(given, folder, primitive, basis, None)
        state = _state(unfitted, given, "semi-grand-canonical")
        features, expansion = [], unfitted.clex(state, "formation_energy")
        for x in _occupations(state, given):
            state.configuration.set_occupation(x)
            features.append(np.array(expansion.correlations().per_supercell()))
        return _with_coefficients(given, folder, primitive, basis, coefficients(np.stack(features), given["energies"]))


def _basis(given: Any, folder: Path, material: str) -> tuple[xtal.Prim, Path]:
    """The primitive cell, and the source of its cluster functions."""
    species, source = given["species"].tolist(), folder / "basis_sets"
    primitive = xtal.Prim(xtal.Lattice(given["cell"].T), np.zeros((3, 1)), [species], title=material)
    found = list(source.glob("*.cc"))
    if found:
        return primitive, found[0]
    source.mkdir(parents=True, exist_ok=True)
    with_symmetry = configuration.Prim(primitive)
    specifications = make_clex_basis_specs(
        with_symmetry, dofs=["occ"], max_length=[0, 0, *given["cutoffs"].tolist()], occ_site_basis_functions_specs="chebychev"
    )
    written, *_ = write_clexulator(with_symmetry, specifications, bset_dir=source, project_name=material, verbose=False)
    return primitive, written


def _with_coefficients(given: Any, folder: Path, primitive: xtal.Prim, basis: Path, values: np.ndarray | None) -> Any:
    """The system of clexmonte; without values all are one."""
    table = json.loads((basis.parent / "basis.json").read_text(encoding="utf-8"))
    functions = [function for orbit in table["orbits"] for function in orbit["cluster_functions"]]
    for function in functions:
        function["eci"] = 1.0 if values is None else float(values[function["linear_function_index"]])
    (folder / "eci.json").write_text(json.dumps(table), encoding="utf-8")
    species = given["species"].tolist()
    axes = composition.CompositionConverter(species, np.eye(len(species)))
    described = {
        "prim": primitive.to_dict(),
        "composition_axes": axes.to_dict(),
        "basis_sets": {"default": {"source": str(basis)}},
        "clex": {"formation_energy": {"basis_set": "default", "coefficients": "eci.json"}},
    }
    return clexmonte.System.from_dict(described, search_path=[str(folder)])


def _state(system: Any, given: Any, quantity: str) -> Any:
    """A state on the supercell, at the temperature, with no chemical potential or at half the second species."""
    independent = len(given["species"]) - 1
    fixed, values = ("param_composition", [0.5, 0.0]) if quantity == "canonical" else ("param_chem_pot", [0.0, 0.0])
    conditions = {"temperature": float(given["temperature"]), fixed: values[:independent]}
    cells = system.make_default_configuration(given["supercell"].T)
    return clexmonte.MonteCarloState(configuration=cells, conditions=conditions)


def _occupations(state: Any, given: Any) -> np.ndarray:
    """Our configurations in CASM's order of sites."""
    theirs = same_site(given, np.array(state.configuration.supercell.coordinate_cart()).T)
    rows = np.empty_like(given["occupations"])
    rows[:, theirs] = given["occupations"]
    return rows


def _energy(system: Any, state: Any) -> Callable[[np.ndarray], float]:
    """Energy of a configuration, which the state then holds."""
    expansion, held = system.clex(state, "formation_energy"), state.configuration

    def energy(x: np.ndarray) -> float:
        held.set_occupation(x)
        return float(expansion.per_supercell())

    return energy
