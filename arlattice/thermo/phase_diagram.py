"""Phase diagrams of finite supercells: two phases coexist where they have equal weight.

An observable puts every sample into one phase. With P_a the share of phase a, Z_a = P_a Z is its restricted partition
sum and phi_a = -kT log Z_a / sites its grand potential, so that phi_a = phi_b where P_a = P_b. Along Delta mu

    d log(P_b / P_a) / d Delta mu = beta sites (x_b - x_a),

nearly a constant: the log ratio is interpolated linearly between the states of a sweep. Compositions of the phases at that
point are the ends of the tie line.

Errors: a sample that is in one phase is not in the other, so the shares of a state are anticorrelated, as those of a multinomial:

    var log(P_b / P_a) = e_a^2 + e_b^2 - 2 r e_a e_b,   e = error of P / P,   r^2 = P_a P_b / ((1 - P_a)(1 - P_b)),   r < 0.

With two phases r = -1 and this is exact, whatever the weights of the samples; with more it holds where weights do not depend on the
phase. The error of a composition on the tie line holds that of its own two values and that of where the line lies between them.

Source: C. Borgs and R. Kotecky, J. Stat. Phys. 61, 79 (1990): at first-order transitions the equal-weight rule is off by an
amount that falls exponentially with the size. Where phases pass into one another continuously the point says only where
samples are as near to one ideal phase as to the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.reliability import MIN_IN_PHASE, LowEssWarning, give, missing_phase

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["Coexistence", "Invariant", "coexistences", "invariants", "missing_phases"]

SHARES, COMPOSITIONS = "fcc_phase", "fcc_phase_x"
"""Variables of a sweep: share of every phase, and composition within it."""

GRID = ("temperature", "delta_mu")


@dataclass(frozen=True)
class Coexistence:
    """Two phases of equal weight at one temperature.

    Attributes:
        temperature: K (J/k in reduced units).
        delta_mu: chemical potential difference of the transition, energy units of the sweep.
        phases: that of lower Delta mu first.
        x: composition of each.
        effective: effective samples of each phase, in that of the two states around the transition where it has fewer.
    """

    temperature: float
    delta_mu: Estimate
    phases: tuple[str, str]
    x: tuple[Estimate, Estimate]
    effective: tuple[float, float] = (math.inf, math.inf)

    @property
    def few(self) -> bool:
        """Whether a phase has too few effective samples beside the transition to place it well."""
        return min(self.effective) < MIN_IN_PHASE


@dataclass(frozen=True)
class Invariant:
    """A point where the sequence of phases along Delta mu changes.

    Attributes:
        kind: ``"congruent maximum"`` or ``"congruent minimum"`` of a phase within another, or the three-phase
            ``"eutectoid"`` (on heating a phase appears between two others) or ``"peritectoid"`` (it disappears).
        phase: the one that appears or disappears.
        temperature: middle of the two temperatures of the sweep, error half their distance.
        delta_mu, x: of that phase, at the temperature where it still is.
    """

    kind: str
    phase: str
    temperature: Estimate
    delta_mu: float
    x: float


def coexistences(sweep: Dataset, shares: str = SHARES, compositions: str = COMPOSITIONS) -> list[Coexistence]:
    """Every change of the leading phase along Delta mu, by temperature and then Delta mu.

    Args:
        sweep: from `arlattice.sweep`, with dimensions temperature, delta_mu and phase on both variables. A phase that no
            sample of a state is in counts as half an effective sample (``ess`` times ``samples``) there, give or take as much.
        shares: variable of the share of samples in each phase, with ``SHARES_error``.
        compositions: variable of the composition within each phase; may be NaN where a phase has no samples.

    A `LowEssWarning` says where a phase has fewer than 10 effective samples in a state beside a transition; a
    `MissingPhaseWarning` names the phases that no sample of the sweep is in (`missing_phases`), whether or not they should be there.

    Raises:
        InputError: a variable or dimension that the sweep does not have, or fewer than two values of Delta mu.
    """
    if not hasattr(sweep, "data_vars"):
        raise InputError("sweep", sweep, "give the dataset of arlattice.sweep")
    share, error, x, x_error = (_values(sweep, name) for name in (shares, f"{shares}_error", compositions, f"{compositions}_error"))
    samples = (_values(sweep, "ess", GRID) * _values(sweep, "samples", GRID))[..., None]
    effective, floor = share * samples, 0.5 / samples  # a phase not seen may still be there
    share, error = np.maximum(share, floor), np.maximum(error, floor)
    temperatures, delta_mu = (sweep[name].values.astype(float) for name in ("temperature", "delta_mu"))
    if len(delta_mu) < 2:
        raise InputError("delta_mu", delta_mu.tolist(), "a phase diagram needs at least two values")
    names = [str(name) for name in sweep["phase"].values]
    found = []
    for t, temperature in enumerate(temperatures):
        leading = share[t].argmax(-1)
        for j in np.flatnonzero(leading[1:] != leading[:-1]):
            pair, where = [int(leading[j]), int(leading[j + 1])], slice(j, j + 2)
            weight, point = _crossing(share[t, where][:, pair], error[t, where][:, pair], delta_mu[where])
            moved = point.error / (delta_mu[j + 1] - delta_mu[j])
            ends = tuple(_between(x[t, where, p], x_error[t, where, p], weight, moved) for p in pair)
            fewest = tuple(effective[t, where][:, pair].min(0).tolist())
            found.append(Coexistence(float(temperature), point, (names[pair[0]], names[pair[1]]), ends, fewest))  # type: ignore[arg-type]
    _warn(found)
    if missing := missing_phases(sweep, shares):
        give([missing_phase(missing)])
    return found


def missing_phases(sweep: Dataset, shares: str = SHARES) -> list[str]:
    """Names of the phases that no sample of any state of the sweep is in: a diagram of it cannot show them.

    Args:
        sweep, shares: as in `coexistences`.
    """
    seen = (_values(sweep, shares) > 0).any((0, 1))
    return [str(name) for name in sweep["phase"].values[~seen]]


def _warn(found: Sequence[Coexistence]) -> None:
    few = [c for c in found if c.few]
    if few:
        worst = min(few, key=lambda c: min(c.effective))
        phase = worst.phases[int(np.argmin(worst.effective))]
        what = f"beside {len(few)} of {len(found)} transitions a phase has fewer than {MIN_IN_PHASE:g} effective samples"
        fewest = f"the fewest, {min(worst.effective):.2g} of {phase}, at T = {worst.temperature:g}, delta_mu = {worst.delta_mu.value:.4g}"
        give([LowEssWarning(f"{what} ({fewest}): sweep delta_mu in finer steps, or draw more")])


def _values(sweep: Dataset, name: str, wanted: tuple[str, ...] = (*GRID, "phase")) -> np.ndarray:
    if name not in sweep or set(sweep[name].dims) != set(wanted):
        origin = "sweep with --observable " + name.removesuffix("_error") if "phase" in wanted else "`arlattice sweep` writes it"
        cure = f"needs the variable {name} over {', '.join(wanted)}; {origin}"
        raise InputError("sweep", ", ".join(map(str, sweep.data_vars)), cure)
    return np.asarray(sweep[name].transpose(*wanted).values, dtype=float)


def _crossing(share: np.ndarray, error: np.ndarray, delta_mu: np.ndarray) -> tuple[float, Estimate]:
    """Where log(P_b / P_a) passes zero between two states: the weight of the second state, and Delta mu."""
    ratio = np.log(share[:, 1] / share[:, 0])
    weight = float(np.clip(-ratio[0] / (ratio[1] - ratio[0]), 0.0, 1.0))
    slope = (ratio[1] - ratio[0]) / (delta_mu[1] - delta_mu[0])
    spread = math.hypot(*(np.array([1 - weight, weight]) * _ratio_errors(share, error)))
    return weight, Estimate(float(delta_mu[0] + weight * (delta_mu[1] - delta_mu[0])), abs(float(spread / slope)))


def _ratio_errors(share: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Standard error of log(P_b / P_a) in every state, (states,), from shares and errors of both phases (states, 2)."""
    a, b = share.T
    correlation = -np.sqrt(a * b / (np.maximum(1 - a, b) * np.maximum(1 - b, a)))  # the other phases have no less than none
    first, second = (error / share).T
    return np.sqrt(first**2 + second**2 - 2 * correlation * first * second)


def _between(x: np.ndarray, error: np.ndarray, weight: float, moved: float) -> Estimate:
    """Linear between two states, ``weight`` known to ``moved``; the one that is known where the phase was not seen in the other."""
    known = np.isfinite(x)
    share = np.array([1 - weight, weight]) if known.all() else known.astype(float)
    used = share > 0
    if not used.any():
        return Estimate(math.nan, math.inf)
    each = np.where(np.isfinite(error[used]), error[used], np.inf)
    slope = x[1] - x[0] if known.all() else 0.0
    return Estimate(float(share[used] @ x[used]), math.hypot(*(share[used] * each), slope * moved))


def invariants(found: Sequence[Coexistence], temperatures: Sequence[float]) -> list[Invariant]:
    """Congruent and three-phase points, between neighbouring temperatures of the sweep.

    Args:
        found: from `coexistences`.
        temperatures: of the sweep, also those without coexistence: a maximum is found below the first of them.
    """
    at = {t: [c for c in found if c.temperature == t] for t in sorted(temperatures)}
    pairs = [_changes(low, at[low], high, at[high]) for low, high in itertools.pairwise(at)]
    return [point for point in pairs if point is not None]


def _changes(low: float, cold: list[Coexistence], high: float, hot: list[Coexistence]) -> Invariant | None:
    if not cold and not hot:
        return None
    below = _sequence(cold) or _sequence(hot)[:1]  # one phase, the same as at the ends of the other temperature
    above = _sequence(hot) or _sequence(cold)[:1]
    middle = Estimate((low + high) / 2, (high - low) / 2)
    if (going := _lost(below, above)) is not None:
        kind = "congruent maximum" if below[going - 1] == below[going + 1] else "peritectoid"
        return _invariant(kind, cold, going, middle)
    if (coming := _lost(above, below)) is not None:
        kind = "congruent minimum" if above[coming - 1] == above[coming + 1] else "eutectoid"
        return _invariant(kind, hot, coming, middle)
    return None


def _sequence(found: Sequence[Coexistence]) -> list[str]:
    """Phases along Delta mu."""
    return [found[0].phases[0], *(c.phases[1] for c in found)] if found else []


def _lost(more: list[str], fewer: list[str]) -> int | None:
    """The place of the one inner phase of ``more`` without which it is ``fewer``; equal neighbours then are one phase."""
    for i in range(1, len(more) - 1):
        rest = more[:i] + (more[i + 2 :] if more[i - 1] == more[i + 1] else more[i + 1 :])
        if rest == fewer:
            return i
    return None


def _invariant(kind: str, found: list[Coexistence], place: int, temperature: Estimate) -> Invariant:
    left, right = found[place - 1], found[place]
    delta_mu = (left.delta_mu.value + right.delta_mu.value) / 2
    x = (left.x[1].value + right.x[0].value) / 2
    return Invariant(kind, left.phases[1], temperature, delta_mu, x)
