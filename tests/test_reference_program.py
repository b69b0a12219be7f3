"""The program behind the Monte Carlo references, small, from the command line to the file, against enumeration."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import arlattice as arl
from arlattice.ensemble import BOLTZMANN
from arlattice.random_numbers import Stream
from arlattice.thermo.exact import Enumeration

SIZES = (
    "--temperatures=500,680,900,1200 --mu=-0.1,0 --rungs=12 --copies=16 --equilibration=30 --snapshots=30 --spacing=4 --between=2"
    " --samples=160 --line"
)
ANNEALING = "--population=64 --blocks=12 --annealing-rungs=20 --annealing-sweeps=2 --device=cpu"


KT = BOLTZMANN["eV"]
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def program() -> Iterator[ModuleType]:
    spec = util.spec_from_file_location("reference_cuau", BENCHMARKS / "reference_cuau.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def hamiltonian() -> arl.Hamiltonian:
    return arl.load("cuau-2x2x4").hamiltonian


@pytest.fixture(scope="module")
def data(program: ModuleType, hamiltonian: arl.Hamiltonian, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    hamiltonian.save(folder / "cuau.safetensors")  # type: ignore[attr-defined]
    files = [f"--hamiltonian={folder / 'cuau.safetensors'}", f"--output={folder / 'data.npz'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program.line, "MU", np.linspace(-0.1, 0.1, 9))
        patch.setattr(program.simulate, "_SHORT", program.simulate._SHORT._replace(equilibration=20, snapshots=20, spacing=2))
        patch.setattr("sys.argv", ["reference_cuau.py", "run", *SIZES.split(), *ANNEALING.split(), *files])
        program.main()
    return folder / "data.npz"


def test_the_energies_and_atoms_are_those_of_the_kept_configurations(data: Path, program: ModuleType, hamiltonian: arl.Hamiltonian) -> None:
    """Exact energies, in the order (beta, mu, snapshot, copy); ten of the thirty snapshots of 16 copies are kept, the last among them."""
    found = program.data.read(data)
    kept, beta = program.data.configurations(found), found["beta"]
    snapshots = np.linspace(29, 0, 10).round().astype(int)[::-1]
    assert beta.shape == (15, 2)
    assert found["energy"].shape == found["atoms"].shape == (15, 2, 30, 16)
    assert sorted(kept) == [(t, m) for t in (500, 680, 900, 1200) for m in (-0.1, 0)]
    for (temperature, mu), x in kept.items():
        m = [-0.1, 0].index(mu)
        k = int(np.abs(beta[:, m] - 1 / (KT * temperature)).argmin())
        rows = hamiltonian.lattice.check_occupations(x.reshape(-1, 16))
        assert beta[k, m] == pytest.approx(1 / (KT * temperature), rel=1e-9)
        assert np.allclose(found["energy"][k, m, snapshots].ravel(), hamiltonian.energy(rows).numpy(), rtol=0, atol=1e-6)
        assert (found["atoms"][k, m, snapshots].ravel() == rows.sum(1).numpy()).all()


def test_half_of_the_copies_start_in_the_ideal_phases(program: ModuleType, hamiltonian: arl.Hamiltonian) -> None:
    """A run of no sweeps at infinite temperature leaves the starts: eight random copies, then eight of the sixteen ideal ones."""
    exchange, sublattices = program.simulate.exchange, importlib.import_module("references.sublattices")
    still = exchange.Schedule(equilibration=0, snapshots=1, spacing=0)
    state = np.zeros((1, 1))
    found = exchange.replica_exchange(hamiltonian, state, state, 16, still, Stream(0, "starts"), keep=np.zeros((1, 2), int))
    starts = found.occupations[0, 0]
    assert (starts[8:] == sublattices.ideal_occupations(hamiltonian.lattice)[:8]).all()
    assert len(np.unique(starts[:8], axis=0)) == 8


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


@pytest.mark.parametrize("wrong", ["--mu=0.1 --line", "--temperatures=500 --line"])
def test_lines_without_the_state_they_need_are_told(
    program: ModuleType, wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reference_cuau.py", "run", "--supercell=2,2,4", *wrong.split(), "--output=none.npz"])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert "--line needs 0 among --mu and 680 among --temperatures" in capsys.readouterr().err


@pytest.fixture
def more(data: Path) -> dict[str, np.ndarray]:
    """A run of the field -0.1 by itself, without annealing: other snapshots of the same chains."""
    with np.load(data, allow_pickle=False) as file:
        kept = {key: file[key] for key in ("record", "sites", "temperatures")}
        field = {key: file[key][:, :1] for key in ("beta", "energy", "atoms", "occupations")}
    return kept | field | {"mu": np.array([-0.1]), "energy": field["energy"][:, :, 10:], "atoms": field["atoms"][:, :, 10:]}


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
    energies = more["energy"][int(np.abs(more["beta"][:, 0] - 1 / (KT * 500)).argmin()), 0, 2:]  # a tenth of 20 snapshots left out
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
