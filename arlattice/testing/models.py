"""Check a model by enumeration: it is one normalised distribution, and sampling and inpainting draw from it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from arlattice.decoding.orders import ORDERS, draw_orders
from arlattice.decoding.weigh import next_logits
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.models.base import Model
from arlattice.models.marginal import MarginalModel
from arlattice.random_numbers import Stream
from arlattice.samples import SampleSet
from arlattice.testing.failure import ConformanceError, require, require_close
from arlattice.testing.statistics import FrequencyTest
from arlattice.thermo.exact import enumerate_configurations

__all__ = ["check_model"]

_LARGEST = 2**16  # configurations
_TOLERANCE = 1e-10
_SAMPLED = 1e-9


def check_model(model: Model, states: Sequence[Ensemble], *, n: int = 2000, seed: int = 0, false_alarm: float = 1e-6) -> None:
    """Check that a model keeps the contract of `arlattice.Model`, in float64 on the CPU, for every kind of its orders.

    In every state: the probabilities of all configurations sum to 1 within 1e-10 and are zero exactly where the
    state excludes the configuration; ``log_prob`` of samples is what ``log_prob()`` says; samples have the
    frequencies it says (chi-square); inpainting keeps the known sites and draws from the enumerated
    conditional of the same order; ``next_logits`` and ``log_marginal`` are the enumerated ones (the marginal head of a
    `MarginalModel` is trained to be, and not checked here); the same seed gives the same samples; no global random
    number is used. Of a family that draws in blocks of its own completions are checked in the same blocks, and marginals are not.

    What it sees: sums, conditionals and marginals are enumerated, to 1e-10 and 1e-9 of a probability or a log-probability, at one
    order of each kind; ``log_prob`` of samples is compared at all of them, so a fault in a share of 0.0023 of the samples (0.018 in
    orders drawn at random, of which 256 are tried) is found 99 times in 100. Frequencies are random: on the lattices of
    `small_cases`, 2,000 samples find a relative error of the probabilities of 0.21 to 0.31 (root mean square) 99 times in 100, and
    half of it seldom. `FrequencyTest` tells the number for other n, and the n for other errors.

    Args:
        model: on a lattice of at most 65,536 configurations; a copy is checked. Give it random weights
            (`randomise`): at zeros many mistakes cannot be seen.
        states: at least one.
        n: samples per state and kind of order.
        seed: of everything random.
        false_alarm: chance that a right model fails, over all chi-square tests of this call.

    Raises:
        ConformanceError: the first thing that is wrong.
    """
    if not states:
        raise InputError("states", states, "give at least one state")
    if model.lattice.allowed.sum(1).double().log2().sum() > math.log2(_LARGEST) + 1e-9:
        raise InputError("model", f"{model.lattice.n_sites} sites", f"check on a lattice of at most {_LARGEST} configurations")
    check = _Check(copy.deepcopy(model).cpu().double().eval(), n, seed, false_alarm / (2 * len(_kinds(model)) * len(states)))
    before = torch.get_rng_state()
    for state in states:
        for kind in _kinds(model):
            try:
                check.run(state, kind)
            except InputError as error:
                raise ConformanceError(f"{state}, order {kind}: what the model gives is refused: {error}") from error
    require(torch.equal(torch.get_rng_state(), before), "the model uses torch's global random numbers; draw from the noise it is given")


def _kinds(model: Model) -> list[str]:
    """Kinds of order worth checking: any order is one of the random ones, where a model has these."""
    return [kind for kind in model.orders if kind != "raster" or "random" not in model.orders]


class _Check:
    def __init__(self, model: Model, n: int, seed: int, false_alarm: float) -> None:
        self.model, self.n, self.seed, self.false_alarm = model, n, seed, false_alarm
        self.configurations = torch.cat(list(enumerate_configurations(model.lattice)))
        self.place = model.lattice.n_species ** torch.arange(model.lattice.n_sites)
        self.numbers, self.rows = (self.configurations * self.place).sum(1).sort()

    def run(self, state: Ensemble, kind: str) -> None:
        if kind not in ORDERS:
            self.run_blocks(state, kind)
            return
        where = f"{state}, order {kind}"
        stream = Stream(self.seed, "check")
        order = draw_orders(self.model.lattice, 1, kind, stream["order"])[0]
        log_q = self.model.log_prob(self.configurations, state, order)
        self.normalised(log_q, state, where)
        samples = self.model.sample(self.n, state, order=order, seed=self.seed)
        self.sampled(samples, log_q, where)
        self.recomputed(self.model.sample(min(self.n, 256), state, order=kind, seed=self.seed), state, where)
        self.seeded(samples, state, order, where)
        if self.model.lattice.n_sites > 1:
            self.inpainted(samples.occupations[0], state, order, stream, where)
            self.marginals(samples.occupations[0], state, stream, where)

    def run_blocks(self, state: Ensemble, kind: str) -> None:
        """Of a family that draws in blocks of its own: also completed around sites that are given anywhere, in the same blocks."""
        where, stream = f"{state}, plan {kind}", Stream(self.seed, "check")
        plan = self.model.resolve_plan(1, kind, stream["order"])
        log_q = self.model.log_prob(self.configurations, state, plan=plan)
        self.normalised(log_q, state, where)
        samples = self.model.sample(self.n, state, plan=plan, seed=self.seed)
        self.sampled(samples, log_q, where)
        free = self.model.sample(min(self.n, 256), state, plan=kind, seed=self.seed)
        again = self.model.log_prob(free.occupations, state, plan=free.plan)
        require_close(_log_prob(free), again, _SAMPLED, f"{where}: log_prob of samples differs from log_prob() of their plans")
        same = self.model.sample(self.n, state, plan=plan, seed=self.seed)
        require(torch.equal(same.occupations, samples.occupations), f"{where}: the same seed gives other samples")
        known = samples.occupations[0].scatter(0, stream.permutation(self.model.lattice.n_sites)[::2], -1)
        given = self.model.log_prob(self.configurations, state, plan=plan, known=known)
        require_close(given.logsumexp(0).exp(), torch.ones(()).double(), _TOLERANCE, f"{where}: completions do not sum to 1")
        self.sampled(self.model.inpaint(known, self.n, state, plan=plan, seed=self.seed), given, f"{where}: inpainting")

    def normalised(self, log_q: Tensor, state: Ensemble, where: str) -> None:
        require(log_q.dtype == torch.float64, f"{where}: log_prob() is {log_q.dtype}, expected torch.float64")
        require(not bool(log_q.isnan().any()), f"{where}: log_prob() is NaN for some configuration")
        total = log_q.logsumexp(0).exp()
        require_close(total, torch.ones_like(total), _TOLERANCE, f"{where}: the probabilities of all configurations do not sum to 1")
        h = self.model.hamiltonian
        excluded = state.log_f(h.lattice, h.units, torch.zeros(len(log_q)), self.configurations) == -torch.inf
        require(bool((log_q[excluded] == -torch.inf).all()), f"{where}: a configuration that the state excludes has probability > 0")
        require(bool((log_q[~excluded] > -torch.inf).all()), f"{where}: a configuration that the state allows has probability 0")

    def sampled(self, samples: SampleSet, log_q: Tensor, where: str) -> None:
        rows = self.find(samples.occupations)
        require_close(_log_prob(samples), log_q[rows], _SAMPLED, f"{where}: log_prob of samples differs from log_prob() of the same order")
        self.frequencies(rows, log_q.exp(), f"{where}: samples")

    def recomputed(self, samples: SampleSet, state: Ensemble, where: str) -> None:
        again = self.model.log_prob(samples.occupations, state, _order(samples))
        require_close(_log_prob(samples), again, _SAMPLED, f"{where}: log_prob of samples differs from log_prob() of their orders")

    def seeded(self, samples: SampleSet, state: Ensemble, order: Tensor, where: str) -> None:
        same = self.model.sample(self.n, state, order=order, seed=self.seed)
        require(torch.equal(same.occupations, samples.occupations), f"{where}: the same seed gives other samples")
        require(torch.equal(_log_prob(same), _log_prob(samples)), f"{where}: the same seed gives another log_prob")

    def inpainted(self, row: Tensor, state: Ensemble, order: Tensor, stream: Stream, where: str) -> None:
        where = f"{where}: inpainting"
        known = row.clone()
        known[self.hidden(order, stream)] = -1
        completed = self.model.inpaint(known, self.n, state, order=order, seed=self.seed)
        matching = self.configurations[:, known >= 0].eq(known[known >= 0]).all(1)
        joint = torch.where(matching, self.model.log_prob(self.configurations, state, _order(completed)[0]), -torch.inf)
        conditional = joint - joint.logsumexp(0)
        rows = self.find(completed.occupations)
        require(bool(matching[rows].all()), f"{where} changes known sites")
        require_close(_log_prob(completed), conditional[rows], _SAMPLED, f"{where}: log_prob differs from the enumerated conditional")
        again = self.model.log_prob(completed.occupations, state, _order(completed), known=known)
        require_close(again, conditional[rows], _SAMPLED, f"{where}: log_prob(known=) differs from the enumerated conditional")
        self.frequencies(rows, conditional.exp(), where)

    def hidden(self, order: Tensor, stream: Stream) -> Tensor:
        """Half of the sites: any in an any-order model, the last ones of a fixed order."""
        half = (len(order) + 1) // 2
        return stream.permutation(len(order))[:half] if "random" in self.model.orders else order[-half:]

    def marginals(self, row: Tensor, state: Ensemble, stream: Stream, where: str) -> None:
        known = row.clone()
        sites = torch.arange(len(row))
        known[self.hidden(sites, stream)] = -1
        order = torch.cat([sites[known >= 0], sites[known < 0]])
        matching = self.configurations[:, known >= 0].eq(known[known >= 0]).all(1)
        joint = torch.where(matching, self.model.log_prob(self.configurations, state, order), -torch.inf)
        site = int(sites[known < 0][0])
        species = range(self.model.lattice.n_species)
        placed = [torch.where(self.configurations[:, site] == s, joint, -torch.inf).logsumexp(0) for s in species]
        conditions = self.model.conditions_of(state)
        with torch.no_grad():
            logits = next_logits(self.model, known[None], torch.tensor([site]), conditions)[0]
        enumerated = (torch.stack(placed) - joint.logsumexp(0)).exp()
        require_close(logits.softmax(0), enumerated, _SAMPLED, f"{where}: next_logits() differs from the enumerated conditional")
        if not isinstance(self.model, MarginalModel):
            summed = self.model.log_marginal(known[None], state, order=order)[0]
            require_close(summed, joint.logsumexp(0), _SAMPLED, f"{where}: log_marginal() differs from the enumerated marginal")

    def find(self, occupations: Tensor) -> Tensor:
        """Row of each configuration in the enumeration."""
        return self.rows[torch.searchsorted(self.numbers, (occupations * self.place).sum(1))]

    def frequencies(self, rows: Tensor, probabilities: Tensor, where: str) -> None:
        counts = torch.bincount(rows, minlength=len(probabilities))
        FrequencyTest(probabilities, false_alarm=self.false_alarm).check(counts, where)


def _log_prob(samples: SampleSet) -> Tensor:
    if samples.log_prob is None:
        raise ConformanceError("samples come without log_prob")
    return samples.log_prob


def _order(samples: SampleSet) -> Tensor:
    if samples.order is None:
        raise ConformanceError("samples come without their orders")
    return samples.order
