"""What a run ends with: how good the model is in the states that are looked at, where it is worst, and what to do next.

q-ESS comes from the model's own samples, p-ESS from Monte Carlo chains that were never trained on: replica exchange from random
configurations with random numbers of their own (`arlattice.thermo.bounds.check_modes`). A phase that the model misses shows in the
second only.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arlattice.ensemble import Ensemble
from arlattice.estimate import Estimate
from arlattice.hamiltonians import Hamiltonian
from arlattice.models.base import Model
from arlattice.random_numbers import Stream
from arlattice.reliability import LostModeWarning, quiet
from arlattice.training.evaluation import evaluated_states
from arlattice.training.pure_ends import Crossing, crossings
from arlattice.training.soft_targets import is_black_box
from arlattice.training.states import States

__all__ = ["Examined", "Report", "examine", "how_it_ended", "report_of"]

_SWEEPS = 400
_SIGMA, _GAP = 4.0, 0.1  # of a disagreement that is told
_WORST = 3  # states that are named
_GOOD, _USABLE = 0.5, 0.05


@dataclass(frozen=True)
class Examined:
    """A model in one state.

    Attributes:
        state: where.
        q_ess: of the model's own samples, a fraction.
        p_ess: of independent Monte Carlo samples; None where energies are those of a black box, which would take too long.
        lost_mode: see `arlattice.thermo.bounds.Bracket`.
    """

    state: Ensemble
    q_ess: Estimate
    p_ess: Estimate | None
    lost_mode: bool = False

    @property
    def disagree(self) -> bool:
        """Whether the two ESS differ by more than their errors and a tenth, or a mode is lost."""
        if self.p_ess is None:
            return False
        difference = abs(self.q_ess.value - self.p_ess.value)
        return self.lost_mode or difference > max(_GAP, _SIGMA * math.hypot(self.q_ess.error, self.p_ess.error))

    @property
    def worst(self) -> float:
        """The lower of the two ESS."""
        return self.q_ess.value if self.p_ess is None else min(self.q_ess.value, self.p_ess.value)

    def __str__(self) -> str:
        p = "" if self.p_ess is None else f", p-ESS {self.p_ess.value:.2f}"
        return f"{_words(self.state)}: q-ESS {self.q_ess.value:.2f}{p}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        p = None if self.p_ess is None else self.p_ess.value
        return {"state": self.state.to_dict(), "q_ess": self.q_ess.value, "p_ess": p, "disagree": self.disagree}


def _words(state: Ensemble) -> str:
    """A state without the names of classes."""
    plain = state.to_dict()
    fixed = [
        f"{name.replace('_', ' ')} {_plain(value)}" for name, value in plain.items() if name not in ("ensemble", "temperature") and value
    ]
    return ", ".join([f"T {state.temperature:g}", *fixed])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def examine(model: Model, states: Sequence[Ensemble], stream: Stream, n: int = 1000) -> list[Examined]:
    """Both ESS of a model in some states.

    Args:
        model: trained.
        states: where.
        stream: of the seeds, one a state.
        n: samples of the model in each.
    """
    from arlattice.thermo.bounds import check_modes  # scipy: at the end of a run, not when it is imported

    found = []
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", LostModeWarning)  # the report says it
        for state, seed in zip(states, stream.integers(2**53, 1, len(states))[0].tolist(), strict=True):
            if is_black_box(model.hamiltonian):
                samples = model.sample(n, state, seed=seed)
                found.append(Examined(state, Estimate(float(samples.ess), 0.0), None))
            else:
                modes = check_modes(model, state, n=n, sweeps=_SWEEPS, seed=seed)
                found.append(Examined(state, modes.q_ess, modes.p_ess, modes.lost_mode))
    return found


@dataclass(frozen=True)
class Report:
    """The end of a run.

    Attributes:
        states: that were looked at.
        box: what was trained on, in words.
        steps: of training.
        stopped: why the run ended, in words.
        crossings: where compositions change (`arlattice.training.pure_ends`).
    """

    states: Sequence[Examined]
    box: str
    steps: int
    stopped: str
    crossings: Sequence[Crossing]

    def __str__(self) -> str:
        by_ess = sorted(self.states, key=lambda s: s.worst)
        lines = [f"Trained on {self.box}: {self.steps} steps; {self.stopped}.", "Worst states:"]
        lines += [f"  {state}" for state in by_ess[:_WORST]]
        lines.append(f"Mean ESS of {len(by_ess)} states: {sum(s.q_ess.value for s in by_ess) / len(by_ess):.3f}.")
        lines += [f"Chemical potentials: {crossing}." for crossing in self.crossings]
        return "\n".join([*lines, f"What to do next: {self._advice(by_ess)}"])

    def _advice(self, by_ess: Sequence[Examined]) -> str:
        worst, differ = by_ess[0].worst, [s for s in by_ess if s.disagree]
        if any(c.outside for c in self.crossings):
            return "the composition hardly changes in these states; choose chemical potentials around the crossing, and train again."
        if differ:
            where = "; ".join(_words(s.state) for s in differ)
            return (
                f"the model's samples and independent Monte Carlo disagree at {where}. Do not trust estimates there: train longer "
                "(more steps), or a narrower range of states around these, and check them (arlattice sample --check-modes)."
            )
        agree = "" if by_ess[0].p_ess is None else " The model's samples and independent Monte Carlo agree in all of them."
        if worst >= _GOOD:
            return f"the model is good in its whole range: draw from it.{agree}"
        if worst >= _USABLE:
            more = f"draw about {math.ceil(1 / worst)} times as many samples in the worst states, or train longer (more steps)"
            return f"{more}, or start from this model in a narrower range (start=).{agree}"
        return f"few samples count in the worst states: train longer (more steps), or a narrower range of temperatures above them.{agree}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the record of the model."""
        return {"states": [s.to_dict() for s in self.states], "stopped": self.stopped, "text": str(self)}


def how_it_ended(complete: bool) -> str:
    """Of a run that did not stop by itself."""
    return "all steps were done" if complete else "the time limit was reached"


def report_of(model: Model, states: States, stream: Stream, steps: int, stopped: str) -> Report:
    """Examine a trained model in the states that the run evaluated."""
    looked_at, corners = evaluated_states(states), states.corners()
    box = _box(corners, model.hamiltonian)
    return Report(examine(model, looked_at, stream), box, steps, stopped, crossings(model.hamiltonian, corners))


def _box(corners: Sequence[Ensemble], hamiltonian: Hamiltonian) -> str:
    """From the lowest to the highest corner, in words."""
    temperatures = [state.temperature for state in corners]
    unit = "" if hamiltonian.units == "reduced" else " K"
    potentials = zip(hamiltonian.species, zip(*(s.mu_vector(hamiltonian.lattice) for s in corners), strict=True), strict=True)
    spans = [f"mu({s}) {min(mu):g} to {max(mu):g}" for s, mu in potentials if any(mu)]
    return ", ".join([f"{hamiltonian.lattice.n_sites} sites", f"T {min(temperatures):g} to {max(temperatures):g}{unit}", *spans])
