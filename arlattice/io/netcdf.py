"""netCDF files of datasets, with the sha256 of all variables and attributes in the attribute ``sha256``.

The file is made in memory and then written as bytes: the HDF5 library ends the whole process when a disk is full.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlattice.errors import InputError
from arlattice.io.digest import KEY, check, digest

if TYPE_CHECKING:
    from xarray import Dataset, Variable

__all__ = ["read_netcdf", "write_netcdf"]

_MOST_BYTES_A_BYTE = 100
"""How much larger the data may be than the file. netCDF compresses; a file that claims more is damaged or hostile."""


def write_netcdf(path: Path, dataset: Dataset) -> None:
    """Write a dataset with its digest to a path that `arlattice.io.files.replacing` gave."""
    sealed = dataset.assign_attrs({KEY: digest(_content(dataset))})
    plain: dict[Any, Any] = {name: {"_FillValue": None} for name in dataset.variables}  # no entry that the dataset does not have
    path.write_bytes(sealed.to_netcdf(engine="h5netcdf", encoding=plain))


def read_netcdf(path: Path, argument: str) -> Dataset:
    """Read what `write_netcdf` wrote; nothing is decoded.

    Raises:
        InputError: a file that claims far more data than it holds, or a content that is not what was written.
    """
    import xarray

    with xarray.open_dataset(path, engine="h5netcdf", decode_cf=False) as opened:
        if opened.nbytes > _MOST_BYTES_A_BYTE * path.stat().st_size:
            raise InputError(argument, str(path), f"damaged: claims {opened.nbytes} bytes of data, far more than the file holds")
        dataset = opened.load()
    found = dataset.attrs.pop(KEY, None)
    check(found, digest(_content(dataset)), argument, path)
    return dataset


def _content(dataset: Dataset) -> dict[str, Any]:
    """All that the file says, as plain data."""
    variables = {str(name): _variable(variable) for name, variable in dataset.variables.items()}
    return {"attributes": _attributes(dataset.attrs), "variables": variables}


def _variable(variable: Variable) -> list[Any]:
    return [list(map(str, variable.dims)), variable.to_numpy(), _attributes(variable.attrs)]


def _attributes(attributes: Any) -> dict[str, Any]:
    return {str(name): value for name, value in attributes.items()}
