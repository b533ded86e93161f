"""The image transformation net of Johnson et al., arXiv:1603.08155, supplementary material.

Departures from the paper: instance norm for batch norm (Ulyanov et al., arXiv:1607.08022);
nearest upsampling and a convolution for each fractionally strided one, which leaves no
checkerboard (Odena et al., 2016); reflection padding of every convolution, so that residual
blocks keep their size; the output's tanh reaches a little beyond black and white, so that both
can be painted without saturating it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE_MULTIPLE = 4
"""Two halvings: other heights and widths come back rounded up."""
SIZE_MINIMUM = 16
"""The 9x9 stem reflects 4 pixels, the quarter-size blocks reflect 1."""
_OUTPUT_GAIN = 0.6


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect", bias=True
    )


class ConvNorm(nn.Module):
    """Convolution, instance norm and, where asked, ReLU; upsamples by 2 first where asked."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        upsample: bool = False,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, kernel, stride)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)
        self.upsample = upsample
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` -> ``(N, outputs, H', W')``."""
        if self.upsample:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.norm(self.conv(x))
        return functional.relu(x) if self.activate else x


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and the skip, without ReLU after the sum (Gross and Wilber, 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` -> the same shape."""
        changed: Tensor = self.second(self.first(x))
        return x + changed


class JohnsonNet(nn.Module):
    """RGB in, stylized RGB out.

    ``width`` is the channels of the first layer: 32 is the paper's net (1.68 M parameters), 16
    runs three to four times as fast (0.42 M). ``blocks`` is the number of residual blocks.
    """

    def __init__(self, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        if width < 1 or blocks < 0:
            raise ValueError(f"width must be >= 1 and blocks >= 0, got {width} and {blocks}")
        self.width = width
        self.encoder = nn.Sequential(
            ConvNorm(3, width, 9),
            ConvNorm(width, 2 * width, 3, stride=2),
            ConvNorm(2 * width, 4 * width, 3, stride=2),
        )
        self.residual = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            ConvNorm(4 * width, 2 * width, 3, upsample=True),
            ConvNorm(2 * width, width, 3, upsample=True),
        )
        self.head = _conv(width, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` RGB in [0, 1] -> the same shape, within [-0.1, 1.1].

        H and W must be multiples of SIZE_MULTIPLE and at least SIZE_MINIMUM.
        """
        x = self.encoder(x * 2 - 1)
        x = self.head(self.decoder(self.residual(x)))
        return torch.tanh(x) * _OUTPUT_GAIN + 0.5
