"""A trained model on disk: whole or absent, read without running code, refused for another Hamiltonian."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import arlattice as arl
from arlattice.io.records import read_tensors, write_tensors
from arlattice.models.any_order_transformer import AnyOrderTransformer, AnyOrderTransformerOptions
from arlattice.models.base import Model
from arlattice.models.checkpoint import read_record, shipped_models
from arlattice.testing import Case, randomise, small_cases

TINY = {"width": 16, "heads": 2, "layers": 1}
CASES = {case.name: case for case in small_cases()}
STATE = arl.SemiGrandCanonical(2.0, {"up": 0.1})


def ising(**options: Any) -> arl.Hamiltonian:
    return arl.hamiltonian("ising", **({"supercell": (3, 3)} | options))


def transformer(hamiltonian: arl.Hamiltonian) -> Model:
    model = randomise(AnyOrderTransformer(hamiltonian, AnyOrderTransformerOptions(**TINY)))
    model.name, model.record = "any-order-transformer", {"steps": 7, "device": "a test"}
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    transformer(ising()).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_a_model_comes_back_to_the_bit(case: Case, tmp_path: Path) -> None:
    """Without its Hamiltonian's code: the compiled tables are in the file."""
    model = transformer(case.hamiltonian)
    model.save(tmp_path / "model")
    loaded = arl.load(tmp_path / "model")
    assert loaded.fingerprint == model.fingerprint and loaded.record == model.record and not loaded.training
    one, other = (m.sample(20, case.state, seed=3) for m in (model, loaded))
    assert one.log_prob is not None and other.log_prob is not None
    assert (
        torch.equal(one.occupations, other.occupations)
        and torch.equal(one.log_prob, other.log_prob)
        and torch.equal(one.energy, other.energy)
    )
    assert loaded.hamiltonian.fingerprint == case.hamiltonian.fingerprint and loaded.lattice.fingerprint == model.lattice.fingerprint


def test_a_model_trained_or_saved_twice_is_the_same_file(saved: Path, tmp_path: Path) -> None:
    arl.load(saved).save(tmp_path / "again")
    for name in ("model.safetensors", "model.json"):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_run_folder_loads_its_model(tmp_path: Path) -> None:
    brief = {"steps": 2, "batch_size": 4, "reverse_states": 1, "reverse_samples": 2, "equilibration_sweeps": 1, "evaluate_samples": 4}
    trained = arl.train(ising(), STATE, model_options=TINY, training=brief, folder=tmp_path / "run", device="cpu", progress=False)
    assert arl.load(tmp_path / "run").fingerprint == arl.load(tmp_path / "run" / "model").fingerprint == trained.fingerprint
    assert read_record(tmp_path / "run") == trained.record


def test_shipped_models_load_by_name_and_are_of_what_they_are_called() -> None:
    for name in shipped_models():
        model = arl.load(name)
        assert model.lattice.n_sites > 0 and read_record(name) == model.record
        assert model.hamiltonian.name == ("ideal" if "family" in model.record else name.split("-")[0])


# -- the right Hamiltonian -------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"J": 1.5}, {"supercell": (3, 4)}, {"h": 0.3}])
def test_another_hamiltonian_is_refused(other: dict[str, Any], saved: Path) -> None:
    with pytest.raises(arl.InputError, match="not those this model was trained for"):
        arl.load(saved, hamiltonian=ising(**other))


def test_other_species_are_refused(saved: Path) -> None:
    right = ising()
    swapped = arl.FunctionHamiltonian(arl.square(3, ["up", "down"]), right.energy, units="reduced")
    with pytest.raises(arl.InputError, match="lattice, species or energies"):
        arl.load(saved, hamiltonian=swapped)


def test_the_same_hamiltonian_in_another_form_is_welcome(saved: Path) -> None:
    right = ising()
    black_box = arl.FunctionHamiltonian(right.lattice, right.energy, units="reduced")
    assert arl.load(saved, hamiltonian=right).hamiltonian is right
    assert arl.load(saved, hamiltonian=black_box).hamiltonian is black_box


def test_a_black_box_model_loads_with_its_hamiltonian_only(tmp_path: Path) -> None:
    black_box = arl.FunctionHamiltonian(arl.square(3), lambda x: x.sum(1).double(), units="reduced", name="mine")
    model = transformer(black_box)
    model.save(tmp_path / "model")
    with pytest.raises(arl.InputError, match="mine"):
        arl.load(tmp_path / "model")
    assert arl.load(tmp_path / "model", hamiltonian=black_box).fingerprint == model.fingerprint


# -- whole or absent -------------------------------------------------------------------------------


def test_a_crash_while_saving_leaves_the_model_before_and_no_litter(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    newer = randomise(transformer(ising()), 1)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    for target, name in (("safetensors.torch", "save_file"), ("os", "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(f"{target}.{name}", full)
            with pytest.raises(OSError, match="no space"):
                newer.save(saved)
        assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    newer.save(saved)
    assert arl.load(saved).fingerprint == newer.fingerprint


# -- damaged and hostile files ---------------------------------------------------------------------


class Touch:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_not_run(saved: Path, tmp_path: Path) -> None:
    trap = tmp_path / "it ran"
    for write in (
        lambda path: path.write_bytes(pickle.dumps(Touch(trap))),
        lambda path: torch.save({"weights": torch.zeros(1), "trap": Touch(trap)}, path),
    ):
        write(saved / "model.safetensors")
        with pytest.raises(arl.InputError, match="damaged"):
            arl.load(saved)
        assert not trap.exists()
    pickle.loads(pickle.dumps(Touch(trap)))
    assert trap.exists(), "the trap itself must work"


@pytest.mark.parametrize("part", [0, 4, 100, 0.5, -1])
def test_a_truncated_file_is_told(part: float, saved: Path) -> None:
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole)) if 0 < part < 1 else int(part)])
    with pytest.raises(arl.InputError, match="damaged"):
        arl.load(saved)


def test_flipped_bits_in_the_header_never_escape_as_another_error(saved: Path) -> None:
    """Every 37th byte of the header, 3 values each: loads or is refused with an `InputError`."""
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for position in range(0, length, 37):
        for value in (0, 0x22, 0x7F):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                arl.load(saved)
            except arl.InputError:
                refused += 1
    assert refused > length / 37


def edit(path: Path, change: Any) -> None:
    tensors, description = read_tensors(path)
    change(tensors, description)
    write_tensors(path, tensors, description)


EDITS: dict[str, Any] = {
    "no format": lambda t, d: d.pop("format"),
    "another format": lambda t, d: d.update(format="arlattice-checkpoint-1"),
    "no model": lambda t, d: d.pop("model"),
    "unknown model": lambda t, d: d.update(model="mixture-of-experts"),
    "model of a wrong type": lambda t, d: d.update(model=["any-order-transformer"]),
    "unknown option": lambda t, d: d["model_options"].update(colour="red"),
    "options of a wrong type": lambda t, d: d.update(model_options=3),
    "other width": lambda t, d: d["model_options"].update(width=32),
    "width that does not divide": lambda t, d: d["model_options"].update(width=18),
    "no fingerprint": lambda t, d: d.pop("hamiltonian_fingerprint"),
    "other fingerprint": lambda t, d: d.update(hamiltonian_fingerprint="0" * 16),
    "no weights": lambda t, d: [t.pop(k) for k in list(t) if k.startswith("weights.")],
    "one weight missing": lambda t, d: t.pop("weights.head.bias"),
    "one weight more": lambda t, d: t.update({"weights.head.more": torch.zeros(2)}),
    "no tables": lambda t, d: [t.pop(k) for k in list(t) if k.startswith("hamiltonian.")],
    "sites out of range": lambda t, d: t["hamiltonian.clusters.2.sites"].add_(100),
    "tables out of range": lambda t, d: t["hamiltonian.clusters.2.table"].add_(100),
    "tables of another shape": lambda t, d: t.update({"hamiltonian.clusters.2.energies": torch.zeros(3)}),
    "tables of a strange name": lambda t, d: t.update({"hamiltonian.clusters.two.sites": torch.zeros(1)}),
    "no lattice": lambda t, d: d["compiled"].pop("lattice"),
    "lattice of a wrong type": lambda t, d: d["compiled"].update(lattice=[1, 2]),
    "singular supercell": lambda t, d: d["compiled"]["lattice"].update(supercell=[[0, 0, 0]] * 3),
    "cell of words": lambda t, d: d["compiled"]["lattice"].update(cell=[["a"] * 3] * 3),
    "unknown units": lambda t, d: d["compiled"].update(units="furlong"),
    "constant of a wrong type": lambda t, d: d["compiled"].update(constant="zero"),
    "compiled of a wrong type": lambda t, d: d.update(compiled="yes"),
    "not compiled, Hamiltonian of a wrong type": lambda t, d: (d.pop("compiled"), d.update(hamiltonian=7)),
    "not compiled, unknown Hamiltonian": lambda t, d: (d.pop("compiled"), d["hamiltonian"].update(name="heisenberg")),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_a_file_that_does_not_fit_together_is_told(change: Any, saved: Path) -> None:
    edit(saved / "model.safetensors", change)
    with pytest.raises(arl.InputError) as told:
        arl.load(saved)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("description", ["[]", "3", "null", '"text"', "{", ""])
def test_a_description_that_is_not_a_table_is_told(description: str, saved: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weights.a": torch.zeros(1)}, saved / "model.safetensors", {"description": description})
    with pytest.raises(arl.InputError, match="damaged"):
        arl.load(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"record": 3}', '{"format": "x"}', "\xff"])
def test_a_damaged_record_is_told(text: str, saved: Path) -> None:
    (saved / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(arl.InputError, match=r"model\.json"):
        arl.load(saved)


def test_the_record_is_in_the_weights_file_too(saved: Path) -> None:
    (saved / "model.json").unlink()
    assert arl.load(saved).record == read_record(saved) == {"steps": 7, "device": "a test"}


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    for name in (tmp_path / "nothing", "no-such-model", tmp_path):
        with pytest.raises(arl.InputError, match=r"neither a folder with model\.safetensors nor a shipped model"):
            arl.load(name)


@pytest.mark.parametrize("device", ["gpu", "cuda:99" if torch.cuda.is_available() else "cuda", ""])
def test_a_device_that_is_not_there_is_told(device: str, saved: Path) -> None:
    with pytest.raises(arl.InputError, match="device"):
        arl.load(saved, device=device)


def test_a_copied_folder_is_all_that_is_needed(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "elsewhere")
    shutil.rmtree(saved)
    assert json.loads((tmp_path / "elsewhere" / "model.json").read_text())["record"]["steps"] == 7
    assert len(arl.load(tmp_path / "elsewhere").sample(3, STATE)) == 3


HAMILTONIAN_EDITS = {name: change for name, change in EDITS.items() if name.startswith(("tables", "sites"))}


@pytest.mark.parametrize("change", HAMILTONIAN_EDITS.values(), ids=HAMILTONIAN_EDITS)
def test_a_compiled_hamiltonian_that_does_not_fit_together_is_told(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "ising.safetensors"
    hamiltonian = ising()
    assert isinstance(hamiltonian, arl.ClusterHamiltonian)
    hamiltonian.save(path)
    tensors, description = read_tensors(path)
    prefixed = {f"hamiltonian.{key}": t for key, t in tensors.items()}
    change(prefixed, {})
    write_tensors(path, {key.removeprefix("hamiltonian."): t for key, t in prefixed.items()}, description)
    with pytest.raises(arl.InputError, match="damaged"):
        arl.ClusterHamiltonian.load(path)


def test_the_record_of_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    """Both files are whole; they do not belong together."""
    other = randomise(transformer(ising()), 5)
    other.record = {"steps": 9}
    other.save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.json", saved / "model.json")
    for read in (arl.load, read_record):
        with pytest.raises(arl.InputError, match="the record beside it belongs to another file"):
            read(saved)
