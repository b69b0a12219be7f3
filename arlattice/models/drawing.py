"""`Drawing`: the public methods of a model that draw configurations and weigh them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from arlattice.decoding.plans import resolve_plan
from arlattice.decoding.sampling import check_fits, check_known, log_marginal, log_prob, sample, sample_parts
from arlattice.ensemble import Ensemble, boltzmann_constant
from arlattice.errors import InputError
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.samples import SampleSet
from arlattice.version import __version__

__all__ = ["Drawing"]


class Drawing:
    """What can be drawn from a `Model`, and how it is weighed. `Model` brings what is declared here."""

    def sample(
        self: Any,
        n: int,
        state: Ensemble,
        *,
        order: str | Tensor | None = None,
        plan: str | Plan | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> SampleSet:
        """Draw ``n`` configurations with their exact log-probabilities.

        Args:
            n: number of configurations, >= 1.
            state: the thermodynamic state.
            order: a kind (one of `orders`; None takes the first), or site numbers (sites,) or (n, sites).
            plan: instead of an order, what is drawn at once: a registered kind or a `Plan` of one or ``n`` rows.
            seed: repeats a draw; None takes a fresh one, kept as ``metadata["seed"]``. The random numbers depend on the seed, the
                sample and the step alone, not on batch size or threads. With equal batch size, threads, device and build the
                samples are the same to the bit; otherwise rounding moves their ``log_prob`` by less than 1e-5 in float32, and may, rarely,
                turn a site.
            batch_size: configurations drawn at once; None chooses by device.
            progress: show a progress bar.
        """
        return sample(self, n, state, None, _one(order, plan), seed, batch_size, progress)

    def sample_parts(
        self: Any,
        n: int,
        state: Ensemble,
        *,
        part_size: int = 10_000,
        skip: int = 0,
        order: str | Tensor | None = None,
        plan: str | Plan | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> Iterator[SampleSet]:
        """Draw ``n`` configurations some at a time, so that there may be more than memory holds; `arlattice.Summary` averages over all.

        Args:
            n, state, order, plan, seed, batch_size: as in `sample`.
            part_size: configurations of a part; the last may have fewer.
            skip: parts to leave out, such as those that are there already (give the ``seed`` then).

        Yields:
            Sets of samples. Joined, they are what `sample` draws with the same seed, in the same order.
        """
        return sample_parts(self, n, state, part_size, _one(order, plan), seed, batch_size, skip)

    def inpaint(
        self: Any,
        known: Tensor,
        n: int,
        state: Ensemble,
        *,
        order: str | Tensor | None = None,
        plan: str | Plan | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> SampleSet:
        """Draw ``n`` completions of a partial configuration.

        Args:
            known: (sites,) species indices, -1 where unknown.
            n, state, order, plan, seed, batch_size, progress: as in `sample`; of an order, known sites are read first.

        Returns:
            A `SampleSet` whose ``log_prob`` is that of the completion given the known sites.
        """
        return sample(self, n, state, check_known(known, self.lattice), _one(order, plan), seed, batch_size, progress)

    def log_prob(
        self: Any,
        occupations: Tensor,
        state: Ensemble,
        order: str | Tensor | None = None,
        *,
        plan: str | Plan | None = None,
        known: Tensor | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Exact log-probability of configurations under given drawing orders or plans.

        Args:
            occupations: (batch, sites).
            state: the thermodynamic state.
            order: site numbers (batch, sites) or (sites,), e.g. ``SampleSet.order``, or a kind, then drawn
                with ``seed``. Any order is a normalised distribution; different orders differ a little.
            plan: instead of an order, e.g. ``SampleSet.plan``.
            seed: of orders that are drawn; None takes a fresh one.
            known: (sites,) given species, -1 elsewhere: the log-probability of the rest given these.

        Returns:
            (batch,) float64, on the CPU; -inf where the state or ``known`` excludes the configuration.
        """
        rows = self.lattice.check_occupations(occupations)
        given = None if known is None else check_known(known, self.lattice)
        return log_prob(self, rows, state, _one(order, plan), given, seed, batch_size)

    def log_marginal(
        self: Any,
        partial: Tensor,
        state: Ensemble,
        *,
        order: str | Tensor | None = None,
        plan: str | Plan | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Log-probability of partial configurations: what is known, summed over what is not.

        The sum of the conditionals of the known sites, which come first in the order; families with a marginal
        head give it in one pass (`arlattice.models.marginal`).

        Args:
            partial: (batch, sites) species indices, -1 where unknown.
            state: the thermodynamic state.
            order: a kind, or site numbers (sites,) or (batch, sites); known sites are read first. Different orders differ a little.
            plan: instead of an order; the known sites of its blocks come first.
            seed: of orders that are drawn; None takes a fresh one.

        Returns:
            (batch,) float64, on the CPU; -inf where the state allows no completion.
        """
        rows = self.lattice.check_occupations(partial, allow_unknown=True, argument="partial").cpu()
        return log_marginal(self, rows, state, _one(order, plan), seed)

    def resolve_plan(self: Any, n: int, plan: str | Plan | Tensor | None, stream: Stream, known: Tensor | None = None) -> Plan:
        """A plan of ``n`` rows, known sites given; see `arlattice.decoding.plans.resolve_plan`.

        Raises:
            InputError: a kind that this family does not draw in.
        """
        chosen = self.orders[0] if plan is None else plan
        if isinstance(chosen, str) and chosen not in self.orders and "random" not in self.orders:
            raise InputError("order", chosen, f"{self.name} draws in these orders: {', '.join(self.orders)}")
        return self.given_in(resolve_plan(self.lattice, n, chosen, stream), known)

    def origin(self: Any) -> dict[str, str | int | float | bool]:
        """Metadata of samples: what drew them."""
        return {
            "hamiltonian": self.hamiltonian.name,
            "hamiltonian_options": json.dumps(dict(self.hamiltonian.options)),
            "hamiltonian_fingerprint": self.hamiltonian.fingerprint,
            "model": self.name,
            "model_fingerprint": self.fingerprint,
            "arlattice_version": __version__,
            "boltzmann_constant": boltzmann_constant(self.hamiltonian.units),
        }

    def check_fits(self: Any, n: int, batch_size: int | None = None) -> int:
        """How many of ``n`` samples are drawn at once; see `arlattice.decoding.sampling.check_fits`."""
        return check_fits(self, n, batch_size)

    def batch_size(self: Any) -> int:
        """How many configurations are drawn at once unless the user says otherwise."""
        budget = 2**21 if self.device.type == "cuda" else 2**15
        return max(1, budget // self.lattice.n_sites)


def _one(order: str | Tensor | None, plan: str | Plan | None) -> str | Plan | Tensor | None:
    if plan is None:
        return order
    if order is not None:
        raise InputError("plan", plan if isinstance(plan, str) else "given", "give a plan or an order, not both")
    if not isinstance(plan, str | Plan):
        raise InputError("plan", plan, "give a registered kind or a Plan; site numbers are an order")
    return plan
