"""``arlattice sweep``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from arlattice.cli.command import Command
from arlattice.cli.parameters import check_one_way, potential_options, read_assignments, seed_option
from arlattice.cli.sample import load_model
from arlattice.cli.tables import json_option, noted, print_facts
from arlattice.errors import InputError
from arlattice.reliability import MIN_EFFECTIVE

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["read_numbers", "sweep"]

_RANGE = "FROM:TO:COUNT"


@click.command(cls=Command)
@click.argument("model", metavar="MODEL")
@click.option(
    "--temperature", "temperatures", required=True, metavar=_RANGE, help="Both ends and how many, or a list 500,680; kelvin, or J/k."
)
@potential_options(_RANGE, str)
@click.option("--observable", "observables", multiple=True, metavar="NAME", help="Average this too, e.g. l1_0. May be repeated.")
@click.option("--set", "settings", multiple=True, metavar="NAME.OPTION=VALUE", help="Option of an observable. May be repeated.")
@click.option("-n", "n", type=click.IntRange(min=2), default=1000, show_default=True, help="Configurations drawn at once in a state.")
@click.option("--target-error", multiple=True, metavar="NAME=ERROR", help="Draw more until so precise, e.g. x=1e-3. May be repeated.")
@click.option("--max-samples", type=click.IntRange(min=2), help="Where to stop drawing; by default 64 times -n with targets.")
@click.option("--min-ess", type=float, default=MIN_EFFECTIVE, show_default=True, help="Flag states with fewer effective samples.")
@click.option("--order", help="Order of the sites: coarse-to-fine or random; by default the model's first.")
@seed_option
@click.option("--batch-size", type=click.IntRange(min=1), help="Configurations drawn at once; less takes less memory.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the states, and the GPUs.")
@click.option(
    "--hamiltonian",
    "hamiltonian_file",
    metavar="FILE",
    help="Hamiltonian from a file: compiled; for a model of any alloy icet's .ce too.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("-o", "--output", "path", required=True, metavar="FILE.nc", help="Dataset to write; FILE.nc.parts keeps what is done.")
@json_option
def sweep(
    model: str,
    temperatures: str,
    chemical_potentials: tuple[str, ...],
    delta_mu: str | None,
    field: str | None,
    observables: tuple[str, ...],
    settings: tuple[str, ...],
    n: int,
    target_error: tuple[str, ...],
    max_samples: int | None,
    min_ess: float,
    order: str | None,
    seed: int | None,
    batch_size: int | None,
    workers: int,
    hamiltonian_file: str | None,
    device: str,
    quiet: bool,
    path: str,
    as_json: bool,
) -> None:
    """Thermodynamics over a grid of states.

    Writes one netCDF dataset with dimensions temperature and delta_mu: log Z, grand potential, entropy, energy, heat
    capacity, composition, susceptibility and the observables you name, each with its standard error; ESS, k-hat, samples, and
    flags with a warning where numbers are not to be trusted. Run it again after it was stopped: it goes on where it was.

    \b
    Examples:
      arlattice sweep cuau-4x4x4 --temperature 450:1250:17 --delta-mu=-0.2:0.2:41 -o sweep.nc
      arlattice sweep cuau-4x4x4 --temperature 500,680 --mu Au=-0.1:0.1:21 --observable l1_0 --target-error x_Au=1e-3 -o sweep.nc
      arlattice sweep ising-10x10 --temperature 1.5:4:26 --field 0 --observable magnetisation --workers 2 -o ising.nc
    """
    from arlattice.thermo.sweep import sweep as run

    check_one_way({"--mu": chemical_potentials, "--delta-mu": delta_mu, "--field": field})
    dataset = run(
        load_model(model, hamiltonian_file, device),
        read_numbers("--temperature", temperatures),
        delta_mu=None if delta_mu is None else read_numbers("--delta-mu", delta_mu),
        field=None if field is None else read_numbers("--field", field),
        chemical_potentials=_read_mu(chemical_potentials),
        observables=_read_observables(observables, settings),
        n=n,
        target_error=read_assignments("--target-error", target_error),
        max_samples=max_samples,
        min_ess=min_ess,
        order=order,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        out=path,
        progress=not quiet,
    )
    print_facts(_summary(dataset, path) | noted(json.loads(dataset.attrs["warnings"]), as_json), as_json)


def read_numbers(argument: str, text: str) -> list[float]:
    """``"450:1250:17"`` (both ends included) or ``"500,680"`` or ``"500"`` as numbers.

    Raises:
        InputError: anything else.
    """
    import numpy as np

    from arlattice.thermo.sweep_grid import MOST_STATES

    try:
        if ":" not in text:
            return [float(part) for part in text.split(",")]
        start, stop, count = text.split(":")
        if not 1 <= int(count) <= MOST_STATES:
            raise ValueError
        return np.round(np.linspace(float(start), float(stop), int(count)), 12).tolist()
    except ValueError:
        cure = f"give FROM:TO:COUNT, both ends included and COUNT at most {MOST_STATES}, or numbers with commas, e.g. 450:1250:17"
        raise InputError(argument, text, cure) from None


def _read_mu(texts: Sequence[str]) -> dict[str, list[float]] | None:
    values = {name: read_numbers(f"--mu {name}", str(value)) for name, value in read_assignments("--mu", texts).items()}
    return values or None


def _read_observables(names: Sequence[str], settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``["l1_0"]`` and ``["l1_0.species=Au"]`` -> ``{"l1_0": {"species": "Au"}}``."""
    observables: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, value in read_assignments("--set", settings).items():
        observable, _, option = name.partition(".")
        if observable not in observables or not option:
            raise InputError("--set", name, "give NAME.OPTION=VALUE for an observable that --observable names")
        observables[observable][option] = value
    return observables


def _summary(dataset: Dataset, path: str) -> dict[str, Any]:
    return {
        "states": dataset["ess"].size,
        "seed": int(dataset.attrs["seed"]),
        "flagged": int(dataset["flagged"].sum()),
        "samples": int(dataset["samples"].sum()),
        "out_of_range": int(dataset["out_of_range"].sum()),
        "fewest_effective": float((dataset["ess"] * dataset["samples"]).min()),
        "lowest_ess": float(dataset["ess"].min()),
        "median_ess": float(dataset["ess"].median()),
        "heavy_tails": int(dataset["heavy_tail"].sum()),
        "written": path,
    }
