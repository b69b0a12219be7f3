"""A table for people: Markdown, with references, costs and memory under the figures of every system."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from arlattice.estimate import Estimate

if TYPE_CHECKING:
    from arlattice_bench.report import Line
    from arlattice_bench.result import Result
    from arlattice_bench.table import Table

__all__ = ["markdown"]

_LEGEND = (
    "Nats for the whole lattice, standard errors in brackets in units of the last digit. gap = <log p - log f> + log Z. "
    "log Z by weights: the estimate from the importance weights minus the reference, worst state; a lost mode shows there. "
    "ESS: from the model's own samples. A painted row has the parameters, time and memory of the model that paints."
)


def markdown(table: Table, results: list[Result], found: list[Line], systems: list[dict[str, Any]]) -> str:
    """The whole table for people; ``systems`` as in the JSON."""
    parts = [f"# {table.title}: `arlattice bench {table.name.removesuffix('-small')}`", _LEGEND]
    for system in systems:
        name = system["system"]
        here = [r for r in results if r["system"] == name]
        if here:
            figures = _figures([line for line in found if line.system == name])
            parts += [f"## {name}", figures, _costs(here), _memory(here), _references(system)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(found: list[Line]) -> str:
    head = ["row", "order", "condition", "<log p - log f>", "-log Z", "gap", "log Z by weights", "ESS", "lowest ESS"]
    rows = [
        [
            f"{line.row} ({line.how})",
            line.order,
            line.condition,
            str(line.loss),
            "-" if line.minus_log_z is None else _reference_text(line.minus_log_z),
            "-" if line.gap is None else str(line.gap),
            "-" if line.log_z_error is None else f"{line.log_z_error:+.3f}",
            f"{line.ess:.3f}",
            f"{line.lowest_ess:.3f}",
        ]
        for line in found
    ]
    return _table(head, rows) if rows else ""


def _references(system: dict[str, Any]) -> str:
    """log Z of every state and where it is from."""
    states = [s for c in system["conditions"] for s in c["states"]]
    unique = {json.dumps([s["temperature"], s["chemical_potentials"]]): s for s in states if "log_z" in s}
    rows = [
        [f"{s['temperature']:.6g}", json.dumps(s["chemical_potentials"]), _reference_text(Estimate(s["log_z"], s["error"])), s["source"]]
        for s in unique.values()
    ]
    return _table(["T", "chemical potentials", "log Z", "from"], rows) if rows else ""


def _reference_text(value: Estimate) -> str:
    return f"{value.value:.4f}" if value.error == 0 else str(value)


def _costs(results: list[Result]) -> str:
    head = ["row", "parameters", "training", "peak memory", "device", "made with", "seed", "command"]
    rows = [_cost(r) for r in results if "cost" in r]
    return _table(head, rows) if rows else ""


def _cost(r: Result) -> list[str]:
    cost = r["cost"]
    spent = [f"{r['parameters']:,}", f"{cost['seconds']:.0f} s", f"{_size(cost['peak_bytes'])} ({cost['memory_of']})"]
    made_with = f"arlattice {r['arlattice']}, torch {r['torch']}, Python {r['python']}"
    return [r["row"], *spent, cost["device"], made_with, str(r["specification"]["training"]["seed"]), f"`{r['command']}`"]


def _memory(results: list[Result]) -> str:
    head = ["row, not trained", "one step, bytes by batch", "a configuration", "batch", "bytes", "of", "device"]
    rows = [_memory_row(r) for r in results if "memory" in r]
    return _table(head, rows) if rows else ""


def _memory_row(r: Result) -> list[str]:
    m = r["memory"]
    batches = ", ".join(f"{b['batch']}: {_size(b['bytes'])}" for b in m["batches"])
    each = "-" if m["bytes"] is None else _size(m["bytes_per_configuration"])
    total = "-" if m["bytes"] is None else _size(m["bytes"]) + " (extrapolated)" * m["extrapolated"]
    return [r["row"], batches, each, str(m["batch"]), total, m["memory_of"], r["device"]]


def _size(size: float) -> str:
    """Bytes as kB, MB or GB, three digits."""
    unit, name = next(((u, n) for u, n in ((1e9, "GB"), (1e6, "MB")) if size >= u), (1e3, "kB"))
    return f"{size / unit:.3g} {name}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
