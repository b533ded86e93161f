"""What the two trainings of an AnimeGAN generator share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from rtstyle.errors import UnknownStyle, UsageError
from rtstyle.nets.anime_fast import FastAnimeGenerator
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.nets.vgg import VggFeatures, load_features
from rtstyle.train import checkpoint
from rtstyle.train.checkpoint import Generator

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FREE = ("output", "cache", "checkpoint_every", "sample_every", "compile", "device", "initial")
"""Settings that may change when a run is resumed."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of the checkpoint that a folder holds; UnknownStyle for neither."""
    file = path / checkpoint.WEIGHTS if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise UnknownStyle(f"{file}: no such weights; give a file, or the folder of a run")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def fingerprint(settings: DataclassInstance, files: Iterable[Path] = ()) -> str:
    """Digest of everything that must stay the same when a run is resumed.

    ``files`` count by what is in them.
    """
    kept: dict[str, Any] = {k: str(v) for k, v in asdict(settings).items() if k not in FREE}
    kept["contents"] = [file_digest(file) for file in files]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


NetName = Literal["animegan", "fast"]


class Shape(Protocol):
    """What says which generator is trained."""

    @property
    def net(self) -> NetName:
        """AnimeGenerator or FastAnimeGenerator."""

    @property
    def width(self) -> int:
        """Channels of the first layer."""

    @property
    def blocks(self) -> int:
        """Residual blocks."""

    @property
    def skip(self) -> bool:
        """Whether detail has a way past the middle of an AnimeGenerator."""

    @property
    def initial(self) -> Path | None:
        """A checkpoint of the same shape to start from."""


def initial_generator(shape: Shape) -> Generator:
    """A new generator, or a checkpoint's; raises UsageError where that has another shape."""
    wanted: Generator
    if shape.net == "fast":
        wanted = FastAnimeGenerator(shape.width, shape.blocks)
    elif shape.net == "animegan":
        wanted = AnimeGenerator(shape.width, shape.blocks, skip=shape.skip)
    else:
        raise UsageError(f"--net must be one of {get_args(NetName)}, not {shape.net!r}")
    if shape.initial is None:
        return wanted
    net = checkpoint.load_generator(shape.initial)
    have, want = _described(net), _described(wanted)
    if have != want:
        raise UsageError(
            f"--initial {shape.initial} is another net: {have}; wanted is {want}; "
            "give the same, or leave --initial out"
        )
    return net


def _described(net: Generator) -> str:
    skip = "with" if net.skip else "without"
    return f"{type(net).__name__} of width {net.width}, {net.blocks} blocks, {skip} skip"


def resumed_generator(net: Generator, output: Path, digest: str) -> checkpoint.Resumed | None:
    """Put the net where the last run in ``output`` stood; None where there was none.

    Raises UsageError where that run had other settings, ModelError where it cannot be read.
    """
    resumed = checkpoint.load_resume(output, net)
    if resumed is not None and resumed.fingerprint != digest:
        raise UsageError(
            f"{output} holds a run with other settings; "
            "give another -o, or move its resume.pt away to start over"
        )
    return resumed


def feature_net(file: Path, layers: Iterable[str], device: str) -> VggFeatures:
    """The frozen feature net on the device; raises UsageError where it lacks one of ``layers``."""
    features = load_features(file)
    missing = sorted(set(layers) - set(features.layers))
    if missing:
        raise UsageError(
            f"--features {file} has no {', '.join(missing)}; "
            "give vgg19_16x.safetensors or torchvision's vgg19-dcbb9e9d.pth"
        )
    return features.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def generate(net: nn.Module, photos: Tensor) -> Tensor:
    """``(N, 3, H, W)`` RGB in [0, 1] -> the generator's picture in the same range, float32."""
    drawn: Tensor = net(photos * 2 - 1)
    return drawn.float() * 0.5 + 0.5
