"""`Table`: systems as columns, rows of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from arlattice.errors import InputError
from arlattice.hooks.options import suggestion
from arlattice_bench.job import Job
from arlattice_bench.published import Published
from arlattice_bench.recipes import Recipe, Scale
from arlattice_bench.system import System

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Systems, jobs, and what others published.

    Attributes:
        name: also the name of its files.
        title: one line.
        systems: columns.
        jobs: in the order to run them: what paints comes before what is painted.
        trainable: systems that the paper trains on; a row that a user adds is trained on these.
        scale: sizes and lengths, for the rows that a user adds.
        published: figures of others for the same systems.
    """

    name: str
    title: str
    systems: tuple[System, ...]
    jobs: tuple[Job, ...]
    trainable: tuple[System, ...]
    scale: Scale
    published: tuple[Published, ...] = ()

    @property
    def rows(self) -> list[str]:
        """Names of the rows, in order, each once."""
        return list(dict.fromkeys(job.row for job in self.jobs))

    def select(self, rows: Sequence[str], systems: Sequence[str]) -> list[Job]:
        """Jobs of the named rows and systems; an empty list of names means all.

        Raises:
            InputError: a name that the table does not have, or no such row in these systems.
        """
        _check_names("--rows", rows, self.rows)
        _check_names("--systems", systems, [system.name for system in self.systems])
        jobs = [job for job in self.jobs if (not rows or job.row in rows) and (not systems or job.system.name in systems)]
        if not jobs:
            raise InputError("--rows", ",".join(rows), f"not in {','.join(systems)}; --list shows what is")
        return jobs

    def adding(self, recipe: Recipe) -> Table:
        """The table with one more row, trained on the systems that the paper trains on.

        Raises:
            InputError: the table has a row of that name.
        """
        if recipe.row in self.rows:
            raise InputError("--model", recipe.row, "is a row of this table; name yours with --label")
        return replace(self, jobs=(*self.jobs, *self.scale.jobs([recipe], self.trainable)))

    def training_with(self, values: Mapping[str, Any]) -> Table:
        """The table with other training options in every row."""
        return replace(self, jobs=tuple(job.training_with(values) for job in self.jobs))


def _check_names(argument: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(argument, name, f"not in this table{suggestion(name, known)}")
