"""Training by several processes beside one: configurations a second, on the same machine in the same run.

The time of a step is the difference of two runs, a short and a longer one, so that what a run does before its first step does not count;
a run before them compiles what there is to compile.

    python benchmarks/several_gpus.py configs/ising-64x64.toml --processes 1 2 --output benchmarks/results/several-gpus.json
    python benchmarks/several_gpus.py configs/ising-16x16.toml --device cpu --steps 2 4 --batch-size 32  # minutes
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from references.readable_json import readable_json

from arlattice.io.files import write_text
from arlattice.training.config import RunConfig
from arlattice.training.ranks import first_process
from arlattice.training.train import run


def main() -> None:
    """Start one measurement for every number of processes, and write them beside one another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a run file; its Hamiltonian is used as it is built there")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, nargs=2, default=[20, 80], help="of the short and of the long run")
    parser.add_argument("--batch-size", type=int, help="of every process, instead of the file's")
    parser.add_argument("--equilibration-sweeps", type=int, default=20)
    parser.add_argument("--hamiltonian", help="compiled, where its plugin is not installed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        _seconds(arguments, arguments.steps[0])  # compiles what there is to compile
        seconds = [_seconds(arguments, steps) for steps in arguments.steps]
        if first_process():
            print(json.dumps(seconds))
        return
    rows: list[dict[str, Any]] = []
    for processes in arguments.processes:
        rows.append(row := _measured(arguments, processes))
        row["ratio"] = row["configurations_per_second"] / rows[0]["configurations_per_second"]
        print(
            ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()), flush=True
        )
        if arguments.output:
            about = {"device": torch.cuda.get_device_name() if arguments.device == "cuda" else arguments.device, "torch": torch.__version__}
            command = shlex.join(["python", "benchmarks/several_gpus.py", *sys.argv[1:]])
            write_text(arguments.output, readable_json({**about, "command": command, "rows": rows}))


def _measured(arguments: argparse.Namespace, processes: int) -> dict[str, Any]:
    """Configurations a second of so many processes together."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*start, __file__, "--inside", *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=True)
    short, long = json.loads(done.stdout.splitlines()[-1])
    (few, many), each = arguments.steps, _training(arguments, 1)["batch_size"]
    seconds = (long - short) / (many - few)
    return {"processes": processes, "seconds_a_step": seconds, "batch_size": each, "configurations_per_second": processes * each / seconds}


def _training(arguments: argparse.Namespace, steps: int) -> dict[str, Any]:
    training = RunConfig.from_toml(arguments.config).training.model_dump()
    given = {} if arguments.batch_size is None else {"batch_size": arguments.batch_size}
    more = {"steps": steps, "evaluate_every": steps, "checkpoint_every": steps, "evaluate_samples": 16}
    return training | more | {"equilibration_sweeps": arguments.equilibration_sweeps} | given


def _seconds(arguments: argparse.Namespace, steps: int) -> float:
    """That a run takes, evaluation and all."""
    config = RunConfig.from_toml(arguments.config)
    config = config.model_copy(update={"training": type(config.training)(**_training(arguments, steps))})
    with TemporaryDirectory() as folder:
        model = run(config, Path(folder) / "run", device=arguments.device, progress=False, hamiltonian_file=arguments.hamiltonian)
    return float(model.record["seconds"])


if __name__ == "__main__":
    main()
