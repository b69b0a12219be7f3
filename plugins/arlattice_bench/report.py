"""Results put together: one line a row, order and condition, with the gap to the reference; as JSON and Markdown.

The gap is <log p - log f> + log Z = KL(p || f/Z) >= 0 with p the model, from the model's own samples. It is found here, not when
the samples are drawn, so that a better reference needs no new run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from arlattice.ensemble import Ensemble
from arlattice.estimate import Estimate
from arlattice.io.files import write_text
from arlattice_bench.markdown import markdown
from arlattice_bench.origin import versions
from arlattice_bench.references import LogZ, Reference
from arlattice_bench.result import Result, read_result, read_rows
from arlattice_bench.run import specification
from arlattice_bench.settings import Settings
from arlattice_bench.system import System
from arlattice_bench.table import Table

__all__ = ["Line", "collect", "lines", "write"]


@dataclass(frozen=True)
class Line:
    """One row in one order at one condition; means over its states.

    Attributes:
        system: column of the paper's table.
        row: name of the row.
        how: where the model comes from.
        order: kind of drawing order.
        condition: label of the states.
        loss: <log p - log f>, nats.
        minus_log_z: of the reference; None where there is none yet.
        gap: loss - minus_log_z.
        log_z_error: log Z from the importance weights minus the reference, the worst of the states; a lost mode shows here.
        ess: mean effective share of the samples, from the model's own.
        lowest_ess: over the states.
        fewest: effective samples in the state that has the fewest; infinite where results do not hold the number drawn.
    """

    system: str
    row: str
    how: str
    order: str
    condition: str
    loss: Estimate
    minus_log_z: Estimate | None
    gap: Estimate | None
    log_z_error: float | None
    ess: float | None
    lowest_ess: float | None
    fewest: float


def collect(table: Table, settings: Settings) -> tuple[list[Result], list[str]]:
    """Results of the run folders; where a folder has none, what the table's file in the folder of results holds.

    So a row that is added to a table that was committed needs no other row to be run again.

    Returns:
        The results, and the names of those left out because the table now asks for other settings (samples and seeds
        apart, which the table shows).
    """
    path = settings.results / f"{table.name}.json"
    kept = read_rows(path) if path.is_file() else []
    names = {system.name for system in table.systems}
    results = {(row["system"], row["row"]): row for row in kept if row["system"] in names}
    for job in table.jobs:
        file = settings.folder(job) / "result.json"
        if file.is_file():
            results[job.system.name, job.row] = read_result(file)
    asked = {(job.system.name, job.row): _settled(specification(job, settings)) for job in table.jobs}
    stale = [key for key, r in results.items() if key in asked and _settled(r["specification"]) != asked[key]]
    current = [r for key, r in results.items() if key not in stale]
    return sorted(current, key=_position(table)), [" ".join(key) for key in stale]


def _settled(described: Any) -> Any:
    """A specification without samples and seeds."""
    if not isinstance(described, dict):
        return described
    return {key: _settled(value) for key, value in described.items() if key not in ("samples", "seed")}


def _position(table: Table) -> Callable[[Result], tuple[int, int]]:
    """Order of the systems and rows of the table; rows that it does not have come last."""
    systems, rows = [system.name for system in table.systems], table.rows
    return lambda r: (systems.index(r["system"]), rows.index(r["row"]) if r["row"] in rows else len(rows))


def lines(table: Table, results: Iterable[Result], settings: Settings) -> list[Line]:
    """One line a row, order and condition."""
    references = {system.name: _reference(system, settings) for system in table.systems}
    return [_line(result, entry, references[result["system"]]) for result in results for entry in result.get("conditions", [])]


def _reference(system: System, settings: Settings) -> LogZ:
    return system.reference(lambda: system.build(settings.hamiltonians), settings.results)


def _line(result: Result, entry: dict[str, Any], log_z: LogZ) -> Line:
    states = entry["states"]
    losses = [_estimate(s["elbo"], s["elbo_error"]) for s in states]
    found = [log_z(Ensemble.from_dict(s["state"])) for s in states]
    loss = _mean([Estimate(-e.value, e.error) for e in losses])
    known = [reference.log_z for reference in found if reference is not None]
    exact = _minus(known) if len(known) == len(states) else None
    ess = [_number(s["ess"]) for s in states]
    return Line(
        result["system"],
        result["row"],
        result["how"],
        entry["order"],
        entry["condition"],
        loss,
        exact,
        None if exact is None else Estimate(loss.value - exact.value, math.hypot(loss.error, exact.error)),
        None if exact is None else max((_number(s["log_z"]) - z.value for s, z in zip(states, known, strict=True)), key=abs),
        fmean(ess),
        min(ess),
        min(e * s.get("samples", math.inf) for e, s in zip(ess, states, strict=True)),
    )


def _mean(values: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates."""
    return Estimate(fmean(v.value for v in values), math.hypot(*(v.error for v in values)) / len(values))


def _minus(log_z: Sequence[Estimate]) -> Estimate:
    """Minus the mean of references, whose errors may be common to all."""
    return Estimate(-fmean(z.value for z in log_z), fmean(z.error for z in log_z))


def _estimate(value: float | None, error: float | None) -> Estimate:
    return Estimate(_number(value), math.inf if error is None else error)


def _number(value: float | None) -> float:
    """A figure of a result file; None stands for one that is not finite."""
    return math.nan if value is None else value


# -- files -----------------------------------------------------------------------------------------


def write(table: Table, results: list[Result], found: list[Line], settings: Settings) -> list[Path]:
    """``TABLE.json`` and ``TABLE.md`` in the folder of results."""
    settings.results.mkdir(parents=True, exist_ok=True)
    paths = [settings.results / f"{table.name}.{suffix}" for suffix in ("json", "md")]
    data = {
        "table": table.name,
        "title": table.title,
        **versions(),
        "systems": [_system(system, settings) for system in table.systems],
        "lines": [_plain(asdict(line)) for line in found],
        "published": [entry._asdict() for entry in table.published],
        "rows": results,
    }
    write_text(paths[0], _json(data))
    write_text(paths[1], markdown(table, results, found, data["systems"]))
    return paths


def _json(data: dict[str, Any]) -> str:
    """One line an entry of every list: thousands of figures in a file that can still be read and compared."""
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_entries(value)}" for key, value in data.items()) + "\n}\n"


def _entries(value: Any) -> str:
    return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in value) + "\n ]" if isinstance(value, list) else json.dumps(value)


def _system(system: System, settings: Settings) -> dict[str, Any]:
    log_z = _reference(system, settings)
    conditions = [{"condition": c.label, "states": [_exact(state, log_z(state)) for state in c.states]} for c in system.conditions]
    return {"system": system.name, **system.describe(), "conditions": conditions}


def _exact(state: Ensemble, reference: Reference | None) -> dict[str, Any]:
    found = {} if reference is None else {"log_z": reference.log_z.value, "error": reference.log_z.error, "source": reference.source}
    return {**state.to_dict(), **found}


def _plain(value: Any) -> Any:
    """JSON has no NaN; estimates become value and error."""
    if isinstance(value, Estimate):
        return {"value": _plain(value.value), "error": _plain(value.error)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
