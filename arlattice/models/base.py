"""`Model`: a normalised distribution over occupations, conditioned on the thermodynamic state.

Public methods check their input, split it into batches and return `SampleSet`s. A family implements one tensor
method, `step_logits`; those that can do better override `next_logits` or `draw`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from arlattice.arguments import of_type, path_text, whole_number
from arlattice.composition import CompositionMask
from arlattice.conditions import Conditions
from arlattice.cuda_graph import Graphs
from arlattice.decoding.orders import ORDERS, resolve_orders
from arlattice.decoding.steps import Steps, choose
from arlattice.ensemble import Ensemble, boltzmann_constant
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.independence import stream_of
from arlattice.lattice import Lattice
from arlattice.memory import check_memory
from arlattice.models.trained_range import TrainedRange
from arlattice.random_numbers import Stream, known_seed, purpose_word, uniform
from arlattice.same_zero import check_same_zero
from arlattice.samples import OUT_OF_RANGE, SampleSet

__all__ = ["DRAWN", "Model"]

DRAWN = "sample"
"""The purpose of the random numbers behind the samples of a model."""

_WEIGHED = "order of given configurations"

_BYTES_A_SITE = 48  # of a sample: its occupations and order, while they are drawn and joined


class Model(nn.Module, ABC):
    """A normalised distribution over the configurations of one lattice.

    Args:
        hamiltonian: what the model is for; its energies go into every `SampleSet`.
        options: the family's options.

    Attributes:
        orders: kinds of drawing order of the family; the first is the default.
        passes: passes of the network that the log-probability of one configuration takes.
        name: the registered name of the family.
        record: plain data on how the weights were made (command, device, seed, measured figures).
    """

    orders: tuple[str, ...] = ORDERS
    passes: int = 1
    state_mean: Tensor
    state_inverse_scale: Tensor

    def __init__(self, hamiltonian: Hamiltonian, options: Options) -> None:
        super().__init__()
        self.hamiltonian, self.options = hamiltonian, options
        self.name = type(self).__name__
        self.record: dict[str, Any] = {}
        self.precision = "float32"
        q = hamiltonian.lattice.n_species
        self.register_buffer("state_mean", torch.zeros(2 + 2 * q))
        self.register_buffer("state_inverse_scale", torch.zeros(2 + 2 * q))
        self.tables = hamiltonian.to("cpu", torch.float32).unchecked()
        self.steps = Steps(self.tables, self.device, torch.float32, energies=self.energies)
        self._drawing, self._redrawing = Graphs(), Graphs()

    # -- what a family implements ----------------------------------------------------------------

    @abstractmethod
    def step_logits(self, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int | None = None) -> Tensor:
        """Logits of every species at the first ``steps`` steps of an order (default: all), with gradients.

        Logits of a step depend on the occupations of the sites before it in the order, and on no others.

        Args:
            occupations: (batch, sites), indexed by site.
            order: (batch, sites) site drawn at every step.
            conditions: one row a configuration.
            steps: number of steps wanted.

        Returns:
            (batch, steps, species), indexed by step; -inf where a species cannot be placed.
        """

    def forward(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> Tensor:
        """log p of the species placed at every step, (batch, sites) indexed by step, with gradients: the call of the objectives."""
        return self.step_log_probs(occupations, order, conditions)

    def step_log_probs(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> Tensor:
        """log p of the species placed at every step, (batch, sites) indexed by step, with gradients."""
        logits = self.step_logits(occupations, order, conditions)
        taken = F.one_hot(occupations.gather(1, order), logits.shape[-1]).bool()
        return torch.where(taken, logits.log_softmax(-1), 0.0).sum(-1)  # where and sum: gather's gradient varies in its last bits

    def next_logits(self, partial: Tensor, site: Tensor, conditions: Conditions) -> Tensor:
        """Logits of one more site, given the known ones.

        Args:
            partial: (batch, sites), -1 where unknown; every row may have its own known sites.
            site: (batch,), a site of each row that is not known.
            conditions: one row a configuration.

        Returns:
            (batch, species): log p(x_site = s | known sites) up to a constant, -inf where s cannot be placed.
        """
        known = partial >= 0
        order = torch.where(known, 0, 2).scatter(1, site[:, None], 1).argsort(dim=1, stable=True)
        logits = self.step_logits(partial.clamp(min=0), order, conditions)
        return logits[torch.arange(len(partial), device=partial.device), known.sum(1)]

    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Occupations from uniform noise, a deterministic map, without gradients.

        Args:
            noise: (sites, batch) float64 in [0, 1), one number a step.
            order: (batch, sites); known sites first.
            conditions: one row a configuration.
            known: (batch, sites) given species, -1 where to draw.

        Returns:
            occupations (batch, sites) and the float64 log-probability of what was drawn (batch,).
        """
        inputs = {"noise": noise, "order": order, **conditions.to_tensors()}
        if known is not None:
            inputs["known"] = known.expand_as(order)
        drawn: tuple[Tensor, Tensor] = self._drawing(self._draw, inputs)
        return drawn

    def redraw(self, occupations: Tensor, block: Tensor, noise: Tensor, conditions: Conditions) -> Tensor:
        """Occupations with some sites drawn anew given the others, one after another: a step of block Gibbs, without gradients.

        Args:
            occupations: (batch, sites).
            block: sites to draw anew, (batch, k).
            noise: (k, batch) float64 in [0, 1).
            conditions: one row a configuration.

        Raises:
            InputError: a family of one order, which cannot draw a site given those after it.
        """
        if "random" not in self.orders:
            raise InputError("model", self.name, f"draws in these orders only: {', '.join(self.orders)}; block Gibbs needs any order")
        inputs = {"occupations": occupations, "block": block, "noise": noise, **conditions.to_tensors()}
        (drawn,) = self._redrawing(self._redraw, inputs)
        return drawn

    def _redraw(self, inputs: dict[str, Tensor]) -> tuple[Tensor]:
        hidden = inputs["occupations"].scatter(1, inputs["block"], -1)
        with self.autocast(cache=False):  # as in _draw; a decoder of a family may cache, and then begins with nothing drawn
            return Model._decode(self, inputs["noise"], inputs["block"], Conditions.from_tensors(inputs), hidden)[:1]

    def _draw(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        order, conditions = inputs["order"], Conditions.from_tensors(inputs)
        with self.autocast(cache=False):  # a recorded graph must cast the weights anew, not read a cache that is gone
            return self._decode(inputs["noise"], order, conditions, inputs.get("known", torch.full_like(order, -1)))

    def _decode(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor) -> tuple[Tensor, Tensor]:
        """The sites of ``order``, all or some, one at a time; on CUDA all steps are one recorded graph: nothing may wait for the device."""
        occupations, log_prob = known, torch.zeros(len(order), dtype=torch.float64, device=order.device)
        for i in range(order.shape[1]):
            site = order[:, i]
            hidden = occupations.scatter(1, site[:, None], -1)
            species, chosen = choose(self.next_logits(hidden, site, conditions), noise[i], known.gather(1, site[:, None])[:, 0])
            occupations = hidden.scatter(1, site[:, None], species[:, None])
            log_prob = log_prob + chosen
        return occupations, log_prob

    def moved(self) -> None:
        """Called after the model changed device or precision."""

    def fuse(self) -> None:
        """Compile what is worth compiling, for training on a GPU; nothing by default."""

    # -- for everyone ----------------------------------------------------------------------------

    @property
    def any_supercell(self) -> bool:
        """Whether the weights mean the same on every supercell; see `on`."""
        return False

    @property
    def energies(self) -> bool:
        """Whether logits start from completed-cluster energies."""
        return True

    @property
    def trained_range(self) -> TrainedRange | None:
        """The states that the weights were trained for; None where the record does not say (older files, untrained models)."""
        return TrainedRange.from_record(self.record)

    @property
    def lattice(self) -> Lattice:
        """The supercell."""
        return self.hamiltonian.lattice

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.state_mean.device

    def sample(
        self,
        n: int,
        state: Ensemble,
        *,
        order: str | Tensor | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> SampleSet:
        """Draw ``n`` configurations with their exact log-probabilities.

        Args:
            n: number of configurations, >= 1.
            state: the thermodynamic state.
            order: a kind (one of `orders`; None takes the first), or site numbers (sites,) or (n, sites).
            seed: repeats a draw; None takes a fresh one, kept as ``metadata["seed"]``. The random numbers depend on the seed, the
                sample and the step alone, not on batch size or threads. With equal batch size, threads, device and build the
                samples are the same to the bit; otherwise rounding moves their ``log_prob`` by less than 1e-5, and may, rarely,
                turn a site.
            batch_size: configurations drawn at once; None chooses by device.
            progress: show a progress bar.
        """
        return self._sample(n, state, None, order, seed, batch_size, progress)

    def inpaint(
        self,
        known: Tensor,
        n: int,
        state: Ensemble,
        *,
        order: str | Tensor | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> SampleSet:
        """Draw ``n`` completions of a partial configuration.

        Args:
            known: (sites,) species indices, -1 where unknown.
            n, state, order, seed, batch_size, progress: as in `sample`; known sites are read first.

        Returns:
            A `SampleSet` whose ``log_prob`` is that of the completion given the known sites.
        """
        row = _check_known(known, self.lattice)
        _check_completable(row, _check_state(state), self.lattice)
        return self._sample(n, state, row, order, seed, batch_size, progress)

    def log_prob(
        self,
        occupations: Tensor,
        state: Ensemble,
        order: str | Tensor | None = None,
        *,
        known: Tensor | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Exact log-probability of configurations under given drawing orders.

        Args:
            occupations: (batch, sites).
            state: the thermodynamic state.
            order: site numbers (batch, sites) or (sites,), e.g. ``SampleSet.order``, or a kind, then drawn
                with ``seed``. Any order is a normalised distribution; different orders differ a little.
            seed: of orders that are drawn; None takes a fresh one.
            known: (sites,) given species, -1 elsewhere: the log-probability of the rest given these.

        Returns:
            (batch,) float64, on the CPU; -inf where the state or ``known`` excludes the configuration.
        """
        rows = self.lattice.check_occupations(occupations)
        known = None if known is None else _check_known(known, self.lattice)
        orders = self.resolve_orders(len(rows), order, Stream(seed, _WEIGHED), known)
        conditions = self._conditions(state)
        if len(rows) == 0:
            return torch.zeros(0, dtype=torch.float64)
        size = max(1, self._batch_size() // self.passes) if batch_size is None else whole_number("batch_size", batch_size)
        parts = zip(rows.split(size), orders.split(size), strict=True)
        result = torch.cat([self._log_prob(x.to(self.device), o.to(self.device), conditions, known) for x, o in parts])
        counts = state.counts(self.lattice)
        if counts is not None:
            met = (torch.nn.functional.one_hot(rows, self.lattice.n_species).sum(1) == torch.tensor(counts)).all(1)
            result = torch.where(met, result, -torch.inf)
        if known is not None:
            result = torch.where(((rows == known) | (known < 0)).all(1), result, -torch.inf)
        return result

    def log_marginal(self, partial: Tensor, state: Ensemble, *, order: str | Tensor | None = None, seed: int | None = None) -> Tensor:
        """Log-probability of partial configurations: what is known, summed over what is not.

        The sum of the conditionals of the known sites, which come first in the order; families with a marginal
        head give it in one pass (`arlattice.models.marginal`).

        Args:
            partial: (batch, sites) species indices, -1 where unknown.
            state: the thermodynamic state.
            order: a kind, or site numbers (sites,) or (batch, sites); known sites are read first. Different orders differ a little.
            seed: of orders that are drawn; None takes a fresh one.

        Returns:
            (batch,) float64, on the CPU; -inf where a fixed composition leaves no completion.
        """
        rows = self.lattice.check_occupations(partial, allow_unknown=True, argument="partial").cpu()
        stream = Stream(seed, _WEIGHED)
        conditions = self._conditions(state)
        if len(rows) == 0:
            return torch.zeros(0, dtype=torch.float64)
        each = order if isinstance(order, Tensor) and order.ndim == 2 and len(order) == len(rows) else [order] * len(rows)
        orders = torch.cat([self.resolve_orders(1, o, stream, row) for o, row in zip(each, rows, strict=True)])
        size = max(1, self._batch_size() // self.passes)
        parts = zip(rows.split(size), orders.split(size), strict=True)
        with torch.no_grad(), self.autocast():
            values = [self._log_marginal(x.to(self.device), o.to(self.device), conditions.expand(len(x))).double().cpu() for x, o in parts]
        result, counts = torch.cat(values), state.counts(self.lattice)
        return result if counts is None else result.where(CompositionMask(self.lattice).completable(rows, torch.tensor(counts)), -torch.inf)

    def _log_marginal(self, partial: Tensor, order: Tensor, conditions: Conditions) -> Tensor:
        """(batch,); known sites come first in ``order``."""
        log_probs = self.step_log_probs(partial.clamp(min=0), order, conditions).double()
        return torch.where(partial.gather(1, order) >= 0, log_probs, 0.0).sum(1)

    def on(self, hamiltonian: Hamiltonian) -> Self:
        """The same weights, shared, on another supercell or another Hamiltonian of the same primitive cell and species.

        Raises:
            InputError: a family whose weights belong to one supercell (see `any_supercell`), another primitive cell, or, for weights
                that were not trained on several Hamiltonians, the same expansion with another zero of energy (`arlattice.same_zero`).
        """
        of_type("hamiltonian", hamiltonian, Hamiltonian, "give a Hamiltonian")
        if hamiltonian.lattice.with_supercell(1).fingerprint != self.lattice.with_supercell(1).fingerprint:
            raise InputError("hamiltonian", hamiltonian.name, f"must have the primitive cell and species of {self.lattice!r}")
        if not self.any_supercell and hamiltonian.lattice.fingerprint != self.lattice.fingerprint:
            cure = "has weights for one supercell; train with positions = 'primitive', or paint (arlattice.models.painted.paint)"
            raise InputError("hamiltonian", hamiltonian.name, f"{self.name} {cure}")
        if "hamiltonians" not in self.record:
            check_same_zero(self.hamiltonian, hamiltonian)
        other = type(self)(hamiltonian, self.options).to(self.state_mean)
        other._modules.update(self._modules)
        other._parameters.update(self._parameters)
        other._buffers.update({name: b for name, b in self._buffers.items() if name not in self._non_persistent_buffers_set})
        other.name, other.record, other.precision = self.name, dict(self.record), self.precision
        return other.train(self.training)

    @torch.no_grad()
    def _log_prob(self, x: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None) -> Tensor:
        with self.autocast():
            steps = self.step_log_probs(x, order, conditions.expand(len(x))).double()
        if known is not None:
            steps = steps.where(known.to(x.device).expand_as(order).gather(1, order) < 0, 0.0)
        return steps.sum(1).cpu()

    @torch.no_grad()
    def _sample(
        self,
        n: int,
        state: Ensemble,
        known: Tensor | None,
        order: str | Tensor | None,
        seed: int | None,
        batch_size: int | None,
        progress: bool,
    ) -> SampleSet:
        size = self.check_fits(n, batch_size)
        seed = known_seed(seed)
        conditions = self._conditions(state)
        orders = self.resolve_orders(n, order, Stream(seed, "order", self.device), known)
        given = None if known is None else known.to(self.device)
        parts = []
        with tqdm(total=n, disable=not progress, unit="sample", desc=f"sampling {self.hamiltonian.name}", leave=False) as bar:
            for first, rows in zip(range(0, n, size), orders.split(size), strict=True):
                padded = torch.cat([rows, rows[:1].expand(size - len(rows), -1)])  # one batch size: one recorded graph
                noise = uniform(seed, purpose_word(DRAWN), (0, self.lattice.n_sites), (first, size), self.device)
                x, log_prob = self.draw(noise, padded, conditions.expand(size), None if given is None else given.expand(size, -1))
                parts.append((x[: len(rows)].cpu(), log_prob[: len(rows)].cpu()))
                bar.update(len(rows))
        occupations, log_prob = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
        if not bool(log_prob.isfinite().all()):
            cure = f"is too far from what {self.name} was trained on: its probabilities are not numbers; give usual values"
            raise InputError("state", str(state), cure)
        return SampleSet(
            self.lattice,
            occupations,
            self.hamiltonian.to("cpu", torch.float64).energy(occupations).double(),
            state,
            self.hamiltonian.units,
            log_prob=log_prob,
            order=orders.cpu(),
            known=None if known is None else known.cpu(),
            stream=stream_of(seed, DRAWN, torch.arange(n)),
            metadata=self._metadata(seed, order) | self._outside(state),
        )

    def resolve_orders(self, n: int, order: str | Tensor | None, stream: Stream, known: Tensor | None = None) -> Tensor:
        """``n`` drawing orders (n, sites), known sites first; see `arlattice.decoding.orders.resolve_orders`.

        Raises:
            InputError: an order that this family does not draw in.
        """
        chosen = self.orders[0] if order is None else order
        if isinstance(chosen, str) and chosen not in self.orders:
            raise InputError("order", chosen, f"{self.name} draws in these orders: {', '.join(self.orders)}")
        return resolve_orders(self.lattice, n, chosen, stream, known)

    def _metadata(self, seed: int, order: str | Tensor | None) -> dict[str, str | int | float | bool]:
        import arlattice

        return {
            "hamiltonian": self.hamiltonian.name,
            "hamiltonian_options": json.dumps(dict(self.hamiltonian.options)),
            "hamiltonian_fingerprint": self.hamiltonian.fingerprint,
            "model": self.name,
            "model_fingerprint": self.fingerprint,
            "arlattice_version": arlattice.__version__,
            "seed": seed,
            "order_kind": self.orders[0] if order is None else order if isinstance(order, str) else "given",
            "boltzmann_constant": boltzmann_constant(self.hamiltonian.units),
        }

    def _outside(self, state: Ensemble) -> dict[str, str]:
        """Metadata of samples of a state that lies outside the trained range."""
        found = None if self.trained_range is None else self.trained_range.outside(state, self.lattice)
        return {} if found is None else {OUT_OF_RANGE: found}

    def _conditions(self, state: Ensemble) -> Conditions:
        conditions = Conditions.from_states([_check_state(state)], self.hamiltonian, self.device)
        for number in (conditions.beta, self.standardised(conditions)):
            if not bool(number.to(self.state_mean.dtype).isfinite().all()):
                cure = f"is too far from the states that the model was trained for: {self.trained_range or 'not recorded'}"
                raise InputError("state", state, cure)
        return conditions

    def check_fits(self, n: int, batch_size: int | None = None) -> int:
        """Check that so many samples can be drawn; arguments as in `sample`.

        Returns:
            How many are drawn at once.

        Raises:
            InputError: numbers that are not whole or not positive, or that need more memory than this machine has.
        """
        n = whole_number("n", n)
        size = min(n, self._batch_size() if batch_size is None else whole_number("batch_size", batch_size))
        check_memory("n", n, n * self.lattice.n_sites * _BYTES_A_SITE, "draw fewer at a time and write them")
        check_memory("batch_size", size, size * self.lattice.n_sites * self._bytes_a_site, "give a smaller batch_size")
        return size

    @property
    def _bytes_a_site(self) -> int:
        """Memory that drawing takes for each site of a configuration, about: what a quarter of the linear layers give."""
        return 64 + sum(layer.out_features for layer in self.modules() if isinstance(layer, nn.Linear))

    def _batch_size(self) -> int:
        budget = 2**21 if self.device.type == "cuda" else 2**15
        return max(1, budget // self.lattice.n_sites)

    # -- state features --------------------------------------------------------------------------

    def standardised(self, conditions: Conditions) -> Tensor:
        """State features (batch, 2 + 2 q): beta, 1/beta, mu, beta mu, scaled to the trained range."""
        dtype = self.state_mean.dtype
        return ((_state_features(conditions) - self.state_mean.double()) * self.state_inverse_scale.double()).to(dtype)

    def set_state_range(self, conditions: Conditions) -> None:
        """Fit the scaling of the state features to a set of states. Features that do not vary are left out."""
        features = _state_features(conditions)
        deviation = features.std(0, correction=0)
        varies = deviation > 1e-9 * (1e-9 + features.abs().amax(0))
        self.state_mean.copy_(features.mean(0))
        self.state_inverse_scale.copy_(torch.where(varies, 1 / deviation.clamp(min=1e-300), 0.0))

    @torch.no_grad()
    def initialise(self, seed: int | Stream | None = None) -> None:
        """Draw the weights of all linear layers anew; layers that start at zero stay there."""
        stream = Stream.of(seed, "weights", "cpu")
        for layer in self.modules():
            if isinstance(layer, nn.Linear) and bool(layer.weight.any()):
                bound = layer.in_features**-0.5
                for parameter in layer.parameters():
                    parameter.copy_(((2 * stream.uniform(1, parameter.numel()) - 1) * bound).view(parameter.shape))

    # -- precision, identity, files --------------------------------------------------------------

    def autocast(self, cache: bool = True) -> AbstractContextManager[Any]:
        """bfloat16 arithmetic if ``precision`` says so (training on a GPU); else nothing.

        Args:
            cache: keep the bfloat16 copies of the weights while the context lasts.
        """
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=cache)
        return nullcontext()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.tables = self.hamiltonian.to(self.device, self.state_mean.dtype).unchecked()
        self.steps = Steps(self.tables, self.device, self.state_mean.dtype, energies=self.energies)
        self._drawing.clear()
        self._redrawing.clear()
        self.moved()
        return self

    @property
    def fingerprint(self) -> str:
        """Short hash of the weights."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(key.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: str | Path) -> None:
        """Write weights, options and Hamiltonian into a folder; `arlattice.load` reads it."""
        from arlattice.models.checkpoint import save

        path_text("folder", folder)
        save(self, folder)


def _state_features(conditions: Conditions) -> Tensor:
    beta, mu = conditions.beta.double()[:, None], conditions.mu.double()
    return torch.cat([beta, 1 / beta, mu, beta * mu], 1)


def _check_state(state: Any) -> Ensemble:
    return of_type("state", state, Ensemble, "give a SemiGrandCanonical or Canonical")


def _check_known(known: Tensor, lattice: Lattice) -> Tensor:
    """One partial configuration (sites,), on the CPU."""
    rows = lattice.check_occupations(known, allow_unknown=True, argument="known").cpu()
    if len(rows) != 1:
        raise InputError("known", tuple(rows.shape), "give one partial configuration, shape (sites,)")
    return rows[0]


def _check_completable(known: Tensor, state: Ensemble, lattice: Lattice) -> None:
    counts = state.counts(lattice)
    if counts is None:
        return
    placed = torch.bincount(known[known >= 0], minlength=lattice.n_species)
    over = (placed > torch.tensor(counts)).nonzero()
    if len(over):
        s = int(over[0])
        raise InputError("known", f"{int(placed[s])} {lattice.species[s]}", f"the composition has only {counts[s]}")
    if not bool(CompositionMask(lattice).completable(known[None], torch.tensor(counts))):
        left = {name: int(c - p) for name, c, p in zip(lattice.species, counts, placed, strict=True)}
        raise InputError("known", known.tolist(), f"cannot be completed: the sites that remain cannot hold {left}")
