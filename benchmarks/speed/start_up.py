"""What starting costs: whole processes, timed from outside, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["HEAVY", "measure_start_up"]

HEAVY = ("icet", "matplotlib", "numba", "pymatgen", "torch")

_COMMANDS: dict[str, list[str]] = {
    "import torch": ["-c", "import torch"],
    "import arlattice": ["-c", "import arlattice"],
    "arlattice --help": ["-m", "arlattice", "--help"],
    "arlattice plugins": ["-m", "arlattice", "plugins"],
}

_FIRST_CALL = """
import sys, time
import torch
import arlattice as arl
from arlattice.montecarlo import sample_chains
hamiltonian = arl.ClusterHamiltonian.load(sys.argv[1])
started = time.perf_counter()
sample_chains(hamiltonian, arl.SemiGrandCanonical(800.0), chains=16, sweeps=1, burn_in=0, thin=1, seed=0)
print(time.perf_counter() - started)
"""

_LOADED = f"import sys, json, arlattice; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"


def measure_start_up(tables: Path, repeats: int) -> dict[str, Any]:
    """Seconds of each command, the first heat bath of a process whose kernels were compiled before, and what an import brings along.

    Args:
        tables: the compiled Hamiltonian of the first call.
        repeats: rounds after one that fills the caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in (*_COMMANDS, "first heat bath")}
    for turn in range(repeats + 1):
        for name, arguments in _COMMANDS.items():
            started = time.perf_counter()
            _output(arguments)
            seconds[name] += [time.perf_counter() - started] * (turn > 0)
        seconds["first heat bath"] += [float(_output(["-c", _FIRST_CALL, str(tables)]))] * (turn > 0)
    return {"seconds": seconds, "import arlattice brings": json.loads(_output(["-c", _LOADED]))}


def _output(arguments: Sequence[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True).stdout
