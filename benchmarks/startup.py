"""How long a program or a command takes before it does anything, revision beside revision, on one core.

Every round starts each program once in a fresh process, of one revision after the other, so that what else the machine does falls on
all of them alike. Times are from start to exit of the process; CPU times are those of the same processes, medians over the rounds.

    python benchmarks/startup.py                          # of HEAD
    python benchmarks/startup.py d0be8cb HEAD --keep      # of two revisions; writes benchmarks/results/startup.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tarfile import open as open_tar
from typing import Any

from pages.reading import RESULTS, ROOT, table

TORCH = "import torch"
PROGRAMS = {
    TORCH: ["-c", "import torch"],
    "import arlattice": ["-c", "import arlattice"],
    "import arlattice; arlattice.Lattice": ["-c", "import arlattice; arlattice.Lattice"],
    "arlattice --version": ["-m", "arlattice", "--version"],
    "arlattice --help": ["-m", "arlattice", "--help"],
    "arlattice sample --help": ["-m", "arlattice", "sample", "--help"],
    "arlattice plugins": ["-m", "arlattice", "plugins"],
}
Times = dict[tuple[str, str], list[tuple[float, float]]]
"""(revision, program) -> seconds and CPU seconds of every round."""


def main() -> None:
    """Measure, print the table, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="of git")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/startup.json")
    given = parser.parse_args()
    keep_to_one_core()
    with tempfile.TemporaryDirectory() as folder:
        trees = {revision: unpacked(revision, Path(folder) / str(k)) for k, revision in enumerate(given.revisions)}
        times = measured(trees, given.rounds)
    result = {
        "command": " ".join(["python benchmarks/startup.py", *given.revisions, "--rounds", str(given.rounds), "--keep"]),
        "device": f"CPU, {platform.machine()}, 1 core",
        "torch": version("torch"),
        "python": platform.python_version(),
        "rounds": given.rounds,
        "revisions": {revision: {"commit": commit(revision), **figures(revision, times)} for revision in given.revisions},
    }
    print(startup_table(result))
    if given.keep:
        (RESULTS / "startup.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def keep_to_one_core() -> None:
    """This process and those that it starts, where the system lets us say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["OMP_NUM_THREADS"] = "1"


def unpacked(revision: str, folder: Path) -> Path:
    """The package and its plugins as they are in a revision."""
    packed = subprocess.run(["git", "archive", revision, "arlattice", "plugins"], cwd=ROOT, capture_output=True, check=True).stdout
    with open_tar(fileobj=BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def commit(revision: str) -> str:
    """Its short hash."""
    done = subprocess.run(["git", "rev-parse", "--short", revision], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def measured(trees: Mapping[str, Path], rounds: int) -> Times:
    """All times; a first round, which compiles the modules to byte code, does not count."""
    times: Times = {(revision, program): [] for program in PROGRAMS for revision in trees}
    for k in range(rounds + 1):
        for (revision, program), found in times.items():
            one = seconds(PROGRAMS[program], trees[revision])
            found += [one] if k else []
    return times


def seconds(arguments: Sequence[str], tree: Path) -> tuple[float, float]:
    """From the start of Python to its exit: by the clock, and of the CPU."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "plugins")])}
    cpu, start = _cpu_seconds(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures(revision: str, times: Times) -> dict[str, Any]:
    """Medians of a revision by program, and by how much each exceeds ``import torch`` of the same round."""
    torch_alone = times[revision, TORCH]
    return {
        program: {
            "seconds": statistics.median(clock for clock, _ in found),
            "cpu_seconds": statistics.median(cpu for _, cpu in found),
            "above_torch": statistics.median(one[0] - other[0] for one, other in zip(found, torch_alone, strict=True)),
        }
        for program in PROGRAMS
        if (found := times[revision, program])
    }


def startup_table(result: Mapping[str, Any]) -> str:
    """One row a program, a column a revision: seconds (CPU seconds)."""
    revisions = result["revisions"]
    head = ["", *(f"`{name}`" if name == r["commit"] else f"`{name}` ({r['commit']})" for name, r in revisions.items())]
    rows = [[f"`{program}`", *(_cell(r[program]) for r in revisions.values())] for program in PROGRAMS]
    above = "import arlattice; arlattice.Lattice"
    rows.append([f"the same less `{TORCH}`: `{above}`", *(f"{r[above]['above_torch']:+.3f} s" for r in revisions.values())])
    return table(head, rows)


def _cell(found: Mapping[str, float]) -> str:
    return f"{found['seconds']:.3f} s ({found['cpu_seconds']:.3f})"


if __name__ == "__main__":
    main()
