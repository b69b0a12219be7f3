"""`Values`: what an observable returns, one row a sample."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from arlattice.errors import InputError

__all__ = ["UndefinedWarning", "Values"]


class UndefinedWarning(UserWarning):
    """A result is not defined for these samples and is given as nan; the message says why."""


@dataclass(frozen=True)
class Values:
    """Columns to average over the samples, and the results that follow from the averages.

    Most observables report the averages themselves. One that is a smooth function of averages (a variance, a Binder
    cumulant) gives ``of_means``; its error follows by the delta method from the derivatives that torch takes.

    Args:
        columns: one row a sample, (n, columns), float64.
        names: names of the results.
        units: of all results, ``"1"`` where there is none.
        dimension: name of the axis that the results form in a dataset; None: one of its own, or none for a single result.
        of_means: averages (columns,) -> results (results,), differentiable; None: the averages are the results.
        undefined: why a result may be nan, for the warning; None where nan is an answer that calls for no warning.

    Raises:
        InputError: not one finite row a sample, or not one name a column.
    """

    columns: Tensor
    names: tuple[str, ...] = ("value",)
    units: str = "1"
    dimension: str | None = None
    of_means: Callable[[Tensor], Tensor] | None = None
    undefined: str | None = "the averages do not define it"

    def __post_init__(self) -> None:
        columns = self.columns.detach().cpu().double()
        columns = columns[:, None] if columns.ndim == 1 else columns
        if columns.ndim != 2:
            raise InputError("observable", tuple(columns.shape), "give one value per sample (n,), or one row (n, components)")
        if not bool(columns.isfinite().all()):
            raise InputError("observable", float(columns[~columns.isfinite()][0]), "give finite numbers")
        if len(set(self.names)) != len(self.names) or (self.of_means is None and len(self.names) != columns.shape[1]):
            raise InputError("observable", self.names, f"give one name for each of the {columns.shape[1]} components, each once")
        object.__setattr__(self, "columns", columns)

    @classmethod
    def of(cls, given: Any, n: int) -> Values:
        """``given`` if it is a `Values`, else a tensor (n,) or (n, components) as one.

        Raises:
            InputError: not one row for each of the ``n`` samples.
        """
        if not isinstance(given, cls):
            try:
                tensor = torch.as_tensor(given)
            except (TypeError, ValueError, RuntimeError):
                raise InputError("observable", given, "give a registered name, one value per sample, or a function that does") from None
            names = ("value",) if tensor.ndim < 2 else tuple(map(str, range(tensor.shape[1])))
            if tensor.ndim not in (1, 2) or len(tensor) != n:
                raise InputError("observable", tuple(tensor.shape), f"give one value per sample, shape ({n},) or ({n}, components)")
            given = cls(tensor, names)
        if len(given.columns) != n:
            raise InputError("observable", tuple(given.columns.shape), f"give one value per sample, shape ({n},) or ({n}, components)")
        return given

    def results(self, means: Tensor) -> Tensor:
        """The results (results,) that follow from averages of the columns (columns,); `UndefinedWarning` where they are nan."""
        results = means if self.of_means is None else self.of_means(means)
        missing = [name for name, value in zip(self.names, results.tolist(), strict=True) if math.isnan(value)]
        if missing and self.undefined:
            warnings.warn(f"{', '.join(missing)}: nan, since {self.undefined}", UndefinedWarning, stacklevel=3)
        return results

    def derivatives(self, means: Tensor) -> Tensor:
        """d results / d averages, (results, columns); NaN only where the result itself is."""
        if self.of_means is None:
            return torch.eye(len(means), dtype=means.dtype)
        slopes = torch.autograd.functional.jacobian(self.of_means, means)
        slopes = slopes.where(~slopes.isnan(), 0.0)  # torch's 0 x inf, where another result is 0 / 0
        return slopes.where(self.of_means(means).isfinite()[:, None], torch.nan)
