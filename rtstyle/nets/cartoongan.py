"""Generator of CartoonGAN (Chen, Lai and Liu, CVPR 2018), for weights that others trained.

Names of weights and the maths are those of the authors' nets as converted to PyTorch,
github.com/Yijunmaverick/CartoonGAN-Test-Pytorch-Torch (``network/Transformer.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtstyle.errors import ModelError, UnknownStyle
from rtstyle.nets.state import read_state

SIZE_MULTIPLE = 4
"""Two halvings."""
SIZE_MINIMUM = 16
"""The 7x7 convolutions reflect 3 pixels, the residual blocks at a quarter of the size 1."""
_EPSILON = 1e-9
_FIRST_BLOCK = 4


class InstanceNorm(nn.Module):
    """Each channel of each picture to mean 0 and variance 1, then ``scale`` and ``shift``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> the same shape."""
        return functional.instance_norm(x, weight=self.scale, bias=self.shift, eps=_EPSILON)


class CartoonGenerator(nn.Module):
    """Photo in, cartoon out; in which order the colours stand is the weights' affair.

    Published weights stand for BGR; ``load_cartoongan`` turns them to RGB. ``width`` 64 and
    ``blocks`` 8 are the published net (11.1 M parameters).
    """

    def __init__(self, width: int = 64, blocks: int = 8) -> None:
        super().__init__()
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks must be >= 1, got {width} and {blocks}")
        two, four = 2 * width, 4 * width
        last = _FIRST_BLOCK + blocks
        self.residual_numbers = tuple(f"{k:02}" for k in range(_FIRST_BLOCK, last))
        self.decoder_norms = (f"in{last:02}_1", f"in{last + 1:02}_1")
        self.conv01_1 = nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect")
        self.in01_1 = InstanceNorm(width)
        self.conv02_1 = nn.Conv2d(width, two, 3, 2, padding=1)
        self.conv02_2 = nn.Conv2d(two, two, 3, padding=1)
        self.in02_1 = InstanceNorm(two)
        self.conv03_1 = nn.Conv2d(two, four, 3, 2, padding=1)
        self.conv03_2 = nn.Conv2d(four, four, 3, padding=1)
        self.in03_1 = InstanceNorm(four)
        for number in self.residual_numbers:
            for part in ("1", "2"):
                conv = nn.Conv2d(four, four, 3, padding=1, padding_mode="reflect")
                self.add_module(f"conv{number}_{part}", conv)
                self.add_module(f"in{number}_{part}", InstanceNorm(four))
        self.deconv01_1 = nn.ConvTranspose2d(four, two, 3, 2, padding=1, output_padding=1)
        self.deconv01_2 = nn.Conv2d(two, two, 3, padding=1)
        self.add_module(self.decoder_norms[0], InstanceNorm(two))
        self.deconv02_1 = nn.ConvTranspose2d(two, width, 3, 2, padding=1, output_padding=1)
        self.deconv02_2 = nn.Conv2d(width, width, 3, padding=1)
        self.add_module(self.decoder_norms[1], InstanceNorm(width))
        self.deconv03_1 = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` in [-1, 1] -> the same shape and range.

        H and W must be multiples of SIZE_MULTIPLE and at least SIZE_MINIMUM.
        """
        x = functional.relu(self.in01_1(self.conv01_1(x)))
        x = functional.relu(self.in02_1(self.conv02_2(self.conv02_1(x))))
        x = functional.relu(self.in03_1(self.conv03_2(self.conv03_1(x))))
        for number in self.residual_numbers:
            y = functional.relu(self._part(f"{number}_1", x))
            x = x + self._part(f"{number}_2", y)
        first, second = (self.get_submodule(name) for name in self.decoder_norms)
        x = functional.relu(first(self.deconv01_2(self.deconv01_1(x))))
        x = functional.relu(second(self.deconv02_2(self.deconv02_1(x))))
        return torch.tanh(self.deconv03_1(x))

    def _part(self, name: str, x: Tensor) -> Tensor:
        convolved = self.get_submodule(f"conv{name}")(x)
        normed: Tensor = self.get_submodule(f"in{name}")(convolved)
        return normed


def load_cartoongan(file: str | Path) -> CartoonGenerator:
    """Published weights (``.safetensors`` or ``.pth``) as a float32 net of RGB in evaluation mode.

    Raises UnknownStyle where the file is missing, ModelError where it holds another net.
    """
    file = Path(file)
    if not file.is_file():
        raise UnknownStyle(f"{file}: no such weights; give a CartoonGAN .safetensors or .pth file")
    state = read_state(file)
    net = CartoonGenerator()
    try:
        net.load_state_dict(rgb_kernels(state))
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{file}: not the weights of a CartoonGAN generator; expected {len(net.state_dict())} "
            f"tensors, conv01_1.weight of 64x3x7x7 among them, found {_summary(state)}"
        ) from error
    return net.eval()


def rgb_kernels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for BGR as float32 weights for RGB, and the other way round.

    Raises KeyError where the first or the last layer is missing.
    """
    turned = {name: tensor.float() for name, tensor in state.items()}
    turned["conv01_1.weight"] = turned["conv01_1.weight"].flip(1)
    for name in ("deconv03_1.weight", "deconv03_1.bias"):
        turned[name] = turned[name].flip(0)
    return turned


def _summary(state: Mapping[str, Tensor]) -> str:
    name = min(state, default="")
    shape = "x".join(map(str, state[name].shape)) if name else "nothing"
    return f"{len(state)}, {name} of {shape} first" if name else "none"
