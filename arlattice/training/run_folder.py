"""The folder of a run: one process at a time has it, and a run that is refused leaves none.

It holds ``config.json``, ``metrics.jsonl``, ``checkpoint.safetensors`` and, when training stops, ``model/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arlattice.errors import InputError
from arlattice.io.files import LOCK, folder_lock, write_text, writing
from arlattice.training.checkpoint import CHECKPOINT

__all__ = ["RunFolder", "run_folder"]


@dataclass(frozen=True)
class RunFolder:
    """Where a run leaves its files."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """All that the next step reads."""
        return self.path / CHECKPOINT

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / "model"

    def describe(self, identity: Mapping[str, Any]) -> None:
        """Write what the run was asked to do."""
        write_text(self.path / "config.json", json.dumps(identity, indent=2) + "\n")


@contextmanager
def run_folder(path: Path, resume: bool) -> Iterator[RunFolder]:
    """Have a run folder, made if absent, for the length of the block. Folders made here go again if nothing came into them.

    Args:
        path: the folder.
        resume: to continue the run in it.

    Raises:
        InputError: another process trains there, the folder holds a model or a run already, or ``path`` is a file.
    """
    if path.exists() and not path.is_dir():
        raise InputError("folder", str(path), "is a file; name a folder")
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    try:
        with folder_lock(path) as ours:
            if not ours:
                raise InputError("folder", str(path), "another process trains there; wait until it ends, or name another folder")
            folder = RunFolder(path)
            _check_free(folder, resume)
            yield folder
    finally:
        _remove_empty(path, made)


def _check_free(folder: RunFolder, resume: bool) -> None:
    """Refuse a folder whose model `arlattice.load` would return instead of the one to be trained."""
    if not resume and folder.checkpoint.exists():
        raise InputError("folder", str(folder.path), "holds a run already; give --resume to continue it, or another folder")
    held = [folder.path] if resume else [folder.path, folder.model]
    if any((place / "model.safetensors").exists() for place in held):
        raise InputError("folder", str(folder.path), "holds a trained model already; name another folder")


def _remove_empty(path: Path, made: list[Path]) -> None:
    """Remove the folders that were made for the run, the innermost first, as far as they hold nothing but the lock."""
    if path in made and [entry.name for entry in path.iterdir()] == [LOCK]:
        (path / LOCK).unlink()
    with suppress(OSError):  # not empty
        for folder in made:
            folder.rmdir()
