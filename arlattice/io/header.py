"""The facts a whole file of samples shares, as JSON, and the checks on the way back in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.lattice import Lattice

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["lattice_of", "reading", "rebuild", "to_header"]

FORMAT = "arlattice-samples-1"


def to_header(samples: SampleSet) -> dict[str, Any]:
    """Everything of a set but its arrays over samples, as plain data."""
    return {
        "format": FORMAT,
        "samples": len(samples),
        "lattice": samples.lattice.to_dict(),
        "state": samples.state.to_dict(),
        "units": samples.units,
        "known": None if samples.known is None else samples.known.tolist(),
        **({} if samples.block_sizes is None else {"block_sizes": list(samples.block_sizes)}),
        "metadata": dict(samples.metadata),
    }


def lattice_of(header: Mapping[str, Any]) -> Lattice:
    """The lattice that a header describes."""
    if header["format"] != FORMAT:
        raise InputError("format", header["format"], f"give samples in the format {FORMAT}")
    return Lattice.from_dict(header["lattice"])


def rebuild(header: Mapping[str, Any], lattice: Lattice, arrays: Mapping[str, Any]) -> SampleSet:
    """The set that was written.

    Args:
        header: what `to_header` gave.
        lattice: what `lattice_of` gave.
        arrays: ``occupations``, ``energy``, ``log_f``, ``log_weight``, and ``log_prob``, ``order``, ``stream`` or None.

    Raises:
        InputError: samples are missing, or numbers that depend on each other do not agree.
    """
    from arlattice.samples import SampleSet

    tensors = {name: None if values is None else torch.from_numpy(np.array(values)) for name, values in arrays.items()}
    log_f, log_weight = tensors.pop("log_f"), tensors.pop("log_weight")
    known = header["known"]
    samples = SampleSet(
        lattice,
        state=Ensemble.from_dict(header["state"]),
        units=header["units"],
        known=None if known is None else torch.tensor(known),
        block_sizes=header.get("block_sizes"),
        metadata=header["metadata"],
        **tensors,  # type: ignore[arg-type]
    )
    if len(samples) != header["samples"]:
        raise InputError("samples", len(samples), f"the file was written with {header['samples']}")
    for name, ours, theirs in (("log_f", samples.log_f, log_f), ("log_weight", samples.log_weight, log_weight)):
        if theirs is None or not torch.allclose(ours, theirs.double(), rtol=1e-9, atol=1e-9):
            raise InputError(name, "stored", "does not agree with the energies, species and state in the file")
    return samples


@contextmanager
def reading(path: str | Path, argument: str = "path", what: str = "samples") -> Iterator[Path]:
    """Whatever goes wrong while reading ``path`` becomes one `InputError` that names it."""
    if not Path(path).is_file():
        raise InputError(argument, str(path), "no such file")
    try:
        yield Path(path)
    except Warning:  # where Python's filters make errors of them
        raise
    except InputError as error:
        if error.value == str(path):
            raise
        raise InputError(argument, str(path), f"damaged, or not {what} of arlattice ({error}); write it again") from None
    except Exception as error:  # parsers of other packages raise anything on bytes they do not expect
        raise InputError(argument, str(path), f"damaged, or not {what} of arlattice ({type(error).__name__}); write it again") from None
