"""What the source says of its own structure, read with `ast` and never imported: who imports whom, and who overrides what.

`LAYERS`, `NEVER` and `ONLY_NAMES` are the rules of docs/design.md as data; tests/test_import_direction.py holds the tree to
them, benchmarks/structure.py counts what breaks them in any revision.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tarfile import open as open_tar

__all__ = [
    "Import",
    "arrows",
    "back_arrows",
    "cycles",
    "imports",
    "layer",
    "longest_chain",
    "of_folder",
    "of_revision",
    "private_overrides",
]

LIBRARY = "arlattice"
FACADE = {"arlattice", "arlattice.build", "arlattice.on_supercell"}
"""Modules that put physics and the registry together: above physics, though they stand beside it."""

_ALL = {"kernels", "physics", "hooks", "facade", "io", "montecarlo", "decoding", "models", "training", "thermo", "testing", "cli"}
LAYERS: dict[str, set[str]] = {
    "kernels": set(),
    "physics": {"kernels"},
    "hooks": {"physics"},
    "facade": {"physics", "hooks"},
    "io": {"physics", "hooks", "facade"},
    "montecarlo": {"kernels", "physics", "hooks", "facade"},
    "decoding": {"physics", "hooks", "facade"},
    "models": {"kernels", "physics", "hooks", "facade", "io", "decoding"},
    "training": {"physics", "hooks", "facade", "io", "montecarlo", "decoding", "models"},
    "thermo": {"physics", "hooks", "facade", "io", "montecarlo", "models"},
    "testing": _ALL - {"cli"},
    "cli": _ALL,
}
"""Layer -> layers that its modules may import when they are imported. Physics is every module beside the packages.

Kernels take arrays and know nothing of what they mean.
"""

NETWORKS = {"decoding", "models", "training"}
NEVER: dict[str, set[str]] = dict.fromkeys(("kernels", "physics", "montecarlo", "io", "hooks"), NETWORKS) | {
    "decoding": {"models", "training"}
}
"""Layer -> layers that its modules do not import inside functions either."""

ONLY_NAMES: dict[tuple[str, str], set[str]] = {("thermo", "models"): {"Model"}}
"""Of these layers only these names are imported when the module is."""

_MODULE_METHODS = ("_apply", "_call_impl", "_get_name", "_load_from_state_dict", "_named_members", "_save_to_state_dict", "_version")
"""Private methods of torch.nn.Module that a subclass might be tempted to override."""

Sources = Mapping[str, ast.Module]


@dataclass(frozen=True)
class Import:
    """One name that a module imports.

    Args:
        module: who imports.
        target: the module that is imported, or that the name is taken from.
        name: what is taken from it; empty for the module itself.
        when: ``"import"``, ``"call"`` (inside a function) or ``"typing"`` (under TYPE_CHECKING).
        line: where.
    """

    module: str
    target: str
    name: str
    when: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name or 'all'} of {self.target} ({self.when})"


# -- reading -------------------------------------------------------------------------------------


def of_folder(root: Path) -> dict[str, ast.Module]:
    """Modules of arlattice/ and plugins/ below a folder, by dotted name."""
    files = [path for top in (LIBRARY, "plugins") for path in sorted((root / top).rglob("*.py"))]
    return {_name(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def of_revision(revision: str, root: Path) -> dict[str, str]:
    """Text of the files of arlattice/ and plugins/ in a revision of git, by path."""
    names = subprocess.run(
        ["git", "ls-tree", "--name-only", revision, LIBRARY, "plugins"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    packed = subprocess.run(["git", "archive", revision, *names], cwd=root, capture_output=True, check=True).stdout
    with open_tar(fileobj=BytesIO(packed)) as tar:
        members = [m for m in tar.getmembers() if m.isfile() and m.name.endswith(".py")]
        return {m.name: tar.extractfile(m).read().decode() for m in members}  # type: ignore[union-attr]


def parsed(texts: Mapping[str, str]) -> dict[str, ast.Module]:
    """What `of_revision` gave, by dotted name."""
    return {_name(Path(path)): ast.parse(text) for path, text in texts.items()}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[0] == "plugins" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# -- imports -------------------------------------------------------------------------------------


def imports(sources: Sources) -> list[Import]:
    """Every import of one of these modules by another."""
    return [found for module, tree in sources.items() for found in _of(module, tree, sources)]


def _of(module: str, tree: ast.Module, sources: Sources) -> Iterator[Import]:
    package = module if any(other.startswith(f"{module}.") for other in sources) else module.rpartition(".")[0]
    for node, when in _statements(tree, "import"):
        base = "" if isinstance(node, ast.Import) else _absolute(node, package)
        for alias in node.names:
            whole = f"{base}.{alias.name}" if base else alias.name
            target, name = (whole, "") if whole in sources or isinstance(node, ast.Import) else (base, alias.name)
            if target in sources and target != module:
                yield Import(module, target, name, when, node.lineno)


def _statements(node: ast.AST, when: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, when
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _statements(ast.Module(child.body, []), "typing")
            yield from _statements(ast.Module(child.orelse, []), when)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(child, "call" if inside and when == "import" else when)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*above, *filter(None, [node.module])])


def layer(module: str, sources: Sources) -> str:
    """The layer of a module: its package below arlattice/, else ``"physics"``; ``"facade"``, or ``"plugins"``. ``python -m`` is the cli."""
    first, _, rest = module.partition(".")
    if first != LIBRARY:
        return "plugins"
    if module in FACADE:
        return "facade"
    package = rest.split(".")[0]
    if package == "__main__":
        return "cli"
    return package if any(other.startswith(f"{LIBRARY}.{package}.") for other in sources) else "physics"


def back_arrows(sources: Sources) -> list[str]:
    """Every import against the rules, told in one line."""
    return [f"{found}: {why}" for found in imports(sources) if (why := _wrong(found, sources))]


def _wrong(found: Import, sources: Sources) -> str:
    """Why an import is against the rules; empty where it is not."""
    above, below = layer(found.module, sources), layer(found.target, sources)
    if above == "plugins" or above == below or found.when == "typing":
        return ""
    if below == "plugins":
        return "the library knows no plugin"
    if found.when == "call":
        return f"{above} knows no {below}, inside functions neither" if below in NEVER.get(above, set()) else ""
    if above in LAYERS and below not in LAYERS[above]:
        return f"{above} may not import {below}"
    names = ONLY_NAMES.get((above, below))
    return f"{above} takes only {', '.join(names)} of {below}" if names is not None and found.name not in names else ""


def arrows(sources: Sources, packages: bool) -> dict[str, set[str]]:
    """Who imports whom when imported: modules, or packages of the library (and every plugin)."""
    graph: dict[str, set[str]] = {}
    for found in imports(sources):
        ends = [layer(m, sources) if packages else m for m in (found.module, found.target)]
        if found.when == "import" and ends[0] != ends[1]:
            graph.setdefault(ends[0], set()).add(ends[1])
    return graph


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that reach each other (strongly connected components of more than one node)."""
    reach = {node: _reached(graph, node) for node in graph}
    found = {tuple(sorted(b for b in seen if a in reach.get(b, ()))) for a, seen in reach.items() if a in seen}
    return sorted(map(list, found))


def longest_chain(graph: Mapping[str, set[str]]) -> int:
    """Nodes on the longest chain of arrows; a cycle counts as one floor."""
    group = {node: tuple(ring) for ring in cycles(graph) for node in ring}
    merged: dict[object, set[object]] = {}
    for node, targets in graph.items():
        here = group.get(node, node)
        merged.setdefault(here, set()).update(t for t in (group.get(x, x) for x in targets) if t != here)
    heights: dict[object, int] = {}

    def height(node: object) -> int:
        if node not in heights:
            heights[node] = 1 + max((height(below) for below in merged.get(node, ())), default=0)
        return heights[node]

    return max(map(height, merged), default=0)


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    left = list(graph.get(start, ()))
    while left:
        node = left.pop()
        if node not in seen:
            seen.add(node)
            left.extend(graph.get(node, ()))
    return seen


# -- classes -------------------------------------------------------------------------------------


def private_overrides(sources: Sources) -> list[str]:
    """Methods named with one underscore that a subclass defines again, told in one line."""
    classes = {f"{m}.{c.name}": (m, c) for m, tree in sources.items() for c in ast.walk(tree) if isinstance(c, ast.ClassDef)}
    methods = {name: _private(node) for name, (_, node) in classes.items()}
    bases = {name: [_resolved(base, m, sources[m]) for base in node.bases] for name, (m, node) in classes.items()}
    found = []
    for name in classes:
        for above in _ancestors(name, bases, set()):
            theirs = set(_MODULE_METHODS) if above == "torch.nn.Module" else methods.get(above, set())
            found += [f"{name}.{method} overrides {above}.{method}" for method in sorted(methods[name] & theirs)]
    return sorted(found)


def _private(node: ast.ClassDef) -> set[str]:
    names = (f.name for f in node.body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def _ancestors(name: str, bases: Mapping[str, list[str]], seen: set[str]) -> set[str]:
    for base in bases.get(name, ()):
        if base not in seen:
            seen.add(base)
            _ancestors(base, bases, seen)
    return seen


def _resolved(base: ast.expr, module: str, tree: ast.Module) -> str:
    """Full name of a base class, as the imports of its module say."""
    base = base.value if isinstance(base, ast.Subscript) else base
    first, _, rest = ast.unparse(base).partition(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) == first:
                    whole = alias.name if alias.asname else first
                    prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                    return ".".join(filter(None, [prefix + whole, rest]))
    return f"{module}.{first}{'.' + rest if rest else ''}"
