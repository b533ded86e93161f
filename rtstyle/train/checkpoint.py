"""Checkpoints: weights as safetensors with the net's shape in the header, the rest beside it.

``checkpoint.safetensors`` is all that export needs; ``resume.pt`` holds the optimizer and is read
with ``weights_only``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rtstyle.errors import ModelError, UnknownStyle
from rtstyle.nets.johnson import JohnsonNet

WEIGHTS = "checkpoint.safetensors"
RESUME = "resume.pt"
_FORMAT = "rtstyle-johnson-1"


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a run stood."""

    iteration: int
    """Iterations done."""
    fingerprint: str
    """Of the settings that must not change within a run."""
    optimizer: dict[str, Any]


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def save(
    folder: Path,
    net: JohnsonNet,
    optimizer: torch.optim.Optimizer,
    *,
    iteration: int,
    fingerprint: str,
) -> None:
    """Write both files, each atomically; weights last, so that they are never ahead of the rest."""
    rest = {
        "iteration": iteration,
        "fingerprint": fingerprint,
        "optimizer": optimizer.state_dict(),
        "net": net.state_dict(),
    }
    _replace(folder / RESUME, lambda part: torch.save(rest, part))
    save_weights(folder / WEIGHTS, net, iteration=iteration)


def save_weights(path: Path, net: JohnsonNet, *, iteration: int) -> None:
    """Write the weights alone, atomically."""
    header = {
        "format": _FORMAT,
        "net": json.dumps({"width": net.width, "blocks": len(net.residual)}),
        "iteration": str(iteration),
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    _replace(path, lambda part: save_file(tensors, part, metadata=header))


def load_net(path: str | Path) -> JohnsonNet:
    """Rebuild the net from a checkpoint file or the folder that holds one.

    Raises UnknownStyle where there is none, ModelError where it is not one of ours.
    """
    path = Path(path)
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise UnknownStyle(f"{file}: no such checkpoint; give the folder that training wrote")
    try:
        with safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
        state = load_file(file)
    except Exception as error:
        raise ModelError(f"{file}: not a safetensors file ({type(error).__name__})") from error
    if header.get("format") != _FORMAT:
        raise ModelError(
            f"{file}: not a checkpoint of `rtstyle train johnson` "
            f"(format {header.get('format')!r}, expected {_FORMAT!r})"
        )
    shape: dict[str, int] = json.loads(header["net"])
    net = JohnsonNet(shape["width"], shape["blocks"])
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{file}: the weights do not fit the net it names") from error
    return net


def load_resume(folder: Path, net: JohnsonNet) -> Resumed | None:
    """Put the net where the last run in ``folder`` stood; None where there was none.

    Raises ModelError where the file cannot be read; it is never unpickled freely.
    """
    file = folder / RESUME
    if not file.is_file():
        return None
    try:
        rest: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        net.load_state_dict(rest["net"])
        return Resumed(int(rest["iteration"]), str(rest["fingerprint"]), rest["optimizer"])
    except Exception as error:
        raise ModelError(
            f"{file}: cannot be resumed from ({type(error).__name__}); delete it to start over"
        ) from error
