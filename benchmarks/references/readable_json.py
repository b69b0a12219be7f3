"""JSON a person can read: indented, but a list of numbers on one line."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["readable_json"]

_NUMBERS = re.compile(r"\[\n\s*(-?\d[^\[\]{}\"]*?)\n\s*\]")  # line ends are never within a string


def readable_json(value: Any) -> str:
    """Plain data as JSON, with a line end."""
    return _NUMBERS.sub(_on_one_line, json.dumps(value, indent=1)) + "\n"


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers[1].split())}]"
