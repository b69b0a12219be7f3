"""`SampleSet`s and log-probabilities of a model: batches, seeds, given sites. `Model.sample` and its neighbours are the way in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from arlattice.arguments import whole_number
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.independence import stream_of
from arlattice.lattice import Lattice
from arlattice.memory import check_memory
from arlattice.plan import Plan
from arlattice.random_numbers import DRAWN, Stream, known_seed, purpose_word, uniform
from arlattice.samples import OUT_OF_RANGE, SampleSet

if TYPE_CHECKING:
    from arlattice.models.base import Model

__all__ = ["check_fits", "check_known", "log_marginal", "log_prob", "sample", "sample_parts"]

_WEIGHED = "order of given configurations"

_BYTES_A_SITE = 48  # of a sample: its occupations and order, while they are drawn and joined


@torch.no_grad()
def sample(
    model: Model,
    n: int,
    state: Ensemble,
    known: Tensor | None,
    plan: str | Plan | Tensor | None,
    seed: int | None,
    batch_size: int | None,
    progress: bool,
    first: int = 0,
) -> SampleSet:
    """``n`` configurations; arguments as in `Model.sample`, ``known`` (sites,) checked, ``first`` the number of the first of them."""
    size = check_fits(model, n, batch_size)
    seed = known_seed(seed)
    conditions = model.conditions_of(state)
    if known is not None:
        _check_completable(known, state, model.lattice)
    plans = model.resolve_plan(n, plan, Stream(seed, "order", model.device, first), known)
    given = None if known is None else known.to(model.device).expand(size, -1)
    drawn = []
    with tqdm(total=n, disable=not progress, unit="sample", desc=f"sampling {model.hamiltonian.name}", leave=False) as bar:
        for number, rows in zip(range(first, first + n, size), plans.split(size), strict=True):
            padded = torch.arange(size, device=model.device).clamp(max=len(rows) - 1)  # one batch size: one recorded graph
            noise = uniform(seed, purpose_word(DRAWN), (0, model.lattice.n_sites), (number, size), model.device)
            x, log_prob = model.draw(noise, rows[padded], conditions.expand(size), given)
            drawn.append((x[: len(rows)].to(torch.int8), log_prob[: len(rows)]))  # where they are: to wait for each would idle the device
            bar.update(len(rows))
    occupations, log_prob = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    if not bool(log_prob.isfinite().all()):
        cure = f"is too far from what {model.name} was trained on: its probabilities are not numbers; give usual values"
        raise InputError("state", str(state), cure)
    outside = model.outside(state)
    return SampleSet(
        model.lattice,
        occupations.cpu().long(),
        _energies(model, occupations),
        state,
        model.hamiltonian.units,
        log_prob=log_prob,
        order=plans.order.to(torch.int32).cpu().long(),
        block_sizes=plans.sizes,
        known=None if known is None else known.cpu(),
        stream=stream_of(seed, DRAWN, torch.arange(first, first + n)),
        metadata=model.origin()
        | {
            "precision": model.precision,
            "seed": seed,
            "order_kind": model.orders[0] if plan is None else plan if isinstance(plan, str) else "given",
        }
        | ({} if outside is None else {OUT_OF_RANGE: outside}),
    )


def _energies(model: Model, occupations: Tensor) -> Tensor:
    """float64 energies, (n,), computed where the Hamiltonian can be."""
    exact = model.hamiltonian.to(model.device, torch.float64)
    rows = occupations.to(exact.device)
    parts = [rows] if exact.device.type == "cpu" else rows.split(model.batch_size())
    return torch.cat([exact.energy(part.long()).double() for part in parts])


def sample_parts(
    model: Model,
    n: int,
    state: Ensemble,
    part_size: int,
    plan: str | Plan | Tensor | None,
    seed: int | None,
    batch_size: int | None,
    skip: int = 0,
) -> Iterator[SampleSet]:
    """The configurations of `sample`, some at a time; ``skip`` parts are left out. Arguments are checked at once."""
    n, part_size, skip = whole_number("n", n), whole_number("part_size", part_size), whole_number("skip", skip, 0)
    check_fits(model, min(n, part_size), batch_size)
    seed = known_seed(seed)
    chosen = plan if plan is None or isinstance(plan, str | Plan) else torch.as_tensor(plan)
    rows = chosen if isinstance(chosen, Plan) or (isinstance(chosen, Tensor) and chosen.ndim == 2) else None
    if rows is not None and len(rows) not in (1, n):
        cure = f"give one row, or one for each of {n} samples"
        raise InputError("plan" if isinstance(rows, Plan) else "order", f"{len(rows)} rows", cure)

    def part(first: int) -> SampleSet:
        count = min(part_size, n - first)
        own = chosen if rows is None or len(rows) == 1 else rows[first : first + count]
        return sample(model, count, state, None, own, seed, batch_size, False, first)

    return map(part, range(skip * part_size, n, part_size))


@torch.no_grad()
def log_prob(
    model: Model,
    rows: Tensor,
    state: Ensemble,
    plan: str | Plan | Tensor | None,
    known: Tensor | None,
    seed: int | None,
    batch_size: int | None,
) -> Tensor:
    """Log-probabilities of checked configurations; arguments as in `Model.log_prob`."""
    plans = model.resolve_plan(len(rows), plan, Stream(seed, _WEIGHED), known)
    conditions = model.conditions_of(state)
    if len(rows) == 0:
        return torch.zeros(0, dtype=torch.float64)
    size = max(1, model.batch_size() // model.passes) if batch_size is None else whole_number("batch_size", batch_size)
    parts = []
    for x, part in zip(rows.split(size), plans.split(size), strict=True):
        x, part = x.to(model.device), part.to(model.device)
        with model.autocast():
            each = model(x, part, conditions.expand(len(x))).double()
        parts.append(each.sum(1).cpu())
    result = torch.where(state.allows(model.lattice, rows), torch.cat(parts), -torch.inf)
    if known is not None:
        result = torch.where(((rows == known) | (known < 0)).all(1), result, -torch.inf)
    return result


@torch.no_grad()
def log_marginal(model: Model, rows: Tensor, state: Ensemble, plan: str | Plan | Tensor | None, seed: int | None) -> Tensor:
    """Log-probabilities of checked partial configurations; arguments as in `Model.log_marginal`."""
    stream = Stream(seed, _WEIGHED)
    conditions = model.conditions_of(state)
    if len(rows) == 0:
        return torch.zeros(0, dtype=torch.float64)
    plans = [_known_first(model, one, row, stream) for one, row in zip(_of_each(plan, len(rows)), rows, strict=True)]
    values, first = [], 0
    for _, alike in groupby(plans, key=lambda each: each.sizes):
        for part in Plan.concatenate(list(alike)).split(max(1, model.batch_size() // model.passes)):
            x, first = rows[first : first + len(part)].to(model.device), first + len(part)
            with model.autocast():
                found = model.log_prob_of_known(x, part.to(model.device), conditions.expand(len(x)))
            values.append(found.double().cpu())
    return torch.cat(values).where(state.allows(model.lattice, rows), -torch.inf)


def _of_each(plan: str | Plan | Tensor | None, n: int) -> Sequence[str | Plan | Tensor | None]:
    """The plan of every one of ``n`` rows."""
    if isinstance(plan, Plan) and len(plan) == n:
        return [plan[row : row + 1] for row in range(n)]
    return list(plan) if isinstance(plan, Tensor) and plan.ndim == 2 and len(plan) == n else [plan] * n


def _known_first(model: Model, plan: str | Plan | Tensor | None, row: Tensor, stream: Stream) -> Plan:
    """The plan of one row with its known sites (sites,) first, none of them given: they are weighed."""
    found = model.resolve_plan(1, plan, stream, row)
    return Plan(Plan(found.order).with_given(row).order) if found.one_by_one else found.known_first(row)


def check_fits(model: Model, n: int, batch_size: int | None = None) -> int:
    """Check that so many samples can be drawn; arguments as in `Model.sample`.

    Returns:
        How many are drawn at once.

    Raises:
        InputError: numbers that are not whole or not positive, or that need more memory than this machine has.
    """
    n = whole_number("n", n)
    size = min(n, model.batch_size() if batch_size is None else whole_number("batch_size", batch_size))
    check_memory("n", n, n * model.lattice.n_sites * _BYTES_A_SITE, "draw fewer at a time and write them")
    widest = 64 + sum(layer.out_features for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    check_memory("batch_size", size, size * model.lattice.n_sites * widest, "give a smaller batch_size")
    return size


def check_known(known: Tensor, lattice: Lattice) -> Tensor:
    """One partial configuration (sites,), on the CPU."""
    rows = lattice.check_occupations(known, allow_unknown=True, argument="known").cpu()
    if len(rows) != 1:
        raise InputError("known", tuple(rows.shape), "give one partial configuration, shape (sites,)")
    return rows[0]


def _check_completable(known: Tensor, state: Ensemble, lattice: Lattice) -> None:
    if bool(state.allows(lattice, known[None].cpu())):
        return
    for species, fraction in state.fractions(lattice).items():
        index, fixed = lattice.species_index(species), round(fraction * lattice.n_sites)
        placed = int((known == index).sum())
        if placed > fixed:
            raise InputError("known", f"{placed} {species}", f"the composition has only {fixed}")
    raise InputError("known", known.tolist(), f"cannot be completed: the sites that remain cannot make what {state} allows")
