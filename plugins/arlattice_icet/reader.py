"""Read icet's ``.ce`` files without running code from them.

icet writes a tar file that holds Python pickles, and `ClusterExpansion.read` unpickles them: a crafted
file then runs any code. This is the one place of the project that touches a pickle, and it does so
with an allow-list: `_Unpickler.find_class` gives a name only to the numpy functions that a sound file mentions,
and even these are replaced by inert records of what the file says about an array (`_Array`), checked before numpy sees
them. Any other name ends the reading and is told to the user. Members are read in memory, and only up to a size.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import pickletools
import re
import tarfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, PositiveFloat

import arlattice as arl

if TYPE_CHECKING:
    from ase import Atoms
    from icet import ClusterExpansion, ClusterSpace

__all__ = ["read_expansion"]

_SIZE_LIMIT = 64 * 2**20
_CUTOFF_LIMIT = 40.0


def read_expansion(path: str | PathLike[str], *, trust: bool = False) -> tuple[ClusterExpansion, str]:
    """The expansion in a file written by icet's `ClusterExpansion.write`, and the file's sha256.

    Args:
        path: the file.
        trust: read with icet's own reader, which runs whatever code the file holds.

    Raises:
        InputError: no such file, too large, damaged, or a pickle that names anything but plain numpy arrays.
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
    parameters = _as_array(_unpickle(outer["items"])["parameters"])
    if parameters.ndim != 1 or not np.isfinite(parameters).all():
        raise ValueError("parameters are not a list of finite numbers")
    return ClusterExpansion(_cluster_space(outer["cluster_space"]), parameters)


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
    items = _SpaceItems.model_validate(_plain(_unpickle(members["items"])))
    if max(items.cutoffs) > _CUTOFF_LIMIT:
        raise ValueError(f"a cutoff of {max(items.cutoffs)} angstrom")
    space = ClusterSpace(
        _atoms(members["atoms"]), items.cutoffs, items.chemical_symbols, symprec=items.symprec, position_tolerance=items.position_tolerance
    )
    for step in items.pruning_history:
        if isinstance(step, list):  # files of icet before 2.0
            space.prune_orbit_list(step)
        elif step[0] == "prune":
            space.prune_orbit_list(step[1])
        else:
            space.merge_orbits(step[1], ignore_permutations=True)
    return space


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
    """The pickle asks for a name that is not on the allow-list."""


class _Dtype:
    """What the pickle says of a number type. Never handed to numpy unless it is a plain number."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[fiub][1248]", str(self.code)) or self.order not in ("<", ">", "=", "|"):
            raise ValueError(f"an array of {self.code!r}")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """What the pickle says of an array: shape, type, order in memory and bytes."""

    __slots__ = ("state",)

    def __init__(self, shape: Any = (), dtype: Any = None, fortran: Any = False, data: Any = b"") -> None:
        self.state = (shape, dtype, fortran, data)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state[-4:]  # a version number may come first

    def numpy(self) -> np.ndarray:
        shape, dtype, fortran, data = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
            raise ValueError("an array of Python objects")
        return np.frombuffer(bytes(data), dtype.numpy()).reshape(shape, order="F" if fortran else "C")


class _Unpickler(pickle.Unpickler):
    """Builds plain Python values and `_Array` records; raises `_ForbiddenNameError` for every other name.

    The stand-ins are bound methods: unlike classes, a pickle cannot set attributes on them.
    """

    _ALLOWED: ClassVar[dict[tuple[str, str], str]] = {
        ("numpy", "ndarray"): "_ndarray",
        ("numpy", "dtype"): "_dtype",
        **{(f"numpy.{core}.multiarray", name): name for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): "_frombuffer" for core in ("core", "_core")},
    }

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self._ALLOWED:
            raise _ForbiddenNameError(f"{module}.{name}")
        stand_in: Callable[..., Any] = getattr(self, self._ALLOWED[module, name])
        return stand_in

    def _ndarray(self) -> None:
        raise ValueError("ndarray called directly")

    def _dtype(self, code: Any, *_: Any) -> _Dtype:
        return _Dtype(code)

    def _reconstruct(self, *_: Any) -> _Array:
        return _Array()

    def scalar(self, dtype: Any, data: Any) -> int | float | bool:
        value: int | float | bool = _Array((), dtype, False, data).numpy().item()
        return value

    def _frombuffer(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        return _Array(shape, dtype, order == "F", data)


def _unpickle(data: bytes) -> dict[str, Any]:
    for opcode, argument, _ in pickletools.genops(data):
        if "PUT" in opcode.name and int(argument or 0) > len(data):  # a huge memo index would fill the memory
            raise ValueError("memo index out of range")
    items = _Unpickler(io.BytesIO(data)).load()
    if not isinstance(items, dict):
        raise ValueError("not a dictionary")
    return items


def _plain(items: dict[str, Any]) -> dict[str, Any]:
    return {key: value.numpy().tolist() if isinstance(value, _Array) else value for key, value in items.items()}


def _as_array(value: Any) -> np.ndarray:
    return np.asarray(value.numpy() if isinstance(value, _Array) else value, dtype=float)
