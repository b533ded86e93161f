"""Graphs of the anime nets: admitted, of any size, equal to torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rtstyle.export import PackCard, SignedEnds, export_pack, multiply_accumulates, to_onnx
from rtstyle.nets import AnimeGenerator, CartoonGenerator, FastAnimeGenerator
from rtstyle.styles import SizeRule, admit


@pytest.mark.parametrize(
    ("family", "build", "rule"),
    [
        ("animegan", partial(AnimeGenerator, 4), SizeRule(16, 4)),
        ("animegan", partial(AnimeGenerator, 4, align_corners=True, skip=True), SizeRule(16, 4)),
        ("animegan", partial(FastAnimeGenerator, 4), SizeRule(8, 4)),
        ("cartoongan", partial(CartoonGenerator, 4, blocks=1), SizeRule(16, 4)),
    ],
)
def test_packs_of_anime_nets(
    family: str, build: Callable[[], nn.Module], rule: SizeRule, tmp_path: Path
) -> None:
    # Some random weights are too coarse for bfloat16, and refused.
    torch.manual_seed(3)
    net = build()
    chance = np.random.default_rng(0)
    photos = [chance.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((64, 80), (48, 33))]
    card = PackCard("test", "Test", family, "MIT", "random weights")
    spec, parity = export_pack(SignedEnds(net), tmp_path / "pack", card, rule=rule, photos=photos)
    assert parity.max_difference <= 1 and parity.psnr_bf16_db > 41
    assert spec.family == family and spec.size_rule == rule
    admit(spec.file.read_bytes(), name="exported")


def test_layer_norms_are_spelled_out_for_the_compiler() -> None:
    model = onnx.load_from_string(to_onnx(SignedEnds(AnimeGenerator(4)), SizeRule(16, 4)))
    kinds = {node.op_type for node in model.graph.node}
    assert "ReduceMean" in kinds and not kinds & {"InstanceNormalization", "Reshape"}


def test_multiply_accumulates_of_a_transposed_convolution_by_hand() -> None:
    net = nn.ConvTranspose2d(3, 8, 3, 2, 1, 1)
    assert multiply_accumulates(net, 10, 20) == 3 * 8 * 9 * 200


def test_the_net_itself_stays_as_it_was() -> None:
    net = AnimeGenerator(4)
    before = list(net.state_dict())
    to_onnx(SignedEnds(net), SizeRule(16, 4))
    assert list(net.state_dict()) == before
    assert isinstance(net.get_submodule("block_a.0.2"), nn.GroupNorm)
