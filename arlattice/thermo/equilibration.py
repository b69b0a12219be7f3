"""Whether Monte Carlo chains are in equilibrium, and long enough to tell: said where a number rests on them.

Chains that stay where they started make averages and errors that mean nothing: the error bar of a stuck chain is small. Two
signs, of `arlattice.montecarlo.diagnose`:

- R-hat above 1.1, and above what short chains of independent draws reach by chance once in 10,000 runs: the chains, or the
  parts of one, have not seen the same thing (1.1 is Gelman and Rubin's limit; for error bars to rely on, look at `diagnose`
  and ask for 1.01);
- fewer than 100 effective samples, by the autocorrelation time: their error bar is itself a guess.

Sources: those of `arlattice.montecarlo.diagnostics`. Not done: a mode that no chain has entered is not seen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from arlattice.ensemble import Ensemble
from arlattice.montecarlo.autocorrelation import number_of_chains
from arlattice.montecarlo.diagnostics import LEAST_DRAWS, diagnose
from arlattice.samples import Observable, SampleSet

__all__ = ["FALSE_ALARM", "HIGHEST_R_HAT", "LEAST_EFFECTIVE", "UnequilibratedWarning", "describe", "warn_unequilibrated"]

HIGHEST_R_HAT = 1.1
LEAST_EFFECTIVE = 100
FALSE_ALARM = 1e-4

_CURE = "run longer, with more burn_in, another move, or replica exchange (sample_replicas)"


class UnequilibratedWarning(UserWarning):
    """Monte Carlo chains disagree, or are too short to tell; averages and errors from them may be wrong by many errors."""


def warn_unequilibrated(sets: Sequence[SampleSet], observable: Observable = "energy_minus_mu_n", stacklevel: int = 3) -> None:
    """Warn, once for all sets, if some of those that are Monte Carlo show one of the signs.

    Args:
        sets: whole runs; those with ``log_prob`` are passed over.
        observable: what to look at, as in `SampleSet.per_sample`.
        stacklevel: of the warning.

    Raises:
        MissingExtraError: arviz-stats is not installed.
    """
    found = [(s, _signs(s, observable)) for s in sets if s.log_prob is None]
    signs = [f"{describe(s.state)}: {sign}" for s, sign in found if sign]
    if signs:
        name = observable if isinstance(observable, str) else "the observable"
        text = f"chains are not equilibrated, or too short to tell, by {name}: {'; '.join(signs)}; {_CURE}"
        warnings.warn(text, UnequilibratedWarning, stacklevel=stacklevel)


def describe(state: Ensemble) -> str:
    """A state in a few words, for messages."""
    facts = [(key, value) for key, value in state.to_dict().items() if key != "ensemble" and value != {}]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts)


def _signs(samples: SampleSet, observable: Observable) -> str:
    """What is wrong with one set, or nothing."""
    chains = number_of_chains(samples)
    if len(samples) // chains < LEAST_DRAWS:
        return f"{len(samples) // chains} draws a chain are too few to tell" if "chains" in samples.metadata else ""
    found = diagnose(samples, {"it": observable})["it"]
    if found.r_hat > max(HIGHEST_R_HAT, _by_chance(chains, len(samples) // chains)):
        return f"R-hat {found.r_hat:.2f} over {chains} chains"
    thin = int(samples.metadata.get("thin", 1))
    effective = len(samples) * thin / (2 * found.autocorrelation_time)
    if "chains" in samples.metadata and effective < LEAST_EFFECTIVE:
        return f"{effective:.0f} effective samples, autocorrelation time {found.autocorrelation_time:.3g} sweeps"
    return ""


def _by_chance(chains: int, draws: int) -> float:
    """R-hat that independent draws exceed once in 1 / `FALSE_ALARM` runs.

    The means of m parts of n draws vary by chi^2_(m-1) / (m - 1) of 1 / n, and R-hat^2 is about 1 plus that.
    """
    from scipy.stats import chi2

    parts = 2 * max(chains, 2)  # R-hat halves every chain, and one chain is cut in two before
    n = draws * chains / parts
    return math.sqrt(1 + float(chi2.isf(FALSE_ALARM, parts - 1)) / (parts - 1) / n)
