"""``arlattice sample``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from arlattice.cli.command import Command
from arlattice.cli.parameters import drawing_options, output_options, read_state
from arlattice.cli.tables import json_option, noted, print_facts
from arlattice.errors import InputError

if TYPE_CHECKING:
    from arlattice.hamiltonians import Hamiltonian
    from arlattice.models.base import Model
    from arlattice.samples import SampleSet
    from arlattice.summary import Summary

__all__ = ["check_outputs", "load_model", "on_alloy", "report", "sample"]


@click.command(cls=Command)
@click.argument("model", metavar="MODEL")
@drawing_options
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="PATH", help="Write the samples, e.g. out.extxyz, out.nc. May be repeated."
)
@click.option(
    "--part-size",
    type=click.IntRange(min=1),
    help="Draw and write so many at a time, into the folder of -o, so that -n may exceed memory. Run it again to go on after a stop.",
)
@click.option("--check-modes", is_flag=True, help="Compare with Monte Carlo: does the model miss a phase? Takes longer.")
@output_options
@json_option
def sample(
    model: str,
    n: int,
    temperature: float,
    chemical_potentials: tuple[str, ...],
    delta_mu: float | None,
    field: float | None,
    composition: tuple[str, ...],
    ensemble: str | None,
    settings: tuple[str, ...],
    order: str | None,
    seed: int | None,
    batch_size: int | None,
    hamiltonian_file: str | None,
    quiet: bool,
    device: str,
    precision: str,
    outputs: tuple[str, ...],
    part_size: int | None,
    check_modes: bool,
    file_format: str | None,
    vacancies: str,
    as_json: bool,
) -> None:
    """Draw configurations from a trained model.

    Each comes with its energy and its exact log-probability. MODEL is a shipped model (see: arlattice models) or
    the folder of a trained one. Prints log Z, the energy per site and the composition with error bars; the
    effective sample size (ESS), the fraction of samples that count; k-hat of the weights (above 0.7 their tail is heavy,
    which matters where ESS is below 0.9); and warnings where the numbers are not to be trusted. ESS and k-hat compare the
    samples with each other: they cannot see a phase that the model never draws. With --check-modes Monte Carlo by replica
    exchange looks for one: it prints the lower and the upper bound of log Z, and the ESS of the Monte Carlo samples (p-ESS).

    \b
    Examples:
      arlattice sample cuau-4x4x4 -n 1000 --temperature 680 --mu Au=-0.0053 -o out.extxyz -o out.nc
      arlattice sample cuau-4x4x4 -n 100 --temperature 500 --composition Au=32 -o folder --format cif
      arlattice sample ising-10x10 -n 1000 --temperature 2.27 --field 0.1 --json
      arlattice sample cuau-8x8x8 -n 1000000 --temperature 1000 --delta-mu 0 --device cuda --part-size 10000 -o parts
    """
    state = read_state(temperature, chemical_potentials, delta_mu, field, composition, ensemble, settings)
    drawing: dict[str, Any] = {"order": order, "seed": seed, "batch_size": batch_size, "progress": not quiet}
    samples: SampleSet | Summary
    if part_size is None:
        check_outputs(outputs, file_format)
        loaded = load_model(model, hamiltonian_file, device, precision)
        samples = loaded.sample(n, state(loaded.lattice), **drawing)
        for path in outputs:
            samples.write(path, format=file_format, vacancies=vacancies)
    else:
        from arlattice.thermo.sample_folder import sample_to_folder

        if len(outputs) != 1:
            raise InputError("--part-size", part_size, "name one folder for the parts: -o FOLDER")
        loaded = load_model(model, hamiltonian_file, device, precision)
        drawing |= {"part_size": part_size, "format": file_format or "netcdf", "vacancies": vacancies}
        samples = sample_to_folder(loaded, n, state(loaded.lattice), outputs[0], **drawing)
    unknown = {"lost_mode": None if as_json else "not looked for (--check-modes)"}
    report(samples, outputs, as_json, _modes(loaded, samples, part_size) if check_modes else unknown)


def _modes(model: Model, samples: SampleSet | Summary, part_size: int | None) -> dict[str, Any]:
    """What Monte Carlo says of the model in the state of the samples."""
    from arlattice.thermo.bounds import check_modes

    found = check_modes(model, samples.state, n=min(len(samples), part_size or len(samples)))
    return {"log_z_lower": found.lower, "log_z_upper": found.upper, "p_ess": found.p_ess, "lost_mode": found.lost_mode}


def load_model(model: str, hamiltonian: str | None, device: str, precision: str = "float32") -> Model:
    """The model of a folder or name; ``hamiltonian`` is the file of a Hamiltonian to use with it."""
    from arlattice.cli.hamiltonian_file import read_hamiltonian
    from arlattice.models.checkpoint import load

    given = None if hamiltonian is None else read_hamiltonian(hamiltonian, lambda: load(model).lattice.supercell)
    loaded = load(model, hamiltonian=given, device=device, precision=precision)
    return loaded if given is not None else on_alloy(loaded, None, model)


def on_alloy(model: Model, alloy: Hamiltonian | None, name: str) -> Model:
    """A model of any alloy on one; other models as they are.

    Raises:
        InputError: no alloy for a model of any alloy.
    """
    from arlattice.models.prior import IDEAL

    if alloy is not None:
        return model.on(alloy)
    if model.probes is not None and model.hamiltonian.name == IDEAL:
        cure = f"{name} is a model of any alloy: give the file of yours, e.g. --hamiltonian alloy.ce"
        raise InputError("--hamiltonian", None, cure)
    return model


def check_outputs(outputs: Sequence[str], file_format: str | None) -> None:
    """Refuse what cannot be written before anything is drawn."""
    from arlattice.io.formats import check_target

    for path in outputs:
        check_target(path, file_format)


def report(samples: SampleSet | Summary, outputs: Sequence[str], as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print the averages of a sample set, more facts, and what speaks against them."""
    facts: dict[str, Any] = {
        "samples": samples.n,
        "seed": samples.metadata.get("seed"),
        "effective_samples": samples.n * samples.ess,
        "sites": samples.lattice.n_sites,
        "temperature": samples.state.temperature,
        "units": samples.units,
        "ess": samples.ess,
        "khat": samples.khat if math.isfinite(samples.khat) else None,
        "log_z": samples.log_z(),
        "energy_per_site": samples.mean("energy_per_site"),
        **({"energy_per_atom": samples.mean("energy_per_atom")} if _counts_atoms(samples) else {}),
        **{f"x_{species}": samples.mean(f"x_{species}") for species in samples.lattice.species},
    }
    print_facts(
        facts | dict(more or {}) | ({"written": list(outputs)} if outputs else {}) | noted(map(str, samples.warnings), as_json), as_json
    )


def _counts_atoms(samples: SampleSet | Summary) -> bool:
    """Whether the energy per atom is another number than per site, and one for every sample."""
    return samples.lattice.vacancy is not None and bool((samples.n_atoms > 0).all())
