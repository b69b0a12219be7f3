from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from arlattice import random_numbers
from arlattice.build import build_hamiltonian
from arlattice.io.records import read_tensors
from arlattice.models.build import build_model


class Ran(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


RunCli = Callable[..., Ran]


@pytest.fixture(autouse=True)
def fixed_seeds(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What takes a fresh seed gets 10^6, 10^6 + 1, ... in this test, so that the suite is the same in every run.

    The mark ``fresh_seeds`` leaves the library as it is.
    """
    if "fresh_seeds" not in request.keywords:
        seeds = itertools.count(10**6)
        monkeypatch.setattr(random_numbers, "fresh_seed", lambda: next(seeds))


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run the command line inside this process."""
    from arlattice.cli.main import run

    def run_and_capture(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_and_capture


@pytest.fixture(scope="session")
def ising_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small, untrained model of the 3x3 Ising model. Untrained models are normalised too."""
    hamiltonian = build_hamiltonian("ising", {"supercell": [3, 3]})
    folder = tmp_path_factory.mktemp("models") / "ising-3x3"
    build_model("any-order-transformer", hamiltonian, {"width": 16, "heads": 2, "layers": 1}).save(folder)
    return folder


@pytest.fixture
def without_clock() -> Callable[[Path], Any]:
    """What a file of a training run describes, without the seconds that the run took, and the bits of its tensors."""

    def read(path: Path) -> Any:
        tensors, described = read_tensors(path)
        for place in (described, described.get("record", {})):
            place.pop("seconds", None)
        return described, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}

    return read
