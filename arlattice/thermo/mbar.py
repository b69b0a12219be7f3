"""MBAR: log Z and averages at many states from samples of many states at once.

With n_k samples of the distribution p_k each, pooled, every state i of interest, sampled or not, has

    Z_i = sum_j f_i(x_j) / D(x_j),   D(x) = sum_k n_k p_k(x)                  (Shirts and Chodera, eq. 11)

- Samples of a model: p_k = q_k, known with its normalisation, so log Z is absolute. This is importance sampling from
  the mixture of all the q_k. Where orders are drawn, everything lives on pairs (x, order), as in `neural_metropolis`.
- Monte Carlo samples: p_k = f_k / Z_k with Z_k unknown; the equations for i = k are solved for them (pymbar). Without
  samples of a model only differences of log Z follow.

Errors: linear response of these equations to the samples, each set a stratum of its own; sets of Monte Carlo count with
their autocorrelation time. For independent Monte Carlo samples these are the errors of MBAR (Shirts and Chodera, eq. 8).
Sources: M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 124105 (2008); P. Wirnsberger et al., J. Chem. Phys. 153, 144112
(2020), for learned proposals; A. Owen and Y. Zhou, J. Am. Stat. Assoc. 95, 135 (2000), for mixtures. Not done: errors by
bootstrap; correlations between sets, which replica exchange makes. Sets that do not overlap are refused; those that hardly do,
and chains that are not equilibrated, are warned of (`arlattice.thermo.overlap`, `arlattice.thermo.equilibration`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from arlattice.arguments import items_of
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError, MissingExtraError
from arlattice.estimate import Estimate
from arlattice.independence import check_independent
from arlattice.models.base import Model
from arlattice.montecarlo.autocorrelation import mean_error, number_of_chains
from arlattice.plan import Plan
from arlattice.random_numbers import Stream, known_seed
from arlattice.samples import SampleSet, differing_options
from arlattice.thermo.equilibration import describe, warn_unequilibrated
from arlattice.thermo.overlap import check_overlap

__all__ = ["Multistate", "check_pool", "mbar"]


@dataclass(frozen=True, eq=False)
class Multistate:
    """What pooled samples say about several states.

    Attributes:
        sets: the pooled samples; n in all.
        states: the states, those of the sets first.
        weights: of every pooled sample at every state, each row sums to 1, (states, n).
        log_z: log of the partition sum of the whole supercell at every state. Relative to the first state, or to what was
            given as ``reference``, where no set came from a model.
        seed: of the orders in which Monte Carlo samples were weighed.
    """

    sets: tuple[SampleSet, ...]
    states: tuple[Ensemble, ...]
    weights: Tensor
    log_z: tuple[Estimate, ...]
    seed: int
    _log_z_response: Tensor  # of every log Z to one sample more or less, (states, n)
    _parameter_response: Tensor  # the same of the unknown log Z_k of Monte Carlo sets, (unknown, n)
    _sampled: Tensor  # n_k p_k / D of these, (unknown, n)

    @property
    def ess(self) -> tuple[float, ...]:
        """Effective number of samples at every state, as a fraction of n; correlations are not seen."""
        return tuple((1 / (self.weights.shape[1] * self.weights.square().sum(1))).tolist())

    def mean(self, observable: str | Callable[[SampleSet], Tensor]) -> tuple[Estimate, ...]:
        """Equilibrium average at every state.

        Args:
            observable: as in `SampleSet.per_sample`.

        Raises:
            InputError: as there; and an observable that depends on the state of its samples.
        """
        values = torch.cat([_of_any_state(s, self.states, observable) for s in self.sets])
        warn_unequilibrated(self.sets, observable)
        means = self.weights @ values
        excess = self.weights * (values - means[:, None])
        response = excess + excess @ self._sampled.T @ self._parameter_response
        return _estimates(means, response, self.sets)

    def difference(self, first: int, second: int) -> Estimate:
        """log Z of state number ``second`` minus that of ``first``, with the error of the difference."""
        change = self.log_z[second].value - self.log_z[first].value
        response = self._log_z_response[second] - self._log_z_response[first]
        return _estimates(torch.tensor([change], dtype=torch.float64), response[None], self.sets)[0]


def mbar(
    sample_sets: Sequence[SampleSet],
    states: Sequence[Ensemble] = (),
    *,
    model: Model | None = None,
    reference: tuple[Ensemble, float] | None = None,
    seed: int | None = None,
) -> Multistate:
    """Pool samples of several states.

    Args:
        sample_sets: of one lattice and Hamiltonian; from one model, from Monte Carlo (each set one whole run),
            or both.
        states: further states to look at.
        model: what drew the sets that have ``log_prob``; not needed if there is one set only.
        reference: where all sets are Monte Carlo, a state and its log Z, known from elsewhere and taken as exact.
        seed: of the orders in which Monte Carlo samples are weighed; None takes a fresh one, kept as ``Multistate.seed``.

    Raises:
        InputError: sets that do not belong together or share random numbers, samples of inpainting, a missing or another model, a reference
            that is not needed, or states that do not overlap.
        MissingExtraError: pymbar or arviz-stats, which sets of Monte Carlo need.

    Warns:
        PoorOverlapWarning: neighbouring states share few configurations; it says which.
        UnequilibratedWarning: Monte Carlo chains disagree, or are short for their autocorrelation time; it says which.
    """
    sets = tuple(items_of("sample_sets", sample_sets, SampleSet, "give a list of SampleSets"))
    states = items_of("states", states, Ensemble, "give a list of states")
    if reference is not None and not (isinstance(reference, tuple) and len(reference) == 2 and isinstance(reference[0], Ensemble)):
        raise InputError("reference", reference, "give a state and its log Z")
    check_pool(sets, model)
    seed = known_seed(seed)
    absolute = any(s.log_prob is not None for s in sets)
    if absolute and reference:
        raise InputError("reference", reference, "not needed: samples of a model give log Z itself")
    log_p, counts = _distributions(sets, model, seed)
    log_parts = log_p - _sampled_log_z(log_p, counts)[:, None] + counts.log()[:, None]  # log n_k p_k
    log_d = log_parts.logsumexp(0)
    _check(sets, (log_parts - log_d - counts.log()[:, None]).exp(), counts)
    wanted = tuple(dict.fromkeys([*(s.state for s in sets), *([reference[0]] if reference else []), *states]))
    log_terms = torch.stack([_log_f(sets, state) for state in wanted]) - log_d
    log_z = log_terms.logsumexp(1)
    if not bool(log_z.isfinite().all()):
        raise InputError("states", wanted[int((~log_z.isfinite()).nonzero()[0])], "no sample has this composition")
    weights = (log_terms - log_z[:, None]).exp()
    sampled = (log_parts - log_d).exp()[1 if absolute else 0 :]
    parameters = _parameter_response(sampled, counts[1 if absolute else 0 :], absolute)
    response = weights + weights @ sampled.T @ parameters
    if not absolute:
        state, value = reference or (wanted[0], 0.0)
        origin = wanted.index(state)
        log_z, response = log_z - log_z[origin] + value, response - response[origin]
    return Multistate(sets, wanted, weights, _estimates(log_z, response, sets), seed, response, parameters, sampled)


def _of_any_state(samples: SampleSet, states: Sequence[Ensemble], observable: str | Callable[[SampleSet], Tensor]) -> Tensor:
    """One value a sample, (n,), that must not change with the state the sample is said to be of."""
    values = samples.per_sample(observable)
    for state in states:
        if not torch.allclose(replace(samples.select([0]), state=state).per_sample(observable), values[:1], equal_nan=True):
            raise InputError("observable", observable, "depends on the state; average something that does not, such as energy and x")
    return values


def _log_f(sets: Sequence[SampleSet], state: Ensemble) -> Tensor:
    """log f of a state at every pooled sample, (n,)."""
    return torch.cat([state.log_f(s.lattice, s.units, s.energy, s.occupations) for s in sets])


def _distributions(sets: Sequence[SampleSet], model: Model | None, seed: int) -> tuple[Tensor, Tensor]:
    """log p_k up to a constant at every pooled sample (distributions, n), and the n_k.

    The mixture of what the model drew comes first, normalised; then every set of Monte Carlo.
    """
    drawn = [s for s in sets if s.log_prob is not None]
    rows = [(_log_f(sets, s.state), len(s)) for s in sets if s.log_prob is None]
    if drawn:
        total, plans = sum(map(len, drawn)), _plans(sets, drawn[0], model, seed)
        mixture = torch.stack([_log_q(s, sets, plans, model) + math.log(len(s) / total) for s in drawn]).logsumexp(0)
        rows = [(mixture, total), *rows]
    return torch.stack([log_p for log_p, _ in rows]), torch.tensor([n for _, n in rows], dtype=torch.float64)


def _plans(sets: Sequence[SampleSet], drawn: SampleSet, model: Model | None, seed: int) -> list[Plan | None]:
    """The plans of every set; those of Monte Carlo sets are drawn as the model would."""
    if model is None:
        return [s.plan for s in sets]
    stream, kind = Stream(seed, "mbar"), str(drawn.metadata["order_kind"])
    return [s.plan if s.log_prob is not None else model.resolve_plan(len(s), kind, stream) for s in sets]


def _log_q(source: SampleSet, sets: Sequence[SampleSet], plans: Sequence[Plan | None], model: Model | None) -> Tensor:
    """log q of the state of ``source`` at every pooled sample, (n,)."""
    parts = []
    for s, plan in zip(sets, plans, strict=True):
        own = s.log_prob if s is source or model is None else model.log_prob(s.occupations, source.state, plan=plan)
        parts.append(torch.zeros(len(s)) if own is None else own)
    return torch.cat(parts).double()


def _sampled_log_z(log_p: Tensor, counts: Tensor) -> Tensor:
    """log of the normalisation of every sampled distribution, the first 0, (distributions,)."""
    if len(counts) == 1:
        return torch.zeros(1, dtype=torch.float64)
    with _quiet():
        try:
            from pymbar import MBAR
        except ImportError:
            raise MissingExtraError("pymbar", "thermo") from None
        newton = {"method": "adaptive", "tol": 1e-9, "options": {"min_sc_iter": 0}, "continuation": True}  # the default warns
        # without rseed it would seed NumPy's global generator
        solved = MBAR(-log_p.numpy(), counts.long().numpy(), maximum_iterations=500, solver_protocol=(newton,), rseed=0)
    return -torch.from_numpy(solved.f_k).double()


def _check(sets: Sequence[SampleSet], share: Tensor, counts: Tensor) -> None:
    """Overlap of the sampled distributions and equilibrium of the chains; ``share`` is p_k / D, (distributions, n)."""
    chained = [s for s in sets if s.log_prob is None]
    names = ["the samples of the model"] * (len(counts) - len(chained)) + [describe(s.state) for s in chained]
    if len(counts) > 1:
        check_overlap(share, counts, names, stacklevel=4)
    warn_unequilibrated(chained, stacklevel=4)


@contextmanager
def _quiet() -> Iterator[None]:
    """pymbar logs advice when it is imported; whether it found a solution is checked here."""
    logger = logging.getLogger("pymbar")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parameter_response(sampled: Tensor, counts: Tensor, absolute: bool) -> Tensor:
    """Change of the unknown log Z_k for one sample more or less, (unknown, n); rows of ``sampled`` are n_k p_k / D."""
    share = sampled / counts[:, None]
    jacobian = torch.eye(len(counts), dtype=torch.float64) - share @ sampled.T
    if not absolute:  # a common shift of all log Z_k solves the equations too: hold their mean
        jacobian = jacobian + counts / counts.sum()
    return torch.linalg.solve(jacobian, share)


def _estimates(values: Tensor, response: Tensor, sets: Sequence[SampleSet]) -> tuple[Estimate, ...]:
    """Errors from the responses (values, n): those of the sets add up, since the sets are independent."""
    parts = zip(response.split([len(s) for s in sets], 1), sets, strict=True)
    errors = torch.stack([mean_error(part.T, _chains(s)) * len(s) for part, s in parts]).square().sum(0).sqrt()
    return tuple(Estimate(v, e) for v, e in zip(values.tolist(), errors.tolist(), strict=True))


def _chains(samples: SampleSet) -> int:
    return 1 if samples.log_prob is not None else number_of_chains(samples)


def check_pool(sets: Sequence[SampleSet], model: Model | None) -> None:
    """Check that sets belong together, and that ``model`` drew those with ``log_prob``; `mbar` says what is refused."""
    if not sets:
        raise InputError("sample_sets", sets, "give at least one SampleSet")
    for name, facts in (("lattice", [s.lattice.fingerprint for s in sets]), ("units", [s.units for s in sets]), *_origins(sets)):
        if len(set(facts)) > 1:
            cure = "pool samples of one lattice, Hamiltonian and model"
            raise InputError("sample_sets", f"{name} differs{differing_options(sets)}", cure)
    check_independent(sets, "sample_sets")
    if any(s.known is not None for s in sets):
        raise InputError("sample_sets", "known sites", "pool samples of whole configurations")
    drawn = [s for s in sets if s.log_prob is not None]
    if drawn and len(sets) > 1:
        _check_model(model, drawn[0])


def _origins(sets: Sequence[SampleSet]) -> list[tuple[str, list[Any]]]:
    drawn = [s for s in sets if s.log_prob is not None]
    of = {"hamiltonian_fingerprint": sets, "model_fingerprint": drawn, "order_kind": drawn}
    return [(name, [s.metadata[name] for s in those if name in s.metadata]) for name, those in of.items()]


def _check_model(model: Model | None, drawn: SampleSet) -> None:
    if model is None:
        raise InputError("model", None, "give the model that drew the samples: each of its states weighs the samples of all sets")
    if drawn.metadata.get("model_fingerprint", model.fingerprint) != model.fingerprint:
        raise InputError("model", model.fingerprint, f"the samples are of model {drawn.metadata['model_fingerprint']}")
    if drawn.metadata.get("order_kind") not in model.orders:
        raise InputError("sample_sets", f"order_kind {drawn.metadata.get('order_kind')}", f"draw in one of {', '.join(model.orders)}")
