"""Kernels of the `.cu` files here, compiled by NVRTC, which torch brings along: no CUDA toolkit is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

__all__ = ["available", "compiled", "defines", "words"]


def defines(**names: object) -> str:
    """Names that the files ask for, with their values."""
    return "".join(f"#define {name} {value}\n" for name, value in names.items())


def words(number: int) -> tuple[int, int]:
    """The low and the high 32 bits: arguments are no longer."""
    return number & 0xFFFFFFFF, number >> 32


@cache
def compiled(name: str, file: str, defines: str, code: str, device: int) -> Callable[..., None]:
    """A kernel of a file, with straight-line code in it, for the current device, which is that of the number given."""
    common, source = (Path(__file__).with_name(f).read_text(encoding="utf-8") for f in ("common.cu", file))
    kernel: Any = torch.cuda._compile_kernel(defines + common + source.replace("STRAIGHT_LINE_CODE", code), name)
    properties: Any = torch.cuda.get_device_properties()
    kernel.set_shared_memory_config(properties.shared_memory_per_block_optin)
    return kernel


@cache
def available() -> bool:
    """Whether kernels can be compiled and run here."""
    try:
        compiled("energies", "loops.cu", defines(REAL="float", Q=2, SHARED_STATE=1), "", torch.cuda.current_device())
    except Exception:  # NVRTC, the driver or torch's call of them is another than we know: torch alone does instead
        return False
    return True
