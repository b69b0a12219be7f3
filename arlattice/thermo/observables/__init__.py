"""Observables: functions of a `SampleSet` that give one value, or several named ones, per sample.

They are registered by name (hook ``arlattice_register_observables``), and `SampleSet.mean`, `SampleSet.means` and
`arlattice.sweep` average any of them. One file an idea; `arlattice.hooks.observables` lists what ships.
"""

from arlattice.thermo.observables.values import UndefinedWarning, Values

__all__ = ["UndefinedWarning", "Values"]
