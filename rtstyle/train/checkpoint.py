"""Checkpoints: weights as safetensors with the net's shape in the header, the rest beside it.

``checkpoint.safetensors`` is all that export needs; ``resume.pt`` holds the optimizer and is read
with ``weights_only``.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from rtstyle.errors import ModelError, UnknownStyle
from rtstyle.files import write_whole
from rtstyle.nets.anime_fast import FastAnimeGenerator
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.nets.johnson import JohnsonNet
from rtstyle.train.run_folder import RunFolder

WEIGHTS = "checkpoint.safetensors"
RESUME = "resume.pt"
_OURS = "rtstyle-"
_JOHNSON = f"{_OURS}johnson-1"
_ANIME = f"{_OURS}animegan-1"
_FAST = f"{_OURS}anime-fast-1"

Generator = AnimeGenerator | FastAnimeGenerator
"""The nets of anime pictures."""

StyleNet = JohnsonNet | Generator
"""The nets that are trained here and exported."""


class Stateful(Protocol):
    """A module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a run stood."""

    iteration: int
    """Iterations done."""
    fingerprint: str
    """Of the settings that must not change within a run."""
    optimizer: dict[str, Any]
    beside: dict[str, Any] = field(default_factory=dict)
    """The state of whatever else was saved, by name."""


def save(
    folder: RunFolder,
    net: StyleNet,
    optimizer: torch.optim.Optimizer,
    *,
    iteration: int,
    fingerprint: str,
    beside: Mapping[str, Stateful] | None = None,
) -> None:
    """Write both files, each atomically; weights last, so that they are never ahead of the rest.

    ``beside`` names what else a resumed run needs: a discriminator, a second optimizer.
    """
    rest = {
        "iteration": iteration,
        "fingerprint": fingerprint,
        "optimizer": optimizer.state_dict(),
        "net": net.state_dict(),
        "beside": {name: kept.state_dict() for name, kept in (beside or {}).items()},
    }
    written = io.BytesIO()
    torch.save(rest, written)
    folder.write(RESUME, written.getvalue())
    folder.write(WEIGHTS, _weights(net, iteration=iteration))


def save_weights(path: Path, net: StyleNet, *, iteration: int) -> None:
    """Write the weights alone, whole or not at all, over what is there; raises OSError."""
    write_whole(path, _weights(net, iteration=iteration), overwrite=True)


def _weights(net: StyleNet, *, iteration: int) -> bytes:
    shape = {"width": net.width}
    if isinstance(net, JohnsonNet):
        header, shape["blocks"] = {"format": _JOHNSON}, len(net.residual)
    elif isinstance(net, FastAnimeGenerator):
        header, shape["blocks"] = {"format": _FAST}, net.blocks
    else:
        header = {"format": _ANIME}
        shape |= {"blocks": net.blocks, "align_corners": net.align_corners, "skip": net.skip}
    header |= {"net": json.dumps(shape), "iteration": str(iteration)}
    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    return to_bytes(tensors, metadata=header)


def load_any(path: str | Path) -> StyleNet:
    """Rebuild the net from a checkpoint file or the folder that holds one.

    Raises UnknownStyle where there is none, ModelError where it is not one of ours.
    """
    path = Path(path)
    file = path / WEIGHTS if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise UnknownStyle(f"{file}: no such checkpoint; give the folder that training wrote")
    header = read_header(file)
    builders: dict[str, Callable[..., StyleNet]] = {
        _JOHNSON: JohnsonNet,
        _ANIME: AnimeGenerator,
        _FAST: FastAnimeGenerator,
    }
    build = builders.get(header.get("format", ""))
    if build is None:
        raise ModelError(
            f"{file}: not a checkpoint of `rtstyle train` "
            f"(format {header.get('format')!r}, expected one of {sorted(builders)})"
        )
    try:
        net = build(**json.loads(header["net"]))
        net.load_state_dict(load_file(file))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: the weights do not fit the net it names") from error
    return net


def read_header(file: Path) -> dict[str, str]:
    """What a safetensors file says of itself; raises ModelError where it is none."""
    try:
        with safe_open(file, framework="pt") as opened:
            return opened.metadata() or {}
    except Exception as error:
        raise ModelError(f"{file}: not a safetensors file ({type(error).__name__})") from error


def is_checkpoint(file: Path) -> bool:
    """Whether a file calls itself a checkpoint of ours; False where it cannot be read."""
    try:
        return read_header(file).get("format", "").startswith(_OURS)
    except ModelError:
        return False


def load_net(path: str | Path) -> JohnsonNet:
    """As load_any, for a Johnson net only."""
    net = load_any(path)
    if not isinstance(net, JohnsonNet):
        raise ModelError(f"{path}: not a checkpoint of `rtstyle train johnson`")
    return net


def load_generator(path: str | Path) -> Generator:
    """As load_any, for a generator of anime pictures only."""
    net = load_any(path)
    if isinstance(net, JohnsonNet):
        raise ModelError(f"{path}: not a checkpoint of `rtstyle train distil` or `animegan`")
    return net


def load_resume(folder: Path, net: StyleNet) -> Resumed | None:
    """Put the net where the last run in ``folder`` stood; None where there was none.

    Raises ModelError where the file cannot be read; it is never unpickled freely.
    """
    file = folder / RESUME
    if not os.path.isfile(file):
        return None
    # What cannot be read is never to be deleted: it may be another program's.
    try:
        rest: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        net.load_state_dict(rest["net"])
        return Resumed(
            int(rest["iteration"]),
            str(rest["fingerprint"]),
            rest["optimizer"],
            rest.get("beside", {}),
        )
    except Exception as error:
        raise ModelError(
            f"{file}: cannot be resumed from ({type(error).__name__}); move it away to start over, "
            "or give another -o"
        ) from error


def is_resume(file: Path) -> bool:
    """Whether a file holds what ``save`` wrote to go on with; False where it cannot be read."""
    if not file.is_file():
        return False
    try:
        rest = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:
        return False
    return isinstance(rest, dict) and rest.keys() >= {"iteration", "fingerprint", "net"}
