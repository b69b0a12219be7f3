"""How the library is built: long files, long functions, and the direction of imports, side by side for several revisions.

    python benchmarks/structure.py f7a8bd8 HEAD      # of this repository
    python benchmarks/structure.py .                 # the files as they are
    python benchmarks/structure.py --lazy .          # and every import inside a function that goes up

A floor is a step of the longest chain of imports between modules. A back arrow is an import against `LAYERS`, where a package may import
only what its row names. `tests/test_import_direction.py` holds the library to the table.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

GROUND = {"arguments", "errors", "old_names", "version"}
"""Modules right below ``arlattice`` that know nothing of physics; all others there are the layer physics."""

LAYERS: dict[str, set[str]] = {
    "ground": set(),
    "hooks": {"ground"},
    "physics": {"ground", "hooks"},
    "io": {"ground", "hooks", "physics"},
    "decoding": {"ground", "hooks", "physics"},
    "montecarlo": {"ground", "hooks", "physics"},
    "models": {"ground", "hooks", "physics", "io", "decoding"},
    "training": {"ground", "hooks", "physics", "io", "decoding", "montecarlo", "models"},
    "thermo": {"ground", "hooks", "physics", "io", "montecarlo"},
    "testing": {"ground", "hooks", "physics", "io", "decoding", "montecarlo", "models", "thermo"},
    "cli": {"ground", "hooks", "physics", "io", "decoding", "montecarlo", "models", "training", "thermo"},
    "root": {"ground", "hooks", "physics", "cli"},
}
"""What the modules of each layer may import, the lowest layer first. ``root`` is ``import arlattice`` itself."""

NAMES = {("thermo", "models"): {"Model"}}
"""Where single names may be imported besides."""

IN_FUNCTIONS: dict[str, set[str]] = {"hooks": {"cli"}, "physics": {"io", "thermo"}, "thermo": {"models"}, "root": set(LAYERS)}
"""What functions may import besides, when they are called."""


@dataclass(frozen=True)
class Import:
    """One import of a module of arlattice or of a plugin by a module of arlattice."""

    module: str
    target: str
    names: tuple[str, ...]
    in_function: bool

    @property
    def allowed(self) -> bool:
        """Whether the table allows it; what is not in the table (a package of an older release) may do anything."""
        here, there = layer(self.module), layer(self.target)
        if here == there or here not in LAYERS:
            return True
        named = NAMES.get((here, there), set())
        allowed = LAYERS[here] | (IN_FUNCTIONS.get(here, set()) if self.in_function else set())
        return there in allowed or (bool(self.names) and set(self.names) <= named)

    def __str__(self) -> str:
        names, where = ", ".join(self.names) or "all", " in a function" if self.in_function else ""
        return f"{self.module} ({layer(self.module)}) imports {names} of {self.target} ({layer(self.target)}){where}"


def layer(module: str) -> str:
    """The layer of ``arlattice.package.module``; a plugin is a layer of its own name."""
    parts = module.split(".")
    if parts[0] != "arlattice":
        return parts[0]
    if len(parts) == 1 or parts[1] == "__main__":
        return "root"
    if parts[1] in GROUND:
        return "ground"
    return parts[1] if parts[1] in LAYERS or len(parts) > 2 else "physics"


# -- reading -------------------------------------------------------------------------------------


def sources(revision: str) -> dict[str, str]:
    """Python files of arlattice/ and plugins/ by path: of a folder, or of a revision of this repository."""
    if Path(revision).is_dir():
        folder = Path(revision)
        files = [*folder.glob("arlattice/**/*.py"), *folder.glob("plugins/**/*.py")]
        return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in sorted(files)}
    packed = subprocess.run(["git", "archive", revision, "arlattice", "plugins"], cwd=ROOT, capture_output=True, check=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".py") else None
            if content is not None:
                found[member.name] = content.read().decode()
    return found


def module_of(path: str) -> str:
    """``arlattice/io/ase.py`` -> ``arlattice.io.ase``."""
    return path.removeprefix("plugins/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imports(files: Mapping[str, str]) -> list[Import]:
    """Every import by arlattice of one of the modules given, but those for type checkers only."""
    modules = {module_of(path) for path in files}
    found = []
    for path, text in files.items():
        if path.startswith("arlattice/"):
            for node, in_function in _import_nodes(ast.parse(text), False):
                found += [Import(module_of(path), *target, in_function) for target in _targets(node, modules)]
    return found


def _import_nodes(node: ast.AST, in_function: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, in_function
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from _import_nodes(ast.Module(child.orelse, []), in_function)
        else:
            yield from _import_nodes(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def _targets(node: ast.Import | ast.ImportFrom, modules: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Modules and names: ``from arlattice.io import files`` is the module ``arlattice.io.files``."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, ()) for alias in node.names if alias.name in modules)
        return
    of = node.module or ""
    names = [alias.name for alias in node.names]
    yield from ((f"{of}.{name}", ()) for name in names if f"{of}.{name}" in modules)
    others = tuple(name for name in names if f"{of}.{name}" not in modules)
    if others and of in modules:
        yield of, others


# -- measuring -----------------------------------------------------------------------------------


def floors(found: Iterable[Import]) -> int:
    """Modules on the longest chain of imports that run when a module is imported; a chain ends where it would close a circle."""
    below: dict[str, set[str]] = {}
    for each in found:
        if not each.in_function and each.module != each.target:
            below.setdefault(each.module, set()).add(each.target)
    waiting: set[str] = set()

    @cache
    def height(module: str) -> int:
        if module in waiting:
            return 0
        waiting.add(module)
        tall = 1 + max((height(other) for other in sorted(below.get(module, ()))), default=0)
        waiting.discard(module)
        return tall

    return max((height(module) for module in sorted(below) if module != "arlattice"), default=0)


def functions(files: Mapping[str, str]) -> list[tuple[int, str]]:
    """Lines and name of every function, the longest first."""
    found = []
    for path, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(((node.end_lineno or node.lineno) - node.lineno + 1, f"{module_of(path)}.{node.name}"))
    return sorted(found, reverse=True)


def measured(revision: str) -> dict[str, str]:
    """The table's column of one revision."""
    files = sources(revision)
    found, lengths = imports(files), {path: text.count("\n") for path, text in files.items()}
    back = [each for each in found if not each.allowed]
    long_files = sorted(((n, path) for path, n in lengths.items() if n > 300), reverse=True)
    return {
        "files": str(len(files)),
        "lines": f"{sum(lengths.values()):,}",
        "files over 300 lines": str(len(long_files)),
        "the longest files": "; ".join(f"{path} {n}" for n, path in long_files[:5]) or "-",
        "functions over 40 lines": str(sum(n > 40 for n, _ in functions(files))),
        "the longest functions": "; ".join(f"{name} {n}" for n, name in functions(files)[:5]),
        "floors of the import graph": str(floors(found)),
        "back arrows, when imported": str(sum(not each.in_function for each in back)),
        "back arrows, in functions": str(sum(each.in_function for each in back)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="+", help="revisions of this repository, or folders")
    parser.add_argument("--lazy", action="store_true", help="list the imports inside functions that go up, allowed or not")
    arguments = parser.parse_args()
    columns = [measured(revision) for revision in arguments.revisions]
    print("| |", " | ".join(arguments.revisions), "|")
    print("|---|" + "---|" * len(columns))
    for row in columns[0]:
        print("|", row, "|", " | ".join(column[row] for column in columns), "|")
    for each in imports(sources(arguments.revisions[-1])) if arguments.lazy else ():
        here = layer(each.module)
        if each.in_function and layer(each.target) not in LAYERS.get(here, set()) | {here}:
            print(each)


if __name__ == "__main__":
    main()
