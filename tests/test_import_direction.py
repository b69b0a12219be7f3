"""Imports go one way: physics <- decoding <- models <- training. The table is `LAYERS` in benchmarks/structure.py."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


def _structure() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structure", ROOT / "benchmarks" / "structure.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["structure"] = module  # its dataclass looks its module up by name
    spec.loader.exec_module(module)
    return module


structure = _structure()
FILES: Mapping[str, str] = structure.sources(str(ROOT))


def refused(files: Mapping[str, str]) -> list[str]:
    """Imports that the table forbids, packages that it does not know, and imports of plugins."""
    found = structure.imports(files)
    unknown = {layer for each in found if (layer := structure.layer(each.module)) not in structure.LAYERS}
    return [str(each) for each in found if not each.allowed] + [f"no row for {layer}" for layer in sorted(unknown)]


def test_every_import_of_the_library_goes_down() -> None:
    assert refused(FILES) == []


def test_the_table_itself_goes_one_way() -> None:
    lower: set[str] = set()
    for layer, may in structure.LAYERS.items():
        assert may <= lower, layer
        lower.add(layer)


def test_physics_montecarlo_and_hooks_know_no_network_even_inside_a_function() -> None:
    networks = {"decoding", "models", "training"}
    for layer in ("ground", "hooks", "physics", "io", "montecarlo"):
        assert not (structure.LAYERS[layer] | structure.IN_FUNCTIONS.get(layer, set())) & networks
    assert {("thermo", "models"): {"Model"}} == structure.NAMES


def test_everything_is_read() -> None:
    """What the test looks at is the library: its modules, and imports at both levels."""
    found = structure.imports(FILES)
    assert {"arlattice.samples", "arlattice.models.base", "arlattice.hooks.manager"} <= {each.module for each in found}
    assert sum(not each.in_function for each in found) > 500
    assert any(each.in_function and each.target.startswith("arlattice.io") for each in found)


FAKES = {
    "physics imports a model": ("arlattice/lattice.py", "from arlattice.models.base import Model"),
    "in a function too": ("arlattice/samples.py", "def f():\n    from arlattice.models.base import Model"),
    "by its module": ("arlattice/lattice.py", "import arlattice.models.base"),
    "from its package": ("arlattice/lattice.py", "from arlattice.models import base"),
    "Monte Carlo imports a model": ("arlattice/montecarlo/chains.py", "from arlattice.models.base import Model"),
    "Monte Carlo imports a model in a function": ("arlattice/montecarlo/chains.py", "def f():\n    import arlattice.models.base"),
    "hooks import a model in a method": ("arlattice/hooks/manager.py", "class M:\n    def f(self):\n        import arlattice.models.base"),
    "hooks import physics": ("arlattice/hooks/manager.py", "from arlattice.lattice import Lattice"),
    "files import a model": ("arlattice/io/files.py", "from arlattice.models.base import Model"),
    "decoding imports a model": ("arlattice/decoding/draw.py", "from arlattice.models.base import Model"),
    "models import training": ("arlattice/models/base.py", "from arlattice.training.train import train"),
    "averages import more of a model than its type": ("arlattice/thermo/mbar.py", "from arlattice.models.base import Model, other"),
    "averages import training": ("arlattice/thermo/mbar.py", "from arlattice.training.train import train"),
    "Monte Carlo imports averages": ("arlattice/montecarlo/chains.py", "from arlattice.thermo.mbar import mbar"),
    "under a condition": ("arlattice/lattice.py", "if 1:\n    from arlattice.models.base import Model\nelse:\n    pass"),
    "where types are not checked": ("arlattice/lattice.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import arlattice.models.base"),
    "a plugin": ("arlattice/cli/main.py", "def f():\n    import arlattice_ising"),
    "the package itself": ("arlattice/lattice.py", "import arlattice"),
    "a package that is not in the table": ("arlattice/odd/new.py", "from arlattice.lattice import Lattice"),
}
GOOD = {
    "arlattice/__init__.py": "from arlattice.lattice import Lattice",
    "arlattice/lattice.py": "def f():\n    from arlattice.io.files import replacing",
    "arlattice/samples.py": "if TYPE_CHECKING:\n    from arlattice.models.base import Model",
    "arlattice/io/files.py": "from arlattice.lattice import Lattice",
    "arlattice/hooks/manager.py": "",
    "arlattice/decoding/draw.py": "from arlattice.lattice import Lattice",
    "arlattice/montecarlo/chains.py": "from arlattice.hooks.manager import default_manager",
    "arlattice/models/__init__.py": "",
    "arlattice/models/base.py": "from arlattice.decoding import draw",
    "arlattice/training/train.py": "from arlattice.models.base import Model\nfrom arlattice.montecarlo.chains import sample_chains",
    "arlattice/thermo/mbar.py": "from arlattice.models.base import Model",
    "arlattice/cli/main.py": "from arlattice.training.train import train",
    "plugins/arlattice_ising/__init__.py": "import arlattice.models.base",
}


def test_a_small_tree_that_keeps_the_rules_passes() -> None:
    assert refused(GOOD) == []


@pytest.mark.parametrize("fake", FAKES)
def test_each_rule_is_seen_when_it_is_broken(fake: str) -> None:
    path, text = FAKES[fake]
    assert len(refused(GOOD | {path: text})) == 1


def test_floors_count_the_longest_chain() -> None:
    assert structure.floors(structure.imports(GOOD)) == 5  # cli, training, models, decoding, lattice


def test_the_table_of_the_structure_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["structure.py", "--lazy", str(ROOT)])
    structure.main()
    printed = capsys.readouterr().out
    assert "| back arrows, when imported | 0 |" in printed and "| back arrows, in functions | 0 |" in printed
    assert "arlattice.samples (physics) imports write of arlattice.io.formats (io) in a function" in printed


# -- private methods -------------------------------------------------------------------------------

Class = tuple[str, str]
"""Module and name."""


def overridden(files: Mapping[str, str]) -> list[str]:
    """Private methods of a class that a subclass in the tree defines too."""
    bases, private = _classes(files)
    return [f"{'.'.join(c)}.{m}" for c in bases for m in sorted(private[c]) if any(m in private[b] for b in _ancestors(c, bases))]


def _ancestors(of: Class, bases: Mapping[Class, list[Class]]) -> Iterator[Class]:
    for base in bases[of]:
        if base in bases:
            yield base
            yield from _ancestors(base, bases)


def _classes(files: Mapping[str, str]) -> tuple[dict[Class, list[Class]], dict[Class, set[str]]]:
    bases: dict[Class, list[Class]] = {}
    private: dict[Class, set[str]] = {}
    for path, text in files.items():
        module, tree = structure.module_of(path), ast.parse(text)
        where = {a.asname or a.name: (n.module or "", a.name) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names = [base.id for base in node.bases if isinstance(base, ast.Name)]
                bases[module, node.name] = [where.get(name, (module, name)) for name in names]
                methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
                private[module, node.name] = {name for name in methods if name.startswith("_") and not name.startswith("__")}
    return bases, private


def test_no_private_method_is_overridden() -> None:
    assert overridden(FILES) == []


def test_a_private_method_that_is_overridden_is_seen() -> None:
    tree = {
        "arlattice/a.py": "class A:\n    def _one(self): ...\n    def two(self): ...\n    def __len__(self): ...",
        "arlattice/b.py": "from arlattice.a import A as Base\nclass B(Base):\n    def two(self): ...\n    def __len__(self): ...",
        "plugins/p/__init__.py": "from arlattice.b import B\nclass C(B):\n    def _one(self): ...\nclass D:\n    def _one(self): ...",
    }
    assert overridden(tree) == ["p.C._one"]
