"""VGG feature nets for perceptual losses (Simonyan and Zisserman, arXiv:1409.1556).

Four kinds of weight file are known by their key names:

- the 16x-compressed VGG-19 of Wang et al. (Collaborative Distillation, CVPR 2020), whose ``*_aux``
  maps lift its thin features to the full widths;
- a full-width VGG-19 encoder with the image normalisation as a 1x1 convolution (Li et al., WCT);
- torchvision's ``vgg16-397923af.pth`` and ``vgg19-dcbb9e9d.pth``.

All take RGB in [0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtstyle.errors import ModelError, UnknownStyle
from rtstyle.nets.state import read_state

PaddingMode = Literal["zeros", "reflect"]

_CONVS_PER_BLOCK = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _layer_names(depth: int) -> list[str]:
    """``1_1``, ``1_2``, ``2_1`` ... in order."""
    return [
        f"{block}_{conv}"
        for block, count in enumerate(_CONVS_PER_BLOCK[depth], start=1)
        for conv in range(1, count + 1)
    ]


class VggFeatures(nn.Module):
    """Named activations ``relu1_1`` ... of a frozen VGG; ``conv1_1`` ... before their ReLU.

    ``convolutions`` maps layer names (``1_1``) to weight and bias; ``lifts`` maps some of them to
    a 1x1 weight and bias whose rectified output stands for the ``relu`` layer's. ``preprocessing``
    is the 1x1 map in front. ``padding_mode`` is as torch names it.
    """

    def __init__(
        self,
        convolutions: Mapping[str, tuple[Tensor, Tensor]],
        *,
        preprocessing: tuple[Tensor, Tensor],
        lifts: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        padding_mode: PaddingMode = "reflect",
    ) -> None:
        super().__init__()
        self.preprocessing = _frozen_conv(*preprocessing)
        self.convolutions = nn.ModuleDict(
            {name: _frozen_conv(*pair, padding_mode) for name, pair in convolutions.items()}
        )
        self.lifts = nn.ModuleDict(
            {name: _frozen_conv(*pair) for name, pair in (lifts or {}).items()}
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """The names that forward accepts, shallow to deep."""
        return tuple(f"{kind}{name}" for name in self.convolutions for kind in ("conv", "relu"))

    def forward(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """``(N, 3, H, W)`` RGB in [0, 1] -> ``{layer: (N, C, H/2^k, W/2^k)}``, k pools before it.

        Raises ValueError for a layer this file does not reach.
        """
        unknown = set(layers) - set(self.layers)
        if unknown:
            raise ValueError(f"no layers {sorted(unknown)}; this feature net has {self.layers}")
        found: dict[str, Tensor] = {}
        x = self.preprocessing(x)
        block = "1"
        for name, conv in self.convolutions.items():
            if name[0] != block:
                x, block = functional.max_pool2d(x, 2), name[0]
            x = conv(x)
            if f"conv{name}" in layers:
                found[f"conv{name}"] = x
            x = functional.relu(x)
            if f"relu{name}" in layers:
                lifted = functional.relu(self.lifts[name](x)) if name in self.lifts else x
                found[f"relu{name}"] = lifted
            if len(found) == len(set(layers)):
                break
        return found


def _frozen_conv(weight: Tensor, bias: Tensor, padding_mode: PaddingMode = "zeros") -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    conv = nn.Conv2d(
        inputs, outputs, kernel, padding=kernel // 2, padding_mode=padding_mode, bias=True
    )
    conv.weight = nn.Parameter(weight.float(), requires_grad=False)
    conv.bias = nn.Parameter(bias.float(), requires_grad=False)
    return conv


def load_features(file: str | Path) -> VggFeatures:
    """Read a feature net from ``.safetensors`` or torchvision's ``.pth`` (never unpickled freely).

    Raises UnknownStyle where the file is missing, ModelError where its keys are of no known kind.
    """
    file = Path(file)
    if not file.is_file():
        raise UnknownStyle(f"{file}: no such feature file; give a VGG .safetensors or .pth file")
    state = read_state(file)
    if "conv11.weight" in state:
        return _from_compressed(state)
    if "features.0.weight" in state:
        return _from_torchvision(state)
    if "0.weight" in state and tuple(state["0.weight"].shape) == (3, 3, 1, 1):
        return _from_sequential(state)
    raise ModelError(
        f"{file}: not a known VGG feature file (keys begin with {sorted(state)[:3]}); "
        "expected conv11.*, features.0.* or a 1x1 layer 0"
    )


def _pair(state: Mapping[str, Tensor], key: str) -> tuple[Tensor, Tensor]:
    return state[f"{key}.weight"], state[f"{key}.bias"]


def _from_compressed(state: Mapping[str, Tensor]) -> VggFeatures:
    names = [n for n in _layer_names(19) if f"conv{n.replace('_', '')}.weight" in state]
    key = {name: f"conv{name.replace('_', '')}" for name in names}
    return VggFeatures(
        {name: _pair(state, key[name]) for name in names},
        preprocessing=_pair(state, "conv0"),
        lifts={n: _pair(state, f"{key[n]}_aux") for n in names if f"{key[n]}_aux.weight" in state},
    )


def _numbered(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Keys ``<prefix><number>`` of the convolutions, in numeric order."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.weight")
    numbers = sorted(int(m.group(1)) for k in state if (m := pattern.fullmatch(k)))
    return [f"{prefix}{number}" for number in numbers]


def _from_sequential(state: Mapping[str, Tensor]) -> VggFeatures:
    first, *keys = _numbered(state, "")
    pairs = {n: _pair(state, k) for n, k in zip(_layer_names(19), keys, strict=False)}
    return VggFeatures(pairs, preprocessing=_pair(state, first))


def _from_torchvision(state: Mapping[str, Tensor]) -> VggFeatures:
    keys = _numbered(state, "features.")
    depth = {13: 16, 16: 19}.get(len(keys))
    if depth is None:
        raise ModelError(f"torchvision VGG of {len(keys)} convolutions; VGG-16 and 19 are known")
    std = torch.tensor(_IMAGENET_STD)
    weight = torch.diag(1 / std)[:, :, None, None]
    bias = -torch.tensor(_IMAGENET_MEAN) / std
    pairs = {n: _pair(state, k) for n, k in zip(_layer_names(depth), keys, strict=True)}
    return VggFeatures(pairs, preprocessing=(weight, bias), padding_mode="zeros")
