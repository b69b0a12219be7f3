"""Observables by their registered names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from arlattice.hooks.containment import told
from arlattice.hooks.manager import default_manager
from arlattice.hooks.options import Options
from arlattice.thermo.observables.values import Values

if TYPE_CHECKING:
    from arlattice.samples import SampleSet

__all__ = ["observe"]


def observe(name: str, samples: SampleSet, options: Mapping[str, Any] | Options | None = None, where: str = "") -> Values:
    """The values of a registered observable on a set of samples.

    Args:
        name: as registered.
        samples: what to observe.
        options: checked against the registered class.
        where: prefix of option names in messages.

    Raises:
        InputError: unknown name or option, or an observable that makes no sense on this lattice.
    """
    entry = default_manager().observables[name]
    values = entry.call(samples, entry.parse_options(options, where, by_hand=True))
    try:
        return Values.of(values, len(samples))
    except Exception as error:
        raise entry.error(f"returned what is not one row per sample: {told(error)}") from None
