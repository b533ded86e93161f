"""Weights of well-known style nets, told apart by the names and shapes in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rtstyle.errors import ModelError, UsageError
from rtstyle.export.graph import ByteGraph, to_onnx
from rtstyle.importers.converted import Converted
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.nets.cartoongan import CartoonGenerator, rgb_kernels
from rtstyle.nets.foreign import SIZE_MINIMUM, SIZE_MULTIPLE, LengstromNet, TransformerNet
from rtstyle.styles import SizeRule
from rtstyle.types import Pixels

_RULE = SizeRule(SIZE_MINIMUM, SIZE_MULTIPLE)


class _Ranged(nn.Module):
    """A net of other ranges as one of [0, 1]."""

    def __init__(self, net: nn.Module, scale: float, offset: float) -> None:
        super().__init__()
        self.net, self.scale, self.offset = net, scale, offset

    def forward(self, x: Tensor) -> Tensor:
        painted: Tensor = (self.net(x * self.scale + self.offset) - self.offset) / self.scale
        return painted


@dataclass(frozen=True, slots=True)
class _Kind:
    """A net that can be told by a tensor's name."""

    name: str
    family: str
    mark: str
    """The tensor that no other kind has."""
    build: Callable[[Mapping[str, Tensor]], nn.Module]
    scale: float
    offset: float
    """From [0, 1] to the net's values, of input and output."""


def _transformer(state: Mapping[str, Tensor]) -> nn.Module:
    # Before PyTorch 0.4 instance norm stored running statistics, which it never used.
    kept = {k: v for k, v in state.items() if not re.search(r"\.(running_|num_batches)", k)}
    net = TransformerNet(kept["conv1.conv2d.weight"].shape[0])
    net.load_state_dict(kept)
    return net


def _lengstrom(state: Mapping[str, Tensor]) -> nn.Module:
    def number(key: str) -> int:
        found = re.search(r"(\d+)$", key)
        return int(found[1]) if found else 0

    values = [state[key] for key in sorted(state, key=number)]
    net = LengstromNet(values[0].shape[-1])
    turned = [v.permute(3, 2, 0, 1).contiguous() if v.ndim == 4 else v for v in values]
    net.load_state_dict(dict(zip(net.state_dict(), turned, strict=True)))
    return net


def _cartoongan(state: Mapping[str, Tensor]) -> nn.Module:
    net = CartoonGenerator(state["conv01_1.weight"].shape[0])
    net.load_state_dict(rgb_kernels(state))
    return net


def _animegan(state: Mapping[str, Tensor], *, align_corners: bool = True) -> nn.Module:
    # True is the default of the port's own net, and so what torch.hub's weights are run with.
    net = AnimeGenerator(state["block_a.0.1.weight"].shape[0], align_corners=align_corners)
    net.load_state_dict(state)
    return net


_KINDS = (
    _Kind(
        "pytorch/examples TransformerNet", "johnson", "conv1.conv2d.weight", _transformer, 255, 0
    ),
    _Kind("lengstrom/fast-style-transfer", "johnson", "Variable_47", _lengstrom, 255, 0),
    _Kind("CartoonGAN generator", "foreign", "conv01_1.weight", _cartoongan, 2, -1),
    _Kind("AnimeGANv2 generator", "animegan", "block_a.0.1.weight", _animegan, 2, -1),
)


def from_checkpoint(
    state: Mapping[str, Tensor], name: str, picture: Pixels, *, align_corners: bool | None = None
) -> Converted:
    """The net of the weights ``state`` as a graph of bytes.

    ``picture`` is uint8 ``(H, W, 3)``, both sides multiples of 4, for parity; ``align_corners`` is
    of AnimeGANv2 alone, None for the port's own default. Raises ModelError where the weights are of
    no known net, UsageError for ``align_corners`` with another.
    """
    kind = next((k for k in _KINDS if k.mark in state), None)
    if kind is None:
        raise _unknown(state, name)
    notes: tuple[str, ...] = ()
    shown = kind.name
    build = kind.build
    if build is _animegan:
        aligned = align_corners is not False
        build = partial(_animegan, align_corners=aligned)
        shown = f"{kind.name}, align_corners {aligned}"
        if align_corners is None:
            notes = (
                "upsampled with aligned corners, as the port's own net does; what its script "
                "converted from TensorFlow it paints without: --no-align-corners",
            )
    elif align_corners is not None:
        raise UsageError(f"--align-corners is for AnimeGANv2, and {name} is {kind.name}")
    try:
        net = build(state).float().eval()
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"{name} is refused: expected the weights of {kind.name}, found others: {reason}"
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise ModelError(f"{name} is refused: expected finite weights, found NaN or infinity")
    ranged = _Ranged(net, kind.scale, kind.offset).eval()
    model = to_onnx(ranged, _RULE)
    with torch.no_grad():
        expected = ByteGraph(ranged)(torch.from_numpy(picture[None].copy()))[0].numpy()
    return Converted(model, shown, kind.family, _RULE, picture, expected, notes)


def _unknown(state: Mapping[str, Tensor], name: str) -> ModelError:
    first = next(iter(state))
    shape = "x".join(map(str, state[first].shape))
    known = ", ".join(kind.name for kind in _KINDS)
    return ModelError(
        f"{name} is refused: expected the weights of {known}; found {len(state)} tensors, the "
        f"first {first[:60]!r} of {shape}; export such a net to ONNX and import that"
    )
