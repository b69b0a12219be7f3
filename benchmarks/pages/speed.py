"""docs/monte-carlo.md: how fast energies and moves are, beside other libraries."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pages.reading import read, source, table

__all__ = ["SECTIONS", "energies_table", "start_up_table", "trials_table"]

Row = Mapping[str, Any]

NAMES = {"icet": "mchammer", "smol": "smol", "casm": "CASM"}
SYSTEMS = {
    "cuau-64": "CuAu, 64 sites",
    "cuau-512": "CuAu, 512 sites",
    "cuau-4096": "CuAu, 4,096 sites",
    "ternary-64": "ternary, 64 sites",
    "ising-64x64": "Ising 64x64",
    "ising-60x60": "Ising 60x60",
}
FIRST, ABOVE, BELOW = "first heat bath", "import arlattice", "import torch"
_ALONE = 0.9
ENSEMBLES = ("semi-grand-canonical", "canonical")


def trials_table(result: Mapping[str, Any]) -> str:
    """Million trials a second, and how many times as many as each peer's one chain."""
    head = ["system", "who", "move", "chains", "arithmetic", "million trials/s", *_against(result)]
    rows = [
        [SYSTEMS[r["system"]], _who(r), r["how"], f"{r['count']:,}", r["dtype"], _spread(r, 1e6), *_ratios(r, result)]
        for case in _cases(result, ENSEMBLES)
        for r in _timed(case)
    ]
    return table(head, rows) + source(dict(result)) + shared_core(result)


def energies_table(result: Mapping[str, Any]) -> str:
    """Microseconds a configuration of 64 sites, alone and in a batch."""
    head = ["method", "who", "arguments", "batch", "arithmetic", "us a configuration", *_against(result)]
    names = ("energy", "flip_differences", "swap_differences", "completed_energies")
    rows = [
        [
            f"`{r['quantity']}`",
            NAMES.get(r["library"], r["library"]),
            r["how"],
            f"{r['count']:,}",
            r["dtype"],
            _micro(r),
            *_ratios(r, result),
        ]
        for case in _cases(result, names)
        for r in _timed(case)
    ]
    return table(head, rows) + source(dict(result))


def start_up_table(result: Mapping[str, Any]) -> str:
    """Seconds: of whole processes, of the first heat bath, of building; and how two threads compare with one."""
    start_up = result.get("start_up", {"seconds": {}, "import arlattice brings": []})
    timed = {name if name == FIRST else f"`{name}`": taken for name, taken in start_up["seconds"].items()}
    if {ABOVE, BELOW} <= start_up["seconds"].keys():
        pairs = zip(start_up["seconds"][ABOVE], start_up["seconds"][BELOW], strict=True)
        timed[f"`{ABOVE}` above `{BELOW}`"] = [above - below for above, below in pairs]
    timed |= {f"building {SYSTEMS[r['system']]}": r["seconds"] for case in _cases(result, ("build",)) for r in _timed(case)}
    rows = [[name, f"{statistics.median(taken):.2f} ({min(taken):.2f} to {max(taken):.2f})"] for name, taken in timed.items()]
    brought = ", ".join(f"`{name}`" for name in start_up["import arlattice brings"])
    told = [f"Of the heavy packages `import arlattice` loads {brought}."] if brought else []
    told += [f"Two threads on two cores: {'; '.join(threads)}."] if (threads := _threads(result)) else []
    return "\n\n".join([table(["what", "seconds"], rows), *told]) + source(dict(result))


def _threads(result: Mapping[str, Any]) -> list[str]:
    """How many times as fast two threads are as one, by quantity."""
    cases = [case for case in result["cases"] if case["quantity"].endswith(", threads")]
    rows = [(case["quantity"].split(",")[0], row) for case in cases for row in _timed(case) if "ratio" in row]
    return [f"{quantity}, {row['count']:,} at once: {_digits(row['ratio']['arlattice'])} times one" for quantity, row in rows]


def shared_core(result: Mapping[str, Any]) -> str:
    """Says so where other programs had the core too: ratios stand, speeds are too low."""
    shares = [sum(r["processor_seconds"]) / sum(r["seconds"]) for case in result["cases"] for r in _timed(case) if "processor_seconds" in r]
    if result["device"].startswith("one core") and shares and min(shares) < _ALONE:
        return f"\n\nOther programs ran on the core: the median piece had {statistics.median(shares):.0%} of it, one {min(shares):.0%}."
    return ""


def _cases(result: Mapping[str, Any], quantities: Iterable[str]) -> list[Mapping[str, Any]]:
    return [case for case in result["cases"] if case["quantity"] in quantities]


def _timed(case: Mapping[str, Any]) -> list[Row]:
    return [row for row in case["rows"] if row.get("seconds")]


def _against(result: Mapping[str, Any]) -> list[str]:
    return [f"/ {NAMES[peer]}" for peer in _peers(result)]


def _peers(result: Mapping[str, Any]) -> list[str]:
    """Peers that were timed."""
    seen = {row["library"] for case in result["cases"] for row in _timed(case)}
    return [peer for peer in NAMES if peer in seen]


def _ratios(row: Row, result: Mapping[str, Any]) -> list[str]:
    """Times as fast as each peer, to three digits; nothing in rows of the peers."""
    found = row.get("ratio", {})
    return [_digits(found[peer]) if peer in found else "" for peer in _peers(result)]


def _who(row: Row) -> str:
    return f"`{row['through']}`" if row["through"] else NAMES[row["library"]]


def _spread(row: Row, unit: float) -> str:
    """Median, and lowest to highest."""
    rates = row["per_second"]
    return f"{_digits(rates['median'] / unit)} ({_digits(rates['lowest'] / unit)} to {_digits(rates['highest'] / unit)})"


def _micro(row: Row) -> str:
    rates = row["per_second"]
    return f"{_digits(1e6 / rates['median'])} ({_digits(1e6 / rates['highest'])} to {_digits(1e6 / rates['lowest'])})"


def _digits(value: float) -> str:
    """Three digits, and no more than are there."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.6f}"


SECTIONS: dict[str, Callable[[], str]] = {
    "speed-trials": lambda: trials_table(read("physics")),
    "speed-energies": lambda: energies_table(read("physics")),
    "speed-start-up": lambda: start_up_table(read("physics")),
    "speed-gpu": lambda: trials_table(read("physics-cuda")),
    "speed-gpu-energies": lambda: energies_table(read("physics-cuda")),
}
