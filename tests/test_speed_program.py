"""benchmarks/physics.py: its turns, medians and ratios are what it says; speeds themselves are no test."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)  # as `python benchmarks/physics.py` has it
        return importlib.import_module(name)


pieces, work, worker, process, figures, fitted = (
    load(f"speed.{name}") for name in ("pieces", "work", "worker", "process", "figures", "fitted")
)
page = load("pages.speed")

ENERGY = pieces.Piece("arlattice", "energy", "cuau-64")


class Clock:
    """Stands for the module time: a loop of a `Work` takes what it is told."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds, self.calls = 0.0, seconds, []

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter

    def run(self, loops: int) -> None:
        self.calls.append(loops)
        self.now += loops * self.seconds


@pytest.mark.parametrize(("seconds", "loops"), [(1.0, 1), (0.1, 4), (1e-4, 3300)])
def test_a_repeat_lasts_at_least_as_long_as_asked_and_not_much_longer(seconds: float, loops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(seconds)
    monkeypatch.setattr(work, "time", clock)
    found, taken = work.loops_for(work.Work(clock.run, 1), 0.3)
    assert found == loops
    assert taken == pytest.approx(found * seconds) and taken >= 0.3
    assert clock.calls[:2] == [1, 1]  # one that compiles, one that is timed


def test_ratios_are_medians_over_the_rounds_that_both_took_part_in() -> None:
    ours = {"library": "arlattice", "units": 10, "seconds": [1.0, 2.0, 4.0]}
    theirs = {"library": "icet", "units": 20, "seconds": [1.0, 1.0, 1.0, 100.0]}
    absent = {"library": "smol", "error": "ModuleNotFoundError: smol"}
    first, second, third = figures.with_figures([ours, theirs, absent], "arlattice")
    assert first["per_second"] == {"median": 5.0, "lowest": 2.5, "highest": 10.0}
    assert first["ratio"] == {"icet": 0.25}
    assert "ratio" not in second and second["per_second"]["median"] == 20.0
    assert third == absent


def test_a_desk_times_what_it_prepared_and_tells_what_it_cannot_do() -> None:
    done: list[int] = []

    def prepare(piece: Any) -> Any:
        if piece.quantity != "energy":
            raise ValueError("no such thing")
        return work.Work(done.append, 5, {"note": "x"})

    desk = worker.Desk(prepare)
    ready = desk.answer({"prepare": ENERGY.to_dict(), "key": 3, "seconds": 0.0})
    assert (ready["loops"], ready["units"], ready["told"]) == (1, 5, {"note": "x"})
    assert set(desk.answer({"time": 3})) == {"seconds", "processor_seconds"} and len(done) == 3
    assert desk.answer({"prepare": {**ENERGY.to_dict(), "quantity": "wolff"}, "key": 0, "seconds": 0.0}) == {
        "error": "ValueError: no such thing"
    }
    assert desk.answer({"forget": True}) == {}
    assert "error" in desk.answer({"time": 3})


class Told:
    """Stands for a process: every repeat takes as long as the first."""

    def __init__(self, log: list[str], seconds: float, difference: float = 0.0) -> None:
        self.log, self.seconds, self.difference = log, seconds, difference

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if "prepare" in request:
            return {"loops": 2, "units": 64, "seconds": self.seconds, "told": {"largest_energy_difference": self.difference}}
        self.log += [f"{request['time']}"] if "time" in request else []
        return {"seconds": self.seconds, "processor_seconds": self.seconds}


def test_pieces_take_turns_and_slow_ones_sit_out_the_last_rounds() -> None:
    log: list[str] = []
    libraries = ("arlattice", "icet", "smol", "casm")
    case = pieces.Case("energy", "cuau-64", tuple(pieces.Piece(name, "energy", "cuau-64") for name in libraries))
    told = {"arlattice": Told(log, 0.3), "icet": Told(log, 8.0), "casm": Told(log, 0.3, difference=0.02)}
    rows = process.measure(case, told, repeats=4, seconds=0.3, budget=20.0)
    assert log == ["0", "1", "0", "1", "0", "1", "0"]
    assert [row["units"] for row in rows[:2]] == [128, 128]
    assert rows[2]["error"] == "not asked for" and "seconds" not in rows[2]
    assert rows[3]["error"] == "its energies are not ours: they differ by 2.0e-02"


@pytest.mark.skipif(importlib.util.find_spec("smol") is not None, reason="smol is here")
def test_a_peer_that_cannot_be_imported_is_absent(tmp_path: Path) -> None:
    with process.Process(sys.executable, "with_smol", tmp_path, "cpu", [0]) as peer:
        assert "ModuleNotFoundError" in peer.absent and not peer.versions
        assert peer.ask({"time": 0}) == {"error": peer.absent}


def test_sites_of_another_order_are_found_again() -> None:
    """FCC 2x3x4, their sites shuffled and moved by vectors of the supercell."""
    cell, supercell = np.array([[0.0, 1.9, 1.9], [1.9, 0.0, 1.9], [1.9, 1.9, 0.0]]), np.diag([2, 3, 4])
    cells = np.stack(np.meshgrid(range(2), range(3), range(4), indexing="ij"), -1).reshape(-1, 3)
    draws = np.random.Generator(np.random.PCG64(0))
    shuffled = draws.permutation(len(cells))
    moved = cells[shuffled] + draws.integers(-2, 3, cells.shape) @ supercell
    given = {"cell": cell, "supercell": supercell, "positions": cells @ cell}
    assert (shuffled[fitted.same_site(given, moved @ cell)] == np.arange(len(cells))).all()


def test_coefficients_give_the_energies_they_were_fitted_to() -> None:
    draws = np.random.Generator(np.random.PCG64(0))
    features, true = draws.standard_normal((30, 11)), draws.standard_normal(11)
    energies = features @ true
    assert np.allclose(fitted.coefficients(features, energies), true)
    assert fitted.largest_difference([float(energies[0]), float(energies[1]) + 0.5], {"energies": energies}) == pytest.approx(0.5)


def test_the_page_has_a_column_for_every_peer_that_was_timed() -> None:
    rows = figures.with_figures(
        [
            {**ENERGY.to_dict(), "units": 10, "seconds": [1e-4, 1e-4]},
            {**pieces.Piece("icet", "energy", "cuau-64").to_dict(), "units": 10, "seconds": [4e-4, 4e-4]},
            {**pieces.Piece("casm", "energy", "cuau-64").to_dict(), "error": "gone"},
        ],
        "arlattice",
    )
    result = {"command": "x", "device": "y", "torch": "z", "cases": [{"quantity": "energy", "system": "cuau-64", "rows": rows}]}
    head, _, ours, theirs, *rest = page.energies_table(result).splitlines()
    assert head.endswith("| us a configuration | / mchammer |")
    assert ours.endswith("| 10 (10 to 10) | 4 |") and theirs.endswith("| 40 (40 to 40) |  |")
    assert rest == ["", "`x` (y, torch z)"]


def test_the_page_says_when_the_core_was_shared() -> None:
    row = {**ENERGY.to_dict(), "units": 10, "seconds": [1.0, 1.0], "processor_seconds": [0.5, 0.7]}
    result = {"device": "one core of x", "cases": [{"quantity": "energy", "system": "cuau-64", "rows": [row]}]}
    assert "had 60% of it" in page.shared_core(result)
    assert not page.shared_core({**result, "device": "a GPU"})
    row["processor_seconds"] = [1.0, 0.99]
    assert not page.shared_core(result)


def test_an_import_is_set_against_that_of_torch_round_by_round() -> None:
    seconds = {"import torch": [1.0, 2.0, 3.0], "import arlattice": [1.2, 2.3, 3.1], "first heat bath": [0.1, 0.2, 0.3]}
    start_up = {"seconds": seconds, "import arlattice brings": ["torch"]}
    told = page.start_up_table({"command": "x", "device": "y", "torch": "z", "cases": [], "start_up": start_up})
    assert "| `import arlattice` above `import torch` | 0.20 (0.10 to 0.30) |" in told
    assert "| first heat bath | 0.20 (0.10 to 0.30) |" in told
    assert "loads `torch`." in told


def test_every_case_of_the_program_has_a_place_on_the_page() -> None:
    for case in (*pieces.cpu_cases(), *pieces.gpu_cases()):
        assert case.system in page.SYSTEMS
        assert len(set(case.pieces)) == len(case.pieces)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::arlattice_icet.compile.SelfInteractionWarning")
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # icet's way of calling spglib
def test_a_small_run_writes_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("icet")
    program, output = load("physics"), tmp_path / "physics.json"
    monkeypatch.setattr("sys.argv", ["physics", "--quick", "--only", "swap_differences", "-o", str(output)])
    program.main()
    (case,) = json.loads(output.read_text())["cases"]
    assert len(case["rows"]) == 4
    assert all(len(row["seconds"]) == 2 and row["per_second"]["median"] > 0 for row in case["rows"])
