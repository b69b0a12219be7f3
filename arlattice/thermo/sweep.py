"""`sweep`: thermodynamics over a grid of temperatures and chemical potentials, from one model.

Every state is sampled on its own, so states run in any order and in any process. Each leaves a small part file; a
sweep that was killed takes the parts that are there and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlattice.arguments import finite_number, items_of, path_text, whole_number
from arlattice.errors import InputError
from arlattice.estimate import Estimate
from arlattice.io.files import replacing, writing
from arlattice.io.netcdf import write_netcdf
from arlattice.memory import check_memory
from arlattice.models.base import Model
from arlattice.random_numbers import Stream, check_seed, known_seed
from arlattice.reliability import MIN_EFFECTIVE, give
from arlattice.thermo.sweep_dataset import Variable, layout, probe_samples, to_dataset
from arlattice.thermo.sweep_doubts import doubts
from arlattice.thermo.sweep_grid import Grid, Numbers
from arlattice.thermo.sweep_run import Pool, SweepRun
from arlattice.thermo.sweep_state import SweepOptions, kept_seed, largest_excess

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["Pool", "sweep"]


_BYTES_A_WORKER = 3 * 10**8  # torch alone


def sweep(
    model: Model | str | Path,
    temperatures: Numbers,
    *,
    delta_mu: Numbers | None = None,
    field: Numbers | None = None,
    chemical_potentials: Mapping[str, Numbers] | None = None,
    observables: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    n: int = 1000,
    target_error: Mapping[str, float] | None = None,
    max_samples: int | None = None,
    min_ess: float = MIN_EFFECTIVE,
    order: str | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    workers: int = 1,
    pool: Pool | None = None,
    out: str | Path | None = None,
    folder: str | Path | None = None,
    progress: bool = False,
) -> Dataset:
    """Free energy, composition, energy, heat capacity and more over a grid of states, with standard errors.

    Args:
        model: a model, the name of a shipped one, or the folder of a trained one.
        temperatures: in K, or in units of J/k for Hamiltonians in reduced units.
        delta_mu: two species: mu of the second less mu of the first, which is 0.
        field: two species: mu of the second = -mu of the first; for Ising the field h in -h sum(s).
        chemical_potentials: species -> values; one dimension ``mu_SPECIES`` each.
        observables: registered observables to average besides, names or name -> options.
        n: samples drawn at once in each state.
        target_error: standard errors to reach by drawing more, e.g. ``{"x_Au": 1e-3, "log_z": 0.01}``; the names are those
            of the variables, ``"name:component"`` for one component.
        max_samples: where to stop drawing; by default 64 ``n`` with targets.
        min_ess: states with fewer effective samples (ESS times samples) are flagged, with a warning.
        order: order of the sites; as in `Model.sample`.
        seed: repeats a sweep, as in `Model.sample`; None takes that of the parts that are kept already, or a fresh one. A state gives
            the same samples whatever the grid around it. The attribute ``seed`` of the dataset keeps it.
        batch_size: configurations drawn at once; None chooses by device.
        device: of models that are loaded here.
        workers: processes; each loads the model and uses its share of the cores, and of the GPUs where the model is on the first of
            them. Scripts need the usual ``if __name__ == "__main__":``.
        pool: run the states here instead, e.g. on a cluster; give ``folder`` on a file system that all its machines see.
        out: netCDF file to write; parts are kept in a folder beside it, ``out`` and ``.parts``.
        folder: where to keep parts, if not there.
        progress: show a progress bar.

    Returns:
        A dataset with dimensions ``temperature`` and ``delta_mu``, ``field`` or ``mu_SPECIES``; variables ``log_z`` (whole
        supercell), ``phi``, ``entropy``, ``energy_per_site``, ``heat_capacity`` (per site), ``x`` and ``susceptibility``
        (per species), the observables, each with ``_error``; ``ess``, ``khat``, ``samples``, ``out_of_range``, ``heavy_tail`` and
        ``flagged``.
        `docs/thermodynamics.md` defines them. What makes states doubtful is given as one `StatisticsWarning` a reason, and kept in
        the attribute ``warnings`` (a JSON list).

    Raises:
        InputError: bad arguments, or parts in the folder that were made with other settings.
    """
    workers = whole_number("workers", workers)
    check_memory("workers", workers, workers * _BYTES_A_WORKER, "give about as many as there are cores")
    if pool is not None and not hasattr(pool, "submit"):
        raise InputError("pool", pool, "give an executor, with a method submit")
    loaded = _load(model, device)
    grid = Grid.of(loaded.lattice, temperatures, delta_mu, field, chemical_potentials)
    options = _options(n, max_samples, target_error, observables, order, None if seed is None else check_seed(seed))
    loaded.check_fits(n if max_samples is None else max_samples, batch_size)
    variables = _checked(loaded, grid, options, min_ess)
    parts = _folder(out, folder)
    if options.seed is None:
        options = options.model_copy(update={"seed": known_seed(kept_seed(parts))})
    run = SweepRun(loaded, options, batch_size, parts, progress)
    results = run.here(grid.states()) if workers == 1 and pool is None else run.elsewhere(grid.states(), workers, pool)
    found = doubts(loaded, grid, results, min_ess)
    dataset = to_dataset(loaded, grid, options, variables, results, min_ess)
    dataset.attrs["warnings"] = json.dumps([str(warning) for warning in found])
    if out is not None:
        _write(dataset, Path(out))
    give(found)
    return dataset


def _options(
    n: int,
    max_samples: int | None,
    target_error: Mapping[str, float] | None,
    observables: Sequence[str] | Mapping[str, Mapping[str, Any]],
    order: str | None,
    seed: int | None,
) -> SweepOptions:
    names = [observables] if isinstance(observables, str) else observables
    items_of("observables", names, str, "give registered names, or options by name")
    if isinstance(names, Mapping) and not all(isinstance(given, Mapping) for given in names.values()):
        raise InputError("observables", observables, "give the options of each by name, {} for none")
    if target_error is not None and not isinstance(target_error, Mapping):
        raise InputError("target_error", target_error, "give errors by name, e.g. {'x_Au': 1e-3}")
    n = whole_number("n", n, 2)
    wanted = {name: dict(names[name]) if isinstance(names, Mapping) else {} for name in names}
    most = (64 * n if target_error else n) if max_samples is None else whole_number("max_samples", max_samples, 2)
    if most < n:
        raise InputError("max_samples", max_samples, f"must be at least n = {n}")
    given = {"n": n, "max_samples": most, "target_error": dict(target_error or {}), "observables": wanted, "order": order, "seed": seed}
    return SweepOptions.parse(given)


def _checked(model: Model, grid: Grid, options: SweepOptions, min_ess: float) -> list[Variable]:
    """The variables of the dataset, with every name in ``options`` checked before anything is drawn."""
    finite_number("min_ess", min_ess, 0)
    model.resolve_plan(1, options.order, Stream(0))
    states = grid.states()
    probe = probe_samples(model.hamiltonian, states[0])
    variables = layout(probe, grid, options.observables)
    largest_excess({v.name: dict.fromkeys(v.components, Estimate(0.0, 0.0)) for v in variables}, options.target_error)
    return variables


def _folder(out: str | Path | None, folder: str | Path | None) -> Path | None:
    """The folder of parts, made if absent."""
    for argument, given in (("out", out), ("folder", folder)):
        if given is not None:
            path_text(argument, given)
    if out is not None and (Path(out).suffix != ".nc" or not Path(out).parent.is_dir() or Path(out).is_dir()):
        raise InputError("out", str(out), "give the name of a netCDF file, ending in .nc, in a folder that is there")
    if out is None and folder is None:
        return None
    parts = Path(f"{out}.parts" if folder is None else folder).absolute()
    if parts.exists() and not parts.is_dir():
        raise InputError("folder", str(parts), "is a file; name a folder for the parts")
    with writing(parts):
        parts.mkdir(parents=True, exist_ok=True)
    return parts


def _write(dataset: Dataset, path: Path) -> None:
    with replacing(path) as temporary:
        write_netcdf(temporary, dataset)


def _load(model: Model | str | Path, device: str) -> Model:
    from arlattice.models.checkpoint import load

    return model if isinstance(model, Model) else load(model, device=device)
