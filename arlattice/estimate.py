"""`Estimate`: a number and its standard error."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """A statistical estimate.

    ``str(Estimate(12.5432, 0.0042))`` is ``12.543(4)``, the error in units of the last digit;
    ``f"{estimate:.4f}"`` is ``12.5432 +- 0.0042``.

    Args:
        value: the estimate.
        error: one standard error; infinite where a single sample gives none.
    """

    value: float
    error: float

    def __str__(self) -> str:
        if not (math.isfinite(self.value) and math.isfinite(self.error)):
            return f"{self.value:.6g} +- {self.error:.2g}"
        if self.error == 0:
            return f"{self.value:.10g}(0)"
        decimals = -math.floor(math.log10(self.error))
        if decimals <= 0:
            return f"{self.value:.0f}({self.error:.0f})"
        if decimals > 12:
            return f"{self.value:.12g} +- {self.error:.1g}"
        return f"{self.value:.{decimals}f}({self.error * 10**decimals:.0f})"

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} +- {self.error:{spec}}" if spec else str(self)
