"""`Call`: what ``arlattice bench`` was asked for, and what that means: a table, jobs and settings."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arlattice.arguments import finite_number
from arlattice.cli.parameters import read_assignments
from arlattice.errors import InputError

if TYPE_CHECKING:
    import torch

    from arlattice_bench.job import Job
    from arlattice_bench.recipes import Recipe
    from arlattice_bench.settings import Settings
    from arlattice_bench.table import Table

__all__ = ["FIGURE", "TABLES", "Call"]

TABLES = {
    "paper-table-1": "arlattice_bench.paper_table_1",
    "paper-table-2": "arlattice_bench.paper_table_2",
    "mam-ising": "arlattice_bench.mam_ising",
}
"""Modules of the tables by name."""

FIGURE = "figure-2"
"""Drawn from the models of the first table."""


@dataclass(frozen=True)
class Call:
    """The arguments of ``arlattice bench``, as the command line gives them: an attribute an option, ``name`` the table."""

    name: str
    small: bool
    rows: str
    systems: str
    only_list: bool
    model: str | None
    options: tuple[str, ...]
    objective: str
    label: str | None
    training: tuple[str, ...]
    runs: str
    results: str
    hamiltonians: str | None
    samples: int | None
    seed: int | None
    time_limit: float | None
    device: str | None
    quiet: bool
    as_json: bool

    def table(self) -> Table:
        """The table that is asked for, with the row that the user adds.

        Raises:
            InputError: no such table, or options that do not belong together.
        """
        if self.name == FIGURE and (self.rows or self.systems or self.model):
            argument = "--rows" if self.rows else "--systems" if self.systems else "--model"
            raise InputError(argument, self.rows or self.systems or self.model, f"{FIGURE} has its own rows")
        table = _table(self.name, self.small, self.training)
        if self.model is not None:
            return table.adding(self._recipe(self.model))
        if self.options or self.label:
            argument = "--set" if self.options else "--label"
            raise InputError(argument, (*self.options, self.label)[0], "belongs to --model; name the model of your row")
        return table

    def settings(self, table: Table) -> Settings:
        """How to run the jobs of the table."""
        from arlattice_bench.settings import Settings

        return Settings(
            table=table.name,
            runs=Path(self.runs),
            results=Path(self.results),
            hamiltonians=_folder(self.hamiltonians),
            device=_device(self.device),
            seed=self.seed,
            samples=self.samples or (256 if self.small else 4096),
            time_limit=None if self.time_limit is None else finite_number("--time-limit", self.time_limit, 0),
            progress=not self.quiet,
            plugins=_plugins(),
            arguments=_shown(("--training", text) for text in self.training),
        )

    def jobs(self, table: Table) -> list[Job]:
        """Those of the rows and systems that are asked for; with a row of the user's and no other, that row."""
        added = [] if self.model is None else [self.label or self.model]
        return table.select(_words(self.rows) or added, _words(self.systems))

    def _recipe(self, model: str) -> Recipe:
        """The row that the user adds; unknown names are refused here, before anything runs."""
        from arlattice.hooks.manager import default_manager
        from arlattice_bench.recipes import Recipe

        label = self.label
        if label and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", label):
            raise InputError("--label", label, "use letters, digits and any of _ . + -")
        values = read_assignments("--set", self.options)
        default_manager().models[model].parse_options(values, "--set", by_hand=True)
        default_manager().objectives[self.objective].load_factory()
        named = [("--model", model), *(("--set", text) for text in self.options), ("--objective", self.objective)]
        return Recipe(label or model, model, self.objective, values, _shown(named + ([("--label", label)] if label else [])))


def _table(name: str, small: bool, training: tuple[str, ...]) -> Table:
    from arlattice.hooks.options import suggestion
    from arlattice.training.config import TrainingOptions

    known = [*TABLES, FIGURE]
    if name not in known:
        raise InputError("name", name, f"not a table{suggestion(name, known)}")
    values = read_assignments("--training", training)
    TrainingOptions.parse(values, "--training")
    table: Table = importlib.import_module(TABLES.get(name, TABLES["paper-table-1"])).table(small)
    return table.training_with(values)


def _shown(pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{option} {shlex.quote(text)}" for option, text in pairs)


def _plugins() -> str:
    """The ``-p`` options of this call."""
    parent = click.get_current_context().parent
    return _shown(("-p", text) for text in (parent.params.get("plugin") or () if parent else ()))


def _folder(path: str | None) -> Path | None:
    if path is not None and not Path(path).is_dir():
        raise InputError("--hamiltonians", path, "no such folder")
    return None if path is None else Path(path)


def _device(name: str | None) -> torch.device:
    import torch

    from arlattice.device import check_device

    return check_device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]
