"""Damaged files of every format of ours: is a changed content ever read without a word?

A small model, a compiled Hamiltonian, a training checkpoint, parts and datasets of sweeps and samples are written; copies are damaged in
many ways (bits, bytes, blocks, lines, words, numbers) and read. Each copy is one of:

    refused    one line that names the file
    unchecked  read, with the warning that it carries no digest
    same       read, and the content is the one that was written (the damage hit padding or a copy of something)
    silent     read with another content and without a word: a fault
    broken     the reader failed with anything but one line: a fault

    python benchmarks/damage.py                     # 10,000 files, writes benchmarks/results/damage.json
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray

import arlattice as arl
from arlattice.io.digest import UncheckedWarning, digest
from arlattice.io.files import write_text
from arlattice.io.netcdf import read_netcdf
from arlattice.io.records import read_tensors
from arlattice.thermo.sweep_state import part_path, read_part

RESULTS = Path(__file__).parent / "results"
STATE = arl.SemiGrandCanonical(2.0, {"up": 0.1})
FATES = ("refused", "unchecked", "same", "silent", "broken")

Bytes = bytes
Damage = Callable[[Bytes, np.random.Generator], Bytes]


class Format(NamedTuple):
    """One kind of file: where it lies under a folder, and a digest of all that reading it gives."""

    path: str
    content: Callable[[Path], str]


def main() -> None:
    """Damage, read, count and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "damage.json")
    arguments = parser.parse_args()
    result = {
        "command": f"python benchmarks/damage.py --files {arguments.files} --seed {arguments.seed}",
        "device": f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "formats": run(arguments.files, arguments.seed),
    }
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    for name, counts in result["formats"].items():
        print(name.ljust(22), *(f"{fate} {counts[fate]}".ljust(16) for fate in FATES))


def run(files: int, seed: int) -> dict[str, dict[str, int]]:
    """Counts of every fate by format; the files are spread evenly over the formats and the kinds of damage."""
    generator = np.random.Generator(np.random.PCG64(seed))
    with tempfile.TemporaryDirectory() as name:
        sound = Path(name) / "sound"
        formats = write_all(sound)
        shares = {kind: files * (k + 1) // len(formats) - files * k // len(formats) for k, kind in enumerate(formats)}
        return {kind: count(sound, Path(name) / "copy", formats[kind], share, generator) for kind, share in shares.items()}


def count(sound: Path, copy: Path, each: Format, files: int, generator: np.random.Generator) -> dict[str, int]:
    """What became of ``files`` damaged copies of one file."""
    whole = (sound / each.path).read_bytes()
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(sound, copy)
    expected, kinds = each.content(copy / each.path), list(DAMAGES.values())
    found: Counter[str] = Counter(dict.fromkeys(FATES, 0))
    for number in range(files):
        damaged = kinds[number % len(kinds)](whole, generator)
        while damaged == whole:
            damaged = kinds[0](whole, generator)
        (copy / each.path).write_bytes(damaged)
        found[fate(each, copy / each.path, expected)] += 1
    return dict(found)


def fate(each: Format, path: Path, expected: str) -> str:
    """What reading one damaged file comes to."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            content = each.content(path)
        except arl.InputError as error:
            return "refused" if "\n" not in str(error) and len(str(error)) < 1000 else "broken"
        except Exception as error:
            print(f"{path.name}: {type(error).__name__}: {error}")
            return "broken"
    if any(issubclass(each.category, UncheckedWarning) for each in told):
        return "unchecked"
    return "same" if content == expected else "silent"


# -- the files -----------------------------------------------------------------------------------------


def write_all(folder: Path) -> dict[str, Format]:
    """A file of every format of ours."""
    folder.mkdir()
    hamiltonian = arl.hamiltonian("ising", supercell=(3, 3), h=0.1)
    model = _train(folder / "run", hamiltonian)
    hamiltonian.save(folder / "hamiltonian.safetensors")  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of its states was not trained for
        arl.sweep(model, [2.0, 3.0], chemical_potentials={"up": 0.1}, n=50, seed=0, out=folder / "sweep.nc", min_ess=0)
    samples = model.sample(6, STATE, seed=0)
    for suffix in (".extxyz", ".nc", ".db"):
        samples.write(folder / f"samples{suffix}")
    part = part_path(Path("sweep.nc.parts"), STATE)
    return {
        "model.safetensors": Format("run/model/model.safetensors", lambda path: _model(path.parent)),
        "model.json": Format("run/model/model.json", lambda path: _model(path.parent)),
        "compiled Hamiltonian": Format("hamiltonian.safetensors", _hamiltonian),
        "training checkpoint": Format("run/checkpoint.safetensors", lambda path: digest(list(read_tensors(path, "checkpoint")))),
        "part of a sweep": Format(str(part), _part),
        "sweep.nc": Format("sweep.nc", lambda path: _dataset(_sweep(path))),
        "samples.extxyz": Format("samples.extxyz", _samples),
        "samples.nc": Format("samples.nc", _samples),
        "samples.db": Format("samples.db", _samples),
    }


def _train(folder: Path, hamiltonian: arl.Hamiltonian) -> arl.Model:
    small = {"replica_temperatures": 1, "replica_potentials": 1, "replica_copies": 8, "batch_size": 8, "equilibration_sweeps": 1}
    options = {"width": 8, "heads": 2, "layers": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training = {"steps": 2, "reverse_states": 1, "reverse_samples": 4, **small}
        return arl.train(hamiltonian, STATE, model_options=options, training=training, folder=folder, progress=False, device="cpu")


def _model(folder: Path) -> str:
    model = arl.load(folder)
    options = model.options.model_dump(mode="json")
    return digest([model.name, options, model.record, model.hamiltonian.fingerprint, dict(model.state_dict())])


def _hamiltonian(path: Path) -> str:
    tensors, description = arl.ClusterHamiltonian.load(path).to_tensors()
    return digest([tensors, description])


def _part(path: Path) -> str:
    settings = json.loads(path.with_name("settings").read_text()) if path.with_name("settings").is_file() else _remember(path)
    result = read_part(path.parent, STATE, settings)
    averages = {} if result is None else {name: {key: list(e) for key, e in parts.items()} for name, parts in result.averages.items()}
    return digest([averages, result and result.ess, result and result.samples])


def _remember(path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(path.read_text())["settings"]
    path.with_name("settings").write_text(json.dumps(settings))
    return settings


def _sweep(path: Path) -> xarray.Dataset:
    from arlattice.io.header import reading

    with reading(path, "SWEEP", "a sweep"):
        return read_netcdf(path, "SWEEP")


def _samples(path: Path) -> str:
    return _dataset(arl.SampleSet.read(path).to_xarray())


def _dataset(dataset: xarray.Dataset) -> str:
    return digest(
        {str(name): [list(v.dims), v.to_numpy(), dict(v.attrs)] for name, v in dataset.variables.items()} | {"": dict(dataset.attrs)}
    )


# -- the damage ----------------------------------------------------------------------------------------


def _place(data: Bytes, generator: np.random.Generator, length: int = 1) -> int:
    return int(generator.integers(0, max(1, len(data) - length + 1)))


def flipped_bit(data: Bytes, generator: np.random.Generator) -> Bytes:
    """One bit the other way."""
    k = _place(data, generator)
    return data[:k] + bytes([data[k] ^ 1 << int(generator.integers(8))]) + data[k + 1 :]


def other_byte(data: Bytes, generator: np.random.Generator) -> Bytes:
    """One byte at random."""
    k = _place(data, generator)
    return data[:k] + generator.bytes(1) + data[k + 1 :]


def cut(data: Bytes, generator: np.random.Generator) -> Bytes:
    """The end lost."""
    return data[: _place(data, generator)]


def zeroed(data: Bytes, generator: np.random.Generator) -> Bytes:
    """A block of zeros, as a crash of the machine leaves."""
    length = int(generator.integers(1, 600))
    k = _place(data, generator, length)
    return data[:k] + bytes(len(data[k : k + length])) + data[k + length :]


def moved_block(data: Bytes, generator: np.random.Generator) -> Bytes:
    """A block written where another belongs."""
    length = int(generator.integers(1, 200))
    source, target = _place(data, generator, length), _place(data, generator, length)
    return data[:target] + data[source : source + length] + data[target + length :]


def swapped_words(data: Bytes, generator: np.random.Generator) -> Bytes:
    """Two pieces of eight bytes exchanged: two numbers, two atoms."""
    first, second = sorted(_place(data, generator, 8) // 8 * 8 for _ in range(2))
    if second < first + 8:
        return data
    return data[:first] + data[second : second + 8] + data[first + 8 : second] + data[first : first + 8] + data[second + 8 :]


def swapped_lines(data: Bytes, generator: np.random.Generator) -> Bytes:
    """Two lines exchanged."""
    lines = data.split(b"\n")
    a, b = (int(k) for k in generator.integers(0, len(lines), 2))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def lost_line(data: Bytes, generator: np.random.Generator) -> Bytes:
    """A line lost or written twice."""
    lines = data.split(b"\n")
    k = int(generator.integers(len(lines)))
    lines[k : k + 1] = [lines[k]] * (2 * int(generator.integers(2)))
    return b"\n".join(lines)


def other_digit(data: Bytes, generator: np.random.Generator) -> Bytes:
    """One decimal digit for another: the file stays well formed."""
    places = np.flatnonzero((np.frombuffer(data, np.uint8) >= 48) & (np.frombuffer(data, np.uint8) <= 57))
    if not len(places):
        return data
    k = int(generator.choice(places))
    return data[:k] + str(int(generator.integers(10))).encode() + data[k + 1 :]


def swapped_letters(data: Bytes, generator: np.random.Generator) -> Bytes:
    """Two equal-length texts of the file exchanged everywhere between two places: up for dn, Cu for Au."""
    letters = np.flatnonzero(np.isin(np.frombuffer(data, np.uint8), np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)))
    if len(letters) < 2:
        return data
    a, b = sorted(int(k) for k in generator.choice(letters, 2, replace=False))
    return data[:a] + data[b : b + 1] + data[a + 1 : b] + data[a : a + 1] + data[b + 1 :]


DAMAGES: dict[str, Damage] = {
    each.__name__: each
    for each in (
        flipped_bit,
        other_byte,
        cut,
        zeroed,
        moved_block,
        swapped_words,
        swapped_lines,
        lost_line,
        other_digit,
        swapped_letters,
    )
}


if __name__ == "__main__":
    main()
