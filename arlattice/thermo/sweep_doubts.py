"""What a sweep says of the states that are not to be trusted: one warning a reason, for all states together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arlattice.reliability import EVEN_ESS, MAX_KHAT, HeavyTailWarning, LowEssWarning, OutOfRangeWarning, StatisticsWarning
from arlattice.thermo.sweep_grid import Grid
from arlattice.thermo.sweep_state import Result

if TYPE_CHECKING:
    from arlattice.ensemble import SemiGrandCanonical
    from arlattice.models.base import Model

__all__ = ["doubts", "heavy", "outside_of", "too_few"]


def too_few(result: Result, min_ess: float) -> bool:
    """Whether a state has fewer effective samples than asked for."""
    return result.effective < min_ess * (1 - 1e-9)


def heavy(result: Result) -> bool:
    """Whether few samples carry the averages of a state; as `arlattice.reliability.heavy_tail`."""
    return result.khat > MAX_KHAT and result.ess < EVEN_ESS


def outside_of(model: Model, grid: Grid) -> list[str | None]:
    """In words, what of every state lies outside the trained range; None inside, or where the range is not known."""
    return [model.outside(state) for state in grid.states()]


def doubts(model: Model, grid: Grid, results: Sequence[Result], min_ess: float) -> list[StatisticsWarning]:
    """The warnings of a sweep, each with the number of states it is about, the worst of them, and the cure."""
    states, found = grid.states(), list[StatisticsWarning]()
    few = [k for k, r in enumerate(results) if too_few(r, min_ess)]
    if few:
        worst = min(few, key=lambda k: results[k].effective)
        what = f"{len(few)} of {len(states)} states have fewer than {min_ess:g} effective samples"
        lowest = f"the fewest, {results[worst].effective:.3g}, at {_name(states[worst])}"
        found.append(LowEssWarning(f"{what} ({lowest}): they are flagged; draw more (n, or target_error with max_samples)"))
    tails = [k for k, r in enumerate(results) if heavy(r)]
    if tails:
        worst = max(tails, key=lambda k: results[k].khat)
        what = f"{len(tails)} of {len(states)} states have weights with k-hat above {MAX_KHAT:g}"
        highest = f"the highest, {results[worst].khat:.2f}, at {_name(states[worst])}"
        found.append(HeavyTailWarning(f"{what} ({highest}): they are flagged, their error bars are too small; train longer for them"))
    reasons = [(k, reason) for k, reason in enumerate(outside_of(model, grid)) if reason is not None]
    if reasons:
        first, reason = reasons[0]
        what = f"{len(reasons)} of {len(states)} states were not trained for (at {_name(states[first])} {reason})"
        found.append(OutOfRangeWarning(f"{what}: they are flagged; the ESS cannot show what the model never draws"))
    return found


def _name(state: SemiGrandCanonical) -> str:
    potentials = [f"mu_{species} = {mu:g}" for species, mu in state.chemical_potentials.items()]
    return ", ".join([f"T = {state.temperature:g}", *potentials])
