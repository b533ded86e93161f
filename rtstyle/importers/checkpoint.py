"""Weights of well-known style nets, told apart by the names and shapes in the file."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtstyle.errors import ModelError, UnsafeModel
from rtstyle.export.graph import ByteGraph, to_onnx
from rtstyle.importers.run import Converted, compare
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.nets.cartoongan import CartoonGenerator, rgb_kernels
from rtstyle.nets.foreign import SIZE_MINIMUM, SIZE_MULTIPLE, LengstromNet, TransformerNet
from rtstyle.styles import SizeRule
from rtstyle.types import Pixels

_MOST_BYTES = 256 * 2**20
"""What a file of at most 64 MB may unpack to."""
_WRAPPERS = ("state_dict", "generator", "model", "net", "params", "params_ema", "g")
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
        found = re.search(r"(\d+)$", key.removesuffix(":0"))
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


def _animegan(state: Mapping[str, Tensor]) -> nn.Module:
    net = AnimeGenerator(state["block_a.0.1.weight"].shape[0])
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


def from_checkpoint(data: bytes, name: str, picture: Pixels) -> Converted:
    """The net in the file as a graph of bytes.

    ``picture`` is uint8 ``(H, W, 3)``, both sides multiples of 4, for parity. Raises UnsafeModel
    where the file cannot be read as plain tensors, ModelError where they are of no known net.
    """
    state = _read(data, name)
    kind = next((k for k in _KINDS if k.mark in state), None)
    if kind is None:
        raise _unknown(state, name)
    try:
        net = kind.build(state).float().eval()
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
    return Converted(model, kind.name, kind.family, _RULE, compare(model, picture, expected))


def _read(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors by name, without what training wraps them in; never unpickled freely."""
    stream = io.BytesIO(data)
    suffix = name.rpartition(".")[2].lower()
    try:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                    raise ValueError(f"it unpacks to more than {_MOST_BYTES >> 20} MB")
        stream.seek(0)
        state: Any
        if suffix == "npz":
            with np.load(stream, allow_pickle=False) as arrays:
                state = {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
        elif suffix == "safetensors":
            from safetensors.torch import load

            state = load(data)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about archives of TorchScript, refused below
                state = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:
        # The loaders' own words advise to switch their protection off.
        raise UnsafeModel(
            f"{name} is refused: expected a file of plain tensors (.pth, .pt, .safetensors, .npz), "
            f"found a damaged one, or one that holds other things ({type(error).__name__})"
        ) from error
    if isinstance(state, dict):
        inner = next((state[k] for k in _WRAPPERS if isinstance(state.get(k), dict)), None)
        state = inner if inner is not None else state
    if not isinstance(state, dict) or not state:
        raise UnsafeModel(
            f"{name} is refused: expected tensors by name, found a {type(state).__name__}"
        )
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UnsafeModel(
            f"{name} is refused: expected tensors by name, found other things as well"
        )
    if sum(v.numel() * v.element_size() for v in state.values()) > _MOST_BYTES:
        raise UnsafeModel(f"{name} is refused: expected at most {_MOST_BYTES >> 20} MB of tensors")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _unknown(state: Mapping[str, Tensor], name: str) -> ModelError:
    first = next(iter(state))
    shape = "x".join(map(str, state[first].shape))
    known = ", ".join(kind.name for kind in _KINDS)
    return ModelError(
        f"{name} is refused: expected the weights of {known}; found {len(state)} tensors, the "
        f"first {first[:60]!r} of {shape}; export such a net to ONNX and import that"
    )
