"""The program behind the Monte Carlo references, small, from the command line to the file, against enumeration."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import arlattice as arl
from arlattice.thermo.exact import Enumeration

SIZES = (
    "--temperatures=500,680,900,1200 --mu=-0.1,0 --rungs=12 --copies=16 --equilibration=30 --snapshots=30 --spacing=2 --samples=160 --line"
)
ANNEALING = "--population=64 --blocks=12 --annealing-rungs=20 --annealing-sweeps=2 --device=cpu"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "reference_cuau.py"
    spec = importlib.util.spec_from_file_location("reference_cuau", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hamiltonian() -> arl.Hamiltonian:
    return arl.load("cuau-2x2x4").hamiltonian


@pytest.fixture(scope="module")
def data(program: ModuleType, hamiltonian: arl.Hamiltonian, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    hamiltonian.save(folder / "cuau.safetensors")  # type: ignore[attr-defined]
    files = [f"--hamiltonian={folder / 'cuau.safetensors'}", f"--output={folder / 'data.npz'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "LINE_MU", np.linspace(-0.1, 0.1, 9))
        patch.setattr("sys.argv", ["reference_cuau.py", "run", *SIZES.split(), *ANNEALING.split(), *files])
        program.main()
    return folder / "data.npz"


def test_the_energies_and_atoms_are_those_of_the_kept_configurations(data: Path, program: ModuleType, hamiltonian: arl.Hamiltonian) -> None:
    """Exact energies, in the order (beta, mu, snapshot, copy); ten of the last fifteen snapshots of 16 copies are kept."""
    with np.load(data, allow_pickle=False) as file:
        beta, kept = file["beta"], arl.Lattice.check_occupations(hamiltonian.lattice, file["occupations"].reshape(-1, 16))
        energy, atoms = file["energy"], file["atoms"]
    rows = [int(np.abs(beta - 1 / (program.KT * t)).argmin()) for t in program.TARGETS]
    snapshots = np.linspace(15, 29, 10).astype(int)
    assert energy.shape == atoms.shape == (16, 2, 30, 16)
    assert len(kept) == 3 * 160
    assert np.allclose(energy[rows, 1][:, snapshots].ravel(), hamiltonian.energy(kept).numpy(), rtol=0, atol=1e-12)
    assert (atoms[rows, 1][:, snapshots].ravel() == kept.sum(1).numpy()).all()


@pytest.mark.filterwarnings("ignore:Unknown solver options:scipy.optimize.OptimizeWarning")  # from within pymbar
def test_both_estimates_and_the_line_agree_with_enumeration(
    data: Path, program: ModuleType, hamiltonian: arl.Hamiltonian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every log Z, x_Au and energy within 5 standard errors of 16 copies or 12 blocks, 10 of 4 copies on the line; seeds are fixed.

    With Student's t of 15, 11 and 3 degrees of freedom one of the 49 comparisons fails for nothing in about 1 of 30.
    """
    pytest.importorskip("pymbar")
    output = data.with_suffix(".json")
    monkeypatch.setattr("sys.argv", ["reference_cuau.py", "analyse", str(data), "--discard=0.1", f"--output={output}"])
    program.main()
    reference = json.loads(output.read_text())
    enumeration = Enumeration.of(hamiltonian)
    x_au = enumeration.occupations.double().mean(1)
    assert len(reference["states"]) == 4 * 2 + 3
    for row in reference["states"]:
        state = arl.SemiGrandCanonical(row["temperature"], {"Au": row["delta_mu"]})
        exact = {"log_z": enumeration.log_z(state), "x_Au": enumeration.mean(state, x_au)}
        exact |= {"energy_per_site": enumeration.mean(state, enumeration.energy / 16)}
        exact |= {key: exact["log_z"] for key in ("log_z_mbar", "log_z_annealing") if key in row}
        for key, value in exact.items():
            errors = 5 if "log_z_mbar" in row else 10
            assert abs(row[key] - value) < errors * row[f"{key}_error"] + 1e-6, (state, key)


def test_the_record_is_a_command_that_can_be_run_again(data: Path, hamiltonian: arl.Hamiltonian) -> None:
    with np.load(data, allow_pickle=False) as file:
        record = json.loads(str(file["record"]))
    assert record["command"].startswith(
        "python benchmarks/reference_cuau.py run --supercell=2,2,4 --temperatures=500,680,900,1200 --mu=-0.1,0 "
    )
    assert record["command"].endswith(" --line")
    assert str(data.parent) not in json.dumps(record)
    assert record["hamiltonian"]["fingerprint"] == hamiltonian.fingerprint


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("--temperatures=500,680", "--temperatures must hold 500, 680, 1200"), ("--mu=0.1 --line", "--line needs 0 among --mu")],
)
def test_ladders_without_the_states_they_need_are_told(
    program: ModuleType, wrong: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reference_cuau.py", "run", "--supercell=2,2,4", *wrong.split(), "--output=none.npz"])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert said in capsys.readouterr().err


@pytest.fixture
def more(data: Path) -> dict[str, np.ndarray]:
    """A run of the field -0.1 by itself, without annealing: other snapshots of the same chains."""
    with np.load(data, allow_pickle=False) as file:
        kept = {key: file[key] for key in ("record", "sites", "beta", "energy", "atoms")}
    return kept | {"mu": np.array([-0.1]), "energy": kept["energy"][:, :1, 10:], "atoms": kept["atoms"][:, :1, 10:]}


@pytest.mark.filterwarnings("ignore:Unknown solver options:scipy.optimize.OptimizeWarning")  # from within pymbar
def test_what_several_runs_say_of_a_state_is_pooled(
    data: Path, more: dict[str, np.ndarray], program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ladders by inverse variance, each without its share of snapshots; annealing and the other field stay as they were."""
    pytest.importorskip("pymbar")
    again, output = data.with_name("again.npz"), data.with_name("joined.json")
    np.savez(again, **more)
    rows = {}
    for name, files in {"first": [data], "second": [again], "both": [data, again]}.items():
        monkeypatch.setattr("sys.argv", ["reference_cuau.py", "analyse", *map(str, files), "--discard=0.1", f"--output={output}"])
        program.main()
        states = json.loads(output.read_text())["states"][:8]
        rows[name] = {(r["temperature"], r["delta_mu"]): r for r in states}
    assert len(json.loads(output.read_text())["further_runs"]) == 1
    for state, row in rows["both"].items():
        first, second = rows["first"][state], rows["second"].get(state)
        assert row["log_z_annealing"] == first["log_z_annealing"]
        assert abs(row["log_z"] - row["log_z_mbar"]) + abs(row["log_z"] - row["log_z_annealing"]) <= 2.0001 * row["log_z_error"]
        for key, alone in {"log_z_mbar": "log_z", "x_Au": "x_Au", "energy_per_site": "energy_per_site"}.items():
            if second is None:
                assert row[key] == first[key]
                continue
            ours, theirs = first[f"{key}_error"] ** -2, second[f"{alone}_error"] ** -2
            assert row[key] == pytest.approx((ours * first[key] + theirs * second[alone]) / (ours + theirs))
            assert row[f"{key}_error"] == pytest.approx((ours + theirs) ** -0.5)
    energies = more["energy"][int(np.abs(more["beta"] - 1 / (program.KT * 500)).argmin()), 0, 2:]  # a tenth of 20 snapshots left out
    assert rows["second"][500, -0.1]["energy_per_site"] == pytest.approx(energies.mean() / 16)


@pytest.mark.parametrize("other", ["hamiltonian", "temperatures"])
def test_runs_that_do_not_belong_together_are_refused(
    data: Path, more: dict[str, np.ndarray], program: ModuleType, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads(str(more["record"]))
    (record if other == "hamiltonian" else record["run"])[other] = {}
    again, output = data.with_name(f"{other}.npz"), data.with_name(f"{other}.json")
    np.savez(again, **more | {"record": np.array(json.dumps(record))})
    monkeypatch.setattr("sys.argv", ["reference_cuau.py", "analyse", str(data), str(again), f"--output={output}"])
    with pytest.raises(SystemExit, match="of another Hamiltonian or at other temperatures"):
        program.main()
    assert not output.exists()
