"""Arrows go one way: physics <- decoding <- models <- training, physics <- montecarlo. Private methods are nobody else's.

The rules are data in benchmarks/source_tree.py. The tree is read, not imported, so a cycle is seen whichever module comes first.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

ROOT = Path(__file__).parents[1]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


tree = load("source_tree")
SOURCES = tree.of_folder(ROOT)


# -- the tree ------------------------------------------------------------------------------------


def test_no_import_goes_against_the_layers() -> None:
    assert tree.back_arrows(SOURCES) == []


@pytest.mark.parametrize("packages", [False, True], ids=["modules", "packages"])
def test_imports_have_no_cycle(packages: bool) -> None:
    assert tree.cycles(tree.arrows(SOURCES, packages)) == []


def test_the_rules_name_every_package() -> None:
    assert {tree.layer(module, SOURCES) for module in SOURCES} - {"plugins"} == set(tree.LAYERS)


def test_no_private_method_is_overridden() -> None:
    assert tree.private_overrides(SOURCES) == []


# -- the test ------------------------------------------------------------------------------------


def fake(root: Path, files: dict[str, str]) -> dict[str, object]:
    """A tree with the packages of arlattice, and these files."""
    for name in ("kernels", "decoding", "models", "training", "montecarlo", "thermo", "io", "hooks", "testing", "cli"):
        files = {f"arlattice/{name}/__init__.py": "", f"arlattice/{name}/one.py": "", **files}
    for name, text in {"arlattice/__init__.py": "", "plugins/arlattice_p/__init__.py": "", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return tree.of_folder(root)  # type: ignore[no-any-return]


GOOD = {
    "arlattice/lattice.py": "def f():\n    from arlattice.io import one\n",
    "arlattice/decoding/draw.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from arlattice.models.base import Model\n",
    "arlattice/models/base.py": "import arlattice.lattice\nfrom arlattice.decoding.draw import draw\nclass Model: ...\n",
    "arlattice/thermo/sweep.py": "from arlattice.models.base import Model\ndef f():\n    from arlattice.models.checkpoint import load\n",
    "arlattice/cli/main.py": "from arlattice.training import one\n",
    "plugins/arlattice_p/p.py": "from arlattice.cli import main\n",
}

BROKEN = {
    "physics imports a package": ({"arlattice/lattice.py": "from arlattice.io import one"}, "physics may not import io"),
    "a plain import": ({"arlattice/lattice.py": "import arlattice.models.one as m"}, "physics may not import models"),
    "physics reaches up inside a function": (
        {"arlattice/lattice.py": "class A:\n    def f(self):\n        from arlattice.models import one\n"},
        "physics knows no models, inside functions neither",
    ),
    "under try": (
        {"arlattice/hooks/a.py": "try:\n    import arlattice.training.one\nexcept ImportError: ...\n"},
        "may not import training",
    ),
    "a relative import": ({"arlattice/io/a.py": "from ..models.one import x"}, "io may not import models"),
    "montecarlo": ({"arlattice/montecarlo/a.py": "def f():\n    from arlattice.decoding.one import x\n"}, "montecarlo knows no decoding"),
    "hooks": ({"arlattice/hooks/a.py": "f = lambda: 1\ndef g():\n    import arlattice.models.one\n"}, "hooks knows no models"),
    "io": ({"arlattice/io/a.py": "from arlattice.decoding import one"}, "io may not import decoding"),
    "decoding imports models": ({"arlattice/decoding/a.py": "from arlattice.models.one import x"}, "decoding may not import models"),
    "decoding, inside a function": (
        {"arlattice/decoding/a.py": "def f():\n    from arlattice.models import one\n"},
        "decoding knows no models",
    ),
    "models import training": ({"arlattice/models/a.py": "from arlattice.training.one import x"}, "models may not import training"),
    "thermo takes more than Model": ({"arlattice/thermo/a.py": "from arlattice.models.base import Model, load"}, "thermo takes only Model"),
    "thermo takes a whole module": ({"arlattice/thermo/a.py": "from arlattice.models import one"}, "thermo takes only Model"),
    "a library of the command line": ({"arlattice/testing/a.py": "from arlattice.cli import one"}, "testing may not import cli"),
    "a plugin": ({"arlattice/cli/a.py": "def f():\n    import arlattice_p\n"}, "the library knows no plugin"),
}


def test_a_good_tree_passes(tmp_path: Path) -> None:
    sources = fake(tmp_path, GOOD)
    assert tree.back_arrows(sources) == [] and tree.private_overrides(sources) == []
    assert not any(tree.cycles(tree.arrows(sources, packages)) for packages in (True, False))
    assert tree.longest_chain({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == 3


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_is_seen_broken(name: str, tmp_path: Path) -> None:
    files, told = BROKEN[name]
    base = {"arlattice/models/base.py": "class Model: ...\ndef load(): ...\n"}
    (found,) = tree.back_arrows(fake(tmp_path, base | files))
    assert told in found


def test_cycles_are_seen(tmp_path: Path) -> None:
    between_modules = {"arlattice/io/a.py": "from arlattice.io.b import x", "arlattice/io/b.py": "from arlattice.io import a"}
    sources = fake(tmp_path / "modules", between_modules)
    assert tree.cycles(tree.arrows(sources, False)) == [["arlattice.io.a", "arlattice.io.b"]]
    assert tree.cycles(tree.arrows(sources, True)) == []
    between_packages = {"arlattice/io/a.py": "import arlattice.hooks.one", "arlattice/hooks/b.py": "import arlattice.io.one"}
    sources = fake(tmp_path / "packages", between_packages)
    assert tree.cycles(tree.arrows(sources, False)) == []
    assert tree.cycles(tree.arrows(sources, True)) == [["hooks", "io"]]


def test_overridden_private_methods_are_seen(tmp_path: Path) -> None:
    files = {
        "arlattice/models/base.py": "from torch import nn\nclass Model(nn.Module):\n    def _weigh(self): ...\n    def __len__(self): ...",
        "arlattice/models/mid.py": "from arlattice.models import base as b\nclass Mid(b.Model):\n    def __len__(self): ...\n",
        "plugins/arlattice_p/a.py": "from arlattice.models.mid import Mid\nclass Deep(Mid[int]):\n    def _weigh(self): ...\n",
        "plugins/arlattice_p/b.py": "import torch\nclass Layer(torch.nn.Module):\n    def _apply(self, f): ...\n",
    }
    found = tree.private_overrides(fake(tmp_path, files))
    assert found == [
        "arlattice_p.a.Deep._weigh overrides arlattice.models.base.Model._weigh",
        "arlattice_p.b.Layer._apply overrides torch.nn.Module._apply",
    ]


def test_the_private_methods_of_torch_are_there() -> None:
    assert all(hasattr(nn.Module, name) for name in tree._MODULE_METHODS)
