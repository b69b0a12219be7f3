"""``arlattice inpaint``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arlattice.cli.command import Command
from arlattice.cli.parameters import drawing_options, output_options, read_state
from arlattice.cli.sample import check_outputs, on_alloy, report
from arlattice.cli.tables import json_option
from arlattice.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

    from arlattice.hamiltonians import Hamiltonian
    from arlattice.lattice import Lattice
    from arlattice.models.base import Model

__all__ = ["inpaint"]


@click.command(cls=Command)
@click.argument("model", metavar="MODEL")
@click.argument("structure", metavar="STRUCTURE")
@click.option("--mask", metavar="SITES|FILE", help="Sites to draw anew: numbers (0,3,5) or a file of numbers.")
@drawing_options
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="PATH", help="Write the samples, e.g. out.extxyz, out.nc. May be repeated."
)
@click.option("--picture", metavar="PATH", help="Draw what is known beside three completions: a .png, .pdf or .svg file.")
@output_options
@json_option
def inpaint(
    model: str,
    structure: str,
    mask: str | None,
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
    picture: str | None,
    file_format: str | None,
    vacancies: str,
    as_json: bool,
) -> None:
    """Complete a partly known structure.

    Each completion comes with its exact conditional log-probability. STRUCTURE is a file that ASE
    reads, in the supercell of the model or a larger one, which is painted window by window, or drawn
    with the same weights by models that draw blocks; orientation, origin and a strain of up to 10 %
    do not matter. Unknown are atoms
    of species X, sites without an atom (unless the lattice has vacancies), and the sites of --mask, numbered
    as in the array site_index of exported structures. Where the Hamiltonian of a larger supercell cannot be
    built by name, --hamiltonian gives it. The log Z printed is that of the partition sum over the completions.

    \b
    Examples:
      arlattice inpaint cuau-4x4x4 known.extxyz -n 100 --temperature 680 -o out.extxyz
      arlattice inpaint cuau-4x4x4 POSCAR --mask 0,3,5 -n 100 --temperature 680 --delta-mu=-0.0053
      arlattice inpaint ising-10x10 20x20.extxyz -n 50 --temperature 2.27 --picture completions.png
    """
    from arlattice.cli.hamiltonian_file import read_hamiltonian
    from arlattice.io.picture import check_picture, draw_completions
    from arlattice.models.checkpoint import load

    state = read_state(temperature, chemical_potentials, delta_mu, field, composition, ensemble, settings)
    check_outputs(outputs, file_format)
    if picture is not None:
        check_picture(picture)
    loaded = load(model, device=device, precision=precision)
    given = None if hamiltonian_file is None else read_hamiltonian(hamiltonian_file, lambda: loaded.lattice.supercell)
    if loaded.probes is not None:
        loaded, given = on_alloy(loaded, given, model), None
    lattice, known = read_known(_read_structure(structure), structure, mask, loaded.lattice)
    if given is not None and lattice.fingerprint == loaded.lattice.fingerprint:
        loaded = load(model, hamiltonian=given, device=device, precision=precision)
    loaded = model_for(lattice, loaded, structure, given)
    samples = loaded.inpaint(known, n, state(loaded.lattice), order=order, seed=seed, batch_size=batch_size, progress=not quiet)
    for path in outputs:
        samples.write(path, format=file_format, vacancies=vacancies)
    if picture is not None:
        draw_completions(samples, picture, seed=int(samples.metadata["seed"]))
    report(samples, [*outputs, *([] if picture is None else [picture])], as_json)


def model_for(lattice: Lattice, loaded: Model, structure: str, hamiltonian: Hamiltonian | None) -> Model:
    """The model itself, its weights on a larger supercell where they mean the same there in its own blocks, or painting."""
    from arlattice.models.painted import paint

    if lattice.fingerprint == loaded.lattice.fingerprint:
        return loaded
    large = _rebuilt(loaded.hamiltonian, lattice, structure) if hamiltonian is None else hamiltonian
    if large.lattice.fingerprint != lattice.fingerprint:
        ours, theirs = large.lattice.supercell.tolist(), lattice.supercell.tolist()
        raise InputError("--hamiltonian", f"supercell {ours}", f"{structure} has the supercell {theirs}")
    return loaded.on(large) if loaded.any_supercell and "random" not in loaded.orders else paint(loaded, large)


def _rebuilt(hamiltonian: Hamiltonian, lattice: Lattice, structure: str) -> Hamiltonian:
    """The Hamiltonian of the model in the supercell of the structure."""
    try:
        return hamiltonian.on(lattice.supercell.tolist())
    except InputError as error:
        cure = f"has the supercell {error.value}: {error.cure}, and give it with --hamiltonian FILE"
        raise InputError("STRUCTURE", structure, cure) from error


def read_known(atoms: Atoms, structure: str, mask: str | None, lattice: Lattice) -> tuple[Lattice, Tensor]:
    """The lattice in the supercell of a structure, and its occupations (sites,), -1 where unknown."""
    from arlattice.io.ase import supercell_and_occupations
    from arlattice.lattice import UNKNOWN

    found, known = supercell_and_occupations(lattice, atoms, missing="unknown" if lattice.vacancy is None else "vacancy")
    known[_read_mask(mask, found.n_sites)] = UNKNOWN
    if not bool((known == UNKNOWN).any()):
        raise InputError("STRUCTURE", structure, "every site is known; name those to draw with --mask, or make them species X")
    return found, known


def _read_structure(path: str) -> Atoms:
    import ase.io

    if not Path(path).is_file():  # folders too: ASE's bundle format can hold pickles
        raise InputError("STRUCTURE", path, "no such file")
    _check_lines(path)
    try:
        atoms: Atoms = ase.io.read(path)
    except Exception as error:  # ASE raises whatever its readers raise
        raise InputError("STRUCTURE", path, f"ASE cannot read it: {type(error).__name__}: {error}") from error
    return atoms


def _check_lines(path: str) -> None:
    from arlattice.io.lines import lines_of

    with Path(path).open("rb") as file:
        if b"\0" in file.read(1024):  # a binary format
            return
        file.seek(0)
        for _ in lines_of(file, "STRUCTURE", path):
            pass


def _read_mask(mask: str | None, n_sites: int) -> list[int]:
    from arlattice.io.records import read_text

    if mask is None:
        return []
    try:
        listed = mask.replace(",", "").replace(" ", "").isdigit()  # a list may be longer than a file name can be
        text = mask if listed else read_text(mask, "--mask")
        sites = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError("--mask", mask, "give site numbers, e.g. 0,3,5, or a file of them") from None
    for site in sites:
        if not 0 <= site < n_sites:
            raise InputError("--mask", site, f"site numbers run from 0 to {n_sites - 1}")
    return sites
