"""Read icet's ``.ce`` files without running code from them.

icet writes a tar file that holds Python pickles, and `ClusterExpansion.read` unpickles them: a crafted
file then runs any code. Here no unpickler runs: `arlattice_icet.pickles` tells what a pickle says as plain values, with a
record wherever it names something. A record is read as a number or an array if it is one that numpy writes. Any other name
ends the reading and is told to the user, but not within the metadata of the expansion: icet's own recipe puts objects of
trainstation there, and metadata are left out. Members are read in memory, and only up to a size.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tarfile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, PositiveFloat

import arlattice as arl
from arlattice_icet.pickles import Named, told

if TYPE_CHECKING:
    from ase import Atoms
    from icet import ClusterExpansion, ClusterSpace

__all__ = ["read_expansion"]

_SIZE_LIMIT = 64 * 2**20
_MOST_NEIGHBOURS, _MOST_CLUSTERS = 10**4, 10**7  # of a primitive cell, estimated; more take icet minutes
_LEFT_OUT = "metadata"  # who fitted the expansion, when and how well: nothing that an energy needs
_MOST_VALUES = 10**6
_DEEPEST = 8


def read_expansion(path: str | PathLike[str], *, trust: bool = False) -> tuple[ClusterExpansion, str]:
    """The expansion in a file written by icet's `ClusterExpansion.write`, and the file's sha256. Its metadata are left out.

    Args:
        path: the file.
        trust: read with icet's own reader, which runs whatever code the file holds.

    Raises:
        InputError: no such file, too large, damaged, or a pickle that names anything but plain numpy
            arrays outside of the metadata.
    """
    data = _read_bytes(Path(path))
    digest = hashlib.sha256(data).hexdigest()
    try:
        return (_read_trusted(path) if trust else _read_safely(data)), digest
    except _ForbiddenNameError as error:
        cure = f"names {error}, which a cluster expansion does not need; not read. If you trust its source, pass trust=True"
        raise arl.InputError("expansion", str(path), cure) from None
    except Exception as error:  # a hostile or damaged file can fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise arl.InputError("expansion", str(path), f"damaged, or not written by icet's ClusterExpansion.write ({reason})") from None


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise arl.InputError("expansion", str(path), "no such file")
    if path.stat().st_size > _SIZE_LIMIT:
        raise arl.InputError("expansion", str(path), f"larger than {_SIZE_LIMIT} bytes; a cluster expansion is far smaller")
    return path.read_bytes()


def _read_trusted(path: str | PathLike[str]) -> ClusterExpansion:
    from icet import ClusterExpansion

    return ClusterExpansion.read(str(path))


def _read_safely(data: bytes) -> ClusterExpansion:
    from icet import ClusterExpansion

    outer = _members(data, "cluster_space", "items")
    items, names = _items(outer["items"])
    try:
        plain = _plain({key: value for key, value in items.items() if key != _LEFT_OUT})
        parameters = np.asarray(plain["parameters"], dtype=float)
        if parameters.ndim != 1 or not np.isfinite(parameters).all():
            raise ValueError("parameters are not a list of finite numbers")
        return ClusterExpansion(_cluster_space(outer["cluster_space"]), parameters)
    except Exception:
        for name in names:  # a file with another fault gets no benefit of the doubt
            raise _ForbiddenNameError(name) from None
        raise


def _members(data: bytes, *names: str) -> dict[str, bytes]:
    """The named plain members of an uncompressed tar file, read in memory."""
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for name in names:
            member = tar.getmember(name)
            file = tar.extractfile(member) if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else None
            if file is None or member.size > len(data):
                raise ValueError(f"member {name} is not a plain file of this archive")
            contents[name] = file.read()
            if len(contents[name]) != member.size:
                raise ValueError(f"member {name} is cut short")
    return contents


# -- the cluster space -------------------------------------------------------------------------------


class _SpaceItems(BaseModel):
    """What icet's `ClusterSpace.write` stores beside the structure."""

    cutoffs: list[PositiveFloat] = Field(max_length=8)
    chemical_symbols: list[str] | list[list[str]]
    pruning_history: list[tuple[Literal["prune"], list[int]] | tuple[Literal["merge"], dict[int, list[int]]] | list[int]] = []
    symprec: PositiveFloat = 1e-5
    position_tolerance: PositiveFloat | None = None


def _cluster_space(data: bytes) -> ClusterSpace:
    from icet import ClusterSpace

    members = _members(data, "items", "atoms")
    items = _SpaceItems.model_validate(_plain(_items(members["items"])[0]))
    primitive = _atoms(members["atoms"])
    _check_work(primitive, items.cutoffs)
    space = ClusterSpace(
        primitive, items.cutoffs, items.chemical_symbols, symprec=items.symprec, position_tolerance=items.position_tolerance
    )
    for step in items.pruning_history:
        if isinstance(step, list):  # files of icet before 2.0
            space.prune_orbit_list(step)
        elif step[0] == "prune":
            space.prune_orbit_list(step[1])
        else:
            space.merge_orbits(step[1], ignore_permutations=True)
    return space


def _check_work(primitive: Atoms, cutoffs: list[float]) -> None:
    """Refuse what would keep icet busy for minutes: an estimate of the neighbours and clusters, with cutoffs of order 2, 3, ..."""
    density = len(primitive) / primitive.get_volume()
    neighbours = [density * 4 / 3 * math.pi * cutoff**3 for cutoff in cutoffs]
    clusters = sum(len(primitive) * n ** (k + 1) / math.factorial(k + 1) for k, n in enumerate(neighbours))
    if len(primitive) * max(neighbours) > _MOST_NEIGHBOURS or clusters > _MOST_CLUSTERS:
        told = f"{len(primitive)} sites with cutoffs of {[round(c, 1) for c in cutoffs]} angstrom make about {clusters:.0e} clusters"
        raise ValueError(f"{told}; if you trust its source, pass trust=True")


class _JsonAtoms(BaseModel):
    """The part of ASE's JSON row that makes a structure."""

    numbers: list[int] = Field(max_length=10_000)
    positions: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat]]
    cell: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat]]
    pbc: tuple[bool, bool, bool]


def _atoms(data: bytes) -> Atoms:
    from ase import Atoms

    document = json.loads(data.decode(), object_hook=_json_array)
    row = _JsonAtoms.model_validate(document["1"])
    return Atoms(numbers=row.numbers, positions=row.positions, cell=row.cell, pbc=row.pbc)


def _json_array(value: dict[str, Any]) -> Any:
    """ASE's JSON arrays and cells as nested lists."""
    if "__ndarray__" in value:
        shape, _, flat = value["__ndarray__"]
        return np.array(flat).reshape(shape).tolist()
    return value["array"] if value.get("__ase_objtype__") == "cell" else value


# -- the pickles -------------------------------------------------------------------------------------


class _ForbiddenNameError(Exception):
    """The pickle names something that is no array or number of numpy."""

    def __init__(self, name: str) -> None:
        super().__init__(" ".join(name.split())[:80])


_ARRAY = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_SCALAR = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}
_BUFFER = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_NUMPY = {"numpy.ndarray", "numpy.dtype", *_ARRAY, *_SCALAR, *_BUFFER}


def _items(data: bytes) -> tuple[dict[str, Any], list[str]]:
    """The dictionary that a pickle holds, and the names in it that are not numpy's."""
    items, names = told(data)
    foreign = [name for name in names if name not in _NUMPY]
    if not isinstance(items, dict):
        raise _ForbiddenNameError(foreign[0]) if foreign else ValueError("not a dictionary")
    return items, foreign


def _plain(value: Any) -> Any:
    """A told value with numbers and lists in place of numpy's records; refused if it is larger than any expansion's."""
    budget = iter(range(_MOST_VALUES))

    def walk(part: Any, depth: int) -> Any:
        if next(budget, None) is None or depth > _DEEPEST:
            raise ValueError("nested too deep, or too many values")
        if isinstance(part, dict):
            return {key: walk(item, depth + 1) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return type(part)(walk(item, depth + 1) for item in part)
        return _array(part).tolist() if isinstance(part, Named) else part

    return walk(value, 0)


def _array(record: Named) -> np.ndarray:
    """The array or number (shape ()) that a record of numpy describes."""
    if record.name not in _NUMPY:
        raise _ForbiddenNameError(record.name)
    if record.name in _SCALAR:
        dtype, data = _exactly(record.arguments, 2)
        return _from_bytes(data, dtype, (), False)
    if record.name in _BUFFER:
        data, dtype, shape, order = _exactly(record.arguments, 4)
        return _from_bytes(data, dtype, shape, order == "F")
    if record.name in _ARRAY:
        _, shape, dtype, fortran, data = _exactly(record.state, 5)
        return _from_bytes(data, dtype, shape, fortran is True)
    raise ValueError(f"a lone {record.name}")


def _exactly(values: Any, n: int) -> tuple[Any, ...]:
    if not isinstance(values, tuple) or len(values) != n:
        raise ValueError("an array with parts missing")
    return values


def _from_bytes(data: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    if not isinstance(data, bytes | bytearray):
        raise ValueError("an array of Python objects")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("an array without a shape")
    return np.frombuffer(bytes(data), _number_type(dtype)).reshape(shape, order="F" if fortran else "C")


def _number_type(record: Any) -> np.dtype[Any]:
    """The number type that a record of `numpy.dtype` describes; never one of Python objects."""
    if not isinstance(record, Named) or record.name != "numpy.dtype" or not record.arguments:
        raise ValueError("an array of Python objects")
    code, order = record.arguments[0], record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "="
    if not (isinstance(code, str) and re.fullmatch(r"[fiub][1248]", code) and isinstance(order, str) and order in "<>=|"):
        raise ValueError("an array of something else than numbers")
    return np.dtype(f"{order}{code}")
