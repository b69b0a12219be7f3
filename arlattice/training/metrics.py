"""metrics.jsonl: one line of figures an evaluation; TensorBoard events if asked for."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

from arlattice.errors import MissingExtraError
from arlattice.io.files import write_text, writing

__all__ = ["MetricsLog"]


class MetricsLog:
    """metrics.jsonl, and TensorBoard events if asked for."""

    def __init__(self, folder: Path | None, tensorboard: bool) -> None:
        self.path = None if folder is None else folder / "metrics.jsonl"
        self.started = time.monotonic()
        self.tensorboard = _summary_writer() if tensorboard and folder is not None else None
        self.writer: Any = None

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def cut(self, step: int) -> None:
        """Drop lines after ``step``: a resumed run writes them again."""
        if self.path is None:
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.exists() else []
        kept = []
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):  # a line that a crash cut off, or no line of ours
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        write_text(self.path, "".join(kept))

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One line of figures; those that are not finite are null, as JSON has no such numbers."""
        row = {"step": step, "seconds": round(time.monotonic() - self.started, 3)}
        row |= {name: value if math.isfinite(value) else None for name, value in figures.items()}  # type: ignore[misc]
        if self.path is None:
            return
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        if self.tensorboard is not None:
            self.writer = self.writer or self.tensorboard(str(self.path.parent))
            for name, value in figures.items():
                self.writer.add_scalar(name, value, step)


def _summary_writer() -> Any:
    """The class, imported before anything is trained."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    return SummaryWriter
