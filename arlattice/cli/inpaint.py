"""``arlattice inpaint``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arlattice.cli.parameters import drawing_options, output_options, read_state
from arlattice.cli.sample import check_outputs, load_model, report
from arlattice.cli.tables import json_option
from arlattice.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from arlattice.lattice import Lattice

__all__ = ["inpaint"]


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("structure", metavar="STRUCTURE")
@click.option("--mask", metavar="SITES|FILE", help="Sites to draw anew: numbers (0,3,5) or a file of numbers.")
@drawing_options
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="PATH", help="Write the samples, e.g. out.extxyz, out.nc. May be repeated."
)
@output_options
@json_option
def inpaint(
    model: str,
    structure: str,
    mask: str | None,
    n: int,
    temperature: float,
    mu: tuple[str, ...],
    composition: tuple[str, ...],
    order: str,
    seed: int,
    batch_size: int | None,
    hamiltonian: str | None,
    quiet: bool,
    device: str,
    outputs: tuple[str, ...],
    file_format: str | None,
    vacancies: str,
    as_json: bool,
) -> None:
    """Complete a partly known structure.

    Each completion comes with its exact conditional log-probability. STRUCTURE is a file that ASE
    reads, in the supercell of the model. Unknown are atoms of species X, sites without an atom (unless the
    lattice has vacancies), and the sites of --mask, numbered as in the array site_index of exported structures.
    The log Z printed is that of the partition sum over the completions.

    \b
    Examples:
      arlattice inpaint cuau-4x4x4 known.extxyz -n 100 --temperature 680 -o out.extxyz
      arlattice inpaint cuau-4x4x4 POSCAR --mask 0,3,5 -n 100 --temperature 680 --mu Au=-0.0053
    """
    state = read_state(temperature, mu, composition)
    check_outputs(outputs, file_format)
    loaded = load_model(model, hamiltonian, device)
    known = read_known(structure, mask, loaded.lattice)
    samples = loaded.inpaint(known, n, state, order=order, seed=seed, batch_size=batch_size, progress=not quiet)
    for path in outputs:
        samples.write(path, format=file_format, vacancies=vacancies)
    report(samples, outputs, as_json)


def read_known(structure: str, mask: str | None, lattice: Lattice) -> Tensor:
    """Occupations (sites,) of a structure file, -1 where unknown."""
    from arlattice.io.ase import VACANCY, occupations_from_ase
    from arlattice.lattice import UNKNOWN

    missing = "vacancy" if VACANCY in lattice.species else "unknown"
    known = occupations_from_ase(lattice, _read_structure(structure), missing=missing)
    known[_read_mask(mask, lattice.n_sites)] = UNKNOWN
    if not bool((known == UNKNOWN).any()):
        raise InputError("STRUCTURE", structure, "every site is known; name those to draw with --mask, or make them species X")
    return known


def _read_structure(path: str):  # type: ignore[no-untyped-def]  # ASE has no types
    import ase.io

    if not Path(path).is_file():  # folders too: ASE's bundle format can hold pickles
        raise InputError("STRUCTURE", path, "no such file")
    try:
        return ase.io.read(path)
    except Exception as error:  # ASE raises whatever its readers raise
        raise InputError("STRUCTURE", path, f"ASE cannot read it: {type(error).__name__}: {error}") from error


def _read_mask(mask: str | None, n_sites: int) -> list[int]:
    if mask is None:
        return []
    text = Path(mask).read_text(encoding="utf-8") if Path(mask).is_file() else mask
    try:
        sites = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError("--mask", mask, "give site numbers, e.g. 0,3,5, or a file of them") from None
    for site in sites:
        if not 0 <= site < n_sites:
            raise InputError("--mask", site, f"site numbers run from 0 to {n_sites - 1}")
    return sites
