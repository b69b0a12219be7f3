"""Whole files put together wrongly: each part has its digest, the whole is not what was written."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch

import arlattice as arl
from arlattice.models.build import build_model
from arlattice.models.trained_range import TrainedRange
from arlattice.training.metrics import MetricsLog

STATE = arl.SemiGrandCanonical(2.0)


def model_of(seed: int) -> arl.Model:
    torch.manual_seed(seed)
    model = build_model("any-order-mlp", arl.hamiltonian("ising", supercell=(3, 3)), {})
    model.record = {"seed": seed}
    return model


def frames(path: Path) -> list[str]:
    return re.split(r"(?m)^(?=9$)", path.read_text(encoding="utf-8"))[1:]


@pytest.mark.parametrize("picked", [(0, 0, 2, 3), (0, 1, 2, 2), (1, 0, 2, 3), (3, 2, 1, 0)], ids=str)
def test_a_frame_in_the_place_of_another_is_refused(picked: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    model_of(0).sample(4, STATE, seed=0).write(path)
    found = frames(path)
    path.write_text("".join(found[i] for i in picked), encoding="utf-8")
    with pytest.raises(arl.InputError, match="missing, doubled or exchanged"):
        arl.SampleSet.read(path)


def test_netcdf_saved_again_by_xarray_is_whole_and_with_a_changed_number_it_is_not(tmp_path: Path) -> None:
    import xarray

    samples = model_of(0).sample(4, STATE, seed=0)
    samples.write(tmp_path / "a.nc")
    dataset = xarray.load_dataset(tmp_path / "a.nc")
    dataset.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(arl.SampleSet.read(tmp_path / "again.nc").energy, samples.energy)
    dataset["log_prob"][1] += 1e-6
    dataset.to_netcdf(tmp_path / "changed.nc", engine="h5netcdf")
    with pytest.raises(arl.InputError, match="sha256"):
        arl.SampleSet.read(tmp_path / "changed.nc")


def test_a_resumed_run_drops_lines_that_are_no_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n[1, 2]\n{"x": 1}\n{"step": "a"}\n\xff\xfe\nnull\n' + b"[" * 100_000 + b'\n{"step": 9}\n{"st')
    MetricsLog(tmp_path, tensorboard=False).cut(5)
    assert path.read_text(encoding="utf-8") == '{"step": 1}\n'


@pytest.mark.parametrize(
    "given", [{"temperature": "x"}, {"units": "eV", "temperature": []}, {"units": "eV", "temperature": [1, 2], "compositions": 3}], ids=str
)
def test_a_trained_range_written_by_hand_and_wrongly_is_told(given: dict[str, object]) -> None:
    with pytest.raises(arl.InputError, match="trained_range"):
        TrainedRange.from_record({"trained_range": given})
