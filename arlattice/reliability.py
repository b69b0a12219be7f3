"""What is said where a number from samples may not be what it looks like: the warnings, their thresholds, and how they are given.

`SampleSet` and `arlattice.sweep` find the reasons and give each once. To silence one, use Python's filters:
``warnings.filterwarnings("ignore", category=arlattice.LowEssWarning)``.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "EVEN_ESS",
    "MAX_KHAT",
    "MIN_EFFECTIVE",
    "MIN_IN_PHASE",
    "HeavyTailWarning",
    "LostModeWarning",
    "LowEssWarning",
    "MissingPhaseWarning",
    "OutOfRangeWarning",
    "StatisticsWarning",
    "give",
    "heavy_tail",
    "low_ess",
    "missing_phase",
    "out_of_range",
    "quiet",
    "silenced",
]

MIN_EFFECTIVE = 100.0
"""Effective samples below which an average and its error bar are not to be trusted."""

MAX_KHAT = 0.7
"""k-hat of the weights above which error bars are too small; A. Vehtari et al., J. Mach. Learn. Res. 25 (72), 1 (2024)."""

EVEN_ESS = 0.9
"""ESS above which weights are so even that the shape of their tail changes averages by less than their error bars."""

MIN_IN_PHASE = 10.0
"""Effective samples of a phase below which a phase diagram says that they are few."""

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


class StatisticsWarning(UserWarning):
    """A number from samples may be wrong by more than its error bar. One line: what was found, and the cure."""


class LowEssWarning(StatisticsWarning):
    """Too few effective samples for an average and its error bar, or of a phase for its transition."""


class HeavyTailWarning(StatisticsWarning):
    """The weights have so long a tail that few samples carry the sums (k-hat)."""


class OutOfRangeWarning(StatisticsWarning):
    """The model was not trained for this state."""


class LostModeWarning(StatisticsWarning):
    """Monte Carlo samples are where the model's own samples are not."""


class MissingPhaseWarning(StatisticsWarning):
    """No sample of a sweep is in a phase, so that a phase diagram of it cannot show the phase."""


def low_ess(n: int, ess: float) -> LowEssWarning | None:
    """The warning about ``n`` samples of which the fraction ``ess`` counts, or None if they are enough."""
    if n * ess >= MIN_EFFECTIVE * (1 - 1e-9):
        return None
    found = f"{n * ess:.3g} effective samples ({n} drawn, ESS {ess:.2g}) are fewer than {MIN_EFFECTIVE:g}"
    cure = f"draw {_rounded_up(MIN_EFFECTIVE / ess):,} samples or more" if ess > 0 else "none has the composition of the state"
    return LowEssWarning(f"{found}: do not trust averages and their error bars; {cure}")


def _rounded_up(number: float) -> int:
    """To two digits."""
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit - 1e-9) * unit


def heavy_tail(khat: float, ess: float) -> HeavyTailWarning | None:
    """The warning about the tail of the weights, or None if it is short, not known (NaN), or of nearly even weights."""
    if not (khat > MAX_KHAT and ess < EVEN_ESS):
        return None
    found = f"k-hat of the weights is {khat:.2f}, above {MAX_KHAT:g}: few samples carry the averages, and their error bars are too small"
    return HeavyTailWarning(f"{found}; train the model longer, or compare with Monte Carlo")


def out_of_range(found: str) -> OutOfRangeWarning:
    """The warning about a state outside the trained range; ``found`` says what is outside."""
    cure = "train a model for this state, or compare with Monte Carlo (arlattice.thermo.bounds)"
    return OutOfRangeWarning(f"{found}: the ESS cannot show what the model never draws; {cure}")


def missing_phase(names: Sequence[str]) -> MissingPhaseWarning:
    """The warning about phases, one or more, that no sample of a sweep is in."""
    which, pronoun = (f"phase {names[0]}", "it") if len(names) == 1 else (f"the phases {', '.join(names)}", "them")
    cure = f"if you expect {pronoun} in this range, check the model there (arlattice sample --check-modes)"
    return MissingPhaseWarning(f"no sample of the sweep is in {which}: the diagram cannot show {pronoun}; {cure}")


def give(found: Iterable[StatisticsWarning]) -> None:
    """Give warnings at the line outside of arlattice that asked for the number."""
    for warning in found:
        warnings.warn(warning, stacklevel=_level())


def silenced() -> bool:
    """Whether `quiet` is in force."""
    return _quiet.get()


@contextmanager
def quiet() -> Iterator[None]:
    """Estimates made inside give no `StatisticsWarning`: the code around them says what there is to say."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _level() -> int:
    """Of `warnings.warn` in `give`: the first frame that is not ours."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "arlattice":
        frame, level = frame.f_back, level + 1
    return level
