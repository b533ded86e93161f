"""Weights of well-known style nets, told apart by the names and shapes in the file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
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
from rtstyle.styles.spec import MAX_MODEL_BYTES
from rtstyle.types import Pixels

_RULE = SizeRule(SIZE_MINIMUM, SIZE_MULTIPLE)
_MOST_FOLDED = 8
"""Parameters for each byte of a file, at most; real weights hardly get smaller by packing."""


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
    arrange: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    """The tensors under the names and in the layout of the net, nothing copied."""
    width: Callable[[Mapping[str, Tensor]], int]
    """Of the net, read from the shapes of what was arranged."""
    net: Callable[[int], nn.Module]
    """The net of a width."""
    scale: float
    offset: float
    """From [0, 1] to the net's values, of input and output."""
    last: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    """What is still done with tensors whose shapes are right."""


def _transformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Before PyTorch 0.4 instance norm stored running statistics, which it never used.
    return {k: v for k, v in state.items() if not re.search(r"\.(running_|num_batches)", k)}


def _lengstrom(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    def number(key: str) -> int:
        found = re.search(r"(\d+)$", key)
        return int(found[1]) if found else 0

    values = [state[key] for key in sorted(state, key=number)]
    turned = [v.permute(3, 2, 0, 1) if v.ndim == 4 else v for v in values]
    with torch.device("meta"):
        names = list(LengstromNet(1).state_dict())
    return dict(zip(names, turned, strict=True))


def _outputs(key: str) -> Callable[[Mapping[str, Tensor]], int]:
    return lambda state: int(state[key].shape[0])


_KINDS = (
    _Kind(
        "pytorch/examples TransformerNet",
        "johnson",
        "conv1.conv2d.weight",
        _transformer,
        _outputs("conv1.conv2d.weight"),
        TransformerNet,
        255,
        0,
    ),
    _Kind(
        "lengstrom/fast-style-transfer",
        "johnson",
        "Variable_47",
        _lengstrom,
        _outputs("layers.0.weight"),
        LengstromNet,
        255,
        0,
    ),
    _Kind(
        "CartoonGAN generator",
        "foreign",
        "conv01_1.weight",
        dict,
        _outputs("conv01_1.weight"),
        CartoonGenerator,
        2,
        -1,
        rgb_kernels,
    ),
    _Kind(
        "AnimeGANv2 generator",
        "animegan",
        "block_a.0.1.weight",
        dict,
        _outputs("block_a.0.1.weight"),
        AnimeGenerator,
        2,
        -1,
    ),
)


def _built(
    kind: _Kind, state: Mapping[str, Tensor], net: Callable[[int], nn.Module], size: int
) -> nn.Module:
    """The net of ``state``, which is built only where each of its shapes is one of the net's.

    Raises ValueError otherwise, or where it is larger than a style or than a file of ``size`` bytes
    can hold.
    """
    arranged = kind.arrange(state)
    width = kind.width(arranged)
    with torch.device("meta"):
        # Shapes alone: of a net of any width this takes no memory.
        wanted = {key: tuple(value.shape) for key, value in net(width).state_dict().items()}
    if missing := sorted(wanted.keys() ^ arranged.keys()):
        there = "has" if missing[0] in arranged else "lacks"
        raise ValueError(f"it {there} {missing[0][:60]!r}")
    for key, shape in wanted.items():
        if (found := tuple(arranged[key].shape)) != shape:
            raise ValueError(f"{key} is of {_times(found)}, not of {_times(shape)}")
    numbers = sum(math.prod(shape) for shape in wanted.values())
    if 4 * numbers > MAX_MODEL_BYTES:
        raise ValueError(
            f"{numbers} parameters, which is more than the {MAX_MODEL_BYTES >> 20} MB of a style"
        )
    if numbers > _MOST_FOLDED * size:
        raise ValueError(f"{numbers} parameters in a file of {size} bytes")
    made = net(width)
    made.load_state_dict(kind.last(arranged))
    return made.float().eval()


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def from_checkpoint(
    state: Mapping[str, Tensor],
    name: str,
    picture: Pixels,
    *,
    size: int,
    align_corners: bool | None = None,
) -> Converted:
    """The net of the weights ``state``, read from a file of ``size`` bytes, as a graph of bytes.

    ``picture`` is uint8 ``(H, W, 3)``, both sides multiples of 4, for parity; ``align_corners`` is
    of AnimeGANv2 alone, None for the port's own default. Raises ModelError where the weights are of
    no known net, UsageError for ``align_corners`` with another.
    """
    kind = next((k for k in _KINDS if k.mark in state), None)
    if kind is None:
        raise _unknown(state, name)
    notes: tuple[str, ...] = ()
    shown = kind.name
    module = kind.net
    if module is AnimeGenerator:
        aligned = align_corners is not False
        # True is the port's own default, and so what torch.hub's weights are run with.
        module = partial(AnimeGenerator, align_corners=aligned)
        shown = f"{kind.name}, align_corners {aligned}"
        if align_corners is None:
            notes = (
                "upsampled with aligned corners, as the port's own net does; what its script "
                "converted from TensorFlow it paints without: --no-align-corners",
            )
    elif align_corners is not None:
        raise UsageError(f"--align-corners is for AnimeGANv2, and {name} is {kind.name}")
    try:
        net = _built(kind, state, module, size)
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
    shape = _times(state[first].shape)
    known = ", ".join(kind.name for kind in _KINDS)
    return ModelError(
        f"{name} is refused: expected the weights of {known}; found {len(state)} tensors, the "
        f"first {first[:60]!r} of {shape}; export such a net to ONNX and import that"
    )
