"""Deprecated: `arlattice.montecarlo.equilibration` is the name; this one goes with the next release."""

import warnings

from arlattice.montecarlo.equilibration import UnequilibratedWarning, describe, warn_unequilibrated

__all__ = ["UnequilibratedWarning", "describe", "warn_unequilibrated"]

warnings.warn("arlattice.thermo.equilibration is now arlattice.montecarlo.equilibration", DeprecationWarning, stacklevel=2)
