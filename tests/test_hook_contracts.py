"""Every hook is documented, shown and tested; what a plugin gives to the hooks of moves, plans and file formats is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import arlattice as arl
from arlattice.composition import FixedComposition
from arlattice.conditions import Conditions
from arlattice.decoding.plans import draw_plan
from arlattice.hooks import Manager, hookspecs, using
from arlattice.hooks.manager import FACTORY_KINDS
from arlattice.io.exporter import Exporter
from arlattice.montecarlo import for_ensembles, sample_chains
from arlattice.montecarlo.moves import choose_move, make_sweep
from arlattice.plan import Plan
from arlattice.random_numbers import Stream
from arlattice.thermo.exact import Enumeration

HOOKS = [name for name in hookspecs.__all__ if name.startswith("arlattice_register_")]
ROOT = Path(__file__).parent.parent
each_hook = pytest.mark.parametrize("hook", HOOKS)


def arguments(hook: str) -> str:
    code = getattr(hookspecs, hook).__code__
    return ", ".join(code.co_varnames[: code.co_argcount])


def test_there_is_a_registry_for_every_hook() -> None:
    assert [f"arlattice_register_{kind}s" for kind in sorted((*FACTORY_KINDS, "command"))] == HOOKS
    loaded = Manager()
    for kind in FACTORY_KINDS:
        assert getattr(loaded, f"{kind}s").kind == kind
        assert any(getattr(info, f"{kind}s") for info in loaded.plugins()), f"nothing that ships registers a {kind}"


@each_hook
def test_every_hook_has_a_docstring_that_says_how_it_is_called(hook: str) -> None:
    text = getattr(hookspecs, hook).__doc__
    assert len(text.split()) >= 8
    assert "factory" in text or hook.endswith("commands")


@each_hook
def test_every_hook_has_a_section_with_an_example(hook: str) -> None:
    """The table names it with its exact arguments and links the section whose example implements it; test_docs.py runs it."""
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{hook}\({arguments(hook)}\)` \| \[[^\]]+\]\(#([\w-]+)\)", text, re.MULTILINE)
    assert row is not None
    sections = {title.lower().replace(" ", "-"): body for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S)}
    assert f"@arl.hookimpl\ndef {hook}({arguments(hook)}):" in sections[row[1]]


@each_hook
def test_every_hook_is_implemented_in_a_test(hook: str) -> None:
    kind = hook.removeprefix("arlattice_register_").removesuffix("s")
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py")]
    asked = (f"def {hook}({arguments(hook)})", f'HOOK.format("{kind}")')
    assert any(each in text for text in texts for each in asked)


# -- one file ----------------------------------------------------------------------------------------

EVEN = """
import torch

import arlattice as arl
from arlattice.constraint import Constraint
from arlattice.montecarlo import for_ensembles


class EvenNumber(Constraint):
    def completable(self, partial, targets):
        return (partial < 0).any(1) | (partial.sum(1) % 2 == 0)


class Even(arl.SemiGrandCanonical):
    name = "even"

    @classmethod
    def constraint(cls, lattice):
        return EvenNumber(lattice)


@for_ensembles("even")
def two_at_once(hamiltonian):
    def sweep(x, state, stream):
        rows = torch.arange(len(x))
        for _ in range(x.shape[1]):
            new = x.clone()
            for branch in ("first", "second"):
                site = stream[branch].integers(x.shape[1], 1, len(x))[0]
                new[rows, site] = 1 - new[rows, site]
            change = state.log_f(hamiltonian.energy(new), new) - state.log_f(hamiltonian.energy(x), x)
            x = torch.where((stream["accept"].uniform(1, len(x))[0] < change.exp())[:, None], new, x)
        return x

    return sweep


@arl.hookimpl
def arlattice_register_ensembles(register):
    register("even", Even, summary="an even number of atoms")


@arl.hookimpl
def arlattice_register_moves(register):
    register("two-at-once", two_at_once, summary="turns two sites")
"""


def test_one_file_gives_an_ensemble_and_its_move(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    """2,000 chains; energy within 4 sigma of the enumeration: fails for nothing in 6e-5 of the seeds."""
    (tmp_path / "even.py").write_text(EVEN)
    with using(Manager([str(tmp_path / "even.py")])) as loaded:
        state = arl.Ensemble.from_dict({"ensemble": "even", "temperature": 3.0, "chemical_potentials": {"up": 0.2}})
        samples = sample_chains(ISING, state, chains=2000, sweeps=1, thin=1, burn_in=20)
        samples.write(tmp_path / "out.nc")
        assert arl.SampleSet.read(tmp_path / "out.nc").state == state
    listed = run_cli("-p", tmp_path / "even.py", "plugins").out
    assert re.search(r"^even .* loaded +ensembles +even\n +moves +two-at-once\n", listed, re.MULTILINE)
    assert (loaded.plugins()[-1].ensembles, loaded.plugins()[-1].moves) == (("even",), ("two-at-once",))
    assert samples.metadata["sampler"] == "monte-carlo/two-at-once"
    assert bool((samples.occupations.sum(1) % 2 == 0).all())
    exact = Enumeration.of(ISING)
    p = state.log_f(ISING.lattice, "reduced", exact.energy, exact.occupations).softmax(0)
    mean = (p * exact.energy).sum()
    sigma = ((p * (exact.energy - mean) ** 2).sum() / 2000) ** 0.5
    assert abs(samples.energy.mean() - mean) < 4 * sigma


# -- plugins that give what they should not --------------------------------------------------------

ISING = arl.hamiltonian("ising", supercell=(3, 3))
WARM = arl.SemiGrandCanonical(3.0, {"up": 0.1})


@pytest.fixture
def manager() -> Iterator[Manager]:
    with using(Manager()) as loaded:
        yield loaded


@for_ensembles("semi-grand-canonical", "odd")
def still(hamiltonian: arl.Hamiltonian) -> Any:
    return lambda x, state, stream: x


def test_a_registered_move_runs_and_is_recorded(manager: Manager) -> None:
    manager.moves.register("still", still, plugin="p")
    samples = sample_chains(ISING, WARM, move="still", chains=3, sweeps=4, thin=2, burn_in=0, seed=1)
    assert samples.metadata["sampler"] == "monte-carlo/still"
    assert torch.equal(samples.occupations[:3], samples.occupations[3:])


class Odd(arl.SemiGrandCanonical):
    """Another name for the same states."""

    name = "odd"


class Bound(Odd):
    """States that forbid something."""

    name = "bound"

    @classmethod
    def constraint(cls, lattice: arl.Lattice) -> FixedComposition:
        return FixedComposition(lattice)


def test_the_first_move_of_an_ensemble_is_its_default(manager: Manager) -> None:
    """Moves of `UNCONSTRAINED` are those of every ensemble that forbids nothing."""
    assert choose_move(None, arl.SemiGrandCanonical) == choose_move(None, Odd) == "heat-bath"
    assert choose_move(None, arl.Canonical) == "swap"
    with pytest.raises(arl.InputError, match="no registered move samples 'bound' states"):
        choose_move(None, Bound)
    manager.moves.register("still", for_ensembles("bound")(lambda hamiltonian: lambda x, state, stream: x), plugin="p")
    assert choose_move(None, Bound) == choose_move("still", Bound) == "still"
    with pytest.raises(arl.InputError, match="move = 'swap': for a Bound state give one of still"):
        choose_move("swap", Bound)


MOVES = {
    "not marked": (lambda hamiltonian: None, "does not say which ensembles it samples"),
    "no sweep": (for_ensembles("odd")(lambda hamiltonian: None), "returned a NoneType, not a sweep"),
    "raises": (for_ensembles("odd")(lambda hamiltonian: 1 / 0), "failed: ZeroDivisionError"),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_move_that_is_none_is_told(case: str, manager: Manager) -> None:
    factory, told = MOVES[case]
    manager.moves.register("wrong", factory, plugin="p")
    with pytest.raises(arl.InputError, match=f"move = 'wrong': plugin 'p' {told}"):
        make_sweep("wrong", Odd, ISING)


@pytest.mark.parametrize("wrong", [None, 3, torch.zeros(2, 9), torch.zeros(3, 9, dtype=torch.long)], ids=str)
def test_what_a_sweep_returns_is_checked(wrong: Any, manager: Manager) -> None:
    manager.moves.register("wrong", for_ensembles("odd")(lambda hamiltonian: lambda x, state, stream: wrong), plugin="p")
    sweep = make_sweep("wrong", Odd, ISING)
    conditions = Conditions.from_states([Odd(2.0)] * 2, ISING)
    with pytest.raises(arl.InputError, match="plugin 'p' returned what are not the occupations of its chains"):
        sweep(torch.zeros(2, 9, dtype=torch.long), conditions, Stream(0))


def test_a_sweep_is_compiled_if_it_can_be(manager: Manager) -> None:
    class Sweep:
        compiled = False

        def compile(self) -> None:
            self.compiled = True

        def __call__(self, x: Tensor, state: Conditions, stream: Stream) -> Tensor:
            return x

    make_sweep("metropolis", arl.SemiGrandCanonical, ISING).compile()
    manager.moves.register("can", for_ensembles("odd")(lambda hamiltonian: Sweep()), plugin="p")
    can: Any = make_sweep("can", Odd, ISING)
    can.compile()
    assert can.sweep.compiled


def test_a_sweep_that_cannot_repeat_is_called_again(manager: Manager) -> None:
    manager.moves.register("up", for_ensembles("odd")(lambda hamiltonian: lambda x, state, stream: x + 1), plugin="p")
    x = torch.zeros(2, 9, dtype=torch.long)
    assert int(make_sweep("up", Odd, ISING).repeat(x, Conditions.from_states([Odd(2.0)] * 2, ISING), Stream(0), 3).max()) == 3


# -- plans -----------------------------------------------------------------------------------------


def test_a_plan_may_be_an_order(manager: Manager) -> None:
    def backwards(lattice: arl.Lattice, n: int, stream: Stream) -> Tensor:
        return torch.arange(lattice.n_sites - 1, -1, -1).repeat(n, 1)

    manager.plans.register("backwards", backwards, plugin="p")
    plan = draw_plan(ISING.lattice, 2, "backwards", Stream(0))
    assert plan.one_by_one and plan.order.tolist() == [list(range(8, -1, -1))] * 2
    model = arl.model("any-order-mlp", ISING, width=8)
    samples = model.sample(5, WARM, order="backwards", seed=1)
    assert samples.plan is not None and torch.equal(samples.plan.order, torch.arange(8, -1, -1).repeat(5, 1))
    assert samples.log_prob is not None
    assert torch.allclose(model.log_prob(samples.occupations, WARM, plan=samples.plan), samples.log_prob, atol=1e-5)


PLANS = {
    "nothing": lambda lattice, n, stream: None,
    "a number": lambda lattice, n, stream: 3,
    "too few rows": lambda lattice, n, stream: torch.arange(9).repeat(n - 1, 1),
    "a site twice": lambda lattice, n, stream: torch.zeros(n, 9, dtype=torch.long),
    "too few sites": lambda lattice, n, stream: Plan(torch.arange(8).repeat(n, 1), (4, 4)),
    "an error": lambda lattice, n, stream: 1 / 0,
}


@pytest.mark.parametrize("case", PLANS)
def test_a_plan_that_is_none_is_told(case: str, manager: Manager) -> None:
    manager.plans.register("wrong", PLANS[case], plugin="p")
    with pytest.raises(arl.InputError, match=r"plan = 'wrong': plugin 'p' (returned no plan|failed)"):
        draw_plan(ISING.lattice, 2, "wrong", Stream(0))


# -- file formats ----------------------------------------------------------------------------------


class Bits(Exporter):
    """Reads and writes with torch."""

    suffix = ".bits"

    def write(self, samples: arl.SampleSet, path: Path, vacancies: str) -> None:
        path.write_text(f"{samples.energy.tolist()}")

    def read(self, path: Path) -> arl.SampleSet:
        energy = torch.tensor([float(number) for number in path.read_text()[1:-1].split(",")])
        return arl.SampleSet(ISING.lattice, torch.zeros(len(energy), 9).long(), energy, WARM, "reduced")


class Folder(Exporter):
    """Writes a folder of one file."""

    def write(self, samples: arl.SampleSet, path: Path, vacancies: str) -> None:
        (path / "energy.txt").write_text(f"{samples.energy.tolist()}")


def drawn() -> arl.SampleSet:
    return sample_chains(ISING, WARM, chains=3, sweeps=2, thin=1, burn_in=0, seed=1)


def test_a_format_is_written_by_suffix_or_name_and_read(manager: Manager, tmp_path: Path) -> None:
    manager.exporters.register("bits", Bits, plugin="p")
    manager.exporters.register("folder", Folder, plugin="p")
    samples = drawn()
    samples.write(tmp_path / "out.bits")
    assert torch.equal(arl.SampleSet.read(tmp_path / "out.bits").energy, samples.energy)
    samples.write(tmp_path / "out", format="folder")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["energy.txt"]
    with pytest.raises(arl.InputError, match=r"a file in the format bits ends in \.bits"):
        samples.write(tmp_path / "out.nc", format="bits")
    with pytest.raises(arl.InputError, match=r"ends in .extxyz, .nc, .db, .bits, or format='cif' or 'poscar' or 'folder' for a folder"):
        samples.write(tmp_path / "out.xyz")
    with pytest.raises(arl.InputError, match=r"read from files that end in .extxyz, .nc, .db, .bits"):
        arl.SampleSet.read(tmp_path / "out.xyz")


def test_the_first_format_has_the_suffix_and_another_is_asked_for_by_name(manager: Manager, tmp_path: Path) -> None:
    second = type("Second", (Bits,), {"suffix": ".nc"})
    manager.exporters.register("second", second, plugin="p")
    drawn().write(tmp_path / "first.nc")
    assert len(arl.SampleSet.read(tmp_path / "first.nc")) == 6
    drawn().write(tmp_path / "second.nc", format="second")
    assert (tmp_path / "second.nc").read_text().startswith("[")


EXPORTERS: dict[str, tuple[Any, str]] = {
    "not one": (lambda: 3, "returned a int, not an Exporter"),
    "a bad suffix": (type("E", (Bits,), {"suffix": "bits"}), "gave an exporter with the suffix 'bits'"),
    "no write": (type("E", (Exporter,), {}), "failed: TypeError"),
    "an error": (type("E", (Bits,), {"write": lambda *a: 1 / 0}), "cannot write samples: ZeroDivisionError"),
    "an exit": (type("E", (Bits,), {"write": lambda *a: exit(3)}), "cannot write samples: SystemExit"),
    "no file": (type("E", (Bits,), {"write": lambda *a: None}), "wrote nothing to the path it was given"),
}


@pytest.mark.parametrize("case", EXPORTERS)
def test_a_format_that_fails_is_told_and_leaves_what_was_there(case: str, manager: Manager, tmp_path: Path) -> None:
    factory, told = EXPORTERS[case]
    manager.exporters.register("wrong", factory, plugin="p")
    (tmp_path / "out.bits").write_text("old")
    with pytest.raises(arl.InputError, match=f"exporter = 'wrong': plugin 'p' {told}"):
        drawn().write(tmp_path / "out.bits", format="wrong")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.bits", "old")]


def test_a_folder_that_nothing_was_written_to_is_not_made(manager: Manager, tmp_path: Path) -> None:
    manager.exporters.register("wrong", type("E", (Folder,), {"write": lambda *a: None}), plugin="p")
    with pytest.raises(arl.InputError, match="wrote nothing"):
        drawn().write(tmp_path / "out", format="wrong")
    assert not list(tmp_path.iterdir())


def _disk_full(*arguments: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_by_the_name_of_the_file(manager: Manager, tmp_path: Path) -> None:
    manager.exporters.register("full", type("E", (Bits,), {"write": _disk_full}), plugin="p")
    with pytest.raises(OSError, match=r"No space left on device; not written.*out\.bits"):
        drawn().write(tmp_path / "out.bits", format="full")


def test_a_damaged_file_and_a_reader_that_gives_no_samples_are_told(manager: Manager, tmp_path: Path) -> None:
    manager.exporters.register("bits", Bits, plugin="p")
    (tmp_path / "out.bits").write_text("[1.0, x]")
    with pytest.raises(arl.InputError, match=r"out.bits': damaged, or not samples of arlattice \(ValueError\)"):
        arl.SampleSet.read(tmp_path / "out.bits")
    manager.exporters.register("none", type("E", (Bits,), {"suffix": ".none", "read": lambda self, path: 3}), plugin="p")
    (tmp_path / "out.none").write_text("")
    with pytest.raises(arl.InputError, match="plugin 'p' read a int from a file, not a SampleSet"):
        arl.SampleSet.read(tmp_path / "out.none")
