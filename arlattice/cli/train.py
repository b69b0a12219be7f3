"""``arlattice train``."""

from __future__ import annotations

import click

from arlattice.cli.command import Command, answer
from arlattice.cli.parameters import seed_option
from arlattice.errors import InputError

__all__ = ["train"]


@click.command(cls=Command)
@click.argument("config", metavar="CONFIG.toml")
@click.option("-o", "--output", "folder", metavar="RUNFOLDER", help="New folder for config, metrics and checkpoints.")
@click.option("--explain", is_flag=True, help="Print what is chosen where the file leaves it open, and why; do not train.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in RUNFOLDER.")
@click.option(
    "--hamiltonian", "hamiltonian_file", metavar="FILE", help="Hamiltonian from a file: compiled; for a model of any alloy icet's .ce too."
)
@click.option("--start", metavar="MODEL", help="Start from the weights of a trained model, of this or another supercell.")
@seed_option
@click.option("--time-limit", type=float, metavar="SECONDS", help="Stop with a checkpoint after so long; --resume goes on.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--device", help="cpu, cuda or cuda:1; by default a GPU if there is one.")
def train(
    config: str,
    folder: str | None,
    explain: bool,
    resume: bool,
    hamiltonian_file: str | None,
    start: str | None,
    seed: int | None,
    time_limit: float | None,
    quiet: bool,
    device: str | None,
) -> None:
    """Train a model as a TOML file says.

    RUNFOLDER gets the config, metrics.jsonl and checkpoints; `arlattice sample RUNFOLDER` draws from the model. A file needs the tables
    [hamiltonian] and [states]; what [model] and [training] leave open is chosen from lattice, states and device, and the run stops when
    it no longer improves.

    \b
    Examples:
      arlattice train alloy.toml --explain
      arlattice train configs/ising-10x10.toml -o run
      arlattice train configs/ising-10x10.toml -o run --resume
      arlattice train configs/cuau-4x4x4.toml -o run --device cuda --hamiltonian cuau.safetensors
      torchrun --nproc-per-node 2 -m arlattice train configs/ising-64x64.toml -o run --device cuda
    """
    from arlattice.training.config import RunConfig
    from arlattice.training.ranks import first_process
    from arlattice.training.train import explanation, run

    read = RunConfig.from_toml(config)
    if seed is not None:
        read = read.model_copy(update={"training": read.training.model_copy(update={"seed": seed})})
    if explain:
        text = explanation(read, start=start, device=device, hamiltonian_file=hamiltonian_file)
        if first_process():
            answer(text)
        return
    if folder is None:
        raise InputError("--output", None, "name a new folder for the run, or give --explain")
    model = run(
        read,
        folder,
        start=start,
        resume=resume,
        device=device,
        time_limit=time_limit,
        progress=not quiet,
        hamiltonian_file=hamiltonian_file,
    )
    if not first_process():
        return
    done, planned = model.record["steps"], model.record["planned_steps"]
    finished = f"trained model: {folder}"
    answer(
        finished
        if done == planned or "stopped" in model.record
        else f"unfinished model, {done} of {planned} steps: {folder}; go on with --resume"
    )
