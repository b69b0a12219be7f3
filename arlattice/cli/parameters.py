"""Parameters that several commands share, and how their text is read."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from arlattice.arguments import LARGEST_INTEGER, finite_number
from arlattice.errors import InputError
from arlattice.hooks.manager import default_manager

if TYPE_CHECKING:
    from arlattice.ensemble import ChemicalPotentials, Ensemble
    from arlattice.lattice import Lattice

__all__ = ["check_one_way", "drawing_options", "output_options", "potential_options", "read_assignments", "read_state", "seed_option"]

Decorator = Callable[[Any], Any]


def seed_option(command: Any) -> Any:
    """``--seed``: means and takes the same in every command."""
    text = (
        "Repeats a run; by default that of the run that goes on, or of the run file, or a fresh one. It is printed or kept with what is "
        "made. Batch size and threads do not change the random numbers; with equal batch size, threads, device and build the samples "
        "are the same to the bit, otherwise log_prob is, within 1e-5."
    )
    return click.option("--seed", type=click.IntRange(0, LARGEST_INTEGER), metavar="N", help=text)(command)


def potential_options(values: str, kind: type) -> Decorator:
    """``--mu``, ``--delta-mu`` and ``--field``; one way at a time (`check_one_way`).

    Args:
        values: what each takes, for the help.
        kind: type of the last two.
    """
    mu = "Chemical potential of a species, per atom; 0 where not named. May be repeated."
    delta_mu = f"Two species: mu of the second less mu of the first, e.g. --delta-mu={'-0.2:0.2:41' if ':' in values else '-0.0053'}."
    field = "Two species, Ising: the field h in -h sum(s): mu of the second is h, of the first -h."
    options = (
        click.option("--mu", "chemical_potentials", multiple=True, metavar=f"SPECIES={values}", help=mu),
        click.option("--delta-mu", type=kind, metavar=values, help=delta_mu),
        click.option("--field", type=kind, metavar=values, help=field),
    )
    return lambda command: _decorate(command, options)


_DRAWING = (
    click.option("-n", "n", type=click.IntRange(min=1), default=1000, show_default=True, help="How many configurations."),
    click.option("--temperature", type=float, required=True, metavar="T", help="In kelvin (in J/k for Hamiltonians in reduced units)."),
    potential_options("VALUE", float),
    click.option("--composition", multiple=True, metavar="SPECIES=N", help="Fix the number of atoms, or the fraction of sites, instead."),
    click.option("--ensemble", metavar="NAME", help="Kind of states; by default canonical with --composition, else semi-grand-canonical."),
    click.option("--state", "settings", multiple=True, metavar="NAME=VALUE", help="What else the kind of states takes. May be repeated."),
    click.option(
        "--order",
        "--plan",
        "order",
        metavar="NAME",
        help="What is drawn after what: coarse-to-fine, random, raster, levels or a plugin's; blocks or finer-blocks of models that draw "
        "blocks. By default the first that the model has.",
    ),
    seed_option,
    click.option("--batch-size", type=click.IntRange(min=1), help="Configurations drawn at once; less takes less memory."),
    click.option(
        "--hamiltonian",
        "hamiltonian_file",
        metavar="FILE",
        help="Hamiltonian from a file: compiled; for a model of any alloy icet's .ce too.",
    ),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1."),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Arithmetic of the network; bfloat16 is meant for a GPU.",
    ),
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


def read_state(
    temperature: float,
    mu: Sequence[str],
    delta_mu: float | None,
    field: float | None,
    composition: Sequence[str],
    ensemble: str | None = None,
    settings: Sequence[str] = (),
) -> Callable[[Lattice], Ensemble]:
    """The state of ``--temperature`` with ``--mu``, ``--delta-mu``, ``--field``, ``--composition`` or ``--state``, on a lattice.

    The ensemble, a registered one, reads what was given (`Ensemble.parse`); without ``--ensemble`` it follows from the flags.
    """
    from arlattice.ensemble import Canonical, SemiGrandCanonical

    potentials = {"--mu": mu, "--delta-mu": delta_mu, "--field": field}
    check_one_way(potentials if ensemble else {**potentials, "--composition": composition})
    name = ensemble or (Canonical.name if composition else SemiGrandCanonical.name)
    given = read_assignments("--state", settings)
    if "temperature" in given:
        raise InputError("--state", f"temperature={given['temperature']}", "give --temperature")
    for setting, flag, texts in (("mu", "--mu", mu), ("composition", "--composition", composition)):
        if texts:
            given[setting] = read_assignments(flag, texts)
    flag, value = ("--field", field) if delta_mu is None else ("--delta-mu", delta_mu)
    if value is None:
        state = _parsed(name, temperature, given)
        return lambda lattice: state
    number = finite_number(flag, value)
    return lambda lattice: _parsed(name, temperature, {**given, "mu": _potentials(flag, number, lattice)})


def _parsed(name: str, temperature: float, given: Mapping[str, Any]) -> Ensemble:
    from arlattice.build import ensemble_class
    from arlattice.ensemble import Ensemble

    kind, entry = ensemble_class(name), default_manager().ensembles[name]
    with entry.contained("cannot read a state"):
        state: Any = kind.parse(temperature, given)
    if not isinstance(state, Ensemble):
        raise entry.error(f"read a {type(state).__name__}, not a state")
    return state


def check_one_way(given: Mapping[str, Any]) -> None:
    """Refuse two flags that give the same thing; ``given`` is flag -> value, None or empty where it was not typed."""
    typed = [flag for flag, value in given.items() if value is not None and value != ()]
    if len(typed) > 1:
        value = given[typed[-1]]
        raise InputError(typed[-1], " ".join(value) if isinstance(value, tuple) else value, f"give {' or '.join(typed)}, not both")


def _potentials(flag: str, value: float, lattice: Lattice) -> ChemicalPotentials:
    from arlattice.ensemble import ChemicalPotentials

    if lattice.n_species != 2:
        raise InputError(flag, value, f"needs two species, here are {', '.join(lattice.species)}; give --mu SPECIES=VALUE instead")
    first, second = lattice.species
    if flag == "--field":
        return ChemicalPotentials.from_field(value, up=second, down=first)
    return ChemicalPotentials.from_difference(second, value)


def read_assignments(argument: str, texts: Sequence[str]) -> dict[str, Any]:
    """``["Au=0.05", "supercell=[4, 4]"]`` -> ``{"Au": 0.05, "supercell": [4, 4]}``; values as in TOML, else plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value.strip()):
            raise InputError(argument, text, "give NAME=VALUE")
        if name in values:
            raise InputError(argument, text, f"{name} is given twice")
        values[name] = _read_value(f"{argument} {name}", value)
    return values


def _read_value(argument: str, text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError):  # a whole number of more digits, or lists in more lists, than Python reads
        raise InputError(argument, text, "is longer or deeper than anything that is meant; give a plain value") from None
    return parsed["value"] if list(parsed) == ["value"] else text
