"""`SampleSet`: configurations with energies and exact log-probabilities, and what follows from them.

With log f(x) = -(E - sum mu N) / kT and q(x) the probability with which x was drawn, the importance weight
of a configuration is w = f / q. Then, over n independent samples,

    log Z   = log mean(w)                     error  std(w) / (mean(w) sqrt(n))
    <O>     = sum(w O) / sum(w)               error  sqrt(sum(w^2 (O - <O>)^2)) / sum(w), times sqrt(n / (n - 1))
    ESS     = mean(w)^2 / mean(w^2)           the fraction of the samples that count

(the errors by the delta method; A. B. Owen, Monte Carlo theory, methods and examples, 2013, chapter 9); functions of
averages, such as a heat capacity, carry the error that the same influences w (O - <O>) give them.
The errors hold for many effective samples: on the 4x4 Ising model one error covered the exact <E> in 67 % of 200
repeats at n = 500 and ESS 0.64, in 52 % at ESS 0.05. ESS itself sees only the modes that were drawn. So an estimate from
few effective samples, from weights with a heavy tail or from a state that the model was not trained for gives a
`StatisticsWarning` (`arlattice.reliability`), once for a set and a reason.
Monte Carlo samples come without q: their weights are equal, and the errors hold for uncorrelated samples.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from arlattice.arguments import items_of, of_type, path_text, whole_number
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.independence import check_independent, joined_streams
from arlattice.lattice import Lattice
from arlattice.memory import check_memory
from arlattice.plan import Plan
from arlattice.random_numbers import Stream, known_seed
from arlattice.reliability import StatisticsWarning, give, heavy_tail, low_ess, out_of_range, silenced

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure
    from xarray import Dataset

    from arlattice.thermo.observables.values import Values

__all__ = ["Observable", "SampleSet"]

Observable = str | Tensor | Callable[["SampleSet"], Tensor]
"""A registered name (``"energy"``, ``"l1_0:total"``, ``"x_Au"``), one value or row per sample, or a function that gives them."""

OUT_OF_RANGE = "out_of_range"
"""Key of the metadata: what of the state lies outside the range that the model was trained for."""

_HIGHEST_LOG_PROB = 1e-3  # zero, but for the rounding of a float32 model


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Configurations of one lattice drawn in one thermodynamic state. Tensors live on the CPU.

    Args:
        lattice: the supercell.
        occupations: species indices, (n, sites), int64.
        energy: energy of the whole supercell, in ``units``, (n,), float64.
        state: the ensemble the samples are for.
        units: ``"eV"`` or ``"reduced"``.
        log_prob: exact log-probability with which each configuration was drawn, (n,), float64;
            None for Monte Carlo samples, whose weights are equal.
        order: the order in which the sites were drawn, permutations of the sites, (n, sites), or None.
        block_sizes: how many sites of the order were drawn at once, block after block; None is one site a block. See `plan`.
        known: occupations that were given before drawing (inpainting), -1 where drawn, (sites,), or
            None. ``log_prob`` is then conditional on them.
        stream: the random numbers behind every sample, (n, 3), int64: seed, purpose (`arlattice.random_numbers.purpose_word`),
            number of the sample; None where it is not known (older files, sets of other programs). Sets that share a row
            are not independent (`arlattice.independence`).
        metadata: plain facts about the origin: identifier -> str, int, float or bool.

    Raises:
        InputError: shapes or values that do not fit the lattice or the state.
    """

    lattice: Lattice
    occupations: Tensor
    energy: Tensor
    state: Ensemble
    units: str
    _: KW_ONLY
    log_prob: Tensor | None = None
    order: Tensor | None = None
    block_sizes: tuple[int, ...] | None = None
    known: Tensor | None = None
    stream: Tensor | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of_type("lattice", self.lattice, Lattice, "give a Lattice")
        of_type("state", self.state, Ensemble, "give a SemiGrandCanonical or Canonical")
        self.state.beta(self.units)
        self.state.mu_vector(self.lattice)
        self.state.targets(self.lattice)
        occupations = self.lattice.check_occupations(self.occupations).cpu()
        if len(occupations) == 0:
            raise InputError("occupations", tuple(occupations.shape), "give at least one configuration")
        checked = {
            "occupations": occupations,
            "energy": _one_each("energy", self.energy, len(occupations)),
            "log_prob": None if self.log_prob is None else _log_prob(self.log_prob, len(occupations)),
            "order": None if self.order is None else _order(self.order, occupations),
            "block_sizes": None if self.block_sizes is None else tuple(int(k) for k in self.block_sizes),
            "known": None if self.known is None else _known(self.known, occupations, self.lattice),
            "stream": None if self.stream is None else _stream(self.stream, len(occupations)),
            "metadata": _metadata(self.metadata),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.block_sizes is not None:
            Plan(occupations, self.block_sizes)

    def __len__(self) -> int:
        return len(self.occupations)

    def __repr__(self) -> str:
        origin = "Monte Carlo" if self.log_prob is None else f"ESS {self.ess:.3f}"
        return f"SampleSet({len(self)} samples, {self.lattice!r}, {self.state}, {origin})"

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self)

    @property
    def plan(self) -> Plan | None:
        """What was drawn at once; ``model.log_prob(occupations, state, plan=plan)`` gives ``log_prob`` again. None without an order."""
        return None if self.order is None else Plan(self.order, self.block_sizes).with_given(self.known)

    # -- weights ---------------------------------------------------------------------------------

    @cached_property
    def log_f(self) -> Tensor:
        """-(E - sum mu N) / kT, (n,); -inf where a fixed composition is not met."""
        return self.state.log_f(self.lattice, self.units, self.energy, self.occupations)

    @property
    def log_weight(self) -> Tensor:
        """log f - log q, unnormalised, (n,); zeros for Monte Carlo samples."""
        return torch.zeros_like(self.energy) if self.log_prob is None else self.log_f - self.log_prob

    @property
    def weights(self) -> Tensor:
        """Importance weights that sum to 1, (n,)."""
        log_weight = self.log_weight
        if bool((log_weight == -torch.inf).all()):
            raise InputError("occupations", f"{len(self)} samples", "none has the composition of the state, so all weights are zero")
        return torch.softmax(log_weight, 0)

    @property
    def ess(self) -> float:
        """Effective sample size as a fraction of n, in [0, 1]; 1 for equal weights.

        It compares the samples with each other, so it cannot see what none of them shows: a phase that the model never
        drew, or correlations along a Monte Carlo chain. `arlattice.thermo.bounds` looks for such phases with Monte Carlo.
        """
        return 1.0 / (len(self) * float(self.weights.square().sum()))

    @property
    def khat(self) -> float:
        """Tail index of the weights (`arlattice.thermo.pareto`); above 0.7 error bars are too small, unless ESS is near 1.

        NaN for equal weights and for fewer than 25 samples.
        """
        from arlattice.thermo.pareto import khat

        return khat(self.log_weight)

    @property
    def warnings(self) -> tuple[StatisticsWarning, ...]:
        """Why averages of this set may be wrong by more than their error bars, as far as the set itself shows; often empty.

        `log_z`, `free_energy`, `entropy`, `mean` and `means` give each of them once, as Python warnings.
        """
        outside = self.metadata.get(OUT_OF_RANGE)
        state = None if outside is None else out_of_range(str(outside))
        if self.log_prob is None:  # of equal weights ESS says nothing; `arlattice.montecarlo.diagnose` looks at chains
            return () if state is None else (state,)
        ess = self.ess if bool((self.log_weight > -torch.inf).any()) else 0.0
        found = (state, low_ess(len(self), ess), heavy_tail(self.khat, ess))
        return tuple(warning for warning in found if warning is not None)

    def _warn(self) -> None:
        """Give every warning of this set that was not given yet."""
        if not silenced():
            while self._left:
                give(self._left[:1])
                del self._left[0]

    @cached_property
    def _left(self) -> list[StatisticsWarning]:
        """Warnings that were not given yet."""
        return list(self.warnings)

    # -- observables, one value per sample -------------------------------------------------------

    @property
    def energy_per_site(self) -> Tensor:
        """Energy divided by the number of sites, (n,)."""
        return self.energy / self.lattice.n_sites

    @cached_property
    def energy_per_atom(self) -> Tensor:
        """Energy divided by the number of atoms, vacancies not among them, (n,); NaN where a configuration has no atom."""
        return self.energy / self.n_atoms.where(self.n_atoms > 0, torch.nan)

    @property
    def n_atoms(self) -> Tensor:
        """Number of sites that hold no vacancy, (n,)."""
        vacancy = self.lattice.vacancy
        return torch.full((len(self),), self.lattice.n_sites) if vacancy is None else (self.occupations != vacancy).sum(1)

    @cached_property
    def composition(self) -> Tensor:
        """Fraction of all sites that each species takes, (n, species)."""
        counts = [(self.occupations == s).sum(1) for s in range(self.lattice.n_species)]
        return torch.stack(counts, 1).double() / self.lattice.n_sites

    @property
    def energy_minus_mu_n(self) -> Tensor:
        """E - sum mu N, whole supercell, (n,)."""
        mu = torch.tensor(self.state.mu_vector(self.lattice), dtype=torch.float64)
        return self.energy - self.composition @ mu * self.lattice.n_sites

    # -- averages --------------------------------------------------------------------------------

    def log_z(self) -> Estimate:
        """Log of the partition sum, whole supercell: log mean(f / q).

        For inpainted samples it is the log of the partition sum over the completions of ``known``.

        Raises:
            InputError: Monte Carlo samples, which carry no normalisation.
        """
        self._need_log_prob("log Z")
        self._warn()
        mean = float(self.log_weight.logsumexp(0)) - math.log(len(self))
        relative = torch.exp(self.log_weight - mean) if math.isfinite(mean) else torch.zeros(len(self))
        return Estimate(mean, _standard_error(relative))

    def free_energy(self) -> Estimate:
        """-kT log Z of the whole supercell, in ``units``.

        The grand potential in a semi-grand-canonical state, the Helmholtz free energy at fixed composition.
        """
        log_z, kt = self.log_z(), 1.0 / self.state.beta(self.units)
        return Estimate(-kt * log_z.value, kt * log_z.error)

    def elbo(self) -> Estimate:
        """Mean of log f - log q over the samples as drawn: a lower bound of log Z, however bad the model (so it never warns)."""
        self._need_log_prob("the lower bound")
        return Estimate(float(self.log_weight.mean()), _standard_error(self.log_weight))

    def entropy(self) -> Estimate:
        """log Z - <log f>: the entropy of the whole supercell, in k_B.

        Raises:
            InputError: Monte Carlo samples, which carry no normalisation.
        """
        self._need_log_prob("the entropy")
        log_z, relative = self.log_z().value, self.weights * len(self)
        surprise = torch.where(relative > 0, log_z - self.log_f, 0.0)
        value = float(self.weights @ surprise)
        return Estimate(value, float(_error_of_influence((relative * (surprise - value) + relative - 1)[:, None])))

    def mean(self, observable: Observable, **options: Any) -> Estimate:
        """Equilibrium average of one number, by self-normalised weights.

        Args:
            observable: a registered name (``arlattice plugins`` lists them), with ``:component`` where it has several,
                e.g. ``"short_range_order:Cu-Au 1"``; ``"x_Au"`` is ``"composition:Au"``; or a tensor (n,); or a function
                of this set that returns one.
            options: of the registered observable.

        Raises:
            InputError: unknown names, options or components, or an observable that makes no sense on this lattice.
        """
        name, component = self._split(observable)
        estimates = self.means(name, **options)
        if component is None and len(estimates) == 1:
            return next(iter(estimates.values()))
        if component not in estimates:
            raise InputError("observable", observable, _components(estimates) + ", or take all with means")
        return estimates[component]

    def means(self, observable: Observable, **options: Any) -> dict[str, Estimate]:
        """Equilibrium averages of all components of an observable, by name; arguments as in `mean`."""
        values = self.observe(observable, **options)
        weights = self.weights
        self._warn()
        means = weights @ values.columns
        influence = (weights * len(self))[:, None] * (values.columns - means) @ values.derivatives(means).T
        errors = _error_of_influence(influence)
        pairs = zip(values.results(means).tolist(), errors.tolist(), strict=True)
        return {name: Estimate(*pair) for name, pair in zip(values.names, pairs, strict=True)}

    def observe(self, observable: Observable, **options: Any) -> Values:
        """What `means` averages: one row a sample; arguments as in `mean`."""
        from arlattice.thermo.observables.observe import observe
        from arlattice.thermo.observables.values import Values

        if isinstance(observable, str):
            return observe(observable, self, options)
        if options:
            raise InputError("options", options, "belong to registered observables; a tensor or a function takes none")
        return Values.of(observable(self) if callable(observable) and not isinstance(observable, type) else observable, len(self))

    def per_sample(self, observable: Observable, **options: Any) -> Tensor:
        """What `mean` averages: one value a sample, (n,), float64; arguments as in `mean`.

        Raises:
            InputError: as in `mean`; and observables such as ``"heat_capacity"``, which follow from averages.
        """
        name, component = self._split(observable)
        values = self.observe(name, **options)
        if values.of_means is not None:
            raise InputError("observable", observable, "follows from averages, no sample has one of its own")
        if component is None and len(values.names) == 1:
            return values.columns[:, 0]
        if component not in values.names:
            raise InputError("observable", observable, _components(values.names))
        return values.columns[:, values.names.index(component)]

    def _split(self, observable: Observable) -> tuple[Observable, str | None]:
        """Name and component of ``"name:component"`` and of ``"x_Au"``."""
        if not isinstance(observable, str):
            return observable, None
        if observable.startswith("x_"):
            return "composition", self.lattice.species[self.lattice.species_index(observable[2:], "observable x_")]
        name, _, component = observable.partition(":")
        return name, component or None

    def _need_log_prob(self, what: str) -> None:
        if self.log_prob is None:
            raise InputError("log_prob", None, f"{what} needs samples with exact log-probabilities; draw them from a model")

    # -- other sets ------------------------------------------------------------------------------

    def select(self, indices: Any) -> SampleSet:
        """Some of the samples, by anything that indexes a tensor: numbers, a slice, or a mask (n,)."""
        cure = f"give numbers from 0 to {len(self) - 1}, a slice or a mask"
        if indices is None or isinstance(indices, bool):  # torch would take all samples, or none
            raise InputError("indices", indices, cure)
        try:
            rows = torch.arange(len(self))[indices].reshape(-1)
        except (IndexError, TypeError, ValueError, RuntimeError):
            raise InputError("indices", indices, cure) from None
        if not len(rows):
            raise InputError("indices", indices, f"selects nothing; {cure}")
        return self._rows(rows)

    def _rows(self, rows: Tensor) -> SampleSet:
        return replace(
            self,
            occupations=self.occupations[rows],
            energy=self.energy[rows],
            log_prob=None if self.log_prob is None else self.log_prob[rows],
            order=None if self.order is None else self.order[rows],
            stream=None if self.stream is None else self.stream[rows],
        )

    @staticmethod
    def concatenate(sets: Sequence[SampleSet]) -> SampleSet:
        """One set of all samples, in order. Metadata on which the sets differ (seeds, say) is left out.

        Raises:
            InputError: sets of different lattices, Hamiltonians, states, units or known sites, with and without
                log-probabilities, or drawn with the same random numbers.
        """
        sets = items_of("sets", sets, SampleSet, "give a list of SampleSets")
        if not sets:
            raise InputError("sets", sets, "give at least one SampleSet")
        first = sets[0]
        for other in sets[1:]:
            _check_same(first, other)
        check_independent(sets)
        orders = [s.order for s in sets if s.order is not None and s.block_sizes == first.block_sizes]
        outside = next(({OUT_OF_RANGE: s.metadata[OUT_OF_RANGE]} for s in sets if OUT_OF_RANGE in s.metadata), {})
        return replace(
            first,
            occupations=torch.cat([s.occupations for s in sets]),
            energy=torch.cat([s.energy for s in sets]),
            log_prob=None if first.log_prob is None else torch.cat([s.log_prob for s in sets if s.log_prob is not None]),
            order=torch.cat(orders) if len(orders) == len(sets) else None,
            block_sizes=first.block_sizes if len(orders) == len(sets) else None,
            stream=joined_streams(sets),
            metadata={k: v for k, v in first.metadata.items() if all(k in s.metadata and s.metadata[k] == v for s in sets)} | outside,
        )

    def resample(self, n: int, generator: torch.Generator | None = None, *, seed: int | None = None) -> SampleSet:
        """``n`` equally weighted samples, drawn with replacement by weight.

        The result carries no ``log_prob``: its average of anything is the plain mean. Draw fewer than
        ``ess * len(self)``, or configurations repeat.

        Args:
            n: how many.
            generator: deprecated, give ``seed``.
            seed: repeats a choice; None takes a fresh one, kept as ``metadata["resample_seed"]``.
        """
        n = whole_number("n", n)
        check_memory("n", n, n * self.lattice.n_sites * 16)
        facts: dict[str, str | int | float | bool] = {**self.metadata, "resampled_from": len(self)}
        if generator is None:
            facts["resample_seed"] = chosen = known_seed(seed)
            rows = self._chosen(Stream(chosen, "resample").uniform(1, n)[0])
        elif isinstance(generator, torch.Generator) and generator.device.type == "cpu":
            warnings.warn("resample: give seed= instead of a torch.Generator", DeprecationWarning, stacklevel=2)
            rows = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        else:
            raise InputError("generator", generator, "give seed= instead")
        return replace(self._rows(rows), log_prob=None, metadata=facts)

    def _chosen(self, uniform: Tensor) -> Tensor:
        """Sample of every number in [0, 1), by weight."""
        ends = self.weights.cumsum(0)
        return torch.searchsorted(ends, uniform * ends[-1], right=True)

    # -- out and in ------------------------------------------------------------------------------

    def to_ase(self, *, vacancies: str = "drop") -> list[Atoms]:
        """ASE `Atoms`, each with its energy, weight and origin; see `arlattice.io.frames.to_frames`."""
        from arlattice.io.frames import to_frames

        return to_frames(self, vacancies=vacancies)

    def to_pymatgen(self, *, vacancies: str = "drop") -> list[Structure]:
        """pymatgen `Structure`s with the facts of `to_ase` in ``properties``; see `arlattice.io.frames.to_structures`."""
        from arlattice.io.frames import to_structures

        return to_structures(self, vacancies=vacancies)

    def to_xarray(self) -> Dataset:
        """Everything as one labelled dataset; see `arlattice.io.dataset.to_dataset`."""
        from arlattice.io.dataset import to_dataset

        return to_dataset(self)

    def write(self, path: str | Path, *, format: str | None = None, vacancies: str = "drop") -> None:
        """Write a file or folder, whole or not at all; see `arlattice.io.formats.write`."""
        from arlattice.io.formats import write

        path_text("path", path)
        write(self, path, format=format, vacancies=vacancies)

    @staticmethod
    def read(path: str | Path) -> SampleSet:
        """The samples that `write` put into an extxyz, netCDF or ase.db file, to the bit; see `arlattice.io.formats.read`."""
        from arlattice.io.formats import read

        path_text("path", path)
        return read(path)


def _cpu(argument: str, values: Any) -> Tensor:
    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(argument, values, "give numbers, as a tensor, an array or a list") from None


def _components(names: Iterable[str]) -> str:
    return f"has the components {', '.join(names)}; name one after a colon"


def _one_each(argument: str, values: Any, n: int) -> Tensor:
    tensor = _cpu(argument, values).double()
    if tensor.shape != (n,):
        raise InputError(argument, tuple(tensor.shape), f"give one value per sample, shape ({n},)")
    if not bool(tensor.isfinite().all()):
        raise InputError(argument, float(tensor[~tensor.isfinite()][0]), "give finite numbers")
    return tensor


def _log_prob(values: Any, n: int) -> Tensor:
    tensor = _one_each("log_prob", values, n)
    if float(tensor.max()) > _HIGHEST_LOG_PROB:
        raise InputError("log_prob", float(tensor.max()), "a log-probability is at most 0")
    return tensor


def _order(values: Any, occupations: Tensor) -> Tensor:
    tensor = _cpu("order", values).long()
    sites = torch.arange(occupations.shape[1])
    if tensor.shape != occupations.shape or not bool((tensor.sort(1).values == sites).all()):
        raise InputError("order", tuple(tensor.shape), f"give a permutation of the {len(sites)} sites for each sample")
    return tensor


def _known(values: Any, occupations: Tensor, lattice: Lattice) -> Tensor:
    tensor = _cpu("known", values)
    if tensor.shape != (lattice.n_sites,):
        raise InputError("known", tuple(tensor.shape), f"give one occupation per site, -1 where drawn, shape ({lattice.n_sites},)")
    tensor = lattice.check_occupations(tensor, allow_unknown=True, argument="known")[0]
    if bool(((occupations != tensor) & (tensor >= 0)).any()):
        raise InputError("known", tensor.tolist(), "the samples must hold the known species on the known sites")
    return tensor


def _stream(values: Any, n: int) -> Tensor:
    tensor = _cpu("stream", values)
    if tensor.shape != (n, 3) or tensor.is_floating_point():
        raise InputError("stream", tuple(tensor.shape), f"give seed, purpose and number of every sample, whole numbers of shape ({n}, 3)")
    return tensor.long()


def _metadata(given: Mapping[str, str | int | float | bool] | None) -> dict[str, str | int | float | bool]:
    if given is not None and not isinstance(given, Mapping):
        raise InputError("metadata", given, "give plain facts by name")
    for key, value in (given or {}).items():
        if not (isinstance(key, str) and key.isascii() and key.isidentifier()):
            raise InputError("metadata", key, "keys are plain identifiers")
        if not _is_plain(value):
            raise InputError(f"metadata[{key}]", value, "give a line of text, a 64-bit int, a bool or a finite float")
    return dict(given or {})


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value.isprintable() if isinstance(value, str) else isinstance(value, int) and abs(value) < 2**64


def _check_same(first: SampleSet, other: SampleSet) -> None:
    facts: dict[str, Callable[[SampleSet], Any]] = {
        "lattice": lambda s: s.lattice.fingerprint,
        "hamiltonian_fingerprint": lambda s: s.metadata.get("hamiltonian_fingerprint"),
        "state": lambda s: s.state,
        "units": lambda s: s.units,
        "known": lambda s: None if s.known is None else s.known.tolist(),
        "log_prob": lambda s: s.log_prob is None,
    }
    for name, fact in facts.items():
        if fact(first) != fact(other):
            cure = "join samples of one lattice, Hamiltonian, state, units, known sites and kind"
            raise InputError("sets", f"{name} differs{differing_options((first, other))}", cure)


def differing_options(sets: Sequence[SampleSet]) -> str:
    """How the Hamiltonians of sets differ, e.g. `` (formation_energies: true, false)``; empty if their options do not say."""
    options = [_recorded_options(s) for s in sets]
    values = {key: list(dict.fromkeys(json.dumps(o.get(key)) for o in options)) for o in options for key in o}
    differ = "; ".join(f"{key}: {', '.join(each)}" for key, each in values.items() if len(each) > 1)
    return f" ({differ})" if differ else ""


def _recorded_options(samples: SampleSet) -> dict[str, Any]:
    """Options of the Hamiltonian by their names of today: samples of an earlier release may have recorded others."""
    from arlattice.hooks.manager import default_manager

    recorded = json.loads(str(samples.metadata.get("hamiltonian_options", "{}")))
    return default_manager().hamiltonians.current_names(str(samples.metadata.get("hamiltonian")), recorded)


def _standard_error(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _error_of_influence(influence: Tensor) -> Tensor:
    """Standard errors (results,) from what each sample adds to each result, (n, results)."""
    n = len(influence)
    return (influence.square().sum(0) / (n * (n - 1))).sqrt() if n > 1 else torch.full_like(influence[0], math.inf)
