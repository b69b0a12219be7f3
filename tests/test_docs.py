"""Every code block of README and docs runs, with fewer samples and steps; generated tables are up to date; links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from arlattice.hooks import Manager, using
from arlattice.training.config import RunConfig

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "arlattice" / "pretrained" / "README.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^```\{.*?^```$", re.DOTALL | re.MULTILINE)  # of the manual's site, test_docs_site.py
TITLE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")
FEWER = [
    (r"\.(sample|inpaint|resample)\((known, )?\d+", r".\1(\g<2>4"),
    (r'("steps": |steps = )\d+', r"\g<1>2"),
    (r'("batch_size": |batch_size = )\d+', r"\g<1>8"),
    (r'"replica_copies": \d+', '"replica_copies": 2'),
    (r'"objective": "forward"', '"objective": "forward", "equilibration_sweeps": 2'),
    (r'objective = "forward"', 'objective = "forward"\nequilibration_sweeps = 2\nreplica_copies = 2'),
    (r" -n \d+", " -n 4 --quiet"),
    (r"( train .*)", r"\1 --quiet"),
    (r"arl\.train\((\w+), (\w+)\)", r'arl.train(\1, \2, training={"steps": 2, "equilibration_sweeps": 2, "evaluate_samples": 4})'),
    (r"until_ess = [\d.]+", "steps = 2\nequilibration_sweeps = 2\nevaluate_samples = 4"),
]
pytestmark = [
    pytest.mark.filterwarnings("ignore::arlattice.LowEssWarning"),  # blocks run with fewer samples here
    pytest.mark.filterwarnings("ignore::arlattice.HeavyTailWarning"),  # blocks run with fewer samples here
    pytest.mark.filterwarnings("ignore::arlattice_icet.SelfInteractionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: Callable[..., Any]) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    written = page.read_text(encoding="utf-8")
    assert "```" not in DIRECTIVE.sub("", BLOCK.sub("", written)), "a block that is not found is not run"
    with using(Manager()):
        for language, text in BLOCK.findall(written):
            run_block(language, text, namespace, run_cli)


def run_block(language: str, text: str, namespace: dict[str, Any], run_cli: Callable[..., Any]) -> None:
    """Files are written under their name, Python is run in the page's namespace, console lines one by one."""
    small = shrunk(text)
    if title := TITLE.match(text):
        Path(title[1]).write_text(small, encoding="utf-8")
    elif language == "python":
        exec(compile(small, "page", "exec"), namespace)
    elif language == "console":
        for line in small.splitlines():
            run_line(line, run_cli)
    else:
        assert language == "text", f"a block of {language} is not tested"


def run_line(line: str, run_cli: Callable[..., Any]) -> None:
    program, *arguments = shlex.split(line)
    if program == "torchrun":  # run by test_ranks
        program, arguments = arguments[arguments.index("-m") + 1], arguments[arguments.index("-m") + 2 :]
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        assert {name for asked in re.findall(r"\[(.*)\]", line) for name in asked.split(",")} <= set(extras)
    elif arguments[0] == "train" and arguments[1].startswith("configs/"):
        assert RunConfig.from_toml(ROOT / arguments[1]).training.steps > 0  # minutes on a GPU
    else:
        assert program == "arlattice", line
        ran = run_cli(*arguments)
        assert ran.code == 0, f"{line}\n{ran.err}"


def shrunk(text: str) -> str:
    for pattern, replacement in FEWER:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_generated_tables_are_what_the_report_makes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert report().filled(text) == text, "run: python benchmarks/report.py"


def test_the_report_puts_tables_into_marked_places_only() -> None:
    page = "a\n<!-- generated: sampling-speed -->\nold\n<!-- end -->\nb"
    filled = report().filled(page)
    assert filled.startswith("a\n<!-- generated: sampling-speed -->\n| sites |")
    assert filled.endswith("\n<!-- end -->\nb")
    assert "old" not in filled
    assert report().filled(filled) == filled


def report() -> ModuleType:
    folder = ROOT / "benchmarks"
    spec = importlib.util.spec_from_file_location("report", folder / "report.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)  # as `python benchmarks/report.py` has it
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_readme_opens_with_what_it_is_for_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert BLOCK.findall(text)[0] == ("console", "make demo\nmake test\n")
