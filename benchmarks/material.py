"""What a benchmark runs on: clips that rtstyle draws, nets of random weights, a style's width."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtstyle.cli.sample import SAMPLE_RATE, SOUND_RATE, Scene, sample_sound
from rtstyle.errors import ModelError
from rtstyle.media import write_clip
from rtstyle.styles import SizeRule, StyleSpec, write_pack
from rtstyle.types import Pixels, Size

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


def random_pack(folder: Path, weights: Path, *, width: int) -> Path:
    """A Johnson net of random weights as a pack in ``folder`` and as the checkpoint ``weights``."""
    from rtstyle.export import to_onnx
    from rtstyle.nets.johnson import SIZE_MINIMUM, SIZE_MULTIPLE
    from rtstyle.train.checkpoint import load_net

    net = load_net(random_weights(weights, width=width)).eval()
    rule = SizeRule(minimum=SIZE_MINIMUM, multiple_of=SIZE_MULTIPLE)
    model = to_onnx(net, rule)
    write_pack(
        folder,
        model=model,
        name=f"random-{width}",
        title=f"Random weights, width {width}",
        family="johnson",
        size_rule=rule,
        licence="CC0-1.0",
        source="random weights, made by the benchmark",
        measured={},
    )
    return folder


def random_weights(path: Path, *, width: int) -> Path:
    """A checkpoint of random weights; what a net costs does not depend on them."""
    import torch

    from rtstyle.nets import JohnsonNet
    from rtstyle.train.checkpoint import save_weights

    torch.manual_seed(_SEED)
    save_weights(path, JohnsonNet(width=width), iteration=0)
    return path


def plain_graph(path: Path, weights: Path, *, size: Size) -> Path:
    """The net as most people export it: float32 planes in and out, one fixed size."""
    import torch

    from rtstyle.train.checkpoint import load_net

    frame = torch.zeros(1, 3, size.height, size.width)
    with warnings.catch_warnings():
        # The exporter's own deprecations.
        warnings.simplefilter("ignore")
        torch.onnx.export(load_net(weights).eval(), (frame,), str(path), dynamo=True, verbose=False)
    return path


def width_of(spec: StyleSpec) -> int:
    """The width of a Johnson style, read from the first convolution of its graph.

    Raises ModelError where the style is of another family.
    """
    import onnx

    if spec.family != "johnson":
        raise ModelError(f"{spec.name}: the naive loops run Johnson nets, this is {spec.family}")
    graph = onnx.load(spec.file).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and shapes.get(node.input[1], [])[1:] == [3, 9, 9]:
            return int(shapes[node.input[1]][0])
    raise ModelError(f"{spec.name}: no 9x9 convolution at the beginning of {spec.file.name}")
