"""Speed of energies and of Monte Carlo beside icet, smol and CASM's clexmonte: one core, all libraries in turns.

Each library runs in its own process, and only one works at a time: the first round of every piece of a case, then the second, and so on.
A ratio is the median over the rounds. Every piece is warmed up first. The peers' expansions have our clusters and our energies.

    python benchmarks/physics.py --peers PYTHON               # an interpreter with icet, smol, libcasm-clexmonte and casm-bset
    python benchmarks/physics.py --write-tables DIR           # compiled Hamiltonians, for a machine without icet
    python benchmarks/physics.py --device cuda --tables DIR   # ours alone on a GPU

Without --peers the peers are left out; one that cannot be imported is reported as absent.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from speed import systems
from speed.figures import with_figures
from speed.pieces import PEERS, THREADS, Case, cpu_cases, gpu_cases
from speed.process import Process, measure
from speed.start_up import measure_start_up

from arlattice.io.records import write_record

RESULTS = Path(__file__).parent / "results"
START_UP = "start-up"


def main() -> None:
    """Measure, and write one record."""
    arguments = _arguments()
    every = [*cpu_cases(), *gpu_cases()] if arguments.write_tables else gpu_cases() if arguments.device == "cuda" else cpu_cases()
    chosen = [case for case in every if _wanted(case, arguments)]
    started_up = arguments.device == "cpu" and (not arguments.only or START_UP in arguments.only) and not arguments.quick
    with _folder(arguments.tables or arguments.write_tables) as folder:
        names = {case.system for case in chosen if case.quantity != "build"} | ({"cuau-64"} if started_up else set())
        systems.write(folder, names, for_peers=arguments.peers is not None or arguments.write_tables is not None)
        if arguments.write_tables:
            return
        result = {**_origin(arguments), **_timed(chosen, arguments, folder)}
        if started_up:
            result["start_up"] = measure_start_up(folder / "cuau-64.safetensors", arguments.repeats)
    output = arguments.output or RESULTS / ("physics-cuda.json" if arguments.device == "cuda" else "physics.json")
    write_record(output, result)
    print(f"written: {output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of the other libraries")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="read compiled Hamiltonians here; what is missing is built")
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="write them, and what peers read, and end")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="that a repeat lasts at least")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of the repeats of one piece, at most")
    parser.add_argument("--only", nargs="+", metavar="TEXT", default=[], help="cases whose name holds one of these, or 'start-up'")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small systems, two short repeats")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.seconds, arguments.budget = 2, 0.01, 1.0
    return arguments


def _wanted(case: Case, arguments: argparse.Namespace) -> bool:
    if arguments.quick and (case.system != "cuau-64" or case.compared == THREADS):
        return False
    return not arguments.only or any(text in case.name for text in arguments.only)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _timed(cases: list[Case], arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The cases, each with its rows; versions; and which libraries are absent, and why."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    one, two, device = cores[-1:], cores[-2:], arguments.device
    with ExitStack() as stack:
        started = {"arlattice": Process(sys.executable, "with_arlattice", folder, device, one)}
        if any(case.compared == THREADS for case in cases) and len(two) == 2:
            started[THREADS] = Process(sys.executable, "with_arlattice", folder, device, two)
        for peer in PEERS if arguments.peers and device == "cpu" else ():
            started[peer] = Process(arguments.peers, f"with_{peer}", folder, device, one)
        for process in started.values():
            stack.enter_context(process)
        done = []
        for case in cases:
            print(case.name, file=sys.stderr, flush=True)
            rows = measure(case, started, arguments.repeats, arguments.seconds, arguments.budget)
            done.append({"quantity": case.quantity, "system": case.system, "rows": with_figures(rows, case.compared)})
        return {
            "versions": {name: version for process in started.values() for name, version in process.versions.items()},
            "absent": {name: process.absent for name, process in started.items() if process.absent},
            "cases": done,
        }


def _origin(arguments: argparse.Namespace) -> dict[str, Any]:
    """The command, the machine, and how busy it was."""
    options = [f"--{name}" for name in ("quick",) if getattr(arguments, name)]
    options += ["--peers PYTHON"] * bool(arguments.peers) + ["--device cuda --tables DIR"] * (arguments.device == "cuda")
    options += [f"--only {' '.join(arguments.only)}"] * bool(arguments.only)
    return {
        "command": " ".join(["python benchmarks/physics.py", *options]),
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else f"one core of {_processor()}",
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
