"""``arlattice inpaint``: every way to say what is unknown, larger supercells, pictures, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from ase.build import bulk

import arlattice as arl
from arlattice.errors import MissingExtraError
from arlattice.io import picture
from arlattice.models.build import build_model

pytestmark = pytest.mark.filterwarnings(
    "ignore::arlattice.LowEssWarning"
)  # few samples on purpose; tests/test_reliability.py has the warnings

RunCli = Callable[..., Any]
CUAU = arl.Lattice.from_ase(bulk("Cu", a=3.8), ["Cu", "Au"], (2, 2, 4))


def larger(size: tuple[int, int] = (4, 5)) -> tuple[arl.Hamiltonian, torch.Tensor]:
    """A partly known configuration on a lattice larger than the model's."""
    hamiltonian = arl.hamiltonian("ising", supercell=size)
    known = torch.arange(hamiltonian.lattice.n_sites) % 2
    known[3:9] = -1
    return hamiltonian, known


def inpaint(run_cli: RunCli, model: object, structure: Path, *more: object) -> Any:
    return run_cli("inpaint", model, structure, "-n", 6, "--temperature", 2, "--quiet", *more)


# -- what is unknown -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["extxyz", "vasp", "cif"])
@pytest.mark.parametrize("said", ["atoms X", "no atoms", "mask file"])
def test_unknown_sites_come_through_every_format(run_cli: RunCli, tmp_path: Path, suffix: str, said: str) -> None:
    """CIF keeps no directions of the cell vectors; the structure is turned to those of the model."""
    known = torch.arange(16) % 2
    known[[2, 7, 8]] = -1
    atoms = CUAU.to_ase(known.clamp(min=0) if said == "mask file" else known)
    path, mask = tmp_path / f"known.{suffix}", tmp_path / "mask.txt"
    mask.write_text("2 7\n8\n")
    ase.io.write(path, atoms[atoms.numbers > 0] if said == "no atoms" else atoms)
    more = ["--mask", mask] if said == "mask file" else []
    ran = run_cli("inpaint", "cuau-2x2x4", path, "-n", 4, "--temperature", 680, "--quiet", "-o", tmp_path / "out.nc", *more)
    assert ran.code == 0, ran.err
    assert torch.equal(arl.SampleSet.read(tmp_path / "out.nc").known, known)


# -- larger supercells -----------------------------------------------------------------------------


def test_a_larger_structure_is_painted(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    hamiltonian, known = larger()
    ase.io.write(tmp_path / "known.extxyz", hamiltonian.lattice.to_ase(known))
    ran = inpaint(run_cli, ising_model, tmp_path / "known.extxyz", "-o", tmp_path / "out.nc", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["sites"] == 20
    samples = arl.SampleSet.read(tmp_path / "out.nc")
    assert torch.equal(samples.known, known)
    assert samples.metadata["order_kind"] == "raster"
    painted = arl.models.painted.paint(arl.load(ising_model), hamiltonian)
    again = painted.log_prob(samples.occupations, samples.state, samples.order, known=known)
    torch.testing.assert_close(samples.log_prob, again, rtol=0, atol=1e-4)


def test_a_model_of_blocks_draws_a_larger_structure_with_its_weights(run_cli: RunCli, tmp_path: Path) -> None:
    model = build_model("multiscale", arl.hamiltonian("ising", supercell=(4, 4)), {"width": 8, "layers": 1})
    model.save(tmp_path / "model")
    hamiltonian, known = larger((8, 8))
    ase.io.write(tmp_path / "known.extxyz", hamiltonian.lattice.to_ase(known))
    ran = inpaint(run_cli, tmp_path / "model", tmp_path / "known.extxyz", "-o", tmp_path / "out.nc")
    assert ran.code == 0, ran.err
    samples = arl.SampleSet.read(tmp_path / "out.nc")
    assert torch.equal(samples.known, known)
    again = model.on(hamiltonian).log_prob(samples.occupations, samples.state, plan=samples.plan, known=known)
    torch.testing.assert_close(again, samples.log_prob, rtol=0, atol=1e-5)


def test_an_order_may_be_asked_for(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    hamiltonian, known = larger()
    ase.io.write(tmp_path / "known.extxyz", hamiltonian.lattice.to_ase(known))
    ran = inpaint(run_cli, ising_model, tmp_path / "known.extxyz", "--order", "random", "-o", tmp_path / "out.nc")
    assert ran.code == 0, ran.err
    assert arl.SampleSet.read(tmp_path / "out.nc").metadata["order_kind"] == "random"


def test_a_compiled_hamiltonian_of_the_larger_supercell_is_used(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    _, known = larger()
    other = arl.hamiltonian("ising", supercell=(4, 5), J=0.5)
    ase.io.write(tmp_path / "known.extxyz", other.lattice.to_ase(known))
    other.save(tmp_path / "large.safetensors")
    ran = inpaint(
        run_cli, ising_model, tmp_path / "known.extxyz", "--hamiltonian", tmp_path / "large.safetensors", "-o", tmp_path / "out.nc"
    )
    assert ran.code == 0, ran.err
    samples = arl.SampleSet.read(tmp_path / "out.nc")
    torch.testing.assert_close(samples.energy, other.energy(samples.occupations))


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning", "ignore::arlattice_icet.compile.SelfInteractionWarning")
def test_a_supercell_option_is_rebuilt_from_the_cell(run_cli: RunCli, tmp_path: Path) -> None:
    pytest.importorskip("icet")
    lattice = CUAU.with_supercell((2, 2, 5))
    known = torch.arange(20) % 2
    known[5] = -1
    ase.io.write(tmp_path / "POSCAR", lattice.to_ase(known))
    ran = run_cli("inpaint", "cuau-2x2x4", tmp_path / "POSCAR", "-n", 4, "--temperature", 680, "--quiet", "-o", tmp_path / "out.nc")
    assert ran.code == 0, ran.err
    assert torch.equal(arl.SampleSet.read(tmp_path / "out.nc").known, known)


# -- pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_shows_before_and_after(run_cli: RunCli, ising_model: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    hamiltonian, known = larger()
    ase.io.write(tmp_path / "known.extxyz", hamiltonian.lattice.to_ase(known))
    target = tmp_path / f"out.{suffix}"
    ran = inpaint(run_cli, ising_model, tmp_path / "known.extxyz", "--picture", target)
    assert (ran.code, ran.err) == (0, "")
    assert str(target) in ran.out
    assert target.stat().st_size > 5000


def test_a_picture_of_atoms_has_one_circle_a_site_in_the_colors_of_the_species(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    occupations = torch.arange(16) % 2
    occupations[3] = -1
    axes = figure.subplots()
    picture._draw(axes, CUAU, occupations.numpy())
    (circles,) = axes.collections
    colors = [tuple(round(255 * c) for c in row[:3]) for row in circles.get_facecolor()]
    assert len(circles.get_offsets()) == 16
    assert sorted(colors.count(c) for c in set(colors)) == [1, 7, 8]
    assert colors.count((255, 255, 255)) == 1


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"arlattice\[plot\]"):
        picture.check_picture("out.png")


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "more", "told"),
    [
        ((2, 5), [], "does not fit"),
        ((4, 5), ["--picture", "out.jpg"], "picture = 'out.jpg': give a name that ends in .png"),
        ((4, 5), ["--picture", "nowhere/out.png"], "the folder nowhere does not exist"),
        ((4, 5), ["--hamiltonian", "large.safetensors"], "--hamiltonian = 'supercell [[6, 0, 0], [0, 6, 0], [0, 0, 1]]'"),
        ((4, 5), ["--composition", "up=10"], "give a SemiGrandCanonical state"),
        ((4, 5), ["--mask", "20"], "site numbers run from 0 to 19"),
    ],
)
def test_a_mistake_is_one_line(
    run_cli: RunCli, ising_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], more: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hamiltonian, known = larger(size)
    ase.io.write("known.extxyz", hamiltonian.lattice.to_ase(known))
    arl.hamiltonian("ising", supercell=(6, 6)).save("large.safetensors")
    ran = inpaint(run_cli, ising_model, Path("known.extxyz"), *more)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.strip().count("\n") == 0


def test_a_hamiltonian_that_no_name_rebuilds_must_be_given(run_cli: RunCli, tmp_path: Path) -> None:
    lattice = arl.square(2)
    pair = torch.eye(2).double().numpy()
    hamiltonian = arl.ClusterHamiltonian.from_terms(lattice, [((0, 1), pair)], units="reduced", name="mine")
    model = build_model("any-order-transformer", hamiltonian, {"width": 16, "heads": 2, "layers": 1})
    model.save(tmp_path / "model")
    ase.io.write(tmp_path / "known.extxyz", arl.square(3).to_ase(torch.full((9,), -1)))
    ran = inpaint(run_cli, tmp_path / "model", tmp_path / "known.extxyz")
    assert ran.code == 2
    assert "'mine' cannot be built in this supercell by name: no plugin registers it" in ran.err
    assert "give it with --hamiltonian FILE" in ran.err


def test_a_mask_may_name_more_sites_than_a_file_name_has_letters(run_cli: RunCli, ising_model: Path, tmp_path: Path) -> None:
    large = arl.square(12)
    large.to_ase(torch.zeros(144, dtype=torch.long)).write(tmp_path / "large.extxyz")
    mask = ",".join(str(site) for site in range(100))
    ran = run_cli("inpaint", str(ising_model), str(tmp_path / "large.extxyz"), "--mask", mask, "-n", "2", "--temperature", "2.5", "--quiet")
    assert ran.code == 0, ran.err
    (tmp_path / "mask.txt").write_bytes(b"\xff\xfe")
    ran = run_cli("inpaint", str(ising_model), str(tmp_path / "large.extxyz"), "--mask", str(tmp_path / "mask.txt"), "--temperature", "2.5")
    assert ran.code == 2 and "give site numbers" in ran.err
