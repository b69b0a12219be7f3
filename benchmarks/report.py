"""Tables of the README and of docs/, from what the benchmarks left.

A page marks the place of a table with ``<!-- generated: NAME -->`` and ``<!-- end -->``; this program puts there what the
section NAME (`benchmarks/pages/`) makes of benchmarks/results/, arlattice/pretrained/ and docs/demo.txt. A test checks that it
was run.

    python benchmarks/report.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pages import any_alloy, checks, files, reproducing, results, scale, speed, structure, training, worked_examples
from pages.reading import PRETRAINED, ROOT

PAGES = [ROOT / "README.md", PRETRAINED / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACE = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SECTIONS: dict[str, Callable[[], str]] = {}
for page in (results, scale, any_alloy, training, reproducing, checks, files, worked_examples, structure, speed):
    SECTIONS |= page.SECTIONS


def main() -> None:
    """Rewrite the marked places of every page."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """A page with its marked places filled."""
    return PLACE.sub(lambda match: f"{match[1]}{section(match[2])}\n{match[3]}", text)


def section(name: str) -> str:
    """The text of one section; says so where its figures are not there."""
    try:
        return SECTIONS[name]()
    except FileNotFoundError as missing:
        return f"*Not measured yet: {Path(missing.filename).name} is not there.*"


if __name__ == "__main__":
    main()
