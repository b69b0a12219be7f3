"""Plugins: found, loaded whole or not at all, named when broken; names are given once; options are checked."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from pydantic import Field

import arlattice as arl
from arlattice import hooks
from arlattice.build import build_hamiltonian
from arlattice.cli import commands
from arlattice.errors import InputError
from arlattice.hooks import Manager, PluginWarning, Registry, default_manager, manager, using
from arlattice.hooks.manager import FACTORY_KINDS
from arlattice.hooks.options import describe_options

PLUGIN = """
from __future__ import annotations

import torch
from pydantic import Field

import arlattice as arl


class Options(arl.Options):
    length: int = Field(4, ge=2, description="sites")
    strength: float = Field(1.0, description="energy of an up spin")


def build(options: Options) -> arl.Hamiltonian:
    return arl.FunctionHamiltonian(arl.chain(options.length), lambda x: options.strength * x.sum(1).double(), units="reduced")


@arl.hookimpl
def arlattice_register_hamiltonians(register):
    register("{name}", build, options=Options, summary="independent spins")
"""


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a plugin file."""

    def write(file_name: str = "spins", text: str = PLUGIN, name: str = "spins", folder: Path = tmp_path) -> Path:
        path = folder / f"{file_name}.py"
        path.write_text(text.replace("{name}", name))
        return path

    return write


def names(registry: Registry) -> list[str]:
    return [entry.name for entry in registry]


# -- what ships ------------------------------------------------------------------------------------


def test_what_ships_is_registered_through_the_hooks() -> None:
    loaded = Manager()
    assert {"ising", "potts", "icet", "cuau"} <= set(names(loaded.hamiltonians))
    families = ["any-order-transformer", "multiscale", "marginal-transformer", "fixed-order-mlp", "any-order-mlp", "marginal-mlp"]
    assert names(loaded.models) == families
    assert set(names(loaded.objectives)) == {"forward", "log-variance", "balanced", "hybrid", "reverse", "mam", "self-consistency"}
    assert names(loaded.commands) == [*(command.name for command in commands()), "bench"]
    assert {"energy", "composition", "l1_0", "short_range_order", "magnetisation"} <= set(names(loaded.observables))
    assert names(loaded.ensembles) == ["semi-grand-canonical", "canonical"]
    assert names(loaded.plans) == ["coarse-to-fine", "random", "raster", "levels"]
    assert names(loaded.moves) == ["heat-bath", "metropolis", "swap", "swendsen-wang", "wolff"]
    assert names(loaded.exporters) == ["extxyz", "netcdf", "db", "cif", "poscar"]
    assert {info.name: info.status for info in loaded.plugins()} == dict.fromkeys(
        ["builtin", "observables", "bench", "icet", "ising"], "loaded"
    )


@pytest.mark.parametrize("kind", [f"{kind}s" for kind in FACTORY_KINDS])
def test_every_lazy_reference_that_ships_can_be_imported(kind: str) -> None:
    for entry in getattr(Manager(), kind):
        assert callable(entry.load_factory())
        assert issubclass(entry.load_options(), arl.Options)
        assert entry.summary


def test_every_option_that_ships_is_described() -> None:
    loaded = Manager()
    for entry in [*loaded.hamiltonians, *loaded.models, *loaded.observables]:
        for row in describe_options(entry.load_options()):
            assert row["description"], f"{entry.name}: option {row['name']} has no description"


def test_every_public_name_is_there() -> None:
    for name in arl.__all__:
        assert getattr(arl, name) is not None
    assert set(arl.__all__) <= set(dir(arl))


def test_importing_loads_no_plugin_and_no_heavy_package() -> None:
    heavy = ["icet", "pymatgen", "matplotlib", "xarray", "scipy", "pandas", "arlattice_ising", "arlattice_icet"]
    code = f"import sys, arlattice; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_module_hamiltonian_leaves_the_function_in_place() -> None:
    import arlattice.hamiltonians  # noqa: F401

    assert arl.hamiltonian("ising", supercell=(3, 3)).lattice.n_sites == 9
    with pytest.raises(AttributeError, match="no_such_name"):
        arl.no_such_name  # noqa: B018


# -- a plugin from a file --------------------------------------------------------------------------


def test_a_file_gives_a_hamiltonian_that_can_be_built_again(plugin_file: Callable[..., Path]) -> None:
    with using(Manager([str(plugin_file())])):
        built = arl.hamiltonian("spins", length=5)
        assert built.name == "spins"
        assert built.options == {"length": 5, "strength": 1.0}
        assert arl.hamiltonian(built.name, **built.options).fingerprint == built.fingerprint
        assert built.energy(torch.tensor([[0, 1, 1, 0, 1]])).tolist() == [3.0]


def test_load_plugin_adds_to_the_manager_in_use_only(plugin_file: Callable[..., Path]) -> None:
    with using(Manager()) as inner:
        arl.load_plugin(plugin_file())
        assert "spins" in inner.hamiltonians
        assert arl.plugins()[-1].hamiltonians == ("spins",)
    assert "spins" not in default_manager().hamiltonians


def test_a_module_is_loaded_by_name(plugin_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin_file("spins_as_module")
    monkeypatch.syspath_prepend(tmp_path)
    assert "spins" in Manager(["spins_as_module"]).hamiltonians


def test_a_folder_gives_all_its_files_but_those_with_an_underscore(plugin_file: Callable[..., Path], tmp_path: Path) -> None:
    plugin_file("one", name="one")
    plugin_file("two", name="two")
    plugin_file("_draft", text="raise RuntimeError('must not run')")
    assert {"one", "two"} <= set(names(Manager(folders=[tmp_path]).hamiltonians))


def test_a_blocked_plugin_is_not_even_imported(plugin_file: Callable[..., Path], tmp_path: Path) -> None:
    plugin_file("loud", text="raise RuntimeError('must not run')")
    loaded = Manager(["no:loud", "no:ising"], [tmp_path])
    assert "ising" not in loaded.hamiltonians
    assert {info.status for info in loaded.plugins() if info.name in ("loud", "ising")} == {"blocked"}


def test_a_plugin_may_add_a_command(plugin_file: Callable[..., Path]) -> None:
    text = (
        "import arlattice, click\n\n@arlattice.hookimpl\n"
        "def arlattice_register_commands(cli):\n    cli.add_command(click.Command('{name}'))\n"
    )
    assert "hello" in Manager([str(plugin_file("hello", text, "hello"))]).commands
    with pytest.raises(InputError, match=r"command = 'train': registered by plugin 'builtin' and by plugin 'taken'"):
        Manager([str(plugin_file("taken", text, "train"))])


# -- refused, by name ------------------------------------------------------------------------------

HOOK = "import arlattice\n\n@arlattice.hookimpl\n"
REFUSED = {
    "misspelt hook": (HOOK + "def arlattice_register_hamiltonian(register): ...", "did you mean 'arlattice_register_hamiltonians'?"),
    "wrong argument": (HOOK + "def arlattice_register_models(registry): ...", "registry"),
    "no hook": ("def arlattice_register_models(register): ...", "implements no hook"),
    "syntax error": ("def broken(:", "cannot be imported: SyntaxError"),
    "import error": ("import no_such_package", "No module named 'no_such_package'"),
    "exits": ("import sys; sys.exit(3)", "cannot be imported: SystemExit"),
    "raises in hook": (HOOK + "def arlattice_register_models(register): 1 / 0", "ZeroDivisionError"),
    "bad name": (HOOK + "def arlattice_register_models(register): register('a b', len)", "model name = 'a b'"),
    "bad factory": (HOOK + "def arlattice_register_models(register): register('a', 3)", "give a callable or 'package.module:attribute'"),
    "taken name": (PLUGIN.replace("{name}", "ising"), "registered by plugin 'ising' and by plugin 'refused'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plugin_that_cannot_be_loaded_is_named_and_leaves_nothing(case: str, plugin_file: Callable[..., Path]) -> None:
    text, told = REFUSED[case]
    loaded = Manager()
    before = loaded.plugins()
    with pytest.raises(InputError) as error:
        loaded.load(plugin_file("refused", text))
    assert "refused" in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert loaded.plugins() == before
    loaded.load(plugin_file("refused"))
    assert "spins" in loaded.hamiltonians


def test_a_plugin_is_taken_whole_or_not_at_all(plugin_file: Callable[..., Path]) -> None:
    text = PLUGIN + "    register('ising', build)\n"
    loaded = Manager()
    with pytest.raises(InputError, match="'ising'"):
        loaded.load(plugin_file("half", text, name="first"))
    assert "first" not in loaded.hamiltonians


def test_two_plugins_of_one_name_are_refused(plugin_file: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = plugin_file("same", name="a"), plugin_file("same", name="b", folder=tmp_path / "other")
    with pytest.raises(InputError, match="has the name of a plugin already loaded"):
        Manager([str(first), str(second)])


def test_what_else_a_plugin_imports_does_not_matter(plugin_file: Callable[..., Path]) -> None:
    path = plugin_file("elsewhere", HOOK.replace("\n\n", "\nfrom click import Group\n\n") + "def arlattice_register_models(register): ...")
    assert Manager([str(path)]).plugins()[-1].status == "loaded"


def test_a_plugin_that_is_installed_is_not_loaded_twice() -> None:
    with pytest.raises(InputError, match="plugin = 'arlattice_ising': is loaded already, as plugin 'ising'"):
        Manager(["arlattice_ising"])


@pytest.fixture
def broken_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin that cannot be imported, among the good ones."""
    real = manager.entry_points

    def with_broken(group: str) -> list[EntryPoint | SimpleNamespace]:
        broken = EntryPoint("broken", "no_such_package.plugin", group)
        return [*real(group=group), broken]

    monkeypatch.setattr(manager, "entry_points", with_broken)


@pytest.mark.usefixtures("broken_entry_point")
def test_a_broken_entry_point_is_named_and_the_rest_works() -> None:
    with pytest.warns(PluginWarning, match="plugin 'broken' .*No module named 'no_such_package'"):
        loaded = Manager()
    assert "ising" in loaded.hamiltonians
    assert "no_such_package" in next(info.status for info in loaded.plugins() if info.name == "broken")


@pytest.mark.usefixtures("broken_entry_point")
def test_a_broken_entry_point_raises_in_strict_mode_and_can_be_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARLATTICE_STRICT_PLUGINS", "1")
    with pytest.raises(InputError, match="'broken'"):
        Manager()
    assert "ising" in Manager(["no:broken"]).hamiltonians


def test_a_broken_file_in_a_folder_is_named_and_the_rest_works(plugin_file: Callable[..., Path], tmp_path: Path) -> None:
    plugin_file("good")
    plugin_file("bad", text="import no_such_package")
    with pytest.warns(PluginWarning, match=r"plugin 'bad' .*bad\.py"):
        assert "spins" in Manager(folders=[tmp_path]).hamiltonians


# -- registries ------------------------------------------------------------------------------------


def test_a_lazy_factory_is_imported_when_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("model")
    registry.register("later", "made_up_module:build", plugin="p")
    with pytest.raises(InputError, match=r"model = 'later': plugin 'p': cannot import 'made_up_module:build'"):
        registry["later"].load_factory()
    module = ModuleType("made_up_module")
    monkeypatch.setitem(sys.modules, "made_up_module", module)
    with pytest.raises(InputError, match="cannot import"):
        registry["later"].load_factory()
    module.build = 3  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="cannot be called"):
        registry["later"].load_factory()


def test_an_unknown_name_gives_the_near_one_or_all() -> None:
    hamiltonians = Manager().hamiltonians
    with pytest.raises(InputError, match="did you mean 'ising'"):
        hamiltonians["isng"]
    with pytest.raises(InputError, match="known: cuau, icet, ising, potts"):
        hamiltonians["zzz"]


def test_what_a_factory_returns_and_its_options_are_checked() -> None:
    loaded = Manager()
    loaded.hamiltonians.register("wrong", lambda options: 3, plugin="p")
    with using(loaded), pytest.raises(InputError, match="plugin 'p' returned a int, not a Hamiltonian"):
        build_hamiltonian("wrong")
    with using(loaded), pytest.raises(InputError, match="size = 3: unknown option"):
        build_hamiltonian("wrong", {"size": 3})
    loaded.hamiltonians.register("untyped", lambda options: 3, options=dict, plugin="p")  # type: ignore[arg-type]
    with using(loaded), pytest.raises(InputError, match=r"not a subclass of arlattice\.Options"):
        build_hamiltonian("untyped")


def test_former_builders_of_a_manager_warn_and_work() -> None:
    with pytest.warns(DeprecationWarning, match=r"is now called arlattice\.build\.build_hamiltonian"):
        built = Manager().build_hamiltonian("ising", {"supercell": [3, 3]})
    with pytest.warns(DeprecationWarning, match=r"arlattice\.models\.build\.build_model"):
        model = Manager().build_model("any-order-mlp", built, {"width": 8})
    with pytest.warns(DeprecationWarning, match=r"observables\.observe\.observe"):
        assert len(Manager().observe("energy", model.sample(3, arl.SemiGrandCanonical(2.0), seed=0)).columns) == 3
    with pytest.warns(DeprecationWarning, match=r"is now called arlattice\.hamiltonian"):
        assert hooks.hamiltonian is arl.hamiltonian


# -- options ---------------------------------------------------------------------------------------


class Inner(arl.Options):
    depth: int = Field(1, ge=1)


class Outer(arl.Options):
    size: tuple[int, ...] = Field(min_length=1, description="sites")
    strength: float = Field(1.0, gt=0, le=2)
    inner: Inner = Inner()
    either: int | tuple[float, float] = 0


WRONG = [
    ({}, "size = None: is required"),
    ({"sise": [3]}, "sise = [3]: unknown option; did you mean 'size'?"),
    ({"size": [3], "zzz": 1}, "zzz = 1: unknown option; known: either, inner, size, strength"),
    ({"size": ["a"]}, "size.0 = 'a': should be a valid integer"),
    ({"size": []}, "size = []: tuple should have at least 1 item"),
    ({"size": [3], "strength": 0}, "strength = 0: should be greater than 0"),
    ({"size": [3], "strength": float("nan")}, "strength = nan: should be a finite number"),
    ({"size": [3], "inner": {"depth": 0}}, "inner.depth = 0: should be greater than or equal to 1"),
    ({"size": [3], "inner": {"dpth": 0}}, "inner.dpth = 0: unknown option; did you mean 'depth'?"),
    ({"size": [3], "either": "x"}, "either = 'x': should be a valid integer"),
    ({"size": [3], "inner": 3}, "inner = 3: give a table of options, as { option = value }"),
]


@pytest.mark.parametrize(("values", "told"), WRONG)
def test_a_wrong_option_is_told_in_one_line(values: dict[str, object], told: str) -> None:
    with pytest.raises(InputError) as error:
        Outer.parse(values)
    assert str(error.value).startswith(told)
    with pytest.raises(InputError) as error:
        Outer.parse(values, "hamiltonian")
    assert str(error.value).startswith(f"hamiltonian.{told}")


def test_options_are_frozen_and_described() -> None:
    options = Outer.parse({"size": [3]})
    with pytest.raises(ValueError, match="frozen"):
        options.strength = 2.0  # type: ignore[misc]
    rows = {row["name"]: row for row in describe_options(Outer)}
    assert rows["size"] == {
        "name": "size",
        "type": "tuple[int, ...]",
        "default": None,
        "required": True,
        "range": "length >= 1",
        "description": "sites",
    }
    assert rows["strength"]["range"] == "> 0, <= 2"
    assert rows["inner"]["default"] == {"depth": 1}
    assert rows["either"]["type"] == "int | tuple[float, float]"


def test_no_warning_is_given_when_everything_is_well() -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        Manager()
    assert [str(warning.message) for warning in given] == []
