"""What a benchmark runs on: clips that rtstyle draws, nets of random weights, a style's width."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtstyle.cli.sample import SAMPLE_RATE, SOUND_RATE, Scene, sample_sound
from rtstyle.errors import ModelError
from rtstyle.media import write_clip
from rtstyle.styles import SizeRule, StyleSpec, write_pack
from rtstyle.types import Pixels, Size

if TYPE_CHECKING:
    from torch import nn

_DRAWN = 100
_SEED = 7


def draw_clip(path: Path, *, frames: int, size: Size) -> Path:
    """A clip of the sample scene with sound; beyond 100 frames it runs back and forth."""
    scene = Scene(size)
    drawn = [scene.frame(float(k / SAMPLE_RATE)) for k in range(min(frames, _DRAWN))]

    def pictures() -> Iterator[Pixels]:
        there_and_back = itertools.cycle([*drawn, *drawn[-2:0:-1]])
        return itertools.islice(there_and_back, frames)

    # The same seconds again and again, since a tune of a quarter of an hour takes minutes to draw.
    once = sample_sound(float(min(frames, _DRAWN) / SAMPLE_RATE))
    sound = np.resize(once, (round(frames / SAMPLE_RATE * SOUND_RATE), *once.shape[1:]))
    write_clip(path, pictures(), rate=SAMPLE_RATE, sound=sound, sample_rate=SOUND_RATE)
    return path


NETS = ("johnson", "animegan", "fast")
"""The nets that can be measured with random weights."""


def random_pack(folder: Path, weights: Path, *, net: str = "johnson", width: int) -> Path:
    """A net of random weights as a pack in ``folder`` and as the checkpoint ``weights``."""
    from rtstyle.export import to_onnx

    family, module, rule = _exported(random_weights(weights, net=net, width=width))
    write_pack(
        folder,
        model=to_onnx(module, rule),
        name=f"random-{width}",
        title=f"Random weights, width {width}",
        family=family,
        size_rule=rule,
        licence="CC0-1.0",
        source="random weights, made by the benchmark",
        measured={},
    )
    return folder


def random_weights(path: Path, *, net: str = "johnson", width: int) -> Path:
    """A checkpoint of random weights; what a net costs does not depend on them."""
    import torch

    from rtstyle.nets import AnimeGenerator, FastAnimeGenerator, JohnsonNet
    from rtstyle.train.checkpoint import save_weights

    torch.manual_seed(_SEED)
    kinds: dict[str, type[JohnsonNet | AnimeGenerator | FastAnimeGenerator]] = {
        "johnson": JohnsonNet,
        "animegan": AnimeGenerator,
        "fast": FastAnimeGenerator,
    }
    save_weights(path, kinds[net](width=width), iteration=0)
    return path


def floats_net(weights: Path) -> nn.Module:
    """The net of a checkpoint for float32 ``(N, 3, H, W)`` in [0, 1]."""
    return _exported(weights)[1]


def _exported(weights: Path) -> tuple[str, nn.Module, SizeRule]:
    from rtstyle.train import exported_net, load_any

    family, module, rule = exported_net(load_any(weights))
    return family, module.eval(), rule


def plain_graph(path: Path, weights: Path, *, size: Size) -> Path:
    """The net as most people export it: float32 planes in and out, one fixed size."""
    import torch

    frame = torch.zeros(1, 3, size.height, size.width)
    with warnings.catch_warnings():
        # The exporter's own deprecations.
        warnings.simplefilter("ignore")
        torch.onnx.export(floats_net(weights), (frame,), str(path), dynamo=True, verbose=False)
    return path


def width_of(spec: StyleSpec) -> int:
    """The width of a Johnson style, read from the first convolution of its graph.

    Raises ModelError where the style is of another family.
    """
    import onnx

    if spec.family != "johnson":
        raise ModelError(f"{spec.name}: of family {spec.family}; give its --checkpoint")
    graph = onnx.load(spec.file).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and shapes.get(node.input[1], [])[1:] == [3, 9, 9]:
            return int(shapes[node.input[1]][0])
    raise ModelError(f"{spec.name}: no 9x9 convolution at the beginning of {spec.file.name}")
