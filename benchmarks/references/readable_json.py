"""JSON a person can read: indented, but a list of numbers on one line."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["readable_json"]

_NUMBERS = re.compile(r"\[\s*(-?\d[^\[\]{}\":]*?)\s*\]")


def readable_json(value: Any) -> str:
    """Plain data as JSON, with a line end."""
    return _NUMBERS.sub(lambda match: f"[{', '.join(re.split(r',\s+', match[1]))}]", json.dumps(value, indent=1)) + "\n"
