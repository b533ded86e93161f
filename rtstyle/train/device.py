"""Where a run trains and in which number format."""

from __future__ import annotations

import torch

from rtstyle.backends import processor_features
from rtstyle.errors import UsageError


def check_precision(precision: str) -> None:
    """Raises UsageError for a number format that no training runs in."""
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"precision must be fp32 or bf16 in training, not {precision!r}")


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` where torch finds one; another device is checked."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {device} cannot be used here: {error}") from error
    return device


def resolve_precision(precision: str, device: str) -> str:
    """``auto`` becomes ``bf16`` where the device reports units for it."""
    if precision != "auto":
        return precision
    if device != "cpu":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    found = processor_features()
    return "bf16" if found.amx_bf16 or found.avx512_bf16 else "fp32"
