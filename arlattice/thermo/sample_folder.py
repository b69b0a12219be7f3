"""`sample_to_folder`: more samples than memory holds, drawn part by part into a folder; run again it goes on where it was stopped.

The folder holds ``parts.json`` (what was asked for) and one file a part, each whole, with a digest, and read by `arlattice.SampleSet.read`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from arlattice.arguments import items_of, of_type, one_of, path_text, whole_number
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.independence import stream_of
from arlattice.io.files import LOCK, folder_lock, writing
from arlattice.io.formats import suffix_of
from arlattice.io.records import plain, read_record, write_record
from arlattice.random_numbers import DRAWN, Stream, check_seed, known_seed
from arlattice.samples import SampleSet
from arlattice.summary import Summary, check_rows

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["sample_to_folder"]

FORMAT = "arlattice-sample-parts-1"
RECORD = "parts.json"


def sample_to_folder(
    model: Model,
    n: int,
    state: Ensemble,
    folder: str | Path,
    *,
    part_size: int = 10_000,
    format: str = "netcdf",
    order: str | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    observables: Sequence[str] = (),
    vacancies: str = "drop",
    progress: bool = False,
) -> Summary:
    """Draw ``n`` configurations into part files, and average over all of them.

    Args:
        model: to draw from.
        n, state, order, seed, batch_size: as in `Model.sample`; ``seed`` None takes that of the parts that are there, or a fresh one.
        folder: a new one, or that of a draw with the same arguments that was stopped: its parts are read, the others drawn.
        part_size: configurations of a part; so many are in memory at once.
        format: of the part files, one that is read back.
        observables: registered names to average besides, see `Summary`.
        vacancies: as in `SampleSet.write`.
        progress: show a progress bar.

    Returns:
        The averages, with the energies and weights of all samples, without their configurations.

    Raises:
        InputError: a folder of something else, or of a draw with other arguments; a format that is not read back.
    """
    n, part_size, suffix = whole_number("n", n), whole_number("part_size", part_size), suffix_of(format)
    of_type("state", state, Ensemble, "give a SemiGrandCanonical or Canonical")
    if order is not None:
        of_type("order", order, str, "name a kind of orders; give orders of your own to model.sample_parts")
    one_of("vacancies", vacancies, ("drop", "X"))
    model.check_fits(min(n, part_size), batch_size)
    model.conditions_of(state)
    model.resolve_plan(1, order, Stream(0, "order", model.device))
    for name in items_of("observables", observables, str, "give registered names"):
        check_rows(model.lattice, state, model.hamiltonian.units, name)
    asked = {
        "format": FORMAT,
        "model": model.fingerprint,
        "hamiltonian": model.hamiltonian.fingerprint,
        "state": state.to_dict(),
        "n": n,
        "part_size": part_size,
        "order": order,
        "files": format,
    }
    with _folder(Path(path_text("folder", folder))) as place:
        found = _begun(place, asked, None if seed is None else check_seed(seed))
        seed = known_seed(found)
        drawing: dict[str, Any] = {"part_size": part_size, "order": order, "seed": seed, "batch_size": batch_size}
        writing_as = {"format": format, "vacancies": vacancies}
        parts = _parts(model, n, state, place, asked | {"seed": seed}, suffix, drawing, writing_as)
        with tqdm(total=n, disable=not progress, unit="sample", desc=f"sampling {model.hamiltonian.name}", leave=False) as bar:
            return Summary(_watched(parts, bar), observables)


def _parts(
    model: Model,
    n: int,
    state: Ensemble,
    place: Path,
    record: dict[str, Any],
    suffix: str,
    drawing: dict[str, Any],
    writing_as: dict[str, str],
) -> Iterator[SampleSet]:
    """All parts in their order: those in the folder read, the others drawn and written. The record comes before the first of them."""
    size, seed = drawing["part_size"], drawing["seed"]
    digits = len(str(-(-n // size)))
    for k, first in enumerate(range(0, n, size)):
        path = place / f"part-{k + 1:0{digits}d}{suffix}"
        if path.exists():
            yield _checked(path, model, state, seed, first, min(size, n - first))
            continue
        part = next(model.sample_parts(n, state, skip=k, **drawing))
        if not (place / RECORD).exists():
            write_record(place / RECORD, record)
        part.write(path, **writing_as)
        yield part


def _watched(parts: Iterator[SampleSet], bar: tqdm[Any]) -> Iterator[SampleSet]:
    for part in parts:
        bar.update(len(part))
        yield part


@contextmanager
def _folder(place: Path) -> Iterator[Path]:
    """Have a folder, made if absent, for the length of the block; one that was made goes again if nothing came into it.

    Raises:
        InputError: a file of that name, no parent folder, or another process that draws into it.
    """
    if place.exists() and not place.is_dir():
        raise InputError("folder", str(place), "is a file; name a folder")
    if not place.absolute().parent.is_dir():
        raise InputError("folder", str(place), f"the folder {place.parent} does not exist; make it first")
    made = not place.exists()
    with writing(place):
        place.mkdir(exist_ok=True)
    try:
        with folder_lock(place) as ours:
            if not ours:
                raise InputError("folder", str(place), "another process draws into it; wait until it ends, or name another folder")
            yield place
    finally:
        if made and all(entry.name == LOCK for entry in place.iterdir()):
            (place / LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                place.rmdir()


def _begun(place: Path, asked: dict[str, Any], seed: int | None) -> int | None:
    """The seed of the draw in a folder, or the one given for a new draw.

    Raises:
        InputError: a folder of something else, or of a draw with other arguments.
    """
    record = place / RECORD
    if not record.exists():
        if any(entry.name != LOCK for entry in place.iterdir()):
            raise InputError("folder", str(place), "holds something else; name a new folder")
        return seed
    found = read_record(record, "folder")
    held = check_seed(found.get("seed"), "folder")
    differ = [name for name, value in (plain(asked) | {"seed": held if seed is None else seed}).items() if found.get(name) != value]
    if differ:
        cure = f"holds parts of a draw with another {', '.join(differ)}; name another folder, or give what was given then"
        raise InputError("folder", str(place), cure)
    return held


def _checked(path: Path, model: Model, state: Ensemble, seed: int, first: int, count: int) -> SampleSet:
    part = SampleSet.read(path)
    expected = stream_of(seed, DRAWN, torch.arange(first, first + count))
    ours = part.stream is not None and torch.equal(part.stream, expected) and part.state == state
    if not ours or part.metadata.get("model_fingerprint") != model.fingerprint:
        cure = f"does not hold samples {first} to {first + count - 1} of seed {seed} of this model and state; remove this file"
        raise InputError("folder", str(path), cure)
    return part
