"""Parameters that several commands share, and how their text is read."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from typing import Any

import click

from arlattice.ensemble import Canonical, Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.random_numbers import HIGHEST_SEED

__all__ = ["drawing_options", "output_options", "read_assignments", "read_state", "seed_option"]

Decorator = Callable[[Any], Any]


def seed_option(command: Any) -> Any:
    """``--seed``, as `Model.sample` takes it."""
    text = (
        "Repeats a run: its seed is printed; by default fresh. Batch size and threads do not change the random numbers; with equal "
        "batch size, threads, device and build the samples are the same to the bit, otherwise log_prob is, within 1e-5."
    )
    return click.option("--seed", type=click.IntRange(0, HIGHEST_SEED), metavar="N", help=text)(command)


_DRAWING = (
    click.option("-n", "n", type=click.IntRange(min=1), default=1000, show_default=True, help="How many configurations."),
    click.option("--temperature", type=float, required=True, metavar="T", help="In kelvin (in J/k for Hamiltonians in reduced units)."),
    click.option("--mu", multiple=True, metavar="SPECIES=VALUE", help="Chemical potential per atom; 0 where not named. May be repeated."),
    click.option("--composition", multiple=True, metavar="SPECIES=N", help="Fix the number of atoms, or the fraction of sites, instead."),
    click.option("--order", help="Order of the sites: coarse-to-fine, random or raster; by default the first that the model has."),
    seed_option,
    click.option("--batch-size", type=click.IntRange(min=1), help="Configurations drawn at once; less takes less memory."),
    click.option("--hamiltonian", metavar="FILE", help="Compiled Hamiltonian, where the plugin that built it is not installed."),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1."),
    click.option("--quiet", is_flag=True, help="No progress bar."),
)

_OUTPUT = (
    click.option("--format", "file_format", metavar="NAME", help="extxyz, netcdf, db, cif, poscar or a plugin's; else by suffix."),
    click.option(
        "--vacancies", type=click.Choice(["drop", "X"]), default="drop", show_default=True, help="Leave vacancies out, or keep as X."
    ),
)


def drawing_options(command: Any) -> Any:
    """The options of commands that draw from a model."""
    return _decorate(command, _DRAWING)


def output_options(command: Any) -> Any:
    """The options of commands that write samples."""
    return _decorate(command, _OUTPUT)


def _decorate(command: Any, options: Sequence[Decorator]) -> Any:
    for option in reversed(options):
        command = option(command)
    return command


def read_state(temperature: float, mu: Sequence[str], composition: Sequence[str]) -> Ensemble:
    """The ensemble of ``--temperature`` with ``--mu`` or ``--composition``."""
    if mu and composition:
        raise InputError("--composition", " ".join(composition), "give --mu or --composition, not both")
    if composition:
        return Canonical(temperature, read_assignments("--composition", composition))
    return SemiGrandCanonical(temperature, read_assignments("--mu", mu))


def read_assignments(argument: str, texts: Sequence[str]) -> dict[str, Any]:
    """``["Au=0.05", "size=[4, 4]"]`` -> ``{"Au": 0.05, "size": [4, 4]}``; values as in TOML, else plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value.strip()):
            raise InputError(argument, text, "give NAME=VALUE")
        if name in values:
            raise InputError(argument, text, f"{name} is given twice")
        values[name] = _read_value(value)
    return values


def _read_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError):  # a whole number of more digits, or lists in more lists, than Python reads
        raise InputError("value", text, "is longer or deeper than anything that is meant; give a plain value") from None
    return parsed["value"] if list(parsed) == ["value"] else text
