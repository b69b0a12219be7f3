"""Figures of the source itself, revision beside revision: long files, long functions, who imports whom.

    python benchmarks/structure.py f7a8bd8 HEAD            # prints one table
    python benchmarks/structure.py f7a8bd8 HEAD --keep     # and keeps the figures for docs/design.md

A function is as long as its lines from ``def`` to its end, docstring among them. Floors are the packages on the longest chain of
imports; back arrows are imports against the layers of `source_tree`, inside functions too.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pages.structure import structure_table
from source_tree import Import, arrows, back_arrows, cycles, imports, layer, longest_chain, of_revision, parsed, private_overrides

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "structure.json"
LONG_FILE, LONG_FUNCTION, SHOWN = 300, 45, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="of git")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT.relative_to(ROOT)}")
    given = parser.parse_args()
    result = {"command": command(given), "revisions": {revision: measured(revision) for revision in given.revisions}}
    print(structure_table(result))
    if given.keep:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def command(given: argparse.Namespace) -> str:
    """What repeats the figures."""
    return " ".join(["python benchmarks/structure.py", *given.revisions, "--keep"])


def measured(revision: str) -> dict[str, Any]:
    """All figures of one revision."""
    texts = of_revision(revision, ROOT)
    sources = parsed(texts)
    commit = subprocess.run(["git", "rev-parse", "--short", revision], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {"commit": commit.strip(), **lengths(texts, sources), **directions(sources)}


def lengths(texts: Mapping[str, str], sources: Mapping[str, ast.Module]) -> dict[str, Any]:
    """How long files and functions are."""
    files = {path: len(text.splitlines()) for path, text in texts.items()}
    found = dict(sorted(_functions(sources), key=lambda pair: -pair[1]))
    return {
        "files": len(files),
        "lines": sum(files.values()),
        "long_files": {path: n for path, n in sorted(files.items(), key=lambda pair: -pair[1]) if n > LONG_FILE},
        "longest_functions": dict(list(found.items())[:SHOWN]),
        "long_functions": sum(n > LONG_FUNCTION for n in found.values()),
    }


def directions(sources: Mapping[str, ast.Module]) -> dict[str, Any]:
    """Who imports whom, and what is overridden."""
    packages = arrows(sources, packages=True)
    lazy = [i for i in imports(sources) if i.when == "call" and _crosses(i, sources)]
    return {
        "floors": longest_chain(packages),
        "cycles_of_packages": [" ".join(ring) for ring in cycles(packages)],
        "cycles_of_modules": [" ".join(ring) for ring in cycles(arrows(sources, packages=False))],
        "back_arrows": back_arrows(sources),
        "lazy_imports_between_packages": len(lazy),
        "private_overrides": private_overrides(sources),
    }


def _crosses(found: Import, sources: Mapping[str, ast.Module]) -> bool:
    return layer(found.module, sources) != layer(found.target, sources)


def _functions(sources: Mapping[str, ast.Module]) -> Iterator[tuple[str, int]]:
    """Name and length of every function and method."""
    for module, tree in sources.items():
        for owner, node in _defined(tree, module):
            yield f"{owner}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def _defined(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield owner, child
        name = f"{owner}.{child.name}" if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else owner
        yield from _defined(child, name)


if __name__ == "__main__":
    main()
