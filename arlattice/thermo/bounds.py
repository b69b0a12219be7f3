"""Two-sided bounds of log Z, and a warning where a model has lost a mode.

With w = f / q over model samples (q) and over Monte Carlo samples (p):

    ELBO = E_q[log w]  <=  log Z  <=  EUBO = E_p[log w]

    q-ESS = E_q[w]^2 / E_q[w^2]      p-ESS = 1 / (E_p[w] E_p[1 / w])

The two ESS are the same number, Z^2 / E_q[w^2], but a mode that q misses shows in the second only, and so does a share of
Monte Carlo samples with weights above nearly all of the model's that these do not predict. Where orders are drawn, q is
that of (x, order) given the order, and each Monte Carlo sample is weighed in an order drawn as the model would.
Sources: R. B. Grosse, S. Ancha, D. M. Roy, "Measuring the reliability of MCMC inference with bidirectional Monte Carlo",
NeurIPS 2016; K. A. Nicoli et al., Phys. Rev. D 108, 114501 (2023), for modes and both ESS. Not done: modes that the
Monte Carlo samples miss as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from arlattice.arguments import of_type
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.models.base import Model
from arlattice.montecarlo.autocorrelation import mean_error, number_of_chains
from arlattice.montecarlo.chains import sample_replicas
from arlattice.random_numbers import known_seed
from arlattice.reliability import LostModeWarning, give, quiet
from arlattice.samples import SampleSet
from arlattice.thermo.mbar import check_pool

__all__ = ["Bracket", "LostModeWarning", "bracket", "check_modes", "p_ess", "q_ess"]

_SIGMA = 4.0  # of a disagreement that counts
_RATIO = 0.5  # of p-ESS to q-ESS, too: the errors of both are too small where weights have long tails
_TOP = 20  # model samples that make up the tail
_ROUNDING = 1e-3  # of log q between drawing and weighing, in nats


@dataclass(frozen=True)
class Bracket:
    """What model and Monte Carlo samples say together.

    Attributes:
        lower: the ELBO.
        upper: the EUBO; infinite where the model gives a Monte Carlo sample probability zero.
        q_ess: from model samples, a fraction.
        p_ess: from Monte Carlo samples, a fraction.
        q_tail: probability under p of weights above all but the highest model weights, by model samples.
        p_tail: the same by Monte Carlo samples.
        lost_mode: whether p_tail is above q_tail, or p_ess below q_ess and below half of it, by more than 4 of their combined
            errors.
        seed: of the orders in which the Monte Carlo samples were weighed.
    """

    lower: Estimate
    upper: Estimate
    q_ess: Estimate
    p_ess: Estimate
    q_tail: Estimate
    p_tail: Estimate
    lost_mode: bool
    seed: int


def bracket(model_samples: SampleSet, monte_carlo_samples: SampleSet, model: Model, *, seed: int | None = None) -> Bracket:
    """Bounds of log Z and both ESS, with a `LostModeWarning` where they disagree.

    Args:
        model_samples: drawn by ``model``.
        monte_carlo_samples: in equilibrium, of the same state, one whole run.
        model: weighs the Monte Carlo samples.
        seed: of the orders in which it does; None takes a fresh one, kept as ``Bracket.seed``.

    Raises:
        InputError: sets of different states, Hamiltonians or lattices, or of the wrong kind.
    """
    _check(model_samples, monte_carlo_samples, model)
    order, seed = str(model_samples.metadata["order_kind"]), known_seed(seed)
    log_q = model.log_prob(monte_carlo_samples.occupations, monte_carlo_samples.state, order, seed=seed)
    q, p = model_samples.log_weight, monte_carlo_samples.log_f - log_q
    chains = number_of_chains(monte_carlo_samples)
    ess = q_ess(q), p_ess(p, chains)
    tails = _tails(model_samples, p, chains)
    lost = (_beyond(*ess) and ess[1].value < _RATIO * ess[0].value) or _beyond(tails[1], tails[0])
    found = Bracket(model_samples.elbo(), _mean(p, chains), *ess, *tails, lost, seed)
    if lost:
        give([LostModeWarning(_words(found))])
    return found


def check_modes(
    model: Model,
    state: Ensemble,
    *,
    n: int = 1000,
    hottest: float | None = None,
    rungs: int = 8,
    chains: int = 32,
    sweeps: int = 100,
    seed: int | None = None,
) -> Bracket:
    """`bracket` of one state, with both kinds of samples drawn here: does the model miss a mode?

    The Monte Carlo is replica exchange over a ladder of temperatures, from random configurations, so that chains which freeze at
    ``state`` are renewed from above. It sees the modes that are reached from there.

    Args:
        model: to be checked.
        state: where.
        n: samples of the model.
        hottest: top of the ladder; None takes the top of the model's trained range, or four times the temperature.
        rungs: temperatures of the ladder, evenly in log T.
        chains: copies of the ladder.
        sweeps: kept, one configuration every 5; as many again are left out before.
        seed: of everything; None takes a fresh one, kept as ``Bracket.seed``.

    Raises:
        InputError: numbers out of range.

    Warns:
        LostModeWarning: the Monte Carlo samples are where the model's are not.
    """
    seed = known_seed(seed)
    ladder = _ladder(state, _top(model, state) if hottest is None else hottest, rungs)
    chained = sample_replicas(model.hamiltonian, ladder, chains=chains, sweeps=sweeps, burn_in=sweeps, thin=5, seed=seed ^ 1)
    return bracket(model.sample(n, state, seed=seed), chained[0], model, seed=seed)


def _top(model: Model, state: Ensemble) -> float:
    """The top of the trained range; four times the temperature where that is not known or not above."""
    top = 0.0 if model.trained_range is None else model.trained_range.temperature[1]
    return top if top > state.temperature else 4 * state.temperature


def _ladder(state: Ensemble, top: float, rungs: int) -> list[Ensemble]:
    """The state and hotter ones, evenly in log T."""
    if not isinstance(rungs, int) or rungs < 2:
        raise InputError("rungs", rungs, "give a whole number >= 2")
    if not state.temperature < top < math.inf:
        raise InputError("hottest", top, f"must be above the temperature of the state, {state.temperature:g}")
    step = (top / state.temperature) ** (1 / (rungs - 1))
    hotter = [{**state.to_dict(), "temperature": state.temperature * step**k} for k in range(1, rungs)]
    return [state, *map(Ensemble.from_dict, hotter)]


def _words(found: Bracket) -> str:
    return (
        f"the model may have lost a mode: q-ESS {found.q_ess:.3f}, p-ESS {found.p_ess:.3f}; {found.p_tail.value:.2%} of the Monte Carlo "
        f"samples have weights above nearly all of the model's, which predict {found.q_tail.value:.2%}"
    )


def _mean(values: Tensor, chains: int) -> Estimate:
    if not bool(values.isfinite().all()):
        return Estimate(math.inf, math.inf)
    return Estimate(float(values.mean()), float(mean_error(values, chains)))


def q_ess(log_w: Tensor) -> Estimate:
    """The q-ESS, by the delta method on E[w]^2 / E[w^2].

    Args:
        log_w: log f - log q of independent samples of the model (samples,), in nats.
    """
    w = (log_w - log_w.max()).exp()
    first, second = w / w.mean(), w.square() / w.square().mean()
    ess = float(w.mean().square() / w.square().mean())
    return Estimate(ess, ess * float(mean_error(2 * first - second)))


def p_ess(log_w: Tensor, chains: int) -> Estimate:
    """The p-ESS, by the delta method on 1 / (E[w] E[1 / w]); 0 where the model has no chance to draw a sample.

    Args:
        log_w: log f - log q of Monte Carlo samples in equilibrium (samples,), in nats, all chains of the first draw first.
        chains: number of chains.
    """
    if not bool(log_w.isfinite().all()):
        return Estimate(0.0, 0.0)
    n = math.log(len(log_w))
    up, down = log_w.logsumexp(0) - n, (-log_w).logsumexp(0) - n
    ess = float((-up - down).exp())
    return Estimate(ess, ess * float(mean_error((log_w - up).exp() + (-log_w - down).exp(), chains)))


def _tails(samples: SampleSet, log_w: Tensor, chains: int) -> tuple[Estimate, Estimate]:
    """Probability under p of weights above those of all but the highest model samples, by either kind of samples."""
    q = samples.log_weight
    threshold = q.topk(min(_TOP, len(q))).values[-1] + _ROUNDING
    with quiet():  # what this finds is the warning
        by_model = samples.mean((q > threshold).double())
    return by_model, _mean((log_w > threshold).double(), chains)


def _beyond(high: Estimate, low: Estimate) -> bool:
    return high.value - low.value > _SIGMA * math.hypot(high.error, low.error)


def _check(model_samples: SampleSet, monte_carlo_samples: SampleSet, model: Model) -> None:
    of_type("model_samples", model_samples, SampleSet, "give a SampleSet")
    of_type("monte_carlo_samples", monte_carlo_samples, SampleSet, "give a SampleSet")
    of_type("model", model, Model, "give the Model that drew the samples")
    if model_samples.log_prob is None:
        raise InputError("model_samples", model_samples, "give samples that a model drew")
    if monte_carlo_samples.log_prob is not None:
        raise InputError("monte_carlo_samples", monte_carlo_samples, "give samples without log_prob, of Monte Carlo")
    if model_samples.state != monte_carlo_samples.state:
        raise InputError("monte_carlo_samples", monte_carlo_samples.state, f"give samples of {model_samples.state}")
    check_pool((model_samples, monte_carlo_samples), model)
