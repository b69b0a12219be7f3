"""netCDF files of datasets. They carry two digests, since the HDF5 library neither survives a full disk nor all damage.

The attribute ``sha256`` is that of all variables and attributes. Behind the end of the HDF5 data, where other programs do not look, a
last line gives the sha256 of all bytes before it: bytes that changed never reach the library, which can hang or crash on them. A file
without that line (an earlier release or another program wrote it) is opened by a process of its own first. Files are made in memory and
written as bytes, because the library ends the whole process when a disk is full.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlattice.errors import InputError
from arlattice.io.digest import KEY, check, digest
from arlattice.io.exporter import Exporter

if TYPE_CHECKING:
    from xarray import Dataset, Variable

    from arlattice.samples import SampleSet

__all__ = ["NetCDF", "read_netcdf", "write_netcdf"]

_MOST_BYTES_A_BYTE = 100
"""How much larger the data may be than the file. netCDF compresses; a file that claims more is damaged or hostile."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SEAL = b"\narlattice sha256 %s\n"
_SEAL_LENGTH = len(_SEAL % bytes(64))
_SECONDS = 10

_TRIAL = f"""
import sys, h5netcdf, numpy as np
with h5netcdf.File(sys.argv[1], "r") as file:
    size = sum(v.dtype.itemsize * float(np.prod(v.shape, dtype=float)) for v in file.variables.values() if v.dtype is not str)
    if size > {_MOST_BYTES_A_BYTE} * int(sys.argv[2]):
        sys.exit(3)
    for variable in file.variables.values():
        variable[...], variable.dimensions, dict(variable.attrs)
"""


class NetCDF(Exporter):
    """The format ``netcdf``: the arrays and every fact of samples; ``vacancies`` are kept as species."""

    suffix = ".nc"

    def write(self, samples: SampleSet, path: Path, vacancies: str) -> None:
        write_netcdf(path, samples.to_xarray())

    def read(self, path: Path) -> SampleSet:
        from arlattice.io.dataset import from_dataset

        return from_dataset(read_netcdf(path, "path"))


def write_netcdf(path: Path, dataset: Dataset) -> None:
    """Write a dataset with its digests to a path that `arlattice.io.files.replacing` gave."""
    sealed = dataset.assign_attrs({KEY: digest(_content(dataset))})
    plain: dict[Any, Any] = {name: {"_FillValue": None} for name in dataset.variables}  # no entry that the dataset does not have
    data = bytes(sealed.to_netcdf(engine="h5netcdf", encoding=plain))
    path.write_bytes(data + _SEAL % hashlib.sha256(data).hexdigest().encode())


def read_netcdf(path: Path, argument: str) -> Dataset:
    """Read what `write_netcdf` wrote; nothing is decoded.

    Raises:
        InputError: a file that is damaged or claims far more data than it holds, or a content that is not what was written.

    Warns:
        UncheckedWarning: a file whose content carries no digest.
    """
    import xarray

    if not _has_seal(path, argument):
        _try_elsewhere(path, argument)
    with xarray.open_dataset(path, engine="h5netcdf", decode_cf=False) as opened:
        if opened.nbytes > _MOST_BYTES_A_BYTE * path.stat().st_size:
            raise InputError(argument, str(path), f"damaged: claims {opened.nbytes} bytes of data, far more than the file holds")
        dataset = opened.load()
    found = dataset.attrs.pop(KEY, None)
    check(found, digest(_content(dataset)), argument, path)
    return dataset


def _has_seal(path: Path, argument: str) -> bool:
    """Whether the file ends with the digest of its bytes; refused if that is another one, or if the file is not HDF5 at all."""
    length = path.stat().st_size - _SEAL_LENGTH
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            raise InputError(argument, str(path), "damaged, or not netCDF; write it again")
        file.seek(max(0, length))
        seal = file.read(_SEAL_LENGTH)
        if not seal.startswith(_SEAL.split(b"%s")[0]):
            return False
        file.seek(0)
        running = hashlib.sha256()
        while (left := length - file.tell()) > 0:
            running.update(file.read(min(left, 2**20)))
    if seal != _SEAL % running.hexdigest().encode():
        raise InputError(argument, str(path), f"damaged: its bytes do not have the {KEY} they were written with; write it again")
    return True


def _try_elsewhere(path: Path, argument: str) -> None:
    """Read all of a file in a process of its own, which may hang or crash."""
    command = [sys.executable, "-c", _TRIAL, str(path), str(path.stat().st_size)]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        raise InputError(argument, str(path), f"damaged: the HDF5 library did not read it within {_SECONDS} seconds") from None
    if ended == 3:
        raise InputError(argument, str(path), "damaged: claims far more data than the file holds")
    if ended:
        raise InputError(argument, str(path), "damaged, or not netCDF; write it again")


def _content(dataset: Dataset) -> dict[str, Any]:
    """All that the file says, as plain data."""
    variables = {str(name): _variable(variable) for name, variable in dataset.variables.items()}
    return {"attributes": _attributes(dataset.attrs), "variables": variables}


def _variable(variable: Variable) -> list[Any]:
    return [list(map(str, variable.dims)), variable.to_numpy(), _attributes(variable.attrs)]


def _attributes(attributes: Any) -> dict[str, Any]:
    """Without the fill value, which xarray adds when it saves a file again: nothing here is filled."""
    return {str(name): value for name, value in attributes.items() if name != "_FillValue"}
